"""Whether a last price may be believed where shares are sold on it: its time, and splits that would explain it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

OLDEST_PRICE = timedelta(minutes=15)  # a thin ticker's last trade says nothing of the market after that
# New shares for old ones, of the splits that happen. Smaller ones (5:4) look like an ordinary bad day.
SPLITS = ((3, 2), (5, 2), *((n, 1) for n in (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)))
SPLIT_BAND = 0.06  # of the price that a split alone would give: what a ticker may move on that morning besides


class LastPrice(Protocol):
    """The last trade of a ticker: dollars a share, and its instant."""

    @property
    def price(self) -> float:
        """Dollars a share."""
        ...

    @property
    def at(self) -> datetime:
        """The instant of the trade."""
        ...


Prices = Callable[[Collection[str]], Mapping[str, LastPrice]]


def age_doubt(last: LastPrice | None, opened: datetime, now: datetime) -> str:
    """Return why the price says nothing of the market now, "" if it does.

    `opened` is the opening bell of the session in hand: trades before it are yesterday's or the pre-market's.
    """
    if last is None:
        return "no last price"
    if last.at < opened:
        return f"the last trade at {last.at:%Y-%m-%d %H:%M} UTC was before the open"
    if now - last.at > OLDEST_PRICE:
        return f"the last trade at {last.at:%H:%M} UTC is {(now - last.at).total_seconds() / 60.0:.0f} minutes old"
    return ""


def split_doubt(price: float, close: float) -> str:
    """Return the split that would explain `price` after the last close `close`, "" if none would.

    A split that the broker has not booked yet looks like a fall through every stop (or, a reverse one, a rise).
    """
    if not (price > 0.0 and close > 0.0):
        return ""
    for new, old in SPLITS:
        for ratio, words in ((old / new, f"{new}:{old} split"), (new / old, f"{old}:{new} split")):
            if abs(price / (close * ratio) - 1.0) <= SPLIT_BAND:
                return f"{price:g} after a close of {close:g} looks like a {words} that is not booked yet"
    return ""
