"""Put an engine together from its parts; the way down from a command ends here."""

from __future__ import annotations

from sqlalchemy import Engine

from autonomous_trading_engine import AutonomousTradingEngine
from risk_manager import RiskManager
from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.venue import VenueMaker
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.ports import Allocator
from trading_platform.core.session import Rules
from trading_platform.engine.engine_market import World
from trading_platform.machine.clocks import EngineClock, utc_now
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository, RiskStore
from trading_platform.storage.runs import RunLock


def build_engine(
    world: World,
    database: Engine,
    run_id: int,
    config: TradingConfig,
    rules: Rules,
    allocator: Allocator,
    clock: EngineClock,
    *,
    live: bool,
    open_venue: VenueMaker | None = None,
) -> tuple[AutonomousTradingEngine, RunLock]:
    """Put the parts together, holding the run so that no second engine trades it; live commits after every scan."""
    risk_config = RiskConfig.from_mapping(config.risk)
    capital = config.engine.initial_capital
    lock = RunLock(database, run_id)
    lock.acquire(utc_now())
    repository = Repository(database, run_id, world.panel.tickers, world.strategies)
    if (saved := repository.load_book()) is not None:
        clock.set(world.closed[world.sessions.index(saved.session)])
    store = RiskStore(repository, clock.now, durable=live)
    risk_manager = RiskManager(risk_config, store=store, clock=clock, capital=capital, attended=live)
    names = world.panel.tickers, world.strategies
    broker = open_venue(risk_manager) if open_venue else PaperBroker(rules, capital, *names, risk_manager)
    recorder = Recorder(repository, *names, world.opens, journaled=open_venue is not None)
    commit_sessions = 1 if live else config.engine.commit_sessions
    engine = AutonomousTradingEngine(
        world, broker, risk_manager, allocator, rules, repository, recorder, clock, commit_sessions
    )
    return engine, lock
