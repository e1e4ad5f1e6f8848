"""Deflated Sharpe ratio and its relatives: worked examples of the papers, limits, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.evaluation.deflated import (
    ReturnShape,
    deflated_sharpe,
    effective_trials,
    expected_max_sharpe,
    min_track_record_length,
    probabilistic_sharpe,
    return_shape,
)

# Bailey & Lopez de Prado (2014), "A numerical example": 2.5 a year over 250 days, five years, variance 1/2 a year.
PAPER = ReturnShape(1250, 2.5 / math.sqrt(250), -3.0, 10.0)
PAPER_VARIANCE = 0.5 / 250


def test_deflated_sharpe_of_the_papers_example() -> None:
    assert expected_max_sharpe(100, PAPER_VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(PAPER, 100, PAPER_VARIANCE) == pytest.approx(0.9004, abs=5e-5)


def test_deflated_sharpe_of_the_papers_example_after_fewer_trials() -> None:
    assert deflated_sharpe(PAPER, 46, PAPER_VARIANCE) == pytest.approx(0.9505, abs=5e-5)


def test_deflated_sharpe_of_the_papers_example_if_returns_were_normal() -> None:
    normal = ReturnShape(1250, PAPER.sharpe, 0.0, 3.0)
    assert deflated_sharpe(normal, 88, PAPER_VARIANCE) == pytest.approx(0.9505, abs=5e-5)


# Bailey & Lopez de Prado (2012): 24 months with Sharpe 0.458 a month, skewness -2.448, kurtosis 10.164.
@pytest.mark.parametrize(("skewness", "kurtosis", "expected"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)])
def test_probabilistic_sharpe_of_the_papers_fund(skewness: float, kurtosis: float, expected: float) -> None:
    assert probabilistic_sharpe(ReturnShape(24, 0.458, skewness, kurtosis)) == pytest.approx(expected, abs=5e-4)


# Same paper: years needed to show that a Sharpe ratio of 2 exceeds 1.
@pytest.mark.parametrize(
    ("periods", "skewness", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_min_track_record_length_of_the_paper(periods: int, skewness: float, kurtosis: float, years: float) -> None:
    shape = ReturnShape(0, 2 / math.sqrt(periods), skewness, kurtosis)
    assert min_track_record_length(shape, 1 / math.sqrt(periods)) / periods == pytest.approx(years, abs=5e-3)


def test_min_track_record_length_is_where_the_probability_reaches_confidence() -> None:
    needed = min_track_record_length(PAPER, 0.05, confidence=0.9)
    reached = ReturnShape(round(needed), PAPER.sharpe, PAPER.skewness, PAPER.kurtosis)
    assert probabilistic_sharpe(reached, 0.05) == pytest.approx(0.9, abs=1e-3)


def test_min_track_record_length_is_infinite_at_or_below_the_benchmark() -> None:
    assert min_track_record_length(PAPER, PAPER.sharpe) == math.inf
    assert min_track_record_length(PAPER, 1.0) == math.inf


def test_min_track_record_length_against_an_unknown_benchmark_is_unknown() -> None:
    assert math.isnan(min_track_record_length(PAPER, math.nan))
    assert math.isnan(min_track_record_length(ReturnShape(0, 1.0, 2.0, 3.0)))


def test_trials_that_all_scored_alike_deflate_nothing() -> None:
    assert expected_max_sharpe(50, 0.0) == 0.0
    assert probabilistic_sharpe(ReturnShape(2, 0.1, 0.0, 3.0)) > 0.5


@pytest.mark.parametrize("n_trials", [5, 20, 200])
def test_expected_maximum_is_what_simulation_finds(n_trials: int) -> None:
    best = np.random.default_rng(0).normal(0, 0.3, (20_000, n_trials)).max(axis=1).mean()
    # the extreme-value approximation is a few percent off for few trials
    assert expected_max_sharpe(n_trials, 0.09) == pytest.approx(best, rel=0.06)


def test_one_trial_selects_nothing_and_needs_no_variance() -> None:
    assert expected_max_sharpe(1, math.nan) == 0.0
    assert deflated_sharpe(PAPER, 1, math.nan) == probabilistic_sharpe(PAPER)


def test_more_trials_never_help() -> None:
    values = [deflated_sharpe(PAPER, n, PAPER_VARIANCE) for n in (1, 1.05, 1.5, 2, 3, 10, 100, 1e6)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("n_trials", "variance"), [(0, 0.1), (0.5, 0.1), (math.nan, 0.1), (10, math.nan), (10, -0.1), (-3, 0.1)]
)
def test_impossible_trials_are_unknown(n_trials: float, variance: float) -> None:
    assert math.isnan(expected_max_sharpe(n_trials, variance))
    assert math.isnan(deflated_sharpe(PAPER, n_trials, variance))


@pytest.mark.parametrize(
    "shape",
    [
        ReturnShape(1, 0.1, 0.0, 3.0),
        ReturnShape(100, math.nan, 0.0, 3.0),
        ReturnShape(100, 0.1, math.nan, 3.0),
        ReturnShape(100, 0.1, 0.0, math.nan),
        # no distribution has a kurtosis below 1 + skewness^2
        ReturnShape(100, 1.0, 2.0, 3.0),
    ],
)
def test_impossible_shapes_are_unknown(shape: ReturnShape) -> None:
    assert math.isnan(probabilistic_sharpe(shape))


def test_return_shape_measures_moments_as_scipy_does() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with hmmlearn only")
    returns = np.random.default_rng(1).standard_t(5, 400) * 0.01 + 0.001
    shape = return_shape(returns)
    assert shape.n_observations == 400
    assert shape.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert shape.skewness == pytest.approx(stats.skew(returns))
    assert shape.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


def test_return_shape_of_an_unknown_series_is_unknown() -> None:
    for returns in (np.array([0.01, math.nan, 0.02]), np.full(20, 0.01), np.array([])):
        assert math.isnan(return_shape(returns).sharpe)
        assert math.isnan(return_shape(returns).kurtosis)


def test_return_shape_takes_an_effective_length() -> None:
    values = np.random.default_rng(6).normal(0.1, 1.0, 500)
    plain, effective = return_shape(values), return_shape(values, 123.4)
    assert (plain.n_observations, effective.n_observations) == (500, 123.4)
    assert (effective.sharpe, effective.skewness, effective.kurtosis) == (plain.sharpe, plain.skewness, plain.kurtosis)
    assert probabilistic_sharpe(effective) < probabilistic_sharpe(plain)
    assert math.isnan(probabilistic_sharpe(return_shape(values, math.nan)))


def test_probabilistic_sharpe_is_calibrated_on_skewed_returns() -> None:
    rng = np.random.default_rng(2)
    # minus an exponential: skewness -2, kurtosis 9, true Sharpe 0.1
    samples = 1.1 - rng.exponential(size=(2_000, 500))
    sure = sum(probabilistic_sharpe(return_shape(sample), 0.1) > 0.95 for sample in samples)
    # 100 expected, standard deviation 10; the approximation is a little off that far out
    assert 60 <= sure <= 150


def test_effective_trials_of_copies_is_one_and_of_strangers_all() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=(5_000, 1))
    assert effective_trials(np.repeat(base, 6, axis=1)) == pytest.approx(1.0)
    assert effective_trials(rng.normal(size=(5_000, 6))) == pytest.approx(6.0, abs=0.15)
    half = math.sqrt(0.5) * base + math.sqrt(0.5) * rng.normal(size=(5_000, 6))
    # a common drift is no correlation
    assert effective_trials(rng.normal(5.0, 1.0, size=(5_000, 6))) == pytest.approx(6.0, abs=0.15)
    # r + (1 - r) N with r = 0.5
    assert effective_trials(half) == pytest.approx(3.5, abs=0.15)


def test_effective_trials_stay_between_one_and_all() -> None:
    seesaw = np.array([[0.1, -0.1], [-0.2, 0.2], [0.1, -0.1]])
    assert effective_trials(seesaw) == 2.0
    assert effective_trials(seesaw[:, :1]) == 1.0
    assert effective_trials(np.zeros((10, 4))) == 4.0
    assert math.isnan(effective_trials(np.array([[0.1, math.nan], [0.2, 0.1]])))
