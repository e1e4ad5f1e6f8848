"""What an operator said holds: a paused strategy and a closed ticker open nothing, over a restart, until taken back."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from parity_world import Case, Desk
from sqlalchemy import select

from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.storage import models as m
from trading_platform.storage.operator_requests import leave_command
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.registry import FIRST_SET, make_strategies

START, STOP = 253, 400
BUSIEST = "mean_reversion"


@pytest.fixture(scope="module")
def case() -> Case:
    strategies = make_strategies(FIRST_SET)
    panel = SyntheticMarketData(seed=7, n_tickers=40, n_sessions=500).history()
    names = tuple(strategy.name for strategy in strategies)
    return Case(panel, prepare_signals(panel, strategies), np.full(len(names), 1.0 / len(names)), names=names)


def say(desk: Desk, row: int, kind: str, subject: str | None) -> None:
    now = desk.engine.prepared.closed[row]
    leave_command(desk.database, 1, kind, "why", now, subject)
    desk.engine.watch(now)
    desk.engine.commit()


def entries(desk: Desk, first: date, last: date = date.max) -> list[tuple[str, str]]:
    """Return (strategy, ticker) of entries decided in [first, last]."""
    with desk.database.connect() as connection:
        rows = connection.execute(
            select(m.Order.strategy, m.Order.ticker)
            .where(m.Order.side == "buy", m.Order.decided_session.between(first, last))
            .order_by(m.Order.id)
        )
        return [(row[0], row[1]) for row in rows]


def held(desk: Desk) -> set[str]:
    slots = desk.engine.broker.slots
    return {desk.engine.prepared.panel.tickers[column] for column in slots["ticker"][slots["quantity"] > 0.0]}


def test_a_paused_strategy_opens_nothing_until_it_is_let_go_on(case: Case, tmp_path: Path) -> None:
    desk, sessions = Desk(case, tmp_path, START), case.world.sessions
    desk.run(300)
    assert any(strategy == BUSIEST for strategy, _ in entries(desk, sessions[START]))
    say(desk, 299, "pause", BUSIEST)
    desk.run(330)
    desk.restart()
    desk.run(350)
    paused = entries(desk, sessions[300], sessions[349])
    assert paused
    assert all(strategy != BUSIEST for strategy, _ in paused)
    say(desk, 349, "unpause", BUSIEST)
    desk.run(STOP)
    assert any(strategy == BUSIEST for strategy, _ in entries(desk, sessions[350]))


def test_a_ticker_is_closed_alone_and_not_bought_again_until_resume(case: Case, tmp_path: Path) -> None:
    desk, sessions = Desk(case, tmp_path, START), case.world.sessions
    desk.run(300)
    before = held(desk)
    ticker = sorted(before)[0]
    say(desk, 299, "flatten", ticker)
    desk.run(302)
    assert ticker not in held(desk)
    assert held(desk) & before  # the others are left alone
    desk.restart()
    desk.run(STOP)
    assert entries(desk, sessions[300])
    assert ticker not in {name for _, name in entries(desk, sessions[300])}
    assert desk.engine.risk_manager.can_trade()[0]


def test_after_a_stop_no_entry_is_decided_while_exits_go_on(case: Case, tmp_path: Path) -> None:
    desk, sessions = Desk(case, tmp_path, START), case.world.sessions
    desk.run(300)
    count = len(held(desk))
    assert count > 3
    desk.engine.end_entries()
    desk.run(360)
    assert entries(desk, sessions[300]) == []
    assert len(held(desk)) < count
