"""Books as text: exact to the last bit, readable with fields that came later, and those of the first version too.

The first version had one strategy a position and wrote records as bare rows. Its texts below are as it wrote them: an
idle book, one with an entry that waits and an exit that was filled in part, and a halted one.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.first_version import ENTRY_DAY, POSITION, SESSION, WAITING, first_account, first_slot, first_text
from tests.lot_world import assert_book_adds_up
from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.venue import PendingOrder
from trading_platform.core.booking import LONG_AGO
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import RepairDatabaseError
from trading_platform.core.ports import SavedBook
from trading_platform.core.reasons import SIGNAL_EXIT
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.risk.memory import RiskMemoryError, book_from_json, checksum, decode
from trading_platform.core.saved_books import (
    FIRST_ACCOUNT,
    FIRST_SLOT,
    BadBookError,
    account_text,
    owners_in,
    read_account,
    read_slots,
    renumbered,
    slots_text,
)
from trading_platform.core.session import Rules
from trading_platform.core.simulate import Books, open_books
from trading_platform.core.types import Side

RULES = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
NAMES, TICKERS = ("momentum", "breakout"), ("AAA", "BBB", "CCC")


def broker() -> PaperBroker:
    return PaperBroker(RULES, 1.0, TICKERS, NAMES, RiskManager())


def test_rows_are_those_of_the_first_version() -> None:
    assert len(FIRST_ACCOUNT) == 28
    assert len(FIRST_SLOT) == 19


def test_idle_book_of_the_first_version_goes_on() -> None:
    paper = broker()
    paper.restore(first_text(first_account(cash=98_765.43, equity=98_765.43, trades=7, wins=4), [], {}), [])
    assert (paper.record["cash"], paper.record["trades"], paper.record["wins"]) == (98_765.43, 7, 4)
    assert (paper.record["interest"], paper.record["day"]) == (0.0, 0)  # its first night earns nothing: it is not known
    assert not paper.slots["quantity"].any()
    assert_book_adds_up(paper.record, paper.slots, paper.lots)


def test_half_filled_book_of_the_first_version_becomes_lots() -> None:
    slots = [
        first_slot(**POSITION, exit_reason=SIGNAL_EXIT),
        first_slot(**WAITING),
        first_slot(**POSITION | {"ticker": 0, "strategy": 0}),
    ]
    account = first_account(cash=93_760.0, equity=100_000.0)
    orders = [
        PendingOrder("tp-exit", "BBB", Side.SELL, 30.0),
        PendingOrder("tp-entry", "CCC", Side.BUY, 25.0),
    ]
    paper = broker()
    paper.restore(first_text(account, slots, {"0": "tp-old", "1": "tp-entry", "2": "tp-older"}), orders)
    assert_book_adds_up(paper.record, paper.slots, paper.lots)
    leaving, waiting, held = paper.slots[0], paper.slots[1], paper.slots[2]
    assert (leaving["owners"], waiting["owners"], held["owners"]) == (2, 1, 1)
    assert (leaving["selling"], waiting["selling"], held["selling"]) == (30.0, 0.0, 0.0)
    assert (leaving["pending"], waiting["pending"], held["pending"]) == (0.0, 25.0, 0.0)
    lot = paper.lots[0, 1]
    assert {name: lot[name] for name in ("quantity", "delta", "bought", "bought_amount", "sold_amount", "fees")} == {
        "quantity": 30.0,
        "delta": -30.0,
        "bought": 50.0,
        "bought_amount": 5_000.0,
        "sold_amount": 2_060.0,
        "fees": 0.07,
    }
    assert (lot["stop"], lot["target"], lot["cost"], lot["dividends"]) == (90.0, 120.0, 3_000.0, 12.5)
    assert (lot["entry_day"], leaving["held"] - lot["since"], lot["exit_reason"]) == (ENTRY_DAY, 9, SIGNAL_EXIT)
    assert (waiting["stop"], waiting["target"]) == (45.0, 60.0)
    assert [TICKERS[slot["ticker"]] for slot in paper.slots if slot["quantity"] > 0.0] == ["BBB", "AAA"]


def test_book_that_was_upgraded_is_saved_and_read_as_a_new_one() -> None:
    first, second = broker(), broker()
    first.restore(first_text(first_account(), [first_slot(**POSITION)], {"0": "tp-old"}), [])
    second.restore(first.snapshot(SESSION), [])
    for mine, theirs in zip(second.book, first.book, strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_book_of_the_first_version_is_numbered_anew_by_the_names_of_its_strategies() -> None:
    held = first_text(first_account(), [first_slot(**POSITION)], {"0": "tp-old"})
    assert owners_in(held.slots, NAMES) == {"breakout"}
    paper, slots = (
        PaperBroker(RULES, 1.0, TICKERS, ("breakout", "winners"), RiskManager()),
        (renumbered(held.slots, NAMES, ("breakout", "winners"))),
    )
    paper.restore(SavedBook(SESSION, held.account, slots, checksum(held.account + slots)), [])
    assert [int(owners) for owners in paper.slots["owners"][:2]] == [1, 0]
    assert paper.lots[0, 0]["quantity"] == 30.0
    assert owners_in(first_text(first_account(), [], {}).slots, NAMES) == frozenset()


def test_owner_that_is_gone_cannot_be_numbered() -> None:
    paper = broker()
    paper.restore(first_text(first_account(), [first_slot(**POSITION)], {"0": "tp-old"}), [])
    with pytest.raises(KeyError):
        renumbered(paper.snapshot(SESSION).slots, NAMES, ("momentum",))


def second_memory(**changed: Any) -> str:
    """Return a risk memory of version 2, halted, with the first version's book at the halt."""
    account = dict(zip(FIRST_ACCOUNT, first_account(halted=1, halts=1, accepted_equity=89_000.0), strict=True))
    book = {
        "account": first_account(accepted_equity=89_000.0, cash=85_880.0),
        "slots": [first_slot(**POSITION), *(first_slot() for _ in range(9))],
    }
    payload = {
        "saved_at": "2026-11-20T21:00:00+00:00",
        "clock": 5_000.0,
        "config_fingerprint": "41356a031d6dfc7b",
        "account": account,
        "manual_halt": None,
        "manual_halt_since": None,
        "fault": None,
        "fault_since": None,
        "halted_since": "2026-11-19",
        "halt_session": "2026-11-19",
        "halt_book": json.dumps(book),
        "daily_since": None,
        "pause_since": None,
        "session": "2026-11-20",
        "release_session": "2026-11-19",
        "evidence": None,
        **changed,
    }
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return json.dumps({"version": 2, "checksum": checksum(text), "payload": text})


