"""Reversal when liquidity is dear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import rate_of_change, returns, rolling_volatility
from trading_platform.core.market_features import MAX_VIX_AGE, known_vix, row_mean
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.core.validation import Interval
from trading_platform.core.weeks import first_of_week
from trading_platform.strategies.base import Names, Sessions, Share, Window, check_parameters
from trading_platform.strategies.holding import (
    MEMORY,
    best,
    held_names,
    known_close,
    sector_groups,
)
from trading_platform.strategies.measures import too_few_stocks
from trading_platform.strategies.stock_book import rankable_stocks

Vix = Annotated[float, Interval("(0, 200]")]


@dataclass(frozen=True, slots=True)
class PanicLosers:
    """While VIX is high, hold the stocks that fell most against the others within a week; otherwise nothing.

    Nagel (2012), "Evaporating Liquidity": the reward for providing liquidity, which reversal earns, rises with VIX.

    Attributes
    ----------
    panic, calm
        Levels of VIX: buy above the first, leave below the second.
    window, volatility_window
        Sessions of the return against the mean of stocks, and of the volatility that it is divided by.
    n_names, stay_share
        Names held, and the part of the stocks, the worst losers, in which a name stays.
    """

    panic: Vix = 25.0
    calm: Vix = 20.0
    window: Sessions = 5
    volatility_window: Window = 63
    n_names: Names = 2
    stay_share: Share = 0.5
    name: str = "panic_losers"

    def __post_init__(self) -> None:
        check_parameters(self, "calm <= panic")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.REVERSAL

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.window, self.volatility_window) + 1 + MEMORY + MAX_VIX_AGE

    @property
    def protection(self) -> Protection:
        """No stop, which would sell what it buys falls for; a month after the disaster stop."""
        return Protection(cooling=21)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        return too_few_stocks(panel) or ("" if np.isfinite(panel.vix).any() else "needs VIX")

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        close, vix = known_close(panel), known_vix(panel)[:, None]
        rankable = rankable_stocks(panel)
        change = np.where(rankable, rate_of_change(close, self.window), np.nan)
        excess = change - row_mean(change)[:, None]
        days = first_of_week(panel.sessions)
        loss = -(excess / rolling_volatility(returns(close), self.volatility_window))[days]
        places = np.ceil(self.stay_share * np.isfinite(loss).sum(axis=1, keepdims=True))
        fallen = best(loss, np.maximum(places, 2 * self.n_names))
        enter, stay = (fallen & (vix[days] > level) for level in (self.panic, self.calm))
        groups = sector_groups(panel)
        weights = held_names(loss, enter, stay, groups, self.n_names, days, panel.sessions, one_per_group=False)
        return np.where(rankable, weights, 0.0)
