"""Causal rolling figures on (T, N) arrays whose row t depends on the last `window` rows alone, to the last bit.

A running sum would carry rounding from the first bar on, and live trading, which loads less history than a replay,
would decide differently. Sums and extremes are built by doubling instead: the figure over 2k rows is that over the
last k combined with that over the k before. It takes log2(window) passes, in numpy, and no pass sees older rows. NaN
in a window gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading_platform.core.types import Floats


def _rolling(values: Floats, window: int, combine: Callable[[Floats, Floats], Floats]) -> Floats:
    """Return `combine` over the last `window` rows of `values` (T, ...); NaN where there are fewer."""
    if window < 1:
        raise ValueError(f"window must be >= 1, was {window}")
    result: Floats | None = None
    taken, width, power = 0, 1, values
    remaining = window
    while True:
        if remaining & 1:
            shifted = lag(power, taken)
            result = shifted if result is None else combine(result, shifted)
            taken += width
        remaining >>= 1
        if remaining == 0:
            break
        power = combine(power, lag(power, width))
        width *= 2
    return values.copy() if result is None else result


def lag(values: Floats, rows: int) -> Floats:
    """Return `values` moved `rows` rows into the future; NaN where nothing was."""
    if rows == 0:
        return values
    moved = np.full_like(values, np.nan)
    moved[rows:] = values[:-rows] if rows < len(values) else values[:0]
    return moved


def rolling_sum(values: Floats, window: int) -> Floats:
    """Return the sum of the last `window` rows."""
    return _rolling(values, window, np.add)


def rolling_mean(values: Floats, window: int) -> Floats:
    """Return the mean of the last `window` rows."""
    return rolling_sum(values, window) / window


def rolling_max(values: Floats, window: int) -> Floats:
    """Return the largest of the last `window` rows."""
    return _rolling(values, window, np.maximum)


def rolling_min(values: Floats, window: int) -> Floats:
    """Return the smallest of the last `window` rows."""
    return _rolling(values, window, np.minimum)


def rolling_std(values: Floats, window: int) -> Floats:
    """Return the sample standard deviation of the last `window` rows.

    From the sums of values and squares, which is exact enough for returns; pass returns, not price levels.
    """
    total = rolling_sum(values, window)
    squares = rolling_sum(values * values, window)
    variance = (squares - total * total / window) / (window - 1)
    return np.sqrt(np.maximum(variance, 0.0))


def rate_of_change(values: Floats, rows: int) -> Floats:
    """Return values[t] / values[t - rows] - 1."""
    return values / lag(values, rows) - 1.0


def cross_rank(values: Floats) -> Floats:
    """Return each row's rank as a fraction in (0, 1], largest = 1; ties go by column, NaN stays NaN.

    A stable rank by column keeps "ties by ticker" true for ranks as well.
    """
    known = np.isfinite(values)
    order = np.argsort(np.where(known, -values, np.inf), axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(values.shape[1])[None, :], axis=1)
    count = known.sum(axis=1, keepdims=True)
    return np.where(known, 1.0 - places / np.maximum(count, 1), np.nan)
