"""Weights of row t may not move when anything after row t does: every baseline, and the oracle as negative control."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.hindsight import Oracle
from trading_platform.core.types import Floats
from trading_platform.evaluation.baselines import Baseline, InverseVolatility, MinimumVariance, RiskParity
from trading_platform.evaluation.learning_baselines import (
    BestSoFar,
    DiscountedThompson,
    RegimeTable,
    ScoreMap,
    default_baselines,
)

# Short memories, so that small worlds get past every warm-up.
CAUSAL: tuple[Baseline, ...] = (
    *default_baselines(),
    InverseVolatility("inverse_volatility_short", 10, 3),
    RiskParity("risk_parity_short", 10, 1),
    MinimumVariance("minimum_variance_short", 10, 7),
    DiscountedThompson("thompson_short", 0.9, 3, 2),
    RegimeTable("regime_table_short", 5.0, 2.0, ScoreMap.SOFTMAX, 3),
    RegimeTable("regime_table_positive", 5.0, 2.0, ScoreMap.POSITIVE, 3),
    BestSoFar("best_so_far_short", 5),
)
SESSIONS = 60


def world(seed: int, n_books: int, with_gaps: bool) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0005, 0.01, (SESSIONS, n_books)) + rng.normal(0, 0.01, (SESSIONS, 1))
    probabilities = rng.dirichlet(np.ones(3), SESSIONS)
    if with_gaps:
        returns[: rng.integers(0, 20), rng.integers(n_books)] = math.nan
        probabilities[: rng.integers(0, 20)] = math.nan
    return returns, probabilities


def moved_by_the_future(baseline: Baseline, seed: int, n_books: int, cut: int, with_gaps: bool) -> bool:
    """Say whether weights up to row `cut` - 1 change when later rows are dropped or replaced."""
    returns, probabilities = world(seed, n_books, with_gaps)
    before = baseline.weights(returns, probabilities)[:cut]
    truncated = baseline.weights(returns[:cut].copy(), probabilities[:cut].copy())
    other_returns, other_probabilities = world(seed + 1, n_books, with_gaps)
    returns[cut:], probabilities[cut:] = other_returns[cut:] * 3.0, other_probabilities[cut:]
    perturbed = baseline.weights(returns, probabilities)[:cut]
    return not (np.array_equal(before, truncated) and np.array_equal(before, perturbed))


@given(
    baseline=st.sampled_from(CAUSAL),
    seed=st.integers(0, 2**20),
    n_books=st.integers(1, 5),
    cut=st.integers(1, SESSIONS - 1),
    with_gaps=st.booleans(),
)
def test_no_baseline_sees_the_future(baseline: Baseline, seed: int, n_books: int, cut: int, with_gaps: bool) -> None:
    weights = baseline.weights(*world(seed, n_books, with_gaps))[:cut]
    event(f"{baseline.name}: {'equal weight' if np.allclose(weights, 1 / n_books) else 'decided'}")
    assert not moved_by_the_future(baseline, seed, n_books, cut, with_gaps)


@pytest.mark.parametrize("baseline", CAUSAL[9:], ids=lambda b: b.name)
def test_the_worlds_make_every_short_baseline_decide(baseline: Baseline) -> None:
    weights = baseline.weights(*world(0, 3, with_gaps=False))
    assert (np.abs(weights - 1 / 3) > 1e-3).any(axis=1).sum() > 30


def test_the_check_catches_the_oracle() -> None:
    regimes = np.random.default_rng(0).integers(0, 3, SESSIONS)

    class Peeking:
        name = "peeking"

        def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
            return Oracle(regimes[: len(returns)]).weights(returns, regime_probabilities)

    caught = [moved_by_the_future(Peeking(), seed, 3, 30, with_gaps=False) for seed in range(20)]
    assert all(caught)


def test_the_check_catches_a_scaler_fitted_on_everything() -> None:
    class FittedOnAll:
        name = "fitted_on_all"

        def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
            inverse = 1.0 / returns.std(axis=0)
            return np.tile(inverse / inverse.sum(), (len(returns), 1))

    assert moved_by_the_future(FittedOnAll(), 0, 3, 30, with_gaps=False)
