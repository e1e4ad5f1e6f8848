"""What must be installed is told once, and what is missing is one line with its cure before any work begins."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.machine import packages
from trading_platform.machine.packages import NEEDED, PACKAGES, check_at_start, cure, missing, require

ROOT = Path(__file__).parents[2]
NOT_THERE = "no_such_package_anywhere"


def groups() -> dict[str, list[str]]:
    """Return the requirement lines of the project by group; "all" only repeats the others."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"core": told["dependencies"], **{n: v for n, v in told["optional-dependencies"].items() if n != "all"}}


def names(lines: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0] for line in lines}


def test_the_table_names_the_packages_of_the_project() -> None:
    assert {group: names(lines) for group, lines in groups().items()} == {
        group: names(list(known.values())) for group, known in PACKAGES.items()
    }


def test_the_requirements_file_means_everything() -> None:
    text = (ROOT / "requirements-trading-platform.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    listed = {line for line in lines if line and not line.startswith("-")}
    # Ray is 200 MB and nothing to one machine: whoever has a cluster installs [cluster]
    everything = [line for group, lines in groups().items() if group != "cluster" for line in lines]
    assert listed == {line.partition(";")[0] for line in everything}


def test_every_package_of_the_requirements_is_pinned() -> None:
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    wanted = {name.lower().replace("_", "-") for known in PACKAGES.values() for name in names(list(known.values()))}
    assert wanted - pinned == set()


def test_what_is_not_there_is_found_without_importing_it() -> None:
    assert missing(["json", NOT_THERE, "numpy"]) == [NOT_THERE]


def test_a_missing_package_is_told_by_the_name_under_which_it_is_installed() -> None:
    words = cure(["alpaca", "stable_baselines3"])
    assert words.startswith("the packages alpaca-py, stable-baselines3 are not installed")
    assert f"{sys.executable} -m pip install alpaca-py stable-baselines3" in words
    assert cure(["torch"]).startswith("the package torch is not installed")


def test_work_is_refused_by_name_and_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    require(["numpy"], "training")
    monkeypatch.setattr(packages, "missing", lambda _: ["torch"])
    with pytest.raises(FixConfigError, match=r"^training: the package torch is not installed .* pip install torch"):
        require(["torch", "numpy"], "training")


def test_a_start_without_a_needed_package_ends_with_two_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_at_start()
    monkeypatch.setattr(packages, "NEEDED", (*NEEDED, NOT_THERE))
    monkeypatch.setitem(packages.PACKAGES["core"], NOT_THERE, "no-such-package")
    with pytest.raises(SystemExit) as stopped:
        check_at_start()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: the package no-such-package is not installed")
    assert told.count("\n") == 1


BLOCKER = """
import importlib.abc, runpy, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.path.insert(0, {root!r})
sys.argv = [{script!r}, *{words!r}]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.parametrize("blocked", NEEDED)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("autonomous_trading_engine.py", ["--once"]),
        ("daily_report.py", []),
        ("train_rl_model.py", ["--episodes", "1"]),
    ],
)
def test_a_script_without_a_needed_package_says_which_and_ends_with_two(
    tmp_path: Path, blocked: str, script: str, words: list[str]
) -> None:
    program = BLOCKER.format(blocked=blocked, root=str(ROOT), script=str(ROOT / script), words=words)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert f"the package {PACKAGES['core'][blocked]} is not installed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
