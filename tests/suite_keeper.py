"""Ends the processes that a test run has left behind: those with its token in their environment.

Started by conftest with a pipe on standard input, which closes when the test run ends, also by SIGKILL. Only Linux
shows other processes' environments; elsewhere nothing is ended.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")


def left_behind(token: str) -> list[int]:
    """Return the processes, but for this one, that carry `token`."""
    word = f"={token}".encode()
    found = []
    for folder in PROCESSES.glob("[0-9]*"):
        with suppress(OSError):
            if word in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def main() -> None:
    """Wait for the end of standard input, then end what is left, and what that had started meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(3):
        for pid in left_behind(sys.argv[1]):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
