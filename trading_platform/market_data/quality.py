"""Is this market data fit to trade on? Pure checks on daily bars in long form.

What cannot be true is an error: one `MarketDataError` that names file and line (or ticker and date), the value and
the cure. What is strange but happens is a `Suspicion`: counted, with its first case as an example. Thresholds are set
so that the real moves of 2000-2017 pass (AAPL -52 % on 2000-09-29, HIG +102 % on 2008-12-05) and a price in cents
instead of dollars does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Bools, Floats, Ints
from trading_platform.market_data.bars import PRICES, Bars

# Adjusted prices are products of rounded factors, so a low may lie above a close by float32 noise (6e-8) or so.
PRICE_TOLERANCE = 1e-5
# Lehman Brothers fell by a factor of 17 on 2008-09-15; a price in cents instead of dollars jumps by 100.
ABSURD_RATIO = 20.0
# A jump by more than SPIKE_RATIO that the next bar takes back, to within SPIKE_RETURN, is a bad tick.
SPIKE_RATIO = 5.0
SPIKE_RETURN = 1.5
LARGE_MOVE = 0.40
WIDE_RANGE_RATIO = 3.0
# Share-count factors of common splits; a large gap at the open by one of them, to within 2 %, looks unadjusted.
SPLIT_FACTORS = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0])
SPLIT_TOLERANCE = 0.02
# VIX has closed between 9.14 (2017) and 82.69 (2020) since 1990.
VIX_RANGE = (5.0, 150.0)


class SuspicionKind(StrEnum):
    """What looks strange, though it can be true."""

    LARGE_MOVE = "large_move"
    SPLIT_LIKE = "split_like"
    WIDE_RANGE = "wide_range"
    ZERO_VOLUME = "zero_volume"
    STALE = "stale"
    GAP = "gap"
    ENDS_EARLY = "ends_early"
    VIX_MISSING = "vix_missing"
    VIX_OFF_SESSION = "vix_off_session"
    BENCHMARK_MISSING = "benchmark_missing"
    SECTOR_UNKNOWN = "sector_unknown"
    FILE_SKIPPED = "file_skipped"
    TICKER_DROPPED = "ticker_dropped"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A counted warning; `example` is its first case."""

    kind: SuspicionKind
    count: int
    example: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.count} x, e.g. {self.example}"


def check_bars(bars: Bars, sessions: NDArray[np.datetime64]) -> list[Suspicion]:
    """Check bars of any number of tickers against each other and against the exchange's `sessions`.

    Parameters
    ----------
    bars
        Long-form bars, in any order.
    sessions
        (T,) every session of the exchange from the first to the last bar at least, datetime64[D], increasing.

    Returns
    -------
    list
        The suspicions found.

    Raises
    ------
    MarketDataError
        The first impossible value, duplicate, non-session or absurd jump, or a session on which no ticker has a bar.
    """
    check_values(bars)
    row = np.searchsorted(sessions, bars.session)
    check_sessions(bars, sessions, row)
    order = np.argsort(bars.ticker * len(sessions) + row, kind="stable")
    check_duplicates(bars, order)
    _check_jumps(bars, order)
    return list(_suspicions(bars, order, row))


def check_values(bars: Bars) -> None:
    """Refuse numbers that no bar can have: not finite, price <= 0, volume < 0, high or low on the wrong side."""
    for column in (*PRICES, "volume"):
        values: Floats = getattr(bars, column)
        if column == "volume":
            _refuse(bars, ~(values >= 0.0) | np.isinf(values), column, "a number >= 0")
        else:
            _refuse(bars, ~(values > 0.0) | np.isinf(values), column, "a price above 0")
    if bars.split_ratio is not None:
        _refuse(bars, ~(bars.split_ratio > 0.0) | np.isinf(bars.split_ratio), "split_ratio", "a factor above 0")
    if bars.dividend is not None:
        _refuse(bars, ~(bars.dividend >= 0.0) | np.isinf(bars.dividend), "dividend", "dollars a share >= 0")
    top = np.maximum(bars.open, bars.close)
    bottom = np.minimum(bars.open, bars.close)
    bad = (bars.high < top * (1.0 - PRICE_TOLERANCE)) | (bars.low > bottom * (1.0 + PRICE_TOLERANCE))
    if np.any(bad):
        row = _first(bad)
        values_text = ", ".join(f"{column} {getattr(bars, column)[row]:g}" for column in PRICES)
        raise MarketDataError(
            f"{bars.label(row)}: low <= open, close <= high does not hold ({values_text}); correct the row"
        )


