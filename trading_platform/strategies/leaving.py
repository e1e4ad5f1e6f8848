"""A strategy that an account trades no longer: it wants nothing, and what it still holds goes at the next open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.costs import LEAVES
from trading_platform.core.types import MarketPanel, StrategySignals


@dataclass(frozen=True, slots=True)
class LeavingStrategy:
    """Stands in for the strategy `name` until its last share is sold; the sale is booked under that name."""

    name: str
    lookback: int = 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return neither entries nor exits: `LEAVES` is what lets go."""
        shape = panel.close.shape
        return StrategySignals(np.zeros(shape), np.zeros(shape, dtype=np.bool_), protection=LEAVES)
