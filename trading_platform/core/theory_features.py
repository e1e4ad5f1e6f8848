"""What theory says that the payoff of a strategy depends on, beyond the contract's observation.

Shared by all strategies: the market's two-year return (momentum crashes after long falls, Daniel & Moskowitz 2016) and
the bill rate. Of each strategy, from its shadow book: return over a year (momentum of factors, Ehsani & Linnainmaa
2022), volatility beside the others' (Moreira & Muir 2017), beta to the universe. The rest of what is named there -
trend, VIX and its slope, dispersion, correlation - stands in the contract's market part already.

Row t depends on the `SLOW` rows before it, and through the shadow books on `shadow_books.lookback_sessions` more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.indicators import (
    last_known,
    rate_of_change,
    returns,
    rolling_mean,
    rolling_product,
    rolling_std,
    rolling_sum,
)
from trading_platform.core.market_features import FeatureSpec, row_mean, universe_of
from trading_platform.core.types import Floats, MarketPanel

TWO_YEARS = 2 * ANNUAL_SESSIONS
YEAR, HALF_YEAR, QUARTER = ANNUAL_SESSIONS, ANNUAL_SESSIONS // 2, 63
# Bill rates are published with a day or two of delay, and not on every holiday.
MAX_RATE_AGE = 5
# A shadow book that moved less than this a day held nothing to speak of: it has no volatility to compare.
LEAST_VOLATILITY = 1e-6

SHARED_FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec("two_year_return", "fraction", "benchmark's return over two years", 0.15),
    FeatureSpec("bill_rate", "percent a year", "what cash earns", 2.0),
)
OWN_FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec("momentum_year", "fraction", "return of its shadow book over a year", 0.03),
    FeatureSpec("relative_volatility", "log ratio", "63-session volatility of its shadow book over the others'", 0.0),
    FeatureSpec("beta", "ratio", "of its shadow book to the universe over half a year", 0.25),
)


class Theory(NamedTuple):
    """`shared` (T, 2) of `SHARED_FEATURES` and `own` (T, K, 3) of `OWN_FEATURES`; NaN = unknown."""

    shared: Floats
    own: Floats


def theory_lookback(shadow_lookback: int) -> int:
    """Return the sessions before a row that its features may depend on, given those of the shadow books."""
    return max(TWO_YEARS, YEAR + shadow_lookback)


def theory_features(panel: MarketPanel, strategy_returns: Floats) -> Theory:
    """Return the features of split-adjusted bars and of the shadow books' daily returns (T, K).

    At a session at which the benchmark is not known two years back, an index of the equal-weight universe stands in.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        universe = row_mean(returns(universe_of(panel).close))
        long_return = rate_of_change(panel.benchmark, TWO_YEARS)
        index_return = rolling_product(1.0 + universe, TWO_YEARS) - 1.0
        known = np.full(panel.n_sessions, np.nan) if panel.cash_rate is None else panel.cash_rate
        shared = np.column_stack(
            [np.where(np.isfinite(long_return), long_return, index_return), last_known(known, MAX_RATE_AGE)]
        )
        momentum = rolling_product(1.0 + strategy_returns, YEAR) - 1.0
        own = np.stack(
            [momentum, relative_volatility(strategy_returns), universe_beta(strategy_returns, universe)], axis=2
        )
    return Theory(shared, own)


def relative_volatility(strategy_returns: Floats) -> Floats:
    """Return the log of each book's volatility over the mean of all books', (T, K); NaN for one that did not move."""
    volatility = rolling_std(strategy_returns, QUARTER)
    volatility = np.where(volatility > LEAST_VOLATILITY, volatility, np.nan)
    ratio: Floats = np.log(volatility / row_mean(volatility)[:, None])
    return ratio


def universe_beta(strategy_returns: Floats, universe: Floats) -> Floats:
    """Return each book's beta to the universe's mean daily return (T,) over half a year, (T, K)."""
    both = rolling_sum(strategy_returns * universe[:, None], HALF_YEAR)
    own_mean, universe_mean = rolling_mean(strategy_returns, HALF_YEAR), rolling_mean(universe, HALF_YEAR)
    covariance = both / HALF_YEAR - own_mean * universe_mean[:, None]
    variance = rolling_mean(universe * universe, HALF_YEAR) - universe_mean**2
    beta: Floats = covariance / np.where(variance > LEAST_VOLATILITY**2, variance, np.nan)[:, None]
    return beta
