"""Alerts: what is folded into a line, what is told when, and that the database remembers it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from tests.alert_world import NOW, database_with_a_run
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.lacking_stops import LackingStops
from trading_platform.configuration.running_tables import AlertsConfig
from trading_platform.core.alert_states import AlertKind, AlertState, lines_begun, lines_over
from trading_platform.core.ports import DifferenceRow
from trading_platform.reporting.alert_policy import Due, due
from trading_platform.storage import models as m
from trading_platform.storage.account_states import account_states
from trading_platform.storage.alert_log import AlertLog
from trading_platform.storage.difference_store import DifferenceStore

SESSION = date(2024, 7, 3)
CONFIG = AlertsConfig()
MINUTE = timedelta(minutes=1)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return database_with_a_run(tmp_path)


def no_stop(ticker: str, since: datetime = NOW) -> AlertState:
    return AlertState(AlertKind.UNPROTECTED, ticker, since, f"{ticker} has no stop")


HALT = AlertState(AlertKind.HALT, "operator", NOW, "HALTED by an operator: lunch")
DOWN = AlertState(AlertKind.ENGINE_DOWN, "", NOW, "The engine is DOWN")


# ---------------------------------------------------------------- words


def test_several_of_a_kind_are_one_line_and_the_most_urgent_comes_first() -> None:
    states = [no_stop("C"), no_stop("A", NOW - MINUTE), HALT, no_stop("B")]
    assert lines_begun(states) == [
        "HALTED by an operator: lunch; since 2024-07-03 17:00 UTC",
        "3 positions have no stop: A, B, C; the first since 2024-07-03 16:59 UTC",
    ]


def test_a_long_list_of_names_is_counted() -> None:
    (line,) = lines_begun(no_stop(f"T{number:02d}") for number in range(40))
    assert line.startswith("40 positions have no stop: T00, T01, ")
    assert "T11 and 28 more" in line


def test_the_end_names_whom_it_is_about() -> None:
    assert lines_over([no_stop("B"), no_stop("A")]) == ["Stops rest again (A, B); it was so since 2024-07-03 17:00 UTC"]


# ---------------------------------------------------------------- what is due


def told(log: AlertLog, config: AlertsConfig, now: datetime) -> Due:
    """Do what the post does with the log, every message arriving."""
    sent = log.messages_since(now - timedelta(hours=1))
    found = due(log.untold(), log.last_told(), sent, config, now)
    log.drop([row.id for row in found.passed], now)
    log.tell_began([row.id for row in found.began], now)
    log.tell_over([row.id for row in found.over], now)
    return found


def subjects(found: Due) -> tuple[list[str], list[str]]:
    return [row.state.subject for row in found.began], [row.state.subject for row in found.over]


def test_a_state_is_told_once_and_its_end_once_also_by_another_process(engine: Engine) -> None:
    log = AlertLog(engine, 1)
    log.take([HALT], NOW)
    assert subjects(told(log, CONFIG, NOW)) == (["operator"], [])
    again = AlertLog(engine, 1)
    again.take([HALT], NOW + 20 * MINUTE)
    assert subjects(told(again, CONFIG, NOW + 20 * MINUTE)) == ([], [])
    again.take([], NOW + 40 * MINUTE)
    assert subjects(told(again, CONFIG, NOW + 40 * MINUTE)) == ([], ["operator"])
    assert subjects(told(AlertLog(engine, 1), CONFIG, NOW + 60 * MINUTE)) == ([], [])


def test_what_did_not_arrive_is_told_by_the_next_process(engine: Engine) -> None:
    log = AlertLog(engine, 1)
    log.take([HALT], NOW)
    assert subjects(due(log.untold(), log.last_told(), 0, CONFIG, NOW)) == (["operator"], [])
    assert subjects(told(AlertLog(engine, 1), CONFIG, NOW + 2 * MINUTE)) == (["operator"], [])


def test_more_of_a_kind_waits_and_is_folded_while_another_kind_is_told_at_once(engine: Engine) -> None:
    log = AlertLog(engine, 1)
    log.take([no_stop("A")], NOW)
    told(log, CONFIG, NOW)
    log.take([no_stop("A"), no_stop("B"), HALT], NOW + MINUTE)
    found = told(log, CONFIG, NOW + MINUTE)
    assert (subjects(found), found.waits) == ((["operator"], []), 1)
    log.take([no_stop("A"), no_stop("B"), no_stop("C"), HALT], NOW + 9 * MINUTE)
    assert subjects(told(log, CONFIG, NOW + 9 * MINUTE)) == ([], [])
    assert subjects(told(log, CONFIG, NOW + 10 * MINUTE)) == (["B", "C"], [])


def test_what_came_and_went_while_it_waited_is_not_told(engine: Engine) -> None:
    log = AlertLog(engine, 1)
    log.take([no_stop("A")], NOW)
    told(log, CONFIG, NOW)
    log.take([no_stop("A"), no_stop("B")], NOW + MINUTE)
    log.take([no_stop("A")], NOW + 2 * MINUTE)
    found = told(log, CONFIG, NOW + 30 * MINUTE)
    assert ([row.state.subject for row in found.passed], subjects(found)) == (["B"], ([], []))
    assert log.untold() == []


def test_an_engine_that_went_without_a_word_is_told_of_when_it_is_back(engine: Engine) -> None:
    log = AlertLog(engine, 1)
    log.note_end(DOWN, NOW, told=False)
    log.take([], NOW + MINUTE)
    assert subjects(told(log, CONFIG, NOW + MINUTE)) == ([], [""])
    assert log.untold() == []


def test_an_engine_that_falls_again_and_again_is_told_of_once_in_a_while(engine: Engine) -> None:
    log = AlertLog(engine, 1)
    messages = 0
    for minute in range(30):
        at = NOW + minute * MINUTE
        log.note_end(DOWN, at, told=False)
        messages += sum(map(bool, subjects(told(log, CONFIG, at))))
        log.take([], at + MINUTE / 2)
        messages += sum(map(bool, subjects(told(log, CONFIG, at + MINUTE / 2))))
    assert messages == 5  # of sixty: down and up, and then the newest word every ten minutes


def test_messages_an_hour_are_limited_and_one_message_counts_once(engine: Engine) -> None:
    log, config = AlertLog(engine, 1), replace(CONFIG, most_an_hour=2, quiet_minutes=0.0)
    log.take([no_stop("A"), HALT], NOW)
    told(log, config, NOW)
    log.take([no_stop("A"), no_stop("B"), HALT], NOW + MINUTE)
    told(log, config, NOW + MINUTE)
    log.take([no_stop(name) for name in "ABCD"], NOW + 2 * MINUTE)
    found = told(log, config, NOW + 2 * MINUTE)
    assert (subjects(found), found.waits) == (([], []), 3)
    assert subjects(told(log, config, NOW + 61 * MINUTE)) == (["C", "D"], ["operator"])


@pytest.mark.parametrize(
    ("hours", "at", "is_told"),
    [
        ("22:00-07:00", "2024-07-04T01:59:00+00:00", True),  # 21:59 in New York
        ("22:00-07:00", "2024-07-04T02:00:00+00:00", False),
        ("22:00-07:00", "2024-07-04T10:59:00+00:00", False),
        ("22:00-07:00", "2024-07-04T11:00:00+00:00", True),
        ("12:00-14:00", "2024-07-03T17:00:00+00:00", False),
        ("12:00-14:00", "2024-07-03T18:00:00+00:00", True),
        ("", "2024-07-04T03:00:00+00:00", True),
    ],
)
def test_quiet_hours_hold_messages_back(engine: Engine, hours: str, at: str, is_told: bool) -> None:
    log = AlertLog(engine, 1)
    log.take([HALT], NOW)
    found = told(log, replace(CONFIG, quiet_hours=hours), datetime.fromisoformat(at))
    assert bool(found.began) == is_told
    assert found.waits == (0 if is_told else 1)


# ---------------------------------------------------------------- what the database holds


def remember(engine: Engine, payload: str) -> None:
    row = {"run_id": 1, "version": 1, "saved_at": NOW, "payload": payload, "checksum": "x"}
    with engine.begin() as connection:
        connection.execute(delete(m.RiskStateRow))
        connection.execute(insert(m.RiskStateRow).values(row))


def test_halts_are_read_from_the_risk_memory_with_their_beginning(engine: Engine) -> None:
    remember(
        engine,
        '{"manual_halt": "lunch", "manual_halt_since": "2024-07-01T15:00:00+00:00", "fault": null, "clock": 5.0,'
        ' "halted_since": "2024-06-28", "pause_since": "2024-07-03T10:00:00+00:00",'
        ' "account": {"halted": 1.0, "daily_halted": 0.0, "pause_until": 9.0}}',
    )
    found = {state.subject: state for state in account_states(engine, 1)}
    assert {name: state.since for name, state in found.items()} == {
        "operator": datetime(2024, 7, 1, 15, tzinfo=UTC),
        "drawdown": datetime(2024, 6, 28, tzinfo=UTC),
        "losing trades": datetime(2024, 7, 3, 10, tzinfo=UTC),
    }
    assert "lunch" in found["operator"].words
    remember(
        engine,
        '{"session": "2024-07-03", "account": {"equity": 88000.0, "halted": 0.0, "daily_halted": 0.0,'
        ' "daily_breach_readings": 1.0, "breach_readings": 1.0, "suspect_equity": 88000.0}}',
    )
    first = {state.subject: state.words for state in account_states(engine, 1)}  # each refuses, and none lasts yet
    assert set(first) == {"daily loss 2024-07-03", "drawdown at one reading", "equity reading"}  # a halt is news
    assert "$88,000.00" in first["equity reading"]
    remember(engine, '{"pause_since": "2024-07-03T10:00:00+00:00", "clock": 9.0, "account": {"pause_until": 9.0}}')
    assert account_states(engine, 1) == []


def sale(engine: Engine, key: str, status: str, side: str = "sell") -> None:
    text = dict.fromkeys(("approval_id", "config_fingerprint", "strategy"), "x")
    row = {
        **text,
        "run_id": 1,
        "client_order_id": key,
        "ticker": "AAA",
        "side": side,
        "quantity": 10.0,
        "filled_quantity": 0.0,
        "reason": "signal",
        "strength": 0.0,
        "status": status,
        "message": "no such asset",
        "decided_session": SESSION,
        "decided_at": NOW,
        "closed_at": NOW + MINUTE,
    }
    with engine.begin() as connection:
        connection.execute(insert(m.Order).values(row))


def hold(engine: Engine, ticker: str) -> None:
    row = {
        "run_id": 1,
        "session": SESSION,
        "ticker": ticker,
        "strategy": "x",
        "quantity": 10.0,
        "entry_price": 1.0,
        "price": 1.0,
        "cost": 10.0,
        "value": 10.0,
        "entry_session": SESSION,
    }
    with engine.begin() as connection:
        connection.execute(update(m.Run).values(last_session=SESSION))
        connection.execute(insert(m.PositionRow).values(row))


def test_a_rejected_exit_stands_until_a_later_one_is_out_or_the_position_is_gone(engine: Engine) -> None:
    sale(engine, "tp-1", "rejected")
    assert account_states(engine, 1) == []  # nothing is held
    hold(engine, "AAA")
    (state,) = account_states(engine, 1)
    assert (state.kind, state.subject, state.since) == (AlertKind.REJECTED_EXIT, "AAA", NOW + MINUTE)
    assert "no such asset" in state.words
    sale(engine, "tp-2", "rejected", side="buy")
    assert len(account_states(engine, 1)) == 1
    sale(engine, "tp-3", "submitted")
    assert account_states(engine, 1) == []


def test_a_difference_that_stands_is_a_quarantine_since_it_was_found(engine: Engine) -> None:
    store = DifferenceStore(engine, 1)
    row = DifferenceRow("position_unexplained", "AAA", "10", "7", "no new risk in AAA", stands=True)
    store.note([row], SESSION, NOW)
    store.note([row], SESSION, NOW + 20 * MINUTE)
    (state,) = account_states(engine, 1)
    assert (state.kind, state.subject, state.since) == (AlertKind.QUARANTINE, "AAA", NOW)
    assert state.words == "No new risk in AAA, position unexplained: ours 10, the broker's 7"
    store.note([], SESSION, NOW + 40 * MINUTE)
    assert account_states(engine, 1) == []


# ---------------------------------------------------------------- stops


def lacking(ticker: str, theirs: str = "stops for 0") -> Difference:
    return Difference(DifferenceKind.UNPROTECTED, ticker, "10 shares to protect", theirs)


def test_a_stop_that_one_look_misses_and_places_is_no_state() -> None:
    stops = LackingStops()
    stops.note([lacking("AAA")], NOW)
    assert stops.states() == []
    stops.note([], NOW + MINUTE)
    assert stops.states() == []


def test_a_stop_that_is_missing_at_two_looks_is_a_state_since_the_first() -> None:
    stops = LackingStops()
    stops.note([lacking("AAA"), lacking("BBB", "9.0 and 12.0")], NOW)  # the other only rests at another price
    stops.states()
    stops.note([lacking("AAA"), lacking("BBB", "9.0 and 12.0")], NOW + MINUTE)
    (state,) = stops.states()
    assert (state.kind, state.subject, state.since) == (AlertKind.UNPROTECTED, "AAA", NOW)
    stops.note([], NOW + 2 * MINUTE)
    assert stops.states() == []


def test_a_stop_that_was_missing_in_a_process_before_is_a_state_at_the_first_look_of_this_one() -> None:
    before, stops = LackingStops(), LackingStops()
    before.note([lacking("AAA"), lacking("BBB")], NOW)
    stops.remember(before.since)
    stops.note([lacking("AAA"), lacking("CCC")], NOW + 15 * MINUTE)
    assert [(state.subject, state.since) for state in stops.states()] == [("AAA", NOW)]


def test_a_patient_difference_of_a_process_before_is_written_down_with_its_beginning(engine: Engine) -> None:
    row = DifferenceRow("unprotected", "AAA", "10 shares", "stops for 0", "asked for", stands=True, is_patient=True)
    DifferenceStore(engine, 1).note([replace(row, since=NOW)], SESSION, NOW + MINUTE)
    later = NOW + 15 * MINUTE
    DifferenceStore(engine, 1).note([replace(row, since=NOW)], SESSION, later)
    with engine.connect() as connection:
        found = connection.execute(select(m.Difference.found_at, m.Difference.resolved_at)).all()
    assert [tuple(line) for line in found] == [(NOW, None)]


@pytest.mark.parametrize(
    ("kind", "ours", "told"),
    [
        ("exit_waits", "10 shares should have left at the open of 2024-01-04, 1 session ago", AlertKind.REJECTED_EXIT),
        ("exit_waits", "10 shares to leave at the open of 2024-01-08", None),  # its first open is still to come
        ("no_cover", "10 shares to protect", AlertKind.UNPROTECTED),
        ("unprotected", "10 shares to protect", None),  # the running engine tells it
    ],
)
def test_a_stored_difference_about_no_books_is_no_quarantine(
    engine: Engine, kind: str, ours: str, told: AlertKind | None
) -> None:
    row = DifferenceRow(kind, "AAA", ours, "tried 2 times: halted", "tried again at every look", stands=True)
    DifferenceStore(engine, 1).note([row], SESSION, NOW)
    assert [(state.kind, state.subject) for state in account_states(engine, 1)] == ([(told, "AAA")] if told else [])


def test_an_exit_that_was_rejected_and_waits_is_one_state(engine: Engine) -> None:
    sale(engine, "tp-1", "rejected")
    hold(engine, "AAA")
    row = DifferenceRow("exit_waits", "AAA", "10 shares should have left", "tried 2 times: halted", "x", stands=True)
    DifferenceStore(engine, 1).note([row], SESSION, NOW)
    (state,) = account_states(engine, 1)
    assert "no such asset" in state.words
