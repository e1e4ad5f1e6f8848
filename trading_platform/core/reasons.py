"""Why an order exists, as numbers for compiled code: the positions of `OrderReason` members."""

from __future__ import annotations

from trading_platform.core.compiled import lean
from trading_platform.core.order_reasons import ORDER_REASONS, STRATEGYS_OWN, OrderReason

NO_REASON = ORDER_REASONS.index(OrderReason.NONE)
ENTRY = ORDER_REASONS.index(OrderReason.ENTRY)
SIGNAL_EXIT = ORDER_REASONS.index(OrderReason.SIGNAL_EXIT)
STOP_LOSS = ORDER_REASONS.index(OrderReason.STOP_LOSS)
TAKE_PROFIT = ORDER_REASONS.index(OrderReason.TAKE_PROFIT)
MAX_HOLDING = ORDER_REASONS.index(OrderReason.MAX_HOLDING)
DELISTED = ORDER_REASONS.index(OrderReason.DELISTED)
FLATTEN = ORDER_REASONS.index(OrderReason.FLATTEN)
REBALANCE = ORDER_REASONS.index(OrderReason.REBALANCE)
REPLACED = ORDER_REASONS.index(OrderReason.REPLACED)
UNFUNDED = ORDER_REASONS.index(OrderReason.UNFUNDED)
MERGER = ORDER_REASONS.index(OrderReason.MERGER)

_OWN_NUMBERS = tuple(number for number, reason in enumerate(ORDER_REASONS) if reason in STRATEGYS_OWN)


@lean
def is_strategys_own(reason: int) -> bool:
    """Return True if a strategy ended a position by its exit, stop, target or time (`order_reasons.STRATEGYS_OWN`)."""
    return reason in _OWN_NUMBERS
