"""Channel breakout."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.indicators import lag, rolling_max, rolling_min, rolling_std
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import daily_returns, graded, require


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
        Strength of the smallest break, and the break in volatilities that has strength 1.
    """

    entry_window: int = 55
    exit_window: int = 20
    volatility_window: int = 20
    base_strength: float = 0.3
    full_break: float = 2.1
    name: str = "breakout"

    def __post_init__(self) -> None:
        require(
            "breakout",
            entry_window=(self.entry_window >= 2, ">= 2 sessions", self.entry_window),
            exit_window=(self.exit_window >= 2, ">= 2 sessions", self.exit_window),
            volatility_window=(self.volatility_window >= 2, ">= 2 sessions", self.volatility_window),
            base_strength=(0.0 < self.base_strength <= 1.0, "in (0, 1]", self.base_strength),
            full_break=(self.full_break > 0.0, "> 0 volatilities", self.full_break),
        )

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.entry_window, self.exit_window, self.volatility_window) + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        close = panel.close
        high = lag(rolling_max(close, self.entry_window), 1)
        low = lag(rolling_min(close, self.exit_window), 1)
        volatility = rolling_std(daily_returns(panel), self.volatility_window)
        size = (close / high - 1.0) / volatility
        score = self.base_strength + (1.0 - self.base_strength) * size / self.full_break
        return StrategySignals(graded((close > high) & (volatility > 0.0), score), close < low)
