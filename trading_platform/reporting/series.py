"""The run as lines over its sessions, for charts on the page and in the picture."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from trading_platform.reporting.facts import Day, History
from trading_platform.reporting.performance import growth_index

Values = tuple[float | None, ...]


class Span(NamedTuple):
    """Consecutive sessions with one label: rows `first` to `last`, both inside."""

    label: str
    first: int
    last: int


class Series(NamedTuple):
    """Values by session, percent unless said; None where unknown.

    `own`, `benchmark` and `universe` are growth since the close before the first session; `profit` is dollars.
    `weights` are the shares that were in force at each session, by strategy.
    """

    sessions: tuple[date, ...]
    own: Values
    benchmark: Values
    universe: Values
    drawdown: Values
    equity: Values
    profit: Values
    exposure: Values
    weights: dict[str, Values]
    regimes: tuple[Span, ...]
    halts: tuple[Span, ...]


def build_series(days: Sequence[Day], history: History | None, since: date | None = None) -> Series:
    """Return the lines of `days` from `since` on."""
    first = next((i for i, day in enumerate(days) if since is None or day.session >= since), len(days))
    part = tuple(days[first:])
    index = growth_index(part)
    sessions = tuple(day.session for day in part)
    regimes = dict(history.regimes) if history is not None else {}
    return Series(
        sessions=sessions,
        own=tuple(None if value is None else 100 * (value - 1) for value in index),
        benchmark=_benchmark(days, first),
        universe=_universe(days, first),
        drawdown=_drawdown(index),
        equity=tuple(day.equity / 100 for day in part),
        profit=tuple(day.profit / 100 for day in part),
        exposure=tuple(100 * day.gross_exposure for day in part),
        weights=_weights(sessions, history),
        regimes=spans(part, lambda day: regimes.get(day.session, "")),
        halts=spans(part, lambda day: "halted" if day.halted else ""),
    )


def spans(days: Sequence[Day], label: Callable[[Day], str]) -> tuple[Span, ...]:
    """Return runs of sessions with the same non-empty label."""
    found: list[Span] = []
    for row, day in enumerate(days):
        name = label(day)
        if found and found[-1].label == name and found[-1].last == row - 1:
            found[-1] = found[-1]._replace(last=row)
        elif name:
            found.append(Span(name, row, row))
    return tuple(found)


def _benchmark(days: Sequence[Day], first: int) -> Values:
    base = days[max(first - 1, 0)].benchmark_close if days else None
    return tuple(
        100 * (day.benchmark_close / base - 1) if base and day.benchmark_close else None for day in days[first:]
    )


def _universe(days: Sequence[Day], first: int) -> Values:
    # The run's first session ended before anything could be held: the line starts at its close.
    value: float | None = 1.0
    line: list[float | None] = [0.0] if first == 0 and days else []
    for day in days[max(first, 1) :]:
        value = None if value is None or day.universe_return is None else value * (1 + day.universe_return)
        line.append(None if value is None else 100 * (value - 1))
    return tuple(line)


def _drawdown(index: Sequence[float | None]) -> Values:
    peak, line = 1.0, []
    for value in index:
        peak = max(peak, value or 0.0)
        line.append(None if value is None else -100 * (1 - value / peak))
    return tuple(line)


def _weights(sessions: Sequence[date], history: History | None) -> dict[str, Values]:
    """Return the weights in force: those decided at the newest session before or on each one."""
    if history is None or not history.allocations:
        return {}
    decided = [day for day, _ in history.allocations]
    names = sorted({name for _, weights in history.allocations for name in weights})
    rows = [bisect_right(decided, session) - 1 for session in sessions]
    return {
        name: tuple(None if row < 0 else 100 * history.allocations[row][1].get(name, 0.0) for row in rows)
        for name in names
    }
