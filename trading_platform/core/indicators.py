"""Causal rolling figures on (T, N) or (T,) arrays: row t depends on the last `window` rows alone, to the last bit.

A running sum would carry rounding from the first bar on, and live trading, which loads less history than a replay,
would decide differently. Sums and extremes are built by doubling instead: the figure over 2k rows is that over the last
k combined with that over the k before. It takes log2(window) passes, and no pass sees older rows. NaN in a window gives
NaN. Everything is element by element, in blocks that fit the cache; which block a number is in does not change it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading_platform.core.types import Bools, Floats, Ints

BLOCK = 65_536  # numbers worked on at a time; 512 KiB stay in a core's cache
COLUMN_BITS = 16
_COLUMNS = np.int64((1 << COLUMN_BITS) - 1)
_LARGEST = np.iinfo(np.int64).max


def lag(values: Floats, rows: int) -> Floats:
    """Return `values` moved `rows` rows into the future; NaN where nothing was.

    Raises
    ------
    ValueError
        `rows` is negative: that would look ahead.
    """
    if rows < 0:
        raise ValueError(f"rows must be >= 0, was {rows}: a negative lag looks ahead")
    moved = np.full_like(values, np.nan)
    kept = max(0, len(values) - rows)
    moved[len(values) - kept :] = values[:kept]
    return moved


def last_known(values: Floats, max_age: int) -> Floats:
    """Return `values` with gaps filled by the last known value, where it is at most `max_age` rows old."""
    filled = values.copy()
    for age in range(1, max_age + 1):
        filled = np.where(np.isnan(filled), lag(values, age), filled)
    return filled


def rate_of_change(values: Floats, rows: int) -> Floats:
    """Return values[t] / values[t - rows] - 1; NaN where either is unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        changes: Floats = values / lag(values, rows) - 1.0
    return changes


def returns(close: Floats) -> Floats:
    """Return close-to-close returns as fractions; NaN on the first row and beside missing bars."""
    return rate_of_change(close, 1)


def rolling_sum(values: Floats, window: int) -> Floats:
    """Return the sum of the last `window` rows."""
    return _rolling(values, window, np.add)


def rolling_mean(values: Floats, window: int) -> Floats:
    """Return the mean of the last `window` rows."""
    mean = rolling_sum(values, window)
    mean /= window
    return mean


def rolling_product(values: Floats, window: int) -> Floats:
    """Return the product of the last `window` rows."""
    return _rolling(values, window, np.multiply)


def rolling_max(values: Floats, window: int) -> Floats:
    """Return the largest of the last `window` rows."""
    return _rolling(values, window, np.maximum)


def rolling_min(values: Floats, window: int) -> Floats:
    """Return the smallest of the last `window` rows."""
    return _rolling(values, window, np.minimum)


def rolling_std(values: Floats, window: int) -> Floats:
    """Return the sample standard deviation of the last `window` rows, window >= 2.

    From the sums of values and squares, which is exact enough for returns; pass returns, not price levels.

    Raises
    ------
    ValueError
        `window` is below 2: one value deviates from nothing.
    """
    if window < 2:
        raise ValueError(f"window must be >= 2 for a deviation, was {window}")

    def deviation(block: Floats) -> Floats:
        squares = _doubled(block * block, window, np.add)
        total = _doubled(block, window, np.add)
        squares -= total * total / window
        return np.sqrt(np.maximum(squares / (window - 1), 0.0))

    return _in_blocks(values, window, deviation)


def rolling_volatility(daily_returns: Floats, window: int) -> Floats:
    """Return the daily volatility over the last `window` sessions; NaN where nothing moved, which is no measurement."""
    deviation = rolling_std(daily_returns, window)
    deviation[deviation <= 0.0] = np.nan
    return deviation


def cross_rank(values: Floats) -> Floats:
    """Return each row's rank as a fraction in (0, 1], largest = 1; NaN stays NaN and does not count.

    Ties go by column, so that "ties by ticker" is true for ranks as well. Values are compared to 36 bits (eleven
    digits): what differs by less is rounding, and a tie.
    """
    return _rank_rows(values)[0]


def fine_rank(values: Floats) -> tuple[Floats, Floats]:
    """Return (`cross_rank`, the same without steps): the second says where in its place a value lies.

    A rank has as many levels as there are columns, so the strongest of one strategy ties with the strongest of every
    other, every day. The fine rank of a value is its rank less the part of one place that its distance to the value
    above makes of the distance from there to the value below: just under the one above it keeps its place, just over
    the one below it nearly loses it. It moves continuously with the values, also where two of them change places; the
    first and the last look at the two values beside them. Equal values have equal fine ranks; of values that differ
    from neither neighbour, and of fewer than three, it is half a place below.
    """
    return _rank_rows(values)


