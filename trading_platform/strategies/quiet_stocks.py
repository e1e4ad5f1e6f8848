"""Low risk: the quietest stocks."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.costs import Protection
from trading_platform.core.families import Family
from trading_platform.core.indicators import returns, rolling_volatility
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import Names, Share, Window, check_parameters
from trading_platform.strategies.holding import MEMORY, known_close
from trading_platform.strategies.measures import too_few_stocks
from trading_platform.strategies.stock_book import monthly_stock_book


@dataclass(frozen=True, slots=True)
class QuietStocks:
    """Hold the stocks of lowest volatility.

    Ang, Hodrick, Xing & Zhang (2006), "The Cross-Section of Volatility and Expected Returns"; Blitz & van Vliet
    (2007), "The Volatility Effect". A stock that does not move at all is not quiet but not trading, and has no rank.

    Attributes
    ----------
    window
        Sessions of the volatility that is ranked.
    n_names, stay_share
        Names held, and the part of the stocks, the quietest, in which a name stays.
    """

    window: Window = 252
    n_names: Names = 3
    stay_share: Share = 0.2
    name: str = "quiet_stocks"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.LOW_RISK

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
        return too_few_stocks(panel)

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights, see `TargetStrategy.targets`."""
        volatility = rolling_volatility(returns(known_close(panel)), self.window)
        return monthly_stock_book(panel, -volatility, self.n_names, self.stay_share, volatility)
