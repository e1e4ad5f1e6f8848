"""What time it is: the wall's, or that of a replay's bars; and the exchange's zone."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from trading_platform.core.day_count import NEW_YORK_ZONE

NEW_YORK = ZoneInfo(NEW_YORK_ZONE)


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def steady_seconds() -> float:
    """Return seconds from some start that only ever grow: nobody sets them, and a machine's sleep counts where it can.

    Waiting goes by these. A wall clock that is set, stepped or wrong after a sleep then costs no look.
    """
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere sleep may not count, and the wall tells of it
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


def session_of(at: datetime) -> date:
    """Return the New York date of an instant."""
    return at.astimezone(NEW_YORK).date()


class ReplayClock:
    """Time as the replay has it: the close of the session being decided. Between sessions it stands still."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the current instant of the replay, in UTC."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Move to `instant`."""
        self._now = instant


class WallClock:
    """The real time; a close that the engine works on does not move it."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return utc_now()

    def set(self, instant: datetime) -> None:
        """Accept and ignore: real time is nobody's to set."""


class EngineClock(Protocol):
    """A clock that follows the session being worked on, if it can."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        ...

    def set(self, instant: datetime) -> None:
        """Take notice that work is at `instant`."""
        ...
