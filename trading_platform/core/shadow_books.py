"""Statistics of each strategy from its shadow book: the strategy trades alone, at full allocation, under every rule.

A strategy with weight 0 so keeps its statistics and can come back. Books are restarted flat on the first session of
January and July, and the statistics of a half-year are read from the book that was started one half-year before: it has
traded six to twelve months. What is said at a session therefore depends on at most thirteen months of bars and the
strategies' own lookback, so that live trading and a replay agree whatever history either has loaded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.market import Market, Signals
from trading_platform.core.session import Rules
from trading_platform.core.simulate import N_CODES, new_scratch, open_books, step_books
from trading_platform.core.types import Bools, Floats, Ints

WINDOW = 126  # sessions, half a year
# Two half-years of at most 128 sessions each.
BOOK_SESSIONS = 256
# Each strategy alone starts with what an account of the engine's default size would.
CAPITAL = 100_000.0
# Weight of the prior beliefs: a coin that falls heads half of the time, tossed 20 times, and 21 quiet sessions.
PRIOR_TRADES, PRIOR_WIN_RATE = 20.0, 0.5
PRIOR_SESSIONS, PRIOR_VOLATILITY = 21.0, 0.003

WIN_RATE, MEAN_RETURN, SHARPE, MAX_DRAWDOWN = range(4)


# What trading costs in the books that the observation tells of, basis points of half-spread and slippage together.
OBSERVED_COST_BPS = 10.0


def observed_rules(rules: Rules) -> Rules:
    """Return `rules` at the observation's own costs.

    A model was trained on statistics of books that paid them, and must read the same ones in an account that pays less.
    """
    half = OBSERVED_COST_BPS * BASIS_POINT / 2.0
    return rules._replace(costs=rules.costs._replace(half_spread=half, slippage=half))


class ShadowBooks(NamedTuple):
    """What the strategies' own books say.

    Attributes
    ----------
    statistics : (T, K, 4) win rate of trades closed in the window (shrunk to 1/2), annual mean return, annualised
        Sharpe ratio (shrunk to 0), deepest fall (positive), over the 126 sessions ending at each row. NaN where the
        history does not reach back to the start of the half-year before.
    returns : (T, K) daily return of the same books; a causal series for baselines. NaN likewise.
    """

    statistics: Floats
    returns: Floats


def lookback_sessions(strategy_lookback: int) -> int:
    """Return the sessions before a row that its statistics may depend on."""
    return strategy_lookback + BOOK_SESSIONS


def shadow_statistics(
    market: Market, signals: Signals, rules: Rules, lookback: int, since: int = 0, capital: float = CAPITAL
) -> ShadowBooks:
    """Run every strategy's shadow books and measure them.

    Parameters
    ----------
    lookback : rows that the slowest strategy or risk input needs; no book is started before.
    since : first row that is wanted; rows before may stay NaN. Saves time when only the newest row is.
    """
    n_sessions, n_strategies = len(market.day), len(signals.is_target)
    halves = half_year_starts(market.day)
    statistics = np.full((n_sessions, n_strategies, 4), np.nan)
    returns = np.full((n_sessions, n_strategies), np.nan)
    ends = np.append(halves[1:], n_sessions)
    used = [h for h in range(len(halves) - 1) if halves[h] >= lookback and ends[h + 1] > since]
    if not used:
        return ShadowBooks(statistics, returns)
    starts = np.repeat(halves[used], n_strategies)
    stops = np.repeat(ends[[h + 1 for h in used]], n_strategies)
    weights = np.tile(np.eye(n_strategies), (len(used), 1))
    equity, trades, wins = _run(market, signals, rules, starts, stops, weights, capital)
    for b in range(len(starts)):
        k, first = b % n_strategies, int(ends[used[b // n_strategies]])
        age = np.arange(first, stops[b]) - starts[b]
        daily = equity[b, 1:] / equity[b, :-1] - 1.0
        returns[first : stops[b], k] = daily[age - 1]
        fill_statistics(daily, trades[b], wins[b], age, statistics[first : stops[b], k])
    return ShadowBooks(statistics, returns)


def half_year_starts(day: Ints) -> Ints:
    """Return the rows (n,) that begin a January or July, given days since 1970 (T,); row 0 cannot be known."""
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    halves = months // 6  # 1970-01 is month 0
    rows: Ints = np.flatnonzero(np.diff(halves) > 0) + 1
    return rows


def _run(
    market: Market, signals: Signals, rules: Rules, starts: Ints, stops: Ints, weights: Floats, capital: float
) -> tuple[Floats, Ints, Ints]:
    """Return (equity, closed trades, won trades) of each book at ages 0, 1, ...: (B, longest life)."""
    n_books, longest = len(starts), int((stops - starts).max())
    n_strategies = weights.shape[1]
    books = open_books(n_books, rules.limits.max_positions, n_strategies, len(market.bars), capital)
    scratch, no_log = new_scratch(n_strategies, rules.limits.max_reviews), new_fill_log(0)
    denials = np.zeros((n_books, N_CODES), dtype=np.int64)
    costs = np.ones(n_books)
    equity = np.full((n_books, longest), np.nan)
    trades, wins = np.zeros((n_books, longest), dtype=np.int64), np.zeros((n_books, longest), dtype=np.int64)
    equity[:, 0] = books.accounts["equity"]
    for age in range(1, longest):
        alive: Bools = starts + age < stops
        rows = np.where(alive, starts + age - 1, 0)
        for first, last in _stretches(alive):
            step_books(books, first, last, market, signals, rows, weights, rules, costs, denials, scratch, no_log)
            equity[first:last, age] = books.accounts["equity"][first:last]
            trades[first:last, age] = books.accounts["trades"][first:last]
            wins[first:last, age] = books.accounts["wins"][first:last]
    return equity, trades, wins


def _stretches(alive: Bools) -> list[tuple[int, int]]:
    """Return [first, last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], alive, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@lean
def fill_statistics(daily: Floats, trades: Ints, wins: Ints, age: Ints, out: Floats) -> None:
    """Fill `out` (n, 4) with the statistics of a book at ages `age` (n,); daily[a - 1] is the return at age a."""
    for i in range(len(age)):
        end = age[i]
        start = max(0, end - WINDOW)
        n = end - start
        total = 0.0
        wealth = 1.0
        peak = 1.0
        deepest = 0.0
        for d in range(start, end):
            total += daily[d]
            wealth *= 1.0 + daily[d]
            peak = max(peak, wealth)
            deepest = max(deepest, 1.0 - wealth / peak)
        mean = total / n
        squares = PRIOR_SESSIONS * PRIOR_VOLATILITY * PRIOR_VOLATILITY
        for d in range(start, end):
            squares += (daily[d] - mean) * (daily[d] - mean)
        deviation = math.sqrt(squares / (n + PRIOR_SESSIONS - 1.0))
        closed = trades[end] - trades[start]
        won = wins[end] - wins[start]
        out[i, WIN_RATE] = (won + PRIOR_TRADES * PRIOR_WIN_RATE) / (closed + PRIOR_TRADES)
        out[i, MEAN_RETURN] = mean * ANNUAL_SESSIONS
        out[i, SHARPE] = total / (n + PRIOR_SESSIONS) / deviation * math.sqrt(ANNUAL_SESSIONS)
        out[i, MAX_DRAWDOWN] = deepest
