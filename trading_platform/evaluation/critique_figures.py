"""The figures that the critique of a backtest compares with its limits."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from trading_platform.core.types import Floats, Ints
from trading_platform.evaluation.book_statistics import one_factor
from trading_platform.evaluation.sharpe_tests import long_run_variance

NORMAL = NormalDist()
# Random signs are drawn in chunks of about this many trades.
CHUNK = 1_000_000


def profit_without_best(profits: Floats, share: float) -> float:
    """Return the sum of `profits` (M,), dollars, without the best `share` of trades, at least one.

    NaN without trades or with a NaN, which sorting would take for the best trade of all.
    """
    if len(profits) == 0 or np.isnan(profits).any():
        return math.nan
    n_best = max(1, math.floor(share * len(profits)))
    return float(np.sort(profits)[: len(profits) - n_best].sum())


def coin_flip_p_value(profits: Floats, n_resamples: int, rng: np.random.Generator) -> float:
    """Return how often random signs give `profits` (M,) as large a sum; NaN without trades or with a NaN.

    Trades without an edge are as likely to win as to lose their size: the one-sided permutation test for a centre of
    zero. Profits that are tiny and often against losses that are huge and rare are not symmetric; then read the p value
    as a hint.
    """
    total = float(profits.sum())
    if len(profits) == 0 or math.isnan(total):
        return math.nan
    step = max(1, CHUNK // len(profits))
    # Sums of the same sizes in another order round differently: allow for it, or ties with the observed are lost.
    least = total - 1e-12 * float(np.abs(profits).sum())
    extreme = 0
    for start in range(0, n_resamples, step):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(min(step, n_resamples - start), len(profits)))
        extreme += int(np.count_nonzero(signs @ profits >= least))
    return (1 + extreme) / (1 + n_resamples)


def benchmark_p_value(returns: Floats, benchmark_returns: Floats) -> float:
    """Return the one-sided p value of the t-test that the mean daily difference to the benchmark is positive.

    The standard error allows for serial dependence. NaN below ten sessions or with a NaN; a difference that never
    varies is 0 or 1 by its sign, and 1 when there is none. Both are fractions a session, (T,).
    """
    difference = returns - benchmark_returns
    if len(difference) < 10 or np.isnan(difference).any():
        return math.nan
    mean = float(difference.mean())
    error = math.sqrt(max(0.0, long_run_variance(difference)) / (len(difference) - 1))
    if error == 0.0:
        return 0.0 if mean > 0.0 else 1.0
    return NORMAL.cdf(-mean / error)


def longest_flat_run(returns: Floats) -> int:
    """Return the longest run of sessions whose return, of (T,), is exactly zero, or unknown."""
    longest = run = 0
    for value in returns:
        run = run + 1 if value == 0.0 or math.isnan(value) else 0
        longest = max(longest, run)
    return longest


def gain_p_value(returns: Floats, benchmark_returns: Floats, bills: Floats) -> float:
    """Return the one-sided p value that the book earns more than the benchmark and bills at the same beta.

    A book that is half in cash need not beat a benchmark that is not: it must beat half of it. NaN where beta is.
    All are fractions a session, (T,).
    """
    beta = one_factor(returns - bills, benchmark_returns - bills).beta
    return benchmark_p_value(returns, bills + beta * (benchmark_returns - bills))


def largest_share(amounts: Floats, labels: Ints) -> tuple[float, int]:
    """Return what part of the sum of `amounts` (M,) the label with the most has, and that label.

    More than 1 where the others lose. NaN where the sum is not positive: there is no profit to be concentrated.
    """
    if len(amounts) == 0 or not (float(amounts.sum()) > 0.0):
        return math.nan, 0
    known, place = np.unique(labels, return_inverse=True)
    totals = np.bincount(place, weights=amounts)
    best = int(totals.argmax())
    return float(totals[best] / amounts.sum()), int(known[best])


def cost_share(profits: Floats, costs: float) -> float:
    """Return what part of the profit before `costs` these took; NaN where there is none. `profits` (M,), dollars."""
    before = float(profits.sum()) + costs
    return costs / before if before > 0.0 else math.nan
