"""The shape of a run over time, from its closes: growth, falls, calendar, rolling figures, what each strategy brought.

Pure: arrays in, arrays and small tuples out. T is the number of booked closes; row 0 is the first close, at which
nothing could have been held yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats
from trading_platform.reporting.facts import Day
from trading_platform.reporting.run_figures import Close, Returns, daily_returns
from trading_platform.reporting.run_record import FillMark, Levels, StrategyLife

WORST = 5
# sessions of the rolling figures: a year, of a short run a quarter
LONG_WINDOW, SHORT_WINDOW = ANNUAL_SESSIONS, ANNUAL_SESSIONS // 4


class Fall(NamedTuple):
    """A fall from a peak: rows of peak, bottom and recovery (None: not yet); `depth` is a positive fraction.

    The peak's row is -1 where the start was the peak.
    """

    depth: float
    peak: int
    bottom: int
    recovery: int | None


class TickerPart(NamedTuple):
    """A ticker's part of something: its share of equity, or dollars."""

    ticker: str
    part: float


class YearLine(NamedTuple):
    """A calendar year, or the part of it that was traded: returns as fractions, None = unknown.

    `months` are twelve returns, None for months without a session.
    """

    year: int
    own: float
    benchmark: float | None
    universe: float | None
    deepest: float
    months: tuple[float | None, ...]


class Rolling(NamedTuple):
    """Figures of the last `window` sessions at each close, (T,); NaN until there are so many."""

    window: int
    sharpe: Floats
    market_sharpe: Floats
    beta: Floats


def closes_of(days: Sequence[Day]) -> list[Close]:
    """Return booked days as the closes that figures are made of."""
    return [
        Close(
            day.session,
            day.equity / 100,
            day.cash_flow / 100,
            day.gross_exposure,
            day.halted,
            day.vix,
            day.benchmark_close,
            day.universe_return,
            day.cash_rate,
            (),
        )
        for day in days
    ]


def returns_of(days: Sequence[Day], capital: float) -> Returns:
    """Return the daily returns of the account, of bills and of the benchmark."""
    return daily_returns(closes_of(days), capital)


def universe_returns(days: Sequence[Day]) -> Floats:
    """Return the equal-weight return of the universe, (T,); nobody held it before the first close."""
    known = [math.nan if day.universe_return is None else day.universe_return for day in days]
    values = np.array(known, dtype=np.float64)
    values[:1] = 0.0
    return values


def growth(returns: Floats) -> Floats:
    """Return compounded growth of one dollar, (T,); the first return of a series may be unknown and counts as 0."""
    first = np.where(np.isnan(returns[:1]), 0.0, returns[:1])
    level: Floats = np.asarray(np.cumprod(1.0 + np.concatenate((first, returns[1:]))), dtype=np.float64)
    return level


def depth(level: Floats) -> Floats:
    """Return how far `level` lies below its highest value so far, (T,) fractions <= 0; it starts at 1."""
    below: Floats = level / np.maximum(np.maximum.accumulate(level), 1.0) - 1.0
    return below


def worst_falls(level: Floats, count: int = WORST) -> tuple[Fall, ...]:
    """Return the `count` deepest falls of a growth index (T,), the deepest first; they do not overlap."""
    below = depth(level)
    falls = []
    start: int | None = None
    for row in range(len(below) + 1):
        is_below = row < len(below) and bool(below[row] < 0.0)
        if is_below and start is None:
            start = row
        elif not is_below and start is not None:
            bottom = start + int(np.argmin(below[start:row]))
            falls.append(Fall(float(-below[bottom]), start - 1, bottom, row if row < len(below) else None))
            start = None
    return tuple(sorted(falls, key=lambda fall: -fall.depth)[:count])


def years_of(sessions: Sequence[date], own: Floats, benchmark: Floats, universe: Floats) -> tuple[YearLine, ...]:
    """Return the calendar years of daily returns (T,)."""
    years = np.array([day.year for day in sessions])
    months = np.array([day.month for day in sessions])
    lines = []
    for year in sorted(set(years.tolist())):
        part = years == year
        by_month = [part & (months == month) for month in range(1, 13)]
        lines.append(
            YearLine(
                year,
                float(np.prod(1.0 + own[part]) - 1.0),
                _compounded(benchmark[part]),
                _compounded(universe[part]),
                float(-depth(np.cumprod(1.0 + own[part])).min()),
                tuple(float(np.prod(1.0 + own[rows]) - 1.0) if rows.any() else None for rows in by_month),
            )
        )
    return tuple(lines)


