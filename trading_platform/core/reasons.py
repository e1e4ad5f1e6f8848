"""Why an order exists, as numbers for compiled code: the positions of `OrderReason` members."""

from __future__ import annotations

from trading_platform.core.compiled import lean, plain
from trading_platform.core.types import ORDER_REASONS, OrderReason

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


@lean
def is_strategys_own(reason: int) -> bool:
    """Return True if a strategy ended a position by its exit, stop, target or time: such results say what it is worth.

    Loss streak and Kelly count these. What the book did to it (made room, lost its capital, merged, was flattened) says
    nothing of the strategy.
    """
    return reason in (SIGNAL_EXIT, STOP_LOSS, TAKE_PROFIT, MAX_HOLDING)


STRATEGYS_OWN = frozenset(reason for i, reason in enumerate(ORDER_REASONS) if plain(is_strategys_own)(i))
