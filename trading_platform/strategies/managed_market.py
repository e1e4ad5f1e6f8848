"""The market, its size managed by volatility."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.families import Family
from trading_platform.core.indicators import returns, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Slot, Window, check_parameters
from trading_platform.strategies.holding import MAX_GAP, between_decisions, first_of_month, known_close, tradable
from trading_platform.strategies.measures import benchmark_column

LONGEST_MONTH = 24  # sessions between two decision days, and the day before the first


@dataclass(frozen=True, slots=True)
class ManagedMarket:
    """Hold the benchmark, less of it after a wild month.

    Moreira & Muir (2017), "Volatility-Managed Portfolios", without borrowing.

    Attributes
    ----------
    window
        Sessions of the variance by which the position is divided.
    usual_volatility
        Volatility a year at which the position is whole; fraction.
    weight
        Of the whole position in the strategy's book.
    """

    window: Window = 21
    usual_volatility: Annotated[float, Interval("(0, 2]")] = 0.16
    weight: Slot = 0.5
    name: str = "managed_market"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.EQUITY

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
        return "" if benchmark_column(panel).any() else "needs the benchmark among the tickers"

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        column = benchmark_column(panel)
        own = known_close(panel)[:, column]
        volatility = rolling_volatility(returns(own), self.window) * sqrt(ANNUAL_SESSIONS)
        size = np.nan_to_num(self.weight * np.minimum(1.0, (self.usual_volatility / volatility) ** 2))
        weights = np.zeros(panel.close.shape)
        weights[:, column] = between_decisions(size, first_of_month(panel.sessions))
        return np.where(tradable(panel, column), weights, 0.0)
