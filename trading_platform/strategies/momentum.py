"""Cross-sectional momentum."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.indicators import cross_rank, lag, rolling_mean
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import graded, require


@dataclass(frozen=True, slots=True)
class Momentum:
    """Buy the strongest of the past year without its last month, while they trade above their long average.

    Jegadeesh & Titman (1993), "Returns to Buying Winners and Selling Losers"; skipping the last month avoids the
    short-term reversal (Jegadeesh 1990). Strength rises from 0 at the entry rank to 1 for the strongest.

    Attributes
    ----------
    formation, skip
        Sessions of the ranking period, and the last ones left out of it.
    trend
        Sessions of the average that the close must exceed.
    entry_rank, exit_rank
        Fractions of the universe: enter above the first, leave below the second.
    """

    formation: int = 252
    skip: int = 21
    trend: int = 200
    entry_rank: float = 0.9
    exit_rank: float = 0.7
    name: str = "momentum"

    def __post_init__(self) -> None:
        require(
            "momentum",
            formation=(self.formation > self.skip, "more than skip", self.formation),
            skip=(self.skip >= 1, ">= 1 session", self.skip),
            trend=(self.trend >= 2, ">= 2 sessions", self.trend),
            entry_rank=(0.0 < self.entry_rank < 1.0, "in (0, 1)", self.entry_rank),
            exit_rank=(0.0 <= self.exit_rank <= self.entry_rank, "in [0, entry_rank]", self.exit_rank),
        )

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.formation + 1, self.trend)

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        close = panel.close
        momentum = lag(close, self.skip) / lag(close, self.formation) - 1.0
        rank = cross_rank(momentum)
        wanted = (rank > self.entry_rank) & (momentum > 0.0) & (close > rolling_mean(close, self.trend))
        strength = graded(wanted, (rank - self.entry_rank) / (1.0 - self.entry_rank))
        return StrategySignals(strength, rank < self.exit_rank)
