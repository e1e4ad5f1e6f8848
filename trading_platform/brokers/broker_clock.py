"""The broker's clock: followed in dry runs, where time is simulated, and compared with ours where it is real."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Protocol

from trading_platform.brokers.alpaca_answers import BrokerClock
from trading_platform.core.errors import BrokerUnreachableError, OperatorNeededError

log = logging.getLogger("trading_platform.clock")

SKEW_WARNING = timedelta(seconds=2)
SKEW_LIMIT = timedelta(seconds=30)


class ClockReader(Protocol):
    """Who can be asked for the broker's time."""

    def exchange_clock(self) -> BrokerClock:
        """Return the broker's clock."""
        ...


class FollowedClock:
    """A broker's simulated time, asked for once a scan: in between it stands still, as it does at the broker.

    `now` is what everybody below the loop uses; `asking` is the loop's own view, which asks.
    """

    def __init__(self, reader: ClockReader) -> None:
        self._reader = reader
        self._now = reader.exchange_clock().timestamp

    def now(self) -> datetime:
        """Return the time as last asked for, in UTC."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Accept and ignore: the broker's time is nobody's to set."""

    @property
    def asking(self) -> AskingClock:
        """A clock that asks the broker each time."""
        return AskingClock(self)

    def ask(self) -> datetime:
        """Ask for the time; a broker that does not answer leaves it where it was, and it never runs backwards."""
        try:
            self._now = max(self._now, self._reader.exchange_clock().timestamp)
        except BrokerUnreachableError as error:
            log.warning("the broker's clock: %s", error)
        return self._now


class AskingClock:
    """`FollowedClock` that asks each time."""

    def __init__(self, followed: FollowedClock) -> None:
        self._followed = followed

    def now(self) -> datetime:
        """Ask for the time, in UTC."""
        return self._followed.ask()


def check_skew(reader: ClockReader) -> None:
    """Compare this machine's clock with the broker's.

    Raises
    ------
    OperatorNeededError
        They are more than 30 s apart: approvals, sessions and stale data would be judged by a wrong time.
    """
    before = datetime.now(UTC)
    theirs = reader.exchange_clock().timestamp
    after = datetime.now(UTC)
    skew = max(before - theirs, theirs - after, timedelta())
    if skew > SKEW_LIMIT:
        raise OperatorNeededError(
            f"this machine's clock is {skew.total_seconds():.0f} s off Alpaca's: set it (NTP), then start again"
        )
    if skew > SKEW_WARNING:
        log.warning("this machine's clock is %.1f s off Alpaca's; synchronise it (NTP)", skew.total_seconds())
