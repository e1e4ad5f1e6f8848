"""The forward filter against a hand calculation, every path of a small chain, and hmmlearn's own lattice."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hmmlearn import _hmmc
from hmmlearn.hmm import GaussianHMM
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.core.types import Floats
from trading_platform.regime.filter import forward_filter, log_densities

Model = tuple[Floats, Floats, Floats, Floats]  # start, transition, means, variances

START = np.array([0.5, 0.3, 0.2])
TRANSITION = np.array([[0.9, 0.06, 0.04], [0.05, 0.9, 0.05], [0.1, 0.2, 0.7]])
MEANS = np.array([[-1.0, 0.5], [0.0, 0.0], [2.0, -1.0]])
VARIANCES = np.array([[1.0, 0.5], [0.3, 0.4], [2.0, 1.5]])


def observations(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, 2))


def test_filter_is_bayes_rule_step_by_step() -> None:
    start, transition = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.2, 0.8]])
    likelihoods = np.array([[0.2, 0.6], [0.5, 0.1]])
    filtered = forward_filter(np.log(likelihoods), start, transition)
    # 0.5 x 0.2 : 0.5 x 0.6 = 1 : 3; then (0.25 x 0.9 + 0.75 x 0.2) x 0.5 : (0.25 x 0.1 + 0.75 x 0.8) x 0.1 = 3 : 1
    np.testing.assert_allclose(filtered, [[0.25, 0.75], [0.75, 0.25]], rtol=1e-15)


def test_filter_equals_the_sum_over_all_paths() -> None:
    densities = np.exp(log_densities(observations(6), MEANS, VARIANCES))
    filtered = forward_filter(np.log(densities), START, TRANSITION)
    for t in range(6):
        weight = np.zeros(3)
        for path in product(range(3), repeat=t + 1):
            chance = START[path[0]] * densities[0, path[0]]
            for i in range(1, t + 1):
                chance *= TRANSITION[path[i - 1], path[i]] * densities[i, path[i]]
            weight[path[-1]] += chance
        np.testing.assert_allclose(filtered[t], weight / weight.sum(), rtol=1e-12)


def peer(start: Floats, transition: Floats, means: Floats, variances: Floats) -> Any:
    model = GaussianHMM(len(start), covariance_type="diag")
    model.n_features = means.shape[1]
    model.startprob_, model.transmat_, model.means_ = start, transition, means
    model.covars_ = variances
    return model


def random_world(seed: int, n: int) -> tuple[Floats, Model]:
    """Return (n, 3) observations drawn near a random three-state model, and the model."""
    rng = np.random.default_rng(seed)
    means, variances = rng.normal(0.0, 1.0, (3, 3)), rng.uniform(0.2, 2.0, (3, 3))
    values = means[rng.integers(0, 3, n)] + rng.normal(size=(n, 3)) * np.sqrt(variances.mean())
    return values, (rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3), means, variances)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.sampled_from([1, 2, 60, 3_000]))
def test_filter_equals_the_forward_lattice_of_hmmlearn(seed: int, n: int) -> None:
    values, (start, transition, means, variances) = random_world(seed, n)
    densities = peer(start, transition, means, variances)._compute_log_likelihood(values)
    np.testing.assert_allclose(log_densities(values, means, variances), densities, rtol=1e-10, atol=1e-10)
    _, lattice = _hmmc.forward_log(start, transition, densities)
    lattice = np.exp(lattice - lattice.max(axis=1, keepdims=True))
    lattice /= lattice.sum(axis=1, keepdims=True)
    assert np.abs(forward_filter(densities, start, transition) - lattice).max() < 1e-10


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 60), data=st.data())
def test_filter_of_a_prefix_is_the_prefix_of_the_filter(seed: int, n: int, data: st.DataObject) -> None:
    values, (start, transition, means, variances) = random_world(seed, n)
    cut = data.draw(st.integers(1, n - 1))
    part, whole = (
        forward_filter(log_densities(rows, means, variances), start, transition) for rows in (values[:cut], values)
    )
    assert part.tobytes() == whole[:cut].tobytes()


def test_filter_is_not_the_smoother() -> None:
    values = observations(300)
    filtered = forward_filter(log_densities(values, MEANS, VARIANCES), START, TRANSITION)
    smoothed = peer(START, TRANSITION, MEANS, VARIANCES).predict_proba(values)
    np.testing.assert_allclose(filtered[-1], smoothed[-1], rtol=1e-9)  # nothing lies after the last session
    assert np.abs(filtered - smoothed).max() > 0.1


def test_filtered_probabilities_sum_to_one() -> None:
    values = observations(500) * 4.0
    filtered = forward_filter(log_densities(values, MEANS, VARIANCES), START, TRANSITION)
    np.testing.assert_allclose(filtered.sum(axis=1), 1.0, rtol=1e-12)
    assert (filtered >= 0.0).all()


@pytest.mark.parametrize("far", [60.0, 1e6])
def test_session_that_no_reachable_state_explains_teaches_nothing(far: float) -> None:
    values = np.array([[-1.0, 0.5], [far, -far]])
    stuck = np.eye(3)
    filtered = forward_filter(log_densities(values, MEANS, VARIANCES), np.array([1.0, 0.0, 0.0]), stuck)
    np.testing.assert_allclose(filtered[0], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(filtered[1], 1.0 / 3.0)


def test_empty_history_has_no_probabilities() -> None:
    assert forward_filter(np.empty((0, 3)), START, TRANSITION).shape == (0, 3)
