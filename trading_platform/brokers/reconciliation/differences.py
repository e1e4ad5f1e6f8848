"""What two books of one account can differ in, and what each kind of difference means for new risk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trading_platform.core import alert_states


class DifferenceKind(StrEnum):
    """What did not match."""

    FILL = "fill"
    PARTIAL_FILL = "partial_fill"
    ORDER_ENDED = "order_ended"
    ORDER_NEWS = "order_news"
    HELD_LEG = "held_leg"
    NEVER_SENT = "never_sent"
    NOT_SENT = "not_sent"
    UNCERTAIN_ORDER = "uncertain_order"
    VANISHED_ORDER = "vanished_order"
    UNKNOWN_OWN_ORDER = "unknown_own_order"
    FOREIGN_ORDER = "foreign_order"
    MANUAL_TRADE = "manual_trade"
    MANUAL_POSITION = "manual_position"
    CASH_FLOW = "cash_flow"
    CASH_ROUNDING = "cash_rounding"
    SHARE_CHANGE = "share_change"
    UNPROTECTED = "unprotected"
    OVERPROTECTED = "overprotected"
    STOP_IDLE = "stop_idle"
    EXIT_WAITS = alert_states.EXIT_WAITS
    NO_COVER = alert_states.NO_COVER
    POSITION_UNEXPLAINED = "position_unexplained"
    CASH_UNEXPLAINED = "cash_unexplained"
    CASH_UNKNOWN = "cash_unknown"
    EDITED = "edited"
    AWAITED_FILL = "awaited_fill"
    EXCHANGE = "exchange"
    HALF_ACTION = "half_action"
    UNKNOWN_TICKER = "unknown_ticker"
    UNREADABLE = alert_states.UNREADABLE
    OWNERS_THINGS = alert_states.OWNERS_THINGS
    ACCOUNT_STATE = "account_state"
    DISBELIEVED = "disbelieved"


# New risk in a ticker waits while one of these stands.
QUARANTINES = frozenset(
    {
        DifferenceKind.UNCERTAIN_ORDER,
        DifferenceKind.VANISHED_ORDER,
        DifferenceKind.UNKNOWN_OWN_ORDER,
        DifferenceKind.FOREIGN_ORDER,
        DifferenceKind.MANUAL_TRADE,
        DifferenceKind.MANUAL_POSITION,
        DifferenceKind.POSITION_UNEXPLAINED,
        DifferenceKind.AWAITED_FILL,
        DifferenceKind.HALF_ACTION,
        DifferenceKind.UNKNOWN_TICKER,
        DifferenceKind.UNREADABLE,
        DifferenceKind.STOP_IDLE,
        DifferenceKind.DISBELIEVED,
    }
)
# No new risk anywhere while one of these stands.
CASH_KINDS = frozenset({DifferenceKind.CASH_UNEXPLAINED, DifferenceKind.CASH_UNKNOWN})
# Adopted only when two readings in a row show the same.
NEEDS_CONFIRMATION = frozenset(
    {DifferenceKind.VANISHED_ORDER, DifferenceKind.POSITION_UNEXPLAINED, DifferenceKind.CASH_UNEXPLAINED}
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that did not match, in words. Equal differences of two readings confirm each other."""

    kind: DifferenceKind
    ticker: str | None
    ours: str
    theirs: str
