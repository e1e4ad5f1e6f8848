"""The simulated market: a panel of daily bars, an exchange calendar and a clock that only moves when told to.

Inside a session the price of a ticker walks in straight lines: the open at the opening bell, the low after a third of
the session, the high after two thirds, the close at the closing bell. So a stop and a target inside one bar are
reached in the order that the paper broker assumes (the worse one first); with `Behaviour.seeded_path` the order of low
and high is drawn. Beside the panel's tickers there is the benchmark, and whatever a ticker has been renamed to.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from trading_platform.alpaca_server.behaviour import EXACT, Behaviour
from trading_platform.alpaca_server.benchmark import BENCHMARK, benchmark_bars
from trading_platform.alpaca_server.draws import Draw, uniform
from trading_platform.alpaca_server.paths import Bar, piece
from trading_platform.core.errors import FixConfigError
from trading_platform.core.ports import TradingCalendar
from trading_platform.core.types import MarketPanel

DAWN_BEFORE_OPEN = timedelta(minutes=90)
NO_BAR = Bar(math.nan, math.nan, math.nan, math.nan, 0.0)


class Moment(StrEnum):
    """Instants of a session at which something happens; at `dawn` corporate actions are booked, 90 minutes early."""

    DAWN = "dawn"
    OPEN = "open"
    LOW = "low"
    HIGH = "high"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Event:
    """A moment of session `row`."""

    at: datetime
    moment: Moment
    row: int


class SimulatedMarket:
    """Prices, sessions and time of the local server.

    Parameters
    ----------
    panel
        Daily bars; its sessions are the trading days.
    calendar
        Opening and closing bells of those sessions.
    start
        Session before whose open the clock starts (the second of the panel when None, so that there is a yesterday).
    behaviour, seed
        What is drawn of paths and auctions, and from which seed.
    """

    def __init__(
        self,
        panel: MarketPanel,
        calendar: TradingCalendar,
        start: date | None = None,
        behaviour: Behaviour = EXACT,
        seed: int = 0,
    ) -> None:
        if panel.n_sessions < 2:
            raise FixConfigError(
                f"the local Alpaca server needs at least two sessions, {panel.source} has {panel.n_sessions}"
            )
        self.panel = panel
        self.sessions = tuple(panel.session(t) for t in range(panel.n_sessions))
        self.opens = tuple(calendar.open_at(day).astimezone(UTC) for day in self.sessions)
        self.closes = tuple(calendar.close_at(day).astimezone(UTC) for day in self.sessions)
        self.behaviour = behaviour
        self.seed = seed
        self._columns = {ticker: column for column, ticker in enumerate(panel.tickers)}
        self._benchmark = benchmark_bars(panel)
        self._names: dict[str, str] = {}  # a new ticker -> the one whose prices it goes on with
        # a ticker -> the first one of the same security; a panel may have joined names already
        self._ids = dict(zip(panel.tickers, panel.security_ids, strict=True))
        self._ended: dict[str, int] = {}  # a ticker that is no longer -> the first row without it
        row = 1 if start is None else self._row_at_or_after(start)
        self.now = self.opens[row] - timedelta(hours=1)

    def _row_at_or_after(self, day: date) -> int:
        for row, session in enumerate(self.sessions):
            if session >= day and row > 0:
                return row
        raise FixConfigError(f"no session on or after {day} in {self.panel.source}; it ends {self.sessions[-1]}")

    @property
    def tickers(self) -> tuple[str, ...]:
        """Tickers of the panel, sorted."""
        return self.panel.tickers

    @property
    def symbols(self) -> tuple[str, ...]:
        """All that has a price: the panel's tickers, the benchmark, new names of old tickers; sorted."""
        benchmark = (BENCHMARK,) if self._benchmark else ()
        return tuple(sorted({*self.panel.tickers, *benchmark, *self._names}))

    def knows(self, ticker: str) -> bool:
        """Return True if `ticker` has prices."""
        return ticker in self._columns or ticker in self._names or (ticker == BENCHMARK and bool(self._benchmark))

    def rename(self, old: str, new: str, row: int) -> None:
        """Let `old` be called `new` from session `row` on; a column of the panel called `new` keeps its own prices."""
        self.end(old, row)
        self._ids[new] = self.security(old)
        if new not in self._columns:
            self._names[new] = self._names.get(old, old)

    def end(self, ticker: str, row: int) -> None:
        """Let `ticker` trade no more from session `row` on."""
        self._ended[ticker] = row

    def security(self, ticker: str) -> str:
        """Return the id of a security that a rename keeps: its first ticker."""
        return self._ids.get(ticker, ticker)

    def _column(self, ticker: str) -> int | None:
        """Return the column of the panel that has the prices of `ticker`."""
        return self._columns.get(self._names.get(ticker, ticker))

    def low_first(self, row: int, ticker: str) -> bool:
        """Return True if the low of the session comes before its high."""
        if not self.behaviour.seeded_path:
            return True
        return uniform(self.seed, self.sessions[row], self.security(ticker), Draw.PATH) < 0.5

    def auction(self, row: int, ticker: str) -> float:
        """Return the opening auction's price, which is near the bar's open, the first trade."""
        opened, most = self.bar(row, ticker).open, self.behaviour.auction_most
        if most == 0.0 or not (opened > 0.0):
            return opened
        key = self.seed, self.sessions[row], self.security(ticker)
        size = self.behaviour.auction_least + (most - self.behaviour.auction_least) * uniform(*key, Draw.AUCTION)
        sign = 1.0 if uniform(*key, Draw.AUCTION_SIGN) < 0.5 else -1.0
        return round(opened * (1.0 + sign * size), 2 if opened >= 1.0 else 4)

    @property
    def opened_row(self) -> int:
        """Row of the last session whose opening bell has rung, -1 before the first."""
        return bisect_right(self.opens, self.now) - 1

    @property
    def closed_row(self) -> int:
        """Row of the last session whose closing bell has rung, -1 before the first."""
        return bisect_right(self.closes, self.now) - 1

    @property
    def is_open(self) -> bool:
        """True between the opening and the closing bell."""
        return self.opened_row > self.closed_row

    @property
    def next_row(self) -> int | None:
        """Row of the next session to open, None after the last."""
        row = self.opened_row + 1
        return row if row < len(self.sessions) else None

    @property
    def trading_row(self) -> int | None:
        """Row of the session in which an order sent now is worked: the running one, or the next."""
        return self.opened_row if self.is_open else self.next_row

    @property
    def session_row(self) -> int:
        """Row of the session of this instant: until its closing bell the running one, then the next (or the last)."""
        row = max(self.opened_row, 0)
        return row if self.now <= self.closes[row] else min(row + 1, len(self.sessions) - 1)

    def session_at(self, row: int) -> date:
        """Return the date of `row`."""
        return self.sessions[row]

    def next_open(self) -> datetime:
        """Return the next opening bell; past the end of the panel, the same time on the next weekday."""
        row = self.next_row
        return self.opens[row] if row is not None else _next_weekday(self.opens[-1])

    def next_close(self) -> datetime:
        """Return the next closing bell."""
        row = self.closed_row + 1
        return self.closes[row] if row < len(self.closes) else _next_weekday(self.closes[-1])

    def next_evening(self, after_close: timedelta) -> datetime:
        """Return the next instant that lies `after_close` after a closing bell."""
        row = self.closed_row
        if row >= 0 and self.now < self.closes[row] + after_close:
            return self.closes[row] + after_close
        return self.next_close() + after_close

    def bar(self, row: int, ticker: str) -> Bar:
        """Return the full bar of `ticker` in session `row`."""
        if self._ended and row >= self._ended.get(ticker, len(self.sessions)):
            return NO_BAR
        column = self._columns.get(ticker) if not self._names else self._column(ticker)
        if column is None:
            return self._benchmark.get(row, NO_BAR)
        panel = self.panel
        return Bar(
            float(panel.open[row, column]),
            float(panel.high[row, column]),
            float(panel.low[row, column]),
            float(panel.close[row, column]),
            float(panel.volume[row, column]),
        )

    def running_bar(self, ticker: str) -> Bar | None:
        """Return today's half-built bar while the exchange is open, None otherwise or where nothing traded."""
        if not self.is_open:
            return None
        bar = self.bar(self.opened_row, ticker)
        if not bar.traded:
            return None
        part = self._elapsed()
        so_far = piece(bar, self.low_first(self.opened_row, ticker), 0.0, part)
        return Bar(so_far.open, so_far.high, so_far.low, so_far.close, math.floor(bar.volume * part))

    def price(self, ticker: str) -> float | None:
        """Return the last price of `ticker` now, None if it has never traded."""
        running = self.running_bar(ticker)
        if running is not None:
            return running.close
        return self.close_before(ticker, self.closed_row)

    def close_before(self, ticker: str, row: int) -> float | None:
        """Return the last known close of `ticker` at or before session `row`."""
        while row >= 0:
            close = self.bar(row, ticker).close
            if close > 0.0:
                return close
            row -= 1
        return None

    def split_ratio(self, row: int, ticker: str) -> float:
        """Return the factor on the share count at the open of session `row`."""
        ratios, column = self.panel.split_ratio, self._column(ticker)
        ratio = 1.0 if ratios is None or column is None else float(ratios[row, column])
        return ratio if ratio > 0.0 else 1.0

    def dividend(self, row: int, ticker: str) -> float:
        """Return dollars a share with ex-date session `row`."""
        dividends, column = self.panel.dividend, self._column(ticker)
        amount = 0.0 if dividends is None or column is None else float(dividends[row, column])
        return amount if amount > 0.0 else 0.0

    def events(self, until: datetime) -> Iterator[Event]:
        """Yield the moments after now up to and including `until`, oldest first."""
        for row in range(max(self.closed_row, 0), len(self.sessions)):
            if self.opens[row] - DAWN_BEFORE_OPEN > until:
                return
            for at, moment in self._moments(row):
                if self.now < at <= until:
                    yield Event(at, moment, row)

    def _moments(self, row: int) -> tuple[tuple[datetime, Moment], ...]:
        opening, closing = self.opens[row], self.closes[row]
        third = (closing - opening) / 3
        return (
            (opening - DAWN_BEFORE_OPEN, Moment.DAWN),
            (opening, Moment.OPEN),
            (opening + third, Moment.LOW),
            (opening + 2 * third, Moment.HIGH),
            (closing, Moment.CLOSE),
        )

    def _elapsed(self) -> float:
        row = self.opened_row
        return (self.now - self.opens[row]) / (self.closes[row] - self.opens[row])


def _next_weekday(instant: datetime) -> datetime:
    instant += timedelta(days=1)
    while instant.weekday() >= 5:
        instant += timedelta(days=1)
    return instant
