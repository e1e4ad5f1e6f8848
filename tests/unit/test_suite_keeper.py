"""No process outlives the test run that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

KEEPER = Path(__file__).parents[1] / "suite_keeper.py"
SLEEPER = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def sleeper(token: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(SLEEPER, env={**os.environ, "SUITE_TOKEN": token}, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_keeper_when_its_pipe_closes_ends_what_carries_its_token_and_nothing_else() -> None:
    token = uuid.uuid4().hex
    ours, others = sleeper(token), sleeper(uuid.uuid4().hex)
    keeper = subprocess.Popen([sys.executable, str(KEEPER), token], stdin=subprocess.PIPE)
    assert ours.poll() is None
    assert keeper.stdin is not None
    keeper.stdin.close()
    assert keeper.wait(timeout=60) == 0
    assert ours.wait(timeout=60) == -9
    assert others.poll() is None
    others.kill()
    others.wait()
    for process in (ours, others):
        assert process.stdout is not None
        process.stdout.close()