def _rank_rows(values: Floats) -> tuple[Floats, Floats]:
    n_rows, n_columns = values.shape
    if n_columns > _COLUMNS:
        raise ValueError(f"at most {_COLUMNS} columns can be ranked, were {n_columns}")
    ranks, fine = np.empty_like(values), np.empty_like(values)
    step = max(1, BLOCK // max(1, n_columns))
    for first in range(0, n_rows, step):
        rows = slice(first, first + step)
        ranks[rows], fine[rows] = _ranked(values[rows])
    return ranks, fine


def _ranked(values: Floats) -> tuple[Floats, Floats]:
    """Sort the columns of each row by value and write back the places.

    Sorting whole numbers is several times as fast as a stable argsort. The order of floats is that of their bits, once
    those of negative ones are turned round; the low bits make room for the column.
    """
    known: Bools = np.isfinite(values)
    columns = np.arange(values.shape[1], dtype=np.int64)
    bits = np.where(known, 0.0 - values, 0.0).view(np.int64)  # the largest first; and no negative zero
    keys = np.where(bits < 0, bits ^ _LARGEST, bits)
    keys = np.where(known, keys, _LARGEST) & ~_COLUMNS | columns
    keys.sort(axis=1)
    places = np.empty_like(keys)
    np.put_along_axis(places, keys & _COLUMNS, columns[None, :], axis=1)
    n_known = known.sum(axis=1, keepdims=True)
    count = np.maximum(n_known, 1)
    parts = np.take_along_axis(_part_of_place(keys & ~_COLUMNS, n_known), places, axis=1)
    ranked = np.where(known, 1.0 - places / count, np.nan)
    fine = np.where(known, 1.0 - (places + parts) / count, np.nan)
    return ranked, fine


def _part_of_place(keys: Ints, n_known: Ints) -> Floats:
    """Return how far below the value above each sorted value lies, in [0, 1]; see `fine_rank`."""
    n_columns = keys.shape[1]
    above, below = np.full(keys.shape, np.nan), np.full(keys.shape, np.nan)
    if n_columns > 2:
        sorted_values = np.where(keys < 0, keys ^ _LARGEST, keys).view(np.float64)  # rising: negated values
        sorted_values = np.where(np.arange(n_columns) < n_known, sorted_values, np.nan)
        gaps = np.diff(sorted_values, axis=1)
        above[:, 1:], above[:, 0] = gaps, gaps[:, 1]
        below[:, :-1] = gaps
        lowest = np.isnan(below[:, 2:])
        below[:, 2:][lowest] = gaps[:, :-1][lowest]
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = above / (above + below)
    return np.where(np.isfinite(parts), parts, 0.5)


def _rolling(values: Floats, window: int, combine: np.ufunc) -> Floats:
    """Return `combine` over the last `window` rows of `values`; NaN where there are fewer."""
    if window < 1:
        raise ValueError(f"window must be >= 1, was {window}")
    return _in_blocks(values, window, lambda block: _doubled(block, window, combine))


def _in_blocks(values: Floats, window: int, figure: Callable[[Floats], Floats]) -> Floats:
    """Return `figure` of blocks of columns, which it may use up; NaN in the rows that have too few before them."""
    n_rows = len(values)
    result = np.empty_like(values)
    result[: window - 1] = np.nan
    if n_rows < window:
        return result
    table, target = values.reshape(n_rows, -1), result.reshape(n_rows, -1)
    step = max(8, BLOCK // n_rows // 8 * 8)  # eight numbers are a cache line
    for first in range(0, table.shape[1], step):
        columns = slice(first, first + step)
        target[window - 1 :, columns] = figure(table[:, columns].copy())[window - 1 :]
    return result


def _doubled(power: Floats, window: int, combine: np.ufunc) -> Floats:
    """Combine `window` rows of `power`, which is used up: bit by bit of the window's length, doubling in between.

    Rows that have too little before them hold something incomplete.
    """
    total: Floats | None = None
    spare = np.empty_like(power)
    taken, width = 0, 1
    while True:
        if window & width:
            if total is None:
                total = power.copy()
            else:
                combine(total[taken:], power[: len(power) - taken], out=total[taken:])
            taken += width
        if taken == window:
            return total if total is not None else power
        spare[:width] = power[:width]
        combine(power[width:], power[: len(power) - width], out=spare[width:])
        power, spare = spare, power
        width *= 2
