"""One market and one script of allocations, run through the kernel and through the engine, as trails to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, select

from autonomous_trading_engine import AutonomousTradingEngine
from risk_config import RiskConfig
from risk_manager import RiskManager
from trading_platform.brokers.paper import PaperBroker
from trading_platform.core.costs import CostConfig, ExitConfig, default_protection
from trading_platform.core.market import build_market, build_signals
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.realistic_fills import EXACT, with_fills
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.risk.rules import HALTED, RELEASED, STOPPED
from trading_platform.core.round_trips import EPOCH
from trading_platform.core.session import Rules
from trading_platform.core.simulate import Backtest, backtest
from trading_platform.core.types import Floats, MarketPanel, Regime, RiskEventKind, Side, StrategySignals
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.strategy_stops import StrategyStops
from trading_platform.machine.clocks import ReplayClock
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.runtime.build import open_after, paper_refuser
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.operator_requests import entry_refuser
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository, RiskStore, create_run

CAPITAL = 100_000.0
CALENDAR = NyseCalendar()
FIRST_DAY = date(2015, 1, 2)

# session, ticker, side, quantity, price, strategy, reason
Trade = tuple[date, str, str, float, float, str, str]


@dataclass(frozen=True)
class Trail:
    """What a runner left behind. Equity in whole cents at each close; halts as (session, "halt" or "release")."""

    trades: list[Trade]
    cents: list[int]
    denials: dict[str, int]
    halts: list[tuple[date, str]]

    def equity(self) -> Floats:
        """Return the equity in dollars."""
        return np.array(self.cents) / 100.0


@dataclass(frozen=True)
class Case:
    """A market with signals, the rules of the account, and the allocation of every row, (K,) or (T, K).

    `fills` is the book of fills, `seed` that of its draws.
    """

    panel: MarketPanel
    signals: tuple[StrategySignals, ...]
    weights: Floats
    risk: RiskConfig = field(default_factory=RiskConfig)
    exits: ExitConfig = field(default_factory=ExitConfig)
    costs: CostConfig = field(default_factory=CostConfig)
    capital: float = CAPITAL
    names: tuple[str, ...] = ()
    fills: str = EXACT
    seed: int = 7

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """Names in kernel order."""
        return self.names or tuple(f"strategy_{k}" for k in range(len(self.signals)))

    @cached_property
    def rules(self) -> Rules:
        """The kernel's form of the rules."""
        return Rules(limits_of(self.risk.to_dict()), self.exits.rates(), self.costs.rates())

    @cached_property
    def world(self) -> EngineMarket:
        """The market as the engine wants it; regimes stay unknown, since no allocator here reads them."""
        sessions: list[date] = self.panel.sessions.astype("datetime64[D]").tolist()
        clock = CALENDAR.exchange_seconds(self.panel.sessions)
        market = build_market(self.panel, clock, self.rules.limits.correlation_window)
        return EngineMarket(
            panel=self.panel,
            market=with_fills(market, self.panel, self.fills, self.seed),
            signals=build_signals(self.signals, default_protection(self.rules.exits)),
            strategies=self.strategies,
            regimes=[Regime.UNKNOWN] * len(sessions),
            regime_probabilities=np.full((len(sessions), 3), np.nan),
            opened=[CALENDAR.open_at(session) for session in sessions],
            closed=[CALENDAR.close_at(session) for session in sessions],
            rules=self.rules,
            lookback=1,
        )

    def row_weights(self, t: int) -> dict[str, float]:
        """Return the allocation decided at the close of row `t`."""
        row = self.weights if self.weights.ndim == 1 else self.weights[t]
        return dict(zip(self.strategies, row.tolist(), strict=True))


@dataclass(frozen=True)
class Script:
    """Why an allocation is what it is; implements `core.ports.AllocationReason`."""

    source: str = "fixed"
    reason: str = "FIXED: a script"
    model_id: str | None = None


