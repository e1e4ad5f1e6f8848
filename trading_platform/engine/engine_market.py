"""Everything a run knows about its market before the first decision: bars, signals, regimes, times."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.costs import default_protection
from trading_platform.core.families import Family
from trading_platform.core.market import CLOSE, VOLUME, Market, Signals, build_market, build_signals, forward_adjusted
from trading_platform.core.market_features import market_features
from trading_platform.core.observation import Observer, exogenous_matrix, observation_schema
from trading_platform.core.published_rules import rule_offsets
from trading_platform.core.realistic_fills import EXACT, with_fills
from trading_platform.core.session import Rules
from trading_platform.core.shadow_books import observed_rules, shadow_statistics
from trading_platform.core.theory_features import theory_features
from trading_platform.core.types import Floats, MarketPanel, Regime
from trading_platform.core.view import MarketView, columns_of
from trading_platform.engine.given_weights import given_strategies
from trading_platform.engine.own_strategies import own_strategies
from trading_platform.machine.memory import keep_freed_pages
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.market_data.calendar import ExchangeCalendar
from trading_platform.regime.hmm import RegimePath
from trading_platform.strategies.base import AnyStrategy, family_of, prepare_signals
from trading_platform.strategies.registry import STRATEGIES, make_strategies

LIQUIDITY_SESSIONS = 20  # of which the median is taken


@dataclass(frozen=True, eq=False)
class EngineMarket:
    """A market prepared for trading.

    Attributes
    ----------
    panel, market, signals
        Bars as loaded, and the kernel's arrays of them; T rows.
    strategies
        Names, in kernel order.
    regimes
        (T,) labels; `regime_probabilities` (T, 3) bull, bear, consolidation, NaN while unknown.
    opened, closed
        (T,) aware UTC instants of each session's open and close.
    rules, lookback
        What governs the strategies' shadow books, and the sessions that the slowest strategy needs.
    families
        What kind each strategy is; none told = all of another kind, to which published rules do nothing.
    """

    panel: MarketPanel
    market: Market
    signals: Signals
    strategies: tuple[str, ...]
    regimes: Sequence[Regime]
    regime_probabilities: Floats
    opened: Sequence[datetime]
    closed: Sequence[datetime]
    rules: Rules
    lookback: int
    families: tuple[Family, ...] = ()

    @cached_property
    def observer(self) -> Observer:
        """What builds observations. Shadow books and market features are computed when a model first asks for them.

        A model was trained on exact fills, so that the books of its statistics have exact ones, too.
        """
        schema = observation_schema(self.strategies)
        exact = with_fills(self.market, self.panel, EXACT, 0)
        shadows = shadow_statistics(exact, self.signals, observed_rules(self.rules), self.lookback)
        adjusted = forward_adjusted(self.panel)
        features, theory = market_features(adjusted), theory_features(adjusted, shadows.returns)
        families = self.families or (Family.OTHER,) * len(self.strategies)
        offsets = rule_offsets(adjusted, features, families)
        exogenous = exogenous_matrix(schema, self.regime_probabilities, shadows.statistics, features, theory, offsets)
        return Observer(schema, exogenous, self.market)

    @cached_property
    def sessions(self) -> list[date]:
        """Dates of the rows."""
        dates: list[date] = self.panel.sessions.astype("datetime64[D]").tolist()
        return dates

    @cached_property
    def opens(self) -> dict[date, datetime]:
        """Session -> instant of its open."""
        return dict(zip(self.sessions, self.opened, strict=True))

    @cached_property
    def columns(self) -> dict[str, int]:
        """Ticker -> column."""
        return columns_of(self.panel.tickers)

    @cached_property
    def universe_returns(self) -> Floats:
        """(T,) equal-weight mean of the universe's close-to-close returns; NaN on the first row."""
        returns = self.market.returns[self.panel.universe]
        known = np.isfinite(returns)
        count = known.sum(axis=0)
        total = np.where(known, returns, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def readings(self, t: int) -> dict[str, float]:
        """Return what the market shows at the close of row `t`, as `Recorder.close` takes it; NaN = unknown."""
        return {
            "vix": float(self.panel.vix[t]),
            "benchmark": float(self.panel.benchmark[t]),
            "universe_return": float(self.universe_returns[t]),
            "cash_rate": float(self.market.rate[t]),
        }

    def circumstances(self, t: int) -> Callable[[str], tuple[float | None, float | None]]:
        """Return what tells by ticker what a fill of row `t` met.

        That is the close before, at which it was decided, dollars; and the median dollar volume of a session over
        `LIQUIDITY_SESSIONS` up to that close. None where it is not known.
        """

        def met(ticker: str) -> tuple[float | None, float | None]:
            column = self.columns.get(ticker)
            if column is None or t < 1:
                return None, None
            before = self.market.bars[column, max(0, t - LIQUIDITY_SESSIONS) : t]
            close, traded = float(before[-1, CLOSE]), before[:, CLOSE] * before[:, VOLUME]
            known = traded[np.isfinite(traded)]
            return close if close > 0.0 else None, float(np.median(known)) if len(known) else None

        return met

    def view(self, t: int) -> MarketView:
        """Return what a decision at the close of row `t` may look at."""
        clock = float(self.market.clock[t])
        return MarketView(self.market, t, self.columns, self.panel.tickers, self.panel.sectors, self.sessions[t], clock)

    def rows(self, start: date | None, end: date | None) -> tuple[int, int]:
        """Return [first, stop) rows of the sessions from `start` to `end`, both included."""
        sessions = self.panel.sessions
        first = 0 if start is None else int(np.searchsorted(sessions, np.datetime64(start, "D"), side="left"))
        stop = len(sessions) if end is None else int(np.searchsorted(sessions, np.datetime64(end, "D"), side="right"))
        return first, stop

    def sectors_json(self) -> str:
        """Return ticker -> sector as JSON."""
        return json.dumps(dict(zip(self.panel.tickers, self.panel.sectors, strict=True)))


def prepare_engine_market(
    panel: MarketPanel,
    strategies: Sequence[AnyStrategy],
    rules: Rules,
    calendar: ExchangeCalendar,
    regimes: RegimePath,
    stopwatch: Stopwatch,
    fills: str = EXACT,
    seed: int = 0,
) -> EngineMarket:
    """Prepare `panel` for trading: kernel arrays, signals, session times; `seed` is that of realistic `fills`."""
    since = stopwatch.start()
    keep_freed_pages()
    signals = build_signals(prepare_signals(panel, strategies), default_protection(rules.exits))
    since = stopwatch.add("signals", since)
    clock = calendar.exchange_seconds(panel.sessions)
    opened, closed = calendar.session_times(panel.sessions)
    market = with_fills(build_market(panel, clock, rules.limits.correlation_window), panel, fills, seed)
    prepared = EngineMarket(
        panel=panel,
        market=market,
        signals=signals,
        strategies=tuple(strategy.name for strategy in strategies),
        families=tuple(family_of(strategy) for strategy in strategies),
        regimes=regimes.labels,
        regime_probabilities=np.where(regimes.known[:, None], regimes.probabilities, np.nan),
        opened=opened,
        closed=closed,
        rules=rules,
        lookback=max(strategy.lookback for strategy in strategies),
    )
    stopwatch.add("market", since)
    return prepared


def strategies_named(
    config: TradingConfig, names: Sequence[str], aside: Collection[str] = ()
) -> tuple[AnyStrategy, ...]:
    """Return the strategies `names` (none: the default set) with the configured parameters, the user's own among them.

    `aside` are strategies that a file of weights brings.

    Raises
    ------
    FixConfigError
        Unknown names and parameters, wrong values; a file of the user's own that cannot be used.
    """
    tuning = {name: table for name, table in config.strategies.tuning.items() if table or name not in aside}
    wanted = {*names, *tuning}
    own = {} if wanted <= {*STRATEGIES} else own_strategies(Path(config.strategies.folder), STRATEGIES)
    return make_strategies(names, tuning, own)


def configured_strategies(config: TradingConfig) -> tuple[AnyStrategy, ...]:
    """Return the enabled strategies with their parameters; a file of weights brings its own.

    Where none is enabled by name, those of the file are traded alone, else the default set. Files of the user's own
    folder are imported only if a name is not known otherwise.
    """
    given = given_strategies(config)
    enabled = config.strategies.enabled or tuple(given)
    registered = [name for name in enabled if name not in given]
    made = strategies_named(config, registered, given) if registered or not enabled else ()
    by_name = {strategy.name: strategy for strategy in (*made, *given.values())}
    return tuple(by_name[name] for name in enabled) or made
