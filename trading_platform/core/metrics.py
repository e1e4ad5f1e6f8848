"""Performance figures of a series of daily returns, each written once for kernels, reports and evaluation.

Conventions of every function here:

* `returns` is a (T,) float64 array of simple returns a session, as fractions (0.01 is one percent).
* A NaN anywhere makes the figure NaN; nothing is skipped, since a skipped day would flatter volatility. What cannot
  be known (too short, no volatility to divide by) is NaN as well, never 0.
* Sharpe ratios take no risk-free rate: the engine compares books that hold the same cash.
* Loops are explicit and sums run from first to last, so that compiled and plain Python give the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trading_platform.core.compiled import compiled
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats

# Pseudo-sessions of prior in the running episode Sharpe. Without it the ratio's standard deviation is 29 after
# three sessions, and the reward is noise.
EPISODE_PRIOR_SESSIONS = 5.0
# A standard deviation below this part of the mean's size is rounding, not volatility.
ROUNDING = 1e-12


class Drawdown(NamedTuple):
    """The deepest fall of compounded equity from a peak.

    `depth` is a positive fraction. `peak`, `trough` and `recovery` are rows of `returns`: the peak is the row after
    whose return the peak stood (-1 = the start), the recovery the first row at or above it (T = not yet).
    """

    depth: float
    peak: int
    trough: int
    recovery: int

    @property
    def sessions(self) -> int:
        """Sessions spent below the peak, up to recovery or the end of the series."""
        return self.recovery - self.peak - 1


@compiled
def mean_return(returns: Floats) -> float:
    """Return the arithmetic mean a session; NaN when empty."""
    if len(returns) == 0:
        return math.nan
    total = 0.0
    for value in returns:
        total += value
    return total / len(returns)


@compiled
def session_volatility(returns: Floats) -> float:
    """Return the sample standard deviation a session (T - 1 in the denominator); NaN below two sessions."""
    if len(returns) < 2:
        return math.nan
    mean = mean_return(returns)
    squares = 0.0
    for value in returns:
        squares += (value - mean) * (value - mean)
    return math.sqrt(squares / (len(returns) - 1))


@compiled
def volatility(returns: Floats) -> float:
    """Return the annualised standard deviation, a fraction a year; NaN below two sessions."""
    return session_volatility(returns) * math.sqrt(ANNUAL_SESSIONS)


@compiled
def ratio_to_risk(mean: float, risk: float) -> float:
    """Return the annualised ratio of a session's `mean` to its `risk`; NaN when risk is nothing but rounding."""
    if not (risk > ROUNDING * abs(mean)):
        return math.nan
    return mean / risk * math.sqrt(ANNUAL_SESSIONS)


@compiled
def sharpe_ratio(returns: Floats) -> float:
    """Return the annualised Sharpe ratio: mean over sample standard deviation, times sqrt(252).

    NaN below two sessions and for a constant series. Source: Sharpe (1994), "The Sharpe Ratio".
    """
    return ratio_to_risk(mean_return(returns), session_volatility(returns))


@compiled
def total_return(returns: Floats) -> float:
    """Return the compounded return over the whole series; 0 for an empty one."""
    growth = 1.0
    for value in returns:
        growth *= 1.0 + value
    return growth - 1.0


@compiled
def annual_return(returns: Floats) -> float:
    """Return the geometric return a year; NaN when empty, -1 once equity has been lost entirely."""
    if len(returns) == 0:
        return math.nan
    growth = 1.0
    for value in returns:
        growth *= 1.0 + value
        if growth <= 0.0:
            growth = 0.0
    return math.pow(growth, ANNUAL_SESSIONS / len(returns)) - 1.0


@compiled
def worst_drawdown(returns: Floats) -> Drawdown:
    """Return the deepest drawdown of compounded equity, with the start of the series as its first peak.

    Of equally deep ones the first is returned. A series that never falls has depth 0, peak -1, trough -1 and
    recovery 0. With a NaN the depth is NaN.
    """
    equity = 1.0
    peak = 1.0
    peak_row = -1
    worst = Drawdown(0.0, -1, -1, 0)
    for row in range(len(returns)):
        equity *= 1.0 + returns[row]
        if math.isnan(equity):
            return Drawdown(math.nan, -1, -1, len(returns))
        if equity >= peak:
            if worst.peak == peak_row and worst.recovery == len(returns):
                worst = Drawdown(worst.depth, worst.peak, worst.trough, row)
            peak = equity
            peak_row = row
        elif 1.0 - equity / peak > worst.depth:
            worst = Drawdown(1.0 - equity / peak, peak_row, row, len(returns))
    return worst


@compiled
def max_drawdown(returns: Floats) -> float:
    """Return the depth of the deepest drawdown, a positive fraction; 0 for an empty series."""
    return worst_drawdown(returns).depth


@compiled
def annual_turnover(turnover: Floats) -> float:
    """Return one-way turnover a year from turnover a session (T,), both as multiples of equity; NaN when empty."""
    return mean_return(turnover) * ANNUAL_SESSIONS


@compiled
def shrunken_sharpe(total: float, total_squares: float, count: float, prior_volatility: float) -> float:
    """Return the running Sharpe ratio of an episode, shrunk to zero by a prior of a few quiet sessions.

    With t = `count` sessions so far, sum(r) = `total`, sum(r^2) = `total_squares`, s0 = `prior_volatility` (a
    session's standard deviation on the training window) and n0 = `EPISODE_PRIOR_SESSIONS`::

        m = sum(r) / (t + n0),  v = (sum(r^2) + n0 s0^2) / (t + n0) - m^2,  S_t = m / sqrt(v) * sqrt(252)

    S_0 is 0, so that increments telescope to the last value; v >= n0 s0^2 / (t + n0) > 0 by Cauchy-Schwarz, so that
    one calm day cannot blow the ratio up. NaN for a NaN and for a prior that is not positive.
    """
    weight = count + EPISODE_PRIOR_SESSIONS
    mean = total / weight
    variance = (total_squares + EPISODE_PRIOR_SESSIONS * prior_volatility * prior_volatility) / weight - mean * mean
    if not (prior_volatility > 0.0 and variance > 0.0):
        return math.nan
    return mean / math.sqrt(variance) * math.sqrt(ANNUAL_SESSIONS)


@compiled
def episode_sharpe(total: float, total_squares: float, count: float) -> float:
    """Return the plain annualised Sharpe ratio of an episode from its running sums; NaN below two sessions.

    Equals `sharpe_ratio` of the same returns up to rounding; kernels keep two sums instead of the series.
    """
    if not (count >= 2.0):
        return math.nan
    mean = total / count
    variance = (total_squares - total * mean) / (count - 1.0)
    # The difference of two nearly equal sums carries a rounding error of about 1e-16 of either.
    if not (variance > 1e-14 * total_squares):
        return math.nan
    return mean / math.sqrt(variance) * math.sqrt(ANNUAL_SESSIONS)
