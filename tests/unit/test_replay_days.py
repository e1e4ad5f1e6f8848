"""What is told of live against replay: the last day by cause, weeks, the days that leave doubts, and their alert."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import pytest
from account_rows import add_run, empty
from sqlalchemy import Engine, text

from trading_platform.core.alert_states import AlertKind
from trading_platform.core.replay_causes import Cause, Item
from trading_platform.reporting.states import unexplained_days
from trading_platform.storage.account_states import account_states
from trading_platform.storage.replay_checks import MOST_TRIES, Outcome, ReplayChecks
from trading_platform.storage.replay_days import REPLAY_DAYS, ReplaySummary, replay_days, replay_summary, replay_words

SCHEMA = Path(__file__).parents[2] / "trading_platform/reporting/report.schema.json"
FRIDAY, MONDAY, TUESDAY = date(2024, 5, 3), date(2024, 5, 6), date(2024, 5, 7)
NOW = datetime(2024, 5, 7, 21, tzinfo=UTC)
AUCTION = Item(Cause.AUCTION, "AAA", -120, "entry at 50.12, in the replay 50.00")
LOST = Item(Cause.UNEXPLAINED, "BBB", -4_550, "neither fills nor orders say why")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = empty(tmp_path / "days.db")
    yield engine
    engine.dispose()


def compared(database: Engine, run_id: int, session: date, *items: Item) -> ReplayChecks:
    checks = ReplayChecks(database, run_id)
    checks.keep_start(session, "{}")
    checks.keep_live(session, "{}")
    made = sum(item.cents for item in items) / 100.0
    checks.done(session, Outcome(100_000.0 + made, 100_000.0, items), NOW)
    return checks


def summary_of(database: Engine, run_id: int) -> ReplaySummary:
    with database.connect() as connection:
        rows = connection.execute(text(REPLAY_DAYS), {"run": run_id, "session": TUESDAY}).all()
    summary = replay_summary(replay_days(rows))
    assert summary is not None
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"]["replay_check"]
    jsonschema.validate(summary, schema)
    return summary


def test_days_are_told_by_cause_and_summed_by_week(database: Engine) -> None:
    run = add_run(database, mode="alpaca_paper")
    compared(database, run, FRIDAY, AUCTION)
    compared(database, run, MONDAY)
    compared(database, run, TUESDAY, AUCTION)
    summary = summary_of(database, run)
    assert replay_words(summary) == [
        "2024-05-07: -1.20 (prices at the open -1.20)",
        "this week, 2 sessions: -1.20 (prices at the open -1.20)",
        "ever, 3 sessions: -2.40 (prices at the open -2.40)",
    ]
    assert unexplained_days(summary) == []
    assert [state for state in account_states(database, run) if state.kind is AlertKind.REPLAY] == []


def test_what_has_no_cause_is_a_state_until_a_day_is_explained(database: Engine) -> None:
    run = add_run(database, mode="alpaca_paper")
    compared(database, run, FRIDAY, LOST)
    compared(database, run, MONDAY, AUCTION, LOST)
    (state,) = unexplained_days(summary_of(database, run))
    assert state.text == (
        "The account differs from its replay by $45.50 without a cause since 2024-05-03: BBB, neither fills nor "
        "orders say why"
    )
    (alert,) = [state for state in account_states(database, run) if state.kind is AlertKind.REPLAY]
    assert "2024-05-06" in alert.words
    assert "$45.50 without a cause, BBB" in alert.words
    compared(database, run, TUESDAY)
    assert unexplained_days(summary_of(database, run)) == []
    assert [state for state in account_states(database, run) if state.kind is AlertKind.REPLAY] == []


def test_day_that_could_not_be_compared_says_why_and_is_due_again(database: Engine) -> None:
    run = add_run(database, mode="alpaca_paper")
    checks = compared(database, run, FRIDAY)
    checks.keep_start(MONDAY, "{}")
    checks.keep_live(MONDAY, "{}")
    checks.failed(MONDAY, "ValueError: 2024-05-06 is not in list", NOW)
    assert replay_words(summary_of(database, run))[0] == (
        "2024-05-06 could not be compared: ValueError: 2024-05-06 is not in list"
    )
    assert [check.session for check in checks.due(TUESDAY)] == [MONDAY]


def test_day_that_leaves_doubts_is_due_on_later_evenings_a_few_times(database: Engine) -> None:
    run = add_run(database, mode="alpaca_paper")
    checks = compared(database, run, FRIDAY, LOST)
    assert checks.due(FRIDAY) == []
    for _ in range(MOST_TRIES - 1):
        assert [(check.session, check.doubt) for check in checks.due(MONDAY)] == [(FRIDAY, 4_550)]
        checks.unchanged(FRIDAY)
    assert checks.due(MONDAY) == []


def test_first_start_of_a_session_stands(database: Engine) -> None:
    run = add_run(database, mode="alpaca_paper")
    checks = ReplayChecks(database, run)
    checks.keep_start(MONDAY, "first")
    checks.keep_start(MONDAY, "second")
    checks.keep_live(MONDAY, "live")
    assert [check.start for check in checks.due(MONDAY)] == ["first"]
