"""A process that holds a run, as an engine does: a file's lock or a server's lease."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOLD = """
import os, signal, sys
from datetime import UTC, datetime
from trading_platform.storage.database import open_database
from trading_platform.storage.runs import RunLock
lock = RunLock(open_database(sys.argv[1]), 1)
lock.acquire(datetime.now(UTC))
print(os.getpid(), flush=True)
if sys.argv[2] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(7)  # number 1 of a namespace is not killed by itself: it goes without a word all the same
sys.stdin.read()
if sys.argv[2] == "release":
    lock.release()
"""


def holder(place: Path | str, end: str, *before: str) -> subprocess.Popen[str]:
    """Start one on the database at `place`; it prints its number, and waits for its input to end.

    `end` says how it goes: "die" (killed at once), "stay" (ends with the lock in its hand), "release". `before` are
    words of the command that starts it.
    """
    return subprocess.Popen(
        [*before, sys.executable, "-c", HOLD, str(place), end],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
