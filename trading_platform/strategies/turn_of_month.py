"""Turn of the month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from trading_platform.core.families import Family
from trading_platform.core.indicators import fine_rank, rate_of_change
from trading_platform.core.types import Ints, MarketPanel, StrategySignals
from trading_platform.core.validation import Interval
from trading_platform.strategies.base import Sessions, Strength, check_parameters, graded, rising
from trading_platform.strategies.measures import only_ranked

Weekdays = Annotated[int, Interval("[1, 10]")]


@dataclass(frozen=True, slots=True)
class TurnOfMonth:
    """Hold the half-year's strongest stocks over the last days of a month and the first of the next, and none between.

    Ariel (1987), "A Monthly Effect in Stock Returns"; Lakonishok & Smidt (1988), "Are Seasonal Anomalies Real?";
    McConnell & Xu (2008), "Equity Returns at the Turn of the Month". Being out of the market most of the time, it is
    the strategy least correlated with the others here. Which stocks the papers leave open: the ranking is the
    six-month one of Jegadeesh & Titman (1993).

    Attributes
    ----------
    enter_before
        Weekdays left in the month, at most, at an entry. Weekdays are known ahead; a holiday shifts this by one.
    exit_after
        Weekdays of the new month after which positions are closed.
    ranking
        Sessions of the return that grades strength.
    base_strength
        Strength of the weakest stock; the strongest comes near 1.
    """

    enter_before: Weekdays = 3
    exit_after: Weekdays = 3
    ranking: Sessions = 126
    base_strength: Strength = 0.3
    name: str = "turn_of_month"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def family(self) -> Family:
        """What kind of reward it lives from."""
        return Family.EQUITY

    @property
    def lookback(self) -> int:
        """Sessions that a row depends on."""
        return self.ranking + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return strength and exits, see `Strategy.signals`."""
        left, passed = weekdays_of_month(panel.sessions)
        ending = (left >= 1) & (left <= self.enter_before)
        rank, fine = np.full_like(panel.close, np.nan), np.full_like(panel.close, np.nan)
        rank[ending], fine[ending] = fine_rank(only_ranked(rate_of_change(panel.close, self.ranking), panel)[ending])
        strength = graded(np.isfinite(rank), rising(rank, fine, 0.0, self.base_strength))
        over = (passed >= self.exit_after) & ~ending
        return StrategySignals(strength, over[:, None] & np.isfinite(panel.close))


def weekdays_of_month(sessions: np.ndarray) -> tuple[Ints, Ints]:
    """Return, per session, (T,) each: weekdays left in its month without itself, and those of it so far with itself."""
    days = sessions.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    left = np.busday_count(days + 1, (months + 1).astype("datetime64[D]"))
    passed = np.busday_count(months.astype("datetime64[D]"), days + 1)
    return left.astype(np.int64), passed.astype(np.int64)
