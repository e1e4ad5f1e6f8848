"""An approved order and its signal as rows: every column, from the order alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import ApprovedOrder, OrderIntent, OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.order_rows import approved_signal, order_row

AT = datetime(2024, 1, 2, 21, 0, tzinfo=UTC)
SESSION = date(2024, 1, 2)
INTENT = OrderIntent("AAA", Side.BUY, 10.0, 101.0, 95.0, 110.0, "momentum", OrderReason.ENTRY, 0.7, SESSION)
ORDER = ApprovedOrder(INTENT, "approval-1", "tp-x", "fingerprint", AT, AT + timedelta(days=1), ())


def test_an_intent_has_every_column_and_no_life_yet() -> None:
    assert order_row(3, ORDER) == {
        "run_id": 3,
        "client_order_id": "tp-x",
        "broker_order_id": None,
        "approval_id": "approval-1",
        "config_fingerprint": "fingerprint",
        "ticker": "AAA",
        "side": "buy",
        "quantity": 10.0,
        "filled_quantity": 0.0,
        "limit_price": 101.0,
        "stop_price": 95.0,
        "target_price": 110.0,
        "strategy": "momentum",
        "reason": "entry",
        "strength": 0.7,
        "status": "intent",
        "message": None,
        "decided_session": SESSION,
        "decided_at": AT,
        "submitted_at": None,
        "closed_at": None,
        "parts": None,
    }


def test_a_submitted_order_tells_when_it_was_handed_over() -> None:
    later = AT + timedelta(minutes=1)
    row = order_row(3, ORDER, OrderStatus.SUBMITTED, later)
    changed = {name: value for name, value in row.items() if value != order_row(3, ORDER)[name]}
    assert changed == {"status": "submitted", "submitted_at": later}


def test_the_columns_are_those_of_the_table() -> None:
    columns = [column.name for column in m.Order.__table__.columns]
    assert ["id", *order_row(3, ORDER)] == columns


def test_the_signal_of_an_order_fills_every_column() -> None:
    columns = [column.name for column in m.SignalRow.__table__.columns]
    assert columns[:2] == ["id", "run_id"]
    assert dict(zip(columns[2:], approved_signal(ORDER), strict=True)) == {
        "session": SESSION,
        "ticker": "AAA",
        "strategy": "momentum",
        "strength": 0.7,
        "verdict": "approved",
        "code": "OK",
        "observed": None,
        "limit": None,
        "quantity": 10.0,
        "client_order_id": "tp-x",
    }
