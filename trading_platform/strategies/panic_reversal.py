"""Buying what was sold in a panic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.indicators import cross_rank, rate_of_change, rolling_mean
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import graded, require


@dataclass(frozen=True, slots=True)
class PanicReversal:
    """When VIX jumps above its average, buy the week's losers and hold them until VIX is back.

    Nagel (2012), "Evaporating Liquidity": the reward for providing liquidity, which short-term reversal earns, rises
    with VIX. It trades rarely, and in the sessions in which the trend strategies lose.

    Attributes
    ----------
    average
        Sessions of VIX's average.
    panic, calm
        Ratios of VIX to its average: enter above the first, leave below the second.
    window, entry_rank
        Sessions of the return that is ranked, and the fraction of the universe below which a stock is a loser.
    """

    average: int = 63
    panic: float = 1.25
    calm: float = 1.0
    window: int = 5
    entry_rank: float = 0.2
    name: str = "panic_reversal"

    def __post_init__(self) -> None:
        require(
            "panic_reversal",
            average=(self.average >= 2, ">= 2 sessions", self.average),
            panic=(self.panic > self.calm, "more than calm", self.panic),
            calm=(self.calm > 0.0, "> 0", self.calm),
            window=(self.window >= 1, ">= 1 session", self.window),
            entry_rank=(0.0 < self.entry_rank < 1.0, "in (0, 1)", self.entry_rank),
        )

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.average, self.window + 1)

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        ratio = panel.vix / rolling_mean(panel.vix, self.average)
        rank = cross_rank(rate_of_change(panel.close, self.window))
        wanted = (ratio > self.panic)[:, None] & (rank < self.entry_rank)
        strength = graded(wanted, 1.0 - 0.5 * rank / self.entry_rank)
        return StrategySignals(strength, np.repeat((ratio < self.calm)[:, None], panel.n_tickers, axis=1))