class ScriptedAllocator:
    """Reads each session's allocation from a script; implements `core.ports.Allocator`.

    With a `model_id` it asks for observations, which it only collects.
    """

    def __init__(self, weights: Callable[[date], Mapping[str, float]], model_id: str | None = None) -> None:
        self._weights = weights
        self.model_id = model_id
        self.reads_state = model_id is not None
        self.last_decision = Script(model_id=model_id)
        self.seen: dict[date, Floats] = {}

    def get_allocation(self, current_state: Floats, session: date | None = None) -> Mapping[str, float]:
        """Return the script's weights."""
        assert session is not None
        if self.model_id is not None:
            self.seen[session] = current_state
        return self._weights(session)

    def explain(self, current_state: Floats) -> Mapping[str, float]:
        """Return nothing: no observation moves a script."""
        return {}


def session_days(count: int, first: date = FIRST_DAY) -> np.ndarray:
    """Return `count` sessions of the exchange, datetime64[D]."""
    return CALENDAR.sessions_between(first, first + timedelta(days=2 * count + 20))[:count]


# ---------------------------------------------------------------- the kernel


def kernel(case: Case, start: int, stop: int) -> tuple[Trail, Backtest]:
    """Run the case through `core.simulate.backtest`."""
    world = case.world
    result = backtest(world.market, world.signals, case.weights, case.rules, case.capital, start, stop)
    trades = [
        (
            EPOCH + timedelta(days=int(fill["day"])),
            case.panel.tickers[fill["ticker"]],
            (Side.BUY if fill["side"] > 0 else Side.SELL).value,
            float(fill["quantity"]),
            float(fill["price"]),
            case.strategies[fill["strategy"]],
            ORDER_REASONS[fill["reason"]].value,
        )
        for fill in result.fills
    ]
    denials = {
        code.value: int(n)
        for code, n in zip(DENIAL_CODES, result.denials, strict=True)
        if n and code is not DenialCode.OK
    }
    kinds = {HALTED: "halt", RELEASED: "release", STOPPED: "halt"}
    halts = [
        (world.sessions[start + i], kinds[int(event)])
        for i, event in enumerate(result.days["event"])
        if int(event) in kinds
    ]
    return Trail(trades, cents(result.days["equity"]), denials, halts), result


def cents(dollars: Sequence[float] | Floats) -> list[int]:
    """Return whole cents; a value that is no whole cent is a fault."""
    values = np.asarray(dollars, dtype=np.float64)
    whole = np.rint(values * 100.0)
    assert np.abs(values * 100.0 - whole).max(initial=0.0) < 1e-3
    return [int(cent) for cent in whole]


# ---------------------------------------------------------------- the engine


