"""EM of the regime model: hmmlearn's and our own climb the same hill, and the hill is the one that was meant."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.core.types import Floats
from trading_platform.regime.em import EmRun, log_prior, run_hmmlearn, run_own
from trading_platform.regime.filter import log_densities
from trading_platform.regime.states import ANCHORS, PRIOR_SESSIONS, prior_transitions

WAYS = [run_hmmlearn, run_own]
Way = Callable[[Floats, Floats, Floats, float, int, float], EmRun]


def sessions(seed: int, n: int) -> Floats:
    """Return (n, 4) scaled features that walk between the anchors."""
    rng = np.random.default_rng(seed)
    state = (rng.random(n) < 0.03).cumsum() % 3
    values: Floats = ANCHORS[state] * rng.uniform(0.7, 1.3) + rng.standard_normal((n, 4)) * rng.uniform(0.5, 1.5)
    return values


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([2, 63, 504]),
    temper=st.sampled_from([1.0, 5.0, 20.0]),
    features=st.sampled_from([3, 4]),
)
def test_own_fit_is_hmmlearn_s(seed: int, n: int, temper: float, features: int) -> None:
    values, anchors = sessions(seed, n)[:, :features], ANCHORS[:, :features]
    theirs, ours = (way(values, anchors, anchors, temper, 12, 1e-9) for way in WAYS)
    np.testing.assert_allclose(ours.history, theirs.history, rtol=1e-9, atol=1e-6)
    for name in ("start", "transition", "means", "variances"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("temper", [1.0, 20.0])
def test_no_step_loses(way: Way, temper: float) -> None:
    """EM never goes down on its own objective: prior and data are then tempered by the same number."""
    for seed in range(5):
        history = np.array(way(sessions(seed, 504), ANCHORS, ANCHORS, temper, 40, 1e-9).history)
        assert len(history) > 3
        assert np.diff(history).min() > -1e-9 * abs(history[-1])


def test_objective_is_the_sum_over_all_paths_plus_the_prior() -> None:
    values = sessions(1, 5)
    start, transition = np.full(3, 1.0 / 3.0), prior_transitions() / PRIOR_SESSIONS
    variances = np.ones_like(ANCHORS)
    density = np.exp(log_densities(values, ANCHORS, variances) / 20.0)
    total = 0.0
    for path in product(range(3), repeat=5):
        chance = start[path[0]] * density[0, path[0]]
        for t in range(1, 5):
            chance *= transition[path[t - 1], path[t]] * density[t, path[t]]
        total += chance
    expected = np.log(total) + log_prior(transition, ANCHORS, variances, ANCHORS, 20.0)
    for way in WAYS:
        assert way(values, ANCHORS, ANCHORS, 20.0, 1, 1e-9).history[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("way", WAYS)
def test_two_years_of_one_state_move_it_two_thirds_of_the_way(way: Way) -> None:
    values = np.tile(ANCHORS[0] + 0.6, (504, 1)) + 0.1 * np.random.default_rng(1).standard_normal((504, 4))
    means = way(values, ANCHORS, ANCHORS, 20.0, 100, 1e-9).means
    np.testing.assert_allclose(means[0] - ANCHORS[0], 0.4, atol=0.03)
    np.testing.assert_allclose(means[1], ANCHORS[1], atol=0.01)
