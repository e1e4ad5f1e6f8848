"""Gold and real estate at equal risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import returns, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Window, check_parameters
from trading_platform.strategies.holding import MAX_GAP, between_decisions, first_of_month, known_close, tradable
from trading_platform.strategies.managed_market import LONGEST_MONTH
from trading_platform.strategies.measures import class_columns

ASSET_CLASSES = ("gold", "real_estate")
Half = Annotated[float, Interval("(0, 0.5]")]  # two of them are at most the whole


@dataclass(frozen=True, slots=True)
class RealAssets:
    """Hold gold and real estate so that both bear the same risk; the first fund by ticker of each.

    Asness, Frazzini & Pedersen (2012), "Leverage Aversion and Risk Parity"; Erb & Harvey (2013), "The Golden Dilemma".

    Attributes
    ----------
    window
        Sessions of the volatilities.
    weight
        Of the calmer of the two in the strategy's book; the other has as much less as it moves more.
    """

    window: Window = 252
    weight: Half = 0.5
    name: str = "real_assets"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.REAL_ASSETS

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.window + 1 + MAX_GAP + LONGEST_MONTH

    @property
    def protection(self) -> Protection:
        """No stop; two weeks after the disaster stop."""
        return Protection(cooling=10)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        present = any(class_columns(panel, name).any() for name in ASSET_CLASSES)
        return "" if present else "needs a fund of gold or real estate"

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        volatility = rolling_volatility(returns(known_close(panel)), self.window)
        chosen = np.zeros(panel.close.shape, dtype=np.bool_)
        for name in ASSET_CLASSES:
            known = np.isfinite(volatility) & tradable(panel, class_columns(panel, name))
            chosen |= known & (np.cumsum(known, axis=1) == 1)
        risk = np.where(chosen, volatility, np.inf)
        calmest = risk.min(axis=1, initial=np.inf, keepdims=True)
        weights = np.where(chosen, self.weight * np.divide(calmest, risk, where=chosen, out=np.zeros_like(risk)), 0.0)
        held = between_decisions(weights, first_of_month(panel.sessions))
        return np.where(tradable(panel, np.ones(panel.n_tickers, dtype=np.bool_)), held, 0.0)
