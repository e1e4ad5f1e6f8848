"""The trading command: from options and settings to a running engine, replay or live.

One way down: options and settings here, an engine by `build`, its market and run by `open_run`, its scans by itself.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from trading_platform.brokers.venue import Broker, RiskDoor
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.compiled import HAS_NUMBA
from trading_platform.core.errors import FixConfigError
from trading_platform.core.ports import Checkpoint, no_checkpoint
from trading_platform.core.realistic_fills import EXACT, REALISTIC
from trading_platform.engine.account_notices import account_notices
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.engine.own_brokers import BrokerSetup, OpenBroker, own_broker
from trading_platform.engine.trading_rules import rules_of
from trading_platform.machine.clocks import WallClock
from trading_platform.machine.first_compile import tell_compiling
from trading_platform.machine.heartbeat import HEARTBEAT_FILE, Heartbeat
from trading_platform.machine.logs import start_logs
from trading_platform.machine.stop_signals import INTERRUPTED, StoppedNowError
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import REAL_MARKETS, wanted_tickers
from trading_platform.reporting.run_results import run_results
from trading_platform.reporting.status_screen import complain
from trading_platform.reporting.waiting import tell, waiting
from trading_platform.runtime.account_choice import PAPER, Whose, chosen_account
from trading_platform.runtime.alerting import NobodyListens, open_post, posted, telling_watchdog
from trading_platform.runtime.build import build_engine, consent_due, replaying
from trading_platform.runtime.instructions import Instructions
from trading_platform.runtime.live_loop import LiveLoop, due_session, run_live
from trading_platform.runtime.open_run import (
    PAPER_ACCOUNT,
    kept_strategies,
    live_market,
    live_run,
    set_notices,
    set_stage,
)
from trading_platform.runtime.replay_page import replay_page, show_page
from trading_platform.runtime.run_screen import LiveScreen, RunScreen
from trading_platform.runtime.storage_patience import outlast
from trading_platform.runtime.trade_settings import (
    TradeOptions,
    check_days,
    enabled_strategies,
    read_config,
    same_place,
)
from trading_platform.storage.database import database_name, reach_server
from trading_platform.storage.operator_requests import has_open_wishes, stop_answerer

log = logging.getLogger("trading_platform.runtime.trade")

UNCOMPILED = "numba is not installed: it works, but runs uncompiled and slowly (minutes); pip install numba"
OWN_BROKER = Whose.OWN.value  # the mode of a run at a broker of one's own


def trade(options: TradeOptions, checkpoint: Checkpoint = no_checkpoint) -> int:
    """Trade as options and settings say; print what happened; return the exit code.

    `checkpoint` is called with the name of each step of an order's and a book's life.
    """
    given, whose = instructed(options)
    match whose:
        case Whose.NOBODYS:
            return _replay(given)
        case Whose.SIMULATED | Whose.OWN:
            return outlasted(given, functools.partial(_trade_real_market, given))
        case Whose.BROKERS:
            # the broker's side is needed here only
            from trading_platform.runtime.trade_alpaca import StopGuard, trade_alpaca

            guard = StopGuard()
            return outlasted(given, functools.partial(trade_alpaca, given, checkpoint, guard), guard.keep)
        case unknown:
            assert_never(unknown)


def instructed(options: TradeOptions) -> tuple[Instructions, Whose]:
    """Return what options and settings come to, and whose account they trade; log lines begin."""
    settings = load_settings()
    check_days(options)
    choice = chosen_account(options, settings, read_config(options, settings))
    options = replace(options, source=choice.source)
    config = read_config(options, settings)
    start_logs(config.logging, settings)
    for line in settings.warnings:
        log.warning("%s", line)
    reach_server(config.storage.database_url)
    limits = RiskConfig.from_mapping(config.risk).to_dict()
    strategies = enabled_strategies(config, options.config)
    follow = choice.whose is not Whose.NOBODYS
    return Instructions(options, settings, config, limits, rules_of(config), strategies, follow), choice.whose


def adopt_broker_account(options: TradeOptions, *, sure: bool) -> int:
    """Take over an account at the broker whose database is lost; return the exit code.

    Raises
    ------
    FixConfigError
        Keys and settings name no account at a broker.
    """
    given, whose = instructed(options)
    if whose is not Whose.BROKERS:
        raise FixConfigError("adopt takes an account at Alpaca over: set ALPACA_API_KEY and ALPACA_SECRET_KEY")
    from trading_platform.runtime.adopt import adopt

    return adopt(given, sure=sure)


def upgrade_account(options: TradeOptions, *, plan_only: bool, sure: bool, reason: str | None) -> int:
    """Let a running account go over to the configured strategies; return the exit code."""
    given, whose = instructed(options)
    from trading_platform.runtime.upgrade import upgrade

    return upgrade(given, whose, plan_only=plan_only, sure=sure, reason=reason)


def outlasted(given: Instructions, life: Callable[[], int], protect: Callable[[], None] = lambda: None) -> int:
    """Trade through the storage's troubles; a single look (--once) fails with them, for whoever called it is there."""
    database = given.database or given.config.storage.database_url
    return life() if given.options.once else outlast(life, database, complain, protect=protect)


