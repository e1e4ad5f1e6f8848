"""How far luck alone could have moved a run's headline figures: 95 % intervals from resampled daily returns."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import HAS_NUMBA
from trading_platform.core.types import Floats
from trading_platform.evaluation.resampled_figures import (
    RESAMPLES,
    FigureSamples,
    Interval,
    interval_of,
    resampled_figures,
)
from trading_platform.reporting.run_figures import Returns

SEED = 0  # the same run always has the same intervals
PLAIN_RESAMPLES = 200  # without the compiler a thousand take half a minute
UNKNOWN_INTERVAL = Interval(math.nan, math.nan)


class RunIntervals(NamedTuple):
    """Intervals of a run's figures, and of its Sharpe ratio less the market's, resampled together; NaN = unknown."""

    resamples: int
    excess_return: Interval
    sharpe: Interval
    sharpe_gain: Interval
    max_drawdown: Interval
    beta: Interval


def run_intervals(returns: Returns) -> RunIntervals:
    """Return the intervals of a run; the first close is left out, for its market is unknown."""
    own, bills, market = (values[1:] for values in returns)
    is_known = bool(np.isfinite(market).all())
    books = np.column_stack((own, market)) if is_known else own[:, None]
    samples = samples_of(books, bills, market)
    if samples is None:
        return RunIntervals(0, *[UNKNOWN_INTERVAL] * 5)
    gain = samples.sharpe[:, 0] - samples.sharpe[:, 1] if is_known else np.array([math.nan])
    return RunIntervals(
        len(samples.sharpe),
        interval_of(samples.excess_return[:, 0]),
        interval_of(samples.sharpe[:, 0]),
        interval_of(gain),
        interval_of(samples.max_drawdown[:, 0]),
        interval_of(samples.beta[:, 0]),
    )


def samples_of(books: Floats, bills: Floats, market: Floats) -> FigureSamples | None:
    """Return figures of `books`, (T, K), resampled together; as many resamples as this machine makes in no time."""
    count = RESAMPLES if HAS_NUMBA else PLAIN_RESAMPLES
    return resampled_figures(books, bills, market, np.random.default_rng(SEED), count)
