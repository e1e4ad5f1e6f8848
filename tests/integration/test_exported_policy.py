"""An exported policy: the reader of the documentation, run as it stands, answers as the engine does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernel_world import prepared_market
from trading_platform.core.errors import FixConfigError
from trading_platform.core.policy import averaged, policy_actions
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.storage.model_registry import ModelRegistry, StoredModel
from trading_platform.training.campaign import Campaign, plan_windows, run_campaign
from trading_platform.training.export import check_export_path, write_export
from trading_platform.training.export_onnx import has_onnx
from trading_platform.training.fits import Arena
from trading_platform.training.paths import observations, policy_answers
from trading_platform.training.setup import TrainingSetup

REPOSITORY = Path(__file__).resolve().parents[2]


def documented(page: str) -> str:
    """Return the first block of code of a page of the documentation."""
    found = re.search(r"```python\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def no_env(*_: Any) -> Any:
    raise AssertionError("the gradient needs no environment")


def trained(features: tuple[str, ...], hidden: tuple[int, ...], folder: Path) -> tuple[PreparedMarket, StoredModel]:
    """Return a small market and a model of two members that has opinions on it."""
    world = prepared_market(2, 1000)
    setup = TrainingSetup(algo="gradient", ridge=0.01, cost_bps=0.0, features=features, hidden=hidden)
    campaign = Campaign(
        arena=Arena(world, (world,), setup, no_env),
        plan=plan_windows(world, "single", None, 60),
        seeds=(1, 2),
        jobs=1,
        registry=ModelRegistry(folder / "models"),
        now=datetime(2026, 1, 5, tzinfo=UTC),
        data_source="test",
        data_hash="h",
        risk_fingerprint="r",
    )
    return world, campaign.registry.load(run_campaign(campaign).model_id)


def engine_weights(world: PreparedMarket, stored: StoredModel) -> Floats:
    """Return what the engine answers on every session, (T, K)."""
    manifest = stored.manifest
    return policy_answers(
        world, stored.policy, np.array(manifest.base_weights), manifest.action_kind, manifest.action_scale, False
    ).weights


def by_reference(path: Path, rows: Floats) -> list[Floats]:
    reference = pytest.importorskip("onnx.reference", reason="onnx is not installed: no graph is written")
    found: list[Floats] = reference.ReferenceEvaluator(str(path)).run(None, {"observation": rows})
    return found


def by_runtime(path: Path, rows: Floats) -> list[Floats]:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime, which reads the graph, is not there")
    found: list[Floats] = runtime.InferenceSession(str(path)).run(None, {"observation": rows})
    return found


NETWORKS = pytest.mark.parametrize(
    ("features", "hidden", "network"),
    [(TrainingSetup().features, (), "each"), (TrainingSetup().features, (4,), "each"), (("market",), (3,), "all")],
)


@pytest.mark.parametrize("run", [by_reference, by_runtime])
@NETWORKS
def test_the_graph_answers_as_the_engine_does(
    features: tuple[str, ...],
    hidden: tuple[int, ...],
    network: str,
    run: Callable[[Path, Floats], list[Floats]],
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: no graph is written")
    world, stored = trained(features, hidden, tmp_path)
    graph = write_export(tmp_path / "policy.npz", stored)[2]
    rows, expected = observations(world)[world.first :], engine_weights(world, stored)[world.first :]
    opinions, weights = run(graph, rows)
    assert np.ptp(weights) > 1e-3
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(opinions, 2.0 * policy_actions(rows, stored.policy) - 1.0, atol=1e-6)
    np.testing.assert_allclose(run(graph, rows[:1])[1], expected[:1], atol=1e-6)
    wide = np.full((1, rows.shape[1]), 1e6)  # clipped, as in the engine
    np.testing.assert_allclose(run(graph, wide)[0], 2.0 * policy_actions(wide, stored.policy) - 1.0, atol=1e-6)


def test_without_onnx_the_two_other_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.training.export.has_onnx", lambda: False)
    _, stored = trained(("market",), (3,), tmp_path)
    assert [path.name for path in write_export(tmp_path / "p.npz", stored)] == ["p.npz", "p.json"]


@NETWORKS
def test_the_documented_reader_answers_as_the_engine_does_without_this_project(
    features: tuple[str, ...], hidden: tuple[int, ...], network: str, tmp_path: Path
) -> None:
    world, stored = trained(features, hidden, tmp_path)
    assert (stored.policy.network.n_members, stored.policy.layout is None) == (2, network == "all")
    assert averaged([stored.policy.network]).n_members == 2
    written = write_export(tmp_path / "policy.npz", stored)
    assert [path.name for path in written] == ["policy.npz", "policy.json", *["policy.onnx"] * has_onnx()]
    assert json.loads(written[1].read_text())["network"] == network
    rows, expected = observations(world), engine_weights(world, stored)
    chosen = [world.first + 5, 500, 700, 999]
    assert np.ptp(expected[chosen]) > 1e-3
    states = [dict(zip(world.schema.names, rows[t].tolist(), strict=True)) for t in chosen]
    program = f"{documented('exported-policy.md')}\nimport sys\nfor state in json.load(sys.stdin):\n"
    program += "    print(json.dumps(weights('policy', state)))\n"
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error::DeprecationWarning", "-c", program],
        cwd=tmp_path,
        input=json.dumps(states),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for t, answer in zip(chosen, answers, strict=True):
        assert list(answer) == list(world.schema.strategies)
        np.testing.assert_allclose(list(answer.values()), expected[t], atol=1e-12)


def test_the_reader_has_twenty_lines() -> None:
    body = documented("exported-policy.md").split("def weights")[1]
    assert len(body.splitlines()) <= 20


def test_the_example_of_the_environment_runs(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium", reason="the environment is an optional part")
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{documented('environment.md')}"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len([float(word) for word in done.stdout.split()]) == 2


@pytest.mark.parametrize(
    ("path", "message"), [("policy.pkl", "ends in .npz"), ("nowhere/policy.npz", "there is no folder nowhere")]
)
def test_a_place_that_cannot_be_written_is_named_before_any_work(path: str, message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        check_export_path(Path(path))
    check_export_path(None)