def _replay(given: Instructions) -> int:
    options, config = given.options, given.config
    is_asked = config.data.source in REAL_MARKETS
    words = f"asking {config.data.source} for bars" if is_asked else "preparing the market"
    if not (options.json or options.quiet):
        tell_compiling(tell)
        if not HAS_NUMBA:
            tell(UNCOMPILED)
    with waiting(words, shown=not (options.json or options.quiet), in_pipes=is_asked):
        stage = set_stage(
            config,
            given.settings,
            given.rules,
            given.limits,
            options.start,
            options.end,
            given.strategies,
            given.choose,
            (options.fetch_from, options.fetch_to),
        )
    run_id = stage.run.run_id
    with replaying(stage, config, given.rules) as engine, _told_when_stopped(run_id):
        engine.stages.seconds.update(stage.stopwatch.seconds)
        show = RunScreen(
            stage, config, as_json=options.json, quiet=options.quiet, place=same_place(options.database, options.config)
        )
        row = engine.recover(stage.first)
        show.announce(row, engine.risk_manager)
        with show:
            row = engine.run(row, stage.stop if not options.once else min(row + 1, stage.stop), show.watch)
        engine.repository.update_run(status="finished" if row >= stage.stop else "interrupted")
        engine.repository.commit()
        results, stopped = run_results(stage.database, run_id, stage.prepared.panel), row < stage.stop
        page = None
        if options.page and not stopped:
            page = replay_page(config, results, stage.prepared.panel, given.settings.cache_dir)
        show.conclude(results, engine.stages, stopped=stopped, page=page)
        if page is not None and options.opens:
            show_page(page)
    return INTERRUPTED if engine.stopped else 0


@contextmanager
def _told_when_stopped(run_id: int) -> Iterator[None]:
    """Say what a second Ctrl-C leaves of a replay."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedNowError(
            f"Stopped. What was committed of run {run_id} stands; the same command goes on from there."
        ) from None


def _trade_real_market(given: Instructions) -> int:
    """Trade the real market on the exchange's clock, until stopped (or for one scan).

    The account is the local paper account, or one at a broker of one's own.
    """
    with ExitStack() as closing:
        return _trade_market(given, closing)


def _trade_market(given: Instructions, closing: ExitStack) -> int:
    options, settings, config = given.options, given.settings, given.config
    calendar, clock = NyseCalendar(), WallClock()
    opener, mode, account = _account(config)
    strategies = kept_strategies(config, given.strategies, mode, account)
    fills = config.engine.fills if opener is None else EXACT  # a broker fills as it fills
    load = functools.partial(live_market, config, settings, given.rules, calendar, strategies, fills=fills)
    tickers = wanted_tickers(config) or ()
    with waiting(f"asking {config.data.source} for {len(tickers)} tickers", shown=not options.json):
        prepared = load(due_session(calendar, clock.now()))
    database, run = live_run(config, given.limits, prepared, mode, account)
    closing.callback(database.dispose)  # whatever ends this life
    notices = account_notices(config, config.engine.initial_capital, prepared.panel.close[-1])
    for notice in (*notices, *set_notices(prepared, strategies, given.strategies)):
        log.warning("%s", notice)
    allocator = given.allocator(strategies, prepared.strategies)
    post = open_post(settings, config, database, run.run_id, mode, config.account.name or account or "")

    engine, lock = build_engine(
        prepared,
        database,
        run.run_id,
        config,
        given.rules,
        allocator,
        clock,
        live=True,
        open_broker=None if opener is None else functools.partial(_open_own, opener, given, prepared),
    )
    heart = Heartbeat(lock, settings.log_dir / HEARTBEAT_FILE, run.run_id)
    screen = LiveScreen(database, run.run_id, as_json=options.json, quiet=options.quiet)
    loop = LiveLoop(
        engine,
        calendar,
        clock,
        heart,
        load,
        config.engine.scan_interval_seconds,
        on_scan=screen.watch,
        asked=functools.partial(has_open_wishes, database, run.run_id),
        ears=post or NobodyListens(),
        watchdog=telling_watchdog(post),
        glance=functools.partial(consent_due, engine),
        told_to_stop=stop_answerer(database, run.run_id, clock.now),
    )
    if opener is not None:
        welcome = f"trading {prepared.panel.source} at your broker {account}, run {run.run_id}; Ctrl-C stops"
        goodbye = f"Stopped. Orders that {account} has stay there; the same command goes on."
    else:
        words = f"realistic fills (seed {config.engine.seed})" if fills == REALISTIC else "simulated fills"
        welcome = f"paper trading of {prepared.panel.source}, run {run.run_id}: {words}, no real orders; Ctrl-C stops"
        goodbye = f"Stopped. The paper account is in {database_name(database.url)}; the same command goes on."
    with posted(post, drained=options.once):
        code = run_live(
            engine, lock, prepared, loop, welcome, once=options.once, quiet=screen.quiet, farewell=lambda: goodbye
        )
    screen.conclude()
    return code


def _open_own(opener: OpenBroker, given: Instructions, prepared: EngineMarket, door: RiskDoor) -> Broker:
    """Return the broker of one's own, opened for the market that is traded."""
    capital = given.config.engine.initial_capital
    return opener(BrokerSetup(given.rules, capital, prepared.panel.tickers, prepared.strategies, door))


def _account(config: TradingConfig) -> tuple[OpenBroker | None, str, str | None]:
    """Return who opens the broker of one's own (None: the paper simulator), the mode of the run, and the account."""
    name = config.broker.name
    if name in ("", PAPER):
        return None, PAPER_ACCOUNT, None
    return own_broker(name, Path(config.broker.folder)), OWN_BROKER, name
