"""Live against replay, every evening: no difference where Alpaca is exact, each with a cause where it is not.

The engine trades at the local server over HTTP; after each settlement its day is compared with the kernel's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from parity_world import CALENDAR, Case, run_values
from sqlalchemy import Engine, select
from test_parity_alpaca import CALM, KEY, SECRET, START, STOP, AlpacaDesk, case_of

from autonomous_trading_engine import AutonomousTradingEngine
from trading_platform.alpaca_server.behaviour import EXACT, REALISTIC, Behaviour, changed
from trading_platform.alpaca_server.fill_models import PaperFills, RealisticFills
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.brokers.alpaca_venue import AlpacaVenue
from trading_platform.brokers.venue import HISTORY_PATIENCE
from trading_platform.core.alert_states import AlertKind
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.market import LOW
from trading_platform.core.replay_causes import Cause
from trading_platform.core.types import MarketPanel, Side
from trading_platform.engine.evening_check import EveningCheck
from trading_platform.storage import models as m
from trading_platform.storage.account_states import account_states
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.operator_requests import leave_command
from trading_platform.storage.replay_checks import CheckState
from trading_platform.storage.repository import create_run

HABITS = changed(REALISTIC, {"requests_per_minute": 0, "bad_ticks": 0.0, "partial_fills": 0.5})
LOOK = timedelta(minutes=15)


@dataclass
class Checked(AlpacaDesk):
    """A desk whose days are compared with the kernel's."""

    evenings: EveningCheck | None = None
    announces: bool = True  # False: nobody tells the comparison corporate actions
    killed: frozenset[int] = field(default_factory=frozenset)

    def build(self) -> AutonomousTradingEngine:
        engine = super().build()
        venue = engine.broker
        assert isinstance(venue, AlpacaVenue)
        self.evenings = EveningCheck(
            engine.repository,
            self.case.rules,
            venue.account_book,
            lambda: engine.risk_manager.account,
            CALENDAR.next_session,
            self.clock.now,
            self.ex_dates() if self.announces else None,
        )
        return engine

    def restart(self) -> None:
        super().restart()
        self.compare()

    def compare(self) -> None:
        assert self.evenings is not None
        self.evenings.look(self.case.world)

    def walk(self, rows: range) -> None:
        """Trade `rows` with looks at the open, five minutes later, at the close, and until the session is settled."""
        if self.engine is None:
            self.engine = self.build()
        for t in rows:
            opened, closed = self.case.world.opened[t], self.case.world.closed[t]
            for instant in (opened, opened + timedelta(minutes=5), closed):
                self.server.advance(instant)
                self.clock.ask()
                self.engine.watch(self.clock.now())
                self.engine.commit()
            self.settle(t)
            if t in self.killed:
                self.restart()
            self.engine.watch(self.clock.now())
            self.engine.commit()

    def settle(self, t: int) -> None:
        assert self.engine is not None
        now, closed = self.case.world.closed[t] + LOOK + timedelta(minutes=10), self.case.world.closed[t]
        while True:
            self.server.advance(now)
            self.clock.ask()
            try:
                self.engine.scan_cycle(t)
            except BrokerUnreachableError:
                assert now < closed + HISTORY_PATIENCE
                self.engine.watch(self.clock.now())
                self.engine.commit()
                now += LOOK
            else:
                if t not in self.killed:  # else it dies after the commit, before the comparison
                    self.compare()
                return

    def rows(self) -> Sequence[m.ReplayCheck]:
        return rows_of(self.database, self.run_id)


def rows_of(database: Engine, run_id: int) -> Sequence[m.ReplayCheck]:
    columns = m.ReplayCheck.__table__
    with database.connect() as connection:
        query = select(columns).where(m.ReplayCheck.run_id == run_id).order_by(m.ReplayCheck.session)
        return [m.ReplayCheck(**row._mapping) for row in connection.execute(query)]


@contextmanager
def checked(
    case: Case,
    folder: Path,
    behaviour: Behaviour = EXACT,
    killed: frozenset[int] = frozenset(),
    panel: MarketPanel | None = None,
) -> Iterator[Checked]:
    """Yield a desk for `case` at a server that trades `panel`, or the case's own."""
    database = open_database(folder / "alpaca.db", synchronous="NORMAL")
    migrate(database)
    run_id = create_run(database, run_values(case, START), [])
    config = ServerConfig(cash=case.capital, key_id=KEY, secret_key=SECRET, behaviour=behaviour, seed=3)
    fills = RealisticFills(case.costs) if behaviour.limits_rest else PaperFills(case.costs)
    first: date = case.world.sessions[START]
    with AlpacaServer(panel or case.panel, CALENDAR, config, fills, start=first) as server:
        yield Checked(case, server, database, run_id, killed=killed)
    database.dispose()


