"""Ends an engine that has stopped looking: orders rest at the broker, the book is in the database, a restart is safe.

What counts is that looks at the account happen, not that the process lives: a loop that waits for ever beats its heart
and trades nothing. Every request has a timeout and every wait an end, so this should never happen. If it does (a
database that locks for ever, a disk that hangs), a process that looks alive and does nothing is worse than
one that is gone.

A process that was stopped as a whole (SIGSTOP, a paused container, a machine that slept) has not hung: this thread
stood still with it, and the look gets that time back.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

log = logging.getLogger("trading_platform.machine.watchdog")

STALLED = 9  # exit code
STALL_AFTER = 900.0  # seconds; the longest honest scan, a first history with every retry, takes a few minutes
LOOK_EVERY = 15.0
FROZEN = 60.0  # seconds by which this thread is late where the whole process stood still; a busy machine's are fewer


def end_process() -> None:
    """End this process at once, with exit code 9."""
    logging.shutdown()
    os._exit(STALLED)


class Watchdog:
    """A thread that acts when nobody has called `pet` for too long.

    Parameters
    ----------
    limit
        Seconds by which a look may be late.
    act
        What to do then; by default the process ends with exit code 9.
    monotonic
        Seconds from any start.
    """

    def __init__(
        self,
        limit: float = STALL_AFTER,
        act: Callable[[], None] = end_process,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._act = act
        self._monotonic = monotonic
        self._seen = self._awake = monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self.pet()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def pet(self, rest: float = 0.0) -> None:
        """Say that a look begins or is over, and that the next may be `rest` seconds away."""
        self._seen = self._monotonic() + rest

    def wake(self, slept: float) -> None:
        """Give the look the time back in which the process stood still: this thread meant to sleep for `slept`."""
        late = self._monotonic() - self._awake - slept
        if late > FROZEN:
            log.warning("the process stood still for %.0f s", late)
            self._seen += late
        self._awake = self._monotonic()

    def check(self) -> bool:
        """Act if the engine has stalled; return True if it has."""
        still = self._monotonic() - self._seen
        if not still > self._limit:
            return False
        log.critical(
            "the look at the account is %.0f s late: the engine ends with exit code %d; orders rest at the broker, "
            "start it again",
            still,
            STALLED,
        )
        self._act()
        return True

    def _watch(self) -> None:
        pause = min(LOOK_EVERY, self._limit / 4.0)
        self._awake = self._monotonic()
        while not self._ended.wait(pause):
            self.wake(pause)
            if self.check():
                return
