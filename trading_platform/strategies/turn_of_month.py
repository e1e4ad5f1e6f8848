"""Turn of the month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.indicators import cross_rank, rate_of_change
from trading_platform.core.types import Ints, MarketPanel, StrategySignals
from trading_platform.strategies.base import graded, require


@dataclass(frozen=True, slots=True)
class TurnOfMonth:
    """Hold the month's strongest stocks over its last and the next one's first days, and nothing in between.

    Ariel (1987), "A Monthly Effect in Stock Returns"; Lakonishok & Smidt (1988), "Are Seasonal Anomalies Real?";
    McConnell & Xu (2008), "Equity Returns at the Turn of the Month". Being out of the market most of the time, it is
    the strategy least correlated with the others here.

    Attributes
    ----------
    enter_before
        Weekdays left in the month, at most, at an entry. Weekdays are known ahead; a holiday shifts this by one.
    exit_after
        Weekdays of the new month after which positions are closed.
    ranking
        Sessions of the return that grades strength.
    base_strength
        Strength of the weakest stock; the strongest has 1.
    """

    enter_before: int = 3
    exit_after: int = 3
    ranking: int = 21
    base_strength: float = 0.3
    name: str = "turn_of_month"

    def __post_init__(self) -> None:
        require(
            "turn_of_month",
            enter_before=(1 <= self.enter_before <= 10, "in 1..10 weekdays", self.enter_before),
            exit_after=(1 <= self.exit_after <= 10, "in 1..10 weekdays", self.exit_after),
            ranking=(self.ranking >= 1, ">= 1 session", self.ranking),
            base_strength=(0.0 < self.base_strength <= 1.0, "in (0, 1]", self.base_strength),
        )

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.ranking + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        left, passed = weekdays_of_month(panel.sessions)
        rank = cross_rank(rate_of_change(panel.close, self.ranking))
        ending = (left >= 1) & (left <= self.enter_before)
        strength = graded(ending[:, None] & np.isfinite(rank), self.base_strength + (1.0 - self.base_strength) * rank)
        over = (passed >= self.exit_after) & ~ending
        return StrategySignals(strength, np.repeat(over[:, None], panel.n_tickers, axis=1))


def weekdays_of_month(sessions: np.ndarray) -> tuple[Ints, Ints]:
    """Return, per session, (weekdays left in its month, itself excluded; weekdays of it so far, itself included)."""
    days = sessions.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    left = np.busday_count(days + 1, (months + 1).astype("datetime64[D]"))
    passed = np.busday_count(months.astype("datetime64[D]"), days + 1)
    return left.astype(np.int64), passed.astype(np.int64)