def rolling(returns: Returns) -> Rolling:
    """Return rolling Sharpe ratios over bills, own and the market's, and beta."""
    n_sessions = len(returns.own)
    window = LONG_WINDOW if n_sessions >= 2 * LONG_WINDOW else SHORT_WINDOW
    own, market = returns.own - returns.bills, returns.benchmark - returns.bills
    means, moved = _rolling_mean(own, window), _rolling_mean(market, window)
    variance = _rolling_mean(own * own, window) - means**2
    spread = _rolling_mean(market * market, window) - moved**2
    with np.errstate(divide="ignore", invalid="ignore"):
        beta = (_rolling_mean(own * market, window) - means * moved) / np.where(spread > 1e-12, spread, math.nan)
    return Rolling(window, _ratio(means, variance, window), _ratio(moved, spread, window), beta)


def contributions(lives: Mapping[str, StrategyLife]) -> dict[str, Floats]:
    """Return what each strategy had brought by each close, (T,) dollars: realized + unrealized + dividends - fees.

    The last value is the `pnl` of the run's results.
    """
    return {name: (life.unrealized + life.dividends + np.cumsum(life.booked)) / 100.0 for name, life in lives.items()}


def held_shares(lives: Mapping[str, StrategyLife], equity: Floats) -> dict[str, Floats]:
    """Return what each strategy held at each close as a fraction of equity, (T,)."""
    return {name: life.value / 100.0 / np.maximum(equity, 0.01) for name, life in lives.items()}


def correlations(series: Sequence[Floats]) -> Floats:
    """Return the correlations of the daily changes of `series`, (K, K); NaN for one that never moves."""
    with np.errstate(divide="ignore", invalid="ignore"):
        table: Floats = np.atleast_2d(np.corrcoef(np.stack([np.diff(values) for values in series])))
    return table


def held_at(levels: Levels, row: int, equity: float) -> list[TickerPart]:
    """Return the positions at a close by their share of equity, the largest first."""
    places = np.flatnonzero(levels.rows == row).tolist()
    parts = [TickerPart(levels.tickers[n], int(levels.values[n]) / 100.0 / equity) for n in places]
    return sorted(parts, key=lambda part: (-part.part, part.ticker))


def earned_between(levels: Levels, fills: Iterable[FillMark], first: int, last: int) -> list[TickerPart]:
    """Return what each ticker brought after the close of row `first` up to that of `last`, dollars, losses first."""
    cents: dict[str, int] = {}
    for row, sign in ((first, -1), (last, 1)):
        for n in np.flatnonzero(levels.rows == row).tolist():
            ticker = levels.tickers[n]
            cents[ticker] = cents.get(ticker, 0) + sign * int(levels.unrealized[n])
    for fill in fills:
        if first < fill.row <= last:
            cents[fill.ticker] = cents.get(fill.ticker, 0) + fill.booked
    parts = [TickerPart(ticker, value / 100.0) for ticker, value in cents.items() if value]
    return sorted(parts, key=lambda part: (part.part, part.ticker))


def stops_by_ticker(levels: Levels) -> Mapping[str, list[tuple[int, float | None]]]:
    """Return the stops of each ticker where they change: (row, stop), None from the first close without one."""
    found: dict[str, list[tuple[int, float | None]]] = {}
    last_row: dict[str, int] = {}
    for ticker, row, level in zip(levels.tickers, levels.rows.tolist(), levels.stops.tolist(), strict=True):
        stop = None if math.isnan(level) else level
        steps = found.setdefault(ticker, [])
        before = last_row.get(ticker)
        if before is not None and row > before + 1 and steps[-1][1] is not None:
            steps.append((before + 1, None))  # it was sold in between
        if not steps or steps[-1][1] != stop:
            steps.append((row, stop))
        last_row[ticker] = row
    for ticker, steps in found.items():
        if steps[-1][1] is not None:
            steps.append((last_row[ticker] + 1, None))
    return found


def _compounded(returns: Floats) -> float | None:
    known = returns[~np.isnan(returns)]
    return float(np.prod(1.0 + known) - 1.0) if len(known) and len(known) >= len(returns) - 1 else None


def _rolling_mean(values: Floats, window: int) -> Floats:
    """Return the mean of the last `window` values, (T,); NaN until there are so many known ones."""
    mean = np.full(len(values), math.nan)
    if len(values) < window:
        return mean
    sums = np.concatenate(([0.0], np.cumsum(np.nan_to_num(values))))
    unknown = np.concatenate(([0], np.cumsum(np.isnan(values))))
    mean[window - 1 :] = (sums[window:] - sums[:-window]) / window
    mean[window - 1 :][(unknown[window:] - unknown[:-window]) > 0] = math.nan
    return mean


def _ratio(means: Floats, variance: Floats, window: int) -> Floats:
    """Return the annualised ratio with the sample deviation; NaN where nothing moved."""
    sample = variance * window / (window - 1)
    ratio: Floats = means / np.sqrt(np.where(sample > 1e-14, sample, math.nan)) * math.sqrt(ANNUAL_SESSIONS)
    return ratio
