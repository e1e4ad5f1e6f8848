"""The model registry: what it stores it serves; what was altered, planted or made by others it refuses by name."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from trading_platform.core.errors import FixConfigError, RetrainModelError
from trading_platform.core.policy import Network, policy_actions
from trading_platform.evaluation.trials import TrialRecord
from trading_platform.storage.model_manifest import ModelManifest, finite_or_none, parse_manifest
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.model_weights import pack_weights
from trading_platform.storage.trial_ledger import TrialLedger

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return Network((rng.normal(size=(1, 2, 4)), rng.normal(size=(1, 4, 3))), (np.zeros((1, 4)), np.zeros((1, 3))))


def manifest(weights: bytes, **changes: object) -> ModelManifest:
    made = ModelManifest(
        strategies=("a", "b", "c"),
        observation_hash="0123456789abcdef",
        features=("x", "y"),
        feature_index=(0, 2),
        feature_mean=(0.1, 0.2),
        feature_gain=(1.0, 2.0),
        feature_clip=5.0,
        action_kind="softmax",
        action_scale=1.0,
        base_weights=(1 / 3, 1 / 3, 1 / 3),
        hidden=(4,),
        members=1,
        risk_fingerprint="f" * 16,
        data_source="test",
        data_start="2001-01-02",
        data_end="2004-12-31",
        data_hash="h",
        feature_low=(0.0, -1.0),
        feature_high=(1.0, 1.0),
        seeds=(1, 2),
        versions={"numpy": "2"},
        training={"episodes": 10, "clip": None},
        metrics={"sharpe": 0.5},
        promoted_by_gate=True,
        gate={"reason": "ok"},
        parents=(),
        created_at=NOW.isoformat(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def stored(folder: Path, seed: int = 0) -> tuple[ModelRegistry, str]:
    registry = ModelRegistry(folder)
    weights = pack_weights(network(seed))
    return registry, registry.add(manifest(weights), weights)


def test_a_stored_model_answers_as_it_did_before(tmp_path: Path) -> None:
    registry, model_id = stored(tmp_path / "models")
    loaded = registry.load(model_id)
    np.testing.assert_array_equal(loaded.policy.network.kernels[0], network().kernels[0])
    assert loaded.manifest.model_id == model_id == "20260105-" + loaded.manifest.checksum[:12]
    assert policy_actions(np.zeros(3), loaded.policy).shape == (3,)
    assert registry.model_ids() == (model_id,)
    assert registry.verify(model_id) is None


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    registry, model_id = stored(tmp_path / "models")
    registry.promote(model_id, NOW, "test")
    for path in [registry.folder, *registry.folder.rglob("*")]:
        if path.name != ".lock":
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_empty_registry_has_no_champion(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "none")
    assert registry.champion() is None
    assert registry.model_ids() == ()
    with pytest.raises(RetrainModelError, match="no model '20260101-000000000000'"):
        registry.load("20260101-000000000000")
    with pytest.raises(FixConfigError, match="no champion"):
        registry.rollback(NOW, "test")


def test_promote_and_rollback_walk_through_the_champions(tmp_path: Path) -> None:
    registry, first = stored(tmp_path, 1)
    _, second = stored(tmp_path, 2)
    registry.promote(first, NOW, "better")
    registry.promote(second, NOW, "better still")
    registry.promote(second, NOW, "again")
    champion = registry.champion()
    assert champion is not None
    assert (champion.model_id, champion.history, champion.reason) == (second, (first,), "again")
    registry.rollback(NOW, "it lost money")
    champion = registry.champion()
    assert champion is not None
    assert (champion.model_id, champion.history) == (first, ())
    assert registry.rollback(NOW, "this too") is None
    assert registry.champion() is None


def test_a_broken_model_is_not_promoted_and_the_champion_stays(tmp_path: Path) -> None:
    registry, good = stored(tmp_path, 1)
    _, bad = stored(tmp_path, 2)
    registry.promote(good, NOW, "better")
    (tmp_path / bad / "weights.npz").write_bytes(b"")
    with pytest.raises(RetrainModelError, match="SHA-256"):
        registry.promote(bad, NOW, "no")
    champion = registry.champion()
    assert champion is not None
    assert champion.model_id == good


def test_the_same_network_packs_to_the_same_bytes() -> None:
    assert pack_weights(network(3)) == pack_weights(network(3))
    assert pack_weights(network(3)) != pack_weights(network(4))


# ---------------------------------------------------------------- files that must be refused


class Bomb:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return _touch, (str(self.path),)


def _touch(path: str) -> object:
    Path(path).write_text("executed")
    return None


def test_a_planted_pickle_is_refused_and_not_run_even_if_the_hash_fits(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    buffer = io.BytesIO()
    np.savez(buffer, kernel_0=np.array([Bomb(marker)], dtype=object), allow_pickle=True)
    evil = buffer.getvalue()
    registry, _ = stored(tmp_path / "models")
    with pytest.raises(RetrainModelError, match="pickled content is never loaded"):
        registry.add(manifest(evil), evil)
    planted = manifest(evil)
    folder = registry.folder / planted.model_id
    folder.mkdir()
    (folder / "weights.npz").write_bytes(evil)
    (folder / "manifest.json").write_text(planted.to_json())
    with pytest.raises(RetrainModelError, match=r"weights\.npz: kernel_0\.npy holds object"):
        registry.load(planted.model_id)
    assert not marker.exists()
    np.load(io.BytesIO(evil), allow_pickle=True)["kernel_0"]
    assert marker.exists()  # the bomb works: the test above could have failed


@pytest.mark.parametrize("name", ["policy.pkl", "ppo_model.zip", "vecnormalize.pickle", "__init__.py"])
def test_a_stranger_in_the_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    registry, model_id = stored(tmp_path)
    (tmp_path / model_id / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(RetrainModelError, match=f"{name} does not belong to a model"):
        registry.load(model_id)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kernel_0.npy", bytes(40_000_000))
    bomb = buffer.getvalue()
    with pytest.raises(RetrainModelError, match="unpacks to more than"):
        ModelRegistry(tmp_path).add(manifest(bomb), bomb)


def altered(folder: Path, changes: dict[str, object]) -> Path:
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 4}, "newer version: update this program"),
        ({"schema_version": 0}, "reads 1 to 3; train again"),
        ({"schema_version": True}, "schema_version True"),
        ({"strategies": ["a", "b", "d"]}, "does not match its checksum"),
        ({"promoted_by_gate": False}, "does not match its checksum"),
        ({"model_id": "20260105-000000000000"}, "names itself"),
        ({"extra": 1}, r"unknown \['extra'\]"),
    ],
)
def test_an_altered_manifest_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    registry, model_id = stored(tmp_path)
    altered(tmp_path / model_id, changes)
    with pytest.raises(RetrainModelError, match=said) as refusal:
        registry.load(model_id)
    assert "manifest.json" in str(refusal.value)


def test_a_model_under_another_name_is_refused(tmp_path: Path) -> None:
    registry, model_id = stored(tmp_path)
    shutil.copytree(tmp_path / model_id, tmp_path / "20260105-aaaaaaaaaaaa")
    with pytest.raises(RetrainModelError, match=f"manifest is of {model_id}"):
        registry.load("20260105-aaaaaaaaaaaa")


@pytest.mark.parametrize("name", ["../other", "", "champion.json", "20260105-ZZ"])
def test_an_id_that_is_no_id_opens_nothing(tmp_path: Path, name: str) -> None:
    registry, _ = stored(tmp_path)
    with pytest.raises(RetrainModelError, match="there is no model"):
        registry.load(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategies": ("a", "b")},
        {"strategies": ("a", "a", "b")},
        {"hidden": (4, 4)},
        {"hidden": (5,)},
        {"members": 2},
        {"features": ("x",)},
        {"feature_index": (0, 0)},
        {"feature_gain": (-1.0, 1.0)},
        {"feature_clip": 0.0},
        {"feature_mean": (float("nan"), 0.0)},
        {"members": 0},
        {"feature_low": (0.0,)},
        {"feature_high": ()},
        {"feature_low": (2.0, 0.0)},
        {"feature_mean": (1e300, 0.0)},
        {"feature_gain": (1e300, 1.0)},
        {"action_scale": 1e300},
        {"data_end": "yesterday"},
        {"created_at": "2026-01-05T12:00:00"},
        {"created_at": "2026-01-05T12:00:00+02:00"},
        {"weights_file": "model.pkl"},
        {"members": True},
        {"metrics": {"x": [1.0]}},
        {"metrics": {"x": float("inf")}},
        {"seeds": (1.5,)},
    ],
)
def test_a_manifest_that_makes_no_sense_is_never_stored(tmp_path: Path, changes: dict[str, object]) -> None:
    weights = pack_weights(network())
    with pytest.raises(RetrainModelError):
        ModelRegistry(tmp_path).add(manifest(weights, **changes), weights)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_single_damage_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    registry, model_id = stored(tmp_path)
    name = data.draw(st.sampled_from(["manifest.json", "weights.npz"]))
    path = tmp_path / model_id / name
    intact = path.read_bytes()
    position = data.draw(st.integers(0, len(intact) - 1))
    match data.draw(st.sampled_from(["flip", "truncate", "insert"])):
        case "flip":
            bit = data.draw(st.integers(0, 7))
            damaged = intact[:position] + bytes([intact[position] ^ (1 << bit)]) + intact[position + 1 :]
        case "truncate":
            damaged = intact[:position]
        case _:
            damaged = intact[:position] + data.draw(st.binary(min_size=1, max_size=8)) + intact[position:]
    path.write_bytes(damaged)
    try:
        loaded = registry.load(model_id)
    except RetrainModelError as error:
        assert name in str(error)
        event("refused")
    else:  # only white space in the manifest may change without changing what it says
        event("harmless")
        assert name == "manifest.json"
        assert loaded.manifest == parse_manifest(intact.decode())
    finally:
        path.write_bytes(intact)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_garbage_in_any_file_is_refused_and_never_crashes(tmp_path: Path, content: bytes) -> None:
    registry, model_id = stored(tmp_path)
    (tmp_path / "champion.json").write_bytes(content)
    with pytest.raises(RetrainModelError, match=r"champion\.json"):
        registry.champion()
    for name in ("manifest.json", "weights.npz"):
        path = tmp_path / model_id / name
        intact = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(RetrainModelError, match=name):
            registry.load(model_id)
        path.write_bytes(intact)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"version": 2, "model_id": "20260105-aaaaaaaaaaaa", "promoted_at": "", "reason": "", "history": []},
        {"version": 1, "model_id": "../evil", "promoted_at": "", "reason": "", "history": []},
        {"version": 1, "model_id": "20260105-aaaaaaaaaaaa", "promoted_at": "", "reason": "", "history": ["x"]},
        {"version": 1, "model_id": "20260105-aaaaaaaaaaaa", "promoted_at": "", "reason": "", "history": None},
        {"version": 1, "model_id": "20260105-aaaaaaaaaaaa", "promoted_at": 3, "reason": "", "history": []},
    ],
)
def test_a_pointer_that_makes_no_sense_is_refused(tmp_path: Path, document: object) -> None:
    (tmp_path / "champion.json").write_text(json.dumps(document))
    with pytest.raises(RetrainModelError, match=r"champion\.json"):
        ModelRegistry(tmp_path).champion()


def test_finite_or_none_hides_what_json_cannot_say() -> None:
    assert finite_or_none({"a": float("nan"), "b": 1.0, "c": "x", "d": float("-inf")}) == {
        "a": None,
        "b": 1.0,
        "c": "x",
        "d": None,
    }


# ---------------------------------------------------------------- the ledger of trials


def record(name: str, difference: float | None = None) -> TrialRecord:
    return TrialRecord(name, NOW, "train", "2004", 1, "c", "d", 100, None, difference)


def test_the_ledger_counts_every_fit_and_a_torn_line_too(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "models")
    assert ledger.summary().n_trials == 0
    ledger.append([])
    assert not ledger.path.exists()
    ledger.append([record("a", 0.5), record("b", 1.5)])
    ledger.append([record("failed"), record("b", 1.5)])  # a resumed run repeats itself
    assert (ledger.summary().n_trials, ledger.summary().sharpe_variance) == (3, 0.5)
    with ledger.path.open("a") as stream:
        stream.write('{"at": "torn')
    ledger.append([record("c", 1.0)])
    assert ledger.summary().n_trials == 5
    assert ledger.summary().sharpe_variance == pytest.approx(np.var([0.5, 1.5, 1.0], ddof=1))
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


def _append(folder: Path, worker: int) -> None:
    for n in range(20):
        TrialLedger(folder).append([record(f"{worker}-{n}-{i}") for i in range(3)])


def test_processes_that_train_at_once_lose_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(tmp_path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert TrialLedger(tmp_path).summary().n_trials == 180
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 180
