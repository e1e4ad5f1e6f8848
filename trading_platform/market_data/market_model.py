"""Parameters of the artificial market, and three sets of them: realistic, all edges, no edges."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trading_platform.core.errors import FixConfigError

ByRegime = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class MarketModel:
    """Parameters of the market. Rates and volatilities are a year's; regimes are bull, bear, consolidation.

    Attributes
    ----------
    mean_duration
        Mean length of a spell in each regime, sessions (geometric).
    next_regime
        Rows of probabilities of the regime that follows each one; the diagonal is zero.
    drift, volatility
        Log drift and volatility of the market factor in each regime.
    momentum, reversal
        A stock's expected daily return, in its own daily volatilities, per standard deviation of its slow
        (`slow_sessions`) and against its fast (`fast_sessions`) exponential mean of past shocks, in each regime.
    calm
        The same per standard deviation of how calm the stock is by nature (its own volatility, in logs, reversed).
    market_reversal
        The same for the market factor against its last shock.
    persistence, clustering, leverage
        EGARCH coefficients of the market: memory, response to the size, and to the sign of a shock.
    own_persistence, own_clustering, own_leverage
        The same for each stock's own noise.
    market_tail, own_tail
        Degrees of freedom of the Student t shocks, above 4.
    beta_spread, own_volatility, own_volatility_spread, sector_volatility
        Standard deviation of betas around 1; median and log spread of the stocks' own volatility; volatility of the
        sector factors.
    shared_volatility
        How much of the market's relative volatility the other volatilities share (0 none, 1 all).
    overnight_share
        Share of a session's variance that falls between the close before and the open.
    vix_premium, vix_response, vix_noise
        VIX over expected volatility, its elasticity, and its own daily noise (log).
    """

    mean_duration: ByRegime = (220.0, 75.0, 110.0)
    next_regime: tuple[ByRegime, ByRegime, ByRegime] = ((0.0, 0.35, 0.65), (0.5, 0.0, 0.5), (0.65, 0.35, 0.0))
    drift: ByRegime = (0.18, -0.24, 0.03)
    volatility: ByRegime = (0.115, 0.3, 0.165)
    momentum: ByRegime = (0.006, 0.0, 0.004)
    reversal: ByRegime = (0.035, 0.035, 0.035)
    calm: ByRegime = (0.0, 0.0, 0.0)
    slow_sessions: float = 60.0
    fast_sessions: float = 4.0
    market_reversal: float = 0.04
    persistence: float = 0.982
    clustering: float = 0.05
    leverage: float = 0.077
    own_persistence: float = 0.985
    own_clustering: float = 0.105
    own_leverage: float = 0.01
    market_tail: float = 10.0
    own_tail: float = 4.1
    beta_spread: float = 0.33
    own_volatility: float = 0.34
    own_volatility_spread: float = 0.42
    sector_volatility: float = 0.1
    shared_volatility: float = 0.7
    overnight_share: float = 0.25
    vix_premium: float = 0.75
    vix_response: float = 1.3
    vix_noise: float = 0.035

    def __post_init__(self) -> None:
        problems = [
            f"{name}: every value must be >= {least:g}, was {getattr(self, name)!r}"
            for name, least in (("mean_duration", 1.0), ("volatility", 1e-6))
            if not all(least <= value < math.inf for value in getattr(self, name))
        ]
        for regime, row in enumerate(self.next_regime):
            if not (row[regime] == 0.0 and min(row) >= 0.0 and math.isclose(sum(row), 1.0)):
                problems.append(f"next_regime row {regime} must be probabilities with 0 on the diagonal, was {row!r}")
        problems += [
            f"{name} must be in [0, 1), was {getattr(self, name)!r}"
            for name in ("persistence", "own_persistence", "overnight_share")
            if not (0.0 <= getattr(self, name) < 1.0)
        ]
        problems += [
            f"{name} must be above 4, so that kurtosis exists, was {getattr(self, name)!r}"
            for name in ("market_tail", "own_tail")
            if not (getattr(self, name) > 4.0)
        ]
        if problems:
            raise FixConfigError("market model: " + "; ".join(problems))


REALISTIC = MarketModel()

# What `make run` trades: REALISTIC, with what the default set's sleeves of stocks look for. A calm stock earns 1 % of
# its own daily volatility a day for each standard deviation of calm (a Sharpe ratio of 0.16 a year by itself, before
# costs), a stock with a good quarter 1.2 % of it while the market rises. Chosen before any replay, to be about as small
# as the low-risk and momentum premia of US stocks since they were published; no seed was chosen for its result.
STATED_EDGES = replace(REALISTIC, momentum=(0.012, 0.0, 0.008), calm=(0.010, 0.010, 0.010))

# Positive control: which strategy earns depends strongly on the regime, and the regime shows in drift and volatility.
REGIME_EDGES = replace(
    REALISTIC,
    mean_duration=(90.0, 60.0, 75.0),
    next_regime=((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
    drift=(0.20, -0.08, 0.08),
    volatility=(0.10, 0.25, 0.16),
    momentum=(0.06, -0.03, -0.05),
    reversal=(-0.05, -0.03, 0.07),
    slow_sessions=30.0,
    persistence=0.9,
    clustering=0.05,
    leverage=0.05,
)

# Negative control: one regime, independent and identically distributed shocks, exchangeable stocks, no edge to find.
NO_STRUCTURE = replace(
    REALISTIC,
    drift=(0.08, 0.08, 0.08),
    volatility=(0.16, 0.16, 0.16),
    momentum=(0.0, 0.0, 0.0),
    reversal=(0.0, 0.0, 0.0),
    market_reversal=0.0,
    clustering=0.0,
    leverage=0.0,
    own_clustering=0.0,
    own_leverage=0.0,
    beta_spread=0.0,
    own_volatility_spread=0.0,
)
