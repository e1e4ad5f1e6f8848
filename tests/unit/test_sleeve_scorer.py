"""One scorer for every strategy: what it reads, that it knows no strategy by itself, and what centres do."""

from __future__ import annotations

import numpy as np
import pytest

from tests.action_weights import action_to_weights
from trading_platform.core.observation import observation_schema
from trading_platform.core.policy import Network, Policy, Scaling, policy_actions
from trading_platform.core.sleeve_scorer import named_inputs, sleeve_inputs, sleeve_layout, with_centres
from trading_platform.training.fits import feature_index

NAMES = ("trend", "reversal", "jump")
SCHEMA = observation_schema(NAMES)
FEATURES = ("vix", "two_year_return", "beta", "momentum_year")
INDEX = feature_index(SCHEMA, FEATURES)
N = len(INDEX)


def scaling() -> Scaling:
    return Scaling(INDEX, np.zeros(N), np.ones(N), 3.0)


def linear(weights: np.ndarray, centres: np.ndarray) -> Policy:
    kernel = with_centres(weights[:, None], centres)
    return Policy(scaling(), Network((kernel[None],), (np.zeros((1, 1)),)), sleeve_layout(SCHEMA, INDEX))


def states(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, len(SCHEMA)))


def test_layout_finds_what_is_shared_and_what_is_each_strategy_s_own() -> None:
    found = sleeve_layout(SCHEMA, INDEX)
    assert found is not None
    names = [SCHEMA.names[i] for i in INDEX]
    assert [names[i] for i in found.shared] == ["vix", "two_year_return"]
    assert [[names[i] for i in row] for row in found.own] == [[f"{n}_momentum_year", f"{n}_beta"] for n in NAMES]
    assert (found.n_sleeves, found.n_inputs) == (3, 6)


@pytest.mark.parametrize("features", [("regime",), ("vix", "trend_beta"), ("trend_beta", "jump_beta")])
def test_without_the_same_own_features_of_all_it_is_no_scorer(features: tuple[str, ...]) -> None:
    assert sleeve_layout(SCHEMA, feature_index(SCHEMA, features)) is None


def test_inputs_are_own_features_and_their_products_with_the_shared_ones() -> None:
    features = np.arange(1.0, N + 1.0)[None]  # vix 1, two_year_return 2, then (momentum, beta) of each: 3 4, 5 6, 7 8
    found = sleeve_layout(SCHEMA, INDEX)
    assert found is not None
    inputs = sleeve_inputs(features, found)
    assert inputs[0, 1].tolist() == [5.0, 6.0, 5.0, 10.0, 6.0, 12.0]
    assert named_inputs(features, found)[0, 1].tolist() == [5.0, 6.0, 5.0, 10.0, 6.0, 12.0, 0.0, 1.0, 0.0]


def test_strategies_that_change_places_change_weights_and_nothing_else() -> None:
    policy, rows = linear(0.1 * np.random.default_rng(1).normal(size=6), np.zeros((3, 6))), states()
    swapped = rows.copy()
    for name in ("momentum_year", "beta"):
        first, second = (SCHEMA.names.index(f"{strategy}_{name}") for strategy in NAMES[:2])
        swapped[:, [first, second]] = rows[:, [second, first]]
    actions = policy_actions(rows, policy)
    assert np.ptp(actions, axis=1).min() > 1e-3
    np.testing.assert_allclose(policy_actions(swapped, policy), actions[:, [1, 0, 2]], atol=1e-15)


def test_a_linear_scorer_has_no_opinion_on_average_over_what_it_was_centred_on() -> None:
    found, rows = sleeve_layout(SCHEMA, INDEX), states()
    assert found is not None
    centres = sleeve_inputs(np.clip(rows[:, INDEX], -3.0, 3.0), found).mean(axis=0)
    weights = 0.02 * np.random.default_rng(2).normal(size=6)
    actions = policy_actions(rows, linear(weights, centres))
    assert np.ptp(actions) > 0.01
    np.testing.assert_allclose(actions.mean(axis=0), 0.5, atol=1e-12)
    tilted = policy_actions(rows, linear(weights, np.zeros((3, 6))))
    assert np.abs(tilted.mean(axis=0) - 0.5).max() > 1e-4


def test_zero_weights_are_the_base_bit_for_bit() -> None:
    base = np.array([0.5, 0.3, 0.2])
    weights = action_to_weights(policy_actions(states(), linear(np.zeros(6), np.ones((3, 6)))), base, 0.25)
    assert weights.tobytes() == np.tile(base, (40, 1)).tobytes()


def test_no_opinion_moves_the_odds_of_a_strategy_further_than_the_bound() -> None:
    base = np.full(3, 1.0 / 3.0)
    weights = action_to_weights(policy_actions(100.0 * states(), linear(np.ones(6), np.zeros((3, 6)))), base, 0.25)
    odds = weights[:, :, None] / weights[:, None, :]
    assert odds.max() == pytest.approx(np.exp(0.5))


def test_network_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="a scorer of 3 strategies has 9 inputs and 1 output"):
        Policy(scaling(), Network((np.zeros((1, 6, 1)),), (np.zeros((1, 1)),)), sleeve_layout(SCHEMA, INDEX))
