"""RLStrategyAllocator: the champion decides, or equal weight with the reason; each fallback has its case here."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rl_strategy_allocator import AllocationSource, FallbackCode, RLStrategyAllocator
from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import observation_schema
from trading_platform.core.policy import Network
from trading_platform.core.served_policy import MAX_AGE_SESSIONS
from trading_platform.market_data.calendar import NyseCalendar
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
BEYOND = ("regime_bull", "regime_bear", "vix", "episode_progress")  # the last is not in the contract's observation
CONTRACT = 3 + 4 * len(STRATEGIES) + 5 + 10


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
        feature_low=(0.0, 0.0, 10.0, -0.2),
        feature_high=(1.0, 0.9, 40.0, 0.2),
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
    weights = allocator.get_allocation(asked.pop("state", state()), **asked)
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


def test_a_model_serves_on_the_last_session_of_its_limit_and_not_after(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path)
    sessions = NyseCalendar().sessions_between(LAST_SEEN, date(2027, 12, 31))[1:].tolist()
    allocator.get_allocation(state(), session=sessions[MAX_AGE_SESSIONS - 1])
    assert allocator.last_decision.code is FallbackCode.OK
    old = sessions[MAX_AGE_SESSIONS]
    assert_equal_weight(allocator, FallbackCode.MODEL_TOO_OLD, "281 sessions ago; limit 280", session=old)
    impatient = serving(tmp_path, max_age_sessions=1)
    assert_equal_weight(impatient, FallbackCode.MODEL_TOO_OLD, "2 sessions ago; limit 1")  # the 2nd and 5th of January


def test_age_outside_the_calendar_is_counted_in_weekdays(tmp_path: Path) -> None:
    champion(tmp_path)
    assert_equal_weight(serving(tmp_path), FallbackCode.MODEL_TOO_OLD, "sessions ago", session=date(2099, 1, 5))


@pytest.mark.parametrize(
    "session", ["2026-01-05", SESSION, datetime(2026, 1, 5, 21, tzinfo=UTC), np.datetime64(SESSION)]
)
def test_a_session_may_be_told_in_any_form_of_a_date(tmp_path: Path, session: object) -> None:
    champion(tmp_path)
    allocator = serving(tmp_path, max_age_sessions=2)
    allocator.get_allocation(state(), session=session)
    assert allocator.last_decision.code is FallbackCode.OK
    assert_equal_weight(serving(tmp_path, max_age_sessions=1), FallbackCode.MODEL_TOO_OLD, session=session)


@pytest.mark.parametrize("session", ["tomorrow", 20260105, np.datetime64("NaT"), pd.NaT, object()])
def test_a_session_that_is_no_date_is_refused(tmp_path: Path, session: object) -> None:
    champion(tmp_path)
    assert_equal_weight(serving(tmp_path), FallbackCode.BAD_SESSION, "is no date", session=session)


class Unwilling:
    """An object that raises whatever is done to it."""

    def __len__(self) -> int:
        raise RecursionError

    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros(3), f"not ({CONTRACT},) or ("),
        (np.zeros((2, len(SCHEMA))), f"has shape (2, {len(SCHEMA)})"),
        (np.zeros(0), "has shape (0,)"),
        (None, "has shape ()"),
        (object(), "has shape ()"),
        ("ready", "has shape ()"),
        (["a"] * len(SCHEMA), "not numbers"),
        ([object()] * len(SCHEMA), "no list of numbers"),
        ([[0.0]] * (len(SCHEMA) - 1) + [[0.0, 1.0]], "no list of numbers"),
        ([1j] * len(SCHEMA), "not numbers"),
        ({"regime_bull": "high"}, "no list of numbers"),
        ({"regime_bul": 0.5}, "regime_bul is no entry of the observation: did you mean 'regime_bull'?"),
        ({7: 0.5}, "7 is no entry of the observation"),
        ({}, "the observation is empty"),
        (pd.Series([0.5, 0.5], index=["regime_bull", "regime_bull"]), "occurs twice"),
        (pd.DataFrame({"vix": [20.0]}), "has shape (1, 1)"),
        (Unwilling(), ""),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_and_nothing_is_raised(tmp_path: Path, wrong: object, said: str) -> None:
    without = serving(tmp_path / "none")
    assert without.get_allocation(wrong) == dict.fromkeys(STRATEGIES, 1 / 3)
    assert set(without.explain(wrong).values()) == {0.0}
    champion(tmp_path)
    assert_equal_weight(serving(tmp_path), FallbackCode.STATE_SHAPE, said, state=wrong)
    assert set(serving(tmp_path).explain(wrong).values()) == {0.0}


def test_array_sequence_mapping_and_series_of_one_state_get_one_answer(tmp_path: Path) -> None:
    champion(tmp_path)
    allocator, whole = serving(tmp_path), state(regime_bear=0.3, vix=31.0)
    expected = allocator.get_allocation(whole)
    assert expected["momentum"] < 0.3
    by_name = dict(zip(SCHEMA.names, whole.tolist(), strict=True))
    forms = (
        whole.tolist(),
        tuple(whole),
        whole.astype(object),
        by_name,
        {name: by_name[name] for name in FEATURES},
        pd.Series(whole),
        pd.Series(by_name).sample(frac=1.0, random_state=1),
        whole[:CONTRACT],
    )
    for form in forms:
        assert allocator.get_allocation(form) == expected
        assert allocator.last_decision.reason == f"OK: decided by {allocator.model_id}"


def test_what_the_contracts_observation_does_not_hold_is_taken_as_ordinary_and_said(tmp_path: Path) -> None:
    index = tuple(SCHEMA.names.index(name) for name in BEYOND)
    model_id = champion(tmp_path, features=BEYOND, feature_index=index)
    allocator, whole = serving(tmp_path), state(regime_bear=0.3)
    assert allocator.get_allocation(whole[:CONTRACT]) == allocator.get_allocation(whole)
    allocator.get_allocation(whole[:CONTRACT])
    ordinary = "not told and taken as ordinary: episode_progress"
    assert allocator.last_decision.reason == f"OK: decided by {model_id}; {ordinary}"
    unread = {name: 0.1 for name in SCHEMA.names if name not in BEYOND}
    assert_equal_weight(allocator, FallbackCode.STATE_NOT_FINITE, "nothing that decides is told", state=unread)


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


def test_a_bear_market_beyond_doubt_is_no_reason_not_to_ask(tmp_path: Path) -> None:
    champion(tmp_path, feature_mean=(0.99, 0.001, 12.0, 0.05), feature_gain=(50.0, 200.0, 1.0, 50.0))
    allocator = serving(tmp_path)
    allocator.get_allocation(state(regime_bull=0.0, regime_bear=1.0, vix=45.0, trend=-0.35))
    assert allocator.last_decision.code is FallbackCode.OK


@pytest.mark.parametrize(("name", "value"), [("regime_bear", 1.1), ("regime_bull", -0.1), ("vix", -3.0)])
def test_what_cannot_be_is_refused(tmp_path: Path, name: str, value: float) -> None:
    champion(tmp_path)
    said = f"{name} cannot be: {name} is {value:g}"
    assert_equal_weight(serving(tmp_path), FallbackCode.STATE_OUT_OF_RANGE, said, state=state(**{name: value}))


def test_a_manifest_of_the_first_version_is_read_and_a_model_of_the_shorter_observation_goes_on(tmp_path: Path) -> None:
    before_it_grew = SCHEMA.prefix_fingerprint(24 + 4 * len(STRATEGIES))
    champion(
        tmp_path,
        observation_hash=before_it_grew,
        schema_version=1,
        max_age_days=30,
        feature_low=(),
        feature_high=(),
    )
    allocator = serving(tmp_path)
    weights = allocator.get_allocation(state(regime_bear=1.0, vix=60.0), session=LAST_SEEN + timedelta(days=200))
    assert allocator.last_decision.code is FallbackCode.OK
    assert weights["momentum"] < weights["mean_reversion"]
    assert_equal_weight(allocator, FallbackCode.STATE_OUT_OF_RANGE, "vix, trend", state=state(vix=500.0, trend=-0.95))


def test_a_model_of_another_meaning_of_regimes_is_refused(tmp_path: Path) -> None:
    champion(
        tmp_path,
        observation_hash="53ed255cf128cb8a",
        schema_version=1,
        max_age_days=30,
        feature_low=(),
        feature_high=(),
    )
    assert_equal_weight(serving(tmp_path), FallbackCode.OTHER_OBSERVATION, "53ed255cf128cb8a")


def test_sleeves_that_stand_aside_leave_their_capital_to_the_others(tmp_path: Path) -> None:
    champion(tmp_path)
    two = ("momentum", "mean_reversion")
    here = RLStrategyAllocator(tmp_path, two, today=lambda: SESSION, aside=["breakout"])
    told = dict(zip(FEATURES, (0.5, 0.3, 20.0, 0.0), strict=True))
    shares, of_all = here.get_allocation(told), serving(tmp_path).get_allocation(told)
    assert here.last_decision.code is FallbackCode.OK
    left = of_all["momentum"] + of_all["mean_reversion"]
    assert shares == pytest.approx({name: of_all[name] / left for name in two})
    row = np.array([field.neutral for field in observation_schema(two)])
    row[[observation_schema(two).names.index(name) for name in FEATURES]] = (0.5, 0.3, 20.0, 0.0)
    assert here.get_allocation(row) == shares
    assert here.explain(row)["regime"] == pytest.approx(1.0)


def test_sleeves_that_are_not_enabled_are_others_than_the_models(tmp_path: Path) -> None:
    champion(tmp_path)
    here = RLStrategyAllocator(tmp_path, ("momentum", "mean_reversion"), today=lambda: SESSION)
    here.get_allocation(state())
    assert here.last_decision.code is FallbackCode.OTHER_STRATEGIES


def reworked(folder: Path, weights: bytes) -> None:
    """Put other weights into the champion's folder, with a manifest that vouches for them."""
    registry = ModelRegistry(folder)
    pointed = registry.champion()
    assert pointed is not None
    made = replace(registry.manifest(pointed.model_id), weights_sha256=hashlib.sha256(weights).hexdigest())
    target = folder / made.model_id
    target.mkdir()
    (target / "weights.npz").write_bytes(weights)
    (target / "manifest.json").write_text(made.to_json())
    pointer = json.loads((folder / "champion.json").read_text()) | {"model_id": made.model_id}
    (folder / "champion.json").write_text(json.dumps(pointer))


