"""What has been booked since the last settlement, in the order in which the simulation would have it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from trading_platform.core.round_trips import EPOCH
from trading_platform.core.types import ClosedTrade, Fill, OrderReason, Side

Booked = tuple[Fill, float, ClosedTrade | None]
Place = tuple[int, int, int]
PROTECTIVE = (OrderReason.STOP_LOSS, OrderReason.TAKE_PROFIT)
LATE_PARTS = {**dict.fromkeys(PROTECTIVE, 2), OrderReason.DELISTED: 3}


@dataclass(slots=True)
class News:
    """What has been booked since the last settlement; money in dollars, `fees` those of no fill.

    Fills are in the order in which the simulation has them, whatever the order in which they were told: exits at the
    open, entries, stops and targets, write-offs, each by slot. Trade statistics and losing streaks depend on it.
    `places` are (session, which of the four, slot), sorted.
    """

    fills: list[Booked] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    dividends: float = 0.0
    fees: float = 0.0
    cash_flow: float = 0.0

    def add(self, booked: Booked, slot: int) -> None:
        """Put a fill where it belongs."""
        fill = booked[0]
        part = 1 if fill.side is Side.BUY else LATE_PARTS.get(fill.reason, 0)
        place = ((fill.session - EPOCH).days, part, slot)
        n = bisect_right(self.places, place)
        self.places.insert(n, place)
        self.fills.insert(n, booked)
