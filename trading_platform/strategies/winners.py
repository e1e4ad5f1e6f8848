"""Stock momentum among calm stocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import lag, returns, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import Names, Share, Window, check_parameters
from trading_platform.strategies.holding import MEMORY, known_close
from trading_platform.strategies.measures import market_rose, too_few_stocks
from trading_platform.strategies.stock_book import monthly_stock_book


@dataclass(frozen=True, slots=True)
class Winners:
    """Hold the strongest stocks of the past year without its last month, of the calmer half, after a rising year.

    Jegadeesh & Titman (1993), "Returns to Buying Winners and Selling Losers"; Blitz & van Vliet (2018), "The
    Conservative Formula"; Cooper, Gutierrez & Hameed (2004), "Market States and Momentum": none after falling markets.

    Attributes
    ----------
    formation, skip
        Sessions of the ranking period, in which the market must have risen, and the last ones left out of it.
    calm_share, volatility_window
        Part of the stocks, the calmest, that is ranked, by the volatility of so many sessions.
    n_names, stay_share
        Names held, and the part of the ranked stocks, the best, in which a name stays.
    """

    formation: Window = 252
    skip: Window = 21
    calm_share: Share = 0.5
    volatility_window: Window = 252
    n_names: Names = 3
    stay_share: Share = 0.2
    name: str = "winners"

    def __post_init__(self) -> None:
        check_parameters(self, "skip < formation")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.MOMENTUM

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.formation, self.volatility_window) + 1 + MEMORY

    @property
    def protection(self) -> Protection:
        """No stop; after the disaster stop a month, since the ranking does not see the last one."""
        return Protection(cooling=21)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        return too_few_stocks(panel)

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        close = known_close(panel)
        momentum = lag(close, self.skip) / lag(close, self.formation) - 1.0
        rising = np.where((momentum > 0.0) & market_rose(panel, self.formation)[:, None], momentum, np.nan)
        volatility = rolling_volatility(returns(close), self.volatility_window)
        return monthly_stock_book(panel, rising, self.n_names, self.stay_share, volatility, self.calm_share)
