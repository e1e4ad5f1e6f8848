"""The trading command: from options and settings to a running engine, replay or live.

One way down: options and settings here, an engine by `build`, its market and run by `open_run`, its scans by itself.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

from rl_strategy_allocator import RLStrategyAllocator
from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.ports import Allocator, Checkpoint, no_checkpoint
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.engine.fixed_allocator import FixedAllocator
from trading_platform.machine.clocks import ReplayClock, WallClock
from trading_platform.machine.heartbeat import HEARTBEAT_FILE, Heartbeat
from trading_platform.machine.logs import start_logs
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import REAL_MARKETS
from trading_platform.reporting.run_results import run_results
from trading_platform.runtime.account_choice import ALPACA, with_account
from trading_platform.runtime.build import build_engine
from trading_platform.runtime.live_loop import INTERRUPTED, LiveLoop, due_session, run_live
from trading_platform.runtime.open_run import live_run, live_world, set_stage
from trading_platform.runtime.run_screen import RunScreen
from trading_platform.runtime.trade_settings import TradeOptions, as_date, parse_allocation, read_config

log = logging.getLogger("trading_platform.runtime.trade")


def trade(options: TradeOptions, checkpoint: Checkpoint = no_checkpoint) -> int:
    """Trade as options and settings say; print what happened; return the exit code.

    `checkpoint` is called with the name of each step of an order's and a book's life.
    """
    settings = load_settings()
    options = with_account(options, settings, read_config(options, settings))
    config = read_config(options, settings)
    start_logs(config.logging, settings)
    for line in settings.warnings:
        log.warning("%s", line)
    limits = RiskConfig.from_mapping(config.risk).to_dict()
    rules = Rules(limits_of(limits), config.exits.rates(), config.costs.rates(), config.sizing.rates())
    names = tuple(strategy.name for strategy in configured_strategies(config))
    fixed = parse_allocation(options.allocation, names)
    models = config.allocator
    allocator: Allocator
    if fixed is None:
        is_live = config.data.source in REAL_MARKETS
        allocator = RLStrategyAllocator(
            models.models_dir, names, max_age_days=models.max_model_age_days, follow=is_live
        )
    else:
        allocator = FixedAllocator(fixed)
    if config.data.source == ALPACA:
        from trading_platform.runtime.trade_alpaca import trade_alpaca  # the broker's side is needed here only

        return trade_alpaca(options, settings, config, limits, rules, allocator, checkpoint)
    if config.data.source in REAL_MARKETS:
        return _trade_live(options, settings, config, limits, rules, allocator)
    return _replay(options, settings, config, limits, rules, allocator, fixed)


def _replay(
    options: TradeOptions,
    settings: Settings,
    config: TradingConfig,
    limits: Mapping[str, object],
    rules: Rules,
    allocator: Allocator,
    fixed: Mapping[str, float] | None,
) -> int:
    first, last = as_date(options.start), as_date(options.end)
    stage = set_stage(config, settings, rules, limits, first, last, fixed, allocator.model_id)
    clock = ReplayClock(stage.world.closed[stage.first])
    run_id = stage.run.run_id
    engine, lock = build_engine(stage.world, stage.database, run_id, config, rules, allocator, clock, live=False)
    try:
        engine.stages.seconds.update(stage.stopwatch.seconds)
        show = RunScreen(stage, config, as_json=options.json, quiet=options.quiet)
        row = engine.recover(stage.first)
        show.announce(row, engine.risk_manager)
        with show:
            row = engine.run(row, stage.stop if not options.once else min(row + 1, stage.stop), show.watch)
        engine.repository.update_run(status="finished" if row >= stage.stop else "interrupted")
        engine.repository.commit()
        show.conclude(run_results(stage.database, run_id), engine.stages, stopped=engine.stopped)
    finally:
        lock.release()
    return INTERRUPTED if engine.stopped else 0


def _trade_live(
    options: TradeOptions,
    settings: Settings,
    config: TradingConfig,
    limits: Mapping[str, object],
    rules: Rules,
    allocator: Allocator,
) -> int:
    """Paper-trade the real market on the exchange's clock, until stopped (or for one scan)."""
    calendar, clock = NyseCalendar(), WallClock()
    load = functools.partial(live_world, config, settings, rules, calendar)
    world = load(due_session(calendar, clock.now()))
    database, run = live_run(config, limits, world, "paper", None)
    engine, lock = build_engine(world, database, run.run_id, config, rules, allocator, clock, live=True)
    heart = Heartbeat(lock, settings.log_dir / HEARTBEAT_FILE, run.run_id)
    loop = LiveLoop(engine, calendar, clock, heart, load, config.engine.scan_interval_seconds)
    welcome = f"paper trading of {world.panel.source}, run {run.run_id}: simulated fills, no real orders; Ctrl-C stops"
    return run_live(engine, lock, world, loop, welcome, once=options.once)
