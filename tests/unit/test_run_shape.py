"""The shape of a run: falls, years, rolling figures, what strategies and tickers brought, stops. Small stories."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from trading_platform.core.metrics import sharpe_ratio, worst_drawdown
from trading_platform.core.types import Floats
from trading_platform.evaluation.book_statistics import one_factor
from trading_platform.reporting.run_figures import Returns
from trading_platform.reporting.run_record import FillMark, Levels, StrategyLife
from trading_platform.reporting.run_shape import (
    Fall,
    contributions,
    correlations,
    depth,
    earned_between,
    growth,
    held_at,
    held_shares,
    rolling,
    stops_by_ticker,
    worst_falls,
    years_of,
)


def levels_of(*lines: tuple[str, int, float, float, int, int]) -> Levels:
    tickers, rows, stops, prices, values, unrealized = zip(*lines, strict=True)
    return Levels(
        tickers,
        np.array(rows),
        np.array(stops, dtype=np.float64),
        np.array(prices),
        np.array(values),
        np.array(unrealized),
    )


@pytest.mark.parametrize(
    ("level", "falls"),
    [
        ([1.0, 1.1, 1.2], []),
        ([1.0, 0.9, 1.0], [Fall(0.1, 0, 1, 2)]),
        ([0.9, 1.0], [Fall(0.1, -1, 0, 1)]),  # the start is the first peak
        ([1.0, 0.8, 0.9], [Fall(0.2, 0, 1, None)]),  # not yet recovered
        ([1.0, 0.95, 1.0, 0.7, 1.1, 1.0], [Fall(0.3, 2, 3, 4), Fall(0.1 / 1.1, 4, 5, None), Fall(0.05, 0, 1, 2)]),
    ],
)
def test_worst_falls_are_told_from_peak_to_recovery(level: list[float], falls: list[Fall]) -> None:
    found = worst_falls(np.array(level))
    assert [fall[1:] for fall in found] == [fall[1:] for fall in falls]
    assert [fall.depth for fall in found] == pytest.approx([fall.depth for fall in falls])


def test_the_deepest_fall_is_the_drawdown_of_the_figures() -> None:
    returns = np.random.default_rng(4).normal(0.0005, 0.01, 900)
    plain = worst_drawdown(returns)
    found = worst_falls(growth(returns))
    assert len(found) == 5
    assert found[0].depth == pytest.approx(plain.depth)
    assert (found[0].peak, found[0].bottom) == (plain.peak, plain.trough)
    assert found[0].depth > found[1].depth > found[4].depth


def test_growth_counts_an_unknown_first_return_as_nothing() -> None:
    assert growth(np.array([math.nan, 0.1])).tolist() == pytest.approx([1.0, 1.1])
    assert np.isnan(growth(np.array([0.0, math.nan, 0.1]))[1:]).all()
    assert depth(np.array([0.9, 1.2, 0.6])).tolist() == pytest.approx([-0.1, 0.0, -0.5])


def test_years_compound_and_months_without_a_session_are_empty() -> None:
    sessions = [date(2019, 12, 30), date(2019, 12, 31), date(2020, 1, 2), date(2020, 3, 2)]
    own = np.array([0.0, 0.1, -0.5, 1.0])
    benchmark = np.array([math.nan, 0.2, 0.1, 0.1])
    unknown = np.array([0.0, math.nan, math.nan, 0.1])
    first, second = years_of(sessions, own, benchmark, unknown)
    assert first.year == 2019
    assert first.own == pytest.approx(0.1)
    assert first.benchmark == pytest.approx(0.2)
    assert second.own == pytest.approx(0.0)
    assert second.deepest == pytest.approx(0.5)
    assert second.benchmark == pytest.approx(0.21)
    assert second.months[0] == pytest.approx(-0.5)
    assert second.months[2] == pytest.approx(1.0)
    assert second.months[1] is None
    assert first.months[:11] == (None,) * 11


def returns_of(n_sessions: int) -> Returns:
    rng = np.random.default_rng(9)
    market = rng.normal(0.0004, 0.01, n_sessions)
    market[0] = math.nan
    own = 0.4 * np.nan_to_num(market) + rng.normal(0.0001, 0.003, n_sessions)
    return Returns(own, np.full(n_sessions, 0.00005), market)


def test_rolling_figures_are_those_of_their_windows() -> None:
    returns = returns_of(600)
    found = rolling(returns)
    assert found.window == 252
    rows = slice(400 - 252 + 1, 401)
    own, market = (returns.own - returns.bills)[rows], (returns.benchmark - returns.bills)[rows]
    assert found.sharpe[400] == pytest.approx(sharpe_ratio(np.ascontiguousarray(own)))
    assert found.market_sharpe[400] == pytest.approx(sharpe_ratio(np.ascontiguousarray(market)))
    assert found.beta[400] == pytest.approx(one_factor(own, market).beta)
    assert np.isnan(found.sharpe[:251]).all()
    assert np.isfinite(found.sharpe[251:]).all()
    assert np.isnan(found.beta[251])  # the market of the first close is unknown
    assert np.isfinite(found.beta[252:]).all()


def test_rolling_figures_of_a_short_run_have_a_short_window() -> None:
    assert rolling(returns_of(503)).window == 63
    assert np.isnan(rolling(returns_of(40)).sharpe).all()
    still = Returns(np.zeros(100), np.zeros(100), np.zeros(100))
    assert np.isnan(rolling(still).sharpe).all()  # nothing moved: no ratio, and no division by zero


def life(value: list[int], unrealized: list[int], dividends: list[int], booked: list[int]) -> StrategyLife:
    return StrategyLife(*(np.array(column) for column in (value, unrealized, dividends, booked)))


def test_contribution_is_what_is_held_and_what_was_booked() -> None:
    lives = {"a": life([1000, 1100, 0], [0, 100, 0], [0, 5, 0], [-1, 0, 119])}
    assert contributions(lives)["a"].tolist() == [-0.01, 1.04, 1.18]
    assert held_shares(lives, np.array([100.0, 110.0, 0.0]))["a"].tolist() == pytest.approx([0.1, 0.1, 0.0])


def test_correlation_of_a_strategy_that_never_moves_is_unknown() -> None:
    moving: Floats = np.array([0.0, 1.0, 3.0, 2.0])
    found = correlations([moving, -moving, np.zeros(4)])
    assert found[0, 1] == pytest.approx(-1.0)
    assert math.isnan(found[0, 2])


def test_holdings_and_gains_of_a_fall_are_by_ticker() -> None:
    levels = levels_of(
        ("AAA", 3, math.nan, 10.0, 5_000, 500), ("BBB", 3, 9.0, 10.0, 7_000, -100), ("BBB", 6, 9.0, 8.0, 5_600, -1_500)
    )
    fills = [FillMark("AAA", 5, "sell", 7.0, 5.0, "s", "stop_loss", -1_000)]
    fills.append(FillMark("CCC", 3, "sell", 7.0, 5.0, "s", "stop_loss", -99_999))  # at the peak: not of the fall
    assert held_at(levels, 3, 200.0) == [("BBB", 0.35), ("AAA", 0.25)]
    assert earned_between(levels, fills, 3, 6) == [("AAA", -15.0), ("BBB", -14.0)]


def test_stops_are_told_where_they_change_and_end_with_the_position() -> None:
    levels = levels_of(
        ("AAA", 1, 9.0, 10.0, 1, 0),
        ("BBB", 1, math.nan, 10.0, 1, 0),
        ("AAA", 2, 9.0, 10.0, 1, 0),
        ("AAA", 3, 9.5, 10.0, 1, 0),
        ("AAA", 7, 9.5, 10.0, 1, 0),
        ("BBB", 7, 4.0, 10.0, 1, 0),
    )
    found = stops_by_ticker(levels)
    assert found["AAA"] == [(1, 9.0), (3, 9.5), (4, None), (7, 9.5), (8, None)]
    assert found["BBB"] == [(1, None), (7, 4.0), (8, None)]
