"""Random universes: the same strategies on many draws of stocks, since one draw says nothing about the next.

Stocks are drawn from those that trade at the beginning. Where one ends, a stock drawn from those alive then follows it,
so that a universe neither dies out nor knows who will survive. Funds and the benchmark belong to every universe. A
draw depends on the panel, the seed and the universe's number alone: every book that is compared gets the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Bools, Floats, Ints, MarketPanel
from trading_platform.strategies.measures import stock_columns

# A stock without a bar for longer has ended; a shorter hole is a halt.
ENDED_AFTER = 21


@dataclass(frozen=True, slots=True)
class Universe:
    """One draw. `members` are (first row, last row, ticker) of each stock, ends included; `panel` holds its columns."""

    number: int
    panel: MarketPanel
    members: tuple[tuple[int, int, str], ...]


def draw_universes(panel: MarketPanel, n_universes: int, size: int, seed: int, start: int = 0) -> tuple[Universe, ...]:
    """Return `n_universes` draws of `size` stocks that have bars at row `start`; see `draw_universe`.

    Raises
    ------
    FixConfigError
        Fewer than `size` stocks with bars at `start`, or a number below 1.
    """
    if n_universes < 1 or size < 1:
        raise FixConfigError(f"evaluate: universes and universe-size must be at least 1, were {n_universes} and {size}")
    return tuple(draw_universe(panel, number, size, seed, start) for number in range(n_universes))


def draw_universe(panel: MarketPanel, number: int, size: int, seed: int, start: int = 0) -> Universe:
    """Return the draw `number`: a panel of its stocks, all funds and the benchmark, with membership over time.

    A stock that the panel's own membership does not hold at a row is not alive there.

    Raises
    ------
    FixConfigError
        Fewer than `size` stocks with bars at `start`.
    """
    alive = _alive(panel)
    stocks = np.flatnonzero(stock_columns(panel))
    at_start = stocks[alive[start, stocks]]
    if len(at_start) < size:
        raise FixConfigError(
            f"evaluate: universe-size is {size}, but only {len(at_start)} stocks have bars on {panel.session(start)}; "
            f"choose at most {len(at_start)}, or a later --start"
        )
    rng = np.random.default_rng([seed, number])
    spells = _spells(alive, stocks, rng.choice(at_start, size, replace=False), start, rng)
    return _universe(panel, number, spells, stocks)


def _spells(
    alive: Bools, stocks: Ints, first: Ints, start: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Return (first row, last row, column) of every stay, followers included."""
    last_alive = _last_alive(alive)
    n_rows = len(alive)
    spells: list[tuple[int, int, int]] = []
    # Places are freed in the order of time, so that a follower is drawn from those that no other place has then.
    open_places = [(0, int(column)) for column in sorted(first)]
    current = {int(column) for column in first}
    while open_places:
        open_places.sort(key=lambda place: (last_alive[max(place[0], start), place[1]], place[1]))
        begin, column = open_places.pop(0)
        end = int(last_alive[max(begin, start), column])
        spells.append((begin, end, column))
        if end >= n_rows - 1:
            continue
        current.discard(column)
        free = [int(i) for i in stocks if alive[end + 1, i] and int(i) not in current]
        if free:
            follower = int(rng.choice(free))
            current.add(follower)
            open_places.append((end + 1, follower))
    return spells


def _universe(panel: MarketPanel, number: int, spells: list[tuple[int, int, int]], stocks: Ints) -> Universe:
    member = np.ones(panel.close.shape, dtype=np.bool_)
    member[:, stocks] = False
    for begin, end, column in spells:
        member[begin : end + 1, column] = True
    if panel.member is not None:
        member &= panel.member
    columns = np.flatnonzero(member.any(axis=0) | ~np.isin(np.arange(panel.n_tickers), stocks))
    cut = panel.columns(columns.tolist())
    names = tuple((begin, end, panel.tickers[column]) for begin, end, column in sorted(spells))
    return Universe(number, replace(cut, member=np.ascontiguousarray(member[:, columns])), names)


def _alive(panel: MarketPanel) -> Bools:
    """Return where a ticker has begun and has not ended, (T, N): holes of up to `ENDED_AFTER` sessions are no end."""
    known = np.isfinite(panel.close)
    if panel.member is not None:
        known = known & panel.member
    rows = np.arange(panel.n_sessions)[:, None]
    before = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    after = np.minimum.accumulate(np.where(known, rows, panel.n_sessions)[::-1], axis=0)[::-1]
    inside = (before >= 0) & (after < panel.n_sessions) & (after - before - 1 <= ENDED_AFTER)
    alive: Bools = known | inside
    return alive


def _last_alive(alive: Bools) -> Ints:
    """Return the last row of the life that each row is in, (T, N); the row itself where it is in none."""
    rows = np.arange(len(alive))[:, None]
    ends = np.where(alive & ~np.vstack([alive[1:], np.zeros((1, alive.shape[1]), dtype=np.bool_)]), rows, len(alive))
    last: Ints = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
    return np.where(alive, last, rows)


def equal_weight_returns(panel: MarketPanel, daily: Floats, start: int = 1) -> Floats:
    """Return the daily returns of all member stocks at equal weight, (T,), from their returns `daily` (T, N).

    Rebalanced each day without cost, as an index is; members are those of the close before. 0 before `start`.
    """
    member = np.isfinite(daily) & stock_columns(panel)
    if panel.member is not None:
        member[1:] &= panel.member[:-1]
    count = member.sum(axis=1)
    total = np.where(member, daily, 0.0).sum(axis=1)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), 0.0)
    mean[:start] = 0.0
    return mean
