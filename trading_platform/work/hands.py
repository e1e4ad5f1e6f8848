"""Who does tasks, as `map_tasks` sees them, and the simplest of them: this process."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from trading_platform.work.job import Job


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """A task's result."""

    number: int
    result: Any


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A task raised: it would elsewhere, too."""

    number: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Lost:
    """A task's worker is gone, `why` as far as known: the task may run elsewhere."""

    number: int
    why: str


Ended = Done | Failed | Lost


class Hands(Protocol):
    """Workers of one job."""

    def room(self) -> int:
        """Return how many tasks may be in hand at once."""

    def start(self, number: int, task: Any) -> None:
        """Take a task in hand."""

    def wait(self) -> Ended:
        """Return the next task in hand that has ended."""

    def drop(self) -> None:
        """Let go of everything in hand, without its results."""

    def close(self) -> None:
        """End the workers."""


class OwnHands:
    """Does tasks in this process, one after the other."""

    def __init__(self, job: Job[Any, Any, Any]) -> None:
        self._job = job
        self._waiting: deque[tuple[int, Any]] = deque()

    def room(self) -> int:
        """Return 1."""
        return 1

    def start(self, number: int, task: Any) -> None:
        """Take a task in hand."""
        self._waiting.append((number, task))

    def wait(self) -> Ended:
        """Do the next task; what it raises is raised as it is, with its own traceback."""
        number, task = self._waiting.popleft()
        return Done(number, self._job.run(self._job.shared, task))

    def drop(self) -> None:
        """Forget what has not begun."""
        self._waiting.clear()

    def close(self) -> None:
        """Nothing was opened."""
