"""Returns of periods: time-weighted, beside the benchmark, None where a number is unknown."""

from __future__ import annotations

import statistics
from datetime import UTC, date, datetime, timedelta

import pytest

from trading_platform.reporting.facts import Day, History
from trading_platform.reporting.performance import (
    day_return,
    growth_index,
    max_drawdown,
    nightly_bills,
    periods,
    run_risk,
)
from trading_platform.reporting.series import Span, build_series


def day(
    session: date, equity: int, previous: int, flow: int = 0, spy: float | None = None, universe: float | None = 0.0
) -> Day:
    close = datetime(session.year, session.month, session.day, 21, tzinfo=UTC)
    return Day(
        session,
        close,
        equity,
        0,
        equity,
        previous,
        0,
        0,
        0,
        0,
        flow,
        equity,
        0.0,
        0.0,
        0.5,
        1,
        False,
        15.0,
        spy,
        universe,
    )


def run_of(*rows: tuple[str, int, int, float | None]) -> list[Day]:
    """Rows of (session, equity, cash flow, SPY), each beginning from the equity before."""
    days: list[Day] = []
    for session, equity, flow, spy in rows:
        previous = days[-1].equity if days else 100_000
        days.append(day(date.fromisoformat(session), equity, previous, flow, spy))
    return days


STORY = run_of(
    ("2023-12-28", 101_000, 0, 400.0),  # Thursday
    ("2023-12-29", 102_010, 0, 404.0),
    ("2024-01-02", 99_970, 0, 402.0),  # Tuesday, first of the week, month and year
    ("2024-01-03", 150_955, 50_000, 406.0),  # 985 on 149,970
    ("2024-01-05", 149_445, 0, 408.0),
)


def test_periods_begin_at_the_close_before() -> None:
    found = {p.name: p for p in periods(STORY)}
    assert {name: (str(p.first), p.sessions, p.pnl) for name, p in found.items()} == {
        "day": ("2024-01-05", 1, -1_510),
        "week_to_date": ("2024-01-02", 3, -2_040 + 985 - 1_510),
        "month_to_date": ("2024-01-02", 3, -2_565),
        "year_to_date": ("2024-01-02", 3, -2_565),
        "since_start": ("2023-12-28", 5, 1_000 + 1_010 - 2_565),
    }
    year = found["year_to_date"]
    assert year.own == pytest.approx((99_970 / 102_010) * (150_955 / 149_970) * (149_445 / 150_955) - 1)
    assert year.benchmark == pytest.approx(408 / 404 - 1)
    assert found["since_start"].benchmark == pytest.approx(408 / 400 - 1)  # the first stored close is the base


def test_deposit_is_no_profit() -> None:
    (only,) = [p for p in periods([day(date(2024, 1, 2), 150_000, 100_000, flow=50_000)]) if p.name == "day"]
    assert (only.pnl, only.own) == (0, 0.0)


def test_unknown_benchmark_or_universe_is_none() -> None:
    days = run_of(("2024-01-02", 100_000, 0, 400.0), ("2024-01-03", 101_000, 0, None))
    days[1] = days[1]._replace(universe_return=None)
    last = {p.name: p for p in periods(days)}["day"]
    assert (last.benchmark, last.universe) == (None, None)
    assert last.own == pytest.approx(0.01)


def test_lost_capital_makes_the_return_unknown() -> None:
    days = run_of(("2024-01-02", 0, 0, 1.0), ("2024-01-03", 100, 0, 1.0))
    assert growth_index(days) == [0.0, None]
    assert {p.name: p.own for p in periods(days)}["since_start"] is None
    assert {p.name: p.max_drawdown for p in periods(days)}["since_start"] is None


def test_since_adds_a_period_and_a_day_in_the_future_does_not() -> None:
    assert {p.name: p for p in periods(STORY, date(2024, 1, 3))}["since_date"].sessions == 2
    assert "since_date" not in {p.name for p in periods(STORY, date(2024, 2, 1))}
    assert periods([]) == ()


@pytest.mark.parametrize(
    ("index", "depth"),
    [([1.1, 1.2], 0.0), ([0.9, 1.2], 0.1), ([1.2, 0.9, 1.3, 1.17], 0.25), ([None], None), ([], 0.0)],
)
def test_max_drawdown_starts_at_one(index: list[float | None], depth: float | None) -> None:
    assert max_drawdown(index) == (None if depth is None else pytest.approx(depth))


def test_sharpe_waits_for_sixty_sessions() -> None:
    start = date(2024, 1, 1)
    values = [100_000]
    for i in range(60):
        values.append(round(values[-1] * (1.004 if i % 2 else 0.999)))
    rows = [(str(start + timedelta(days=i)), values[i + 1], 0, None) for i in range(60)]
    assert run_risk(run_of(*rows[:59])).sharpe is None
    risk = run_risk(run_of(*rows))
    # returns alternate between -0.1 % and 0.4 %: mean 0.15 %, sample deviation 0.2521 %
    assert risk.sharpe == pytest.approx(0.0015 / 0.0025212 * 252**0.5, rel=1e-3)
    assert risk.volatility == pytest.approx(0.0025212 * 252**0.5, rel=1e-3)


def test_series_rebases_at_since_and_forward_fills_weights() -> None:
    history = History(
        regimes=tuple(
            (d.session, name) for d, name in zip(STORY, ("bull", "bull", "bear", "bear", "bull"), strict=True)
        ),
        allocations=((date(2023, 12, 29), {"a": 0.6, "b": 0.4}), (date(2024, 1, 3), {"a": 1.0})),
    )
    series = build_series(STORY, history, date(2024, 1, 2))
    assert [str(s) for s in series.sessions] == ["2024-01-02", "2024-01-03", "2024-01-05"]
    assert series.benchmark == pytest.approx((100 * (402 / 404 - 1), 100 * (406 / 404 - 1), 100 * (408 / 404 - 1)))
    assert series.weights == {"a": (60.0, 100.0, 100.0), "b": (40.0, 0.0, 0.0)}
    assert series.regimes == (Span("bear", 0, 1), Span("bull", 2, 2))
    assert series.profit == (-20.40, 9.85, -15.10)
    assert build_series(STORY, None, date(2030, 1, 1)).sessions == ()


def test_sharpe_is_over_bills_of_the_calendar_days_and_the_plain_one_is_not() -> None:
    returns = [0.0, *(0.001 * (-1) ** n + 0.0003 for n in range(79))]
    days: list[Day] = []
    equity = 1_000_000_00
    for n, gain in enumerate(returns):
        previous, equity = equity, round(equity * (1.0 + gain))
        session = date(2024, 1, 1) + timedelta(days=n)
        days.append(day(session, equity, previous)._replace(cash_rate=None if n == 5 else 3.65))
    found = run_risk(days)
    assert found.sharpe is not None and found.sharpe_plain is not None
    assert nightly_bills(days)[:7] == pytest.approx([0.0] + [0.0001] * 6)
    own = [day_return(booked) or 0.0 for booked in days]
    over = [value - (0.0001 if n else 0.0) for n, value in enumerate(own)]
    assert found.sharpe == pytest.approx(statistics.mean(over) / statistics.stdev(over) * 252**0.5)
    assert found.sharpe_plain == pytest.approx(statistics.mean(own) / statistics.stdev(own) * 252**0.5)
    assert found.sharpe_plain - found.sharpe > 1.0
