"""Lots, targets, crossings, events and interest give the same bits compiled and as plain Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trading_platform.core.compiled import HAS_NUMBA

ROOT = Path(__file__).parents[2]


def digests_of_a_process(disable_jit: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.lots_digest"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": disable_jit, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba there is only plain Python")
def test_books_of_both_forms_give_the_same_bits_with_and_without_the_compiler() -> None:
    compiled, plain = digests_of_a_process("0"), digests_of_a_process("1")
    assert compiled == plain
    for profile in ("conservative", "aggressive"):
        fills, crossed, reasons = compiled[f"counts {profile}"]
        assert fills > 100  # there was something to compare
        assert crossed > 3
        assert reasons > 4
