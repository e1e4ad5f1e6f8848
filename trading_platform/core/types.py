"""Values that cross module borders: codes, market panel, orders, verdicts, fills.

Everything here is immutable; what every order makes anew is a NamedTuple, which is made in half the time. Money is in
dollars, rounded to the cent where it is posted; quantities are in shares; fractions are fractions (0.05 is five
percent); instants are aware UTC; a session is a date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.costs import Protection
from trading_platform.core.errors import FixConfigError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.risk.denial_codes import DenialCode

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

UNKNOWN_SECTOR = "Unknown"
STOCK = "stock"  # the asset class of everything that is no fund


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"


class Regime(StrEnum):
    """Market regime; the order of the first three is the order of every probability vector."""

    BULL = "bull"
    BEAR = "bear"
    CONSOLIDATION = "consolidation"
    UNKNOWN = "unknown"


class OrderStatus(StrEnum):
    """Life of an order. `intent` is written before anything leaves the machine.

    A `held` entry waits for its owner's consent: it is at work nowhere, and may never be.
    """

    HELD = "held"
    INTENT = "intent"
    SUBMITTED = "submitted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"

    @property
    def is_open(self) -> bool:
        """True while the order may still fill, as far as we know."""
        return self in (self.INTENT, self.SUBMITTED, self.PARTIALLY_FILLED, self.UNCERTAIN)


class RiskEventKind(StrEnum):
    """What changed in the permission to trade."""

    HALT = "halt"
    RELEASE = "release"
    BREACH = "breach"
    DAILY_LOSS = "daily_loss"
    PAUSE = "pause"
    EQUITY_SUSPECT = "equity_suspect"
    MANUAL_HALT = "manual_halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    STATE_INVALID = "state_invalid"
    CASH_FLOW = "cash_flow"


class EventKind(StrEnum):
    """Corporate events, as ``events.csv`` names them. The position of each member is its number in the kernel."""

    SPLIT = "split"
    CASH_MERGER = "cash_merger"
    STOCK_MERGER = "stock_merger"
    RENAME = "rename"
    SPIN_OFF = "spin_off"
    SPECIAL_DIVIDEND = "special_dividend"
    DELISTING = "delisting"


EVENT_KINDS: tuple[EventKind, ...] = tuple(EventKind)


class CorporateEvent(NamedTuple):
    """One event; it holds from the open of `session` on.

    `ratio` is new shares per old one (split, stock_merger, spin_off); `cash` is dollars per old share (mergers,
    special_dividend, delisting; NaN = the last price). `other` is the ticker that shares become (rename, stock_merger)
    or that is added (spin_off), else "".
    """

    session: date
    ticker: str
    kind: EventKind
    other: str = ""
    ratio: float = 1.0
    cash: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MarketPanel:
    """Daily bars of a universe on a common grid of sessions.

    Arrays are (T sessions, N tickers), C-contiguous float64. A ticker without a bar on a session holds NaN in all
    five fields. Tickers are sorted, so that "ties by ticker" is "ties by column". `vix` and `benchmark` are (T,),
    NaN where unknown. `split_ratio` multiplies the share count at the session's open (1 = none); `dividend` is
    dollars a share on the ex-date. Both are trivial for adjusted prices.

    `asset_classes` (N,) says "stock" or the class of a fund (empty: all are stocks); the class of a fund is its sector
    as well. `cash_rate` (T,) is the yield of cash in percent a year, NaN where unknown; None: cash earns nothing.
    `member` (T, N) is True while a ticker belongs to the universe; None: always. `benchmark_ticker` names the column of
    the benchmark where it is one of the tickers: only strategies that name it trade it. `securities` (N,) are ids that
    a change of name keeps, the first name of each (empty: nothing was renamed).

    `extra` has the user's own columns by name, (T, N) as known at each close; `no_new_risk` (T, N) is True where a rule
    of the user's own lets nothing be bought after that close; None: nowhere.
    """

    sessions: NDArray[np.datetime64]
    tickers: tuple[str, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    vix: Floats
    benchmark: Floats
    sectors: tuple[str, ...]
    source: str
    data_hash: str
    split_ratio: Floats | None = None
    dividend: Floats | None = None
    warnings: tuple[str, ...] = field(default=())
    asset_classes: tuple[str, ...] = ()
    cash_rate: Floats | None = None
    member: Bools | None = None
    events: tuple[CorporateEvent, ...] = ()
    benchmark_ticker: str = ""
    securities: tuple[str, ...] = ()
    extra: Mapping[str, Floats] = field(default_factory=dict)
    no_new_risk: Bools | None = None

    @property
    def n_sessions(self) -> int:
        """Number of rows, T."""
        return len(self.sessions)

    @property
    def n_tickers(self) -> int:
        """Number of columns, N."""
        return len(self.tickers)

    @property
    def classes(self) -> tuple[str, ...]:
        """(N,) asset class of each ticker."""
        return self.asset_classes or (STOCK,) * self.n_tickers

    @property
    def security_ids(self) -> tuple[str, ...]:
        """(N,) an id of each column that a change of name keeps."""
        return self.securities or self.tickers

    @property
    def is_stock(self) -> Bools:
        """(N,) True for stocks, False for funds."""
        return np.array([kind == STOCK for kind in self.classes], dtype=np.bool_)

    @property
    def universe(self) -> Bools:
        """(N,) True for what makes "the universe": stocks if there are any, else all but the benchmark."""
        stocks = self.is_stock
        if not stocks.any():
            stocks = np.ones(self.n_tickers, dtype=np.bool_)
        own: Bools = stocks & (np.array(self.tickers) != self.benchmark_ticker)
        return own if own.any() else stocks

    def session(self, t: int) -> date:
        """Return the date of row `t`."""
        value: date = self.sessions[t].astype("datetime64[D]").item()
        return value

    def column(self, name: str) -> Floats:
        """Return the user's own column `name`, (T, N), NaN where unknown.

        Raises
        ------
        FixConfigError
            The settings name no such column.
        """
        if name not in self.extra:
            known = ", ".join(self.extra) or "none"
            raise FixConfigError(f'no column {name!r} comes with the bars ({known}): columns = ["{name}"] in [data]')
        return self.extra[name]

    def rows(self, start: int, stop: int) -> MarketPanel:
        """Return sessions `start` to `stop` (exclusive) as a new panel."""
        cut = slice(start, stop)
        return self._with(cut, slice(None), self.tickers, self.sectors)

    def columns(self, index: Sequence[int]) -> MarketPanel:
        """Return the tickers at `index`, strictly increasing (else ValueError is raised), as a new panel."""
        picked = np.asarray(index, dtype=np.int64)
        if np.any(np.diff(picked) <= 0):
            raise ValueError("columns must be strictly increasing, since ties are broken by ticker order")
        tickers = tuple(self.tickers[i] for i in picked)
        return self._with(slice(None), picked, tickers, tuple(self.sectors[i] for i in picked))

    def _with(
        self, rows: slice, columns: slice | Ints, tickers: tuple[str, ...], sectors: tuple[str, ...]
    ) -> MarketPanel:
        def cut(values: Floats) -> Floats:
            return np.ascontiguousarray(values[rows][:, columns])

        picked = np.arange(self.n_tickers)[columns]

        return MarketPanel(
            sessions=self.sessions[rows].copy(),
            tickers=tickers,
            open=cut(self.open),
            high=cut(self.high),
            low=cut(self.low),
            close=cut(self.close),
            volume=cut(self.volume),
            vix=self.vix[rows].copy(),
            benchmark=self.benchmark[rows].copy(),
            sectors=sectors,
            source=self.source,
            data_hash=self.data_hash,
            split_ratio=None if self.split_ratio is None else cut(self.split_ratio),
            dividend=None if self.dividend is None else cut(self.dividend),
            warnings=self.warnings,
            asset_classes=tuple(self.asset_classes[i] for i in picked) if self.asset_classes else (),
            cash_rate=None if self.cash_rate is None else self.cash_rate[rows].copy(),
            member=None if self.member is None else np.ascontiguousarray(self.member[rows][:, columns]),
            events=tuple(event for event in self.events if event.ticker in tickers),
            benchmark_ticker=self.benchmark_ticker if self.benchmark_ticker in tickers else "",
            securities=tuple(self.securities[i] for i in picked) if self.securities else (),
            extra={name: cut(values) for name, values in self.extra.items()},
            no_new_risk=None if self.no_new_risk is None else np.ascontiguousarray(self.no_new_risk[rows][:, columns]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class StrategySignals:
    """What one strategy says about every session and ticker: (T, N) arrays.

    `strength` is the wish to enter at the next open, in [0, 1], 0 = none; `exit` asks to close a position that this
    strategy opened. Row t uses bars up to and including session t only. With `is_target` strengths are weights in the
    strategy's own book, followed up and down. `protection` None: the default of the settings.
    """

    strength: Floats
    exit: Bools
    is_target: bool = False
    protection: Protection | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """A refused order: a value, not an exception. `observed` and `limit` share the rule's unit."""

    code: DenialCode
    ticker: str
    observed: float
    limit: float
    message: str
    largest_quantity: float = 0.0


