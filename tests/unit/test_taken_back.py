"""A corporate action that is cancelled: the book is what it would be without it, whatever else has happened since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from risk_config import RiskConfig
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.executions import Opens
from trading_platform.brokers.reconciliation.two_books import (
    CashFlow,
    CashKind,
    Exchange,
    ExchangeKind,
    ShareChange,
    UndoneAction,
    back_of,
)
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import JournalOrder
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import Fill, LotOrder, OrderStatus, Side

AT, SESSION = datetime(2024, 1, 3, 14, 30, tzinfo=UTC), date(2024, 1, 3)
TICKERS, STRATEGIES = ("AAA", "NEW", "OTHER"), ("one", "two")
MERGER = Exchange("m/shares", ExchangeKind.MERGER, "AAA", 10.0, "NEW", 3.0, 177.77, AT)


def book_of(max_positions: int = 3) -> AccountBook:
    """Return a book in which 6 AAA are of one strategy and 4 of another, bought at 50.01, with stops of their own."""
    rules = Rules(
        limits_of(RiskConfig(max_positions=max_positions).to_dict()), ExitConfig().rates(), CostConfig().rates()
    )
    book = AccountBook(rules, 10_000.0, TICKERS, STRATEGIES)
    parts = (
        LotOrder("one", 6.0, 45.0, 90.0, OrderReason.ENTRY),
        LotOrder("two", 4.0, 44.0, 95.0, OrderReason.ENTRY),
    )
    buy(book, "AAA", 10.0, 50.01, parts)
    return book


def buy(book: AccountBook, ticker: str, quantity: float, price: float, parts: tuple[LotOrder, ...]) -> None:
    order = JournalOrder(
        f"tp-{ticker}",
        "b",
        ticker,
        Side.BUY,
        quantity,
        0.0,
        OrderStatus.FILLED,
        "one",
        OrderReason.ENTRY,
        AT,
        45.0,
        90.0,
        price,
        parts,
    )
    amount = round(quantity * price, 2)
    fill = Fill(
        order.client_order_id, ticker, Side.BUY, quantity, price, amount, 0.0, AT, SESSION, "one", OrderReason.ENTRY
    )
    book.book_fill(fill, order)


def state(book: AccountBook) -> dict[str, object]:
    """Return everything that counts: cash, profit, and each strategy's shares, basis and levels by ticker."""
    found: dict[str, object] = {name: float(book.record[name]) for name in ("cash", "realized_pnl", "cash_flow")}
    for s, slot in enumerate(book.slots):
        if slot["quantity"] > 0.0:
            names = ("quantity", "cost", "stop", "target", "bought_amount", "sold_amount", "dividends")
            lots = [tuple(float(lot[name]) for name in names) for lot in book.lots[s]]
            found[TICKERS[slot["ticker"]]] = (float(slot["quantity"]), float(slot["cost"]), float(slot["stop"]), lots)
    return found


def undo(book: AccountBook, action_id: str) -> None:
    back = book.undoable()[action_id]
    assert back is not None
    book.book_undone(replace(back, at=AT))


def test_merger_that_is_taken_back_leaves_every_lot_as_it_was() -> None:
    book = book_of()
    before = state(book)
    book.book_exchange(MERGER)
    assert state(book) != before
    assert book.quantity("NEW") == 3.0
    undo(book, "m/shares")
    assert state(book) == before


def test_what_has_happened_since_stays() -> None:
    """A dividend is paid on the new shares, and a stop has been raised: the money stays, the level goes along."""
    book = book_of()
    cash = float(book.record["cash"])
    book.book_exchange(MERGER)
    s = book.slot_of("NEW")
    made = [float(lot["stop"]) for lot in book.lots[s]]
    book.lots[s, 0]["stop"] = made[0] * 1.1
    book.book_cash(CashFlow("d", CashKind.DIVIDEND, 3.0, AT, "NEW"))
    undo(book, "m/shares")
    lots = book.lots[book.slot_of("AAA")]
    assert [float(lot["stop"]) for lot in lots] == [49.5, 44.0]  # 45 x 1.1
    assert float(book.record["cash"]) == cash + 3.0
    assert [float(lot["cost"]) for lot in lots] == [300.06, 200.04]


def test_spin_off_that_is_taken_back_gives_the_parent_its_basis_again() -> None:
    book = book_of()
    before = state(book)
    book.book_exchange(Exchange("s/shares", ExchangeKind.SPIN_OFF, "AAA", 0.0, "NEW", 2.0, 0.0, AT))
    book.rebook(Opens(SESSION, AT, np.array([40.0, 50.0, np.nan])))
    assert book.lots[book.slot_of("AAA")]["cost"].sum() < 500.1
    undo(book, "s/shares")
    assert state(book) == before


def test_removal_that_is_taken_back_is_no_sale_at_all_on_the_same_day() -> None:
    book = book_of()
    before = state(book)
    book.take_news()
    paid = CashFlow("r", CashKind.OTHER, 12.34, AT, "AAA")
    book.book_cash_out(ShareChange("r/shares", "AAA", -10.0, AT, is_split=False), paid)
    assert len(book.news.fills) == 2
    undo(book, "r")
    assert (state(book), book.news.fills) == (before, [])


def test_removal_that_is_taken_back_later_is_told_back_strategy_by_strategy() -> None:
    book = book_of()
    before = state(book)
    paid = CashFlow("r", CashKind.OTHER, 12.34, AT, "AAA")
    book.book_cash_out(ShareChange("r/shares", "AAA", -10.0, AT, is_split=False), paid)
    told, flows = book.take_news()
    undo(book, "r")
    assert state(book) == before
    back, flows_back = book.take_news()
    sales = {(f.strategy, f.quantity, f.amount, profit) for f, profit, _ in told.fills if f.side is Side.SELL}
    assert {(f.strategy, f.quantity, f.amount, -profit) for f, profit, _ in back.fills} == sales
    assert {f.side for f, _, _ in back.fills} == {Side.BUY}
    assert flows.realized == -flows_back.realized == round(12.34 - 500.1, 2)


@pytest.mark.parametrize("reason", ["sold", "no place"])
def test_action_is_not_taken_back_when_it_is_too_late(reason: str) -> None:
    book = book_of(max_positions=1)
    paid = CashFlow("r", CashKind.OTHER, 12.34, AT, "AAA")
    if reason == "sold":
        book.book_exchange(MERGER)
        book.book_fill(sale_of("NEW", 2.0), None)
    else:
        book.book_cash_out(ShareChange("r/shares", "AAA", -10.0, AT, is_split=False), paid)
        for n, s in enumerate(range(len(book.slots))):
            book.slots[s]["ticker"] = 1 + n % 2
    assert set(book.undoable().values()) == {None}


def sale_of(ticker: str, quantity: float) -> Fill:
    return Fill(
        "tp-x", ticker, Side.SELL, quantity, 60.0, 60.0 * quantity, 0.0, AT, SESSION, "one", OrderReason.SIGNAL_EXIT
    )


def test_actions_are_forgotten_when_history_tells_them_no_more() -> None:
    book = book_of()
    book.book_exchange(MERGER)
    book.forget_actions({"m/shares"})
    assert book.undoable().keys() == {"m/shares"}
    book.forget_actions(set())
    undoable: Mapping[str, UndoneAction | None] = book.undoable()
    assert undoable == {}


def test_what_takes_an_action_back_is_its_opposite() -> None:
    assert back_of(MERGER) == UndoneAction("m/shares", (("AAA", 10.0), ("NEW", -3.0)), -177.77, AT)
