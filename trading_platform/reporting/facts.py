"""What the report knows, as it was stored. Money is whole cents (`int`), so that sums are exact; the rest as stored.

NamedTuples and not dataclasses: five years of rows are built in a millisecond, and nothing slow is imported.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from trading_platform.storage.overdue_exits import OverdueExit
from trading_platform.storage.replay_days import ReplayDay
from trading_platform.storage.stopped_strategies import StoppedStrategy


class RunFacts(NamedTuple):
    """One account's life. `risk` are the limits by `RiskConfig` field name, as far as they were stored."""

    id: int
    mode: str
    source: str
    account: str | None
    status: str
    started_at: datetime
    capital: int
    config_fingerprint: str
    code_version: str
    risk: dict[str, object]
    strategies: tuple[str, ...]
    sectors: dict[str, str]
    cost_bps: float = 5.0  # half spread and slippage of its settings

    @property
    def is_alpaca(self) -> bool:
        """True if the account is at Alpaca, paper or live."""
        return self.mode.startswith("alpaca")

    @property
    def is_simulated(self) -> bool:
        """True unless real money trades, or may: only the owner knows what a broker of his own does."""
        return self.mode not in ("alpaca_live", "own_broker")


class Day(NamedTuple):
    """A booked session. `unrealized` and `peak` are levels, `realized` to `cash_flow` the day's own; fees positive.

    `commission` is among the fees; `spread`, `slippage` and `impact` are in prices. `unused_*` are the cents
    that the decision at the close left in cash, by cause; None where nothing was decided.
    """

    session: date
    as_of: datetime
    cash: int
    positions_value: int
    equity: int
    previous_equity: int
    realized: int
    unrealized: int
    fees: int
    dividends: int
    cash_flow: int
    peak: int
    drawdown: float
    lifetime_drawdown: float
    gross_exposure: float
    n_positions: int
    halted: bool
    vix: float | None
    benchmark_close: float | None
    universe_return: float | None
    interest: int = 0
    commission: int = 0
    spread: int = 0
    slippage: int = 0
    impact: int = 0
    unused_no_signal: int | None = None
    unused_slots: int | None = None
    unused_caps: int | None = None
    unused_size: int | None = None
    unused_halts: int | None = None
    cash_rate: float | None = None  # percent a year, as known at the close

    @property
    def profit(self) -> int:
        """Profit or loss of the day in cents: what equity gained beyond the cash flow."""
        return self.equity - self.previous_equity - self.cash_flow

    @property
    def capital(self) -> int:
        """Cents that the day's profit was made with: the previous close, and what flowed in or out since."""
        return self.previous_equity + self.cash_flow


class Part(NamedTuple):
    """One strategy's lot of a position that several share."""

    strategy: str
    quantity: float
    cost: int
    value: int
    dividends: int


class Holding(NamedTuple):
    """A position at a close. Strategy, the largest owner, is None where only the broker is known to hold it.

    `parts` are the lots of the strategies that share it; empty: all of it is `strategy`'s.
    """

    ticker: str
    strategy: str | None
    quantity: float
    entry_price: float
    price: float | None
    cost: int
    value: int | None
    stop: float | None
    target: float | None
    dividends: int
    entry_session: date | None
    parts: tuple[Part, ...] = ()

    @property
    def unrealized(self) -> int | None:
        """Value less cost basis in cents; None without a price."""
        return None if self.value is None else self.value - self.cost


class FillLine(NamedTuple):
    """One strategy's part of an execution; parts of one execution share `order`, side and price."""

    ticker: str
    side: str
    quantity: float
    price: float
    amount: int
    fees: int
    realized: int
    strategy: str
    reason: str
    order: str = ""


class RoundTrip(NamedTuple):
    """A trade that closed; `pnl` is net of fees and includes dividends."""

    ticker: str
    strategy: str
    entry_session: date
    exit_session: date
    quantity: float
    pnl: int
    dividends: int
    return_fraction: float
    exit_reason: str


