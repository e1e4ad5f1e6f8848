"""What a replay has instead of the real thing: a clock that follows the bars, a stop-watch, a line per scan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

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


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since: float) -> float:
        """Book the time since `since` on `stage` and return the time now."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


@dataclass(frozen=True, slots=True)
class ScanResult:
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
