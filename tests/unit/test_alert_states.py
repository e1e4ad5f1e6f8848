"""Alerts by state: folded by kind, with since when, until they are over; the same words in report and status."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from trading_platform.brokers.reconciliation.difference_words import difference_rows
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.reporting.states import State, Unexplained, all_states, engine_silent, status_states
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.difference_store import PATIENCE, DifferenceStore
from trading_platform.storage.overdue_exits import OverdueExit, overdue_exits
from trading_platform.storage.repository import create_run
from trading_platform.storage.run_status import run_status

NOW = datetime(2024, 1, 5, 15, 5, tzinfo=UTC)
FIRST = date(2024, 1, 2)


def bare(ticker: str, at: datetime = NOW) -> Unexplained:
    return Unexplained(at, "unprotected", ticker, "10 shares to protect", "stops for 0")


def row(ticker: str, day: int, status: str, sessions: int, message: str | None = None) -> tuple[Any, ...]:
    return (ticker, f"2024-01-{day:02d}", "signal_exit", status, message, sessions)


def texts(states: list[State]) -> list[str]:
    return [state.text for state in states]


def test_positions_without_a_stop_share_one_line_with_the_oldest_time() -> None:
    lines = [bare(f"T{i}", NOW + timedelta(minutes=i)) for i in range(6)]
    (state,) = all_states(lines, (), "", None)
    assert state.text == (
        "6 positions have no stop at the broker that fits (T0, T1, T2, T3, T4, ...), since 2024-01-05 15:05 UTC"
    )
    assert (state.as_json()["count"], state.tickers[-1]) == (6, "T5")


def test_no_trouble_gives_no_state() -> None:
    assert all_states([], (), "watching; settled to 2024-01-04", None) == []
    assert engine_silent(NOW - timedelta(minutes=15), NOW) is None


def test_an_unreadable_account_and_a_silent_engine_come_first() -> None:
    silent = engine_silent(NOW - timedelta(hours=3), NOW)
    note = "watching; settled to 2024-01-04; ACCOUNT UNREADABLE since 2024-01-05 14:00 UTC"
    assert texts(all_states([bare("AAA")], (), note, silent))[:2] == [
        "Engine silent for 3 h, since 2024-01-05 12:05 UTC",
        "Account cannot be read since 2024-01-05 14:00 UTC: no new trades",
    ]


def test_a_quarantine_tells_both_books_and_many_are_folded() -> None:
    one = Unexplained(NOW, "position_unexplained", "BBB", "12 shares", "10 shares")
    assert texts(all_states([one], (), "", None)) == [
        "BBB is in quarantine since 2024-01-05 15:05 UTC (position unexplained): "
        "12 shares here, 10 shares at the broker"
    ]
    many = [one._replace(ticker=name) for name in "ABCD"]
    assert texts(all_states(many, (), "", None)) == [
        "4 tickers are in quarantine (A, B, C, D), since 2024-01-05 15:05 UTC"
    ]


def test_an_exit_refused_every_day_is_told_with_its_age_and_refusals() -> None:
    rows = [row("AAA", 2 + i, "rejected", 3 - i, "wash trade") for i in range(3)] + [row("AAA", 5, "intent", 0)]
    (line,) = overdue_exits(rows)
    assert line == OverdueExit("AAA", FIRST, 3, 3, "signal_exit", "wash trade")
    assert texts(all_states([], (line,), "", None)) == [
        "AAA should have been left 3 sessions ago (decided 2024-01-02): refused 3 times, wash trade"
    ]


def test_an_exit_that_waits_open_over_sessions_is_overdue() -> None:
    (line,) = overdue_exits([row("AAA", 2, "submitted", 2)])
    assert texts(all_states([], (line,), "", None)) == [
        "AAA should have been left 2 sessions ago (decided 2024-01-02): not filled yet"
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [row("AAA", 5, "submitted", 0)],
        [row("AAA", 2, "rejected", 3), row("AAA", 3, "filled", 2)],
        [row("AAA", 2, "rejected", 3), row("AAA", 3, "canceled", 2)],
        [row("AAA", 2, "rejected", 3)],
    ],
    ids=["waits for the next open", "sold in part since", "withdrawn", "not decided again"],
)
def test_an_exit_that_is_over_or_not_due_is_none(rows: list[tuple[Any, ...]]) -> None:
    assert overdue_exits(rows) == ()


def test_many_overdue_exits_share_a_line() -> None:
    exits = tuple(OverdueExit(name, FIRST, 3, 2, "signal_exit", "halted") for name in "ABCD")
    assert texts(all_states([], exits, "", None)) == [
        "4 positions should have been left (A, B, C, D), first decided 2024-01-02: refused 8 times"
    ]


def test_a_waiting_exit_is_told_when_it_is_late_and_missing_cover_as_a_missing_stop() -> None:
    late = Unexplained(NOW, "exit_waits", "AAA", "10 shares should have left at the open", "tried twice")
    early = Unexplained(NOW, "exit_waits", "BBB", "10 shares to leave at the open of 2024-01-08", "tried 1 time")
    exits = tuple(OverdueExit(name, FIRST, 3, 2, "signal_exit", "halted") for name in ("AAA", "CCC"))
    found = all_states([late, early, Unexplained(NOW, "no_cover", "DDD", "10 shares", "no stop")], exits, "", None)
    assert [(state.kind, state.tickers) for state in found] == [
        ("unprotected", ("DDD",)),
        ("exit_overdue", ("AAA",)),
        ("exit_overdue", ("CCC",)),
    ]
    assert found[1].text == "AAA: 10 shares should have left at the open; tried twice"


def run_row() -> dict[str, object]:
    words = dict.fromkeys(
        ("key", "source", "config_fingerprint", "config", "data_hash", "code_version", "strategies", "sectors"), "x"
    )
    more = {"mode": "alpaca_paper", "status": "running", "started_at": NOW, "capital": 1.0, "last_session": FIRST}
    return {**words, "strategies": "[]", **more}


def shown(path: Path, now: datetime) -> list[str]:
    """Return what `status` of another process shows."""
    engine = open_database(path, read_only=True)
    found = texts(status_states(run_status(engine, 1, now), now))
    engine.dispose()
    return found


def test_a_missing_stop_is_told_after_a_look_since_the_first_and_until_it_is_set(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    engine = open_database(path)
    migrate(engine)
    run_id = create_run(engine, run_row(), [])
    found = difference_rows([Difference(DifferenceKind.UNPROTECTED, "AAA", "10 shares", "stops for 0")], ())
    store, later = DifferenceStore(engine, run_id), NOW + timedelta(minutes=15)
    store.note(found, FIRST, NOW)
    assert shown(path, NOW) == []  # the look that found it sets the stop
    store.note(found, FIRST, NOW + PATIENCE / 2)
    assert shown(path, NOW) == []
    store.note(found, FIRST, later)
    words = ["1 position has no stop at the broker that fits (AAA), since 2024-01-05 15:05 UTC"]
    assert shown(path, later) == words
    DifferenceStore(engine, run_id).note(found, FIRST, later + PATIENCE)  # a restart forgets nothing
    assert shown(path, later) == words
    store.note([], FIRST, later + timedelta(minutes=15))
    assert shown(path, later) == []
    engine.dispose()


def test_status_finds_a_refused_exit_of_a_position_still_held(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    engine = open_database(path)
    migrate(engine)
    run_id = create_run(engine, run_row(), [])
    order = {
        "run_id": run_id,
        "client_order_id": "x",
        "approval_id": "a",
        "config_fingerprint": "c",
        "ticker": "AAA",
        "side": "sell",
        "quantity": 10.0,
        "filled_quantity": 0.0,
        "strategy": "s",
        "reason": "signal_exit",
        "strength": 0.0,
        "status": "rejected",
        "message": "wash trade",
        "decided_session": FIRST,
        "decided_at": NOW,
    }
    position = {
        "run_id": run_id,
        "session": FIRST,
        "ticker": "AAA",
        "strategy": "s",
        "quantity": 10.0,
        "entry_price": 1.0,
        "price": 1.0,
        "cost": 10.0,
        "value": 10.0,
        "dividends": 0.0,
        "entry_session": FIRST,
    }
    with engine.begin() as connection:
        connection.execute(insert(m.Order), [order, {**order, "client_order_id": "y", "ticker": "SOLD"}])
        connection.execute(insert(m.PositionRow), [position])
    assert shown(path, NOW) == ["AAA should be left at the next open (decided 2024-01-02): refused once, wash trade"]
    with engine.begin() as connection:
        connection.execute(update(m.PositionRow).values(ticker="BBB"))
    assert shown(path, NOW) == []
    engine.dispose()
