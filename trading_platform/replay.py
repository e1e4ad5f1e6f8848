"""What a replay has instead of the real thing: a clock that follows the bars, a line per scan."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol

from trading_platform.core.types import ApprovedOrder, Denial, Floats, Regime


class ReplayClock:
    """Time as the replay has it: the close of the session being decided. Between sessions it stands still."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the current instant of the replay, in UTC."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Move to `instant`."""
        self._now = instant


class WallClock:
    """The real time; a close that the engine works on does not move it."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)

    def set(self, instant: datetime) -> None:
        """Accept and ignore: real time is nobody's to set."""


class EngineClock(Protocol):
    """A clock that follows the session being worked on, if it can."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        ...

    def set(self, instant: datetime) -> None:
        """Take notice that work is at `instant`."""
        ...


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM, which then end the work in hand and not the process."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class ScanResult(NamedTuple):
    """What a scan did, for whoever watches. Equity in dollars, exposure as a fraction of it."""

    session: date
    equity: float
    exposure: float
    orders: tuple[ApprovedOrder, ...]
    denials: tuple[Denial, ...]
    allocation: Mapping[str, float]
    regime: Regime
    halted: bool


@dataclass(frozen=True, slots=True)
class FixedDecision:
    """An allocation that a person chose."""

    source: str = "fixed"
    reason: str = "FIXED: chosen on the command line"
    model_id: str | None = None


class FixedAllocator:
    """The same split of capital at every scan; implements `core.ports.Allocator`."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self.last_decision = FixedDecision()
        self.model_id: str | None = None

    def get_allocation(self, current_state: Floats, session: date | None = None) -> Mapping[str, float]:
        """Return the chosen weights."""
        return self._weights

    def explain(self, current_state: Floats) -> Mapping[str, float]:
        """Return nothing: no observation moves these weights."""
        return {}
