"""The trading command: from options and settings to a running engine, replay or live.

The flat modules above this package pass in what they own: how a risk configuration is read, an allocator and an engine
are made.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

from trading_platform.command_line import TradeOptions
from trading_platform.config import TradingConfig
from trading_platform.core.limits import limits_of
from trading_platform.core.ports import Allocator
from trading_platform.core.session import Rules
from trading_platform.heartbeat import HEARTBEAT_FILE, Heartbeat
from trading_platform.live import LiveLoop, due_session
from trading_platform.live_desk import run_live
from trading_platform.logs import start_logs
from trading_platform.makers import INTERRUPTED, MakeEngine, Makers
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.modes import ALPACA, with_account
from trading_platform.regime.hmm import RegimeConfig
from trading_platform.replay import FixedAllocator, ReplayClock, WallClock
from trading_platform.reporting.run_results import run_results
from trading_platform.reporting.run_screen import RunScreen
from trading_platform.settings import Settings, load_settings
from trading_platform.stage import (
    REAL_MARKETS,
    as_date,
    configured_strategies,
    live_run,
    live_world,
    parse_allocation,
    read_config,
    set_stage,
)

log = logging.getLogger("trading_platform.desk")


def run_desk(options: TradeOptions, make: Makers) -> int:
    """Trade as options and settings say; print what happened; return the exit code."""
    settings = load_settings()
    validators = {"risk": make.risk, "regime": RegimeConfig.from_mapping}
    options = with_account(options, settings, read_config(options, settings, validators))
    config = read_config(options, settings, validators)
    start_logs(config.logging, settings)
    for line in settings.warnings:
        log.warning("%s", line)
    limits = make.risk(config.risk).to_dict()
    rules = Rules(limits_of(limits), config.exits.rates(), config.costs.rates())
    names = tuple(strategy.name for strategy in configured_strategies(config))
    fixed = parse_allocation(options.allocation, names)
    models = config.allocator
    allocator: Allocator
    if fixed is None:
        is_live = config.data.source in REAL_MARKETS
        allocator = make.allocator(models.models_dir, names, models.max_model_age_days, is_live)
    else:
        allocator = FixedAllocator(fixed)
    if config.data.source == ALPACA:
        from trading_platform.alpaca_desk import trade_alpaca  # the broker's side is needed here only

        return trade_alpaca(options, settings, config, limits, rules, allocator, make.engine, make.checkpoint)
    if config.data.source in REAL_MARKETS:
        return _trade_live(options, settings, config, limits, rules, allocator, make.engine)
    return _replay(options, settings, config, limits, rules, allocator, fixed, make.engine)


def _replay(
    options: TradeOptions,
    settings: Settings,
    config: TradingConfig,
    limits: Mapping[str, object],
    rules: Rules,
    allocator: Allocator,
    fixed: Mapping[str, float] | None,
    make_engine: MakeEngine,
) -> int:
    first, last = as_date(options.start), as_date(options.end)
    stage = set_stage(config, settings, rules, limits, first, last, fixed, allocator.model_id)
    clock = ReplayClock(stage.world.closed[stage.first])
    run_id = stage.run.run_id
    engine, lock = make_engine(stage.world, stage.database, run_id, config, rules, allocator, clock, live=False)
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
    make_engine: MakeEngine,
) -> int:
    """Paper-trade the real market on the exchange's clock, until stopped (or for one scan)."""
    calendar, clock = NyseCalendar(), WallClock()
    load = functools.partial(live_world, config, settings, rules, calendar)
    world = load(due_session(calendar, clock.now()))
    database, run = live_run(config, limits, world, "paper", None)
    engine, lock = make_engine(world, database, run.run_id, config, rules, allocator, clock, live=True)
    heart = Heartbeat(lock, settings.log_dir / HEARTBEAT_FILE, run.run_id)
    loop = LiveLoop(engine, calendar, clock, heart, load, config.engine.scan_interval_seconds)
    welcome = f"paper trading of {world.panel.source}, run {run.run_id}: simulated fills, no real orders; Ctrl-C stops"
    return run_live(engine, lock, world, loop, welcome, once=options.once)
