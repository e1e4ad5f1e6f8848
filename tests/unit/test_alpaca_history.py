"""Activities become fills, manual trades, money and shares."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from trading_platform.brokers.reconciliation.alpaca_history import parse_history
from trading_platform.brokers.reconciliation.two_books import CashFlow, CashKind, ShareChange
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import JournalOrder
from trading_platform.core.types import OrderStatus, Side

AT = "2024-01-03T02:30:00.123Z"  # 2 January, 21:30 in New York


def order_of(broker_order_id: str) -> JournalOrder | None:
    if broker_order_id != "ours":
        return None
    return JournalOrder(
        "tp-1",
        "ours",
        "AAA",
        Side.BUY,
        10.0,
        0.0,
        OrderStatus.SUBMITTED,
        "momentum",
        OrderReason.ENTRY,
        datetime(2024, 1, 2, tzinfo=UTC),
    )


def fill(**fields: Any) -> dict[str, Any]:
    plain = {
        "activity_type": "FILL",
        "id": "f1",
        "transaction_time": AT,
        "order_id": "ours",
        "symbol": "AAA",
        "side": "buy",
        "qty": "3",
        "price": "10.005",
    }
    return {**plain, **fields}


def other(kind: str, **fields: Any) -> dict[str, Any]:
    plain = {"activity_type": kind, "id": kind.lower(), "date": "2024-01-02", "net_amount": "0", "description": "words"}
    return {**plain, **fields}


def test_fill_of_ours_carries_strategy_reason_and_session() -> None:
    (booked,) = parse_history([fill()], order_of).fills
    assert (booked.client_order_id, booked.strategy, booked.reason) == ("tp-1", "momentum", OrderReason.ENTRY)
    assert (booked.quantity, booked.price, booked.amount, booked.fees) == (3.0, 10.005, 30.02, 0.0)
    assert booked.session.isoformat() == "2024-01-02"
    assert booked.fill_id == "f1"


def test_fill_of_another_order_is_foreign() -> None:
    history = parse_history([fill(order_id="someone", side="sell_short")], order_of)
    assert history.fills == ()
    assert [(f.broker_order_id, f.side, f.amount) for f in history.foreign] == [("someone", Side.SELL, 30.02)]


def test_fee_of_a_named_fill_is_its_fee() -> None:
    history = parse_history([fill(), other("FEE", net_amount="-0.02", group_id="f1")], order_of)
    assert history.fills[0].fees == 0.02
    assert history.cash == ()


def test_fee_of_an_execution_that_cannot_be_read_waits_with_it() -> None:
    torn = fill() | {"transaction_time": "yesterday"}
    history = parse_history([torn, other("FEE", net_amount="-0.02", group_id="f1")], order_of)
    assert history.cash == ()
    assert len(history.unreadable) == 2
    assert len(parse_history([other("FEE", net_amount="-0.02", group_id="f1")], order_of).cash) == 1


def test_entry_of_an_unknown_type_moves_nothing_and_says_what_it_would_have() -> None:
    history = parse_history([other("NEW TYPE", net_amount="-1.5", symbol="AAA", qty="10")], order_of)
    assert (history.cash, history.shares) == ((), ())
    assert [(thing.ticker, thing.dollars) for thing in history.unreadable] == [("AAA", -1.5)]


@pytest.mark.parametrize(
    ("kind", "amount", "expected"),
    [
        ("CSD", "100", CashKind.DEPOSIT),
        ("CSW", "-50", CashKind.WITHDRAWAL),
        ("JNLC", "-50", CashKind.WITHDRAWAL),
        ("JNLC", "50", CashKind.DEPOSIT),
        ("FEE", "-0.02", CashKind.FEE),
        ("DIV", "1.5", CashKind.DIVIDEND),
        ("DIVNRA", "-0.2", CashKind.DIVIDEND),
        ("INT", "0.3", CashKind.INTEREST),
        ("PTR", "0.01", CashKind.FEE),
        ("OPCSH", "12", CashKind.DEPOSIT),
        ("MISC", "-1", CashKind.OTHER),
    ],
)
def test_money_is_sorted_by_why_it_moved(kind: str, amount: str, expected: CashKind) -> None:
    (flow,) = parse_history([other(kind, net_amount=amount, symbol="AAA", qty="10")], order_of).cash
    assert (flow.kind, flow.amount, flow.ticker) == (expected, float(amount), "AAA")
    assert flow.at == datetime(2024, 1, 2, 5, tzinfo=UTC)


def test_dividend_moves_money_and_not_the_shares_it_was_paid_on() -> None:
    history = parse_history([other("DIV", net_amount="1.5", symbol="AAA", qty="10")], order_of)
    assert history.shares == ()


def test_split_moves_shares() -> None:
    (change,) = parse_history([other("SPLIT", symbol="AAA", qty="10")], order_of).shares
    assert (change.ticker, change.quantity, change.is_split, change.change_id) == ("AAA", 10.0, True, "split/shares")


def test_merger_may_move_both_and_both_are_kept_apart() -> None:
    history = parse_history([other("MA", net_amount="500", symbol="AAA", qty="-10")], order_of)
    assert [flow.flow_id for flow in history.cash] == ["ma"]
    assert [(c.change_id, c.quantity, c.is_split) for c in history.shares] == [("ma/shares", -10.0, False)]


def test_entry_without_money_or_shares_changes_nothing() -> None:
    history = parse_history([other("NC", symbol="AAA")], order_of)
    assert (history.cash, history.shares) == ((), ())


def test_creation_time_wins_over_the_date() -> None:
    (flow,) = parse_history([other("CSD", net_amount="1", created_at="2024-01-02T14:00:00Z")], order_of).cash
    assert flow.at == datetime(2024, 1, 2, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "broken",
    [
        fill(transaction_time=None),
        fill(qty="NaN"),
        fill(side="sell_to_forget"),
        {"activity_type": "CSD", "net_amount": "?"},
        {"activity_type": "CSD", "net_amount": "5", "status": "weird"},
        {"activity_type": "NC", "symbol": "AAA", "qty": "-10", "status": "canceled"},
    ],
)
def test_entry_that_cannot_be_read_is_named_and_the_rest_is_sorted(broken: dict[str, Any]) -> None:
    history = parse_history([broken, fill(id="f2")], order_of)
    assert [booked.fill_id for booked in history.fills] == ["f2"]
    assert (history.foreign, history.cash) == ((), ())
    (thing,) = history.unreadable
    assert "cannot be read" in thing.text
    assert thing.ticker == broken.get("symbol")


def test_stock_dividend_moves_shares_like_a_split() -> None:
    rows = [other("DIV", symbol="AAA", qty="1", activity_sub_type="SDIV")]
    (change,) = parse_history(rows, order_of).shares
    assert (change.quantity, change.is_split) == (1.0, True)
    paid = [other("DIV", symbol="AAA", qty="2", activity_sub_type="SDIV", net_amount="1.02")]
    assert parse_history(paid, order_of).shares == ()  # the shares that money was paid on


def test_pending_entry_has_not_happened() -> None:
    assert parse_history([other("CSD", net_amount="5", status="pending")], order_of).cash == ()


def test_cancelled_entry_tells_what_takes_it_back() -> None:
    history = parse_history([other("DIV", symbol="AAA", qty="10", net_amount="7", status="canceled")], order_of)
    assert history.cash == ()
    ((entry_id, flow),) = history.undone
    assert isinstance(flow, CashFlow)
    assert (entry_id, flow) == ("div", CashFlow("div/undone", CashKind.DIVIDEND, -7.0, flow.at, "AAA", "DIV words"))
    split = [other("SPLIT", symbol="AAA", qty="10", status="canceled")]
    ((entry_id, change),) = parse_history(split, order_of).undone
    assert isinstance(change, ShareChange)
    assert (entry_id, change.change_id, change.quantity) == ("split/shares", "split/shares/undone", -10.0)


@pytest.mark.parametrize(
    ("symbol", "side", "amount"),
    [("AAPL250117C00190000", "buy", -300.15), ("AAPL250117C00190000", "sell", 300.15), ("BTC/USD", "buy", -3.0)],
)
def test_deal_of_the_owner_in_something_else_is_his_money(symbol: str, side: str, amount: float) -> None:
    price = "1.0005" if "/" not in symbol else "1"
    history = parse_history([fill(order_id="his", symbol=symbol, side=side, price=price)], order_of)
    assert history.foreign == ()
    (flow,) = history.cash
    assert (flow.kind, flow.amount) == (CashKind.DEPOSIT if amount > 0.0 else CashKind.WITHDRAWAL, amount)


def test_assigned_option_trades_shares_by_hand() -> None:
    rows = [
        other("OPASN", symbol="AAA250117C00190000", qty="-1"),
        other("OPTRD", symbol="AAA", qty="-100", net_amount="19000"),
    ]
    history = parse_history(rows, order_of)
    assert [(f.side, f.quantity, f.price, f.amount) for f in history.foreign] == [(Side.SELL, 100.0, 190.0, 19000.0)]
    assert (history.cash, history.shares) == ((), ())