@dataclass(frozen=True, slots=True)
class RiskEvent:
    """A change in the permission to trade; `observed` and `limit` share the rule's unit."""

    kind: RiskEventKind
    code: DenialCode
    observed: float
    limit: float
    message: str
    actor: str = "engine"


@dataclass(frozen=True, slots=True)
class Holding:
    """A position and its open orders as shown to `RiskManager`: shares, dollars a share.

    `quantity` is negative for a short; `pending` shares of entries are not filled yet, at the worst price
    `limit_price`; `selling` shares are in open sell orders.
    """

    ticker: str
    quantity: float
    price: float
    pending: float = 0.0
    limit_price: float = 0.0
    selling: float = 0.0


@dataclass(frozen=True, slots=True)
class Portfolio:
    """An account as shown to `RiskManager`: cash in dollars and everything held or pending.

    `cash_flow` is the deposit (positive) or withdrawal that `cash` contains for the first time.
    """

    cash: float
    holdings: tuple[Holding, ...] = ()
    cash_flow: float = 0.0


class TradeResult(NamedTuple):
    """A closed round trip: net profit and cost in dollars (partial exits are one trade)."""

    ticker: str
    pnl: float
    cost: float


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """One rule's view of an order. `headroom` is limit - observed in the rule's unit; NaN where unmeasurable."""

    code: DenialCode
    observed: float
    limit: float
    headroom: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every rule's view of an order, the binding one, and the largest quantity (shares) that would pass."""

    allowed: bool
    message: str
    binding: DenialCode
    largest_quantity: float
    checks: tuple[RuleCheck, ...]


