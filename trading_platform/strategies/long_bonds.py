"""The premium of long government bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import returns, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import Slot, Window, check_parameters
from trading_platform.strategies.holding import MEMORY, first_of_month, held_names, known_close, tradable
from trading_platform.strategies.measures import class_columns

ASSET_CLASS = "government_bonds"


@dataclass(frozen=True, slots=True)
class LongBonds:
    """Hold the longest fund of government bonds: the one that moves most, since a slot of a short one earns nothing.

    Fama & French (1989), "Business Conditions and Expected Returns on Stocks and Bonds"; Asness, Frazzini & Pedersen
    (2012), "Leverage Aversion and Risk Parity".

    Attributes
    ----------
    window
        Sessions of the volatility by which the fund is chosen, each half-year.
    weight
        Of the position in the strategy's book.
    """

    window: Window = 252
    weight: Slot = 0.5
    name: str = "long_bonds"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.BONDS

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.window + 1 + MEMORY

    @property
    def protection(self) -> Protection:
        """No stop; two weeks after the disaster stop."""
        return Protection(cooling=10)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        return "" if class_columns(panel, ASSET_CLASS).any() else "needs a fund of government bonds"

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        held = tradable(panel, class_columns(panel, ASSET_CLASS))
        days = first_of_month(panel.sessions)
        volatility = np.where(held, rolling_volatility(returns(known_close(panel)), self.window), np.nan)[days]
        known = np.isfinite(volatility)
        groups = np.zeros(panel.n_tickers, dtype=np.int64)
        chosen = held_names(volatility, known, known, groups, 1, days, panel.sessions, one_per_group=True)
        return np.where(held & (chosen > 0.0), self.weight, 0.0)
