"""Durable memory: what comes back after a restart, and what keeps trading halted until an operator resumes."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta

import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.risk_world import DAY_ONE, NOW, StoryClock, StoryStore, buy, code_of, desk, holding, sell
from trading_platform.core.ledger import ACCOUNT
from trading_platform.core.risk.memory import (
    VERSION,
    RiskMemoryError,
    book_from_json,
    book_to_json,
    checksum,
    decode,
    encode,
)
from trading_platform.core.simulate import open_books
from trading_platform.core.types import ApprovedOrder, Portfolio, TradeResult

NAN = math.nan
DAY = date(2024, 6, 3)


def again(store: StoryStore, **more: object) -> RiskManager:
    """Restart: a new manager over the same store, shown nothing yet."""
    return RiskManager(store=store, clock=more.pop("clock", None) or StoryClock(), **more)  # type: ignore[arg-type]


def saved(risk: RiskManager, store: StoryStore) -> str:
    risk.save()
    assert store.envelope is not None
    return store.envelope


def test_everything_comes_back_to_the_last_bit() -> None:
    store = StoryStore()
    risk = desk(99_000.0, [holding("T00", 1_000.0)], store=store)
    risk.start_session(DAY)
    for pnl in (7.0, -1.0 / 3.0, -0.1):
        risk.update_state(TradeResult("T00", pnl, 999.99))
    risk.read_equity(88_000.1 + 1.0 / 3.0, NAN, DAY)
    risk.read_equity(88_000.1 + 1.0 / 3.0, NAN, DAY)
    risk.halt("looking", "ann")
    risk.save()
    back = again(store)
    assert back.account == risk.account
    assert back.memory() == risk.memory() or back.memory().clock == 0.0
    assert back.halted
    assert back.halt_session == "2024-06-03"
    assert back.can_trade() == (False, f"MANUAL_HALT: looking (since {NOW.isoformat()})")


def test_memory_is_strict_json_even_when_equity_is_unknown() -> None:
    store = StoryStore()
    risk = desk(store=store)
    risk.read_equity(NAN, NAN, DAY)
    outer = json.loads(saved(risk, store))
    payload = json.loads(outer["payload"], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert payload["account"]["equity"] is None
    back = again(store)
    assert math.isnan(back.account["equity"])
    back.show_portfolio(Portfolio(100_000.0))
    assert back.account["accepted_equity"] == 100_000.0


def test_the_fields_that_reports_read_keep_their_names() -> None:
    payload = json.loads(json.loads(encode(desk().memory()))["payload"])
    assert set(payload) == {
        "saved_at",
        "clock",
        "config_fingerprint",
        "account",
        "manual_halt",
        "manual_halt_since",
        "fault",
        "fault_since",
        "halted_since",
        "halt_session",
        "halt_book",
        "daily_since",
        "pause_since",
        "session",
        "release_session",
        "evidence",
    }
    assert set(payload["account"]) == set(ACCOUNT.names or ())


def test_a_halt_a_pause_and_a_day_survive_a_restart() -> None:
    store, clock = StoryStore(), StoryClock()
    risk = desk(store=store, clock=clock)
    risk.start_session(DAY)
    for _ in range(3):
        risk.update_state(TradeResult("T00", -1.0, 1_000.0))
    risk.read_equity(97_000.0, NAN, DAY)
    risk.read_equity(97_000.0, NAN, DAY)
    risk.save()
    clock.forward(hours=1)
    back = desk(97_000.0, store=store, clock=clock)
    back.start_session(DAY)  # the engine starts again in the same session
    report = back.get_risk_report()
    assert [halt["kind"] for halt in report["halts"]] == ["daily_loss", "pause"]
    assert report["circuit_breaker"]["pause_hours_left"] == 4.0
    assert report["daily_loss_pct"] == pytest.approx(3.0)


def test_the_book_at_the_halt_comes_back_for_the_shadow() -> None:
    store = StoryStore()
    risk = desk(96_000.0, [holding("T00", 4_000.0)], store=store, config=RiskConfig(max_daily_loss_pct=50.0))
    risk.show_portfolio(Portfolio(85_000.0, (holding("T00", 4_000.0),)))
    risk.show_portfolio(Portfolio(85_000.0, (holding("T00", 4_000.0),)))
    assert risk.halted
    risk.save()
    risk.show_portfolio(Portfolio(89_000.0))
    back = again(store)
    back.restore_halt_book()
    assert back.account["cash"] == 85_000.0
    assert back.slots["quantity"].tolist() == [40.0] + [0.0] * 11


# ---------------------------------------------------------------- faults


def fault(envelope: str | None, *, trades: bool = True, clock: StoryClock | None = None) -> str:
    """Return the reason of the halt that starting over `envelope` gives; see that it lasts until resumed."""
    store = StoryStore(envelope, trades=trades)
    risk = desk(99_000.0, [holding("T00", 1_000.0)], store=store, clock=clock)
    assert code_of(risk.can_trade()) == "RISK_STATE_INVALID"
    assert isinstance(risk.approve(sell("T00", 10.0)), ApprovedOrder)
    risk.save()
    second = desk(store=store, clock=clock)
    assert code_of(second.can_trade()) == "RISK_STATE_INVALID"
    second.resume("looked at it", "ann")
    second.save()
    third = desk(store=store, clock=clock)
    assert third.can_trade() == (True, "OK")
    return risk.can_trade()[1]


def envelope_of(risk: RiskManager) -> str:
    return encode(risk.memory())


def test_missing_memory_beside_trades_halts() -> None:
    assert "missing" in fault(None)


def test_missing_memory_of_an_account_that_never_traded_is_a_first_start() -> None:
    assert desk(store=StoryStore()).can_trade() == (True, "OK")


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_truncated_memory_halts(cut: int) -> None:
    assert "unreadable" in fault(envelope_of(desk())[:cut])


@pytest.mark.parametrize("text", ["null", "[]", "{}", "1", '"x"', '{"version": 1}', "[" * 5_000])
def test_memory_that_is_something_else_halts(text: str) -> None:
    assert "unreadable" in fault(text)


def test_memory_of_a_newer_version_halts_and_is_not_overwritten() -> None:
    outer = json.loads(envelope_of(desk()))
    newer = json.dumps({**outer, "version": VERSION + 1})
    assert "upgrade" in fault(newer)
    store = StoryStore(newer)
    risk = desk(store=store)
    risk.save()
    assert store.envelope == newer
    with pytest.raises(ValueError, match="reason"):
        risk.resume("", "ann")
    risk.save()
    assert store.envelope == newer
    risk.resume("starting over", "ann")
    risk.save()
    assert store.envelope != newer


def test_a_loss_after_a_damaged_start_outlives_the_next_one_and_the_evidence_is_kept() -> None:
    damaged = envelope_of(desk())[:-3]
    store = StoryStore(damaged)
    risk = desk(store=store)
    for _ in range(2):
        risk.read_equity(97_000.0, NAN, DAY)
    risk.save()
    assert decode(store.envelope or "").evidence == damaged
    second = desk(97_000.0, store=store)
    second.resume("looked at it", "ann")
    assert code_of(second.can_trade()) == "DAILY_LOSS_LIMIT"
    second.save()
    assert decode(store.envelope or "").evidence is None


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_memory_of_no_version_halts(version: object) -> None:
    outer = json.loads(envelope_of(desk()))
    assert "version" in fault(json.dumps({**outer, "version": version}))


def resealed(**changes: object) -> str:
    """Return an envelope whose payload was changed by someone who can compute a checksum."""
    payload = json.loads(json.loads(envelope_of(desk()))["payload"])
    payload.update(changes)
    text = json.dumps({key: value for key, value in payload.items() if value != "gone"})
    return json.dumps({"version": VERSION, "checksum": checksum(text), "payload": text})


@pytest.mark.parametrize(
    "changes",
    [
        {"session": "gone"},
        {"surprise": 1},
        {"saved_at": "yesterday"},
        {"saved_at": "2024-06-03T14:00:00"},
        {"saved_at": None},
        {"account": {}},
        {"account": None},
        {"account": dict.fromkeys(ACCOUNT.names or (), None)},
        {"account": dict.fromkeys(ACCOUNT.names or (), True)},
        {"account": dict.fromkeys(ACCOUNT.names or (), "1")},
    ],
)
def test_memory_with_wrong_fields_halts(changes: dict[str, object]) -> None:
    assert "look, then resume" in fault(resealed(**changes))


def test_a_clock_that_went_back_halts_but_forgets_nothing() -> None:
    store = StoryStore()
    risk = desk(store=store, config=RiskConfig(max_daily_loss_pct=50.0))
    risk.read_equity(88_000.0, NAN, DAY)
    risk.read_equity(88_000.0, NAN, DAY)
    risk.save()
    early = StoryClock(NOW - timedelta(seconds=1))
    back = desk(88_000.0, store=store, clock=early)
    assert "the clock went back" in back.can_trade()[1]
    assert back.halted
    assert back.account["peak_equity"] == 100_000.0
    assert not desk(88_000.0, store=store, clock=StoryClock(NOW)).can_trade()[1].startswith("RISK_STATE_INVALID")


def test_memory_of_other_limits_is_taken_and_the_new_limits_hold() -> None:
    store = StoryStore()
    risk = desk(store=store, config=RiskConfig(max_daily_loss_pct=50.0))
    risk.read_equity(92_000.0, NAN, DAY)
    risk.save()
    tight = RiskConfig(max_drawdown_pct=6.0, max_daily_loss_pct=50.0)
    back = desk(92_000.0, store=store, config=tight)
    assert code_of(back.can_trade()) == "DRAWDOWN_BREACH"
    assert back.memory().config_fingerprint == tight.fingerprint


def test_the_first_fault_noted_stays() -> None:
    store = StoryStore(None, trades=True)
    clock = StoryClock()
    desk(store=store, clock=clock).save()
    back = desk(store=store, clock=StoryClock(NOW - timedelta(days=1)))
    assert "missing" in back.can_trade()[1]
    assert back.memory().fault_since == NOW.isoformat()


def test_saving_without_a_store_is_nothing() -> None:
    desk().save()


def test_each_save_writes() -> None:
    store = StoryStore()
    risk = desk(store=store)
    risk.save()
    risk.save()
    assert store.saves == 2
    assert decode(store.envelope or "").saved_at == NOW.isoformat()


def test_memory_is_of_now_and_of_the_market_shown() -> None:
    clock = StoryClock()
    risk = desk(clock=clock)
    clock.forward(minutes=5)
    memory = risk.memory()
    assert memory.saved_at == (NOW + timedelta(minutes=5)).isoformat()
    assert memory.clock == 61 * 6.5 * 3600.0
    assert RiskManager(clock=clock).memory().clock == 0.0
    assert RiskManager(clock=clock).memory().session is None
    assert memory.session == "2024-03-02"  # that of the market
    risk.start_session(DAY_ONE)
    assert risk.memory().session == "2024-03-02"
    risk.start_session(DAY)
    assert risk.memory().session == DAY.isoformat()


# ---------------------------------------------------------------- books


def test_a_book_comes_back_exactly() -> None:
    books, other = open_books(1, 3, 2, 4, 1.0 / 3.0), open_books(1, 3, 2, 4, 0.0)
    books.slots[0]["price"] = [0.1, NAN, 1e-300, 0.0, 5.0]
    books.slots[0]["owners"] = [3, 0, 2, 0, 0]
    books.lots[0, 0]["quantity"], books.lots[0, 2, 1]["wish"] = [0.1, NAN], 1.0 / 7.0
    books.stopped[0, 3] = 19_000
    book_from_json(book_to_json(books), other)
    assert other.slots.tobytes() == books.slots.tobytes()
    assert other.lots.tobytes() == books.lots.tobytes()
    assert other.stopped.tobytes() == books.stopped.tobytes()
    assert other.accounts.tobytes() == books.accounts.tobytes()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"account": [1], "slots": []}', '{"account": 5, "slots": 5}'])
def test_a_book_that_is_none_is_refused(text: str) -> None:
    books = open_books(1, 3, 2, 4, 1.0)
    with pytest.raises(RiskMemoryError, match="unreadable"):
        book_from_json(text, books)


def test_a_book_of_other_slots_is_refused() -> None:
    small, large = open_books(1, 2, 2, 4, 1.0), open_books(1, 3, 2, 4, 1.0)
    book_from_json(book_to_json(small), large)  # room for more is no harm
    book_from_json(book_to_json(large), small)  # nor are empty slots too many
    large.slots["ticker"][0, 4] = 1
    with pytest.raises(RiskMemoryError, match="5 slots, the configuration allows 4"):
        book_from_json(book_to_json(large), small)


def test_approving_needs_no_store() -> None:
    assert isinstance(desk().approve(buy()), ApprovedOrder)
