"""The first start says that it compiles, and how far it is; where nothing can be kept it goes on without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trading_platform.core import compiled
from trading_platform.machine import first_compile
from trading_platform.machine.first_compile import FUNCTIONS, CompilingWords

ROOT = Path(__file__).parents[2]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_function_tells_what_is_going_on_and_how_long_it_takes() -> None:
    told: list[str] = []
    CompilingWords(told.append, Clock()).begin()
    assert told == ["compiling for this machine, once: about half a minute"]


def test_later_functions_tell_how_far_it_is_every_few_seconds() -> None:
    told: list[str] = []
    clock = Clock()
    words = CompilingWords(told.append, clock)
    for _ in range(FUNCTIONS // 2):
        words.begin()
    assert len(told) == 1
    clock.now += 4.0
    words.begin()
    assert told[1:] == ["compiling for this machine, once: 50 % (4 s)"]


def test_more_functions_than_expected_never_pass_ninety_nine_percent() -> None:
    told: list[str] = []
    clock = Clock()
    words = CompilingWords(told.append, clock)
    for _ in range(3 * FUNCTIONS):
        clock.now += 4.0
        words.begin()
    assert "99 %" in told[-1]


def test_where_nothing_is_kept_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_compile, "is_kept", lambda: False)
    told: list[str] = []
    CompilingWords(told.append, Clock()).begin()
    assert told[0].startswith("compiling, at each start")


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from trading_platform.core.compiled import is_kept
from trading_platform.core.fills import round_cents
from trading_platform.machine.first_compile import tell_compiling
told = []
tell_compiling(told.append)
print(round_cents(1.006), is_kept(), len(told))
"""


@pytest.mark.skipif(not compiled.HAS_NUMBA, reason="nothing is compiled without numba")
def test_a_program_in_a_folder_that_cannot_be_written_and_without_a_home_still_works(tmp_path: Path) -> None:
    if os.name == "nt" or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("needs to give up the rights of root")
    shutil.copytree(
        ROOT / "trading_platform", tmp_path / "trading_platform", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    given_up = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*given_up, sys.executable, "-B", "-c", PROGRAM.format(root=str(tmp_path))],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "none")},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    assert done.stdout.split() == ["1.01", "False", "1"], done.stderr
