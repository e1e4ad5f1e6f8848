"""The first start compiles the decision core for this processor, half a minute's work: say so, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from trading_platform.core.compiled import is_kept, on_compiling

FUNCTIONS = 164  # that a first replay compiles, counted on 2026-11-28: good enough for a percentage
PAUSE_SECONDS = 3.0
LAST_PERCENT = 99


class CompilingWords:
    """Tells, every few seconds while functions are compiled, what is going on.

    Parameters
    ----------
    tell
        Takes a line.
    clock
        Seconds, steady.
    """

    def __init__(self, tell: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._count = 0
        self._since = 0.0
        self._told: float | None = None

    def begin(self) -> None:
        """Count one function more that begins to be compiled."""
        now = self._clock()
        if self._count == 0:
            self._since = now
        self._count += 1
        if self._told is None or now - self._told >= PAUSE_SECONDS:
            self._told = now
            self._tell(self._words(now - self._since))

    def _words(self, seconds: float) -> str:
        head = "compiling for this machine, once" if is_kept() else "compiling, at each start (see docs/operations.md)"
        if self._count == 1:
            return f"{head}: about half a minute"
        percent = min(100 * self._count // FUNCTIONS, LAST_PERCENT)
        return f"{head}: {percent} % ({seconds:.0f} s)"


def tell_compiling(tell: Callable[[str], object]) -> None:
    """From now on give `tell` a line when this process compiles, and every few seconds while it does."""
    on_compiling(CompilingWords(tell).begin)
