"""The package as people install it: built, put into an environment of its own, used from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the wheel")
pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
PATIENCE = 200
FLAT = (
    "autonomous_trading_engine",
    "daily_report",
    "risk_config",
    "risk_manager",
    "rl_environment",
    "rl_strategy_allocator",
    "train_rl_model",
)


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATABASE_URL")}
    return subprocess.run(
        words, cwd=cwd, env=kept, capture_output=True, text=True, timeout=PATIENCE, check=False, encoding="utf-8"
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of commands of an environment that holds the wheel, and what it stands on by reference."""
    place = tmp_path_factory.mktemp("place")
    venv.create(place / "env", with_pip=False)
    commands = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = commands / "python"
    done = run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        str(wheel),
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    found = run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).stdout.strip()
    (Path(found) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return commands


def test_the_wheel_holds_every_module_and_file_of_the_program_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = run("git", "ls-files", "trading_platform", *(f"{name}.py" for name in FLAT), cwd=ROOT).stdout.split()
    if not tracked:
        pytest.skip("not a checkout of git")
    there = {name for name in tracked if (ROOT / name).is_file()}
    assert there - packed == set()
    assert {name for name in packed - there if name.endswith((".db", ".nbi", ".nbc", ".pyc", ".env", ".toml"))} == set()


def test_every_flat_module_is_imported_from_the_environment(installed: Path, tmp_path: Path) -> None:
    program = f"import importlib, json; print(json.dumps([importlib.import_module(n).__file__ for n in {FLAT!r}]))"
    done = run(str(installed / "python"), "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(Path(file).is_relative_to(installed.parent) for file in json.loads(done.stdout))


def test_the_commands_replay_and_report_in_another_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "trading.toml").write_text("[engine]\nreplay_sessions = 5\n", encoding="utf-8")
    done = run(str(installed / "trading-engine"), "--quiet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sessions"] == 5
    report = run(str(installed / "trading-report"), cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["account"]["equity"] > 0
    models = run(str(installed / "trading-train"), "models", "list", "--json", cwd=tmp_path)
    assert (models.returncode, json.loads(models.stdout)) == (0, []), models.stderr
    assert not any((installed.parent).rglob("*.db"))
