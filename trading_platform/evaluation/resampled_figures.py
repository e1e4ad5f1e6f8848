"""How far the figures of books would have strayed by luck: all books resampled together, in blocks of sessions.

Returns cluster, so whole blocks of at least a month are drawn (`book_statistics.block_length`), circular ones (Politis
& Romano 1992). Books, bills and market are drawn with the same rows: what moves all of them cancels in differences.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import ROUNDING
from trading_platform.core.types import Floats, Ints
from trading_platform.evaluation.book_statistics import CONFIDENCE, FEWEST_SESSIONS, block_length
from trading_platform.evaluation.bootstrap import percentile_interval

RESAMPLES = 1_000
FIGURES = 6


class FigureSamples(NamedTuple):
    """Figures of K books in R resamples, (R, K) each, named and defined as in `BookFigures`; NaN where not defined."""

    annual_return: Floats
    excess_return: Floats
    sharpe: Floats
    volatility: Floats
    max_drawdown: Floats
    beta: Floats


class Interval(NamedTuple):
    """A central interval; NaN where it is not known."""

    low: float
    high: float


def resampled_figures(
    books: Floats, bills: Floats, market: Floats, rng: np.random.Generator, n_resamples: int = RESAMPLES
) -> FigureSamples | None:
    """Return the figures of resampled `books`, (T, K) daily returns; None below `FEWEST_SESSIONS`.

    Parameters
    ----------
    bills, market
        Daily returns of cash and of the benchmark on the same sessions, (T,). Where the market has a NaN, betas are
        NaN and the rest is not.
    """
    n_sessions = len(books)
    if n_sessions < FEWEST_SESSIONS or not np.isfinite(books).all():
        return None
    block = block_length(books - bills[:, None])
    starts = rng.integers(0, n_sessions, size=(n_resamples, -(-n_sessions // block)))
    columns = _resample(np.ascontiguousarray(books), bills, market, starts, block)
    return FigureSamples(*(np.ascontiguousarray(columns[:, :, n]) for n in range(FIGURES)))


def interval_of(samples: Floats, confidence: float = CONFIDENCE) -> Interval:
    """Return the central interval that holds `confidence` of `samples`, (R,); NaN if any of them is."""
    if len(samples) == 0 or not np.isfinite(samples).all():
        return Interval(math.nan, math.nan)
    return Interval(*percentile_interval(samples, confidence))


@compiled
def _resample(books: Floats, bills: Floats, market: Floats, starts: Ints, block: int) -> Floats:
    """Return the figures in the order of `FigureSamples`, (R, K, 6), of rows that follow `starts` (R, n) in blocks."""
    n_sessions, n_books = books.shape
    found = np.empty((len(starts), n_books, FIGURES))
    power = ANNUAL_SESSIONS / n_sessions
    scale = math.sqrt(ANNUAL_SESSIONS)
    for resample in range(len(starts)):
        for book in range(n_books):
            level, peak, deepest, cash = 1.0, 1.0, 0.0, 1.0
            own, squares, plain, plain_squares, moved, moved_squares, both = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            part, place, row = -1, block, 0
            for _ in range(n_sessions):
                # no division by `block` or `n_sessions`: those three were two thirds of the loop's time
                if place == block:
                    part, place = part + 1, 0
                    row = starts[resample, part]
                value, bill = books[row, book], bills[row]
                level = max(level * (1.0 + value), 0.0)
                cash *= 1.0 + bill
                peak = max(peak, level)
                deepest = max(deepest, 1.0 - level / peak)
                excess, factor = value - bill, market[row] - bill
                plain += value
                plain_squares += value * value
                own += excess
                squares += excess * excess
                moved += factor
                moved_squares += factor * factor
                both += excess * factor
                place += 1
                row += 1
                if row == n_sessions:
                    row = 0
            variance = (squares - own * own / n_sessions) / (n_sessions - 1)
            plain_variance = (plain_squares - plain * plain / n_sessions) / (n_sessions - 1)
            spread = moved_squares - moved * moved / n_sessions
            annual = math.pow(level, power) - 1.0
            row_of = found[resample, book]
            row_of[0] = annual
            row_of[1] = annual - (math.pow(cash, power) - 1.0)
            # a variance below this part of the squares is rounding
            row_of[2] = own / n_sessions / math.sqrt(variance) * scale if variance > ROUNDING * squares else math.nan
            row_of[3] = math.sqrt(max(plain_variance, 0.0)) * scale
            row_of[4] = deepest
            row_of[5] = (both - own * moved / n_sessions) / spread if spread > ROUNDING * moved_squares else math.nan
    return found
