"""What the regime model observes, and when it is fitted."""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.indicators import lag, rolling_std
from trading_platform.core.market_features import known_vix, row_mean, universe_of
from trading_platform.core.types import Floats, MarketPanel

TREND, FALL, VOLATILITY, VIX = range(4)

# Added to the distance below the high, so that its logarithm is known at the high itself.
AT_THE_HIGH = 0.01
# Sessions of the mean that the anchors are told of. Over others, distances count as those of a random walk over these.
YEAR_MEAN = 200


def regime_features(panel: MarketPanel, window: int, trend_window: int) -> Floats:
    """Return (T, 4) of the market: trend, log (1 % + fall), log volatility, log VIX.

    Volatility is that of daily returns over `window` sessions. Trend is the level over the mean of the last
    `trend_window` levels, less 1; fall the distance below the highest of them as a fraction; both as if over 200
    levels. Row t depends on rows t - max(trend_window - 1, window) to t (with either >= MAX_VIX_AGE). NaN where history
    is too short, where the market did not move, or where VIX is unknown or not positive.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        daily = market_returns(panel)
        trend, fall = (x / math.sqrt(trend_window / YEAR_MEAN) for x in _trend_and_fall(daily, trend_window))
        features = np.column_stack(
            [trend, np.log(AT_THE_HIGH + fall), np.log(rolling_std(daily, window)), np.log(known_vix(panel))]
        )
    return np.where(np.isfinite(features), features, np.nan)


def market_returns(panel: MarketPanel) -> Floats:
    """Return the market's daily returns (T,): the benchmark's; where unknown, those of the equal-weight universe."""
    universe = universe_of(panel)
    with np.errstate(invalid="ignore", divide="ignore"):
        close = universe.close if universe.split_ratio is None else universe.close * _known_ratio(universe.split_ratio)
        benchmark = panel.benchmark / lag(panel.benchmark, 1) - 1.0
        return np.where(np.isfinite(benchmark), benchmark, row_mean(close / lag(universe.close, 1) - 1.0))


def _known_ratio(split_ratio: Floats) -> Floats:
    return np.where(np.isfinite(split_ratio), split_ratio, 1.0)


def _trend_and_fall(daily: Floats, window: int) -> tuple[Floats, Floats]:
    """Return the market's level over the mean of its last `window` levels less 1, and its distance below the highest.

    Levels are counted back from each row, whose own is 1, so that the rounding does not depend on where bars begin.
    """
    level = np.ones_like(daily)
    total, highest = np.ones_like(daily), np.ones_like(daily)
    for rows in range(window - 1):
        level = level / (1.0 + lag(daily, rows))
        total = total + level
        highest = np.maximum(highest, level)
    return window / total - 1.0, 1.0 - 1.0 / highest


def refit_rows(sessions: np.ndarray, months: int) -> list[int]:
    """Return the rows of `sessions` (T,) that are the first of a month whose number (from 0) `months` divides.

    Row 0 is never one: whether it is the first of its month is not known.
    """
    month = sessions.astype("datetime64[M]").astype(np.int64)
    first = np.concatenate(([False], month[1:] != month[:-1]))[: len(month)]
    return [int(row) for row in np.flatnonzero(first & (month % 12 % months == 0))]
