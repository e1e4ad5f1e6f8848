"""One scan: what is being decided, and what it did, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from trading_platform.core.types import ApprovedOrder, Denial, Regime
from trading_platform.core.view import MarketView


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


class Decision(NamedTuple):
    """A decision under way: the market seen, capital by strategy, and the orders placed and refused so far."""

    view: MarketView
    allocation: Mapping[str, float]
    orders: list[ApprovedOrder]
    denials: list[Denial]

    def result(self, equity: float, cash: float, regime: Regime, *, halted: bool) -> ScanResult:
        """Return what the scan did, for an account of `equity` and `cash` dollars after it."""
        return ScanResult(
            self.view.session,
            equity,
            (equity - cash) / equity if equity > 0.0 else 0.0,
            tuple(self.orders),
            tuple(self.denials),
            self.allocation,
            regime,
            halted,
        )
