"""An approved order as a row of `orders`, and its verdict as one of `signals`: one spelling for all who write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import ApprovedOrder, LotOrder, OrderStatus


def order_row(
    run_id: int, order: ApprovedOrder, status: OrderStatus = OrderStatus.INTENT, submitted_at: datetime | None = None
) -> dict[str, Any]:
    """Return the first row of `order`, every column but `id`; nothing of it has filled.

    `submitted_at` is when the order was handed to the broker, None for one that is only intended.
    """
    intent = order.intent
    return {
        "run_id": run_id,
        "client_order_id": order.client_order_id,
        "broker_order_id": None,
        "approval_id": order.approval_id,
        "config_fingerprint": order.config_fingerprint,
        "ticker": intent.ticker,
        "side": intent.side.value,
        "quantity": intent.quantity,
        "filled_quantity": 0.0,
        "limit_price": intent.limit_price,
        "stop_price": intent.stop_price,
        "target_price": intent.target_price,
        "strategy": intent.strategy,
        "reason": intent.reason.value,
        "strength": intent.strength,
        "status": status.value,
        "message": None,
        "decided_session": intent.decided_session,
        "decided_at": order.approved_at,
        "submitted_at": submitted_at,
        "closed_at": None,
        "parts": parts_text(intent.parts),
    }


def parts_text(parts: Sequence[LotOrder]) -> str | None:
    """Return the strategies' parts of an order as JSON, None where there are none."""
    rows = [[part.strategy, part.quantity, part.stop, part.target, part.reason.value, part.wish] for part in parts]
    return json.dumps(rows) if rows else None


def read_parts(text: str | None) -> tuple[LotOrder, ...]:
    """Return the parts in `text`; an order of an earlier version has none."""
    rows = [] if text is None else json.loads(text)
    return tuple(
        LotOrder(name, shares, stop, target, OrderReason(reason), *wish)
        for name, shares, stop, target, reason, *wish in rows
    )


def approved_signal(order: ApprovedOrder) -> tuple[object, ...]:
    """Return the verdict on the candidate that became `order`, in the columns of `signals` after `run_id`."""
    intent = order.intent
    return (
        intent.decided_session,
        intent.ticker,
        intent.strategy,
        intent.strength,
        "approved",
        DenialCode.OK.value,
        None,
        None,
        intent.quantity,
        order.client_order_id,
    )
