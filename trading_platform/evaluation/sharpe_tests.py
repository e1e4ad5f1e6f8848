"""Tests of the difference between two Sharpe ratios, and how much history such a test needs.

Two books that trade the same strategies move together, so the paired difference is far better known than either
ratio, and still badly: at correlation 0.9 a difference of 0.3 needs fourteen years. The closed forms here check the
bootstrap and plan experiments; verdicts come from :mod:`trading_platform.evaluation.bootstrap`.

Sharpe ratios are annualised; returns are daily, (T,), and a NaN anywhere makes every result NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import session_volatility, sharpe_ratio
from trading_platform.core.types import Floats

NORMAL = NormalDist()
# Andrews (1991), table of constants: growth of the optimal bandwidth for the Parzen kernel.
PARZEN_BANDWIDTH = 2.6614


@dataclass(frozen=True, slots=True)
class SharpeTest:
    """Result of a test that two Sharpe ratios are equal.

    `difference` = challenger - base and its `standard_error`, both annualised; `z` their ratio; `p_value` two-sided.
    """

    difference: float
    standard_error: float
    z: float
    p_value: float


def influence(challenger: Floats, base: Floats) -> Floats:
    """Return how much each session moved the difference of the two daily Sharpe ratios, (T,), with mean zero.

    The delta method of Jobson & Korkie (1981) and Ledoit & Wolf (2008) session by session: with standardised returns
    z, a session contributes (z - S z^2 / 2) of the challenger minus the same of the base. The long-run variance of
    this series over T is the variance of the difference, and its memory is what block lengths must cover.
    """
    return _influence_of_one(challenger) - _influence_of_one(base)


def jobson_korkie_memmel(challenger: Floats, base: Floats) -> SharpeTest:
    """Test equality of two Sharpe ratios for independent normal returns, daily excess returns (T,) each.

    Source: Jobson & Korkie (1981), corrected by Memmel (2003), "Performance Hypothesis Testing with the Sharpe Ratio".
    """
    if len(challenger) < 3:
        return _test(math.nan, math.nan)
    scale = math.sqrt(ANNUAL_SESSIONS)
    first, second = sharpe_ratio(challenger) / scale, sharpe_ratio(base) / scale
    correlation = _correlation(challenger, base)
    variance = _memmel_variance(first, second, correlation) / len(challenger)
    return _test((first - second) * scale, math.sqrt(variance) * scale if variance >= 0.0 else math.nan)


def ledoit_wolf(challenger: Floats, base: Floats) -> SharpeTest:
    """Test equality of two Sharpe ratios with a standard error robust to fat tails and serial dependence.

    Both are daily excess returns, (T,). Parzen kernel, bandwidth by Andrews' AR(1) rule, small-sample factor
    T / (T - 4).
    Source: Ledoit & Wolf (2008), "Robust Performance Hypothesis Testing with the Sharpe Ratio", section 3.1.
    """
    if len(challenger) < 10:
        return _test(math.nan, math.nan)
    n_sessions = len(challenger)
    difference = sharpe_ratio(challenger) - sharpe_ratio(base)
    variance = long_run_variance(influence(challenger, base)) / (n_sessions - 4)
    return _test(difference, math.sqrt(variance * ANNUAL_SESSIONS) if variance >= 0.0 else math.nan)


def long_run_variance(values: Floats) -> float:
    """Return the variance of sqrt(T) times the mean of a dependent series (T,): Parzen-weighted autocovariances."""
    centred = values - values.mean()
    n_values = len(centred)
    variance = float(centred @ centred) / n_values
    if not (variance > 0.0):
        return variance
    first = float(centred[1:] @ centred[:-1]) / n_values / variance
    # Andrews (1991), equation 6.4 for one series; an autocorrelation of 1 would ask for an infinite bandwidth.
    slope = min(0.97, max(-0.97, first))
    bandwidth = PARZEN_BANDWIDTH * (4.0 * slope**2 / (1.0 - slope) ** 4 * n_values) ** 0.2
    total = variance
    for lag in range(1, min(n_values - 1, math.ceil(bandwidth))):
        total += 2.0 * _parzen(lag / bandwidth) * float(centred[lag:] @ centred[:-lag]) / n_values
    return total


def effective_sessions(challenger: Floats, base: Floats, standard_error: float) -> float:
    """Return how many independent sessions know the Sharpe difference as well as these do, at most all of them.

    Parameters
    ----------
    challenger, base
        Daily returns, (T,).
    standard_error
        Of the annualised difference, by a method that allows for dependence (`bootstrap.sharpe_difference`).

    Returns
    -------
    float
        T times the variance that independent sessions would have over the one observed. Gains that come with a regime
        persist for weeks, and then T sessions say less. NaN where either is unknown.
    """
    independent = float(np.mean(influence(challenger, base) ** 2)) / len(base) * ANNUAL_SESSIONS
    if not (standard_error > 0.0 and independent > 0.0):
        return math.nan
    return len(base) * min(1.0, independent / standard_error**2)


def matched_difference(challenger: Floats, base: Floats) -> Floats:
    """Return challenger - base, (T,), after scaling the challenger to the base's volatility.

    The mean of the series is then the difference of the Sharpe ratios times the common volatility, so that a book
    gains nothing by merely holding more or less. Its own Sharpe ratio is what the deflated Sharpe ratio judges, and
    what the trial ledger stores. NaN when either book has no volatility.
    """
    own = session_volatility(challenger)
    if not (own > 0.0):
        return np.full(len(base), math.nan)
    scaled: Floats = challenger * (session_volatility(base) / own) - base
    return scaled


def detection_power(difference: float, correlation: float, n_sessions: int, alpha: float = 0.05) -> float:
    """Return the probability that a one-sided test at `alpha` finds a true Sharpe `difference`.

    Parameters
    ----------
    difference
        Annualised, positive.
    correlation
        Of the two books' daily returns.
    n_sessions
        Length of the test.
    """
    error = _planned_error(correlation) / math.sqrt(n_sessions / ANNUAL_SESSIONS)
    return NORMAL.cdf(difference / error - NORMAL.inv_cdf(1.0 - alpha))


def sessions_to_detect(difference: float, correlation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many sessions a one-sided test at `alpha` needs to find a true Sharpe `difference` with `power`."""
    reach = NORMAL.inv_cdf(1.0 - alpha) + NORMAL.inv_cdf(power)
    years = (reach * _planned_error(correlation) / difference) ** 2
    return math.ceil(years * ANNUAL_SESSIONS)