def check_order(bars: Bars) -> None:
    """Refuse a file in which a ticker's sessions do not strictly increase from row to row."""
    order = np.argsort(bars.ticker, kind="stable")
    same = bars.ticker[order][1:] == bars.ticker[order][:-1]
    step = np.diff(bars.session[order].astype(np.int64))
    wrong = order[1:][same & (step <= 0)]
    if not wrong.size:
        return
    row = int(wrong.min())
    earlier = int(order[int(np.flatnonzero(order == row)[0]) - 1])
    if bars.session[row] == bars.session[earlier]:
        raise _duplicate(bars, row, earlier)
    raise MarketDataError(
        f"{bars.label(row)} comes after {bars.day(earlier)}; sort the file by date (each ticker's dates must increase)"
    )


def check_duplicates(bars: Bars, order: Ints) -> None:
    """Refuse two bars of one ticker on one session; `order` sorts by ticker and session."""
    ticker, session = bars.ticker[order], bars.session[order]
    twice = np.flatnonzero((ticker[1:] == ticker[:-1]) & (session[1:] == session[:-1]))
    if twice.size:
        first, second = sorted((int(order[twice[0]]), int(order[twice[0] + 1])))
        raise _duplicate(bars, second, first)


def check_sessions(bars: Bars, sessions: NDArray[np.datetime64], row: Ints) -> None:
    """Refuse bars on days without a session, and sessions in the middle without any bar."""
    strange = sessions[np.minimum(row, len(sessions) - 1)] != bars.session
    if np.any(strange):
        bad = _first(strange)
        raise MarketDataError(
            f"{bars.label(bad)} ({bars.day(bad):%A}) is not an NYSE session; correct the date or delete the row"
        )
    counts = np.bincount(row, minlength=len(sessions))
    used = np.flatnonzero(counts)
    holes = np.flatnonzero(counts[used[0] : used[-1]] == 0) + used[0]
    if holes.size:
        hole = sessions[holes[0]]
        raise MarketDataError(
            f"no ticker has a bar on {hole}, an NYSE session ({holes.size} such sessions from {sessions[used[0]]} to "
            f"{sessions[used[-1]]}); add the missing bars"
        )


def check_vix(days: NDArray[np.datetime64], values: Floats, place: str) -> None:
    """Refuse VIX values outside 5..150 or not finite, and days that do not increase."""
    bad = ~((values >= VIX_RANGE[0]) & (values <= VIX_RANGE[1]))
    if np.any(bad):
        row = _first(bad)
        raise MarketDataError(
            f"{place}: {days[row]} VIX {values[row]:g} is outside {VIX_RANGE[0]:g}..{VIX_RANGE[1]:g}; correct the row"
        )
    step = np.diff(days.astype(np.int64))
    if np.any(step <= 0):
        row = _first(step <= 0) + 1
        fault = "appears twice" if days[row] == days[row - 1] else f"comes after {days[row - 1]}"
        raise MarketDataError(f"{place}: {days[row]} {fault}; dates must increase")


def _check_jumps(bars: Bars, order: Ints) -> None:
    ratio = _close_ratios(bars, order)
    with np.errstate(invalid="ignore"):
        size = np.abs(np.log(ratio))
    absurd = size > np.log(ABSURD_RATIO)
    following = np.append(ratio[1:], np.nan)
    spike = (size > np.log(SPIKE_RATIO)) & (np.abs(np.log(ratio * following)) < np.log(SPIKE_RETURN))
    bad = absurd | spike
    if np.any(bad):
        at = _first(bad)
        row, before = int(order[at]), int(order[at - 1])
        undone = " and the next bar takes it back" if spike[at] else ""
        raise MarketDataError(
            f"{bars.label(row)}: close {bars.close[row]:g} after {bars.close[before]:g} on {bars.day(before)} is a "
            f"factor of {ratio[at]:.4g}{undone}; correct the price, or record the split in split_ratio"
        )


