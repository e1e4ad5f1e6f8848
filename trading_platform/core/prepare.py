"""From a panel, signals and regimes to everything that the environment, backtests and training need. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.market import Market, Signals
from trading_platform.core.market_features import LOOKBACK
from trading_platform.core.observation import EPISODE_SESSIONS, ObservationSchema, exogenous_matrix, observation_schema
from trading_platform.core.recorded_books import BookRecorder, RecordedBooks
from trading_platform.core.served_policy import equal_shares, shares_of_working
from trading_platform.core.session import Rules
from trading_platform.core.shadow_books import ShadowBooks, observed_rules, shadow_statistics
from trading_platform.core.simulate import N_CODES, new_scratch, open_books, step_books
from trading_platform.core.theory_features import theory_features
from trading_platform.core.types import Bools, Floats, MarketPanel


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
        The observation's fields, and those of its entries that no agent moves: (T, 15 + 8 K).
    regimes
        (T, 3) filtered probabilities, NaN while unknown.
    strategy_returns
        (T, K) daily returns of each strategy's shadow book; NaN before the first.
    warm
        Portfolios that the base allocation holds at each of T closes, before it decides.
    base
        (K,) weights of the base allocation, and `base_returns` (T,) its daily returns (0 on the first row).
    first
        First row at which everything is known: episodes start at or after it.
    capital
        Dollars at row 0 of the base allocation.
    works
        (K,) sleeves that do not stand aside on this market; the others get no capital.
    """

    market: Market
    signals: Signals
    rules: Rules
    sessions: np.ndarray[tuple[int], np.dtype[np.datetime64]]
    schema: ObservationSchema
    exogenous: Floats
    regimes: Floats
    strategy_returns: Floats
    warm: RecordedBooks
    base: Floats
    base_returns: Floats
    first: int
    capital: float
    works: Bools

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
    market: Market,
    signals: Signals,
    strategy_names: Sequence[str],
    regimes: Floats,
    features: Floats,
    offsets: Floats,
    adjusted: MarketPanel,
    rules: Rules,
    lookback: int,
    capital: float = 100_000.0,
    base: Floats | None = None,
    works: Bools | None = None,
) -> PreparedMarket:
    """Prepare a market from arrays that stand already.

    Parameters
    ----------
    panel, market, signals : bars and the kernel's arrays of them, signals in the order of `strategy_names`.
    regimes : (T, 3) filtered regime probabilities. features : (T, 10) market features. NaN = unknown.
    offsets : (T, K) of `published_rules`.
    adjusted : `panel` on split-adjusted bars.
    lookback : rows that the slowest strategy needs.
    capital : dollars at row 0 of the base allocation. base : (K,) its weights; equal weight when None.
    works : (K,) sleeves that do not stand aside; all when None. What `base` gives to others goes to these.

    Raises
    ------
    MarketDataError
        The history is too short for one episode after all lookbacks.
    """
    schema = observation_schema(strategy_names)
    shadows = shadow_statistics(market, signals, observed_rules(rules), lookback)
    n_strategies = len(schema.strategies)
    working = np.ones(n_strategies, dtype=np.bool_) if works is None else np.array(works, dtype=np.bool_)
    weights = shares_of_working(equal_shares(working) if base is None else base, working)
    first = _first_known(panel, shadows, lookback)
    warm = record_books(market, signals, weights, rules, capital)
    equity = warm.accounts["equity"]
    base_returns = np.zeros(panel.n_sessions)
    base_returns[1:] = equity[1:] / equity[:-1] - 1.0
    return PreparedMarket(
        market=market,
        signals=signals,
        rules=rules,
        sessions=panel.sessions.copy(),
        schema=schema,
        exogenous=exogenous_matrix(
            schema, regimes, shadows.statistics, features, theory_features(adjusted, shadows.returns), offsets
        ),
        regimes=np.array(regimes),
        strategy_returns=shadows.returns,
        warm=warm,
        base=weights,
        base_returns=base_returns,
        first=first,
        capital=capital,
        works=working,
    )


def _first_known(panel: MarketPanel, shadows: ShadowBooks, lookback: int) -> int:
    known = np.isfinite(shadows.returns).all(axis=1) & (np.arange(panel.n_sessions) >= LOOKBACK)
    if not known[: max(0, panel.n_sessions - EPISODE_SESSIONS)].any():
        raise MarketDataError(
            f"{panel.source}: {panel.n_sessions} sessions are too few: after {max(lookback, LOOKBACK)} sessions for "
            "strategies and features it takes a whole January-June or July-December for the strategies' statistics, "
            f"and {EPISODE_SESSIONS} sessions for an episode; load a longer history"
        )
    return int(np.argmax(known))


def record_books(market: Market, signals: Signals, weights: Floats, rules: Rules, capital: float) -> RecordedBooks:
    """Run one book under `weights` (K,) over the whole market; return its state at each close, before it decides.

    Nothing stops it for good: it is where episodes start, and from a book that had been stopped once there would be
    nothing to learn for the rest of the history. Every episode has a total drawdown of its own.
    """
    rules = rules._replace(limits=rules.limits._replace(max_total_drawdown=1.0, second_halt_asks=0))
    n_strategies = len(weights)
    books = open_books(1, rules.limits.max_positions, n_strategies, len(market.bars), capital)
    scratch, no_log = new_scratch(n_strategies, rules.limits.max_reviews), new_fill_log(0)
    denials, costs = np.zeros((1, N_CODES), dtype=np.int64), np.ones(1)
    rows, row_weights = np.zeros(1, dtype=np.int64), weights[None].copy()
    recorder = BookRecorder()
    recorder.note(books)
    for t in range(1, len(market.day)):
        rows[0] = t - 1
        step_books(books, 0, 1, market, signals, rows, row_weights, rules, costs, denials, scratch, no_log)
        recorder.note(books)
    return recorder.finish(books)
