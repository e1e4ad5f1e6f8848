"""Cross-sectional momentum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.families import Family
from trading_platform.core.indicators import fine_rank, lag, rolling_mean
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import Rank, Sessions, Strength, Window, check_parameters, graded, rising
from trading_platform.strategies.measures import only_ranked


@dataclass(frozen=True, slots=True)
class Momentum:
    """Buy the strongest of the past year without its last month, while they trade above their long average.

    Jegadeesh & Titman (1993), "Returns to Buying Winners and Selling Losers"; skipping the last month avoids the
    short-term reversal (Jegadeesh 1990).

    Attributes
    ----------
    formation, skip
        Sessions of the ranking period, and the last ones left out of it.
    trend
        Sessions of the average that the close must exceed.
    entry_rank, exit_rank
        Fractions of the universe, strongest = 1: enter above the first, leave below the second.
    base_strength
        Strength at the entry rank; the strongest comes near 1.
    """

    formation: Window = 252
    skip: Sessions = 21
    trend: Window = 200
    entry_rank: Rank = 0.9
    exit_rank: Rank = 0.7
    base_strength: Strength = 0.0
    name: str = "momentum"

    def __post_init__(self) -> None:
        check_parameters(self, "skip < formation", "exit_rank <= entry_rank")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.MOMENTUM

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.formation + 1, self.trend)

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        close = panel.close
        momentum = lag(close, self.skip) / lag(close, self.formation) - 1.0
        rank, fine = fine_rank(only_ranked(momentum, panel))
        wanted = (rank > self.entry_rank) & (momentum > 0.0) & (close > rolling_mean(close, self.trend))
        strength = graded(wanted, rising(rank, fine, self.entry_rank, self.base_strength))
        return StrategySignals(strength, (rank < self.exit_rank) & np.isfinite(close))
