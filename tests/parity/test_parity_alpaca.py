"""The engine at the local Alpaca trades as the engine at the paper broker: the same trades, equity and refusals.

Both fill by the same model and nothing breaks. Everything between is the real thing: HTTP, order forms, the order
journal, the account's history, reconciliation, resting stops that lapse and are placed anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from parity_markets import Trouble, market_of, scripted_weights, signals_of
from parity_world import CALENDAR, Case, ScriptedAllocator, Trail, assert_same, engine, run_values, stored_trail
from sqlalchemy import Engine, func, select

from autonomous_trading_engine import AutonomousTradingEngine
from risk_config import RiskConfig
from risk_manager import RiskManager
from trading_platform.alpaca.clock import FollowedClock
from trading_platform.alpaca.corporate_actions import ask_actions
from trading_platform.alpaca.http import AlpacaAccess, AlpacaHttp
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.alpaca_venue import AlpacaVenue
from trading_platform.brokers.eve_events import ExDateSource
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.configuration.environment import Secret
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.market_data.alpaca_data import LatestPrice
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.difference_store import DifferenceStore
from trading_platform.storage.operator_requests import entry_refuser
from trading_platform.storage.order_journal import DatabaseJournal
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository, RiskStore, create_run

KEY, SECRET = "PKPARITY0123456789", "parity-secret"
START, STOP, SESSIONS = 21, 69, 70  # an order needs a session after it
REFUSED = 50  # by then the market of seed 5 has had a stop refused
CALM = Trouble(**dict.fromkeys(Trouble.__dataclass_fields__, False))
SETTLED_AFTER = timedelta(minutes=25)
RISK = RiskConfig(
    max_position_pct=20.0,
    max_sector_pct=60.0,
    max_exposure_pct=80.0,
    max_correlation=0.9,
    correlation_window=8,
    position_volatility_pct=60.0,
    kelly_prior_payoff=3.0,
    max_positions=5,
    consecutive_loss_limit=3,
    max_drawdown_pct=9.0,
    recovery_drawdown_pct=6.0,
    max_daily_loss_pct=3.0,
    entry_collar_pct=1.0,
)
EXITS = ExitConfig(stop_loss_volatilities=1.5, take_profit_volatilities=2.5, min_stop_pct=1.0, max_holding_sessions=8)


def case_of(seed: int, trouble: Trouble) -> Case:
    rng = np.random.default_rng(seed)
    panel = market_of(rng, 7, trouble, SESSIONS)
    panel = replace(panel, volume=np.full(panel.volume.shape, 5e7))  # no order meets the cap on volume
    weights = scripted_weights(rng, panel.n_sessions, 3) if seed % 2 else np.full(3, 1.0 / 3.0)
    return Case(panel, signals_of(rng, panel.close.shape), weights, RISK, EXITS, CostConfig(), 250_000.0)


@dataclass
class AlpacaDesk:
    """An engine that trades a case at a local Alpaca; it can be thrown away and built again from its database."""

    case: Case
    server: AlpacaServer
    database: Engine
    run_id: int
    engine: AutonomousTradingEngine | None = None
    tells_actions: bool = True  # False: nobody tells the engine corporate actions

    def http(self) -> AlpacaHttp:
        access = AlpacaAccess(
            Secret(KEY), Secret(SECRET), trading_url=self.server.url, data_url=self.server.url, requests_per_minute=1e9
        )
        return AlpacaHttp(access)

    def ex_dates(self) -> ExDateSource:
        return ExDateSource(partial(ask_actions, self.http()), self.case.rules.costs.special_dividend)

    def build(self) -> AutonomousTradingEngine:
        case, world, http = self.case, self.case.world, self.http()
        clock = FollowedClock(AlpacaReader(http))
        repository = Repository(self.database, self.run_id, world.panel.tickers, world.strategies)
        risk = RiskManager(
            case.risk, store=RiskStore(repository, clock.now, durable=True), clock=clock, capital=case.capital
        )
        journal = DatabaseJournal(self.database, self.run_id, clock.now)
        broker = AlpacaBroker(http, risk, journal, clock, lambda seconds: None)
        book = AccountBook(case.rules, case.capital, world.panel.tickers, world.strategies)
        store = DifferenceStore(self.database, self.run_id)
        memory = Memory(clock.now(), {})
        venue = AlpacaVenue(
            broker,
            journal,
            store,
            risk,
            book,
            memory,
            CALENDAR,
            clock,
            self.latest,
            ex_dates=self.ex_dates() if self.tells_actions else None,
            refuses=entry_refuser(self.database, self.run_id),
        )
        opens = dict(zip(world.sessions, world.opened, strict=True))
        recorder = Recorder(repository, world.panel.tickers, world.strategies, opens, journaled=True)
        rows = {session: t for t, session in enumerate(world.sessions)}
        allocator = ScriptedAllocator(lambda session: case.row_weights(rows[session]))
        self.clock = clock
        return AutonomousTradingEngine(
            world, venue, risk, allocator, case.rules, repository, recorder, clock, commit_sessions=1
        )

    def latest(self, tickers: Collection[str]) -> dict[str, LatestPrice]:
        """Return the latest prices, which are asked for where the broker has refused a stop."""
        prices = {ticker: self.server.market.price(ticker) for ticker in tickers}
        now = self.server.now
        return {ticker: LatestPrice(price, now) for ticker, price in prices.items() if price is not None}

    def restart(self) -> None:
        """Build the engine from what the database holds."""
        self.engine = self.build()
        self.engine.recover(START)

    def trade(self, rows: range, killed: frozenset[int] = frozenset()) -> None:
        """Trade `rows`, looking at the account at the open and at the close; the engine dies in the rows `killed`."""
        if self.engine is None:
            self.engine = self.build()
        for t in rows:
            opened, closed = self.case.world.opened[t], self.case.world.closed[t]
            for n, instant in enumerate((opened, closed, closed + SETTLED_AFTER)):
                self.server.advance(instant)
                self.clock.ask()
                if n == 2:
                    self.engine.scan_cycle(t)
                self.engine.watch(self.clock.now())
                if t in killed and n != 2:
                    self.restart()
                else:
                    self.engine.commit()


@contextmanager
def alpaca_desk(case: Case, folder: Path, start: int = START) -> Iterator[AlpacaDesk]:
    database = open_database(folder / "alpaca.db", synchronous="NORMAL")
    migrate(database)
    run_id = create_run(database, run_values(case, start), [])
    config = ServerConfig(cash=case.capital, key_id=KEY, secret_key=SECRET)
    fills = PaperFills(case.costs)
    first: date = case.world.sessions[start]
    with AlpacaServer(case.panel, CALENDAR, config, fills, start=first) as server:
        yield AlpacaDesk(case, server, database, run_id)
    database.dispose()


def in_cents(trail: Trail) -> Trail:
    """Return a trail whose write-offs are told by their money: Alpaca knows no price a share of them."""
    trades = [
        (*trade[:4], round(trade[3] * trade[4], 2), *trade[5:]) if trade[6] == "delisted" else trade
        for trade in trail.trades
    ]
    return replace(trail, trades=trades)


def count(database: Engine, model: type[m.Base], *conditions: object) -> int:
    with database.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(model).where(*conditions)).scalar_one())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seed", "trouble"),
    [
        (7, replace(CALM, gaps=True)),
        (2, CALM),
        (3, replace(CALM, gaps=True, dividends=True)),
        (4, replace(CALM, vix_missing=True, halted=True)),
        (6, replace(CALM, delisted=True)),
    ],
    ids=["gaps", "calm", "dividends", "halts", "delisted"],
)
def test_alpaca_gives_the_trades_of_the_paper_broker(tmp_path: Path, seed: int, trouble: Trouble) -> None:
    case = case_of(seed, trouble)
    paper = engine(case, tmp_path, START, STOP)
    with alpaca_desk(case, tmp_path) as desk:
        desk.trade(range(START, STOP))
        trail = stored_trail(desk.database, desk.run_id)
        assert count(desk.database, m.Difference, m.Difference.resolved_at.is_(None)) == 0
    assert_same(in_cents(trail), in_cents(paper))
    assert len(paper.trades) > 40
    assert trouble.delisted == any(trade[6] == "delisted" for trade in paper.trades)
    assert {trade[6] for trade in paper.trades} >= {"entry", "signal_exit", "stop_loss", "take_profit"}


def test_refused_stop_is_watched_and_sold_as_the_paper_broker_sells_it(tmp_path: Path) -> None:
    """A close within a cent of the stop: the service refuses to hold it, and the next open gaps below it."""
    case = case_of(5, replace(CALM, gaps=True))
    paper = engine(case, tmp_path, START, REFUSED)
    with alpaca_desk(case, tmp_path) as desk:
        desk.trade(range(START, REFUSED))
        assert count(desk.database, m.Order, m.Order.status == "rejected") > 0
        trail = stored_trail(desk.database, desk.run_id)
    assert_same(trail, paper)


def test_restarts_between_bells_change_nothing(tmp_path: Path) -> None:
    """The reference trades at Alpaca too: two stops that rest there fill apart, in the paper broker's book as one."""
    case = case_of(5, replace(CALM, gaps=True))
    trails = []
    for name, killed in (("undisturbed", range(0)), ("killed", range(START + 1, STOP, 2))):
        (tmp_path / name).mkdir()
        with alpaca_desk(case, tmp_path / name) as desk:
            desk.trade(range(START, STOP), killed=frozenset(killed))
            trails.append(stored_trail(desk.database, desk.run_id))
    assert len(trails[0].trades) > 40
    assert_same(trails[1], trails[0])
