"""What time it is: the wall's, or that of a replay's bars; and the exchange's zone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


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
