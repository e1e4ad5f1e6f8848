"""Low risk: the stocks that move least with the market."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import returns, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import Names, Share, Window, check_parameters
from trading_platform.strategies.holding import MEMORY, known_close
from trading_platform.strategies.measures import market_fit, market_returns, too_few_stocks
from trading_platform.strategies.stock_book import monthly_stock_book


@dataclass(frozen=True, slots=True)
class LowCorrelation:
    """Hold the stocks whose correlation with the benchmark is lowest, of all but the most volatile.

    Asness, Frazzini, Gormsen & Pedersen (2020), "Betting Against Correlation: Testing Theories of the Low-Risk Effect".

    Attributes
    ----------
    window
        Sessions of correlation and volatility.
    calm_share
        Part of the stocks, the calmest, that is ranked.
    n_names, stay_share
        Names held, and the part of the ranked stocks, the lowest, in which a name stays.
    """

    window: Window = 252
    calm_share: Share = 0.8
    n_names: Names = 3
    stay_share: Share = 0.2
    name: str = "low_correlation"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.LOW_RISK

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.window, 3) + 1 + MEMORY

    @property
    def protection(self) -> Protection:
        """No stop; two weeks after the disaster stop."""
        return Protection(cooling=10)

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what the panel lacks."""
        return too_few_stocks(panel)

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        daily = returns(known_close(panel))
        correlation = market_fit(daily, market_returns(panel), max(self.window, 3)).correlation
        volatility = rolling_volatility(daily, self.window)
        return monthly_stock_book(panel, -correlation, self.n_names, self.stay_share, volatility, self.calm_share)
