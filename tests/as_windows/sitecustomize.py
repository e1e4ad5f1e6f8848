"""Python loads this at its start in every process of a suite that runs with TRADING_TESTS_AS=windows (conftest).

It hides what Windows has not, so that the engine's own processes meet the same world as the tests that start them.
"""

import sys
from contextlib import suppress

MISSING_ON_WINDOWS = ("fcntl", "resource", "termios", "pwd", "grp")

with suppress(ImportError):
    import filelock  # noqa: F401 - first: its lock by fcntl stands for the kernel lock that it has on Windows

sys.modules.update(dict.fromkeys(MISSING_ON_WINDOWS))  # type: ignore[arg-type] # None: importing it fails
