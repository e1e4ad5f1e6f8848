"""How published rules tilt the capital of sleeves by their family: slowly, within bounds, with no fitted number.

The rules, their sources and what they are expected to do: docs/allocation.md, written before any data were looked at.
An offset is the logarithm of the factor on a sleeve's weight. Row t depends on the last `LOOKBACK` rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trading_platform.core.families import Family
from trading_platform.core.indicators import rate_of_change, returns, rolling_product
from trading_platform.core.market_features import LONG, MARKET_FEATURES, row_mean, universe_of
from trading_platform.core.types import Floats, Ints, MarketPanel
from trading_platform.core.weeks import first_of_week

TWO_YEARS = 504  # sessions of the market's return that makes a bear market (Daniel & Moskowitz 2016)
DEAR, CHEAP = 25.0, 15.0  # VIX above and below which liquidity is dear and cheap (Nagel 2012); above: high volatility
HALVED = -math.log(2.0)
MORE, LESS = 0.25, -0.25
BOUNDS = (HALVED, MORE)
# Each week a quarter of the way, told by the last half-year of weekly decisions: 0.75^26 of what came before is 0.06 %.
SPEED, WEEKS = 0.25, 26
MOST_SESSIONS_A_WEEK = 5
LOOKBACK = max(TWO_YEARS, LONG) + 1 + WEEKS * MOST_SESSIONS_A_WEEK

_VIX, _TREND = (tuple(spec.name for spec in MARKET_FEATURES).index(name) for name in ("vix", "trend"))


def rule_offsets(panel: MarketPanel, features: Floats, families: Sequence[Family]) -> Floats:
    """Return the offset of each sleeve at each close, (T, K).

    Parameters
    ----------
    panel : split-adjusted bars. features : (T, 10) of `market_features`. families : (K,) of the sleeves.
    """
    said = rules_in_force(features[:, _TREND], features[:, _VIX], two_year_return(panel), families)
    return slowly(said, first_of_week(panel.sessions))


def rules_in_force(trend: Floats, vix: Floats, two_years: Floats, families: Sequence[Family]) -> Floats:
    """Return what the rules say at once, (T, K), before any slowness; what is unknown puts no rule in force.

    Parameters
    ----------
    trend : (T,) benchmark over its mean of 200 sessions, minus 1. vix : (T,). two_years : (T,) return of 504 sessions.
    """
    with np.errstate(invalid="ignore"):
        falling, dear, cheap = trend < 0.0, vix > DEAR, vix < CHEAP
        bear = (two_years < 0.0) | (dear & falling)
    nothing = np.zeros(len(trend))
    shelter = np.where(falling, MORE, 0.0)
    by_family = {
        Family.MOMENTUM: np.where(bear, HALVED, 0.0),
        Family.REVERSAL: np.where(dear, MORE, np.where(cheap, LESS, 0.0)),
        Family.LOW_RISK: shelter,
        Family.BONDS: shelter,
        Family.EQUITY: np.where(falling, LESS, 0.0),
    }
    return np.stack([by_family.get(family, nothing) for family in families], axis=1)


def two_year_return(panel: MarketPanel) -> Floats:
    """Return the benchmark's return of 504 sessions, (T,); of the equal-weight universe where it is unknown."""
    own = rate_of_change(panel.benchmark, TWO_YEARS)
    if np.isfinite(own[TWO_YEARS:]).all():
        return own
    with np.errstate(invalid="ignore"):
        stand_in = rolling_product(1.0 + row_mean(returns(universe_of(panel).close)), TWO_YEARS) - 1.0
    return np.where(np.isfinite(own), own, stand_in)


def slowly(said: Floats, days: Ints) -> Floats:
    """Return `said` (T, K) as it is followed: on decision days (D,) a quarter of the way, and held in between."""
    shares = SPEED * (1.0 - SPEED) ** np.arange(WEEKS)
    shares = shares / shares.sum()
    decided = said[days]
    followed = np.zeros_like(decided)
    for week, share in enumerate(shares[: len(decided)].tolist()):
        followed[week:] += share * decided[: len(decided) - week]
    held = np.zeros_like(said)
    last = np.searchsorted(days, np.arange(len(said)), side="right") - 1
    held[last >= 0] = followed[last[last >= 0]]
    return held
