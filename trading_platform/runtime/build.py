"""Put an engine together from its parts; the way down from a command ends here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from sqlalchemy import Engine

from autonomous_trading_engine import AutonomousTradingEngine
from risk_manager import RiskManager
from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.venue import Broker, BrokerMaker, Refuser
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import MarketDataError
from trading_platform.core.ports import Allocator
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.session import Rules
from trading_platform.engine.consent import Consent, ConsentBroker, Terms
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.strategy_stops import StrategyStops
from trading_platform.machine.clocks import EngineClock, ReplayClock, utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.runtime.open_run import Stage
from trading_platform.storage.operator_requests import entry_refuser
from trading_platform.storage.recorder import Recorder
from trading_platform.storage.repository import Repository, RiskStore
from trading_platform.storage.runs import RunLock


def build_engine(
    prepared: EngineMarket,
    database: Engine,
    run_id: int,
    config: TradingConfig,
    rules: Rules,
    allocator: Allocator,
    clock: EngineClock,
    *,
    live: bool,
    open_broker: BrokerMaker | None = None,
    journaled: bool = False,
) -> tuple[AutonomousTradingEngine, RunLock]:
    """Put the parts together, holding the run so that no second engine trades it; live commits after every scan.

    `open_broker` opens whoever the orders go to (None: the paper simulator); `journaled` says that it writes them down
    by itself, before they leave.
    """
    risk_config = RiskConfig.from_mapping(config.risk)
    capital = config.engine.initial_capital
    lock = RunLock(database, run_id)
    lock.acquire(utc_now())
    repository = Repository(database, run_id, prepared.panel.tickers, prepared.strategies)
    if (saved := repository.load_book()) is not None:
        try:
            clock.set(prepared.closed[_row_of(saved.session, prepared)])
        except MarketDataError:
            lock.release()
            raise
    store = RiskStore(repository, clock.now, durable=live)
    risk_manager = RiskManager(risk_config, store=store, clock=clock, capital=capital, attended=live)
    names = prepared.panel.tickers, prepared.strategies
    broker: Broker
    if open_broker is not None:
        broker = open_broker(risk_manager)
    elif live:
        refuses = paper_refuser(risk_manager, entry_refuser(database, run_id))
        broker = PaperBroker(rules, capital, *names, risk_manager, refuses, open_after(NyseCalendar()))
    else:
        broker = PaperBroker(rules, capital, *names, risk_manager)
    terms = Terms(Consent(config.engine.consent), timedelta(minutes=config.engine.consent_minutes))
    if live and terms.consent is not Consent.NONE:
        broker = ConsentBroker(
            broker, risk_manager, terms, repository, NyseCalendar(), prepared.panel.tickers, journaled=journaled
        )
    recorder = Recorder(repository, *names, prepared.opens, journaled=journaled)
    stops = StrategyStops(config.strategies.drawdown_stops, prepared.strategies, repository)
    commit_sessions = 1 if live else config.engine.commit_sessions
    engine = AutonomousTradingEngine(
        prepared, broker, risk_manager, allocator, rules, repository, recorder, clock, commit_sessions, stops
    )
    return engine, lock


@contextmanager
def replaying(stage: Stage, config: TradingConfig, rules: Rules) -> Iterator[AutonomousTradingEngine]:
    """Give the engine of a replay, on the clock of its bars; its hold on the run ends with the block."""
    clock = ReplayClock(stage.prepared.closed[stage.first])
    run_id = stage.run.run_id
    engine, lock = build_engine(
        stage.prepared, stage.database, run_id, config, rules, stage.allocator, clock, live=False
    )
    try:
        yield engine
    finally:
        lock.release()


def paper_refuser(risk_manager: RiskManager, refuses: Refuser) -> Refuser:
    """Return what withdraws a simulated account's entries: a halt by an operator, or his word about one of them."""

    def halted_or_refused(ticker: str, strategies: Collection[str]) -> bool:
        is_halted = risk_manager.can_trade()[1].startswith(DenialCode.MANUAL_HALT)
        return is_halted or refuses(ticker, strategies)

    return halted_or_refused


def open_after(calendar: NyseCalendar) -> Callable[[date], datetime]:
    """Return what tells the open that follows a session."""
    return lambda session: calendar.open_at(calendar.next_session(session))


def consent_due(engine: AutonomousTradingEngine, now: datetime) -> bool:
    """Return True if entries wait for consent and the time to answer is over: a look is due at once."""
    return isinstance(engine.broker, ConsentBroker) and engine.broker.is_due(now)


def _row_of(session: date, prepared: EngineMarket) -> int:
    """Return the row of the session to which a book is settled.

    Raises
    ------
    MarketDataError
        The market does not have it: the clock is behind, or bars are missing; both may pass.
    """
    if session not in prepared.sessions:
        raise MarketDataError(
            f"the book is settled to {session}, and the market's sessions are {prepared.sessions[0]} to "
            f"{prepared.sessions[-1]}: check this machine's clock and the bars; after a long absence raise "
            "[engine] history_sessions"
        )
    return prepared.sessions.index(session)
