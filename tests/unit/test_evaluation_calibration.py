"""Scores, reliability, logistic forecasts and falls in hindsight, against hand calculation and known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from trading_platform.evaluation.calibration import (
    falls,
    first_run,
    fit_logistic,
    log_scores,
    logistic_chances,
    reliability,
)


def test_log_score_is_that_of_what_happened() -> None:
    scores = log_scores(np.array([0.9, 0.9, 0.5]), np.array([True, False, True]))
    np.testing.assert_allclose(scores, [-math.log(0.9), -math.log(0.1), math.log(2.0)])


@settings(max_examples=30, deadline=None)
@given(truth=st.floats(0.05, 0.95), told=st.floats(0.05, 0.95))
def test_expected_log_score_is_best_for_the_truth(truth: float, told: float) -> None:
    yes, no = (log_scores(np.array([truth, told]), np.array([happened] * 2)) for happened in (True, False))
    expected = truth * yes + (1.0 - truth) * no
    assert expected[0] <= expected[1] + 1e-12


def test_reliability_counts_every_session_once() -> None:
    told = np.array([0.0, 0.1, 0.5, 0.5, 0.99, 1.0])
    happened = np.array([False, True, True, False, True, True])
    low, empty, middle, high = reliability(told, happened, (0.0, 0.2, 0.4, 0.6, 1.0))
    assert (low.sessions, low.happened) == (2, 0.5) and low.mean == pytest.approx(0.05)
    assert empty.sessions == 0 and math.isnan(empty.mean) and math.isnan(empty.happened)
    assert (middle.sessions, middle.mean, middle.happened) == (2, 0.5, 0.5)
    assert (high.sessions, high.happened) == (2, 1.0) and high.mean == pytest.approx(0.995)


def test_reliability_tells_the_overconfident_from_the_honest() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.0, 1.0, 20_000)
    happened = rng.random(20_000) < truth
    edges = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    honest = reliability(truth, happened, edges)
    assert max(abs(bin_.mean - bin_.happened) for bin_ in honest) < 0.03
    odds = (truth / (1.0 - truth)) ** 4
    boastful = reliability(odds / (1.0 + odds), happened, edges)
    assert boastful[-1].mean - boastful[-1].happened > 0.1 < boastful[0].happened - boastful[0].mean


def test_logistic_regression_finds_what_was_planted() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal([3.0, -20.0], [0.5, 8.0], (20_000, 2))
    chance = 1.0 / (1.0 + np.exp(-(1.0 + 2.0 * (inputs[:, 0] - 3.0) - 0.1 * (inputs[:, 1] + 20.0))))
    coefficients = fit_logistic(inputs, rng.random(20_000) < chance)
    np.testing.assert_allclose(coefficients[1:], [2.0, -0.1], rtol=0.08)
    np.testing.assert_allclose(logistic_chances(inputs, coefficients), chance, atol=0.03)


def test_logistic_regression_on_a_constant_is_the_base_rate() -> None:
    happened = np.arange(1_000) % 4 == 0
    chances = logistic_chances(np.zeros((3, 1)), fit_logistic(np.zeros((1_000, 1)), happened))
    np.testing.assert_allclose(chances, 0.25, atol=2e-3)


def test_logistic_regression_stays_finite_where_inputs_separate() -> None:
    inputs = np.linspace(-1.0, 1.0, 50)[:, None]
    coefficients = fit_logistic(inputs, inputs[:, 0] > 0.0)
    assert np.isfinite(coefficients).all()
    chances = logistic_chances(np.array([[-1.0], [1.0]]), coefficients)
    assert 0.0 < chances[0] < 0.1 < 0.9 < chances[1] < 1.0


def test_falls_go_from_the_session_after_the_high_to_the_low() -> None:
    #                0      1      2     3     4     5     6     7      8      9
    close = np.array([100.0, 110.0, 105.0, 98.0, 104.0, 96.0, 99.0, 106.0, 104.0, 112.0])
    dated = falls(close, 0.10)
    assert np.flatnonzero(dated.falling).tolist() == [2, 3, 4, 5]
    assert dated.settled == 10


def test_fall_that_is_not_deep_enough_is_none() -> None:
    close = np.array([100.0, 90.1, 100.0])
    assert not falls(close, 0.10).falling.any()
    assert falls(np.array([100.0, 90.0, 100.0]), 0.10).falling.tolist() == [False, True, False]


def test_leg_that_has_not_ended_is_settled_to_its_extreme() -> None:
    dated = falls(np.array([100.0, 120.0, 100.0, 95.0, 99.0]), 0.10)
    assert dated.falling.tolist() == [False, False, True, True, False]
    assert dated.settled == 4
    assert falls(np.array([100.0, 120.0, 115.0]), 0.10).settled == 2


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(2, 299))
def test_what_is_settled_does_not_change_with_later_sessions(seed: int, cut: int) -> None:
    close = 100.0 * np.exp((0.02 * np.random.default_rng(seed).standard_normal(300)).cumsum())
    part, whole = falls(close[:cut], 0.10), falls(close, 0.10)
    event(f"falling: {bool(part.falling.any())}")
    np.testing.assert_array_equal(part.falling[: part.settled], whole.falling[: part.settled])
    assert part.settled <= whole.settled


def test_first_run_is_the_first_that_is_long_enough() -> None:
    flags = np.array([True, True, False, True, True, True, True])
    assert first_run(flags, 2, 0) == 0
    assert first_run(flags, 3, 0) == 3
    assert first_run(flags, 3, 4) == 4
    assert first_run(flags, 5, 0) is None
