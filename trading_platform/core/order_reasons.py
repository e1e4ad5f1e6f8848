"""Every reason for which an order exists. It stands apart from other values: what only names reasons needs no numpy."""

from __future__ import annotations

from enum import StrEnum


class OrderReason(StrEnum):
    """Why an order exists. The position of each member is its number in the kernel."""

    NONE = "none"
    ENTRY = "entry"
    SIGNAL_EXIT = "signal_exit"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    MAX_HOLDING = "max_holding"
    DELISTED = "delisted"
    FLATTEN = "flatten"
    REBALANCE = "rebalance"
    REPLACED = "replaced"
    UNFUNDED = "unfunded"
    MERGER = "merger"


ORDER_REASONS: tuple[OrderReason, ...] = tuple(OrderReason)
# By these a strategy ends a position itself, so the result says what it is worth: loss streak and Kelly count them.
# What the book did to it (made room, lost its capital, merged, was flattened) says nothing of the strategy.
STRATEGYS_OWN = frozenset(
    {OrderReason.SIGNAL_EXIT, OrderReason.STOP_LOSS, OrderReason.TAKE_PROFIT, OrderReason.MAX_HOLDING}
)
