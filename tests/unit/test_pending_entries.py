"""Orders that may still fill keep their slots, and lots ask for what their orders say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ledger import Record
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.plan import Book
from trading_platform.core.ports import JournalOrder
from trading_platform.core.reasons import SIGNAL_EXIT, STOP_LOSS
from trading_platform.core.simulate import SPARE_SLOTS, open_books
from trading_platform.core.types import LotOrder, OrderStatus, Side

TICKERS, STRATEGIES = ("AAA", "BBB", "CCC", "DDD", "EEE"), ("momentum", "breakout")
AT = datetime(2024, 1, 2, 21, 0, tzinfo=UTC)
ENTRY, EXIT = OrderReason.ENTRY, OrderReason.SIGNAL_EXIT


def two_places() -> tuple[Book, PendingEntries]:
    books = open_books(1, 2 - SPARE_SLOTS, 2, len(TICKERS), 10_000.0)
    book = Book(books.accounts, books.slots[0], books.lots[0], books.stopped[0])
    return book, PendingEntries(book, TICKERS, STRATEGIES)


def order(
    ticker: str,
    quantity: float = 10.0,
    filled: float = 0.0,
    limit: float | None = 101.0,
    side: Side = Side.BUY,
    parts: tuple[LotOrder, ...] = (),
) -> JournalOrder:
    reason = ENTRY if side is Side.BUY else EXIT
    stop = 95.0 if side is Side.BUY else None
    return JournalOrder(
        f"tp-{ticker}",
        "b-1",
        ticker,
        side,
        quantity,
        filled,
        OrderStatus.SUBMITTED,
        "breakout",
        reason,
        AT,
        stop,
        None,
        limit,
        parts,
    )


def hold(book: Book, s: int, *quantities: float) -> None:
    """Let what was to be bought in slot `s` have been bought: so many shares by lot."""
    for lot, quantity in zip(book.lots[s], quantities, strict=True):
        lot["quantity"], lot["delta"] = quantity, 0.0
    book.slots[s]["quantity"], book.slots[s]["pending"] = sum(quantities), 0.0


def pending(slot: Record) -> tuple[float, ...]:
    return tuple(float(slot[name]) for name in ("ticker", "strategy", "quantity", "pending", "stop", "target"))


def deltas(book: Book, s: int) -> list[float]:
    found: list[float] = book.lots[s]["delta"].tolist()
    return found


def test_an_entry_without_parts_is_staged_for_the_strategy_that_it_names() -> None:
    book, entries = two_places()
    assert entries.slot_of("BBB") == -1
    assert entries.stage(order("BBB")) == entries.slot_of("BBB") == 0
    assert pending(book.slots[0]) == (1.0, 1.0, 0.0, 10.0, 95.0, 0.0)
    assert deltas(book, 0) == [0.0, 10.0]


def test_an_entry_is_staged_by_its_parts_less_what_has_filled() -> None:
    book, entries = two_places()
    parts = (LotOrder("momentum", 6.0, 90.0, 110.0, ENTRY), LotOrder("breakout", 4.0, 95.0, 120.0, ENTRY))
    s = entries.stage(order("BBB", parts=parts))
    assert deltas(book, s) == [6.0, 4.0]
    assert (float(book.slots[s]["stop"]), float(book.slots[s]["target"])) == (90.0, 120.0)  # the widest of each
    book, entries = two_places()
    entries.stage(order("BBB", filled=7.0, parts=parts))
    assert deltas(book, 0) == [0.0, 3.0]


def test_a_staged_decision_is_left_as_it_is() -> None:
    book, entries = two_places()
    s = entries.stage(order("BBB"))
    book.lots[s, 1]["wish"] = 0.05
    entries.stage(order("BBB"))
    assert float(book.lots[s, 1]["wish"]) == 0.05


def test_entries_become_those_that_the_orders_say_each_in_its_slot() -> None:
    book, entries = two_places()
    for ticker in ("AAA", "BBB"):
        entries.stage(order(ticker))
    entries.match({"BBB": order("BBB", 8.0, 3.0), "CCC": order("CCC")})
    assert entries.slot_of("AAA") == -1  # its order has ended
    assert (entries.slot_of("BBB"), entries.slot_of("CCC")) == (1, 0)
    assert [float(slot["pending"]) for slot in book.slots] == [10.0, 5.0]


def test_a_position_stays_when_its_entry_has_ended() -> None:
    book, entries = two_places()
    s = entries.stage(order("AAA"))
    hold(book, s, 0.0, 4.0)
    entries.match({"AAA": order("AAA", 10.0, 4.0)})
    assert float(book.slots[s]["pending"]) == 6.0
    entries.match({})
    assert (entries.slot_of("AAA"), float(book.slots[s]["quantity"]), float(book.slots[s]["pending"])) == (s, 4.0, 0.0)


def test_what_strategies_sell_to_each_other_outlives_the_order() -> None:
    book, entries = two_places()
    s = entries.stage(order("AAA"))
    hold(book, s, 6.0, 4.0)
    book.slots[s]["owners"] = 3
    parts = (LotOrder("momentum", -6.0, 90.0, 0.0, EXIT), LotOrder("breakout", 10.0, 95.0, 0.0, ENTRY))
    entries.stage(order("AAA", 4.0, parts=parts))
    assert (deltas(book, s), float(book.slots[s]["pending"])) == ([-6.0, 10.0], 4.0)
    entries.match({})
    assert (deltas(book, s), float(book.slots[s]["pending"])) == ([-6.0, 6.0], 0.0)


def test_an_exit_is_staged_by_its_parts_and_stands_when_its_order_has_ended() -> None:
    book, entries = two_places()
    s = entries.stage(order("AAA"))
    book.slots[s]["owners"] = 3
    hold(book, s, 6.0, 4.0)
    parts = (LotOrder("breakout", -4.0, 95.0, 0.0, OrderReason.STOP_LOSS),)
    entries.match({}, [order("AAA", 4.0, side=Side.SELL, limit=None, parts=parts)])
    assert (deltas(book, s), float(book.slots[s]["selling"])) == ([0.0, -4.0], 4.0)
    assert book.lots[s]["exit_reason"].tolist() == [0, STOP_LOSS]
    entries.match({})
    assert float(book.slots[s]["selling"]) == 4.0


def test_an_exit_without_parts_takes_the_lot_of_the_strategy_that_it_names_first() -> None:
    book, entries = two_places()
    s = entries.stage(order("AAA"))
    book.slots[s]["owners"] = 3
    hold(book, s, 6.0, 4.0)
    entries.stage(order("AAA", 7.0, side=Side.SELL, limit=None))
    assert deltas(book, s) == [-3.0, -4.0]
    assert book.lots[s]["exit_reason"].tolist() == [SIGNAL_EXIT, SIGNAL_EXIT]


def test_an_order_outside_the_universe_stages_nothing_by_matching() -> None:
    book, entries = two_places()
    entries.match({"ZZZ": order("ZZZ")})
    assert (book.slots["ticker"] < 0).all()


def test_an_entry_without_a_place_needs_the_operator() -> None:
    _, entries = two_places()
    with pytest.raises(OperatorNeededError, match="the universe lacks it"):
        entries.stage(order("ZZZ"))
    for ticker in ("AAA", "BBB"):
        entries.stage(order(ticker))
    with pytest.raises(OperatorNeededError, match="all 2 places of the book are taken"):
        entries.stage(order("CCC"))
