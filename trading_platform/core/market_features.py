"""The market part of the RL observation: ten causal figures a session, the same in training, replay and live."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.indicators import (
    lag,
    last_known,
    rate_of_change,
    returns,
    rolling_mean,
    rolling_product,
    rolling_std,
)
from trading_platform.core.types import Floats, MarketPanel

LONG, MEDIUM, SHORT = 200, 63, 20
LOOKBACK = LONG + 1
# Public VIX files lag a session or two; the risk rules' default age limit is the same.
MAX_VIX_AGE = 3


Bounds = tuple[float, float]
ANYTHING: Bounds = (-math.inf, math.inf)
POSITIVE: Bounds = (0.0, math.inf)  # levels and ratios, which move by factors
SHARE: Bounds = (0.0, 1.0)


class FeatureSpec(NamedTuple):
    """Name, unit and meaning of one feature.

    `neutral` is its ordinary value, shown to a policy where unknown; `bounds` are the values that can be at all.
    """

    name: str
    unit: str
    description: str
    neutral: float
    bounds: Bounds = ANYTHING


MARKET_FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec("vix", "percent", "VIX level", 17.0, POSITIVE),
    FeatureSpec("vix_ratio", "ratio", "VIX over its 63-session mean", 1.0, POSITIVE),
    FeatureSpec("trend", "fraction", "benchmark over its 200-session mean, minus 1", 0.0),
    FeatureSpec("benchmark_return", "fraction", "benchmark's return over 20 sessions", 0.0),
    FeatureSpec("volume_ratio", "ratio", "median over the universe of volume over its 20-session mean", 0.95, POSITIVE),
    FeatureSpec("breadth", "fraction", "share of the universe above its 63-session mean", 0.55, SHARE),
    FeatureSpec("momentum_breadth", "fraction", "share of the universe with a positive 63-session return", 0.55, SHARE),
    FeatureSpec("dispersion", "fraction", "cross-sectional deviation of 20-session returns", 0.08, POSITIVE),
    FeatureSpec("correlation", "fraction", "average pairwise correlation over 63 sessions, by the variance ratio", 0.3),
    FeatureSpec(
        "volatility", "fraction a year", "volatility of the equal-weight universe over 20 sessions", 0.15, POSITIVE
    ),
)


def universe_of(panel: MarketPanel) -> MarketPanel:
    """Return the panel without funds and benchmark, where it has stocks: they are no part of breadth or dispersion."""
    inside = panel.universe
    return panel if inside.all() else panel.columns(np.flatnonzero(inside).tolist())


def market_features(panel: MarketPanel) -> Floats:
    """Return (T, 10) features in the order of `MARKET_FEATURES`, on split-adjusted bars; NaN = unknown.

    Row t depends on the last `LOOKBACK` rows alone. At a session at which the benchmark is not known over the whole
    window, an index of the equal-weight universe stands in for it.
    """
    panel = universe_of(panel)
    with np.errstate(invalid="ignore", divide="ignore"):
        daily = returns(panel.close)
        universe = row_mean(daily)
        average = rolling_mean(panel.close, MEDIUM)
        quarter = rate_of_change(panel.close, MEDIUM)
        trend = panel.benchmark / rolling_mean(panel.benchmark, LONG) - 1.0
        month = rate_of_change(panel.benchmark, SHORT)
        vix = known_vix(panel)
        return np.column_stack(
            [
                vix,
                vix / rolling_mean(vix, MEDIUM),
                np.where(np.isfinite(trend), trend, index_trend(universe, LONG)),
                np.where(np.isfinite(month), month, rolling_product(1.0 + universe, SHORT) - 1.0),
                row_median(panel.volume / rolling_mean(panel.volume, SHORT)),
                row_share(panel.close > average, np.isfinite(average)),
                row_share(quarter > 0.0, np.isfinite(quarter)),
                row_deviation(rate_of_change(panel.close, SHORT)),
                average_correlation(daily, universe),
                rolling_std(universe, SHORT) * np.sqrt(ANNUAL_SESSIONS),
            ]
        )


def known_vix(panel: MarketPanel) -> Floats:
    """Return VIX, (T,), where missing the last one if it is at most `MAX_VIX_AGE` sessions old; NaN = unknown."""
    return last_known(panel.vix, MAX_VIX_AGE)


def index_trend(daily: Floats, window: int) -> Floats:
    """Return an index over the mean of its last `window` levels, minus 1, from its daily returns (T,).

    Levels are counted back from each row, not forward from the first one, whose distance would show in the rounding.
    """
    level = np.ones_like(daily)
    total = np.ones_like(daily)
    for rows in range(window - 1):
        level = level / (1.0 + lag(daily, rows))
        total = total + level
    trend: Floats = window / total - 1.0
    return trend


def row_mean(values: Floats) -> Floats:
    """Return the mean of each row's known values, (T,); NaN where none is known."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def row_share(flags: np.ndarray, known: np.ndarray) -> Floats:
    """Return the share of each row's known entries that are true, (T,)."""
    count = known.sum(axis=1)
    return np.where(count > 0, (flags & known).sum(axis=1) / np.maximum(count, 1), np.nan)


def row_deviation(values: Floats) -> Floats:
    """Return the standard deviation of each row's known values, (T,)."""
    mean = row_mean(values)
    return np.sqrt(row_mean((values - mean[:, None]) ** 2))


def row_median(values: Floats) -> Floats:
    """Return the median of each row's known values, (T,)."""
    ordered = np.sort(values, axis=1)  # NaN goes last
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low = ordered[rows, np.maximum((count - 1) // 2, 0)]
    high = ordered[rows, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, 0.5 * (low + high), np.nan)


def average_correlation(daily: Floats, universe: Floats) -> Floats:
    """Return the average pairwise correlation of N assets, (T,); NaN for fewer than two.

    With s the mean volatility and S that of their equal-weight mean, S^2 = s^2 (1/N + (1 - 1/N) rho) for equal
    volatilities; solved for rho, which needs N volatilities instead of N^2 correlations.
    """
    single = rolling_std(daily, MEDIUM)
    count = np.isfinite(single).sum(axis=1)
    share = 1.0 / np.maximum(count, 2)
    ratio = (rolling_std(universe, MEDIUM) / row_mean(single)) ** 2
    return np.where(count >= 2, (ratio - share) / (1.0 - share), np.nan)