class LotOrder(NamedTuple):
    """One strategy's part of an order: shares bought above 0 and sold below, its own stop and target (0 = none).

    `wish` is the share of equity that it wants, as decided.
    """

    strategy: str
    quantity: float
    stop: float
    target: float
    reason: OrderReason
    wish: float = 0.0


class OrderIntent(NamedTuple):
    """What the engine wants to do, before risk has spoken. Quantity in shares, prices in dollars a share.

    `strategy` is the one with the largest part; `parts` are those of all strategies, and may contain what they sell to
    each other: `quantity` is what is left for the market.
    """

    ticker: str
    side: Side
    quantity: float
    limit_price: float | None
    stop_price: float | None
    target_price: float | None
    strategy: str
    reason: OrderReason
    strength: float
    decided_session: date
    parts: tuple[LotOrder, ...] = ()


class ApprovedOrder(NamedTuple):
    """An order that RiskManager let through. Only `risk_manager` builds one, and a broker takes nothing else.

    `approval_id` is consumed once, through the manager that issued it; after `expires_at` it is void.
    """

    intent: OrderIntent
    approval_id: str
    client_order_id: str
    config_fingerprint: str
    approved_at: datetime
    expires_at: datetime
    checked: tuple[str, ...]


class Fill(NamedTuple):
    """An execution. `amount` is quantity x price rounded to the cent, `fees` is positive; both in dollars.

    `spread`, `slippage` and `impact` are dollars lost in the price, where they are known.

    `fill_id` is the broker's own name of the execution, where it has one: the same fill is never booked twice.
    """

    client_order_id: str
    ticker: str
    side: Side
    quantity: float
    price: float
    amount: float
    fees: float
    filled_at: datetime
    session: date
    strategy: str
    reason: OrderReason
    fill_id: str = ""
    spread: float = 0.0
    slippage: float = 0.0
    impact: float = 0.0


class ClosedTrade(NamedTuple):
    """A finished round trip; money in dollars, `pnl` net of fees and with dividends."""

    ticker: str
    strategy: str
    entry_session: date
    exit_session: date
    quantity: float
    exit_price: float
    cost: float
    proceeds: float
    fees: float
    dividends: float
    pnl: float
    reason: OrderReason
    market_costs: float = 0.0


class Flows(NamedTuple):
    """What moved an account's money in one session, dollars; costs are positive, in `fees` or in the prices paid."""

    realized: float = 0.0
    fees: float = 0.0  # commission and regulatory fees
    commission: float = 0.0  # the commission among them
    spread: float = 0.0
    slippage: float = 0.0
    impact: float = 0.0
    dividends: float = 0.0
    interest: float = 0.0
    cash_flow: float = 0.0


class Settlement(NamedTuple):
    """Everything that happened to the account in one session.

    `fills` come with the profit realized by each (gross of fees) and the round trip they closed, if any. `orders` maps
    client order ids that ended to (status, filled quantity). Money in dollars.
    """

    equity: float
    fills: Sequence[tuple[Fill, float, ClosedTrade | None]]
    orders: Mapping[str, tuple[OrderStatus, float]]
    flows: Flows
