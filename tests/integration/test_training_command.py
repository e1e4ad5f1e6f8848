"""train_rl_model.py as a person or a scheduler runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(REPOSITORY / "train_rl_model.py")]
SMALL = ["--episodes", "40", "--eval-freq", "20", "--seeds", "1", "--set", "n_universes=0", "--set", "hidden=4"]


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, where nothing of this machine's settings is."""
    return subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True, check=False)


def test_train_prints_one_object_twice_the_same_and_the_registry_can_be_looked_after(tmp_path: Path) -> None:
    outcomes = []
    for models in ("first", "second"):
        done = command(tmp_path, *SMALL, "--models-dir", models, "--json")
        assert done.returncode in (0, 10), done.stderr
        told = json.loads(done.stdout)
        assert told["admitted"] is (done.returncode == 0)
        assert told["verdict"].startswith("PASSED" if told["admitted"] else "REFUSED")
        assert (told["trial"] is not None) is told["admitted"]
        assert [Path(tmp_path / path).is_file() for path in told["report"]] == [True, True]
        outcomes.append(told)
    assert outcomes[0]["weights_sha256"] == outcomes[1]["weights_sha256"]  # two processes, one seed

    model_id = outcomes[0]["model_id"]
    first = ("--models-dir", "first")
    assert command(tmp_path, "models", "verify", *first).stdout == f"{model_id}: ok\n"
    assert json.loads(command(tmp_path, "models", "show", model_id, *first).stdout)["model_id"] == model_id
    promoted = command(tmp_path, "models", "promote", model_id, "--reason", "to see", *first)
    assert (promoted.returncode, "WARNING: the gate refused" in promoted.stderr) == (0, not outcomes[0]["admitted"])
    assert command(tmp_path, "models", "list", *first).stdout.startswith(f"* {model_id}  data to ")
    (tmp_path / "first" / model_id / "model.pkl").write_bytes(b"x")
    refused = command(tmp_path, "models", "verify", *first)
    assert refused.returncode == 8
    assert "model.pkl does not belong to a model" in refused.stdout
    assert "none, equal weight is served" in command(tmp_path, "models", "rollback", "--reason", "bad", *first).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--episodes", "0"], 2, "--episodes"),
        (["--set", "gama=1"], 2, "did you mean 'gamma'"),
        (["--set", "gamma=x"], 2, "--set gamma=x"),
        (["--device", "tpu"], 2, "--device must be"),
        (["--walk-forward", "daily"], 2, "--walk-forward must be"),
        (["--walk-forward", "yearly", "--retrain"], 2, "leave --walk-forward out"),
        (["--algo", "pppo"], 2, "algo must be one of ppo, a2c, sac, gradient, was 'pppo'"),
        (["--reward", "profit"], 2, "reward must be one of sharpe, sharpe_difference, mean_variance, utility"),
        (["--net", "big"], 2, "--net big: must look like units a layer"),
        (["--set", "features=regim"], 2, "did you mean 'regime'"),
        (["--export", "policy.pkl"], 2, "ends in .npz"),
        (["--algo", "gradient", "--tensorboard", "curves"], 2, "gradient has none"),
        (["--data-dir", "nowhere"], 6, "nowhere"),
        (["models", "show", "20260101-000000000000"], 8, "there is no model"),
        (["models", "rollback", "--reason", "x"], 2, "no champion to roll back"),
        (["models", "trial", "--data-dir", "."], 2, "add --update"),
    ],
)
def test_a_mistake_is_one_message_and_its_exit_code(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    done = command(tmp_path, *words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "rl_models").exists()


def test_the_trial_is_shown_fed_and_ended_by_hand(tmp_path: Path) -> None:
    said = command(tmp_path, "models", "trial", "--update")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("no trial in rl_models: nothing was admitted yet\nNothing stands trial.")
    assert not (tmp_path / "rl_models").exists()
    (tmp_path / "rl_models").mkdir()
    (tmp_path / "rl_models" / "trial.json").write_text("{")
    damaged = command(tmp_path, "models", "trial")
    assert (damaged.returncode, "trial.json" in damaged.stderr) == (8, True)


def test_the_yardstick_trains_without_torch_and_exports_its_policy(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'stable_baselines3', 'gymnasium', 'tensorboard'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "import train_rl_model\n"
        "sys.argv[1:] = {words!r}\n"
        "raise SystemExit(train_rl_model.main())\n"
    )
    small = [*SMALL, "--no-report"]
    done = subprocess.run(
        [sys.executable, "-c", program.format(words=[*small, "--algo", "gradient", "--export", "out.npz"])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 10), done.stderr
    assert "a short run: 40 episodes a fit, one seed, the loaded market alone" in done.stdout.replace("\n", " ")
    assert json.loads((tmp_path / "out.json").read_text())["network"] == "each"
    refused = subprocess.run(
        [sys.executable, "-c", program.format(words=small)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "torch is missing (pip install torch" in refused.stderr
    assert "--algo gradient, which needs none of them" in refused.stderr


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to the jobs it starts in the background: they ignore SIGINT, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_registers_nothing_and_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["--episodes", "200000", "--eval-freq", "20", "--seeds", "1", "--set", "n_universes=0"]
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    ) as process:
        try:
            while not list(tmp_path.glob("rl_models/runs/*/final-1.npz")):
                assert process.poll() is None, process.stderr.read() if process.stderr else ""
                time.sleep(0.05)  # until the first checkpoint is there
            os.kill(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "nothing was registered; the same command continues" in errors
    assert not (tmp_path / "rl_models" / "trials.jsonl").exists()
    assert list(tmp_path.glob("rl_models/2*")) == []
