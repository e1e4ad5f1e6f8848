"""A strategy's own drawdown stop: when it comes, what it keeps out, over crashes, and until somebody unpauses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from parity_world import Case, Desk
from sqlalchemy import select
from test_operator_standing import entries, say
from test_parity_engine_generated import trouble_case

from trading_platform.core.alert_states import AlertKind
from trading_platform.engine.strategy_stops import level_of
from trading_platform.reporting.states import status_states
from trading_platform.reporting.strategy_results import strategy_results
from trading_platform.storage import models as m
from trading_platform.storage.account_states import account_states
from trading_platform.storage.run_status import run_status
from trading_platform.storage.strategy_curves import brought

START, STOP = 40, 160
LIMIT = 0.002


@pytest.fixture(scope="module")
def case() -> Case:
    """Return a market with splits, dividends, gaps and a delisting, in which three strategies trade at random."""
    return trouble_case(3)


def stops_of(desk: Desk) -> list[tuple[str, str, str]]:
    """Return (kind, strategy, reason) of everything that was said about single strategies."""
    with desk.database.connect() as connection:
        rows = connection.execute(select(m.Command.kind, m.Command.subject, m.Command.reason).order_by(m.Command.id))
        return [(row[0], str(row[1]), row[2]) for row in rows]


def stop_row(desk: Desk, name: str) -> int:
    """Return the row at whose close a strategy was stopped."""
    with desk.database.connect() as connection:
        at = connection.execute(select(m.Command.handled_at).where(m.Command.subject == name)).scalars().first()
    assert at is not None
    return list(desk.case.world.closed).index(at)


def test_what_a_strategy_brought_is_what_the_results_say_to_the_cent(case: Case, tmp_path: Path) -> None:
    desk = Desk(case, tmp_path, START)
    desk.run(STOP)
    with desk.database.connect() as connection:
        results = strategy_results(connection, desk.run_id, case.strategies, 1.0, 1)
    found = brought(desk.database, desk.run_id, frozenset(case.strategies))
    assert any(result.dividends for result in results.values())
    for name, result in results.items():
        held = level_of(desk.engine.broker.book, case.strategies.index(name))
        assert round(found[name].booked + held, 2) == result.pnl
        assert found[name].peak >= result.pnl - 0.01


def test_a_strategy_that_falls_too_far_opens_nothing_more_and_the_others_go_on(case: Case, tmp_path: Path) -> None:
    name = case.strategies[0]
    desk = Desk(case, tmp_path, START, stops={name: LIMIT})
    desk.run(STOP)
    ((kind, stopped, reason),) = stops_of(desk)
    assert (kind, stopped) == ("pause", name)
    assert "limit 0.2 %" in reason
    at = case.world.sessions[stop_row(desk, name)]
    before, after = entries(desk, case.world.sessions[START], at), entries(desk, at)
    assert name in {strategy for strategy, _ in before}
    assert name not in {strategy for strategy, _ in after}
    assert after


def test_without_a_stop_or_with_a_deep_one_nothing_is_said(case: Case, tmp_path: Path) -> None:
    for n, stops in enumerate(({}, {case.strategies[0]: 0.9}, {"nobody": LIMIT})):
        (tmp_path / str(n)).mkdir()
        desk = Desk(case, tmp_path / str(n), START, stops=stops)
        desk.run(STOP)
        assert stops_of(desk) == []


def test_crashes_change_neither_the_stop_nor_the_trades(case: Case, tmp_path: Path) -> None:
    limits = dict.fromkeys(case.strategies, LIMIT)
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole, broken = (Desk(case, tmp_path / part, START, stops=limits) for part in ("whole", "broken"))
    whole.run(STOP)
    for row in range(START + 7, STOP, 7):
        broken.run(row)
        broken.crash_after(min(row + 3, STOP))
    broken.run(STOP)
    assert stops_of(whole)
    assert stops_of(broken) == stops_of(whole)
    assert broken.trail().trades == whole.trail().trades


def test_unpause_lets_it_go_on_and_counts_the_fall_anew(case: Case, tmp_path: Path) -> None:
    name = case.strategies[0]
    desk = Desk(case, tmp_path, START, stops={name: LIMIT})
    desk.run(STOP - 60)
    row = desk.next - 1
    assert stop_row(desk, name) <= row
    say(desk, row, "unpause", name)
    desk.restart()
    desk.run(row + 2)
    assert [kind for kind, _, _ in stops_of(desk)] == ["pause", "unpause"]  # not again at once for the fall of before
    desk.run(STOP)
    assert name in {strategy for strategy, _ in entries(desk, case.world.sessions[row + 1])}


def test_a_stop_in_force_is_told_by_alert_and_status_until_it_is_over(case: Case, tmp_path: Path) -> None:
    name = case.strategies[0]
    desk = Desk(case, tmp_path, START, stops={name: LIMIT})
    desk.run(STOP)
    now = case.world.closed[STOP - 1]
    alerts = [state for state in account_states(desk.database, desk.run_id) if state.kind is AlertKind.HALT]
    (told,) = [state for state in alerts if state.subject == f"strategy {name}"]
    assert told.words.endswith(f"`unpause {name}`")
    shown = status_states(run_status(desk.database, desk.run_id, now), now)
    assert [state.kind for state in shown].count("strategy_stop") == 1
    say(desk, STOP - 1, "unpause", name)
    assert not any(state.subject.startswith("strategy") for state in account_states(desk.database, desk.run_id))
    after = status_states(run_status(desk.database, desk.run_id, now), now)
    assert "strategy_stop" not in [state.kind for state in after]


def test_the_limit_is_of_the_account_as_it_was_before_the_fall(case: Case, tmp_path: Path) -> None:
    name = case.strategies[0]
    desk = Desk(case, tmp_path, START, stops={name: LIMIT})
    desk.run(STOP)
    (_, _, reason) = stops_of(desk)[0]
    fall = float(reason.partition("$")[2].partition(" ")[0].replace(",", ""))
    row = stop_row(desk, name)
    equity = desk.trail().equity()[row - START]
    assert fall / (equity + fall) > LIMIT
    said = float(reason.partition("highest, ")[2].partition(" %")[0]) / 100.0
    assert np.isclose(fall / (equity + fall), said, atol=1e-4)
