"""A model trained by the command, promoted by hand, answers in nearly all sessions that were kept back from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

from tools.demo_rl import KEPT_BACK, planted_folder

REPOSITORY = Path(__file__).resolve().parents[2]


def command(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / program), *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_promoted_model_serves_nearly_all_of_the_year_that_was_kept_back(tmp_path: Path) -> None:
    days = planted_folder(tmp_path / "planted")
    trained = command(tmp_path, "train_rl_model.py", "--data-dir", "planted", "--algo", "gradient", "--json")
    assert trained.returncode in (0, 10), trained.stderr
    model_id = json.loads(trained.stdout)["model_id"]
    promoted = command(tmp_path, "train_rl_model.py", "models", "promote", model_id, "--reason", "to see", "--yes")
    assert promoted.returncode == 0, promoted.stderr
    replay = command(
        tmp_path,
        "autonomous_trading_engine.py",
        "replay",
        "--data-dir",
        "planted",
        "--start",
        days[-KEPT_BACK],
        "--no-page",
        "--json",
    )
    assert replay.returncode == 0, replay.stderr
    used = json.loads(replay.stdout)["allocation"]
    assert sum(used["sessions"].values()) >= KEPT_BACK - 1
    assert used["sessions"].get("model", 0) >= 240, used