def _close_ratios(bars: Bars, order: Ints) -> Floats:
    """Return close / previous close of the same ticker in sorted order (R,), splits undone, NaN at first bars."""
    close, ticker = bars.close[order], bars.ticker[order]
    worth = close if bars.split_ratio is None else close * bars.split_ratio[order]
    ratio = np.full(len(order), np.nan)
    ratio[1:] = np.where(ticker[1:] == ticker[:-1], worth[1:] / close[:-1], np.nan)
    return ratio


def _suspicions(bars: Bars, order: Ints, row: Ints) -> Iterator[Suspicion]:
    yield from _large_moves(bars, order)
    wide = bars.high > WIDE_RANGE_RATIO * bars.low
    if np.any(wide):
        first = _first(wide)
        text = f"{bars.subject(first)} low {bars.low[first]:g}, high {bars.high[first]:g}"
        yield Suspicion(SuspicionKind.WIDE_RANGE, int(wide.sum()), text)
    silent = bars.volume == 0.0
    if np.any(silent):
        yield Suspicion(SuspicionKind.ZERO_VOLUME, int(silent.sum()), bars.subject(_first(silent)))
    yield from _stale(bars, order)
    yield from _gaps(bars, order, row)


def _large_moves(bars: Bars, order: Ints) -> Iterator[Suspicion]:
    ratio = _close_ratios(bars, order)
    large = np.abs(ratio - 1.0) > LARGE_MOVE
    if not np.any(large):
        return
    at = _first(large)
    text = f"{bars.subject(int(order[at]))} close moved {ratio[at] - 1.0:+.1%}"
    yield Suspicion(SuspicionKind.LARGE_MOVE, int(large.sum()), text)
    where = np.flatnonzero(large)
    gap = bars.open[order][where] / bars.close[order][where - 1]
    if bars.split_ratio is not None:
        gap = gap * bars.split_ratio[order][where]
    factor = np.maximum(gap, 1.0 / gap)
    alike: Bools = np.min(np.abs(factor[:, None] / SPLIT_FACTORS - 1.0), axis=1) < SPLIT_TOLERANCE
    if np.any(alike):
        first = _first(alike)
        text = f"{bars.subject(int(order[where[first]]))} opened at {gap[first]:.3f} x the close before: a split?"
        yield Suspicion(SuspicionKind.SPLIT_LIKE, int(alike.sum()), text)


def _stale(bars: Bars, order: Ints) -> Iterator[Suspicion]:
    """Yield bars whose two successors have the same four prices; twice in a row happens, three times seldom."""
    ticker = bars.ticker[order]
    repeat = ticker[1:] == ticker[:-1]
    for column in PRICES:
        values = getattr(bars, column)[order]
        repeat = repeat & (values[1:] == values[:-1])
    stale = repeat[1:] & repeat[:-1]
    if np.any(stale):
        text = f"{bars.subject(int(order[_first(stale)]))} and the next two bars have the same four prices"
        yield Suspicion(SuspicionKind.STALE, int(stale.sum()), text)


def _gaps(bars: Bars, order: Ints, row: Ints) -> Iterator[Suspicion]:
    ticker, position = bars.ticker[order], row[order]
    missing = np.where(ticker[1:] == ticker[:-1], np.diff(position) - 1, 0)
    if np.any(missing > 0):
        at = _first(missing > 0)
        text = f"{bars.subject(int(order[at]))} is followed by {missing[at]} sessions without a bar"
        yield Suspicion(SuspicionKind.GAP, int(missing.sum()), text)
    last = np.append(np.flatnonzero(ticker[1:] != ticker[:-1]), len(order) - 1)
    early = last[position[last] < position.max()]
    if early.size:
        first = int(order[early[0]])
        text = f"{bars.name(first)} has no bar after {bars.day(first)} (delisted, or an old download?)"
        yield Suspicion(SuspicionKind.ENDS_EARLY, int(early.size), text)


def _refuse(bars: Bars, bad: Bools, column: str, wanted: str) -> None:
    if np.any(bad):
        row = _first(bad)
        value = getattr(bars, column)[row]
        raise MarketDataError(f"{bars.label(row)}: {column} {value:g} is not {wanted}; correct or delete the row")


def _duplicate(bars: Bars, row: int, earlier: int) -> MarketDataError:
    return MarketDataError(f"{bars.label(row)} repeats {bars.place(earlier)}; delete one of the two rows")


def _first(mask: Bools) -> int:
    return int(np.flatnonzero(mask)[0])
