"""The market part of the RL observation: ten causal figures a session, the same in training, replay and live."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.indicators import lag, rate_of_change, rolling_mean, rolling_std
from trading_platform.core.types import Floats, MarketPanel

LONG, MEDIUM, SHORT = 200, 63, 20
LOOKBACK = LONG + 1
ANNUAL_SESSIONS = 252


class FeatureSpec(NamedTuple):
    """Name, unit and meaning of one feature; `neutral` is its ordinary value, shown to a policy where unknown."""

    name: str
    unit: str
    description: str
    neutral: float


MARKET_FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec("vix", "percent", "VIX level", 17.0),
    FeatureSpec("vix_ratio", "ratio", "VIX over its 63-session mean", 1.0),
    FeatureSpec("trend", "fraction", "benchmark over its 200-session mean, minus 1", 0.0),
    FeatureSpec("benchmark_return", "fraction", "benchmark's return over 20 sessions", 0.0),
    FeatureSpec("volume_ratio", "ratio", "median over the universe of volume over its 20-session mean", 0.95),
    FeatureSpec("breadth", "fraction", "share of the universe above its 63-session mean", 0.55),
    FeatureSpec("momentum_breadth", "fraction", "share of the universe with a positive 63-session return", 0.55),
    FeatureSpec("dispersion", "fraction", "cross-sectional deviation of 20-session returns", 0.08),
    FeatureSpec("correlation", "fraction", "average pairwise correlation over 63 sessions, by the variance ratio", 0.3),
    FeatureSpec("volatility", "fraction a year", "volatility of the equal-weight universe over 20 sessions", 0.15),
)


def market_features(panel: MarketPanel) -> Floats:
    """Return (T, 10) features in the order of `MARKET_FEATURES`, on split-adjusted bars; NaN = unknown.

    Without a benchmark in the data the equal-weight universe stands in for it, as an index that starts at 1: returns
    and ratios are all that is used of it.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = np.full_like(panel.close, np.nan)
        returns[1:] = panel.close[1:] / panel.close[:-1] - 1.0
        universe = row_mean(returns)
        benchmark = panel.benchmark if np.isfinite(panel.benchmark).any() else _index(universe)
        above = panel.close > rolling_mean(panel.close, MEDIUM)
        quarter = rate_of_change(panel.close, MEDIUM)
        month = rate_of_change(panel.close, SHORT)
        volume_ratio = panel.volume / rolling_mean(panel.volume, SHORT)
        return np.column_stack(
            [
                panel.vix,
                panel.vix / rolling_mean(panel.vix, MEDIUM),
                benchmark / rolling_mean(benchmark, LONG) - 1.0,
                benchmark / lag(benchmark, SHORT) - 1.0,
                row_median(volume_ratio),
                row_share(above, np.isfinite(rolling_mean(panel.close, MEDIUM))),
                row_share(quarter > 0.0, np.isfinite(quarter)),
                row_deviation(month),
                _average_correlation(returns, universe),
                rolling_std(universe, SHORT) * np.sqrt(ANNUAL_SESSIONS),
            ]
        )


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


def _average_correlation(returns: Floats, universe: Floats) -> Floats:
    """Return the average pairwise correlation of N assets, (T,).

    With s the mean volatility and S that of their equal-weight mean, S^2 = s^2 (1/N + (1 - 1/N) rho) for equal
    volatilities; solved for rho, which needs N volatilities instead of N^2 correlations.
    """
    count = np.isfinite(returns).sum(axis=1)
    single = row_mean(rolling_std(returns, MEDIUM))
    share = 1.0 / np.maximum(count, 2)
    ratio = (rolling_std(universe, MEDIUM) / single) ** 2
    correlation: Floats = (ratio - share) / (1.0 - share)
    return correlation


def _index(returns: Floats) -> Floats:
    """Return the level of an index with these daily returns, (T,)."""
    level = np.cumprod(np.where(np.isfinite(returns), 1.0 + returns, 1.0))
    return level.astype(np.float64)