def doctored(change: Callable[[dict[str, np.ndarray]], object], *, lie: bool = False) -> bytes:
    """Return the weights file of the policy above, changed; with `lie` a header claims a shape that is not there."""
    _, weights = manifest_and_weights()
    arrays = dict(np.load(io.BytesIO(weights)))
    change(arrays)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0))
            text = content.getvalue()
            archive.writestr(f"{name}.npy", text.replace(b"(1, 3)", b"(9999999999, 3)"[:15]) if lie else text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (doctored(lambda arrays: arrays["kernel_1"].fill(1e300)), "kernel_1.npy holds a weight that is not finite or"),
        (doctored(lambda arrays: arrays["bias_0"].fill(np.nan)), "bias_0.npy holds a weight that is not finite or"),
        (doctored(lambda arrays: arrays["bias_0"].fill(-np.inf)), "bias_0.npy holds a weight that is not finite or"),
        (doctored(lambda arrays: arrays.update(bias_1=np.zeros((1, 2)))), "layers do not fit"),
        (doctored(lambda arrays: arrays.pop("bias_1")), "the manifest asks for"),
        (doctored(lambda arrays: arrays.update(bias_1=np.zeros((1, 3), dtype=np.float32))), "holds float32"),
        (doctored(lambda arrays: None, lie=True), "says it has shape (9999999999, 3)"),
        (manifest_and_weights()[1][:-40], "is no plain npz"),
        (b"", "is no plain npz"),
    ],
)
def test_doctored_weights_are_refused_before_they_are_asked(tmp_path: Path, weights: bytes, said: str) -> None:
    champion(tmp_path)
    reworked(tmp_path, weights)
    allocator = serving(tmp_path)
    assert allocator.model_id is None
    assert_equal_weight(allocator, FallbackCode.MODEL_REFUSED, said)


