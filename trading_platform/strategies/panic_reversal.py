"""Buying what was sold in a panic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from trading_platform.core.families import Family
from trading_platform.core.indicators import fine_rank, rate_of_change, rolling_mean
from trading_platform.core.market_features import MAX_VIX_AGE, known_vix
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Rank, Sessions, Strength, Window, check_parameters, graded, rising
from trading_platform.strategies.measures import only_ranked

VixRatio = Annotated[float, Interval("(0, 10]")]


@dataclass(frozen=True, slots=True)
class PanicReversal:
    """When VIX jumps above its average, buy the week's losers and hold them until calm has returned.

    Nagel (2012), "Evaporating Liquidity": the reward for providing liquidity, which short-term reversal earns, rises
    with VIX. It trades rarely, and in the sessions in which the trend strategies lose.

    Attributes
    ----------
    average
        Sessions of VIX's average.
    panic, calm
        Ratios of VIX to its average: enter above the first, leave below the second.
    window, entry_rank
        Sessions of the return that is ranked, and the fraction of the universe (worst loser = 1) above which to enter.
    base_strength
        Strength at the entry rank; the worst loser comes near 1.
    """

    average: Window = 63
    panic: VixRatio = 1.25
    calm: VixRatio = 0.9
    window: Sessions = 5
    entry_rank: Rank = 0.8
    base_strength: Strength = 0.5
    name: str = "panic_reversal"

    def __post_init__(self) -> None:
        check_parameters(self, "calm < panic")

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.REVERSAL

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return max(self.average + MAX_VIX_AGE, self.window + 1)

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        vix = known_vix(panel)
        ratio = vix / rolling_mean(vix, self.average)
        rank, fine = np.full_like(panel.close, np.nan), np.full_like(panel.close, np.nan)
        afraid = ratio > self.panic
        rank[afraid], fine[afraid] = fine_rank(only_ranked(-rate_of_change(panel.close, self.window), panel)[afraid])
        strength = graded(rank > self.entry_rank, rising(rank, fine, self.entry_rank, self.base_strength))
        return StrategySignals(strength, (ratio < self.calm)[:, None] & np.isfinite(panel.close))
