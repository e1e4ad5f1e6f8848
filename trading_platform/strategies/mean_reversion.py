"""Weekly reversal."""

from __future__ import annotations

from dataclasses import dataclass

from trading_platform.core.indicators import cross_rank, rate_of_change
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import graded, require


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
        Fractions of the universe: enter below the first, leave above the second.
    """

    window: int = 5
    entry_rank: float = 0.05
    exit_rank: float = 0.5
    name: str = "mean_reversion"

    def __post_init__(self) -> None:
        require(
            "mean_reversion",
            window=(self.window >= 1, ">= 1 session", self.window),
            entry_rank=(0.0 < self.entry_rank < 1.0, "in (0, 1)", self.entry_rank),
            exit_rank=(self.entry_rank <= self.exit_rank <= 1.0, "in [entry_rank, 1]", self.exit_rank),
        )

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.window + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        rank = cross_rank(rate_of_change(panel.close, self.window))
        # half strength at the entry rank, full strength for the very worst
        strength = graded(rank < self.entry_rank, 1.0 - 0.5 * rank / self.entry_rank)
        return StrategySignals(strength, rank > self.exit_rank)
