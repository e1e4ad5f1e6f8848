"""Figures of daily return series: written-out values, drawdown stories, NaN rules, compiled = plain."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from trading_platform.core import metrics
from trading_platform.core.types import Floats

FIGURES: list[Callable[[Floats], float]] = [
    metrics.mean_return,
    metrics.session_volatility,
    metrics.volatility,
    metrics.sharpe_ratio,
    metrics.total_return,
    metrics.annual_return,
    metrics.max_drawdown,
    metrics.annual_turnover,
]


def series(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def test_sharpe_ratio_of_three_days_is_mean_over_sample_deviation() -> None:
    # mean 0.01, deviations 0, +0.01, -0.01, sample deviation 0.01
    assert metrics.sharpe_ratio(series(0.01, 0.02, 0.0)) == pytest.approx(math.sqrt(252))


def test_volatility_is_the_sample_deviation_times_root_252() -> None:
    assert metrics.volatility(series(0.01, 0.02, 0.0)) == pytest.approx(0.01 * math.sqrt(252))
    assert metrics.session_volatility(series(0.01, 0.03)) == pytest.approx(math.sqrt(0.0002))


def test_total_return_compounds() -> None:
    assert metrics.total_return(series(0.1, -0.5, 0.2)) == pytest.approx(1.1 * 0.5 * 1.2 - 1)


def test_episode_sharpe_is_known_from_the_second_session_on() -> None:
    assert metrics.episode_sharpe(0.02, 0.0004, 2.0) == pytest.approx(metrics.sharpe_ratio(series(0.0, 0.02)))


def test_annual_return_compounds_half_a_year_to_a_whole_one() -> None:
    daily = 1.1 ** (1 / 126) - 1
    assert metrics.annual_return(np.full(126, daily)) == pytest.approx(0.21)


def test_annual_return_after_total_loss_is_minus_one() -> None:
    assert metrics.annual_return(series(0.1, -1.0, 0.5)) == -1.0
    assert metrics.annual_return(series(0.1, -1.5, -3.0)) == -1.0


def test_annual_turnover_is_the_session_mean_times_252() -> None:
    assert metrics.annual_turnover(series(0.0, 0.1, 0.2)) == pytest.approx(25.2)


@pytest.mark.parametrize(
    ("story", "returns", "depth", "peak", "trough", "recovery"),
    [
        ("never falls", (0.1, 0.0, 0.2), 0.0, -1, -1, 0),
        ("falls on the first day and stays down", (-0.1, 0.0), 0.1, -1, 0, 2),
        ("falls and recovers exactly", (0.0, -0.5, 1.0, 0.1), 0.5, 0, 1, 2),
        ("second fall is deeper", (0.1, -0.1, 0.2, -0.5, 0.1), 0.5, 2, 3, 5),
        ("second fall is shallower", (0.1, -0.5, 1.5, -0.1), 0.5, 0, 1, 2),
        ("two equally deep falls: the first", (-0.5, 1.0, -0.5, 1.0), 0.5, -1, 0, 1),
        ("falls in steps, with a bounce below the peak", (0.0, -0.2, 0.1, -0.3, 2.0), 1 - 0.8 * 1.1 * 0.7, 0, 3, 4),
    ],
)
def test_worst_drawdown_of_a_story(
    story: str, returns: tuple[float, ...], depth: float, peak: int, trough: int, recovery: int
) -> None:
    worst = metrics.worst_drawdown(series(*returns))
    assert worst.depth == pytest.approx(depth), story
    assert (worst.peak, worst.trough, worst.recovery) == (peak, trough, recovery), story


def test_drawdown_sessions_count_days_under_the_peak() -> None:
    # peak after row 0; rows 1 and 2 are under it, row 3 is back
    assert metrics.worst_drawdown(series(0.1, -0.5, 0.0, 1.0, 0.0)).sessions == 2
    # never recovered: rows 1, 2, 3
    assert metrics.worst_drawdown(series(0.1, -0.5, 0.0, 0.1)).sessions == 3
    assert metrics.worst_drawdown(series(0.1)).sessions == 0


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("position", [0, 3, 9])
def test_any_nan_makes_a_figure_nan(figure: Callable[[Floats], float], position: int) -> None:
    returns = np.linspace(-0.02, 0.03, 10)
    assert math.isfinite(figure(returns))
    returns[position] = math.nan
    assert math.isnan(figure(returns))


@pytest.mark.parametrize("figure", [metrics.sharpe_ratio, metrics.volatility, metrics.session_volatility])
@pytest.mark.parametrize("returns", [(), (0.01,)])
def test_too_short_a_series_is_nan(figure: Callable[[Floats], float], returns: tuple[float, ...]) -> None:
    assert math.isnan(figure(series(*returns)))


@pytest.mark.parametrize("value", [0.0, 0.001, 1 / 3, -0.07])
@pytest.mark.parametrize("length", [2, 10, 1001])
def test_sharpe_ratio_of_a_constant_series_is_nan_despite_rounding(value: float, length: int) -> None:
    returns = np.full(length, value)
    assert math.isnan(metrics.sharpe_ratio(returns))
    assert math.isnan(metrics.episode_sharpe(float(returns.sum()), float((returns**2).sum()), float(length)))


def test_figures_without_a_divisor_are_nan() -> None:
    assert math.isnan(metrics.annual_turnover(series()))
    assert math.isnan(metrics.annual_return(series()))
    assert metrics.total_return(series()) == 0.0


def test_shrunken_sharpe_starts_at_zero_and_follows_its_formula() -> None:
    assert metrics.shrunken_sharpe(0.0, 0.0, 0.0, 0.01) == 0.0
    # one day of +1 %: m = 0.01/6, v = (1e-4 + 5e-4)/6 - m^2
    mean = 0.01 / 6
    expected = mean / math.sqrt(6e-4 / 6 - mean**2) * math.sqrt(252)
    assert metrics.shrunken_sharpe(0.01, 1e-4, 1.0, 0.01) == pytest.approx(expected, rel=1e-14)


def test_shrunken_sharpe_of_three_calm_days_stays_tame_where_the_plain_one_explodes() -> None:
    days = series(0.0010, 0.0011, 0.0010)
    total, squares = float(days.sum()), float((days**2).sum())
    assert metrics.episode_sharpe(total, squares, 3.0) > 200
    assert 0 < metrics.shrunken_sharpe(total, squares, 3.0, 0.01) < 1


def test_shrunken_sharpe_approaches_the_plain_one() -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.01, 20_000)
    running = metrics.shrunken_sharpe(float(returns.sum()), float((returns**2).sum()), 20_000.0, 0.01)
    assert running == pytest.approx(metrics.sharpe_ratio(returns), rel=1e-3)


@pytest.mark.parametrize("prior", [0.0, -0.01, math.nan])
def test_shrunken_sharpe_without_a_positive_prior_is_nan(prior: float) -> None:
    assert math.isnan(metrics.shrunken_sharpe(0.01, 1e-4, 1.0, prior))


def test_episode_sharpe_from_sums_equals_the_sharpe_ratio() -> None:
    returns = np.random.default_rng(4).normal(0.0005, 0.01, 20)
    plain = metrics.episode_sharpe(float(returns.sum()), float((returns**2).sum()), 20.0)
    assert plain == pytest.approx(metrics.sharpe_ratio(returns), rel=1e-12)
    assert math.isnan(metrics.episode_sharpe(0.01, 1e-4, 1.0))


@pytest.mark.parametrize("figure", FIGURES)
def test_compiled_and_plain_python_agree_to_the_bit(figure: Callable[[Floats], float]) -> None:
    plain = getattr(figure, "py_func", figure)
    for seed in range(20):
        returns = np.random.default_rng(seed).normal(0.0, 0.02, 63)
        assert figure(returns) == plain(returns)
