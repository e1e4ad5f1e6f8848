"""Orders that a lost database held, written down again from what the broker knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Engine, insert

from trading_platform.core.ports import JournalOrder
from trading_platform.storage import models as m
from trading_platform.storage.order_rows import parts_text

ADOPTED = "adopted"  # in the place of an approval: nobody knows it any more


def write_adopted(engine: Engine, run_id: int, orders: Iterable[tuple[JournalOrder, date]]) -> None:
    """Write orders and legs, each with the session that it was decided in, in one transaction."""
    rows = [
        {
            "run_id": run_id,
            "client_order_id": row.client_order_id,
            "broker_order_id": row.broker_order_id,
            "approval_id": f"{ADOPTED}-{row.client_order_id}"[:64],
            "config_fingerprint": ADOPTED,
            "ticker": row.ticker,
            "side": row.side.value,
            "quantity": row.quantity,
            "filled_quantity": row.filled_quantity,
            "limit_price": row.limit_price,
            "stop_price": row.stop_price,
            "target_price": row.target_price,
            "strategy": row.strategy,
            "reason": row.reason.value,
            "strength": 0.0,
            "status": row.status.value,
            "message": "adopted",
            "decided_session": session,
            "decided_at": row.decided_at,
            "submitted_at": row.decided_at,
            "closed_at": None if row.status.is_open else row.decided_at,
            "parts": parts_text(row.parts),
        }
        for row, session in orders
    ]
    if rows:
        with engine.begin() as connection:
            connection.execute(insert(m.Order), rows)
