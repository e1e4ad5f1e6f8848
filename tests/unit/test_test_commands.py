"""The commands that run tests: what is nearest to a change, when the time is up, and what help and markers say."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def quick() -> ModuleType:
    told = importlib.util.spec_from_file_location("quick_tests", ROOT / "tools" / "quick_tests.py")
    assert told is not None and told.loader is not None
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


def test_tests_that_import_a_changed_module_are_chosen_and_others_are_not(quick: ModuleType) -> None:
    chosen = quick.nearest(["trading_platform/core/risk/caps.py"])
    assert "tests/unit/test_risk_caps_table.py" in chosen
    assert "tests/unit/test_data_forms.py" not in chosen
    assert len(chosen) < 20


def test_a_changed_test_is_chosen_itself_and_a_changed_world_by_its_users(quick: ModuleType) -> None:
    assert quick.nearest(["tests/unit/test_data_forms.py"]) == ["tests/unit/test_data_forms.py"]
    assert "tests/unit/test_lots_stories.py" in quick.nearest(["tests/lot_world.py"])
    assert "tests/parity/test_parity_realistic.py" in quick.nearest(["tests/parity/parity_world.py"])


def test_nothing_changed_chooses_nothing(quick: ModuleType) -> None:
    assert quick.nearest([]) == []


def test_unit_tests_come_before_parity_and_integration(quick: ModuleType) -> None:
    kinds = [name.split("/")[1] for name in quick.nearest(["trading_platform/core/types.py"])]
    assert kinds == sorted(kinds, key=quick.ORDER.index)
    assert {"unit", "parity", "integration"} <= set(kinds)


@pytest.mark.parametrize(("seconds", "ran"), [(0.0, "1 passed"), (1e6, "3 passed")])
def test_no_test_begins_when_the_time_is_up(tmp_path: Path, seconds: float, ran: str) -> None:
    (tmp_path / "test_three.py").write_text("def test_a(): ...\ndef test_b(): ...\ndef test_c(): ...\n")
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r})\n"
        f"import pytest, quick_tests\nb = quick_tests.Budget({seconds}, quick_tests.BEGAN, grace=1e6)\n"
        "code = pytest.main(['-p', 'no:cacheprovider', 'test_three.py'], plugins=[b])\n"
        "print(b.is_spent, b.ran, b.selected, quick_tests.failed(code, b))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran in done.stdout
    spent = seconds == 0.0
    assert done.stdout.split()[-4:] == [str(spent), "1" if spent else "3", "3", "False"]


def test_a_test_that_outlasts_the_time_is_interrupted_and_told(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(
        "import pytest, threading\n"
        "def test_a():\n    pytest.budget.interrupt()\n    threading.Event().wait(60)\n"
        "def test_b(): ...\n"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r})\n"
        "import pytest, quick_tests\nb = pytest.budget = quick_tests.Budget(1e6, quick_tests.BEGAN)\n"
        "code = pytest.main(['-p', 'no:cacheprovider', 'test_long.py'], plugins=[b])\n"
        "print(b.cut_short, b.selected, quick_tests.failed(code, b))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-3:] == ["test_long.py::test_a", "2", "False"]


def test_a_failed_test_fails_the_run_also_when_the_time_is_up(quick: ModuleType) -> None:
    budget = quick.Budget(0.0, quick.BEGAN)
    budget.is_spent = True
    assert not quick.failed(pytest.ExitCode.INTERRUPTED, budget)
    budget.has_failed = True
    assert quick.failed(pytest.ExitCode.INTERRUPTED, budget)
    assert quick.failed(pytest.ExitCode.TESTS_FAILED, quick.Budget(1.0, quick.BEGAN))


def test_help_lists_every_target() -> None:
    targets = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    assert targets == set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))


def test_each_test_runs_in_one_command() -> None:
    """A marker that no command of the Makefile asks for would hide its tests."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    kinds = {line.partition(":")[0] for line in settings["markers"]} - {"shared_data"}  # skips by itself
    asked = re.findall(r'-m "?([a-z ]+?)"?(?: \$\$.*)?$', MAKEFILE, re.MULTILINE)
    assert "not slow and not real and not compiles" in asked
    assert {"compiles and not slow and not real", "real and not slow", "slow"} <= set(asked)
    assert kinds == {"slow", "real", "compiles"}
