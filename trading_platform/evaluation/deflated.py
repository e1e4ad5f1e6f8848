"""How much of a Sharpe ratio is left once we admit how short, how skewed and how often tried it was.

All Sharpe ratios in this module are per session (not annualised), as in the papers: the formulas count observations.
Divide an annualised ratio by sqrt(252), and the variance of annualised ratios by 252, first.

Sources: Bailey & Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier"; (2014), "The Deflated Sharpe Ratio:
Correcting for Selection Bias, Backtest Overfitting, and Non-Normality".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.types import Floats

NORMAL = NormalDist()
EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class ReturnShape:
    """What the formulas need of a series: its length, Sharpe ratio a session, skewness, kurtosis (normal = 3).

    The formulas take days for independent. Where they are not, the length should be the number of independent ones that
    know as much (`sharpe_tests.effective_sessions`), and then is no whole number.
    """

    n_observations: float
    sharpe: float
    skewness: float
    kurtosis: float


def return_shape(returns: Floats, n_observations: float | None = None) -> ReturnShape:
    """Measure daily returns (T,); `n_observations` None counts them all.

    All figures but the length are NaN for a series with a NaN or without volatility.
    """
    length = len(returns) if n_observations is None else n_observations
    sharpe = sharpe_ratio(returns) / math.sqrt(ANNUAL_SESSIONS)
    if math.isnan(sharpe):
        return ReturnShape(length, math.nan, math.nan, math.nan)
    centred = returns - returns.mean()
    variance = float(np.mean(centred**2))
    skewness = float(np.mean(centred**3)) / variance**1.5
    kurtosis = float(np.mean(centred**4)) / variance**2
    return ReturnShape(length, sharpe, skewness, kurtosis)


def probabilistic_sharpe(shape: ReturnShape, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio exceeds `benchmark`, given length, skewness and kurtosis.

    NaN when it is unknown: fewer than two observations, a NaN, or moments no distribution has.
    """
    spread = _sharpe_spread(shape)
    if not (shape.n_observations >= 2 and spread > 0.0):
        return math.nan
    z = (shape.sharpe - benchmark) * math.sqrt(shape.n_observations - 1) / spread
    return NORMAL.cdf(z) if not math.isnan(z) else math.nan


def min_track_record_length(shape: ReturnShape, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Return the observations needed to claim that the true Sharpe ratio exceeds `benchmark`.

    Infinite when the observed ratio does not exceed it; NaN when unknown. `shape.n_observations` is not used.
    """
    spread = _sharpe_spread(shape)
    if not (spread > 0.0) or math.isnan(benchmark):
        return math.nan
    if not (shape.sharpe > benchmark):
        return math.inf
    return 1.0 + (spread * NORMAL.inv_cdf(confidence) / (shape.sharpe - benchmark)) ** 2


def expected_max_sharpe(n_trials: float, variance: float) -> float:
    """Return the Sharpe ratio that the best of `n_trials` worthless, independent trials reaches on average.

    Parameters
    ----------
    n_trials
        Number of independent trials, at least 1 (see :func:`effective_trials`). One trial selects nothing: 0.
    variance
        Variance of the trials' Sharpe ratios, of the same period as the ratios it is compared with.

    Returns
    -------
    float
        In the period of `variance`. NaN for fewer than one trial, a negative variance or a NaN.
    """
    if not (n_trials >= 1.0):
        return math.nan
    if n_trials == 1.0:
        return 0.0
    if not (variance >= 0.0):
        return math.nan
    typical = NORMAL.inv_cdf(1.0 - 1.0 / n_trials)
    upper = NORMAL.inv_cdf(1.0 - 1.0 / (n_trials * math.e))
    # The asymptotic mean of an extreme falls below zero for a "maximum of 1.1 trials": a maximum is never worse.
    return math.sqrt(variance) * max(0.0, (1.0 - EULER_MASCHERONI) * typical + EULER_MASCHERONI * upper)


def deflated_sharpe(shape: ReturnShape, n_trials: float, variance: float) -> float:
    """Return the probability that the true Sharpe ratio beats the best of `n_trials` worthless trials.

    `variance` is that of the trials' per-session Sharpe ratios; it is not needed for a single trial.
    """
    return probabilistic_sharpe(shape, expected_max_sharpe(n_trials, variance))


def effective_trials(returns: Floats) -> float:
    """Return the number of independent trials that N correlated ones, (T, N) daily returns, amount to.

    With mean pairwise correlation r it is r + (1 - r) N, in [1, N]. A trial without volatility counts as independent.
    NaN if any return is.

    Source: Bailey & Lopez de Prado (2014), appendix A.3.
    """
    n_trials = returns.shape[1]
    if n_trials < 2:
        return float(n_trials)
    centred = returns - returns.mean(axis=0)
    sizes = np.sqrt((centred**2).sum(axis=0))
    standard = np.divide(centred, sizes, out=np.zeros_like(centred), where=~(sizes <= 0.0))
    correlations = standard.T @ standard
    mean = (correlations.sum() - np.trace(correlations)) / (n_trials * (n_trials - 1))
    # A negative mean would make more than N out of N.
    return float(np.clip(mean + (1.0 - mean) * n_trials, 1.0, n_trials))


def _sharpe_spread(shape: ReturnShape) -> float:
    """Standard deviation of sqrt(T) times the Sharpe estimate (Mertens 2002); NaN for impossible moments."""
    squared = 1.0 - shape.skewness * shape.sharpe + (shape.kurtosis - 1.0) / 4.0 * shape.sharpe**2
    return math.sqrt(squared) if squared > 0.0 else math.nan
