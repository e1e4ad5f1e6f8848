"""One scan: what is being decided, and what it did, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from trading_platform.core.types import ApprovedOrder, Denial, Regime
from trading_platform.core.view import MarketView


class Decision(NamedTuple):
    """A decision under way: the market seen, capital by strategy, and the orders placed and refused so far."""

    view: MarketView
    allocation: Mapping[str, float]
    orders: list[ApprovedOrder]
    denials: list[Denial]


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
