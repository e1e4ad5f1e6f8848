"""Broker's answers that make no sense are not believed; true ones that look wild are."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.sense import NO_DOUBTS, believed, doubts_of
from trading_platform.brokers.reconciliation.two_books import (
    AccountHistory,
    CashFlow,
    CashKind,
    OurBook,
    OurPosition,
    ShareChange,
    TheirBook,
)
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, BrokerPosition, JournalOrder
from trading_platform.core.types import Fill, OrderStatus, Side

NOW = datetime(2024, 1, 3, 15, 0, tzinfo=UTC)
MARKS = {"AAA": 100.0}


def fill(quantity: float = 5.0, price: float = 100.0, ticker: str = "AAA") -> Fill:
    return Fill(
        "tp-1",
        ticker,
        Side.BUY,
        quantity,
        price,
        500.0,
        0.0,
        NOW,
        date(2024, 1, 3),
        "momentum",
        OrderReason.ENTRY,
        "f1",
    )


def row() -> JournalOrder:
    return JournalOrder(
        "tp-1",
        "b-1",
        "AAA",
        Side.BUY,
        10.0,
        0.0,
        OrderStatus.SUBMITTED,
        "momentum",
        OrderReason.ENTRY,
        NOW,
        90.0,
        None,
        102.0,
    )


def order(quantity: float = 10.0, filled: float = 0.0, status: OrderStatus = OrderStatus.SUBMITTED) -> BrokerOrder:
    return BrokerOrder("tp-1", "b-1", "AAA", Side.BUY, quantity, filled, None, status, 102.0, None, NOW)


def ours() -> OurBook:
    positions = {"AAA": OurPosition("AAA", 10.0, "momentum"), "BBB": OurPosition("BBB", 4.0, "momentum")}
    return OurBook(9_000.0, positions, {"tp-1": row()})


def theirs(**changes: object) -> TheirBook:
    held = {"AAA": BrokerPosition("AAA", 10.0, 99.0, None), "BBB": BrokerPosition("BBB", 4.0, 50.0, None)}
    return replace(TheirBook(9_000.0, held, (order(),)), **changes)  # type: ignore[arg-type] # by name


def with_fill(**fields: float) -> TheirBook:
    return theirs(history=AccountHistory(fills=(fill(**fields),)))  # type: ignore[arg-type] # numbers only


NONSENSE = {
    "a negative fill": with_fill(quantity=-5.0),
    "a fill of nothing": with_fill(quantity=0.0),
    "a fill of NaN": with_fill(quantity=math.nan),
    "an absurd price": with_fill(price=1e30),
    "no price": with_fill(price=math.nan),
    "a price far from the market": with_fill(price=2_001.0 * 1.02),
    "a price of nearly nothing": with_fill(price=4.9),
    "an endless position": theirs(positions={"AAA": BrokerPosition("AAA", math.inf, 99.0, None)}),
    "an absurd position": theirs(positions={"AAA": BrokerPosition("AAA", -1e30, 99.0, None)}),
    "a negative filled quantity": theirs(orders=(order(filled=-5.0),)),
    "more filled than ordered": theirs(orders=(order(filled=11.0),)),
    "a split of NaN shares": theirs(history=AccountHistory(shares=(ShareChange("s", "AAA", math.nan, NOW, True),))),
}
TRUE = {
    "nothing new": theirs(),
    "a 10:1 split": theirs(
        positions={"AAA": BrokerPosition("AAA", 100.0, 9.9, None)},
        history=AccountHistory(shares=(ShareChange("s", "AAA", 90.0, NOW, True),)),
    ),
    "a fill after a 10:1 split that is not marked yet": with_fill(price=10.0),
    "a gap of -60 %": with_fill(price=40.0),
    "a squeeze of +300 %": with_fill(price=400.0),
    "a short": theirs(positions={"CCC": BrokerPosition("CCC", -5.0, 20.0, None)}),
    "an unknown cash": theirs(cash=None),
    "an order in dollars, of no shares": theirs(orders=(order(quantity=0.0, filled=3.5),)),
    "a debt": theirs(cash=-5_000.0),
}


@pytest.mark.parametrize("title", NONSENSE)
def test_nonsense_is_not_believed_of_its_ticker_alone(title: str) -> None:
    doubts = doubts_of(NONSENSE[title], ours(), MARKS)
    assert list(doubts.tickers) == ["AAA"]
    assert doubts.cash == ""


@pytest.mark.parametrize("title", TRUE)
def test_what_is_true_is_believed_at_once(title: str) -> None:
    assert doubts_of(TRUE[title], ours(), MARKS) == NO_DOUBTS
    assert believed(TRUE[title], ours(), {}, NO_DOUBTS) is TRUE[title]


def test_a_fill_that_is_booked_is_not_judged_again() -> None:
    assert not doubts_of(with_fill(price=1e30), replace(ours(), booked=frozenset({"f1"})), MARKS).any


@pytest.mark.parametrize("cash", [math.inf, -math.inf, math.nan, 1e30])
def test_cash_that_is_no_amount_is_unknown(cash: float) -> None:
    shown = theirs(cash=cash)
    doubts = doubts_of(shown, ours(), MARKS)
    assert believed(shown, ours(), {}, doubts).cash is None
    assert [line.ticker for line in doubts.differences()] == [None]


def test_an_endless_cash_flow_is_left_out_and_cash_is_unknown() -> None:
    shown = theirs(history=AccountHistory(cash=(CashFlow("c", CashKind.DEPOSIT, math.inf, NOW),)))
    found = believed(shown, ours(), {}, doubts_of(shown, ours(), MARKS))
    assert (found.history.cash, found.cash) == ((), None)


@pytest.mark.parametrize("title", NONSENSE)
def test_where_nothing_is_believed_our_own_state_stands_and_nothing_is_done(title: str) -> None:
    shown, mine = NONSENSE[title], ours()
    shown = replace(shown, positions={**theirs().positions, **shown.positions})
    doubts = doubts_of(shown, mine, MARKS)
    found = believed(shown, mine, {"AAA": 10.0}, doubts)
    assert found.positions["AAA"].quantity == 10.0
    assert found.positions["BBB"].quantity == 4.0
    assert (found.history.fills, found.history.shares) == ((), ())
    first = reconcile(mine, found, NOW, "tp-")
    again = reconcile(mine, found, NOW, "tp-", first.differences)
    assert {line.ticker for line in again.differences} <= {None, "BBB", "AAA"}
    done = [type(action).__name__ for action in again.actions]
    assert not [name for name in done if "Adopt" in name or "Book" in name]
