"""What the regime model observes, and when it is fitted."""

from __future__ import annotations

import numpy as np

from trading_platform.core.indicators import lag, rolling_mean, rolling_std
from trading_platform.core.market_features import known_vix, row_mean, universe_of
from trading_platform.core.types import Floats, MarketPanel

RETURN, VOLATILITY, VIX = range(3)


def regime_features(panel: MarketPanel, window: int) -> Floats:
    """Return (T, 3): mean daily return and log volatility of the equal-weight universe over `window` sessions, log VIX.

    Row t depends on rows t - window to t (window >= MAX_VIX_AGE). NaN where history is too short, where the universe
    did not move, or where VIX is unknown or not positive.
    """
    panel = universe_of(panel)
    with np.errstate(invalid="ignore", divide="ignore"):
        close = panel.close if panel.split_ratio is None else panel.close * _known_ratio(panel.split_ratio)
        universe = row_mean(close / lag(panel.close, 1) - 1.0)
        features = np.column_stack(
            [rolling_mean(universe, window), np.log(rolling_std(universe, window)), np.log(known_vix(panel))]
        )
    return np.where(np.isfinite(features), features, np.nan)


def _known_ratio(split_ratio: Floats) -> Floats:
    return np.where(np.isfinite(split_ratio), split_ratio, 1.0)


def refit_rows(sessions: np.ndarray, months: int) -> list[int]:
    """Return the rows that are the first session of a month whose number (from 0) is a multiple of `months`.

    Row 0 is never one: whether it is the first of its month is not known.
    """
    month = sessions.astype("datetime64[M]").astype(np.int64)
    first = np.concatenate(([False], month[1:] != month[:-1]))[: len(month)]
    return [int(row) for row in np.flatnonzero(first & (month % 12 % months == 0))]
