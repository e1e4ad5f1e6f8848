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


@pytest.fixture
def waits(case: Case, tmp_path: Path) -> tuple[Desk, int]:
    """Return a desk at the close of a row at which an entry was decided, and the row."""
    desk, row = Desk(case, tmp_path, START), 299
    desk.run(row + 1)
    while not entries(desk, case.world.sessions[row], case.world.sessions[row]):
        row += 1
        desk.run(row + 1)
    return desk, row


@pytest.mark.parametrize("kind", ["halt", "flatten", "flatten one", "pause"])
def test_a_word_before_the_open_withdraws_the_entries_that_wait_for_it(waits: tuple[Desk, int], kind: str) -> None:
    """Seen: the paper simulator bought what was decided before a `halt`, and an account at Alpaca did not."""
    desk, row = waits
    strategy, ticker = entries(desk, desk.engine.prepared.sessions[row])[0]
    say(desk, row, kind.split()[0], {"flatten one": ticker, "pause": strategy}.get(kind))
    desk.run(row + 2)
    ended = buys(desk, row)
    assert ended[ticker] == ("canceled", 0.0)
    assert kind in ("flatten one", "pause") or {status for status, _ in ended.values()} == {"canceled"}


def test_a_word_after_the_open_withdraws_nothing(waits: tuple[Desk, int]) -> None:
    """A negative control: by then an account at Alpaca has bought; the simulator learns of it in the evening."""
    desk, row = waits
    opened = desk.engine.prepared.opened[row + 1]
    leave_command(desk.database, 1, "halt", "why", opened)
    desk.engine.watch(opened)
    desk.engine.commit()
    desk.run(row + 2)
    assert sum(filled for _, filled in buys(desk, row).values()) > 0.0


def buys(desk: Desk, row: int) -> dict[str, tuple[str, float]]:
    """Return what became of the entries that were decided at the close of a row: status and shares bought."""
    mine = m.Order.decided_session == desk.engine.prepared.sessions[row], m.Order.side == "buy"
    with desk.database.connect() as connection:
        found = connection.execute(select(m.Order.ticker, m.Order.status, m.Order.filled_quantity).where(*mine))
        return {ticker: (status, filled) for ticker, status, filled in found}


def test_after_a_stop_no_entry_is_decided_while_exits_go_on(case: Case, tmp_path: Path) -> None:
    desk, sessions = Desk(case, tmp_path, START), case.world.sessions
    desk.run(300)
    count = len(held(desk))
    assert count > 3
    desk.engine.end_entries()
    desk.run(360)
    assert entries(desk, sessions[300]) == []
    assert len(held(desk)) < count
