"""The forward filter is hmmlearn's forward pass, state by state, and knows nothing of later rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.core.types import Floats
from trading_platform.regime.filter import forward_filter, log_densities

Model = tuple[Floats, Floats, Floats, Floats]  # start, transition, means, variances


def world(seed: int, n: int) -> tuple[Floats, Model]:
    """Return (n, 3) observations drawn near a random three-state model, and the model."""
    rng = np.random.default_rng(seed)
    means, variances = rng.normal(0.0, 1.0, (3, 3)), rng.uniform(0.2, 2.0, (3, 3))
    start, transition = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3)
    states = rng.integers(0, 3, n)
    values = means[states] + rng.normal(size=(n, 3)) * np.sqrt(variances[states])
    return values, (start, transition, means, variances)


def filtered(values: Floats, model: Model) -> Floats:
    start, transition, means, variances = model
    return forward_filter(log_densities(values, means, variances), start, transition)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60))
def test_filter_equals_hmmlearns_forward_lattice(seed: int, n: int) -> None:
    hmm = pytest.importorskip("hmmlearn.hmm", reason="the reference is hmmlearn's")
    lattice = pytest.importorskip("hmmlearn._hmmc", reason="the reference is hmmlearn's")
    values, model = world(seed, n)
    start, transition, means, variances = model
    reference = hmm.GaussianHMM(3, covariance_type="diag")
    reference.startprob_, reference.transmat_ = start, transition
    reference.means_, reference.covars_ = means, variances
    densities = reference._compute_log_likelihood(values)
    np.testing.assert_allclose(log_densities(values, means, variances), densities, rtol=1e-10, atol=1e-10)
    _, forward = lattice.forward_log(start, transition, densities)
    forward = np.exp(forward - forward.max(axis=1, keepdims=True))
    np.testing.assert_allclose(filtered(values, model), forward / forward.sum(axis=1, keepdims=True), atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 60), data=st.data())
def test_filter_of_a_prefix_is_the_prefix_of_the_filter(seed: int, n: int, data: st.DataObject) -> None:
    values, model = world(seed, n)
    cut = data.draw(st.integers(1, n - 1))
    assert filtered(values[:cut], model).tobytes() == filtered(values, model)[:cut].tobytes()


def test_smoothed_probabilities_are_no_prefix() -> None:
    """Negative control: what most libraries call predict_proba moves with later rows."""
    hmm = pytest.importorskip("hmmlearn.hmm", reason="the fault is hmmlearn's")
    values, (start, transition, means, variances) = world(1, 40)
    model = hmm.GaussianHMM(3, covariance_type="diag")
    model.startprob_, model.transmat_, model.means_, model.covars_ = start, transition, means, variances
    assert np.abs(model.predict_proba(values)[:20] - model.predict_proba(values[:20])).max() > 1e-3


def test_probabilities_sum_to_one_also_where_every_density_vanishes() -> None:
    values, model = world(2, 30)
    values[10] = 1e6  # hundreds of thousands of deviations from every mean
    result = filtered(values, model)
    np.testing.assert_allclose(result.sum(axis=1), 1.0)
    assert ((result >= 0.0) & (result <= 1.0)).all()


def test_two_states_by_hand() -> None:
    """Prior 1/2 each, densities 3:1 and then 1:1, states kept with probability 0.9."""
    densities = np.log(np.array([[3.0, 1.0], [1.0, 1.0], [1.0, 3.0]]))
    result = forward_filter(densities, np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]]))
    np.testing.assert_allclose(result[0], [0.75, 0.25])
    np.testing.assert_allclose(result[1], [0.7, 0.3])  # 0.75 x 0.9 + 0.25 x 0.1
    weights = np.array([0.7 * 0.9 + 0.3 * 0.1, 3.0 * (0.7 * 0.1 + 0.3 * 0.9)])
    np.testing.assert_allclose(result[2], weights / weights.sum())