def _influence_of_one(returns: Floats) -> Floats:
    mean = float(returns.mean())
    # The plain (biased) deviation keeps the mean of the influence at exactly zero.
    deviation = float(np.sqrt(np.mean((returns - mean) ** 2)))
    if not (deviation > 0.0):
        return np.full(len(returns), math.nan)
    standard = (returns - mean) / deviation
    contribution: Floats = standard - 0.5 * (mean / deviation) * (standard**2 - 1.0)
    return contribution


def _memmel_variance(first: float, second: float, correlation: float) -> float:
    """Variance of sqrt(T) times the difference of two daily Sharpe ratios."""
    squares = first**2 + second**2 - 2.0 * first * second * correlation**2
    return 2.0 * (1.0 - correlation) + 0.5 * squares


def _planned_error(correlation: float) -> float:
    """Standard error of the annualised difference after a year; next to 2(1 - r), squares of daily ratios vanish."""
    return math.sqrt(2.0 * (1.0 - correlation))


def _correlation(first: Floats, second: Floats) -> float:
    one, two = first - first.mean(), second - second.mean()
    size = math.sqrt(float(one @ one) * float(two @ two))
    return max(-1.0, min(1.0, float(one @ two) / size)) if size > 0.0 else math.nan


def _parzen(x: float) -> float:
    if x >= 1.0:
        return 0.0
    return 1.0 - 6.0 * x**2 + 6.0 * x**3 if x <= 0.5 else 2.0 * (1.0 - x) ** 3


def _test(difference: float, error: float) -> SharpeTest:
    if difference == 0.0 and not (error > 0.0):
        return SharpeTest(0.0, error, 0.0, 1.0)
    z = difference / error if error > 0.0 else math.nan
    return SharpeTest(difference, error, z, 2.0 * NORMAL.cdf(-abs(z)) if math.isfinite(z) else math.nan)
