"""From options to a campaign: settings, market, regimes, histories to train on, windows, registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.resample import ResampleOptions
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.engine.engine_market import configured_strategies
from trading_platform.engine.regime_cache import load_regimes
from trading_platform.evaluation.promotion import GateConfig, Objective
from trading_platform.market_data.calendar import ExchangeCalendar
from trading_platform.market_data.load_panel import load_panel
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.regime.hmm import RegimeConfig
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import active_strategies
from trading_platform.training.campaign import Campaign, beside_the_pool, check_features, plan_windows
from trading_platform.training.fits import Arena, MakeEnv
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import drawn_markets, rules_at_cost

RETRAIN_YEARS = 2
WALK_FORWARD_TEST = 126


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asks for beyond the setup.

    `scheme` is "single", "yearly" or "rolling"; `train_years` limits what is trained on (None = all history);
    `test_sessions` are kept back behind the validation slice of a single run. `curves` is TensorBoard's folder.
    """

    scheme: str
    train_years: int | None
    test_sessions: int
    retrain: bool
    seeds: tuple[int, ...]
    jobs: int
    models_dir: Path
    device: str
    resume: bool
    end: date | None
    curves: Path | None = None
    cluster: str = ""


def prepare_campaign(
    options: RunOptions,
    setup: TrainingSetup,
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    risk_fingerprint: str,
    make_env: MakeEnv,
    now: datetime,
    panel: MarketPanel | None = None,
) -> Campaign:
    """Load `panel` unless it is given, and prepare everything. Raises what the parts raise."""
    calendar = exchange_calendar(config.data)
    if panel is None:
        panel = load_panel(config, settings, calendar, None, options.end)
    setup = setup.settled(config.allocator.objective)
    arena = prepare_arena(panel, setup, config, settings, rules, calendar, make_env, options.device)
    arena = replace(arena, curves=options.curves)
    years = RETRAIN_YEARS if options.retrain else options.train_years
    test = options.test_sessions if options.scheme == "single" else WALK_FORWARD_TEST
    plan = plan_windows(arena.whole, options.scheme, years, 0 if options.retrain else test)
    if options.retrain and setup.n_universes:
        plan = beside_the_pool(plan, arena.whole)
        arena = replace(arena, universes=(arena.whole, *arena.universes))
    return Campaign(
        arena=arena,
        plan=plan,
        seeds=options.seeds,
        jobs=options.jobs,
        registry=ModelRegistry(options.models_dir),
        now=now,
        data_source=panel.source,
        data_hash=panel.data_hash,
        risk_fingerprint=risk_fingerprint,
        regime_fingerprint=RegimeConfig.from_mapping(config.regime).fingerprint,
        purpose="retrain" if options.retrain else ("train" if options.scheme == "single" else "walk_forward"),
        gate=GateConfig(objective=Objective(config.allocator.objective)),
        checkpoints=options.resume,
        max_age_sessions=config.allocator.age_limit,
        cluster=options.cluster,
    )


def prepare_arena(
    panel: MarketPanel,
    setup: TrainingSetup,
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    calendar: ExchangeCalendar,
    make_env: MakeEnv,
    device: str = "cpu",
) -> Arena:
    """Prepare the loaded market and the histories drawn from it, at the setup's costs."""
    strategies, _ = active_strategies(configured_strategies(config), panel)
    clock = calendar.exchange_seconds(panel.sessions.tolist())
    whole = prepared_whole(panel, strategies, clock, config, settings, rules_at_cost(rules, setup.cost_bps))
    check_features(whole, setup)
    drawn: Sequence[PreparedMarket] = drawn_markets(
        panel,
        strategies,
        clock,
        whole,
        ResampleOptions(setup.block_sessions, setup.universe_share, setup.volatility_jitter),
        setup.n_universes,
        setup.universe_seed,
    )
    return Arena(whole, tuple(drawn) or (whole,), setup, make_env, device)


def prepared_whole(
    panel: MarketPanel,
    strategies: Sequence[AnyStrategy],
    clock: Floats,
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
) -> PreparedMarket:
    """Return the loaded market with its regimes, ready for episodes; `clock` (T,) is seconds of open exchange."""
    cache = settings.cache_dir / "regimes"
    regimes = load_regimes(panel, RegimeConfig.from_mapping(config.regime), config.engine.seed, 0, cache)
    known = np.where(regimes.known[:, None], regimes.probabilities, np.nan)
    return prepare_panel(panel, clock, strategies, known, rules, config.engine.initial_capital)
