"""The two commands of the README find a Python, and install what the job needs and no more."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="make and sh are not on Windows")


@pytest.fixture(scope="module")
def setup() -> ModuleType:
    told = importlib.util.spec_from_file_location("setup_venv", ROOT / "tools" / "setup_venv.py")
    assert told is not None and told.loader is not None
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


def find_python(path: str) -> str:
    words = [shutil.which("sh") or "/bin/sh", str(ROOT / "tools" / "find_python.sh")]
    return subprocess.run(words, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=True).stdout


def pretend(folder: Path, name: str, fits: bool) -> Path:
    """Put a program into `folder` that answers as a Python of a version that fits, or one that does not."""
    program = folder / name
    program.write_text(f"#!/bin/sh\nexit {0 if fits else 1}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_a_python_that_is_too_old_is_passed_over_for_one_that_fits(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", fits=False)
    newer = pretend(tmp_path, "python3.13", fits=True)
    assert find_python(str(tmp_path)).split() == [str(newer)]


def test_the_plain_name_is_taken_where_it_is_the_only_one(tmp_path: Path) -> None:
    only = pretend(tmp_path, "python3", fits=True)
    assert find_python(str(tmp_path)).split() == [str(only)]


def test_where_no_python_fits_make_says_so_and_how_to_name_one(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", fits=False)
    assert find_python(str(tmp_path)) == ""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "setup_venv.py").touch()
    done = subprocess.run(
        ["make", "run", "PYTHON="], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "No Python 3.11 to 3.14 was found" in done.stdout
    assert "make run PYTHON=/path/to/python" in done.stdout


def test_the_core_has_neither_torch_nor_what_only_some_need(setup: ModuleType) -> None:
    core = {setup.name_of(line) for line in setup.requirements(["core"])}
    assert core.isdisjoint({"torch", "stable-baselines3", "gymnasium", "pyarrow", "yfinance", "matplotlib", "apprise"})
    assert {"numpy", "numba", "SQLAlchemy", "alpaca-py"} <= core


def test_everything_is_the_core_and_all_extras_once(setup: ModuleType) -> None:
    lines = setup.requirements(["all"])
    assert len(lines) == len(set(lines))
    assert {"torch", "pyarrow", "matplotlib", "numpy"} <= {setup.name_of(line) for line in lines}
    assert not any(line.startswith("trading-platform") for line in lines)
    assert set(lines) < set(setup.requirements(["dev"]))


def refusals(pins: dict[str, str], pythons: tuple[str, ...]) -> list[str]:
    """Return which pinned packages do not run on one of `pythons`; `pins` is name -> its Requires-Python."""
    return [
        f"{name} needs Python {fits}: not {python}"
        for name, fits in pins.items()
        for python in pythons
        if python not in SpecifierSet(fits)
    ]


def test_every_pinned_package_runs_on_the_oldest_python_of_each_series() -> None:
    """Debian 12 has 3.11.2: a pin that asked for 3.11.5 let pip look for minutes for a set that there was not."""
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name = line.partition("==")[0]
        try:
            pins[name] = metadata(name)["Requires-Python"] or ""
        except PackageNotFoundError:
            continue  # an extra that this environment has not
    assert len(pins) > 50
    assert refusals(pins, ("3.11.0", "3.12.0", "3.13.0")) == []


def test_a_package_that_asks_for_a_later_patch_of_python_is_named() -> None:
    assert refusals({"soupsieve": ">=3.11.5", "numpy": ">=3.11"}, ("3.11.0", "3.12.0")) == [
        "soupsieve needs Python >=3.11.5: not 3.11.0"
    ]


def test_an_unknown_group_is_refused_with_those_that_are(setup: ModuleType) -> None:
    with pytest.raises(SystemExit, match="'torch' is no group of packages; there are core, train"):
        setup.requirements(["torch"])


def test_pips_hundreds_of_lines_become_one_that_tells_how_far_it_is(
    setup: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = setup.Screen()
    for line in ("Collecting numpy>=2.0", "  Downloading numpy-2.4.6-cp311.whl (16.9 MB)", "Requirement already"):
        screen.see(line)
    screen.see("Installing collected packages: numpy, pandas")
    shown = capsys.readouterr().out
    assert "1 packages, 0 MB: numpy" in shown
    assert "unpacking 2 packages" in shown
    assert "already" not in shown
