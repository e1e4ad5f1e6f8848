"""Returns over the day, week, month, year and life of a run, beside the benchmark and the universe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple, Protocol

from trading_platform.core.day_count import ANNUAL_SESSIONS, DAYS_A_YEAR
from trading_platform.reporting.facts import Day

SHARPE_SESSIONS = 60  # below a quarter the ratio is noise, and stays out of the report


class Period(NamedTuple):
    """Performance from the close before `first` to the last close, fractions; None where a number is unknown.

    `own` is time-weighted: deposits and withdrawals are neither profit nor loss. `benchmark` is the benchmark's change
    over the same closes (total return where the data is adjusted), `universe` the daily equal-weight return compounded.
    """

    name: str
    first: date
    sessions: int
    pnl: int
    own: float | None
    benchmark: float | None
    universe: float | None
    max_drawdown: float | None


class RateDay(Protocol):
    """A session and the yield of cash as last known at its close, percent a year; None = unknown."""

    @property
    def session(self) -> date:
        """Date of the session."""
        ...

    @property
    def cash_rate(self) -> float | None:
        """Percent a year."""
        ...


class Risk(NamedTuple):
    """Annualised figures of the whole run; None while it is too short."""

    volatility: float | None
    sharpe: float | None  # over bills
    sharpe_plain: float | None = None


def periods(days: Sequence[Day], since: date | None = None) -> tuple[Period, ...]:
    """Return day, week, month and year to date, since start, and `since` when given. Empty without days."""
    if not days:
        return ()
    last = days[-1].session
    starts = [
        ("day", last),
        ("week_to_date", last - timedelta(days=last.weekday())),
        ("month_to_date", last.replace(day=1)),
        ("year_to_date", last.replace(month=1, day=1)),
        ("since_start", days[0].session),
    ]
    if since is not None:
        starts.append(("since_date", since))
    return tuple(_period(name, days, start) for name, start in starts if start <= last)


def run_risk(days: Sequence[Day]) -> Risk:
    """Return annualised volatility and Sharpe ratios, over bills and plain, of the daily returns of `days`."""
    returns = [day_return(day) for day in days]
    known = [value for value in returns if value is not None]
    if len(known) < SHARPE_SESSIONS or len(known) < len(returns):
        return Risk(None, None)
    over = [own - bill for own, bill in zip(known, nightly_bills(days), strict=True)]
    return Risk(_deviation(known) * math.sqrt(ANNUAL_SESSIONS), _sharpe(over), _sharpe(known))


def nightly_bills(days: Sequence[RateDay]) -> list[float]:
    """Return what a dollar in bills earned in the night before each day: rate / 100 x calendar days / 365.

    The rate is the one last known at the close before, as interest is counted; no night has passed before the first.
    """
    bills, rate = [0.0], 0.0
    for before, day in pairwise(days):
        rate = rate if before.cash_rate is None else before.cash_rate
        bills.append(max(rate, 0.0) / 100.0 * (day.session - before.session).days / DAYS_A_YEAR)
    return bills[: len(days)]


def day_return(day: Day) -> float | None:
    """Return the day's profit as a fraction of the capital it was made with; None without capital."""
    return day.profit / day.capital if day.capital > 0 else None


def growth_index(days: Sequence[Day]) -> list[float | None]:
    """Return compounded growth of one dollar after each day; None from the first unknown return on."""
    value: float | None = 1.0
    index = []
    for day in days:
        gain = day_return(day)
        value = None if value is None or gain is None else value * (1.0 + gain)
        index.append(value)
    return index


def _sharpe(returns: Sequence[float]) -> float | None:
    deviation = _deviation(returns)
    mean = math.fsum(returns) / len(returns)
    return mean / deviation * math.sqrt(ANNUAL_SESSIONS) if deviation > 1e-12 else None


def _deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _period(name: str, days: Sequence[Day], start: date) -> Period:
    first = next(i for i, day in enumerate(days) if day.session >= start)
    part = days[first:]
    index = growth_index(part)
    final = index[-1]
    return Period(
        name=name,
        first=part[0].session,
        sessions=len(part),
        pnl=sum(day.profit for day in part),
        own=None if final is None else final - 1.0,
        benchmark=_benchmark(days, first),
        universe=_universe(days, first),
        max_drawdown=max_drawdown(index),
    )


def _benchmark(days: Sequence[Day], first: int) -> float | None:
    # The close before the run's first session is not stored: the first close is the base then.
    base, last = days[max(first - 1, 0)].benchmark_close, days[-1].benchmark_close
    return last / base - 1.0 if base and last else None


def _universe(days: Sequence[Day], first: int) -> float | None:
    # The run's first session ended before anything could be held: its return is nobody's, as with the benchmark.
    value = 1.0
    for day in days[max(first, 1) :]:
        if day.universe_return is None:
            return None
        value *= 1.0 + day.universe_return
    return value - 1.0


def max_drawdown(index: Sequence[float | None]) -> float | None:
    """Return the deepest fall of a growth index from its peak, starting at 1, as a positive fraction."""
    peak, depth = 1.0, 0.0
    for value in index:
        if value is None:
            return None
        peak = max(peak, value)
        depth = max(depth, 1.0 - value / peak)
    return depth
