"""A new cap is four files: its code, its row and numbers, its limit, its setting. Everybody else learns of it.

The package is copied, the cap written in, and a process of its own asks kernel, RiskManager, explanation and report.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trading_platform.core.compiled import HAS_NUMBA

ROOT = Path(__file__).parents[2]
CODES, CAPS, LIMITS, SETTINGS = (
    "trading_platform/core/risk/denial_codes.py",
    "trading_platform/core/risk/caps.py",
    "trading_platform/core/risk/limits.py",
    "trading_platform/configuration/risk_config.py",
)
CODE = '    DOLLAR_LIMIT = "DOLLAR_LIMIT", "the position would exceed its dollars"\n'
ROW = '    Cap(DenialCode.DOLLAR_LIMIT, "dollars", "dollars", "dollars", is_share=False),\n'
NUMBERS = "    if cap == DOLLARS:\n        return Room(measures.position, 1.0, limits.max_dollars)\n"
SETTING = '    max_dollars: Annotated[float, Interval("(0, 1000000000]")] = 1_000.0\n'
# A cap on the dollars of one position, whatever the equity: file, what stands there, what is put before it.
EDITS = [
    (CODES, "    TICKER_QUARANTINED = (\n", CODE),
    (CAPS, ")\nN_CAPS = len(CAPS)", ROW),
    (CAPS, " = range(N_CAPS)", ", DOLLARS"),
    (CAPS, "    return Room(measures.reserved, 1.0, cash)\n", NUMBERS),
    (LIMITS, "    min_slot: float\n", "    max_dollars: float\n"),
    (SETTINGS, "    max_reviews: Count = 25\n", SETTING),
]
QUESTIONS = """
import json
import numpy as np
from tests.risk_world import buy, desk, holding
from tests.lot_world import LotStory, says, story_panel, story_rules
from trading_platform.core.compiled import HAS_NUMBA
from trading_platform.core.risk.denial_codes import DENIAL_CODES
from trading_platform.core.types import Denial

risk = desk(99_500.0, [holding("T00", 500.0)])
told = risk.explain("T00", "buy", 6.0, 100.0)
run = LotStory(story_panel({"X": [100.0] * 3}), [says([1.0, 0.0, 0.0])], story_rules(min_slot_pct=0.0))
run.until(1)
denial = risk.approve(buy("T00", 6.0))
print(json.dumps({
    "numba": HAS_NUMBA,
    "check": risk.validate_order("T00", "buy", 6.0, 100.0)[1],
    "passes": risk.validate_order("T00", "buy", 5.0, 100.0)[1],
    "denial": denial.code.value if isinstance(denial, Denial) else "",
    "explained": [c.code.value for c in told.checks if not c.passed],
    "largest": told.largest_quantity,
    "size": risk.calculate_position_size("T00", 1.0, 1e9),
    "report": [row["rule"] for row in risk.get_risk_report()["headroom"]],
    "kernel": float(run.slot("X")["quantity"]),
}))
"""


def copied(folder: Path) -> Path:
    """Return a copy of everything that the questions import."""
    for name in ("trading_platform", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    for module in ROOT.glob("*.py"):
        shutil.copy(module, folder / module.name)
    return folder


def ask(folder: Path, *, numba: bool) -> dict[str, Any]:
    blocked = "" if numba else "import sys\nsys.modules['numba'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", blocked + QUESTIONS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def with_cap(folder: Path) -> set[str]:
    """Write the cap into the copy; return the files touched."""
    for name, mark, new in EDITS:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(mark) == 1, (name, mark)
        path.write_text(text.replace(mark, new + mark), encoding="utf-8")
    return {name for name, _, _ in EDITS}


@pytest.mark.parametrize(
    "numba",
    [False, pytest.param(True, marks=[pytest.mark.skipif(not HAS_NUMBA, reason="numba is absent"), pytest.mark.slow])],
)
def test_new_cap_is_four_files_and_reaches_everyone(tmp_path: Path, numba: bool) -> None:
    folder = copied(tmp_path)
    assert len(with_cap(folder)) == 4
    told = ask(folder, numba=numba)
    assert told["numba"] is numba
    assert told["check"].startswith("DOLLAR_LIMIT: T00 1100 dollars > 1000")
    assert told["passes"] == "OK"
    assert told["denial"] == "DOLLAR_LIMIT"
    assert told["explained"] == ["DOLLAR_LIMIT"]
    assert (told["largest"], told["size"]) == (5.0, 500.0)
    assert "dollars" in told["report"]
    assert told["kernel"] == 10.0


def test_without_the_cap_nobody_knows_of_it(tmp_path: Path) -> None:
    told = ask(copied(tmp_path), numba=False)
    assert (told["check"], told["explained"], told["kernel"]) == ("OK", [], 50.0)
    assert "dollars" not in told["report"]
