"""The way of a price through one session: straight lines from the open by low and high, or high and low, to the close.

Places are fractions of the session, 0 = opening bell, 1 = closing bell; the extremes lie at a third and two thirds.
"""

from __future__ import annotations

from dataclasses import dataclass

EXTREMES = (1.0 / 3.0, 2.0 / 3.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; NaN prices mean that the ticker did not trade."""

    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def traded(self) -> bool:
        """True if the ticker traded in this session."""
        return self.open > 0.0 and self.close > 0.0

    def scaled(self, price: float, shares: float) -> Bar:
        """Return the bar with its prices times `price` and its volume times `shares`."""
        return Bar(self.open * price, self.high * price, self.low * price, self.close * price, self.volume * shares)


def corners(bar: Bar, low_first: bool) -> tuple[float, float, float, float]:
    """Return the prices between which the price walks in straight lines."""
    return (bar.open, bar.low, bar.high, bar.close) if low_first else (bar.open, bar.high, bar.low, bar.close)


def price_at(bar: Bar, low_first: bool, place: float) -> float:
    """Return the price at `place`."""
    points = corners(bar, low_first)
    leg = min(int(place * 3.0), 2)
    return points[leg] + (points[leg + 1] - points[leg]) * (place * 3.0 - leg)


def piece(bar: Bar, low_first: bool, start: float, stop: float) -> Bar:
    """Return the bar of the part of a session between two places, volume in proportion."""
    first, last = price_at(bar, low_first, start), price_at(bar, low_first, stop)
    met = [first, last]
    for place, extreme in zip(EXTREMES, corners(bar, low_first)[1:3], strict=True):
        if start <= place <= stop:
            met.append(extreme)
    return Bar(first, max(met), min(met), last, bar.volume * (stop - start))
