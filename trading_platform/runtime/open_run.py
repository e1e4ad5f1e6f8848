"""Set the stage for a run: market, rules, database, and the run that this command begins or continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from sqlalchemy import Engine

from trading_platform import __version__
from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.compiled import HAS_NUMBA
from trading_platform.core.errors import BrokerUnreachableError, FixConfigError, MarketDataError
from trading_platform.core.ports import Allocator
from trading_platform.core.published_rules import LOOKBACK as RULES_LOOKBACK
from trading_platform.core.realistic_fills import EXACT
from trading_platform.core.saved_books import owners_in
from trading_platform.core.session import Rules
from trading_platform.core.shadow_books import lookback_sessions
from trading_platform.core.theory_features import theory_lookback
from trading_platform.core.types import MarketPanel
from trading_platform.engine.account_notices import account_notices
from trading_platform.engine.engine_market import EngineMarket, prepare_engine_market, strategies_named
from trading_platform.engine.given_weights import weights_file
from trading_platform.engine.regime_cache import continued_regimes, load_regimes
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import load_panel
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.market_data.reach import WITHOUT_NETWORK
from trading_platform.regime.hmm import RegimeConfig, RegimePath
from trading_platform.runtime.causality import refuse_lookahead
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.operator_requests import standing_orders
from trading_platform.storage.runs import (
    OpenedRun,
    begun_capital,
    begun_with,
    open_run,
    renumber,
    run_of,
    saved_slots,
)
from trading_platform.storage.strategy_changes import is_halted, renumber_paper_book
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.leaving import LeavingStrategy
from trading_platform.strategies.registry import active_strategies

FIRST_LIVE_DAY = date(2000, 1, 1)
LEAST_OUT = 0.5  # of the tickers that traded the session before: with fewer bars, the session is not out yet
EMPTY = '{"slots": []}'  # of a run that has saved no book
PAPER_ACCOUNT = "paper"  # the mode of its run
CATCH_UP_SESSIONS = 30  # rows at the end of a live market that get regimes: a longer sleep is a new start


@dataclass(frozen=True, slots=True)
class Stage:
    """What a run needs apart from the people on it: [first, stop) are the rows to trade."""

    prepared: EngineMarket
    first: int
    stop: int
    database: Engine
    run: OpenedRun
    stopwatch: Stopwatch
    notices: tuple[str, ...]
    allocator: Allocator


Choose = Callable[[tuple[str, ...]], tuple[Allocator, Mapping[str, float] | None]]


def set_stage(
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    limits: Mapping[str, object],
    start: date | None,
    end: date | None,
    strategies: Sequence[AnyStrategy],
    choose: Choose,
    fetched: tuple[date | None, date | None] = (None, None),
    panel: MarketPanel | None = None,
) -> Stage:
    """Load the market, prepare it, and open the run; `limits` are all risk limits, for the records.

    `start` and `end` are sessions to trade, `fetched` bounds the bars that are read (None: as many as there are).
    `choose` returns who splits capital among the strategies that the market has a use for; one allocation or model
    decides all of the run. `panel` are bars that were read already, instead of the configured source's.

    Raises
    ------
    BrokerUnreachableError
        The bars cannot be fetched, and none were kept.
    FixConfigError, MarketDataError
        Settings, sessions or bars that cannot be traded.
    """
    stopwatch = Stopwatch()
    since = stopwatch.start()
    calendar = exchange_calendar(config.data)
    if panel is None:
        try:
            panel = load_panel(config, settings, calendar, fetched[0], end or fetched[1])
        except BrokerUnreachableError as error:
            raise BrokerUnreachableError(f"{error}; {WITHOUT_NETWORK}") from error
    since = stopwatch.add("data", since)
    first, stop = _rows(panel, start, config.engine.replay_sessions)
    if start is None and fetched[0] is not None:  # who asks for bars since a day means to see them traded
        first = min(first, max(strategy.lookback for strategy in strategies))
    regimes = load_regimes(
        panel, RegimeConfig.from_mapping(config.regime), config.engine.seed, first, settings.cache_dir / "regimes"
    )
    stopwatch.add("regimes", since)
    active, notices = active_strategies(strategies, panel)
    refuse_lookahead(active, panel, config)
    allocator, allocation = choose(tuple(strategy.name for strategy in active))
    prepared = prepare_engine_market(
        panel, active, rules, calendar, regimes, stopwatch, config.engine.fills, config.engine.seed
    )
    since = stopwatch.start()
    database = open_database(config.storage.database_url, synchronous="NORMAL")
    migrate(database)
    key = _key(config, panel, prepared, first, stop, allocation, allocator.model_id, _digests(active))
    run = open_run(database, key, _values(config, limits, prepared, first), panel.warnings)
    stopwatch.add("database", since)
    closes = panel.close[max(0, first - 1)]
    begun = (
        f"traded from {panel.session(first)}: the {first} sessions since {panel.session(0)} are what strategies look "
        "back on; --start says another day"
    )
    notices = (*([begun] if start is None and fetched[0] is not None else []), *notices)
    told = *missing_packages(regimes), *notices, *account_notices(config, config.engine.initial_capital, closes)
    return Stage(prepared, first, stop, database, run, stopwatch, told, allocator)


def live_market(
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    calendar: NyseCalendar,
    strategies: Sequence[AnyStrategy],
    session: date,
    now: Callable[[], datetime] = utc_now,
    fills: str = EXACT,
) -> EngineMarket:
    """Return the market up to `session`, with as much history as the settings ask for, prepared.

    `fills` is the book of fills of a simulated account; at a broker's the broker fills.

    Raises
    ------
    MarketDataError
        The source has no bars for `session` yet, or bars that cannot be used.
    """
    days = calendar.sessions_between(FIRST_LIVE_DAY, session)
    regime = RegimeConfig.from_mapping(config.regime)
    books = theory_lookback(lookback_sessions(max(s.lookback for s in strategies)))
    needed = max(config.engine.history_sessions, books, regime.lookback, RULES_LOOKBACK)
    start = days[max(0, len(days) - needed - CATCH_UP_SESSIONS)].item()
    panel = load_panel(config, settings, calendar, start, session, now)
    if panel.session(panel.n_sessions - 1) != session:
        newest = panel.session(panel.n_sessions - 1)
        raise MarketDataError(f"{panel.source}: the newest bars are of {newest}, those of {session} are not out yet")
    check_newest_session(panel)
    first = max(0, panel.n_sessions - CATCH_UP_SESSIONS)
    regimes = continued_regimes(panel, regime, config.engine.seed, first, settings.cache_dir / "regimes")
    active = active_strategies(strategies, panel)[0]
    refuse_lookahead(active, panel, config)
    return prepare_engine_market(panel, active, rules, calendar, regimes, Stopwatch(), fills, config.engine.seed)


def check_newest_session(panel: MarketPanel) -> None:
    """Refuse a newest session whose bars are out for a few only: who lacks one of many is unknown for the day."""
    if panel.n_sessions < 2:
        return
    traded = ~np.isnan(panel.close[-2:])
    expected, there = int(traded[0].sum()), int((traded[0] & traded[1]).sum())
    if expected > 1 and there < LEAST_OUT * expected:
        session = panel.session(panel.n_sessions - 1)
        raise MarketDataError(f"{panel.source}: bars of {session} are out for {there} of {expected} tickers so far")


def live_run(
    config: TradingConfig, limits: Mapping[str, object], prepared: EngineMarket, mode: str, account: str | None
) -> tuple[Engine, OpenedRun]:
    """Open the database and the run of a live account: one run for the life of the account, whatever the settings."""
    database = _database(config)
    key = _live_key(config, mode, account)
    values = {**_values(config, limits, prepared, len(prepared.sessions) - 1), "mode": mode, "account": account}
    run = open_run(database, key, values, prepared.panel.warnings, config.account.name or None)
    if run.continued:
        _follow_strategies(database, run.run_id, begun_with(database, key), prepared.strategies, mode)
    return database, run


def kept_strategies(
    config: TradingConfig, chosen: Sequence[AnyStrategy], mode: str, account: str | None
) -> Sequence[AnyStrategy]:
    """Return what a live account trades: the strategies that are named; else those it began with; else `chosen`.

    A new version's default set is for new accounts: nobody's positions change hands because he upgraded. Who changes
    an account's strategies by `upgrade` has those that leave among them until their last share is sold.
    """
    database, run_id, begun = run_of_account(config, mode, account)
    if run_id is None:
        return chosen
    leaving = standing_orders(database, run_id).leaving
    is_named = config.strategies.enabled or weights_file(config) is not None
    staying = chosen if is_named else strategies_named(config, _without(begun, leaving))
    held = set(begun) if is_halted(database, run_id) else owners_in(saved_slots(database, run_id) or EMPTY, begun)
    still = [name for name in begun if name in leaving & held and name not in {s.name for s in staying}]
    return (*staying, *(LeavingStrategy(name) for name in still))


def kept_capital(config: TradingConfig, mode: str, account: str | None) -> float | None:
    """Return the dollars that an account's run began with, None if it has not begun."""
    return begun_capital(_database(config), _live_key(config, mode, account))


