"""The part of the report about performance: own returns beside the benchmark's, by period and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from trading_platform.reporting.day_view import DayView
from trading_platform.reporting.facts import Day, Ledger
from trading_platform.reporting.json_values import money, number, percent
from trading_platform.reporting.performance import Period, day_return, periods, run_risk


class PeriodPart(TypedDict):
    """Returns of a period, percent; profit in dollars."""

    first_session: str
    sessions: int
    pnl: float
    return_pct: float | None
    spy_return_pct: float | None
    equal_weight_return_pct: float | None
    max_drawdown_pct: float | None


class ExtremePart(TypedDict):
    """The best or the worst day."""

    date: str
    pnl: float
    pnl_pct: float | None


class PerformancePart(TypedDict):
    """Returns and risk since the start, and by period."""

    periods: dict[str, PeriodPart]
    best_day: ExtremePart | None
    worst_day: ExtremePart | None
    volatility_pct: float | None
    sharpe: float | None
    sharpe_plain: float | None
    sessions: int
    winning_days_pct: float | None


def performance_part(view: DayView, ledger: Ledger | None, since: date | None) -> PerformancePart:
    """Return the performance; `since` adds a period from that day on."""
    days = () if ledger is None else ledger.days
    if view.booked is None and ledger is not None and ledger.day is not None and view.bridge is not None:
        days = (*days, _unbooked_day(ledger.day, view))
    risk = run_risk(days)
    return {
        "periods": {period.name: _period(period) for period in periods(days, since)},
        "best_day": _extreme(days, worst=False),
        "worst_day": _extreme(days, worst=True),
        "volatility_pct": percent(risk.volatility),
        "sharpe": number(risk.sharpe, 3),
        "sharpe_plain": number(risk.sharpe_plain, 3),
        "sessions": len(days),
        "winning_days_pct": percent(sum(d.profit > 0 for d in days) / len(days)) if days else None,
    }


def _unbooked_day(last: Day, view: DayView) -> Day:
    """Return a session under way as a day whose benchmark and universe are not known yet."""
    equity = view.equity or 0
    return last._replace(
        session=view.session or last.session,
        as_of=view.as_of,
        equity=equity,
        previous_equity=last.equity,
        cash_flow=0,
        benchmark_close=None,
        universe_return=None,
    )


def _period(period: Period) -> PeriodPart:
    return {
        "first_session": str(period.first),
        "sessions": period.sessions,
        "pnl": money(period.pnl),
        "return_pct": percent(period.own),
        "spy_return_pct": percent(period.benchmark),
        "equal_weight_return_pct": percent(period.universe),
        "max_drawdown_pct": percent(period.max_drawdown),
    }


def _extreme(days: Sequence[Day], *, worst: bool) -> ExtremePart | None:
    known = [(gain, day) for day in days if (gain := day_return(day)) is not None]
    if not known:
        return None
    gain, day = (min if worst else max)(known, key=lambda pair: pair[0])
    return {"date": str(day.session), "pnl": money(day.profit), "pnl_pct": percent(gain)}
