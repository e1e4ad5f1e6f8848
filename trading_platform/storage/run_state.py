"""The state of a run as JSON values, as `storage.run_status` reads it and `status`, the desk and bots show it.

Free of SQLAlchemy: the report reads without it.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from trading_platform.storage.replay_days import ReplaySummary


class OrderAhead(TypedDict):
    """An order decided for the next open: `price` is the most that a buy pays, `dollars` what it comes to there."""

    ticker: str
    side: str
    quantity: float
    price: float | None
    dollars: float | None
    strategy: str
    reason: str
    status: str
    message: str | None


class NextOpen(TypedDict):
    """The orders decided at the newest close; `waiting` are the tickers that wait for consent."""

    session: str | None
    orders: list[OrderAhead]
    waiting: list[str]


class RunKeys(TypedDict):
    """Which run it is."""

    id: int
    mode: str
    source: str
    status: str
    account: str | None
    name: str | None
    first_session: str | None
    last_session: str | None
    strategies: list[str]


class EquityState(TypedDict):
    """The newest close, dollars and fractions; the row has more, such as the day's costs."""

    session: str
    equity: float
    cash: float
    previous_equity: float
    cash_flow: float
    drawdown: float
    lifetime_drawdown: float
    gross_exposure: float
    n_positions: int


class RegimeState(TypedDict):
    """The newest regime."""

    regime: str


class PositionState(TypedDict):
    """A position at the newest close; shares, dollars a share."""

    ticker: str
    quantity: float
    entry_price: float
    price: float
    stop_price: float | None


class OrderState(TypedDict):
    """An order that may still fill."""

    client_order_id: str
    status: str
    quantity: float
    ticker: str
    side: str
    reason: str
    limit_price: float | None
    stop_price: float | None


class RiskState(TypedDict):
    """What the risk manager remembers of halts."""

    saved_at: str
    manual_halt: str | None
    manual_halt_since: str | None
    fault: str | None
    halted_since: str | None


class EventState(TypedDict):
    """A change of what may be traded."""

    session: str
    kind: str
    message: str
    actor: str


class DifferenceState(TypedDict):
    """A difference between the two books that nothing has explained."""

    found_at: str
    kind: str
    ticker: str | None
    ours: str
    theirs: str


class OverdueState(TypedDict):
    """An exit that should have left (`storage.overdue_exits.OverdueExit`)."""

    ticker: str
    decided: str
    sessions: int
    refusals: int
    reason: str
    why: str


class StoppedState(TypedDict):
    """A strategy that its own drawdown stop keeps out."""

    strategy: str
    since: str
    reason: str


class StandingState(TypedDict):
    """What operators' words still do."""

    flatten: bool
    closing: list[str]
    paused: list[str]
    leaving: list[str]
    stopped: list[StoppedState]


class HeartbeatState(TypedDict):
    """The engine's last sign of life; whether it lives is for the caller to add."""

    at: str
    pid: int
    host: str
    note: str
    age_seconds: float | None
    alive: NotRequired[bool]


class RunState(TypedDict):
    """The state of a run as JSON values: ISO 8601, dollars; None where nothing was stored yet."""

    run: RunKeys
    equity: EquityState | None
    not_invested_because: dict[str, float] | None
    regime: RegimeState | None
    allocation: dict[str, object] | None
    positions: list[PositionState]
    open_orders: list[OrderState]
    next_open: NextOpen
    risk: RiskState | None
    recent_events: list[EventState]
    differences: list[DifferenceState]
    overdue_exits: list[OverdueState]
    replay_check: ReplaySummary | None
    waiting_commands: list[str]
    standing: StandingState
    heartbeat: HeartbeatState | None
