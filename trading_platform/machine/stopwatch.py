"""Seconds by stage of a run; compiling, and loading what was compiled before, is a stage of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

COMPILE = "compile"

try:
    from numba.core.event import Event, Listener, register
except ImportError:

    def compile_seconds() -> float:
        """Return 0: without numba nothing is compiled."""
        return 0.0
else:

    class _CompileClock(Listener):
        """Adds up the time between numba's taking and giving back of its compiler lock, the outermost of each."""

        def __init__(self) -> None:
            self.seconds = 0.0
            self._depth = 0
            self._since = 0.0

        def on_start(self, event: Event) -> None:
            """Start with the outermost function; those that it calls are compiled or loaded within."""
            if self._depth == 0:
                self._since = time.perf_counter()
            self._depth += 1

        def on_end(self, event: Event) -> None:
            """Add the time since the start."""
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - self._since

    _CLOCK = _CompileClock()
    register("numba:compiler_lock", _CLOCK)  # type: ignore[no-untyped-call]

    def compile_seconds() -> float:
        """Return the seconds that numba has spent in this process so far."""
        return _CLOCK.seconds


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    _compiled: float = 0.0

    def start(self) -> float:
        """Return the time now, from which the next stage is booked."""
        self._compiled = compile_seconds()
        return time.perf_counter()

    def add(self, stage: str, since: float) -> float:
        """Book the time since `since` on `stage`, less what was compiled in it, and return the time now."""
        now, compiled = time.perf_counter(), compile_seconds()
        spent = now - since
        if compiled > self._compiled:
            spent -= compiled - self._compiled
            self.seconds[COMPILE] = self.seconds.get(COMPILE, 0.0) + compiled - self._compiled
            self._compiled = compiled
        self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
        return now
