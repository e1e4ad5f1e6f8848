"""Halts as stories of events, streaks, headroom, and the words for each."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import RiskEventKind
from trading_platform.reporting.alerts import WORDS, halt_line
from trading_platform.reporting.day_view import view_day
from trading_platform.reporting.facts import BrokerSnapshot, Day, Event, Holding, Ledger, RunFacts
from trading_platform.reporting.risk_view import (
    ENDS,
    LASTING,
    PASSING,
    active_halts,
    headroom,
    loss_streak,
    sector_shares,
)

FIRST = date(2024, 3, 4)  # a Monday
NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)
RISK: dict[str, object] = {
    "max_drawdown_pct": 10.0,
    "max_daily_loss_pct": 2.0,
    "max_exposure_pct": 80.0,
    "max_positions": 10,
    "max_position_pct": 5.0,
    "max_sector_pct": 30.0,
    "consecutive_loss_limit": 3,
    "vix_threshold": 25.0,
    "max_correlation": 0.8,
    "recovery_drawdown_pct": 5.0,
    "halt_release": "shadow",
    "pause_hours": 4,
}


def session(number: int) -> date:
    return FIRST + timedelta(days=number)


def booked(number: int, **changes: Any) -> Day:
    close = datetime(2024, 3, 4 + number, 21, tzinfo=UTC)
    day = Day(
        session(number),
        close,
        60_000_00,
        40_000_00,
        100_000_00,
        100_000_00,
        0,
        0,
        0,
        0,
        0,
        100_000_00,
        0.0,
        0.0,
        0.4,
        2,
        False,
        18.0,
        500.0,
        0.0,
    )
    return day._replace(**changes)


def ledger(
    events: list[tuple[int, str]],
    *,
    halted: bool = False,
    risk: dict[str, object] | None = None,
    **more: Any,
) -> Ledger:
    run = RunFacts(
        1,
        "replay",
        "test",
        None,
        "running",
        NOW,
        100_000_00,
        "f",
        "v",
        RISK if risk is None else risk,
        ("m",),
        {"AAA": "Energy", "BBB": "Energy"},
    )
    stored = tuple(
        Event(datetime(2024, 3, 4 + n, 21, tzinfo=UTC), session(n), kind, "CODE", None, None, f"why {kind}", "engine")
        for n, kind in events
    )
    blank: dict[str, Any] = dict.fromkeys(Ledger._fields, ())
    blank |= {
        "run": run,
        "days": (*(booked(n) for n in range(4)), booked(4, halted=halted)),
        "is_latest": True,
        "events": stored,
        "allocation": None,
        "previous_allocation": None,
        "regime": None,
        "denials": {},
        "heartbeat": None,
        "risk_state": None,
    }
    return Ledger(**{**blank, **more})


@pytest.mark.parametrize(
    ("events", "halted", "kinds"),
    [
        ([], False, []),
        ([(1, "halt")], True, ["halt"]),
        ([(1, "halt"), (3, "release")], False, []),
        ([(1, "halt"), (2, "release"), (4, "halt")], True, ["halt"]),
        ([(1, "halt")], False, []),  # the books say that it has ended
        ([], True, ["halt"]),  # the books say halted, and no event explains it
        ([(2, "manual_halt")], False, ["manual_halt"]),
        ([(2, "manual_halt"), (3, "resume")], False, []),
        ([(1, "halt"), (3, "resume")], False, []),
        ([(1, "halt"), (2, "manual_halt"), (3, "release")], False, ["manual_halt"]),
        ([(3, "state_invalid")], False, ["state_invalid"]),
        ([(4, "daily_loss")], False, ["daily_loss"]),
        ([(3, "daily_loss")], False, []),  # ended with the next session
        ([(4, "daily_loss"), (4, "resume")], False, ["daily_loss"]),  # no resume ends a day
        ([(4, "pause")], False, ["pause"]),
        ([(3, "pause")], False, []),  # 4 h of open exchange are over
        ([(4, "pause"), (4, "resume")], False, []),
        ([(4, "breach")], False, ["breach"]),
        ([(3, "breach"), (4, "halt")], True, ["halt"]),
        ([(4, "equity_suspect")], False, ["equity_suspect"]),
        ([(4, "cash_flow"), (4, "flatten")], False, []),
    ],
)
def test_halts_in_force_follow_the_events(events: list[tuple[int, str]], halted: bool, kinds: list[str]) -> None:
    assert [halt.kind for halt in active_halts(ledger(events, halted=halted))] == kinds


def test_pause_lasts_its_hours_of_open_exchange() -> None:
    long = {**RISK, "pause_hours": 14}  # 6.5 h a session: over two of them
    assert [halt.kind for halt in active_halts(ledger([(2, "pause")], risk=long))] == ["pause"]
    assert active_halts(ledger([(1, "pause")], risk=long)) == ()


def test_halt_says_since_when_and_what_ends_it() -> None:
    (halt,) = active_halts(ledger([(1, "halt")], halted=True))
    assert (halt.since, halt.reason) == (session(1), "why halt")
    assert halt_line(halt) == "HALTED since 2024-03-05: why halt; ends when the shadow book recovers to -5 %"


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("shadow", "ends when the shadow book recovers to -5 %"),
        ("equity", "ends when equity recovers to -5 %"),
        ("manual", "ends when an operator resumes"),
    ],
)
def test_release_of_a_drawdown_halt_depends_on_the_settings(release: str, words: str) -> None:
    (halt,) = active_halts(ledger([(1, "halt")], halted=True, risk={**RISK, "halt_release": release}))
    assert halt.release == words


def test_memory_of_the_risk_manager_fills_what_no_event_says() -> None:
    state = {"manual_halt": "going on holiday", "manual_halt_since": "2024-03-06T10:00:00+00:00", "fault": "checksum"}
    halts = active_halts(ledger([], risk_state=state))
    assert [(h.kind, h.since, h.reason) for h in halts] == [
        ("manual_halt", date(2024, 3, 6), "going on holiday"),
        ("state_invalid", None, "checksum"),
    ]


def test_every_kind_of_event_is_known() -> None:
    silent = {"release", "resume", "flatten", "cash_flow"}
    assert {*LASTING, *PASSING} | silent == {kind.value for kind in RiskEventKind}
    assert set(WORDS) == {*LASTING, *PASSING}
    assert set(ENDS) <= {kind.value for kind in RiskEventKind}
    assert {"DRAWDOWN_HALT", "MANUAL_HALT", "RISK_STATE_INVALID"} <= {code.value for code in DenialCode}


@pytest.mark.parametrize(
    ("newest_first", "streak"), [([], 0), ([5, -1], 0), ([-1, -2, 3, -4], 2), ([-1, 0, -2, 3], 2), ([0, 0, 4], 0)]
)
def test_loss_streak_skips_break_even_trades(newest_first: list[int], streak: int) -> None:
    assert loss_streak(newest_first) == streak


def position(ticker: str, value: int | None) -> Holding:
    return Holding(ticker, "m", 10, 1.0, 1.0, 4_000_00, value, None, None, 0, session(0))


def test_headroom_names_the_largest_position_and_sector() -> None:
    book = ledger([], holdings=(position("AAA", 4_900_00), position("BBB", 3_000_00), position("ZZZ", 100_00)))
    view = view_day(book, None, NOW)
    sectors = sector_shares(view, book.run.sectors)
    assert [(s.sector, s.value, s.positions) for s in sectors] == [("Energy", 7_900_00, 2), ("Unknown", 100_00, 1)]
    rules = {rule.rule: rule for rule in headroom(view, book, sectors)}
    assert (rules["position"].note, rules["sector"].note) == ("AAA", "Energy")
    assert rules["position"].observed == pytest.approx(4.9)
    assert rules["position"].headroom == pytest.approx(0.1)
    assert rules["sector"].observed == pytest.approx(7.9)
    assert rules["correlation"].observed is None
    assert rules["correlation"].headroom is None


def test_unstored_limit_is_unknown_and_not_a_default() -> None:
    book = ledger([], risk={})
    rules = headroom(view_day(book, None, NOW), book, ())
    assert {rule.limit for rule in rules} == {None}


def test_price_that_is_unknown_leaves_exposure_unknown() -> None:
    snapshot = BrokerSnapshot(
        "a", NOW, session(5), True, True, 100_000_00, 60_000_00, 60_000_00, None, (position("AAA", None),)
    )
    view = view_day(ledger([]), snapshot, NOW)
    assert view.exposure is None


# ---------------------------------------------------------------- the total drawdown


def event(number: int, kind: str, code: str) -> Event:
    at = datetime(2024, 3, 4 + number, 21, tzinfo=UTC)
    return Event(at, session(number), kind, code, None, None, f"why {code}", "engine")


def total_of(equities: list[int], events: tuple[Event, ...] = (), **flows: int) -> tuple[float | None, float | None]:
    """Return the total drawdown and its limit, percent, of closes at `equities` (thousands of dollars)."""
    days = tuple(
        booked(n, equity=equity * 1_000_00, cash_flow=flows.get(f"d{n}", 0)) for n, equity in enumerate(equities)
    )
    shown = ledger([], days=days)._replace(events=events)
    rules = {rule.rule: rule for rule in headroom(view_day(shown, None, NOW), shown, ())}
    return rules["total_drawdown"].observed, rules["total_drawdown"].limit


def test_the_total_drawdown_is_told_from_the_highest_close() -> None:
    observed, limit = total_of([100, 110, 99])
    assert observed == pytest.approx(10.0)
    assert limit == 15.0


def test_a_withdrawal_is_no_total_drawdown() -> None:
    observed, _ = total_of([100, 50], d1=-50_000_00)
    assert observed == pytest.approx(0.0)


def test_the_total_begins_anew_after_the_operators_word_on_it_alone() -> None:
    stop, word = event(1, "halt", "TOTAL_DRAWDOWN"), event(2, "resume", "OK")
    assert total_of([100, 80, 80], (stop, word))[0] == pytest.approx(5.0)
    assert total_of([100, 80, 80], (event(1, "halt", "DRAWDOWN_HALT"), word))[0] == pytest.approx(20.0)


@pytest.mark.parametrize("code", ["TOTAL_DRAWDOWN", "SECOND_HALT"])
def test_a_halt_that_nothing_recovers_waits_for_the_operator(code: str) -> None:
    events = event(1, "halt", "DRAWDOWN_HALT"), event(3, "halt", code)
    (halt,) = active_halts(ledger([], halted=True)._replace(events=events))
    assert (halt.code, halt.since, halt.release) == (code, session(3), "ends when an operator resumes")
