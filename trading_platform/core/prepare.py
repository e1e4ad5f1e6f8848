"""From a panel, signals and regimes to everything that the environment, backtests and training need. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.market import Market, Signals, build_market, build_signals
from trading_platform.core.observation import ObservationSchema, exogenous_matrix, observation_schema
from trading_platform.core.session import Rules, new_fill_log
from trading_platform.core.shadow_books import ShadowBooks, lookback_sessions, shadow_statistics
from trading_platform.core.simulate import N_CODES, Books, new_scratch, open_books, step_books
from trading_platform.core.types import Floats, MarketPanel, StrategySignals


@dataclass(frozen=True, slots=True, eq=False)
class PreparedMarket:
    """A market on which portfolios can be run.

    Attributes
    ----------
    market, signals, rules
        What the kernel reads; T rows, K strategies.
    sessions
        (T,) dates.
    schema, exogenous
        The observation's fields, and those of its entries that no agent moves: (T, 3 + 4 K + 10).
    regimes
        (T, 3) filtered probabilities, NaN while unknown.
    strategy_returns
        (T, K) daily returns of each strategy's shadow book; NaN before the first.
    warm
        (T,) portfolios that the base allocation holds at each close, before it decides; row t is a book.
    base
        (K,) weights of the base allocation, and `base_returns` (T,) its daily returns (0 on the first row).
    first
        First row at which everything is known: episodes start at or after it.
    capital
        Dollars at row 0 of the base allocation.
    """

    market: Market
    signals: Signals
    rules: Rules
    sessions: np.ndarray[tuple[int], np.dtype[np.datetime64]]
    schema: ObservationSchema
    exogenous: Floats
    regimes: Floats
    strategy_returns: Floats
    warm: Books
    base: Floats
    base_returns: Floats
    first: int
    capital: float

    @property
    def n_sessions(self) -> int:
        """Number of rows, T."""
        return len(self.sessions)

    @property
    def n_strategies(self) -> int:
        """Number of strategies, K."""
        return len(self.base)

    def session(self, t: int) -> date:
        """Return the date of row `t`."""
        day: date = self.sessions[t].astype("datetime64[D]").item()
        return day

    def row(self, session: date) -> int:
        """Return the row of the first session on or after `session`."""
        return int(np.searchsorted(self.sessions, np.datetime64(session, "D")))


def prepare_market(
    panel: MarketPanel,
    clock: Floats,
    strategy_names: Sequence[str],
    signals: Sequence[StrategySignals],
    regimes: Floats,
    features: Floats,
    rules: Rules,
    lookback: int,
    capital: float = 100_000.0,
    base: Floats | None = None,
) -> PreparedMarket:
    """Prepare a market.

    Parameters
    ----------
    panel : bars as they trade. clock : (T,) exchange seconds at each close.
    signals : one of each strategy, in the order of `strategy_names`.
    regimes : (T, 3) filtered regime probabilities. features : (T, 10) market features. NaN = unknown.
    lookback : rows that the slowest strategy needs. base : (K,) the base allocation; equal weight when None.

    Raises
    ------
    MarketDataError
        The history is too short for one episode after all lookbacks.
    """
    market = build_market(panel, clock, rules.limits.correlation_window)
    sorted_signals = build_signals(tuple(signals))
    schema = observation_schema(strategy_names)
    shadows = shadow_statistics(market, sorted_signals, rules, lookback)
    weights = np.full(len(signals), 1.0 / len(signals)) if base is None else np.asarray(base, dtype=np.float64)
    warm = record_books(market, sorted_signals, weights, rules, capital)
    equity = warm.accounts["equity"]
    base_returns = np.zeros(panel.n_sessions)
    base_returns[1:] = equity[1:] / equity[:-1] - 1.0
    return PreparedMarket(
        market=market,
        signals=sorted_signals,
        rules=rules,
        sessions=panel.sessions.copy(),
        schema=schema,
        exogenous=exogenous_matrix(schema, regimes, shadows.statistics, features),
        regimes=np.array(regimes),
        strategy_returns=shadows.returns,
        warm=warm,
        base=weights,
        base_returns=base_returns,
        first=_first_known(panel, shadows, lookback),
        capital=capital,
    )


def _first_known(panel: MarketPanel, shadows: ShadowBooks, lookback: int) -> int:
    known = np.isfinite(shadows.returns).all(axis=1)
    if not known.any():
        raise MarketDataError(
            f"{panel.source}: {panel.n_sessions} sessions are too few: strategies need {lookback} and their statistics "
            f"{lookback_sessions(lookback) - lookback} more after the next January or July; load a longer history"
        )
    return int(np.argmax(known))


def record_books(market: Market, signals: Signals, weights: Floats, rules: Rules, capital: float) -> Books:
    """Run one book under `weights` (K,) over the whole market; return its state at each close, before it decides."""
    n_sessions = len(market.day)
    books = open_books(1, rules.limits.max_positions, capital)
    warm = open_books(n_sessions, rules.limits.max_positions, capital)
    scratch, no_log = new_scratch(len(weights)), new_fill_log(0)
    denials, costs = np.zeros((1, N_CODES), dtype=np.int64), np.ones(1)
    rows, row_weights = np.zeros(1, dtype=np.int64), weights[None].copy()
    for t in range(1, n_sessions):
        rows[0] = t - 1
        step_books(books, 0, 1, market, signals, rows, row_weights, rules, costs, denials, scratch, no_log)
        for saved, now in zip(warm, books, strict=True):
            saved[t] = now[0]
    return warm
