"""An exported policy: the reader of the documentation, run as it stands, answers as the engine does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernel_world import prepared_market
from trading_platform.core.errors import FixConfigError
from trading_platform.core.policy import averaged
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.training.campaign import Campaign, plan_windows, run_campaign
from trading_platform.training.export import check_export_path, write_export
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


@pytest.mark.parametrize(
    ("features", "hidden", "network"),
    [(TrainingSetup().features, (), "each"), (TrainingSetup().features, (4,), "each"), (("market",), (3,), "all")],
)
def test_the_documented_reader_answers_as_the_engine_does_without_this_project(
    features: tuple[str, ...], hidden: tuple[int, ...], network: str, tmp_path: Path
) -> None:
    world = prepared_market(2, 1000)
    setup = TrainingSetup(algo="gradient", ridge=0.01, cost_bps=0.0, features=features, hidden=hidden)
    campaign = Campaign(
        arena=Arena(world, (world,), setup, no_env),
        plan=plan_windows(world, "single", None, 60),
        seeds=(1, 2),
        jobs=1,
        registry=ModelRegistry(tmp_path / "models"),
        now=datetime(2026, 1, 5, tzinfo=UTC),
        data_source="test",
        data_hash="h",
        risk_fingerprint="r",
    )
    stored = campaign.registry.load(run_campaign(campaign).model_id)
    assert (stored.policy.network.n_members, stored.policy.layout is None) == (2, network == "all")
    assert averaged([stored.policy.network]).n_members == 2
    written = write_export(tmp_path / "policy.npz", stored)
    assert [path.name for path in written] == ["policy.npz", "policy.json"]
    assert json.loads(written[1].read_text())["network"] == network
    manifest, rows = stored.manifest, observations(world)
    expected = policy_answers(
        world, stored.policy, np.array(manifest.base_weights), manifest.action_kind, manifest.action_scale, False
    ).weights
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
