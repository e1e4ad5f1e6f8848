"""RLStrategyAllocator: the champion decides, or equal weight with the reason; each fallback has its case here."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rl_strategy_allocator import AllocationSource, FallbackCode, RLStrategyAllocator
from trading_platform.core.observation import observation_schema
from trading_platform.core.policy import Network
from trading_platform.storage.model_manifest import ModelManifest
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.model_weights import pack_weights

REPOSITORY = Path(__file__).resolve().parents[2]
STRATEGIES = ("momentum", "mean_reversion", "breakout")
SCHEMA = observation_schema(STRATEGIES)
NOW = datetime(2026, 1, 5, tzinfo=UTC)
LAST_SEEN = date(2025, 12, 31)
SESSION = date(2026, 1, 5)
FEATURES = ("regime_bull", "regime_bear", "vix", "trend")


def manifest_and_weights(bear_moves: float = 2.0, **changes: object) -> tuple[ModelManifest, bytes]:
    """A policy with one layer of tanh: bear probability moves capital from the first strategy to the second."""
    first = np.zeros((1, len(FEATURES), 2))
    first[0, 1, 0] = 1.0
    second = np.zeros((1, 2, 3))
    second[0, 0] = (-bear_moves, bear_moves, 0.0)
    weights = pack_weights(Network((first, second), (np.zeros((1, 2)), np.zeros((1, 3)))))
    index = tuple(SCHEMA.names.index(name) for name in FEATURES)
    made = ModelManifest(
        strategies=STRATEGIES,
        observation_hash=SCHEMA.fingerprint,
        features=FEATURES,
        feature_index=index,
        feature_mean=(0.5, 0.0, 20.0, 0.0),
        feature_gain=(2.0, 1.0, 0.1, 10.0),
        feature_clip=3.0,
        action_kind="softmax",
        action_scale=1.0,
        base_weights=(1 / 3, 1 / 3, 1 / 3),
        hidden=(2,),
        members=1,
        risk_fingerprint="r",
        data_source="test",
        data_start="2020-01-02",
        data_end=LAST_SEEN.isoformat(),
        data_hash="h",
        max_age_days=30,
        seeds=(1,),
        versions={},
        training={},
        metrics={},
        promoted_by_gate=True,
        gate={},
        parents=(),
        created_at=NOW.isoformat(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    return replace(made, **changes), weights  # type: ignore[arg-type]


def champion(folder: Path, bear_moves: float = 2.0, **changes: object) -> str:
    registry = ModelRegistry(folder)
    model_id = registry.add(*manifest_and_weights(bear_moves, **changes))
    registry.promote(model_id, NOW, "test")
    return model_id


def state(**values: float) -> np.ndarray:
    """An observation that is average for the policy above, with some entries changed by name."""
    observation = np.array([field.neutral for field in SCHEMA])
    average = {"regime_bull": 0.5, "regime_bear": 0.0, "vix": 20.0, "trend": 0.0}
    for name, value in (average | values).items():
        observation[SCHEMA.names.index(name)] = value
    return observation


def serving(folder: Path, **options: object) -> RLStrategyAllocator:
    return RLStrategyAllocator(folder, STRATEGIES, today=lambda: SESSION, **options)  # type: ignore[arg-type]


def assert_equal_weight(allocator: RLStrategyAllocator, code: FallbackCode, said: str = "", **asked: object) -> None:
    weights = allocator.get_allocation(asked.pop("state", state()), **asked)  # type: ignore[arg-type]
    assert weights == dict.fromkeys(STRATEGIES, 1 / 3)
    assert allocator.last_decision.source is AllocationSource.EQUAL_WEIGHT
    assert allocator.last_decision.code is code
    assert said in allocator.last_decision.reason


def test_the_champion_moves_capital_as_its_layers_say(tmp_path: Path) -> None:
    model_id = champion(tmp_path)
    allocator = serving(tmp_path)
    weights = allocator.get_allocation(state(regime_bear=0.3))
    opinion = 2.0 * np.tanh(0.3)
    scores = np.exp([-opinion, opinion, 0.0])
    assert list(weights) == list(STRATEGIES)
    assert list(weights.values()) == pytest.approx(scores / scores.sum(), abs=1e-12)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    decision = allocator.last_decision
    assert (decision.source, decision.code, decision.model_id) == ("model", "OK", model_id)
    assert allocator.model_id == model_id


def test_without_a_registry_equal_weight_is_served(tmp_path: Path) -> None:
    allocator = serving(tmp_path / "none")
    assert_equal_weight(allocator, FallbackCode.NO_MODEL, "train one with train_rl_model.py")
    assert allocator.model_id is None
    assert set(allocator.explain(state()).values()) == {0.0}


def test_all_registered_strategies_are_the_default(tmp_path: Path) -> None:
    weights = RLStrategyAllocator(tmp_path).get_allocation(np.zeros(3))
    assert sum(weights.values()) == pytest.approx(1.0)
    assert {"momentum", "mean_reversion", "breakout"} <= set(weights)


def flip_a_byte(folder: Path) -> None:
    path = folder / "weights.npz"
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)


def truncate_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:200])


def newer_version(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip_a_byte, "weights.npz: does not match the SHA-256"),
        (truncate_manifest, "manifest.json: manifest is not JSON"),
        (newer_version, "newer version"),
        (lambda folder: (folder / "policy.pkl").write_bytes(b"cos\nsystem\n"), "policy.pkl does not belong"),
        (lambda folder: (folder / "weights.npz").unlink(), "weights.npz: cannot be read"),
    ],
)
def test_a_damaged_or_planted_file_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    model_id = champion(tmp_path)
    damage(tmp_path / model_id)
    allocator = serving(tmp_path)
    assert_equal_weight(allocator, FallbackCode.MODEL_REFUSED, said)
    assert allocator.last_decision.model_id == model_id


def test_a_damaged_pointer_is_refused(tmp_path: Path) -> None:
    champion(tmp_path)
    (tmp_path / "champion.json").write_text("{")
    assert_equal_weight(serving(tmp_path), FallbackCode.MODEL_REFUSED, "champion.json")


def test_a_model_of_other_strategies_is_refused(tmp_path: Path) -> None:
    champion(tmp_path, strategies=("momentum", "breakout", "mean_reversion"))
    assert_equal_weight(serving(tmp_path), FallbackCode.OTHER_STRATEGIES, "traded are momentum, mean_reversion")


def test_a_model_of_another_observation_is_refused(tmp_path: Path) -> None:
    champion(tmp_path, observation_hash="0" * 16)
    assert_equal_weight(serving(tmp_path), FallbackCode.OTHER_OBSERVATION, "this program builds " + SCHEMA.fingerprint)


def test_a_feature_that_stands_elsewhere_is_refused(tmp_path: Path) -> None:
    champion(tmp_path, feature_index=(0, 1, 2, 9999))
    assert_equal_weight(serving(tmp_path), FallbackCode.OTHER_OBSERVATION)


def test_the_last_day_seen_is_hindsight_and_the_day_after_is_not(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path)
    assert_equal_weight(allocator, FallbackCode.MODEL_IN_SAMPLE, "hindsight", session=LAST_SEEN)
    allocator.get_allocation(state(), session=LAST_SEEN + timedelta(days=1))
    assert allocator.last_decision.code is FallbackCode.OK
    looking = serving(tmp_path, allow_in_sample=True)
    looking.get_allocation(state(), session=date(2021, 6, 1))
    assert looking.last_decision.code is FallbackCode.OK


def test_a_model_serves_on_the_last_day_of_its_limit_and_not_after(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path)
    allocator.get_allocation(state(), session=LAST_SEEN + timedelta(days=30))
    assert allocator.last_decision.code is FallbackCode.OK
    old = LAST_SEEN + timedelta(days=31)
    assert_equal_weight(allocator, FallbackCode.MODEL_TOO_OLD, "31 days ago; limit 30", session=old)
    assert_equal_weight(serving(tmp_path, max_age_days=3.0), FallbackCode.MODEL_TOO_OLD, "limit 3")


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, len(SCHEMA))), np.zeros(0)])
def test_a_state_of_another_shape_is_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    champion(tmp_path)
    assert_equal_weight(serving(tmp_path), FallbackCode.STATE_SHAPE, f"not ({len(SCHEMA)},)", state=wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_unknown_feature_is_refused_by_name(tmp_path: Path, value: float) -> None:
    champion(tmp_path)
    assert_equal_weight(serving(tmp_path), FallbackCode.STATE_NOT_FINITE, "vix", state=state(vix=value))


def test_an_unknown_entry_that_the_policy_does_not_read_is_no_matter(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path)
    allocator.get_allocation(state(total_pnl=np.nan))
    assert allocator.last_decision.code is FallbackCode.OK


def test_one_extreme_feature_is_clipped_and_two_of_four_are_refused(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path)
    allocator.get_allocation(state(vix=500.0))
    assert allocator.last_decision.code is FallbackCode.OK
    assert_equal_weight(allocator, FallbackCode.STATE_OUT_OF_RANGE, "vix, trend", state=state(vix=500.0, trend=-0.7))


def test_a_new_champion_serves_at_the_next_call_and_a_rollback_too(tmp_path: Path) -> None:
    first = champion(tmp_path)
    allocator = serving(tmp_path)
    allocator.get_allocation(state())
    second = champion(tmp_path, bear_moves=1.0)
    allocator.get_allocation(state())
    assert allocator.last_decision.model_id == second != first
    ModelRegistry(tmp_path).rollback(NOW, "test")
    allocator.get_allocation(state())
    assert allocator.last_decision.model_id == first
    ModelRegistry(tmp_path).rollback(NOW, "test")
    assert_equal_weight(allocator, FallbackCode.NO_MODEL)


def test_explain_names_the_group_that_moved_the_weights(tmp_path: Path) -> None:
    champion(tmp_path)
    shares = serving(tmp_path).explain(state(regime_bear=0.5))
    assert shares["regime"] == pytest.approx(1.0)
    assert shares["market"] == 0.0
    assert set(serving(tmp_path).explain(state()).values()) == {0.0}  # an average day: nothing moved


def test_the_answer_is_the_callers_own_copy(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path)
    answer = allocator.get_allocation(state())
    answer["momentum"] = 99.0
    assert allocator.last_decision.weights["momentum"] == pytest.approx(1 / 3)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(observation=arrays.arrays(np.float64, len(SCHEMA), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_whatever_the_state_the_weights_split_the_capital(tmp_path: Path, observation: np.ndarray) -> None:
    if ModelRegistry(tmp_path).champion() is None:
        champion(tmp_path)
    weights = serving(tmp_path).get_allocation(observation)
    assert set(weights) == set(STRATEGIES)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert min(weights.values()) >= 0.0


def test_an_allocation_reads_nothing_but_the_pointer_again(tmp_path: Path) -> None:
    model_id = champion(tmp_path)
    allocator = serving(tmp_path)
    weights = allocator.get_allocation(state(regime_bear=0.2))
    shutil.rmtree(tmp_path / model_id)
    assert allocator.get_allocation(state(regime_bear=0.2)) == weights
    assert allocator.last_decision.code is FallbackCode.OK
    assert serving(tmp_path).model_id is None


def test_serving_imports_neither_torch_nor_gymnasium(tmp_path: Path) -> None:
    champion(tmp_path)
    program = (
        "import sys, numpy as np; from rl_strategy_allocator import RLStrategyAllocator; "
        f"RLStrategyAllocator({str(tmp_path)!r}, {STRATEGIES!r}).get_allocation(np.zeros({len(SCHEMA)})); "
        "print(sorted({'torch', 'gymnasium', 'stable_baselines3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_replay_stays_with_the_champion_that_it_began_with(tmp_path: Path) -> None:
    first = champion(tmp_path)
    following, staying = serving(tmp_path), serving(tmp_path, follow=False)
    assert following.model_id == staying.model_id == first
    second = champion(tmp_path, bear_moves=3.0)
    assert second != first
    assert (following.model_id, staying.model_id) == (second, first)
    staying.get_allocation(state())
    assert staying.last_decision.model_id == first
    assert serving(tmp_path, follow=False).model_id == second
