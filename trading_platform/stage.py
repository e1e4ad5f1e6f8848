"""Set the stage for a run: market, rules, database, and the run that this command begins or continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from trading_platform import strict
from trading_platform.command_line import TradeOptions
from trading_platform.config import TradingConfig, Validator, load_config, machine_overrides
from trading_platform.core.compiled import HAS_NUMBA
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.market_features import MARKET_FEATURES, market_features
from trading_platform.core.session import Rules
from trading_platform.core.shadow_books import lookback_sessions
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.cache import utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.providers import open_market_data
from trading_platform.market_data.universe import load_universe
from trading_platform.operator_commands import config_path
from trading_platform.regime.hmm import RegimeConfig, RegimePath
from trading_platform.regime_fits import continued_regimes
from trading_platform.settings import Settings
from trading_platform.stopwatch import Stopwatch
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.runs import OpenedRun, open_run
from trading_platform.strategies.base import Strategy
from trading_platform.strategies.registry import STRATEGIES, make_strategies
from trading_platform.world import World, build_world, load_regimes

CODE_VERSION = "0.1.0"
REAL_MARKETS = ("alpaca", "yahoo")
VOLATILITY_FEATURE = [feature.name for feature in MARKET_FEATURES].index("volatility")
FIRST_LIVE_DAY = date(2000, 1, 1)
CATCH_UP_SESSIONS = 30  # rows at the end of a live market that get regimes: a longer sleep is a new start


@dataclass(frozen=True, slots=True)
class Stage:
    """What a run needs apart from the people on it: [first, stop) are the rows to trade."""

    world: World
    first: int
    stop: int
    database: Engine
    run: OpenedRun
    stopwatch: Stopwatch
    notices: tuple[str, ...]


def load_panel(
    config: TradingConfig,
    settings: Settings,
    calendar: NyseCalendar,
    start: date | None,
    end: date | None,
    now: Callable[[], datetime] = utc_now,
) -> MarketPanel:
    """Return the bars of the configured source and universe from `start` (None: the first) to `end`."""
    source = open_market_data(config, settings, calendar, now)
    panel = source.history(wanted_tickers(config), start, end)
    if bool(np.isfinite(panel.vix).any()):
        return panel
    if config.data.vix == "required":
        raise MarketDataError(
            f"{source.name}: no VIX in the data, and without it no position may be opened; "
            'add vix.csv (date,close), or set vix = "realized" in [data] to use realised volatility in its place'
        )
    realized = market_features(forward_adjusted(panel))[:, VOLATILITY_FEATURE] * 100.0
    notice = "no VIX in the data: the universe's realised volatility stands in for it, as [data] vix asks"
    return replace(panel, vix=realized, warnings=(*panel.warnings, notice))


def wanted_tickers(config: TradingConfig) -> tuple[str, ...] | None:
    """Return the tickers to trade; None = all that the source has. Real markets need a list: the shipped one."""
    if config.universe.tickers:
        return config.universe.tickers
    if config.universe.file:
        return load_universe(Path(config.universe.file)).tickers
    return load_universe().tickers if config.data.source in REAL_MARKETS else None


def configured_strategies(config: TradingConfig) -> tuple[Strategy, ...]:
    """Return the enabled strategies with their parameters."""
    names = config.strategies.enabled or tuple(STRATEGIES)
    return make_strategies(names, config.strategies.parameters)


def set_stage(
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    limits: Mapping[str, object],
    start: date | None,
    end: date | None,
    allocation: Mapping[str, float] | None,
    model_id: str | None = None,
) -> Stage:
    """Load the market, prepare it, and open the run; `limits` are all risk limits, for the records.

    `allocation` or the model of `model_id` decides all of the run; None of both is equal weight.
    """
    stopwatch = Stopwatch()
    since = stopwatch.start()
    calendar = NyseCalendar()
    panel = load_panel(config, settings, calendar, None, end)
    since = stopwatch.add("data", since)
    first, stop = _rows(panel, start, config.engine.replay_sessions)
    regimes = load_regimes(
        panel, RegimeConfig.from_mapping(config.regime), config.engine.seed, first, settings.cache_dir / "regimes"
    )
    stopwatch.add("regimes", since)
    world = build_world(panel, configured_strategies(config), rules, calendar, regimes, stopwatch)
    since = stopwatch.start()
    database = open_database(config.storage.database_url, synchronous="NORMAL")
    migrate(database)
    key = _key(config, panel, world, first, stop, allocation, model_id)
    run = open_run(database, key, _values(config, limits, world, first), panel.warnings)
    stopwatch.add("database", since)
    return Stage(world, first, stop, database, run, stopwatch, missing_packages(regimes))


def live_world(
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    calendar: NyseCalendar,
    session: date,
    now: Callable[[], datetime] = utc_now,
) -> World:
    """Return the market up to `session`, with as much history as the settings ask for, prepared.

    Raises
    ------
    MarketDataError
        The source has no bars for `session` yet, or bars that cannot be used.
    """
    days = calendar.sessions_between(FIRST_LIVE_DAY, session)
    strategies = configured_strategies(config)
    needed = max(config.engine.history_sessions, lookback_sessions(max(s.lookback for s in strategies)))
    start = days[max(0, len(days) - needed - CATCH_UP_SESSIONS)].item()
    panel = load_panel(config, settings, calendar, start, session, now)
    if panel.session(panel.n_sessions - 1) != session:
        newest = panel.session(panel.n_sessions - 1)
        raise MarketDataError(f"{panel.source}: the newest bars are of {newest}, those of {session} are not out yet")
    regime = RegimeConfig.from_mapping(config.regime)
    first = max(0, panel.n_sessions - CATCH_UP_SESSIONS)
    regimes = continued_regimes(panel, regime, config.engine.seed, first, settings.cache_dir / "regimes")
    return build_world(panel, strategies, rules, calendar, regimes, Stopwatch())


def live_run(
    config: TradingConfig, limits: Mapping[str, object], world: World, mode: str, account: str | None
) -> tuple[Engine, OpenedRun]:
    """Open the database and the run of a live account: one run for the life of the account, whatever the settings."""
    database = open_database(config.storage.database_url)
    migrate(database)
    key = hashlib.sha256(json.dumps([mode, config.data.source, account]).encode()).hexdigest()[:32]
    values = {**_values(config, limits, world, len(world.sessions) - 1), "mode": mode, "account": account}
    return database, open_run(database, key, values, world.panel.warnings)


def missing_packages(regimes: RegimePath) -> tuple[str, ...]:
    """Return a line for each optional package whose absence a person would notice."""
    plain = "numba is not installed: the same numbers, some hundred times slower; pip install numba"
    return tuple(line for line in (None if HAS_NUMBA else plain, regimes.notice) if line is not None)


def _rows(panel: MarketPanel, start: date | None, sessions: int) -> tuple[int, int]:
    stop = panel.n_sessions
    first = (
        max(0, stop - sessions) if start is None else int(np.searchsorted(panel.sessions, np.datetime64(start, "D")))
    )
    if first >= stop:
        known = f"{panel.session(0)} to {panel.session(stop - 1)}"
        raise FixConfigError(f"--start {start}: no session to trade from there; the data covers {known}")
    return first, stop


def _key(
    config: TradingConfig,
    panel: MarketPanel,
    world: World,
    first: int,
    stop: int,
    allocation: Mapping[str, float] | None,
    model_id: str | None,
) -> str:
    """Return what makes two commands the same run: settings, data, sessions, allocation or model, code."""
    parts = {
        "config": config.fingerprint,
        "data": panel.data_hash,
        "tickers": panel.tickers,
        "first": world.sessions[first].isoformat(),
        "stop": world.sessions[stop - 1].isoformat(),
        "allocation": dict(allocation) if allocation is not None else None,
        "code": CODE_VERSION,
        **({} if model_id is None else {"model": model_id}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _values(config: TradingConfig, limits: Mapping[str, object], world: World, first: int) -> dict[str, object]:
    return {
        "mode": "replay",
        "source": world.panel.source,
        "account": None,
        "started_at": world.opened[first],
        "finished_at": None,
        "capital": config.engine.initial_capital,
        "first_session": world.sessions[first],
        "last_session": None,
        "config_fingerprint": config.fingerprint,
        "config": json.dumps({**config.to_dict(), "risk": dict(limits)}, sort_keys=True),
        "data_hash": world.panel.data_hash,
        "seed": config.engine.seed,
        "code_version": CODE_VERSION,
        "strategies": json.dumps(world.strategies),
        "sectors": world.sectors_json(),
    }


def parse_allocation(text: str | None, strategies: tuple[str, ...]) -> dict[str, float] | None:
    """Return the weights that ``--allocation`` asks for: a strategy's name, ``equal``, or name=weight pairs.

    Raises
    ------
    FixConfigError
        Unknown strategy, a weight that is no number >= 0, or weights that do not sum to 1.
    """
    if text is None:
        return None
    if text == "equal":
        return dict.fromkeys(strategies, 1.0 / len(strategies))
    weights = dict.fromkeys(strategies, 0.0)
    for part in text.split(","):
        name, sign, number = (piece.strip() for piece in part.partition("="))
        if name not in weights:
            raise FixConfigError(
                f"--allocation: {name!r} is no enabled strategy{strict.did_you_mean(name, strategies)}"
            )
        try:
            weights[name] = float(number) if sign else 1.0
        except ValueError as error:
            raise FixConfigError(f"--allocation: {part!r}: the weight must be a number in [0, 1]") from error
    if not all(0.0 <= weight <= 1.0 for weight in weights.values()) or not abs(sum(weights.values()) - 1.0) < 1e-9:
        raise FixConfigError(f"--allocation: weights must be in [0, 1] and sum to 1, were {weights}")
    return weights


def read_config(options: TradeOptions, settings: Settings, validators: Mapping[str, Validator]) -> TradingConfig:
    """Return the settings file's configuration with this machine's and the command line's words over it."""
    half = None if options.cost_bps is None else options.cost_bps / 2.0
    source = options.source or (None if options.data_dir is None else "files")
    overrides = {
        **machine_overrides(settings),
        "data.source": source,
        "data.folder": None if options.data_dir is None else str(options.data_dir),
        "universe.tickers": options.tickers or None,
        "engine.initial_capital": options.capital,
        "engine.seed": options.seed,
        "costs.half_spread_bps": half,
        "costs.slippage_bps": half,
    }
    if options.database is not None:
        overrides["storage.database_url"] = options.database
    return load_config(config_path(options.config), overrides, validators)


def as_date(moment: datetime | None) -> date | None:
    """Return the day of a parsed date option."""
    return None if moment is None else moment.date()
