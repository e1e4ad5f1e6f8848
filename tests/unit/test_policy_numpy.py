"""Policy inference: scaling, clipping, the range guard, and layers written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trading_platform.core.policy import (
    Network,
    Policy,
    Scaling,
    averaged,
    fit_scaling,
    network_actions,
    policy_actions,
    scaled_features,
)


def scaling(clip: float = 3.0) -> Scaling:
    return Scaling(np.array([2, 0]), np.array([10.0, 1.0]), np.array([0.5, 2.0]), clip)


def network(members: int = 1, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return Network(
        (rng.normal(size=(members, 2, 4)), rng.normal(size=(members, 4, 3))),
        (rng.normal(size=(members, 4)), rng.normal(size=(members, 3))),
    )


def test_scaled_features_selects_scales_and_clips() -> None:
    observation = np.array([1.25, 99.0, 12.0])
    assert scaled_features(observation, scaling()).tolist() == [1.0, 0.5]
    assert scaled_features(np.array([5.0, 99.0, -100.0]), scaling()).tolist() == [-3.0, 3.0]


def test_network_actions_follow_the_layers_written_out() -> None:
    net = Network((np.array([[[1.0], [-1.0]]]), np.array([[[0.5, 3.0]]])), (np.array([[0.25]]), np.array([[0.0, 0.0]])))
    hidden = math.tanh(0.75 - 0.5 + 0.25)
    expected = [0.5 + 0.25 * hidden, 1.0]  # the second output leaves [-1, 1] and is clipped
    assert network_actions(np.array([[0.75, 0.5]]), net)[0] == pytest.approx(expected, abs=1e-15)


def test_policy_actions_are_the_same_one_by_one_and_at_once() -> None:
    policy = Policy(scaling(), network(members=3))
    observations = np.random.default_rng(1).normal(5.0, 8.0, size=(50, 3))
    at_once = policy_actions(observations, policy)
    one_by_one = np.stack([policy_actions(row, policy) for row in observations])
    np.testing.assert_allclose(at_once, one_by_one, rtol=0, atol=1e-14)
    assert at_once.shape == (50, 3)


def test_averaged_networks_answer_the_mean_action() -> None:
    features = np.random.default_rng(2).normal(size=(20, 2))
    members = [network(seed=seed) for seed in range(3)]
    mean = np.mean([network_actions(features, member) for member in members], axis=0)
    np.testing.assert_allclose(network_actions(features, averaged(members)), mean, atol=1e-15)
    with pytest.raises(ValueError, match="no network"):
        averaged([])


def test_fit_scaling_standardises_and_silences_what_did_not_move() -> None:
    rows = np.column_stack([np.arange(100.0), np.full(100, 7.0), np.arange(100.0) * 1e-3])
    fitted = fit_scaling(rows, np.array([0, 1, 2]), 5.0)
    features = scaled_features(rows, fitted)
    assert features[:, [0, 2]].mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert features[:, [0, 2]].std(axis=0) == pytest.approx([1.0, 1.0])
    assert fitted.gain[1] == 0.0
    assert scaled_features(np.array([50.0, 1e6, 0.05]), fitted)[1] == 0.0


@pytest.mark.parametrize("rows", [np.zeros((1, 3)), np.full((5, 3), np.nan)])
def test_fit_scaling_refuses_short_or_unknown_history(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two or more finite rows"):
        fit_scaling(rows, np.array([0]), 5.0)


def test_fit_scaling_notes_the_range_of_training() -> None:
    fitted = fit_scaling(np.array([[1.0, 5.0], [-2.0, 5.0], [0.5, 5.0]]), np.array([0, 1]), 5.0)
    assert (fitted.low.tolist(), fitted.high.tolist()) == ([-2.0, 5.0], [1.0, 5.0])


@pytest.mark.parametrize(("low", "high"), [([0.0], [1.0]), ([0.0, 1.0], [1.0]), ([0.0, 2.0], [1.0, 1.0])])
def test_scaling_refuses_a_range_that_is_none(low: list[float], high: list[float]) -> None:
    with pytest.raises(ValueError, match="scaling low"):
        Scaling(np.arange(2), np.zeros(2), np.ones(2), 3.0, np.array(low), np.array(high))


@pytest.mark.parametrize(
    ("index", "mean", "gain", "clip"),
    [
        ([0, 0], [0.0, 0.0], [1.0, 1.0], 3.0),
        ([0, -1], [0.0, 0.0], [1.0, 1.0], 3.0),
        ([0, 1], [0.0], [1.0, 1.0], 3.0),
        ([0, 1], [0.0, np.nan], [1.0, 1.0], 3.0),
        ([0, 1], [0.0, 0.0], [1.0, -1.0], 3.0),
        ([0, 1], [0.0, 0.0], [1.0, 1.0], 0.0),
        ([], [], [], 3.0),
    ],
)
def test_scaling_refuses_nonsense(index: list[int], mean: list[float], gain: list[float], clip: float) -> None:
    with pytest.raises(ValueError, match="scaling"):
        Scaling(np.array(index, dtype=np.int64), np.array(mean), np.array(gain), clip)


@pytest.mark.parametrize(
    ("kernels", "biases"),
    [
        ((), ()),
        ((np.zeros((2, 3)),), (np.zeros((1, 3)),)),
        ((np.zeros((1, 2, 3)), np.zeros((1, 4, 2))), (np.zeros((1, 3)), np.zeros((1, 2)))),
        ((np.zeros((1, 2, 3)),), (np.zeros((1, 2)),)),
        ((np.full((1, 2, 3), np.nan),), (np.zeros((1, 3)),)),
    ],
)
def test_network_refuses_layers_that_do_not_fit(
    kernels: tuple[np.ndarray, ...], biases: tuple[np.ndarray, ...]
) -> None:
    with pytest.raises(ValueError, match="network"):
        Network(kernels, biases)


def test_policy_refuses_a_network_of_another_width() -> None:
    with pytest.raises(ValueError, match="1 features for 2 inputs"):
        Policy(Scaling(np.array([0]), np.zeros(1), np.ones(1), 3.0), network())


@given(arrays.arrays(np.float64, (4, 3), elements=st.floats(-1e300, 1e300)))
def test_actions_are_always_in_the_unit_box(observations: np.ndarray) -> None:
    actions = policy_actions(observations, Policy(scaling(), network(members=2)))
    event(f"saturated: {bool(((actions == 0.0) | (actions == 1.0)).any())}")
    assert ((actions >= 0.0) & (actions <= 1.0)).all()