class StrategyRecord(NamedTuple):
    """Closed trades of a strategy since the start."""

    strategy: str
    trades: int
    wins: int
    pnl: int


class Event(NamedTuple):
    """A stored change of what may be traded."""

    at: datetime
    session: date
    kind: str
    code: str
    observed: float | None
    limit: float | None
    message: str
    actor: str


class AllocationFacts(NamedTuple):
    """The capital split that was decided at a session, and why."""

    session: date
    weights: dict[str, float]
    source: str
    reason: str
    model_id: str | None
    influences: dict[str, float] | None


class RegimeFacts(NamedTuple):
    """Filtered regime probabilities of a session."""

    regime: str
    bull: float | None
    bear: float | None
    consolidation: float | None


class OrderLine(NamedTuple):
    """An order that was decided at the session, for the next open."""

    ticker: str
    side: str
    quantity: float
    limit_price: float | None
    strategy: str
    reason: str
    status: str
    message: str | None


class DifferenceLine(NamedTuple):
    """A difference between our book and the broker's that was unexplained at the time of the report."""

    found_at: datetime
    kind: str
    ticker: str | None
    ours: str
    theirs: str
    action: str


class CostEstimate(NamedTuple):
    """Basis points that fills have cost, with half the width of the 95 % interval, and what they are shrunk to."""

    fills: int
    mean: float
    half_width: float
    shrunk: float


class OwnCosts(NamedTuple):
    """What an account's fills have cost beside its setting; None: too few to say anything.

    All together; by size, below and above the median order; by what the ticker trades in a session, in thirds of the
    fills from the thinnest to the most liquid. `delay` is what the open had moved against the orders since the close
    at which they were decided: chance, and no cost of theirs.
    """

    fills: int
    setting: float
    every: CostEstimate | None
    small: CostEstimate | None
    large: CostEstimate | None
    thin: CostEstimate | None = None
    middle: CostEstimate | None = None
    liquid: CostEstimate | None = None
    delay: CostEstimate | None = None


class Ledger(NamedTuple):
    """Everything that the database knew about a run at the close of `days[-1]`, the reported session."""

    run: RunFacts
    days: tuple[Day, ...]
    is_latest: bool
    holdings: tuple[Holding, ...]
    previous_holdings: tuple[Holding, ...]
    fills: tuple[FillLine, ...]
    closed: tuple[RoundTrip, ...]
    results: tuple[int, ...]
    records: tuple[StrategyRecord, ...]
    events: tuple[Event, ...]
    allocation: AllocationFacts | None
    previous_allocation: AllocationFacts | None
    regime: RegimeFacts | None
    denials: dict[str, int]
    orders: tuple[OrderLine, ...]
    differences: tuple[DifferenceLine, ...]
    warnings: tuple[str, ...]
    heartbeat: datetime | None
    risk_state: dict[str, object] | None
    own_costs: OwnCosts | None = None
    exits: tuple[OverdueExit, ...] = ()
    beat_note: str = ""
    replay: tuple[ReplayDay, ...] = ()
    stopped: tuple[StoppedStrategy, ...] = ()

    @property
    def day(self) -> Day | None:
        """The reported session's booking, None before the first close."""
        return self.days[-1] if self.days else None


class History(NamedTuple):
    """What only charts need, by session, oldest first."""

    regimes: tuple[tuple[date, str], ...]
    allocations: tuple[tuple[date, dict[str, float]], ...]


class BrokerSnapshot(NamedTuple):
    """The broker's own answer. `session` is the exchange's date at `as_of` if it is a session, else None."""

    account_id: str
    as_of: datetime
    session: date | None
    is_open: bool
    has_opened: bool
    equity: int
    cash: int
    buying_power: int
    last_equity: int | None
    holdings: tuple[Holding, ...]
