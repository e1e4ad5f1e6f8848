"""A new cap is three files: its entry in the table, its limit, its story. Everybody else learns of it.

The package is copied, the cap written in, and the tests that hold for every cap are run on the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trading_platform.core.compiled import HAS_NUMBA

ROOT = Path(__file__).parents[2]
TABLE, LIMIT, STORY = (
    "trading_platform/core/risk/denial_codes.py",
    "trading_platform/core/risk/limits.py",
    "tests/unit/test_risk_caps_table.py",
)
# A cap on a position while VIX is above twice its threshold: file, what stands there, what is put before it.
EDITS = [
    (
        TABLE,
        '    VIX_LIMIT = "VIX_LIMIT"',
        '    STORM_LIMIT = "STORM_LIMIT", "the position would exceed its cap in a storm"\n',
    ),
    (
        TABLE,
        "    Cap(DenialCode.VIX_LIMIT",
        '    Cap(DenialCode.STORM_LIMIT, "position_in_storm", "dollars", "position"),\n',
    ),
    (TABLE, "VIX, SECTOR, EXPOSURE, CASH = ", "STORM, "),
    (
        TABLE,
        "    if cap == VIX:\n",
        "    if cap == STORM:\n"
        "        return Room(measures.position, 1.0, (limits.max_storm if vix_scale < 0.5 else 1.0) * equity)\n",
    ),
    (
        LIMIT,
        "        allow_short  ",
        "        max_storm_pct            one ticker while VIX is above twice its threshold\n",
    ),
    (LIMIT, "    allow_short: bool", "    max_storm_pct: Percent = 2.0\n"),
    (LIMIT, "    min_slot: float\n", "    max_storm: float\n"),
    (
        STORY,
        "    DenialCode.VIX_LIMIT: (EMPTY",
        "    DenialCode.STORM_LIMIT: (EMPTY._replace(position=1_950.0, is_new=False), 60.0),\n",
    ),
]
DERIVED = ("-m tests.risk_docs", "tools/docs_reference.py")  # what writes the tables in the documentation
HOLDS = (  # for every cap and every limit
    "tests/unit/test_risk_caps_table.py",
    "tests/unit/test_risk_docs.py",
    "tests/unit/test_config_file.py::test_example_uncommented_holds_every_setting_with_its_default",
    "tests/unit/test_config_file.py::test_example_explains_every_setting",
    "tests/unit/test_risk_config_limits.py",
)


def copied(folder: Path) -> Path:
    """Return a copy of what the program, its tests and its documentation are made of."""
    for name in ("trading_platform", "tests", "tools", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    for file in (*ROOT.glob("*.py"), ROOT / "pyproject.toml", ROOT / "trading.example.toml"):
        shutil.copy(file, folder / file.name)
    return folder


def with_cap(folder: Path, *, leaving_out: str = "") -> set[str]:
    """Write the cap into the copy, without what goes before the text `leaving_out`; return the files touched."""
    edits = [edit for edit in EDITS if edit[1] != leaving_out]
    assert len(edits) == len(EDITS) - bool(leaving_out)
    for name, mark, new in edits:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(mark) == 1, (name, mark)
        path.write_text(text.replace(mark, new + mark), encoding="utf-8")
    return {name for name, _, _ in edits}


def run(folder: Path, words: str, *, numba: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy."""
    python = [sys.executable] if numba else [sys.executable, "-c", WITHOUT_NUMBA]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([*python, *words.split()], cwd=folder, env=environment, capture_output=True, text=True)


# `python -m MODULE ...` and `python FILE ...` of a machine that has no numba
WITHOUT_NUMBA = """
import runpy, sys
sys.modules["numba"] = None
sys.path.insert(0, "")
del sys.argv[0]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    "numba",
    [False, pytest.param(True, marks=[pytest.mark.skipif(not HAS_NUMBA, reason="numba is absent"), pytest.mark.slow])],
)
def test_new_cap_is_three_files_and_reaches_everyone(tmp_path: Path, numba: bool) -> None:
    folder = copied(tmp_path)
    assert len(with_cap(folder)) == 3
    for words in DERIVED:
        made = run(folder, words, numba=numba)
        assert made.returncode == 0, made.stdout + made.stderr
    held = run(folder, f"-m pytest -q -p no:cacheprovider {' '.join(HOLDS)}", numba=numba)
    assert held.returncode == 0, held.stdout + held.stderr
    assert "| `STORM_LIMIT` | the position would exceed its cap in a storm |" in (folder / "docs/risk.md").read_text()


@pytest.mark.parametrize("forgotten", ["    if cap == VIX:\n", "    DenialCode.VIX_LIMIT: (EMPTY"])
def test_a_cap_without_its_numbers_or_its_story_is_noticed(tmp_path: Path, forgotten: str) -> None:
    folder = copied(tmp_path)
    with_cap(folder, leaving_out=forgotten)
    held = run(folder, "-m pytest -q -p no:cacheprovider -x tests/unit/test_risk_caps_table.py")
    assert held.returncode == 1, held.stdout + held.stderr
