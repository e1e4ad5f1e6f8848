"""From actions to weights: known answers, exact zeros, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.action_weights import action_to_weights
from trading_platform.core.action_map import (
    ACTION_KINDS,
    BadActionError,
    checked_actions,
    map_actions,
)
from trading_platform.core.errors import FixConfigError

BASE = np.array([0.5, 0.3, 0.2])


@pytest.mark.parametrize("kind", ["softmax", "sparsemax"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_no_opinion_is_the_base_bit_for_bit(kind: str, scale: float) -> None:
    for base in (BASE, np.full(3, 1.0 / 3.0), np.full(7, 1.0 / 7.0)):
        weights = action_to_weights(np.full(len(base), 0.5), base, scale, kind)
        assert weights.tobytes() == base.tobytes()


def test_softmax_matches_its_formula() -> None:
    action = np.array([1.0, 0.5, 0.0])
    raw = BASE * np.exp(0.7 * np.array([1.0, 0.0, -1.0]))
    assert action_to_weights(action, BASE, 0.7) == pytest.approx(raw / raw.sum())


def test_sparsemax_drops_the_weak_and_keeps_gaps() -> None:
    # base + (2a - 1) = (0.4, 1.3, -0.8); the last falls out, the shift is (1.7 - 1) / 2
    assert action_to_weights(np.array([0.45, 1.0, 0.0]), BASE, 1.0, "sparsemax") == pytest.approx([0.05, 0.95, 0.0])


@pytest.mark.parametrize(
    ("action", "expected"),
    [([0.2, 0.6, 0.2], [0.2, 0.6, 0.2]), ([1.0, 0.0, 1.0], [0.5, 0.0, 0.5]), ([0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3])],
)
def test_proportional_is_the_plain_reading(action: list[float], expected: list[float]) -> None:
    assert action_to_weights(np.array(action), BASE, 1.0, "proportional") == pytest.approx(expected, abs=1e-12)


@given(
    action=arrays(np.float64, st.integers(1, 8), elements=st.floats(0.0, 1.0)),
    kind=st.sampled_from(ACTION_KINDS),
    scale=st.floats(0.01, 20.0),
    threshold=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_weights_are_a_split_of_capital(action: np.ndarray, kind: str, scale: float, threshold: float) -> None:
    n = len(action)
    base = np.full(n, 1.0 / n)
    weights = np.empty((1, n))
    map_actions(action[None], base, scale, ACTION_KINDS.index(kind), threshold, base[None], weights)
    assert weights.min() >= 0.0
    assert abs(weights.sum() - 1.0) < 1e-9
    event(f"zeros: {int((weights == 0.0).sum())}")


def test_small_weight_leaves_at_the_threshold_and_returns_above_it() -> None:
    def after(wanted: float, before: float) -> float:
        action, previous = np.array([[wanted, 1.0 - wanted]]), np.array([[before, 1.0 - before]])
        weights = np.empty((1, 2))
        map_actions(action, np.full(2, 0.5), 1.0, ACTION_KINDS.index("proportional"), 0.1, previous, weights)
        return float(weights[0, 0])

    assert after(0.11, before=0.2) == pytest.approx(0.11)
    assert after(0.09, before=0.2) == 0.0
    assert after(0.11, before=0.0) == 0.0  # out until 0.15
    assert after(0.16, before=0.0) == pytest.approx(0.16)


def test_batch_of_actions_is_each_alone() -> None:
    actions = np.random.default_rng(0).random((5, 4, 3))
    together = action_to_weights(actions, BASE)
    assert all(
        action_to_weights(actions[i, j], BASE).tobytes() == together[i, j].tobytes() for i in range(5) for j in range(4)
    )


def test_checked_actions_is_a_copy() -> None:
    action = np.full(3, 0.5)
    assert not np.shares_memory(checked_actions(action, (3,)), action)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-9, 1.0 + 1e-9])
def test_number_outside_the_box_is_refused(bad: float) -> None:
    with pytest.raises(BadActionError, match="must be in"):
        action_to_weights(np.array([0.5, bad, 0.5]), BASE)


@pytest.mark.parametrize("base", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
def test_base_that_is_no_split_is_refused(base: list[float]) -> None:
    with pytest.raises(FixConfigError, match="base weights"):
        action_to_weights(np.full(2, 0.5), np.array(base))


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(FixConfigError, match="softmax, sparsemax, proportional"):
        action_to_weights(np.full(3, 0.5), BASE, 1.0, "argmax")
