"""Daily bars as the data service prints them: volumes that still grow in the evening, absurd ticks, corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from trading_platform.alpaca_server.draws import Draw, uniform
from trading_platform.alpaca_server.market import DAWN_BEFORE_OPEN, SimulatedMarket
from trading_platform.alpaca_server.paths import Bar
from trading_platform.alpaca_server.records import Json
from trading_platform.core.errors import FixConfigError
from trading_platform.machine.clocks import NEW_YORK

LAST_PRINTS = time(20, 0)  # New York: the end of extended hours
LATE_PART = 0.02  # largest part of a session's volume that is printed after its close
BAD_FACTOR = 10.0  # by which an absurd tick is off


@dataclass(frozen=True, slots=True)
class Misprint:
    """Fields of one bar that are wrong, until they are corrected (None: for good)."""

    symbol: str
    session: date
    values: dict[str, float]
    until: datetime | None

    @classmethod
    def from_json(cls, wish: Json) -> Misprint:
        """Read an admin request: `symbol`, `session`, any of open, high, low, close, volume, and `until`.

        Raises
        ------
        FixConfigError
            It has fields that no bar has.
        """
        names = ("open", "high", "low", "close", "volume")
        unknown = set(wish) - {*names, "symbol", "session", "until"}
        if unknown:
            raise FixConfigError(f"bars: {', '.join(sorted(unknown))} unknown; a bar has {', '.join(names)}")
        until = wish.get("until")
        return cls(
            symbol=str(wish["symbol"]),
            session=date.fromisoformat(str(wish["session"])),
            values={name: float(str(wish[name])) for name in names if name in wish},
            until=None if until is None else datetime.fromisoformat(str(until)),
        )


@dataclass(frozen=True, slots=True)
class LastTrade:
    """The last trade of a ticker as it is told: stale, of before the open, or absurd, until the given time."""

    symbol: str
    price: float
    at: datetime
    until: datetime | None

    @classmethod
    def from_json(cls, wish: Json) -> LastTrade:
        """Read an admin request: `symbol`, `price`, `at`, and perhaps `until`."""
        until = wish.get("until")
        return cls(
            symbol=str(wish["symbol"]),
            price=float(str(wish["price"])),
            at=datetime.fromisoformat(str(wish["at"])),
            until=None if until is None else datetime.fromisoformat(str(until)),
        )


class Prints:
    """What is printed of a finished session, now, and of the last trade."""

    def __init__(self, market: SimulatedMarket) -> None:
        self._market = market
        self.misprints: list[Misprint] = []
        self.trades: list[LastTrade] = []

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return price and time of the last trade as the data service tells it."""
        market = self._market
        for told in reversed(self.trades):
            if told.symbol == symbol and (told.until is None or market.now < told.until):
                return told.price, told.at
        return market.price(symbol) or 0.0, market.now if market.is_open else market.closes[max(market.closed_row, 0)]

    def bar(self, row: int, symbol: str) -> Bar:
        """Return the bar of session `row` as the service shows it at this moment."""
        market = self._market
        bar, behaviour = market.bar(row, symbol), market.behaviour
        changes = behaviour.late_prints or behaviour.bad_ticks > 0.0
        if not changes and not self.misprints:  # a page has ten thousand bars
            return bar
        day, now = market.session_at(row), market.now
        if changes and bar.traded and row == market.closed_row:  # of today, or of yesterday until the next open
            if behaviour.late_prints:
                bar = Bar(bar.open, bar.high, bar.low, bar.close, self._volume(bar, day, symbol))
            if behaviour.bad_ticks > 0.0 and not self._is_corrected(row):
                bar = self._bad(bar, day, symbol)
        for misprint in self.misprints:
            is_meant = (misprint.symbol, misprint.session) == (symbol, day)
            if is_meant and (misprint.until is None or now < misprint.until):
                known = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}
                bar = Bar(**{**known, **misprint.values})
        return bar

    def _is_corrected(self, row: int) -> bool:
        after = row + 1
        return after < len(self._market.opens) and self._market.now >= self._market.opens[after] - DAWN_BEFORE_OPEN

    def _volume(self, bar: Bar, day: date, symbol: str) -> float:
        """Return the volume so far: a drawn part of it is printed evenly until 20:00."""
        close = self._market.closes[self._market.closed_row]
        end = datetime.combine(day, LAST_PRINTS, tzinfo=NEW_YORK).astimezone(UTC)
        done = min(max((self._market.now - close) / (end - close), 0.0), 1.0)
        late = LATE_PART * uniform(self._market.seed, day, self._market.security(symbol), Draw.LATE_PRINT)
        return math.floor(bar.volume * (1.0 - late * (1.0 - done)))

    def _bad(self, bar: Bar, day: date, symbol: str) -> Bar:
        key = self._market.seed, day, self._market.security(symbol)
        if uniform(*key, Draw.BAD_TICK) >= self._market.behaviour.bad_ticks:
            return bar
        if uniform(*key, Draw.BAD_SIDE) < 0.5:
            return Bar(bar.open, bar.high, round(bar.low / BAD_FACTOR, 4), bar.close, bar.volume)
        return Bar(bar.open, bar.high * BAD_FACTOR, bar.low, bar.close, bar.volume)
