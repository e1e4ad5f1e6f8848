"""An allocation that a person chose, as an allocator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from trading_platform.core.types import Floats


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
        self.reads_state = False

    def get_allocation(self, current_state: Floats, session: date | None = None) -> Mapping[str, float]:
        """Return the chosen weights; see `core.ports.Allocator`."""
        return self._weights

    def explain(self, current_state: Floats) -> Mapping[str, float]:
        """Return nothing: no observation moves these weights; see `core.ports.Allocator`."""
        return {}
