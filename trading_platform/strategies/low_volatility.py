"""Low volatility."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.indicators import cross_rank, rolling_mean, rolling_std
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import daily_returns, graded, require


@dataclass(frozen=True, slots=True)
class LowVolatility:
    """Hold the calmest stocks while they trade above their long average.

    Ang, Hodrick, Xing & Zhang (2006), "The Cross-Section of Volatility and Expected Returns"; Frazzini & Pedersen
    (2014), "Betting Against Beta". Strength is 0.5 at the entry rank and 1 for the calmest.

    Attributes
    ----------
    window
        Sessions of the volatility that is ranked.
    trend, trend_slack
        Sessions of the average that the close must exceed, and the fraction it may fall below before the exit.
    entry_rank, exit_rank
        Fractions of the universe, calmest = 1: enter above the first, leave below the second.
    """

    window: int = 126
    trend: int = 200
    trend_slack: float = 0.03
    entry_rank: float = 0.9
    exit_rank: float = 0.7
    name: str = "low_volatility"

    def __post_init__(self) -> None:
        require(
            "low_volatility",
            window=(self.window >= 2, ">= 2 sessions", self.window),
            trend=(self.trend >= 2, ">= 2 sessions", self.trend),
            trend_slack=(0.0 <= self.trend_slack < 1.0, "in [0, 1)", self.trend_slack),
            entry_rank=(0.0 < self.entry_rank < 1.0, "in (0, 1)", self.entry_rank),
            exit_rank=(0.0 <= self.exit_rank <= self.entry_rank, "in [0, entry_rank]", self.exit_rank),
        )

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.window + 1, self.trend)

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        close = panel.close
        average = rolling_mean(close, self.trend)
        rank = cross_rank(-rolling_std(daily_returns(panel), self.window))
        wanted = (rank > self.entry_rank) & (close > average)
        strength = graded(wanted, 0.5 + 0.5 * (rank - self.entry_rank) / (1.0 - self.entry_rank))
        return StrategySignals(strength, (rank < self.exit_rank) | (close < average * (1.0 - self.trend_slack)))
