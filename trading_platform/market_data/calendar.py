"""Sessions of an exchange, half days, holidays and daylight saving time; New York's unless another is named.

The covered range is fixed, so no answer depends on today's date. Importing this module reads nothing; the hours come
from `market_data.schedule` on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Floats, Ints
from trading_platform.market_data.exchange import NEW_YORK
from trading_platform.market_data.schedule import (
    FIRST_DAY,
    LAST_DAY,
    Schedule,
    Sessions,
    exchange_schedule,
    exchange_zone,
)


class ExchangeCalendar:
    """Sessions of an exchange; implements `core.ports.TradingCalendar`.

    `name` is a market identifier code as exchange_calendars has them, e.g. XLON. Reading the hours of another exchange
    than New York takes a second, once a process.

    The exchange clock counts seconds during which the exchange was open, from the open of the first covered session
    (2 January 1990). It stands still overnight, at weekends and on holidays, and a half day adds less.

    Raises
    ------
    MarketDataError
        A day outside 1990-2060, or a day that is not a session where a session is needed.
    """

    def __init__(self, name: str = NEW_YORK) -> None:
        self.name = name

    @property
    def zone(self) -> str:
        """The exchange's time zone, e.g. Europe/London."""
        return exchange_zone(self.name)

    def is_session(self, day: date) -> bool:
        """Return True if the exchange opens on `day`."""
        schedule = self._schedule()
        row = self._row(day)
        return row < len(schedule.sessions) and bool(schedule.sessions[row] == np.datetime64(day, "D"))

    def open_at(self, session: date) -> datetime:
        """Return the open of `session` in UTC."""
        return _instant(self._schedule().opens[self._session_row(session)])

    def close_at(self, session: date) -> datetime:
        """Return the close of `session` in UTC (earlier on half days)."""
        return _instant(self._schedule().closes[self._session_row(session)])

    def next_session(self, day: date) -> date:
        """Return the first session after `day`."""
        return _day(self._schedule().sessions[self._row(day + timedelta(days=1))])

    def previous_session(self, day: date) -> date:
        """Return the last session before `day`."""
        row = self._row(day) - 1
        if row < 0:
            raise MarketDataError(f"no session before {day} is known; the calendar begins on {FIRST_DAY}")
        return _day(self._schedule().sessions[row])

    def sessions_between(self, start: date, end: date) -> Sessions:
        """Return the sessions in [start, end], increasing, as datetime64[D] (T,)."""
        first, last = self._row(start), self._row(end)
        sessions = self._schedule().sessions
        stop = last + int(last < len(sessions) and bool(sessions[last] == np.datetime64(end, "D")))
        return sessions[first:stop].copy()

    def age_in_sessions(self, seen: date, day: date) -> int:
        """Return how many sessions came after `seen`, up to `day`; weekdays are counted outside the calendar."""
        if not (FIRST_DAY <= seen <= LAST_DAY and FIRST_DAY <= day <= LAST_DAY):
            return int(np.busday_count(seen + timedelta(days=1), day + timedelta(days=1)))
        bounds = np.array([seen, day], dtype="datetime64[D]")
        before, upto = np.searchsorted(self._schedule().sessions, bounds, side="right")
        return int(upto - before)

    def session_at(self, instant: datetime) -> date | None:
        """Return the session that is open at `instant` (open included, close excluded), or None while closed."""
        schedule, seconds = self._schedule(), _seconds(instant)
        row = int(np.searchsorted(schedule.opens, seconds, side="right")) - 1
        return _day(schedule.sessions[row]) if row >= 0 and seconds < schedule.closes[row] else None

    def last_completed_session(self, instant: datetime) -> date:
        """Return the newest session whose close is at or before `instant`."""
        schedule, seconds = self._schedule(), _seconds(instant)
        row = int(np.searchsorted(schedule.closes, seconds, side="right")) - 1
        if row < 0:
            raise MarketDataError(f"no session had closed by {instant}; the calendar begins on {FIRST_DAY}")
        return _day(schedule.sessions[row])

    def exchange_seconds(self, sessions: Sequence[date] | Sessions) -> Floats:
        """Return cumulative open seconds at each session's close, (T,), since the open of the first covered session."""
        return self._schedule().seconds[self._session_rows(sessions)]

    def session_times(self, sessions: Sequence[date] | Sessions) -> tuple[list[datetime], list[datetime]]:
        """Return the opens and the closes of `sessions` in UTC, as `open_at` and `close_at` have them."""
        schedule, rows = self._schedule(), self._session_rows(sessions)
        opens, closes = schedule.opens[rows].tolist(), schedule.closes[rows].tolist()
        return [_instant(seconds) for seconds in opens], [_instant(seconds) for seconds in closes]

    def _schedule(self) -> Schedule:
        return exchange_schedule(self.name)

    def _row(self, day: date) -> int:
        """Return the number of sessions before `day`."""
        if not (FIRST_DAY <= day <= LAST_DAY):
            raise MarketDataError(f"{day} is outside the calendar, which covers {FIRST_DAY} to {LAST_DAY}")
        return int(np.searchsorted(self._schedule().sessions, np.datetime64(day, "D")))

    def _session_rows(self, sessions: Sequence[date] | Sessions) -> Ints:
        schedule = self._schedule()
        wanted = np.asarray(sessions, dtype="datetime64[D]")
        rows = np.minimum(np.searchsorted(schedule.sessions, wanted), len(schedule.sessions) - 1)
        strange = schedule.sessions[rows] != wanted
        if np.any(strange):
            self._session_row(_day(wanted[strange][0]))
        return rows

    def _session_row(self, day: date) -> int:
        row, sessions = self._row(day), self._schedule().sessions
        if row == len(sessions) or sessions[row] != np.datetime64(day, "D"):
            following = f"; the next one is {_day(sessions[row])}" if row < len(sessions) else ""
            raise MarketDataError(f"{day} ({day:%A}) is not {_an(self.name)} session{following}")
        return row


class NyseCalendar(ExchangeCalendar):
    """Sessions of the New York Stock Exchange."""

    def __init__(self) -> None:
        super().__init__(NEW_YORK)


def _an(exchange: str) -> str:
    return "an NYSE" if exchange == NEW_YORK else f"an {exchange}"


def _day(session: np.datetime64) -> date:
    value: date = session.astype("datetime64[D]").item()
    return value


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


def _seconds(instant: datetime) -> float:
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant!r}: pass an aware one, e.g. datetime.now(UTC)")
    return instant.timestamp()