def run_of_account(config: TradingConfig, mode: str, account: str | None) -> tuple[Engine, int | None, tuple[str, ...]]:
    """Return the database, an account's run in it (None: it has not begun) and the run's strategies, in kernel order.

    A database of an older version is brought up to this one.
    """
    database, key = _database(config), _live_key(config, mode, account)
    return database, run_of(database, key), begun_with(database, key)


def set_notices(prepared: EngineMarket, kept: Sequence[AnyStrategy], chosen: Sequence[AnyStrategy]) -> Iterator[str]:
    """Yield what the owner should know of the strategies `kept` that his account trades; `chosen` are configured."""
    leaving = [item.name for item in kept if isinstance(item, LeavingStrategy)]
    if leaving:
        yield f"{', '.join(leaving)} left this account by `upgrade`: what is held of it is sold at the next open"
    staying = _without(prepared.strategies, leaving)
    if set(staying) != {item.name for item in active_strategies(chosen, prepared.panel)[0]}:
        yield (
            f"this account goes on with {', '.join(staying)}; `upgrade --plan` shows what going over to the strategies "
            "of today would sell and buy"
        )


def _without(names: Sequence[str], leaving: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in leaving)


def _follow_strategies(database: Engine, run_id: int, before: Sequence[str], now: Sequence[str], mode: str) -> None:
    """Let the run go on with other strategies, if no position of its book would change hands by it."""
    if tuple(before) == tuple(now):
        return
    lost = owners_in(saved_slots(database, run_id) or EMPTY, before) - set(now)
    if lost:
        raise FixConfigError(
            f"run {run_id} holds positions of {', '.join(sorted(lost))}, and now {', '.join(now)} would trade: "
            "`upgrade` sells them and goes over (`upgrade --plan` shows it), or name the former in [strategies] "
            "enabled, or flatten first"
        )
    if mode == PAPER_ACCOUNT:  # a book of Alpaca names its strategies itself
        renumber_paper_book(database, run_id, before, now)
    renumber(database, run_id, now)


