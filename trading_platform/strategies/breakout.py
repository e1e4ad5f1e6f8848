"""Channel breakout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from trading_platform.core.families import Family
from trading_platform.core.indicators import lag, returns, rolling_max, rolling_min, rolling_volatility
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Strength, Window, check_parameters, graded
from trading_platform.strategies.measures import only_ranked


@dataclass(frozen=True, slots=True)
class Breakout:
    """Buy a close above the highest close of a quarter, sell a close below the lowest of a month.

    Donchian's channel rule, tested by Brock, Lakonishok & LeBaron (1992), "Simple Technical Trading Rules and the
    Stochastic Properties of Stock Returns". Strength grows with the size of the break in daily volatilities.

    Attributes
    ----------
    entry_window, exit_window
        Sessions of the upper and of the lower channel.
    volatility_window
        Sessions of the volatility that scales strength.
    base_strength, full_break
        Strength of the smallest break, and the break in volatilities at which strength has come three quarters of the
        way from there to 1 (tanh 1 = 0.76). Strength never gets to 1, so that no two large breaks tie.
    """

    entry_window: Window = 55
    exit_window: Window = 20
    volatility_window: Window = 20
    base_strength: Strength = 0.3
    full_break: Annotated[float, Interval("(0, 20]")] = 2.1
    name: str = "breakout"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.TREND

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.entry_window, self.exit_window, self.volatility_window) + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        close = panel.close
        high = lag(rolling_max(close, self.entry_window), 1)
        low = lag(rolling_min(close, self.exit_window), 1)
        size = (close / high - 1.0) / rolling_volatility(returns(close), self.volatility_window)
        score = self.base_strength + (1.0 - self.base_strength) * np.tanh(size / self.full_break)
        return StrategySignals(graded(close > high, only_ranked(score, panel)), close < low)
