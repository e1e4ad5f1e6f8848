"""How a slow book is kept: decision days, bands, whole slots. Every row depends on a known, limited past.

A name that was bought stays until it leaves a wider band, so what is held today depends on what was held yesterday,
without end. Each half-year therefore begins from nothing: a row depends on its half-year (`HALF_YEAR` rows) and on what
the scores in it need, and live trading, which loads less history than a replay, holds the same names.
"""

from __future__ import annotations

import numpy as np

from trading_platform.core.indicators import fine_rank, last_known
from trading_platform.core.types import UNKNOWN_SECTOR, Bools, Floats, Ints, MarketPanel

# A half-year has at most 132 weekdays, and its first decision day comes up to a week after its beginning.
HALF_YEAR = 140
# A halt or a hole in the data is bridged by the last close for a week, no longer.
MAX_GAP = 5
# Sessions that any slow book needs beside those of its scores: its half-year, and the day before each of its days.
MEMORY = HALF_YEAR + MAX_GAP + 1
# Rank at entry moves a weight by up to this part: enough that no two strategies tie for the last slot.
CONVICTION = 0.1


def first_of_week(sessions: np.ndarray) -> Bools:
    """Return which sessions are the first of their calendar week, (T,). The first row is none: what was before?"""
    days = sessions.astype("datetime64[D]").astype(np.int64)
    return _changes((days + 3) // 7)  # 1970-01-01 was a Thursday


def first_of_month(sessions: np.ndarray) -> Bools:
    """Return which sessions are the first of their month, (T,). The first row is none: what was before?"""
    return _changes(sessions.astype("datetime64[M]").astype(np.int64))


def known_close(panel: MarketPanel) -> Floats:
    """Return closes with gaps of up to `MAX_GAP` sessions bridged by the last one, (T, N); NaN = unknown."""
    return last_known(panel.close, MAX_GAP)


def tradable(panel: MarketPanel, columns: Bools) -> Bools:
    """Return where one of `columns` (N,) is a member of the universe with a known close, (T, N)."""
    allowed = np.isfinite(known_close(panel)) & columns
    return allowed if panel.member is None else allowed & panel.member


def best(score: Floats, share: float, least: int) -> Bools:
    """Return which scores are among the best `share` of their row, but at least the `least` best, (T, N)."""
    count = np.isfinite(score).sum(axis=1, keepdims=True)
    rank = fine_rank(score)[0]
    inside: Bools = rank > 1.0 - np.maximum(share, least / np.maximum(count, 1)) + 1e-9  # rounding of a place
    return inside


def held_names(
    score: Floats,
    enter: Bools,
    stay: Bools,
    groups: Ints,
    n_names: int,
    decides: Bools,
    sessions: np.ndarray,
    one_per_group: bool,
) -> Floats:
    """Return what a book of at most `n_names` holds: conviction at entry in (0, 1], 0 = not held; (T, N).

    Parameters
    ----------
    score
        (T, N), the higher the better; NaN = unknown.
    enter, stay
        (T, N), which may be bought, and which of those held may be kept.
    groups
        (N,) group of each column, -1 = none. A name of a group that is held already is bought only when no other is
        left, and with `one_per_group` never.
    decides
        (T,) decision days; nothing changes between them. The first one of a half-year begins from nothing.
    """
    with np.errstate(invalid="ignore"):
        fine = fine_rank(score)[1]
    days = np.flatnonzero(decides)
    half_years = sessions.astype("datetime64[M]").astype(np.int64) // 6
    held = np.zeros((len(days), score.shape[1]))
    book = np.zeros(score.shape[1])
    for place, t in enumerate(days):
        fresh = place == 0 or half_years[t] != half_years[days[place - 1]]
        book = np.zeros_like(book) if fresh else np.where(stay[t], book, 0.0)
        if np.count_nonzero(book) < n_names:
            _fill(book, score[t], enter[t], fine[t], groups, n_names, one_per_group)
        held[place] = book
    return _until_next(held, days, len(sessions))


def slots(conviction: Floats, n_names: int) -> Floats:
    """Return weights of 1 / `n_names` less up to a tenth by conviction, (T, N); rows sum to less than 1."""
    weights: Floats = np.where(conviction > 0.0, (1.0 - CONVICTION + CONVICTION * conviction) / n_names, 0.0)
    return weights


def between_decisions(values: Floats, decides: Bools) -> Floats:
    """Return `values` (T, ...) of the last decision day on every session; 0 before the first."""
    days = np.flatnonzero(decides)
    return _until_next(values[days], days, len(values))


def sector_groups(panel: MarketPanel) -> Ints:
    """Return a number for each sector, (N,); -1 where it is unknown."""
    numbers = {name: number for number, name in enumerate(sorted(set(panel.sectors)))}
    return np.array([-1 if name in ("", UNKNOWN_SECTOR) else numbers[name] for name in panel.sectors], dtype=np.int64)


def _fill(
    book: Floats, score: Floats, enter: Bools, fine: Floats, groups: Ints, n_names: int, one_per_group: bool
) -> None:
    """Add the best names that may enter to `book`, first of groups that it does not hold."""
    free = np.flatnonzero(enter & np.isfinite(score) & (book == 0.0))
    order = free[np.argsort(-score[free], kind="stable")]  # ties by ticker
    taken = set(groups[book > 0.0].tolist()) - {-1}
    left = n_names - np.count_nonzero(book)
    for again in (False,) if one_per_group else (False, True):
        for column in order:
            group = int(groups[column])
            if left > 0 and book[column] == 0.0 and (again or group not in taken):
                book[column] = max(float(fine[column]), 1e-6)  # held, however low
                taken |= {group} - {-1}
                left -= 1


def _changes(numbers: Ints) -> Bools:
    changed = np.zeros(len(numbers), dtype=np.bool_)
    changed[1:] = numbers[1:] != numbers[:-1]
    return changed


def _until_next(values: Floats, days: Ints, n_sessions: int) -> Floats:
    """Return what was decided on `days` (D, ...) for every session until the next of them, (T, ...)."""
    last = np.searchsorted(days, np.arange(n_sessions), side="right") - 1
    spread = np.zeros((n_sessions, *values.shape[1:]))
    spread[last >= 0] = values[last[last >= 0]]
    return spread