@pytest.mark.parametrize(("seed", "dividends"), [(7, False), (3, True)])
def test_exact_alpaca_differs_by_nothing(tmp_path: Path, seed: int, dividends: bool) -> None:
    case = case_of(seed, replace(CALM, gaps=True, dividends=dividends))
    with checked(case, tmp_path) as desk:
        desk.walk(range(START, STOP))
        *done, ahead = desk.rows()
    assert [row.session for row in done] == case.world.sessions[START + 1 : STOP]
    assert {row.state for row in done} == {CheckState.DONE}
    assert [(row.session, row.items) for row in done if row.items != "[]"] == []
    assert [row.session for row in done if row.live_equity != row.replay_equity] == []
    assert (ahead.state, ahead.live) == (CheckState.WAITING, None)


def test_engine_that_dies_before_each_comparison_compares_the_same(tmp_path: Path) -> None:
    case = case_of(7, replace(CALM, gaps=True))
    with checked(case, tmp_path, killed=frozenset(range(START, STOP, 2))) as desk:
        desk.walk(range(START, STOP))
        *done, _ = desk.rows()
        desk.restart()
        desk.compare()
        assert [row.checked_at for row in desk.rows()[:-1]] == [row.checked_at for row in done]
    assert len(done) == STOP - START - 1
    assert {(row.state, row.items) for row in done} == {(CheckState.DONE, "[]")}


def test_realistic_alpaca_differs_by_causes(tmp_path: Path) -> None:
    case = case_of(7, replace(CALM, gaps=True))
    with checked(case, tmp_path, HABITS) as desk:
        desk.walk(range(START, STOP))
        *done, _ = desk.rows()
    assert {row.state for row in done} == {CheckState.DONE}
    assert [(row.session, row.items) for row in done if row.unexplained] == []
    text = " ".join(row.causes for row in done)
    for cause in (Cause.AUCTION, Cause.STOP, Cause.PARTIAL):
        assert cause.value in text


def test_shares_that_vanish_behind_the_engine_are_unexplained_and_told(tmp_path: Path) -> None:
    case = case_of(7, replace(CALM, gaps=True))
    with checked(case, tmp_path) as desk:
        desk.walk(range(START, START + 12))
        assert [state for state in account_states(desk.database, desk.run_id) if state.kind is AlertKind.REPLAY] == []
        ticker, position = next((name, held) for name, held in desk.server.account.positions.items())
        gone = position.quantity
        with desk.server.lock:
            del desk.server.account.positions[ticker]
        desk.walk(range(START + 12, START + 13))
        row = desk.rows()[-2]
        told = [state for state in account_states(desk.database, desk.run_id) if state.kind is AlertKind.REPLAY]
    assert row.unexplained is not None
    assert row.unexplained > 100.0
    assert f"{-gone:+g} shares came or went" in row.items
    assert len(told) == 1
    assert ticker in told[0].words


def test_word_about_a_ticker_is_the_owners_hand(tmp_path: Path) -> None:
    row = START + 3
    case = case_of(7, replace(CALM, gaps=True))
    with checked(case, tmp_path) as desk:
        desk.walk(range(START, row))
        waiting = sorted(order.symbol for order in desk.server.exchange.working() if order.side is Side.BUY)
        ticker = next(iter(waiting or sorted(desk.server.account.positions)))
        leave_command(desk.database, desk.run_id, "flatten", "why", desk.clock.now(), ticker)
        assert desk.engine is not None
        desk.engine.watch(desk.clock.now())
        desk.engine.commit()
        desk.walk(range(row, row + 3))
        *done, _ = desk.rows()
    assert [(row.session, row.items) for row in done if row.unexplained] == []
    assert Cause.OWNER.value in " ".join(row.causes for row in done)


def test_day_with_an_absurd_tick_is_compared_again_when_its_bar_is_corrected(tmp_path: Path) -> None:
    case = case_of(7, replace(CALM, gaps=True))
    with checked(case, tmp_path) as desk:
        desk.walk(range(START, START + 8))
        held = [ticker for ticker in desk.server.account.positions if ticker in case.world.columns]
        t = START + 8
        right = case.world.market.bars.copy()
        for ticker in held:  # as the evening's bars show it; what the account trades on does not
            case.world.market.bars[case.world.columns[ticker], t, LOW] /= 5.0
        desk.walk(range(t, t + 1))
        doubted = desk.rows()[-2]
        assert doubted.session == case.world.sessions[t]
        assert Cause.BAR.value in doubted.causes
        case.world.market.bars[:] = right
        desk.walk(range(t + 1, t + 2))
        again = next(row for row in desk.rows() if row.session == doubted.session)
    assert (again.items, again.unexplained, again.start) == ("[]", 0.0, None)