class Desk:
    """An engine on its database that can be killed and started again."""

    def __init__(
        self,
        case: Case,
        folder: Path,
        start: int,
        commit_sessions: int = 16,
        model_id: str | None = None,
        stops: Mapping[str, float] | None = None,
    ) -> None:
        self._stops = stops or {}
        self.case = case
        self.start = start
        self.database = open_database(folder / "parity.db", synchronous="NORMAL")
        migrate(self.database)
        world = case.world
        self.run_id = create_run(self.database, run_values(case, start), [])
        rows = {session: t for t, session in enumerate(world.sessions)}
        self.allocator = ScriptedAllocator(lambda session: case.row_weights(rows[session]), model_id)
        self._commit_sessions = commit_sessions
        self.engine = self._build()
        self.next = start

    def _build(self) -> AutonomousTradingEngine:
        case, world = self.case, self.case.world
        repository = Repository(self.database, self.run_id, world.panel.tickers, world.strategies)
        clock = ReplayClock(world.closed[max(0, self.start - 1)])
        saved = repository.load_book()
        if saved is not None:
            clock.set(world.closed[world.sessions.index(saved.session)])
        risk = RiskManager(
            case.risk,
            store=RiskStore(repository, clock.now, durable=False),
            clock=clock,
            capital=case.capital,
            attended=False,
        )
        refuses = paper_refuser(risk, entry_refuser(self.database, self.run_id))
        names = world.panel.tickers, world.strategies
        broker = PaperBroker(case.rules, case.capital, *names, risk, refuses, open_after(CALENDAR))
        recorder = Recorder(
            repository, world.panel.tickers, world.strategies, dict(zip(world.sessions, world.opened, strict=True))
        )
        return AutonomousTradingEngine(
            world,
            broker,
            risk,
            self.allocator,
            case.rules,
            repository,
            recorder,
            clock,
            self._commit_sessions,
            StrategyStops(self._stops, world.strategies, repository),
        )

    def run(self, stop: int) -> None:
        """Trade on to row `stop` (exclusive) and commit."""
        self.next = self.engine.run(self.next, stop)

    def crash_after(self, stop: int) -> None:
        """Trade on to row `stop` and start again without a commit: what was not committed is lost."""
        for row in range(self.next, stop):
            self.engine.scan_cycle(row)
        self.restart()

    def restart(self) -> None:
        """Throw the engine away and build another from the database."""
        self.engine = self._build()
        self.next = self.engine.recover(self.start)

    def trail(self) -> Trail:
        """Return what the database says."""
        return stored_trail(self.database, self.run_id)


def run_values(case: Case, start: int) -> dict[str, object]:
    """Return the row of a run."""
    return {
        "key": "parity",
        "mode": "replay",
        "source": "parity",
        "account": None,
        "status": "running",
        "started_at": case.world.opened[start],
        "finished_at": None,
        "capital": case.capital,
        "first_session": case.world.sessions[start],
        "last_session": None,
        "config_fingerprint": "parity",
        "config": "{}",
        "data_hash": "parity",
        "seed": 0,
        "code_version": "0",
        "strategies": "[]",
        "sectors": "{}",
    }


def stored_trail(database: Engine, run_id: int) -> Trail:
    """Return the trail of a run from its database."""
    with database.connect() as connection:
        fills = connection.execute(select(m.FillRow).where(m.FillRow.run_id == run_id).order_by(m.FillRow.id)).all()
        equity = connection.execute(
            select(m.EquityRow.equity).where(m.EquityRow.run_id == run_id).order_by(m.EquityRow.session)
        ).all()
        events = connection.execute(
            select(m.RiskEvent.session, m.RiskEvent.kind)
            .where(m.RiskEvent.run_id == run_id)
            .where(m.RiskEvent.kind.in_((RiskEventKind.HALT.value, RiskEventKind.RELEASE.value)))
            .order_by(m.RiskEvent.id)
        ).all()
        codes = connection.execute(
            select(m.SignalRow.code).where(m.SignalRow.run_id == run_id, m.SignalRow.verdict == "denied")
        ).all()
    denials: dict[str, int] = {}
    for (code,) in codes:
        denials[code] = denials.get(code, 0) + 1
    trades = [(row.session, row.ticker, row.side, row.quantity, row.price, row.strategy, row.reason) for row in fills]
    return Trail(trades, cents([row.equity for row in equity]), denials, [(row[0], row[1]) for row in events])


def engine(case: Case, folder: Path, start: int, stop: int, commit_sessions: int = 64) -> Trail:
    """Run the case through the engine, the paper broker and a database."""
    desk = Desk(case, folder, start, commit_sessions)
    desk.run(stop)
    return desk.trail()


def assert_same(ours: Trail, reference: Trail) -> None:
    """Compare two trails, the first difference first."""
    for n, (mine, theirs) in enumerate(zip(ours.trades, reference.trades, strict=False)):
        assert mine == theirs, f"trade {n}"
    assert len(ours.trades) == len(reference.trades)
    assert ours.halts == reference.halts
    assert ours.cents == reference.cents
    assert dict(sorted(ours.denials.items())) == dict(sorted(reference.denials.items()))
