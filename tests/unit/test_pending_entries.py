"""Entries that may still fill keep their slots and take what their orders say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ledger import Record, Records
from trading_platform.core.ports import JournalOrder
from trading_platform.core.simulate import open_books
from trading_platform.core.types import OrderReason, OrderStatus, Side

TICKERS, STRATEGIES = ("AAA", "BBB", "CCC"), ("momentum", "breakout")
AT = datetime(2024, 1, 2, 21, 0, tzinfo=UTC)


def two_slots() -> tuple[Records, PendingEntries]:
    slots = open_books(1, 2, 10_000.0).slots[0]
    return slots, PendingEntries(slots, TICKERS, STRATEGIES)


def order(ticker: str, quantity: float = 10.0, filled: float = 0.0, limit: float = 101.0) -> JournalOrder:
    return JournalOrder(
        f"tp-{ticker}", "b-1", ticker, Side.BUY, quantity, filled, OrderStatus.SUBMITTED, "breakout",
        OrderReason.ENTRY, AT, 95.0, None, limit,
    )  # fmt: skip


def pending(slot: Record) -> tuple[float, ...]:
    return tuple(float(slot[name]) for name in ("ticker", "strategy", "quantity", "pending", "stop", "target"))


def test_a_reserved_entry_has_its_slot_and_prices() -> None:
    slots, entries = two_slots()
    assert entries.slot_of("BBB") == -1
    assert entries.reserve("BBB", "breakout", 10.0, 101.0, 95.0, None) == entries.slot_of("BBB") == 0
    assert pending(slots[0]) == (1.0, 1.0, 0.0, 10.0, 95.0, 0.0)


def test_entries_become_those_that_the_orders_say_each_in_its_slot() -> None:
    slots, entries = two_slots()
    entries.reserve("AAA", "momentum", 10.0, 101.0, 95.0, 110.0)
    entries.reserve("BBB", "breakout", 10.0, 101.0, 95.0, None)
    entries.match({"BBB": order("BBB", 8.0, 3.0), "CCC": order("CCC")})
    assert entries.slot_of("AAA") == -1  # its order has ended
    assert (entries.slot_of("BBB"), entries.slot_of("CCC")) == (1, 0)
    assert [float(slot["pending"]) for slot in slots] == [10.0, 5.0]


def test_a_position_stays_when_its_entry_has_ended() -> None:
    slots, entries = two_slots()
    s = entries.reserve("AAA", "momentum", 10.0, 101.0, 95.0, 110.0)
    slots[s]["quantity"] = 4.0
    entries.match({"AAA": order("AAA", 10.0, 4.0)})
    assert float(slots[s]["pending"]) == 6.0
    entries.match({})
    assert (entries.slot_of("AAA"), float(slots[s]["quantity"]), float(slots[s]["pending"])) == (s, 4.0, 0.0)


def test_an_order_outside_the_universe_reserves_nothing_by_matching() -> None:
    slots, entries = two_slots()
    entries.match({"ZZZ": order("ZZZ")})
    assert (slots["ticker"] < 0).all()


def test_an_entry_without_a_place_needs_the_operator() -> None:
    _, entries = two_slots()
    with pytest.raises(OperatorNeededError, match="the universe lacks it"):
        entries.reserve("ZZZ", "momentum", 1.0, 10.0, None, None)
    for ticker in ("AAA", "BBB"):
        entries.reserve(ticker, "momentum", 1.0, 10.0, None, None)
    with pytest.raises(OperatorNeededError, match="all 2 positions of max_positions are taken"):
        entries.reserve("CCC", "momentum", 1.0, 10.0, None, None)
