"""The journal's row of a leg, a stop or target that Alpaca made of an order of ours."""

from __future__ import annotations

from dataclasses import replace

from trading_platform.core.ports import BrokerOrder, JournalOrder


def leg_row(parent: JournalOrder, leg: BrokerOrder) -> JournalOrder:
    """Return the row of a leg: approval, strategy and limit of its parent; no levels and no parts of its own."""
    return replace(
        parent,
        client_order_id=leg.client_order_id,
        broker_order_id=leg.broker_order_id,
        side=leg.side,
        quantity=leg.quantity,
        filled_quantity=leg.filled_quantity,
        status=leg.status,
        reason=leg.reason,
        stop_price=None,
        target_price=None,
        parts=(),
    )