def _database(config: TradingConfig) -> Engine:
    database = open_database(config.storage.database_url)
    migrate(database)
    return database


def _live_key(config: TradingConfig, mode: str, account: str | None) -> str:
    # An account at a broker stays itself whatever its bars come from; a paper account is one of its market.
    market = config.data.source if mode == PAPER_ACCOUNT else "alpaca" if mode.startswith("alpaca") else ""
    return hashlib.sha256(json.dumps([mode, market, account]).encode()).hexdigest()[:32]


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
    prepared: EngineMarket,
    first: int,
    stop: int,
    allocation: Mapping[str, float] | None,
    model_id: str | None,
    given: Sequence[str],
) -> str:
    """Return what makes two commands the same run: settings, data, sessions, allocation or model, code."""
    parts = {
        "config": config.fingerprint,
        "data": panel.data_hash,
        "tickers": panel.tickers,
        "first": prepared.sessions[first].isoformat(),
        "stop": prepared.sessions[stop - 1].isoformat(),
        "allocation": dict(allocation) if allocation is not None else None,
        "code": __version__,
        **({} if model_id is None else {"model": model_id}),
        **({"weights": list(given)} if given else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _digests(strategies: Sequence[AnyStrategy]) -> list[str]:
    """Return what the files of strategies that are given by files hold."""
    return [str(digest) for strategy in strategies if (digest := getattr(strategy, "digest", "")) != ""]


def _values(
    config: TradingConfig, limits: Mapping[str, object], prepared: EngineMarket, first: int
) -> dict[str, object]:
    return {
        "mode": "replay",
        "source": prepared.panel.source,
        "account": None,
        "started_at": prepared.opened[first],
        "finished_at": None,
        "capital": config.engine.initial_capital,
        "first_session": prepared.sessions[first],
        "last_session": None,
        "config_fingerprint": config.fingerprint,
        "config": json.dumps({**config.to_dict(), "risk": dict(limits)}, sort_keys=True),
        "data_hash": prepared.panel.data_hash,
        "seed": config.engine.seed,
        "code_version": __version__,
        "strategies": json.dumps(prepared.strategies),
        "sectors": prepared.sectors_json(),
    }
