"""Compiled and plain Python are the same source; here they give the same bits on a market with every trouble."""

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
    environment = {**os.environ, "NUMBA_DISABLE_JIT": disable_jit, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.parity.kernel_digest"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba there is only plain Python")
def test_compiled_and_plain_python_give_the_same_bits() -> None:
    compiled, plain = digests_of_a_process("0"), digests_of_a_process("1")
    assert (compiled.pop("compiled"), plain.pop("compiled")) == (True, False)
    assert compiled == plain
    for profile in ("conservative", "aggressive"):
        fills, halted, *_ = compiled[f"counts {profile}"]
        assert fills > 50  # there was something to compare
        assert halted > 0  # with a shadow book at work


def test_digest_moves_with_the_last_bit() -> None:
    import numpy as np
    from kernel_digest import digest

    values = np.array([1.0, np.nan])
    assert digest(values) != digest(np.nextafter(values, 2.0))
    assert digest(values) == digest(np.array([1.0, -np.nan]))
