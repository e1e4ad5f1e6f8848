"""Weekly reversal."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.families import Family
from trading_platform.core.indicators import fine_rank, rate_of_change
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import Rank, Sessions, Strength, check_parameters, graded, rising
from trading_platform.strategies.measures import only_ranked


@dataclass(frozen=True, slots=True)
class MeanReversion:
    """Buy the week's worst losers and sell them once they are back in the middle of the field.

    Lehmann (1990), "Fads, Martingales, and Market Efficiency"; Jegadeesh (1990), "Evidence of Predictable Behavior of
    Security Returns". The effect pays for liquidity, so it is strongest when few others provide it (Nagel 2012).

    Attributes
    ----------
    window
        Sessions of the ranking period.
    entry_rank, exit_rank
        Fractions of the universe, worst loser = 1: enter above the first, leave below the second.
    base_strength
        Strength at the entry rank; the worst loser comes near 1.
    """

    window: Sessions = 5
    entry_rank: Rank = 0.95
    exit_rank: Rank = 0.5
    base_strength: Strength = 0.5
    name: str = "mean_reversion"

    def __post_init__(self) -> None:
        check_parameters(self, "exit_rank <= entry_rank")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.REVERSAL

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.window + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        rank, fine = fine_rank(only_ranked(-rate_of_change(panel.close, self.window), panel))
        strength = graded(rank > self.entry_rank, rising(rank, fine, self.entry_rank, self.base_strength))
        return StrategySignals(strength, rank < self.exit_rank)
