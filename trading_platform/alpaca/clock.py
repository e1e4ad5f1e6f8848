"""The broker's clock: followed in dry runs, where time is simulated, and compared with ours where it is real."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from trading_platform.alpaca.answers import BrokerClock
from trading_platform.alpaca.failures import AlpacaRefusalError
from trading_platform.core.errors import BrokerUnreachableError, OperatorNeededError
from trading_platform.machine.clocks import utc_now

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


class SkewGuard:
    """Compares this machine's clock with the broker's while trading.

    Parameters
    ----------
    reader
        Who is asked for the broker's time.
    now
        This machine's clock.
    """

    def __init__(self, reader: ClockReader, now: Callable[[], datetime]) -> None:
        self._reader = reader
        self._now = now
        self._is_off = False

    def brokers_now(self) -> datetime:
        """Return the broker's time.

        Raises
        ------
        BrokerUnreachableError
            It could not be read.
        """
        try:
            return self._reader.exchange_clock().timestamp
        except AlpacaRefusalError as error:
            raise BrokerUnreachableError(f"Alpaca refuses to show its clock: {error}") from error

    def compare(self) -> str | None:
        """Return why no new risk may be taken, None while the clocks are at most 30 s apart; said once when it changes.

        Raises
        ------
        BrokerUnreachableError
            The broker's clock could not be read: nobody knows.
        """
        try:
            skew = skew_of(self._reader, self._now)
        except AlpacaRefusalError as error:
            raise BrokerUnreachableError(f"Alpaca refuses to show its clock: {error}") from error
        was_off, self._is_off = self._is_off, not (skew <= SKEW_LIMIT)
        if self._is_off:
            seconds, limit = skew.total_seconds(), SKEW_LIMIT.total_seconds()
            words = f"this machine's clock is {seconds:.0f} s off Alpaca's (limit {limit:.0f} s): synchronise it (NTP)"
            if not was_off:
                log.error("%s; no new risk until they agree", words)
            return words
        if was_off:
            log.warning("this machine's clock agrees with Alpaca's again: new risk is allowed")
        return None


def skew_of(reader: ClockReader, now: Callable[[], datetime]) -> timedelta:
    """Return how far apart the clocks are at least: the answer may be of any instant since it was asked for."""
    before = now()
    theirs = reader.exchange_clock().timestamp
    return max(before - theirs, theirs - now(), timedelta())


def check_skew(reader: ClockReader) -> None:
    """Compare this machine's clock with the broker's before trading begins.

    Raises
    ------
    OperatorNeededError
        They are more than 30 s apart: approvals, sessions and stale data would be judged by a wrong time.
    """
    skew = skew_of(reader, utc_now)
    if skew > SKEW_LIMIT:
        raise OperatorNeededError(
            f"this machine's clock is {skew.total_seconds():.0f} s off Alpaca's: set it (NTP), then start again"
        )
    if skew > SKEW_WARNING:
        log.warning("this machine's clock is %.1f s off Alpaca's; synchronise it (NTP)", skew.total_seconds())