def test_halted_memory_of_the_second_version_keeps_its_halt_and_its_shadow() -> None:
    memory = decode(second_memory())
    assert (memory.account["halted"], memory.halted_since) == (1, "2026-11-19")
    assert memory.halt_book is not None
    books = open_books(1, 10, 2, 3, 0.0)
    book_from_json(memory.halt_book, books)
    assert books.accounts[0]["cash"] == 85_880.0
    assert books.slots[0, 0]["quantity"] == books.lots[0, 0, 1]["quantity"] == 30.0
    assert books.slots[0, 0]["owners"] == 2
    assert books.slots[0, 0]["stop"] == 90.0


def test_memory_without_a_number_of_its_time_is_refused() -> None:
    account = dict(zip(FIRST_ACCOUNT, first_account(), strict=True))
    del account["peak_equity"]
    with pytest.raises(RiskMemoryError, match="peak_equity"):
        decode(second_memory(account=account))


# ---------------------------------------------------------------- texts of today


def filled() -> Books:
    """Return a book with odd numbers in every corner."""
    books = open_books(1, 2, 3, 4, 1.0 / 3.0)
    slot, lot = books.slots[0, 1], books.lots[0, 1, 2]
    slot["ticker"], slot["owners"], slot["quantity"], slot["price"] = 3, 4, 0.1 + 0.2, math.pi
    lot["quantity"], lot["wish"], lot["stop"] = 0.1 + 0.2, 1.0 / 7.0, 5e-324
    books.accounts["equity"], books.accounts["pause_until"] = math.nan, math.inf
    books.stopped[0, 2] = 20_000
    return books


def test_book_comes_back_to_the_last_bit() -> None:
    books, back = filled(), open_books(1, 2, 3, 4, 0.0)
    back.accounts[:] = read_account(account_text(books.accounts))
    beside = read_slots(
        slots_text(books.slots[0], books.lots[0], books.stopped[0], entries={"1": "tp"}),
        back.slots[0],
        back.lots[0],
        back.stopped[0],
    )
    assert beside["entries"] == {"1": "tp"}
    for name in ("accounts", "slots", "lots", "stopped"):
        assert getattr(back, name).tobytes() == getattr(books, name).tobytes(), name


def test_text_is_strict_json() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    books = filled()
    json.loads(account_text(books.accounts), parse_constant=refuse)
    json.loads(slots_text(books.slots[0], books.lots[0], books.stopped[0]), parse_constant=refuse)


def test_field_that_came_later_starts_at_nothing_and_one_that_went_is_passed_over() -> None:
    outer = json.loads(account_text(filled().accounts))
    at = outer["names"].index("interest")
    outer["names"][at] = "went_away"
    outer["rows"][0][at] = 77.0
    account = read_account(json.dumps(outer))
    assert account["interest"][0] == 0.0
    assert account["cash"][0] == 0.33


def test_reading_forgets_what_was_there() -> None:
    books, other = open_books(1, 2, 3, 4, 0.0), filled()
    read_slots(
        slots_text(books.slots[0], books.lots[0], books.stopped[0]), other.slots[0], other.lots[0], other.stopped[0]
    )
    assert (other.slots["ticker"] == -1).all()
    assert not other.lots.view(np.int64).any()
    assert (other.stopped == LONG_AGO).all()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"slots": 3}', '{"slots": [[1]]}', '{"slots": {"names": ["x"]}}'])
def test_text_that_is_no_book_is_refused(text: str) -> None:
    books = filled()
    with pytest.raises(BadBookError):
        read_slots(text, books.slots[0], books.lots[0], books.stopped[0])


def test_damaged_book_of_the_paper_broker_needs_repair() -> None:
    saved = first_text(first_account(), [], {})
    with pytest.raises(RepairDatabaseError, match="checksum"):
        broker().restore(SavedBook(SESSION, saved.account, saved.slots, "0"), [])
    worse = saved.slots.replace("[-1,", '["x",', 1)
    with pytest.raises(RepairDatabaseError, match="paper_books"):
        broker().restore(SavedBook(SESSION, saved.account, worse, checksum(saved.account + worse)), [])


def test_more_positions_than_slots_need_the_limits_of_the_run() -> None:
    many = [first_slot(**POSITION | {"ticker": n % 3}) for n in range(10)]
    few = PaperBroker(RULES._replace(limits=RULES.limits._replace(max_positions=3)), 1.0, TICKERS, NAMES, RiskManager())
    with pytest.raises(
        RepairDatabaseError, match="10 slots, the configuration allows 5; use the risk limits of the run"
    ):
        few.restore(first_text(first_account(), many, {}), [])