@pytest.mark.parametrize("name", ["weights.npz", "manifest.json", "../champion.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_is_refused_without_waiting(
    tmp_path: Path, name: str, make: Callable[[Path], object]
) -> None:
    model_id = champion(tmp_path)
    path = tmp_path / model_id / name
    path.unlink()
    make(path)
    assert_equal_weight(serving(tmp_path), FallbackCode.MODEL_REFUSED, "no plain file")


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


def test_equal_weight_is_served_where_the_settings_ask_for_it(tmp_path: Path) -> None:
    champion(tmp_path)
    assert_equal_weight(serving(tmp_path, policy="equal"), FallbackCode.CHOSEN, "[allocator] policy")
    assert not serving(tmp_path, policy="equal").reads_state
    assert serving(tmp_path).reads_state
    with pytest.raises(FixConfigError, match="must be one of model, rules, equal, was 'best'"):
        serving(tmp_path, policy="best")


def test_published_rules_serve_without_any_model_file(tmp_path: Path) -> None:
    allocator = serving(tmp_path / "none", policy="rules")
    told = {"momentum_rules": -np.log(2.0), "mean_reversion_rules": 0.25, "breakout_rules": 0.0}
    weights = allocator.get_allocation(told)
    factors = np.array([0.5, np.exp(0.25), 1.0])
    assert list(weights.values()) == pytest.approx(factors / factors.sum())
    decision = allocator.last_decision
    assert (decision.source, decision.code, decision.model_id) == ("rules", "OK", None)
    assert allocator.explain(told)["rules"] == pytest.approx(1.0)
    assert (allocator.model_id, allocator.reads_state) == (None, True)
    assert_equal_weight(allocator, FallbackCode.STATE_NOT_FINITE, "nothing that decides", state=state()[:CONTRACT])
    assert_equal_weight(allocator, FallbackCode.STATE_OUT_OF_RANGE, state=told | {"breakout_rules": 3.0})


def test_a_model_on_rules_is_tilted_by_them_as_it_was_judged(tmp_path: Path) -> None:
    champion(tmp_path)
    plain = serving(tmp_path).get_allocation(state(regime_bear=0.3))
    champion(tmp_path, on_rules=True)
    tilted = serving(tmp_path).get_allocation(state(regime_bear=0.3, momentum_rules=-np.log(2.0)))
    kept = {name: weight * (0.5 if name == "momentum" else 1.0) for name, weight in plain.items()}
    assert tilted == pytest.approx({name: weight / sum(kept.values()) for name, weight in kept.items()})


def test_a_model_that_reads_regimes_of_other_settings_is_refused(tmp_path: Path) -> None:
    champion(tmp_path, regime_fingerprint="0123456789abcdef")
    for regime in ("0123456789abcdef", ""):  # the same settings, and settings that nobody told
        allocator = serving(tmp_path, regime=regime)
        allocator.get_allocation(state(regime_bear=0.3))
        assert allocator.last_decision.code is FallbackCode.OK
    other = serving(tmp_path, regime="fedcba9876543210")
    assert_equal_weight(other, FallbackCode.OTHER_OBSERVATION, "regimes of other [regime] settings")
