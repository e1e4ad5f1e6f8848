"""Rolling means, deviations and correlations of all tickers, each window summed afresh, in the order of time.

So a value does not depend on how much history came before it. The innermost loops run over tickers: one sum after the
other, but eight tickers at once.
"""

from __future__ import annotations

import math

from trading_platform.core.compiled import lean
from trading_platform.core.types import Floats

# Tickers whose sums are formed together: their returns of a window stay in the nearest cache.
TILE = 128
# Below this sum of squared deviations prices are constant: rounding noise is not movement.
STILL = 1e-18


@lean
def fill_universe(returns: Floats, universe: Floats) -> None:
    """Fill `universe` (T,) with the mean of each session's known `returns` (T, N)."""
    for t in range(len(returns)):
        total = 0.0
        count = 0.0
        for i in range(returns.shape[1]):
            if not math.isnan(returns[t, i]):
                total += returns[t, i]
                count += 1.0
        universe[t] = total / count if count > 0.0 else math.nan


@lean
def fill_windows(
    returns: Floats,
    window: int,
    short: int,
    market: Floats,
    mean: Floats,
    norm: Floats,
    volatility: Floats,
    correlation: Floats,
    work: Floats,
) -> None:
    """Fill the four figures (N, T) of `returns` (T, N) over the windows that end at each row.

    `mean` and `norm`, the root of the summed squared deviations, and `correlation` with the universe are over `window`
    sessions, `volatility` over `short`; `market` (3, T) holds the universe's return, mean and norm; `work` is
    (3, TILE). NaN, and 0 for the norm, where the window has a gap, is not full yet, or does not move.
    """
    n_sessions, n_tickers = returns.shape
    for low in range(0, n_tickers, TILE):
        high = min(n_tickers, low + TILE)
        means, squares, products = work[0, : high - low], work[1, : high - low], work[2, : high - low]
        for t in range(n_sessions):
            sum_window(returns, t, short, low, high, means, squares)
            for j in range(len(means)):
                moves = squares[j] > STILL
                volatility[low + j, t] = math.sqrt(squares[j]) / math.sqrt(short - 1.0) if moves else math.nan
            sum_window(returns, t, window, low, high, means, squares)
            products[:] = 0.0
            for d in range(max(0, t + 1 - window), t + 1):
                row, other = returns[d, low:high], market[0, d] - market[1, t]
                for j in range(len(products)):
                    products[j] += (row[j] - means[j]) * other
            for j in range(len(means)):
                moves = squares[j] > STILL
                norm[low + j, t] = math.sqrt(squares[j]) if moves else 0.0
                mean[low + j, t] = means[j] if moves else math.nan
                scale = norm[low + j, t] * market[2, t]
                correlation[low + j, t] = products[j] / scale if scale > 0.0 else math.nan


@lean
def sum_window(returns: Floats, t: int, window: int, low: int, high: int, means: Floats, squares: Floats) -> None:
    """Fill `means` (n,) and summed squared deviations `squares` (n,) of `window` rows ending at `t`.

    `returns` is (T, N); n columns are looked at, [low, high).
    """
    means[:] = 0.0
    squares[:] = math.nan if t + 1 < window else 0.0
    first = max(0, t + 1 - window)
    for d in range(first, t + 1):
        row = returns[d, low:high]
        for j in range(len(means)):
            means[j] += row[j]
    for j in range(len(means)):
        means[j] /= window
    for d in range(first, t + 1):
        row = returns[d, low:high]
        for j in range(len(means)):
            deviation = row[j] - means[j]
            squares[j] += deviation * deviation
