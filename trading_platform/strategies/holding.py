"""How a slow book is kept: decision days, bands, whole slots. Every row depends on a known, limited past.

A name that was bought stays until it leaves a wider band, so what is held today depends on what was held yesterday,
without end. Each half-year therefore begins from nothing: a row depends on its half-year (`HALF_YEAR` rows) and on what
the scores in it need, and live trading, which loads less history than a replay, holds the same names.
"""

from __future__ import annotations

import numpy as np

from trading_platform.core.indicators import cross_rank, fine_rank, last_known
from trading_platform.core.types import UNKNOWN_SECTOR, Bools, Floats, Ints, MarketPanel

# A half-year has at most 132 weekdays, and its first decision day comes up to a week after its beginning.
HALF_YEAR = 140
# A halt or a hole in the data is bridged by the last close for a week, no longer.
MAX_GAP = 5
# Sessions that any slow book needs beside those of its scores: its half-year, and the day before each of its days.
MEMORY = HALF_YEAR + MAX_GAP + 1
# The first place of a book is this much more than the mean place, the last as much less: an account whose slots are
# fewer than the wishes of its strategies fills them with first places, and one with slots to spare with the others.
SLOPE = 0.2
# Rank at entry moves a weight by up to this part, so that no two strategies tie for the last slot.
CONVICTION = 0.05


def first_of_month(sessions: np.ndarray) -> Ints:
    """Return the rows of `sessions` (T,) that are the first of their month. Row 0 is none: what was before?"""
    return _changes(sessions.astype("datetime64[M]").astype(np.int64))


def known_close(panel: MarketPanel) -> Floats:
    """Return closes with gaps of up to `MAX_GAP` sessions bridged by the last one, (T, N); NaN = unknown."""
    complete = not np.isnan(panel.close).any()  # then there is nothing to bridge, which is the slow part
    return panel.close if complete else last_known(panel.close, MAX_GAP)


def tradable(panel: MarketPanel, columns: Bools) -> Bools:
    """Return where one of `columns` (N,) is a member of the universe with a known close, (T, N)."""
    allowed = np.isfinite(known_close(panel)) & columns
    return allowed if panel.member is None else allowed & panel.member


def best(score: Floats, count: Floats | Ints) -> Bools:
    """Return which scores (D, N) are among the `count` (D, 1) best of their row."""
    known = np.maximum(np.isfinite(score).sum(axis=1, keepdims=True), 1)
    inside: Bools = cross_rank(score) > 1.0 - count / known + 1e-9  # less than a place, more than rounding
    return inside


def held_names(
    score: Floats,
    enter: Bools,
    stay: Bools,
    groups: Ints,
    n_names: int,
    days: Ints,
    sessions: np.ndarray,
    one_per_group: bool,
) -> Floats:
    """Return the weights, (T, N), of a book with `n_names` places; rows sum to at most 1.

    A name keeps its place and its weight until it leaves; a new one takes the largest free place. Nothing changes
    between two decision days; the first one of a half-year begins from nothing.

    Parameters
    ----------
    score
        (D, N) on the decision days, the higher the better; NaN = unknown.
    enter, stay
        (D, N), which may be bought, and which of those held may be kept.
    groups
        (N,) group of each column, -1 = none. A name of a group that is held already is bought only when no other is
        left, and with `one_per_group` never.
    days, sessions
        (D,) rows of the decision days, and (T,) all sessions.
    """
    conviction = 1.0 - CONVICTION + CONVICTION * fine_rank(score)[1]
    half_years = sessions[days].astype("datetime64[M]").astype(np.int64) // 6
    weights = np.zeros(score.shape)
    places: dict[int, tuple[int, float]] = {}  # column -> its place and weight
    for day in range(len(days)):
        fresh = day == 0 or half_years[day] != half_years[day - 1]
        places = {} if fresh else {column: held for column, held in places.items() if stay[day, column]}
        wanted = _order(score[day], enter[day]) if len(places) < n_names else []
        for column in _admitted(wanted, list(places), groups, n_names - len(places), one_per_group):
            place = min(set(range(n_names)) - {taken for taken, _ in places.values()})
            places[column] = place, _size(place, n_names) * float(conviction[day, column])
        for column, (_, weight) in places.items():
            weights[day, column] = weight
    return _until_next(weights, days, len(sessions))


def between_decisions(values: Floats, days: Ints) -> Floats:
    """Return `values` (T, ...) of the last decision day on every session; 0 before the first."""
    return _until_next(values[days], days, len(values))


def sector_groups(panel: MarketPanel) -> Ints:
    """Return a number for each sector, (N,); -1 where it is unknown."""
    numbers = {name: number for number, name in enumerate(sorted(set(panel.sectors)))}
    return np.array([-1 if name in ("", UNKNOWN_SECTOR) else numbers[name] for name in panel.sectors], dtype=np.int64)


def _order(score: Floats, enter: Bools) -> list[int]:
    """Return the columns that may enter, the best first; ties by ticker."""
    free = np.flatnonzero(enter & np.isfinite(score))
    order: list[int] = free[np.argsort(-score[free], kind="stable")].tolist()
    return order


def _admitted(wanted: list[int], held: list[int], groups: Ints, free: int, one_per_group: bool) -> list[int]:
    """Return up to `free` of the `wanted`, in order: first those of groups that are not held yet."""
    taken = {int(groups[column]) for column in held} - {-1}
    first: list[int] = []
    others: list[int] = []
    for column in wanted:
        group = int(groups[column])
        if column in held:
            continue
        (others if group in taken else first).append(column)
        taken |= {group} - {-1}
    return (first if one_per_group else first + others)[:free]


def _size(place: int, n_names: int) -> float:
    """Return the weight of a place; all of a book sum to 1."""
    slope = SLOPE * (1.0 - 2.0 * place / (n_names - 1)) if n_names > 1 else 0.0
    return (1.0 + slope) / n_names


def _changes(numbers: Ints) -> Ints:
    rows: Ints = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    return rows


def _until_next(values: Floats, days: Ints, n_sessions: int) -> Floats:
    """Return what was decided on `days` (D, ...) for every session until the next of them, (T, ...)."""
    last = np.searchsorted(days, np.arange(n_sessions), side="right") - 1
    spread = np.zeros((n_sessions, *values.shape[1:]))
    spread[last >= 0] = values[last[last >= 0]]
    return spread
