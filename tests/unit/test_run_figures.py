"""Figures of a run by known answers: bills over calendar days, market and calm sessions, idle cash."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest

from trading_platform.core import metrics
from trading_platform.reporting.performance import nightly_bills
from trading_platform.reporting.run_figures import (
    Close,
    daily_returns,
    figures,
    not_invested_because,
)

FRIDAY = date(2024, 1, 5)
NOTHING: tuple[float | None, ...] = (None,) * 5


def close(session: date, equity: float, **other: object) -> Close:
    plain = Close(session, equity, 0.0, 0.4, False, 15.0, 100.0, 0.0, 0.0, NOTHING)
    return plain._replace(**other)  # type: ignore[arg-type] # fields by name


def test_bills_earn_the_rate_of_the_close_before_over_calendar_days() -> None:
    monday = FRIDAY + timedelta(days=3)
    closes = [
        close(FRIDAY, 1.0, cash_rate=3.65),
        close(monday, 1.0, cash_rate=None),
        close(monday + timedelta(days=1), 1.0, cash_rate=7.3),
    ]
    assert nightly_bills(closes) == pytest.approx([0.0, 0.0003, 0.0001])  # the unknown rate is the one last known


def test_negative_rate_earns_nothing_as_in_the_ledger() -> None:
    closes = [close(FRIDAY, 1.0, cash_rate=-0.5), close(FRIDAY + timedelta(days=1), 1.0)]
    assert nightly_bills(closes) == [0.0, 0.0]


def test_deposit_is_no_profit() -> None:
    closes = [close(FRIDAY, 1_000.0), close(FRIDAY + timedelta(days=1), 1_650.0, cash_flow=500.0)]
    assert daily_returns(closes, 1_000.0).own == pytest.approx([0.0, 0.1])


def walk(n: int, beta: float, drift: float, rate: float) -> tuple[list[Close], np.ndarray, np.ndarray]:
    """A book that holds `beta` of the market, bills for the rest, and `drift` a session on top."""
    market = np.random.default_rng(3).normal(0.0005, 0.01, n)
    closes, equity, level = [], 100_000.0, 400.0
    own = []
    for t in range(n):
        night = 0.0 if t == 0 else rate / 100.0 / 365.0
        gain = 0.0 if t == 0 else beta * market[t] + (1.0 - beta) * night + drift
        level, equity = level * (1.0 + market[t]), equity * (1.0 + gain)
        own.append(gain)
        closes.append(close(date(2024, 1, 1) + timedelta(days=t), equity, benchmark=level, cash_rate=rate))
    return closes, np.array(own), market


def test_beta_and_alpha_of_a_book_that_is_made_of_them() -> None:
    closes, own, _ = walk(200, beta=0.3, drift=0.0001, rate=4.0)
    found = figures(closes, 100_000.0)
    assert found.beta == pytest.approx(0.3, abs=1e-9)
    assert found.alpha == pytest.approx(0.0001 * 252, abs=1e-9)
    bills = np.concatenate(([0.0], np.full(199, 0.04 / 365.0)))
    assert found.sharpe == pytest.approx(metrics.sharpe_ratio(own - bills))
    assert found.sharpe_plain == pytest.approx(metrics.sharpe_ratio(own))
    assert found.sharpe is not None and found.sharpe_plain is not None
    assert found.sharpe < found.sharpe_plain  # bills are not nothing
    assert found.excess_return == pytest.approx(metrics.annual_return(own) - metrics.annual_return(bills))
    assert found.bills_return == pytest.approx((1.0 + 0.04 / 365.0) ** 199 - 1.0)


def test_unknown_market_leaves_beta_unknown_and_the_rest_known() -> None:
    closes, *_ = walk(100, 0.3, 0.0001, 0.0)
    found = figures([c._replace(benchmark=None) for c in closes], 100_000.0)
    assert (found.beta, found.alpha, found.alpha_t, found.benchmark_volatility) == (None, None, None, None)
    assert found.sharpe is not None


def test_calm_sessions_are_those_without_halt_and_high_vix() -> None:
    days = [FRIDAY + timedelta(days=n) for n in range(4)]
    closes = [
        close(days[0], 1.0, exposure=0.5),
        close(days[1], 1.0, exposure=0.1, vix=25.1),
        close(days[2], 1.0, exposure=0.0, halted=True),
        close(days[3], 1.0, exposure=0.3, vix=25.0),
    ]
    found = figures(closes, 1.0)
    assert found.avg_exposure == pytest.approx(0.225)
    assert found.avg_exposure_calm == pytest.approx(0.4)
    assert figures([c._replace(vix=None) for c in closes], 1.0).avg_exposure_calm is None


def test_idle_cash_is_the_mean_over_sessions_with_a_decision() -> None:
    closes = [
        close(FRIDAY, 1.0, unused=(10.0, 0.0, 4.0, 1.0, 0.0)),
        close(FRIDAY, 1.0, unused=NOTHING),
        close(FRIDAY, 1.0, unused=(20.0, 2.0, 0.0, 0.0, 0.0)),
    ]
    assert not_invested_because(closes) == {"no_signal": 15.0, "slots": 1.0, "caps": 2.0, "size": 0.5, "halts": 0.0}
    unknown = not_invested_because([close(FRIDAY, 1.0)])
    assert set(unknown.values()) == {None}
    assert not math.isnan(sum(value or 0.0 for value in unknown.values()))
