"""Where a gain over equal weight comes from: its average weights or their timing, its mean or its risk, luck of dates.

All Sharpe ratios are annualised; books are daily returns after costs, (T,), on the same sessions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import mean_return, session_volatility, sharpe_ratio
from trading_platform.core.types import Floats
from trading_platform.evaluation.sharpe_tests import matched_difference


@dataclass(frozen=True, slots=True)
class GainParts:
    """A gain in Sharpe ratio, taken apart twice: gain = tilt + timing = mean + risk.

    Attributes
    ----------
    tilt : gain of a book that holds the policy's average weights all the time.
    timing : what the policy has beyond that.
    mean : gain if the policy had equal weight's volatility, from its mean return alone.
    risk : what its own volatility changes of that.
    rolled : share of the same weights at rolled dates whose timing is at least as good, the policy itself counted; NaN
        without any.
    """

    tilt: float
    timing: float
    mean: float
    risk: float
    rolled: float


def gain_parts(policy: Floats, average: Floats, equal: Floats, rolled: Sequence[Floats] = ()) -> GainParts:
    """Return the parts of a policy's gain.

    Parameters
    ----------
    policy, average, equal
        Daily returns (T,) of the policy's book, that of its average weights, and equal weight's.
    rolled
        Books of the policy's weights moved along the sessions: they have its average and turnover, and no timing.
    """
    mine, static, base = sharpe_ratio(policy), sharpe_ratio(average), sharpe_ratio(equal)
    usual = session_volatility(equal)
    mean_only = mean_return(policy) / usual * math.sqrt(ANNUAL_SESSIONS) if usual > 0.0 else math.nan
    timing = mine - static
    as_good = sum(not (sharpe_ratio(book) - static < timing) for book in rolled)
    share = (1 + as_good) / (1 + len(rolled)) if len(rolled) and math.isfinite(timing) else math.nan
    return GainParts(static - base, timing, mean_only - base, mine - mean_only, share)


def rolled_weights(weights: Floats, rows: range, n_rolls: int) -> list[Floats]:
    """Return `n_rolls` copies of `weights` (T, K) whose decisions for `rows` are moved around by equal steps.

    The decision for row t stands in row t - 1. Whatever leaves at the end comes in at the beginning.
    """
    decided = slice(rows.start - 1, rows.stop - 1)
    length = len(rows)
    found = []
    for number in range(1, n_rolls + 1):
        moved = weights.copy()
        moved[decided] = np.roll(weights[decided], round(number * length / (n_rolls + 1)), axis=0)
        found.append(moved)
    return found


def effective_universes(challenger: Floats, base: Floats) -> float:
    """Return how many independent universes the books (U, T) are worth: U / (1 + (U - 1) r).

    r is the mean correlation of their volatility-matched differences, at least 0. Universes that live through the same
    market share what timing does to them: twenty at 0.6 are worth 1.6. NaN when a difference does not move.
    """
    n_universes = len(base)
    if n_universes < 2:
        return float(n_universes)
    apart = np.array([matched_difference(mine, other) for mine, other in zip(challenger, base, strict=True)])
    deviation = apart.std(axis=1)
    if not (np.isfinite(apart).all() and (deviation > 0.0).all()):
        return math.nan
    together = np.corrcoef(apart)
    mean = max(0.0, float((together.sum() - n_universes) / (n_universes * (n_universes - 1))))
    return n_universes / (1.0 + (n_universes - 1) * mean)
