"""What has been booked since the last settlement, in the order in which the simulation would have it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime

from trading_platform.brokers.paper import netting_id
from trading_platform.core.fill_log import CROSSED, OF_ORDER, PROTECTIVE
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.round_trips import EPOCH
from trading_platform.core.types import ClosedTrade, Fill, Side

Booked = tuple[Fill, float, ClosedTrade | None]
Place = tuple[int, int, int, int]
AT_OPEN, ENTRIES, STOPS, WRITE_OFFS = range(4)


@dataclass(slots=True)
class News:
    """The fills booked since the last settlement, a strategy's part each.

    They are in the order in which the simulation has them, whatever the order in which they were told: exits at the
    open, entries, stops and targets, write-offs, each by slot; strategies that sell to each other before the exits of
    their slot. Trade statistics and losing streaks depend on it. `places` are (session, which of the four, slot,
    0 = crossed), sorted.
    """

    fills: list[Booked] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def add(self, booked: Booked, slot: int, kind: int = OF_ORDER) -> None:
        """Put a fill of a `kind` (`core.fill_log`) where it belongs."""
        fill = booked[0]
        place = ((fill.session - EPOCH).days, _part(fill, kind), slot, 0 if kind == CROSSED else 1)
        n = bisect_right(self.places, place)
        self.places.insert(n, place)
        self.fills.insert(n, booked)

    def drop(self, fills: Collection[Booked]) -> None:
        """Take back fills that were not to be told."""
        kept = [(booked, place) for booked, place in zip(self.fills, self.places, strict=True) if booked not in fills]
        self.fills, self.places = [booked for booked, _ in kept], [place for _, place in kept]

    def filled(self, client_order_id: str) -> float:
        """Return the shares booked of an order."""
        return sum(fill.quantity for fill, _, _ in self.fills if fill.client_order_id == client_order_id)

    def copy(self) -> News:
        """Return news that change by themselves."""
        return News(list(self.fills), list(self.places))


def _part(fill: Fill, kind: int) -> int:
    if kind == CROSSED:
        return AT_OPEN
    if fill.side is Side.BUY:
        return ENTRIES
    if kind == PROTECTIVE:
        return STOPS
    return WRITE_OFFS if fill.reason is OrderReason.DELISTED else AT_OPEN


def crossing(ticker: str, session: date, opened: datetime) -> Fill:
    """Return what is common to strategies' trades with each other in `ticker` at the open of `session`."""
    name = netting_id(session, ticker)
    return Fill(name, ticker, Side.BUY, 0.0, 0.0, 0.0, 0.0, opened, session, "", OrderReason.NONE)


def part_id(fill_id: str, strategy: str, parts: int) -> str:
    """Return the name of a strategy's part of an execution: its own where it is not alone."""
    return fill_id if parts == 1 or not fill_id else f"{fill_id}-{strategy}"
