"""Momentum of what the market does not explain."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import lag, returns, rolling_sum, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import Names, Share, Window, check_parameters
from trading_platform.strategies.holding import MEMORY, known_close
from trading_platform.strategies.measures import market_fit, market_returns, market_rose, too_few_stocks
from trading_platform.strategies.stock_book import monthly_stock_book


@dataclass(frozen=True, slots=True)
class SteadyWinners:
    """Hold the stocks that beat what the market explains by the most of their own risk, the last month left out.

    Blitz, Huij & Martens (2011), "Residual Momentum"; Cooper, Gutierrez & Hameed (2004), "Market States and Momentum":
    nothing after a year in which the market fell.

    Attributes
    ----------
    formation, skip
        Sessions of beta and of the ranking period, and the last ones left out of the latter.
    calm_share
        Part of the stocks, the calmest over the same sessions, that is ranked.
    n_names, stay_share
        Names held, and the part of the ranked stocks, the best, in which a name stays.
    """

    formation: Window = 252
    skip: Window = 21
    calm_share: Share = 0.8
    n_names: Names = 3
    stay_share: Share = 0.2
    name: str = "steady_winners"

    def __post_init__(self) -> None:
        check_parameters(self, "skip < formation")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.MOMENTUM

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.formation + 1 + MEMORY

    @property
    def protection(self) -> Protection:
        """No stop; after the disaster stop a month, since the ranking does not see the last one."""
        return Protection(cooling=21)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        return too_few_stocks(panel)

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        daily, market = returns(known_close(panel)), market_returns(panel)
        fit = market_fit(daily, market, max(self.formation, 3))
        ranking = self.formation - self.skip
        own, other = (rolling_sum(lag(values, self.skip), ranking) for values in (daily, market[:, None]))
        score = (own - fit.beta * other) / (fit.residual_volatility * sqrt(ranking))
        volatility = rolling_volatility(daily, self.formation)
        ahead = np.where((score > 0.0) & market_rose(panel, self.formation)[:, None], score, np.nan)
        return monthly_stock_book(panel, ahead, self.n_names, self.stay_share, volatility, self.calm_share)
