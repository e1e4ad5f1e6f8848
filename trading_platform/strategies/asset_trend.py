"""Trend over asset classes."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

import numpy as np

from trading_platform.core.costs import Protection
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.families import Family
from trading_platform.core.indicators import rate_of_change, returns, rolling_mean, rolling_volatility
from trading_platform.core.types import Floats, Ints, MarketPanel
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Names, Window, check_parameters
from trading_platform.strategies.holding import MEMORY, first_of_month, held_names, known_close, tradable
from trading_platform.strategies.measures import benchmark_column

# Asset classes that move as one: two of a group are one position. Cash and currencies are no risk that is paid.
GROUPS = {
    "equity_us": 0,
    "equity_intl": 0,
    "equity_em": 0,
    "real_estate": 1,
    "government_bonds": 2,
    "credit": 2,
    "inflation_bonds": 2,
    "gold": 3,
    "commodities": 4,
}
NO_GROUP = -1
FEWEST_GROUPS = 3


@dataclass(frozen=True, slots=True)
class AssetTrend:
    """Hold the asset classes that beat bills over a year, the strongest fund of each for its risk.

    Moskowitz, Ooi & Pedersen (2012), "Time Series Momentum"; Faber (2007), "A Quantitative Approach to Tactical Asset
    Allocation".

    Attributes
    ----------
    window
        Sessions of the return over bills and of the volatility that it is divided by.
    least_volatility
        Of a fund, a fraction a year: a slot of a calmer one does next to nothing.
    n_names
        Asset classes held at most.
    """

    window: Window = 252
    least_volatility: Annotated[float, Interval("[0, 1]")] = 0.05
    n_names: Names = 3
    name: str = "asset_trend"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.TREND

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.window + 1 + MEMORY

    @property
    def protection(self) -> Protection:
        """No stop: the end of the trend is the exit; two weeks after the disaster stop."""
        return Protection(cooling=10)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        count = len(set(asset_groups(panel).tolist()) - {NO_GROUP})
        return "" if count >= FEWEST_GROUPS else f"needs funds of {FEWEST_GROUPS} groups of asset classes, has {count}"

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        close, groups = known_close(panel), asset_groups(panel)
        held = tradable(panel, groups != NO_GROUP)
        volatility = rolling_volatility(returns(close), self.window) * sqrt(ANNUAL_SESSIONS)
        excess = rate_of_change(close, self.window) - self._bills(panel)[:, None]
        days = first_of_month(panel.sessions)
        score = np.where(held, excess / volatility, np.nan)[days]
        rises = score > 0.0
        enter = rises & (volatility[days] >= self.least_volatility)
        weights = held_names(score, enter, rises, groups, self.n_names, days, panel.sessions, one_per_group=True)
        return np.where(held, weights, 0.0)

    def _bills(self, panel: MarketPanel) -> Floats:
        """Return what bills earned over the window, (T,), 0 where their rate is unknown."""
        if panel.cash_rate is None:
            return np.zeros(panel.n_sessions)
        rate = np.where(np.isfinite(panel.cash_rate), panel.cash_rate, 0.0) / 100.0
        return rolling_mean(rate, self.window) * (self.window / ANNUAL_SESSIONS)


def asset_groups(panel: MarketPanel) -> Ints:
    """Return the group of each column's asset class, (N,); `NO_GROUP` for stocks, cash, currencies and others."""
    groups = np.array([GROUPS.get(name, NO_GROUP) for name in panel.classes], dtype=np.int64)
    return np.where(benchmark_column(panel), GROUPS["equity_us"], groups)
