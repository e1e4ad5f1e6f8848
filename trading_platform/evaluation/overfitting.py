"""Probability of backtest overfitting (PBO): does the best of many trials in one half of history win in the other?

Combinatorially symmetric cross-validation: cut history into an even number of blocks, choose the best trial on every
half of them, and look at its rank on the other half. Where choosing is worthless, the winner's rank is that of
any trial, and PBO is about one half.

Source: Bailey, Borwein, Lopez de Prado & Zhu (2017), "The Probability of Backtest Overfitting".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import ROUNDING
from trading_platform.core.types import Floats

# 16 blocks give 12,870 halves, as in the paper. More would take the machine's memory, not buy insight.
MOST_BLOCKS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """Result of combinatorially symmetric cross-validation over C combinations.

    Attributes
    ----------
    probability
        PBO: share of combinations whose in-sample winner ranks in the lower half out of sample.
    logits
        (C,) log odds of the winner's relative rank out of sample; at or below 0 is the lower half.
    in_sample, out_of_sample
        (C,) annualised Sharpe ratios of each winner, chosen and afterwards.
    degradation
        Slope of out-of-sample on in-sample Sharpe ratios of the winners; negative where choosing harms.
    probability_of_loss
        Share of winners that lose money out of sample.
    """

    probability: float
    logits: Floats
    in_sample: Floats
    out_of_sample: Floats
    degradation: float
    probability_of_loss: float


def backtest_overfitting(returns: Floats, n_blocks: int = MOST_BLOCKS) -> Overfitting:
    """Estimate PBO from the daily returns of all trials, (T, N).

    The newest T mod `n_blocks` sessions are left out, so that blocks are equally long. A trial without volatility in
    a half ranks last there.

    Raises
    ------
    FixConfigError
        An odd or impossible number of blocks, fewer than two trials, too short a history, or a NaN.
    """
    _check(returns, n_blocks)
    length = len(returns) // n_blocks
    blocks = returns[: length * n_blocks].reshape(n_blocks, length, -1)
    totals, squares = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    chosen = np.zeros((math.comb(n_blocks, n_blocks // 2), n_blocks))
    for row, half in enumerate(combinations(range(n_blocks), n_blocks // 2)):
        chosen[row, list(half)] = 1.0
    count = length * (n_blocks // 2)
    inside = _sharpes(chosen @ totals, chosen @ squares, count)
    outside = _sharpes((1.0 - chosen) @ totals, (1.0 - chosen) @ squares, count)
    rows = np.arange(len(chosen))
    winners = inside.argmax(axis=1)
    after = outside[rows, winners]
    # Middle ranks for ties, 1 = worst; a rank over N + 1 keeps the odds finite.
    below = (outside < after[:, None]).sum(axis=1)
    ties = (outside == after[:, None]).sum(axis=1)
    relative = (below + (ties + 1) / 2.0) / (returns.shape[1] + 1)
    logits = np.log(relative / (1.0 - relative))
    return Overfitting(
        probability=float(np.mean(logits <= 0.0)),
        logits=logits,
        in_sample=inside[rows, winners],
        out_of_sample=after,
        degradation=_slope(inside[rows, winners], after),
        probability_of_loss=float(np.mean(~(after > 0.0))),
    )


def _sharpes(totals: Floats, squares: Floats, count: int) -> Floats:
    mean = totals / count
    variance = (squares - totals * mean) / (count - 1)
    steady = ~(variance > ROUNDING * squares)
    ratios: Floats = mean / np.sqrt(np.where(steady, 1.0, variance)) * math.sqrt(ANNUAL_SESSIONS)
    return np.where(steady, -math.inf, ratios)


def _slope(x: Floats, y: Floats) -> float:
    usable = np.isfinite(x) & np.isfinite(y)
    if usable.sum() < 2 or np.ptp(x[usable]) == 0.0:
        return math.nan
    centred = x[usable] - x[usable].mean()
    return float(centred @ y[usable] / (centred @ centred))


def _check(returns: Floats, n_blocks: int) -> None:
    if n_blocks % 2 or not (2 <= n_blocks <= MOST_BLOCKS):
        raise FixConfigError(f"PBO: n_blocks must be even and in [2, {MOST_BLOCKS}], was {n_blocks}")
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise FixConfigError(f"PBO: returns must be (T, N) with at least two trials, was {returns.shape}")
    if len(returns) < 2 * n_blocks:
        raise FixConfigError(f"PBO: {len(returns)} sessions are too few for {n_blocks} blocks of two; lower n_blocks")
    if not np.isfinite(returns).all():
        raise FixConfigError("PBO: returns must be finite; drop the trials that failed")
