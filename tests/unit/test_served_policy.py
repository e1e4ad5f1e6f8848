"""The one answer: the same for one state and for years of them, new states by what each field is, sleeves aside."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest

from trading_platform.core.novelty import reach_of
from trading_platform.core.observation import observation_schema
from trading_platform.core.policy import Network, Policy, Scaling
from trading_platform.core.served_policy import RowCode, ServedPolicy, answers, equal_shares, served_policy

NAMES = ("momentum", "mean_reversion", "breakout", "low_volatility")
SCHEMA = observation_schema(NAMES)
EQUAL = np.full(4, 0.25)
READ = ("regime_bear", "vix", "trend", "breadth", "volatility", "momentum_sharpe", "dispersion", "vix_ratio")


def scaling(*names: str, low: float = 0.5, high: float = 2.0) -> Scaling:
    index = np.array([SCHEMA.names.index(name) for name in names])
    ones = np.ones(len(names))
    return Scaling(index, ones, ones, 3.0, low * ones, high * ones)


def policy(names: tuple[str, ...] = READ, members: int = 3, seed: int = 1) -> Policy:
    rng = np.random.default_rng(seed)
    shapes = ((members, len(names), 16), (members, 16, len(NAMES)))
    kernels = tuple(rng.normal(scale=0.3, size=shape) for shape in shapes)
    biases = tuple(rng.normal(scale=0.1, size=(members, shape[2])) for shape in shapes)
    return Policy(scaling(*names), Network(kernels, biases))


def rows(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    observations = np.tile(np.array([field.neutral for field in SCHEMA]), (count, 1))
    for name in READ:
        observations[:, SCHEMA.names.index(name)] = rng.uniform(0.3, 1.0, count)
    return observations


@pytest.mark.parametrize("kind", ["softmax", "sparsemax", "proportional"])
@pytest.mark.parametrize("works", [None, np.array([True, False, True, True])])
def test_a_state_gets_the_same_bits_alone_and_among_others(kind: str, works: np.ndarray | None) -> None:
    served = served_policy(policy(), EQUAL, kind, 0.5, SCHEMA, works)
    states = rows(301)
    states[7, SCHEMA.names.index("vix")] = np.nan
    states[8, SCHEMA.names.index("regime_bear")] = 2.0
    together = answers(served, states)
    assert set(together.codes.tolist()) == {RowCode.OK, RowCode.NOT_FINITE, RowCode.IMPOSSIBLE}
    for start, stop in ((0, 1), (7, 9), (10, 150), (299, 301)):
        part = answers(served, states[start:stop])
        np.testing.assert_array_equal(part.weights, together.weights[start:stop])
        np.testing.assert_array_equal(part.codes, together.codes[start:stop])
    alone = np.concatenate([answers(served, state[None]).weights for state in states])
    np.testing.assert_array_equal(alone, together.weights)


def test_a_refused_state_is_answered_by_equal_weight_of_the_sleeves_that_work() -> None:
    works = np.array([True, False, True, True])
    served = served_policy(policy(), EQUAL, "softmax", 1.0, SCHEMA, works)
    states = rows(2)
    states[0, SCHEMA.names.index("trend")] = np.inf
    said = answers(served, states)
    assert said.weights[0].tolist() == [1 / 3, 0.0, 1 / 3, 1 / 3]
    assert said.refused == 0.5
    assert said.between(1, 2).refused == 0.0


@pytest.mark.parametrize("kind", ["softmax", "sparsemax", "proportional"])
def test_a_sleeve_that_stands_aside_gets_nothing_and_the_others_its_capital(kind: str) -> None:
    works = np.array([True, False, True, False])
    said = answers(served_policy(policy(), EQUAL, kind, 1.0, SCHEMA, works), rows(50))
    assert (said.weights[:, ~works] == 0.0).all()
    assert said.weights.sum(axis=1) == pytest.approx(np.ones(50), abs=1e-12)
    assert (said.codes == RowCode.OK).all()


def test_a_base_that_holds_only_sleeves_aside_becomes_equal_weight() -> None:
    base = np.array([0.0, 1.0, 0.0, 0.0])
    flat = Policy(scaling("vix"), Network((np.zeros((1, 1, 4)),), (np.zeros((1, 4)),)))
    said = answers(served_policy(flat, base, "softmax", 1.0, SCHEMA, np.array([True, False, True, True])), rows(1))
    assert said.weights[0] == pytest.approx([1 / 3, 0.0, 1 / 3, 1 / 3])


def test_equal_shares_leave_out_who_stands_aside_and_are_of_all_where_nobody_works() -> None:
    assert equal_shares(np.array([True, False, True])).tolist() == [0.5, 0.0, 0.5]
    assert equal_shares(np.zeros(4, dtype=bool)).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("regime_bear", (0.0, 1.0), ()),  # between two bounds nothing is new, whatever training saw
        ("breadth", (0.0, 1.0), ()),
        ("vix", (0.25, 4.0), (0.24, 4.1)),  # a factor of 2 = half the range of 0.5 to 2 in logarithms
        ("volatility", (0.25, 4.0), (0.24, 4.1)),
        ("trend", (-1.0, 3.5), (-1.1, 3.6)),  # one range of 1.5 on each side
        ("momentum_sharpe", (-1.0, 3.5), (-1.1, 3.6)),
    ],
)
def test_how_far_is_new_depends_on_the_field(name: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    served = ServedPolicyOf(name)
    for value in inside:
        assert served.code(value) == RowCode.OK, value
    for value in outside:
        assert served.code(value) == RowCode.NEW, value


class ServedPolicyOf:
    """A policy that reads one field, which went from 0.5 to 2 in training."""

    def __init__(self, name: str) -> None:
        flat = Policy(scaling(name), Network((np.zeros((1, 1, 4)),), (np.zeros((1, 4)),)))
        self.served: ServedPolicy = served_policy(flat, EQUAL, "softmax", 1.0, SCHEMA)
        self.place = SCHEMA.names.index(name)

    def code(self, value: float) -> int:
        state = np.array([field.neutral for field in SCHEMA])
        state[self.place] = value
        return int(answers(self.served, state[None]).codes[0])


def test_a_narrow_range_of_training_reaches_a_factor_of_two_and_a_wide_one_half_of_itself() -> None:
    narrow = reach_of(SCHEMA, scaling("vix", low=10.0, high=12.0))
    wide = reach_of(SCHEMA, scaling("vix", low=10.0, high=90.0))
    assert (narrow.low[0], narrow.high[0]) == pytest.approx((5.0, 24.0))
    assert (wide.low[0], wide.high[0]) == pytest.approx((10.0 / 3.0, 270.0))


def test_a_feature_that_stood_still_in_training_is_never_new() -> None:
    still = Scaling(np.array([SCHEMA.names.index("vix")]), np.ones(1), np.zeros(1), 3.0, np.ones(1), np.ones(1))
    assert (reach_of(SCHEMA, still).low[0], reach_of(SCHEMA, still).high[0]) == (-np.inf, np.inf)


def test_a_quarter_of_the_features_may_be_new_and_no_more() -> None:
    served = served_policy(policy(), EQUAL, "softmax", 1.0, SCHEMA)
    state = rows(1)
    for name in ("vix", "volatility"):
        state[0, SCHEMA.names.index(name)] = 100.0
    assert answers(served, state).codes.tolist() == [RowCode.OK]
    state[0, SCHEMA.names.index("dispersion")] = 100.0
    assert answers(served, state).codes.tolist() == [RowCode.NEW]


def test_the_bounds_of_a_field_are_no_part_of_what_a_model_was_trained_on() -> None:
    fields = [{name: value for name, value in asdict(field).items() if name != "bounds"} for field in SCHEMA]
    text = json.dumps(fields, sort_keys=True)
    assert SCHEMA.fingerprint == hashlib.sha256(text.encode()).hexdigest()[:16]
    # What the first version said of three strategies: its regime meant something else, so its models do not go on.
    three = observation_schema(("momentum", "mean_reversion", "breakout"))
    assert three.prefix_fingerprint(36) != "53ed255cf128cb8a"


def test_an_observation_is_readable_to_the_end_of_the_contracts_and_to_its_own() -> None:
    assert SCHEMA.readable_lengths[0] == 3 + 4 * 4 + 5 + 10
    assert SCHEMA.readable_lengths[-1] == len(SCHEMA)
