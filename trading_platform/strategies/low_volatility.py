"""Low volatility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from trading_platform.core.families import Family
from trading_platform.core.indicators import fine_rank, returns, rolling_mean, rolling_volatility
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Rank, Strength, Window, check_parameters, graded, rising
from trading_platform.strategies.measures import only_ranked


@dataclass(frozen=True, slots=True)
class LowVolatility:
    """Hold the calmest stocks while they trade above their long average.

    Ang, Hodrick, Xing & Zhang (2006), "The Cross-Section of Volatility and Expected Returns"; Frazzini & Pedersen
    (2014), "Betting Against Beta". A stock that does not move at all is not calm but not trading, and has no rank.

    Attributes
    ----------
    window
        Sessions of the volatility that is ranked.
    trend, trend_slack
        Sessions of the average that the close must exceed, and the fraction it may fall below before the exit.
    entry_rank, exit_rank
        Fractions of the universe, calmest = 1: enter above the first, leave below the second.
    base_strength
        Strength at the entry rank; the calmest comes near 1.
    """

    window: Window = 126
    trend: Window = 200
    trend_slack: Annotated[float, Interval("[0, 1)")] = 0.03
    entry_rank: Rank = 0.9
    exit_rank: Rank = 0.7
    base_strength: Strength = 0.5
    name: str = "low_volatility"

    def __post_init__(self) -> None:
        check_parameters(self, "exit_rank <= entry_rank")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.LOW_RISK

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.window + 1, self.trend)

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        close = panel.close
        average = rolling_mean(close, self.trend)
        rank, fine = fine_rank(only_ranked(-rolling_volatility(returns(close), self.window), panel))
        wanted = (rank > self.entry_rank) & (close > average)
        strength = graded(wanted, rising(rank, fine, self.entry_rank, self.base_strength))
        return StrategySignals(strength, (rank < self.exit_rank) | (close < average * (1.0 - self.trend_slack)))
