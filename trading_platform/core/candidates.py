"""From a strategy's table of strengths to its lists of candidates, strongest first.

Shapes: a table of strengths is (T, N); a session's list and its spare room are (n,), n <= N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import lean
from trading_platform.core.types import Bools, Floats, Ints

# Lists up to this long are sorted by insertion, longer ones by merging such runs.
RUN = 16


@lean
def list_candidates(
    strength: Floats,
    exit_: Bools,
    k: int,
    start: Ints,
    ticker: NDArray[np.int32],
    strengths: Floats,
    exits: NDArray[np.uint32],
    wants: NDArray[np.uint32],
    spare_ticker: NDArray[np.int32],
    spare_strength: Floats,
) -> None:
    """Write strategy `k`'s candidates into `ticker` and `strengths`, its bit into `exits` and `wants`, all (T, N).

    `start` (T, K + 1) says where; `spare_ticker` and `spare_strength` (N,) are working space.
    """
    n_sessions, n_tickers = strength.shape
    for t in range(n_sessions):
        n = start[t, k]
        for i in range(n_tickers):
            exits[t, i] |= np.uint32(1 << k) if exit_[t, i] else np.uint32(0)
        for i in range(n_tickers):
            if strength[t, i] > 0.0:
                ticker[n] = i
                strengths[n] = min(strength[t, i], 1.0)
                wants[t, i] |= np.uint32(1 << k)
                n += 1
        first = start[t, k]
        sort_candidates(ticker[first:n], strengths[first:n], spare_ticker, spare_strength)


@lean
def sort_candidates(
    ticker: NDArray[np.int32], strength: Floats, spare_ticker: NDArray[np.int32], spare_strength: Floats
) -> None:
    """Sort a list by falling strength in place; equal ones keep their order, which is that of the tickers."""
    count = len(ticker)
    for low in range(0, count, RUN):
        for n in range(low + 1, min(low + RUN, count)):
            column, value = ticker[n], strength[n]
            at = n
            while at > low and strength[at - 1] < value:
                ticker[at], strength[at] = ticker[at - 1], strength[at - 1]
                at -= 1
            ticker[at], strength[at] = column, value
    width = RUN
    while width < count:
        for low in range(0, count - width, 2 * width):
            merge_runs(ticker, strength, low, low + width, min(low + 2 * width, count), spare_ticker, spare_strength)
        width *= 2


@lean
def merge_runs(
    ticker: NDArray[np.int32],
    strength: Floats,
    low: int,
    middle: int,
    high: int,
    spare_ticker: NDArray[np.int32],
    spare_strength: Floats,
) -> None:
    """Merge the sorted runs [low, middle) and [middle, high)."""
    for n in range(low, middle):
        spare_ticker[n - low], spare_strength[n - low] = ticker[n], strength[n]
    left, right, at = 0, middle, low
    while left < middle - low:
        if right < high and strength[right] > spare_strength[left]:
            ticker[at], strength[at] = ticker[right], strength[right]
            right += 1
        else:
            ticker[at], strength[at] = spare_ticker[left], spare_strength[left]
            left += 1
        at += 1
