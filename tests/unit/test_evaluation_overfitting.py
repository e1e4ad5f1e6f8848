"""Probability of backtest overfitting: against a direct implementation, on noise, on skill, on bad input."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.types import Floats
from trading_platform.evaluation.overfitting import backtest_overfitting


def direct_logits(returns: Floats, n_blocks: int) -> list[float]:
    """The definition, one combination at a time."""
    parts = np.split(returns[: len(returns) // n_blocks * n_blocks], n_blocks)
    logits = []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        inside = np.vstack([parts[i] for i in chosen])
        outside = np.vstack([parts[i] for i in range(n_blocks) if i not in chosen])
        winner = int((inside.mean(axis=0) / inside.std(axis=0)).argmax())
        scores = outside.mean(axis=0) / outside.std(axis=0)
        rank = 1 + int((scores < scores[winner]).sum())
        relative = rank / (returns.shape[1] + 1)
        logits.append(math.log(relative / (1 - relative)))
    return logits


def test_logits_equal_the_direct_definition() -> None:
    returns = np.random.default_rng(0).normal(0.0002, 0.01, (205, 7))
    found = backtest_overfitting(returns, n_blocks=8)
    expected = direct_logits(returns, 8)
    np.testing.assert_allclose(found.logits, expected, rtol=1e-12, atol=1e-12)
    assert found.probability == np.mean([value <= 0 for value in expected])


def test_winners_are_reported_with_their_annualised_ratios() -> None:
    returns = np.random.default_rng(5).normal(0.0002, 0.01, (40, 3))
    found = backtest_overfitting(returns, n_blocks=2)
    halves = [
        [sharpe_ratio(np.ascontiguousarray(half[:, k])) for k in range(3)] for half in (returns[:20], returns[20:])
    ]
    winners = [int(np.argmax(half)) for half in halves]
    np.testing.assert_allclose(found.in_sample, [halves[0][winners[0]], halves[1][winners[1]]])
    np.testing.assert_allclose(found.out_of_sample, [halves[1][winners[0]], halves[0][winners[1]]])
    # a line through two points
    slope = np.diff(found.out_of_sample) / np.diff(found.in_sample)
    assert found.degradation == pytest.approx(slope[0])
    assert found.probability_of_loss == np.mean(found.out_of_sample <= 0)


def test_trials_that_never_traded_have_no_slope_and_always_lose() -> None:
    found = backtest_overfitting(np.zeros((20, 2)), n_blocks=4)
    assert math.isnan(found.degradation)
    assert found.probability_of_loss == 1.0
    # ties share the middle rank: neither half is better
    assert (found.logits == 0.0).all()


def test_winners_of_one_ratio_have_no_slope() -> None:
    half = np.random.default_rng(6).normal(0, 0.01, (10, 2))
    assert math.isnan(backtest_overfitting(np.vstack((half, half)), n_blocks=2).degradation)


def test_the_smallest_possible_input_is_accepted() -> None:
    assert len(backtest_overfitting(np.random.default_rng(0).normal(size=(4, 2)), n_blocks=2).logits) == 2


def test_choosing_among_noise_is_worth_nothing() -> None:
    rng = np.random.default_rng(1)
    found = [backtest_overfitting(rng.normal(0, 0.01, (320, 20)), n_blocks=8) for _ in range(60)]
    # the halves of one history are each other's complement, so that single values scatter widely
    assert np.mean([f.probability for f in found]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([f.degradation for f in found]) < 0


def test_choosing_a_truly_better_trial_is_worth_it() -> None:
    returns = np.random.default_rng(2).normal(0, 0.01, (1_000, 20))
    returns[:, 11] += 0.003
    found = backtest_overfitting(returns)
    assert len(found.logits) == 12_870
    assert found.probability < 0.01
    assert found.probability_of_loss < 0.01


def test_a_trial_that_never_traded_is_never_chosen() -> None:
    returns = np.random.default_rng(3).normal(-0.002, 0.01, (160, 4))
    returns[:, 2] = 0.0
    found = backtest_overfitting(returns, n_blocks=4)
    assert np.isfinite(found.in_sample).all()
    assert (found.in_sample != 0.0).all()


@pytest.mark.parametrize(
    ("shape", "n_blocks", "message"),
    [
        ((100, 3), 5, "must be even"),
        ((100, 3), 0, "must be even"),
        ((100, 3), 18, "must be even"),
        ((100, 1), 4, "at least two trials"),
        ((7, 3), 4, "too few for 4 blocks"),
    ],
)
def test_impossible_inputs_are_refused(shape: tuple[int, int], n_blocks: int, message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        backtest_overfitting(np.zeros(shape), n_blocks)


def test_unknown_returns_are_refused() -> None:
    returns = np.random.default_rng(0).normal(size=(100, 3))
    returns[4, 1] = math.nan
    with pytest.raises(FixConfigError, match="finite"):
        backtest_overfitting(returns, 4)
