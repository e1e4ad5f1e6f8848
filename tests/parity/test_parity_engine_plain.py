"""Compiled and plain Python: one source, the same trades, money, denials and halts to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PROGRAM = """
import json, sys, tempfile
from dataclasses import asdict, replace
from pathlib import Path
sys.path[:0] = [".", sys.argv[1]]
from test_parity_engine_generated import trouble_case
from parity_world import assert_same, engine, kernel
from trading_platform.core.risk.rules import drawdown_of

out = [hasattr(drawdown_of, "py_func")]
for fills in ("exact", "realistic"):
    case = replace(trouble_case(3, thin=False), fills=fills)
    trail, result = kernel(case, 21, 160)
    with tempfile.TemporaryDirectory() as folder:
        assert_same(engine(case, Path(folder), 21, 160), trail)
    out += [asdict(trail), [array.tobytes().hex() for array in result.books]]
print(json.dumps(out, default=str))
"""


def run(**environment: str) -> tuple[bool, object]:
    """Return (was it compiled, everything that came out) of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(HERE)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    compiled, *rest = json.loads(done.stdout)
    return compiled, rest


def test_compiled_and_plain_engine_and_kernel_give_the_same_bits() -> None:
    pytest.importorskip("numba", reason="without numba there is only plain Python")
    compiled, fast = run()
    plain, slow = run(NUMBA_DISABLE_JIT="1")
    assert (compiled, plain) == (True, False)
    assert fast == slow
