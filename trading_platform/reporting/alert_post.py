"""Tells people what is so with an account, on a thread of its own: trading never waits for it, nor ends by it.

The engine hands over what it saw at a look, and goes on. The thread adds what the database holds, notes what is new and
what is over, and sends what is due. Only the newest look counts: where a channel is slow, looks in between are left
out, and what lasts is told all the same. What could not be sent is tried again, by another process too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from trading_platform.configuration.running_tables import AlertsConfig
from trading_platform.core.alert_states import AlertKind, AlertState
from trading_platform.core.errors import TradingPlatformError
from trading_platform.reporting.alert_channels import Channel, Message
from trading_platform.reporting.alert_policy import due
from trading_platform.storage.alert_log import AlertLog

log = logging.getLogger("trading_platform.reporting.alert_post")

TRY_AGAIN_SECONDS = 60.0  # what had to wait, or did not arrive
SLOWEST_SECONDS = 900.0  # the longest pause between tries of a channel that fails
ENDING_SECONDS = 15.0  # an engine that ends by a fault lets its last word leave
HOUR_SECONDS = 3600.0
# The broker's history lags behind its positions by a moment: books that differ at one look only are no news.
SEEN_TWICE = frozenset({AlertKind.QUARANTINE})


class Look(NamedTuple):
    """What the engine saw at a look; `complete` if the account could be read and the look came to its end."""

    states: tuple[AlertState, ...]
    complete: bool


class AlertPost:
    """The engine's post; a context manager around its life.

    Parameters
    ----------
    log_book
        What has been told.
    standing
        Returns the states that the database holds.
    channels
        Where messages go.
    ping
        Called after each complete look; raises where it failed. None: nobody waits for it.
    config, account, run_id
        How often, and the account in words for people.
    now
        This machine's time.
    before
        What an earlier process has left standing.
    """

    def __init__(
        self,
        log_book: AlertLog,
        standing: Callable[[], Iterable[AlertState]],
        channels: Sequence[Channel],
        ping: Callable[[], None] | None,
        config: AlertsConfig,
        account: str,
        run_id: int,
        now: Callable[[], datetime],
        before: Iterable[AlertState] = (),
    ) -> None:
        self._log_book, self._standing, self._channels, self._ping = log_book, standing, channels, ping
        self._config, self._account, self._run_id, self._now = config, account, run_id, now
        self._lock = threading.Condition()
        self._look: Look | None = None
        self._last_word: str | None = None
        self._is_closing = False
        self._pause: float | None = None
        self._failures: dict[str, str] = {}
        self._seen = {state[:2] for state in before}  # at the look before
        self._sent: set[tuple[int, bool]] = set()  # rows and whether it was their end: a database may fail to note it
        self._thread = threading.Thread(target=self._serve, name="alerts", daemon=True)

    def __enter__(self) -> AlertPost:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, Exception) and getattr(error, "exit_code", 1) != 130:
            self.last_word(str(error) or type(error).__name__)
        self.close()

    def look(self, states: Iterable[AlertState], *, complete: bool) -> None:
        """Take what the engine saw; returns at once."""
        with self._lock:
            self._look = Look(tuple(states), complete)
            self._lock.notify_all()

    def last_word(self, words: str, patience: float = ENDING_SECONDS) -> None:
        """Tell that the engine goes down, waiting `patience` seconds for it to leave."""
        with self._lock:
            self._last_word = words
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._last_word is None or not self._thread.is_alive(), patience)

    def close(self, patience: float = 0.0) -> None:
        """End the thread: what is in hand is waited for `patience` seconds, the rest is for the next start."""
        with self._lock:
            self._is_closing = True
            self._lock.notify_all()
        self._thread.join(patience)

    def drain(self, patience: float = ENDING_SECONDS) -> None:
        """Wait until the last look has been told, at most `patience` seconds."""
        with self._lock:
            self._lock.wait_for(lambda: self._look is None or not self._thread.is_alive(), patience)

    # ------------------------------------------------------------ the thread

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(self._is_wanted, self._pause)
                if self._is_closing and self._last_word is None:
                    return
                look, words = self._look, self._last_word
            self._quietly("alerts", partial(self._work, look, words))
            with self._lock:
                self._look = None if self._look is look else self._look
                self._last_word = None if self._last_word is words else self._last_word
                self._lock.notify_all()

    def _is_wanted(self) -> bool:
        return self._is_closing or self._look is not None or self._last_word is not None

    def _work(self, look: Look | None, words: str | None) -> None:
        """Note and tell; a last word leaves even where nothing can be noted."""
        if look is not None:
            if look.complete and self._ping is not None:
                self._quietly("ping", self._ping)
            states = [*self._standing(), *look.states]
            early = [state for state in states if state.kind in SEEN_TWICE and state[:2] not in self._seen]
            self._seen = {state[:2] for state in states}
            self._log_book.take([state for state in states if state not in early], self._now(), early)
        if words is not None:
            now = self._now()
            going = AlertState(AlertKind.ENGINE_DOWN, "", now, f"The engine is DOWN: {words}")
            try:
                self._log_book.note_end(going, now, told=False)
            except (TradingPlatformError, SQLAlchemyError):
                self._send(Message(self._account, self._run_id, now, (going,)))
                raise
        self._tell()

    def _tell(self) -> None:
        """Send what is due, and note that it has been told."""
        now, book = self._now(), self._log_book
        sent = book.messages_since(datetime.fromtimestamp(now.timestamp() - HOUR_SECONDS, now.tzinfo))
        found = due(book.untold(), book.last_told(), sent, self._config, now)
        book.drop([row.id for row in found.passed], now)
        arrived = True
        began = tuple(row.state for row in found.began if (row.id, False) not in self._sent)
        over = tuple(row.state for row in found.over if (row.id, True) not in self._sent)
        if began or over:
            arrived = self._send(Message(self._account, self._run_id, now, began, over))
        if arrived:
            self._sent |= {(row.id, False) for row in found.began} | {(row.id, True) for row in found.over}
            book.tell_began([row.id for row in found.began], now)
            book.tell_over([row.id for row in found.over], now)
        if not arrived:
            self._pause = min(SLOWEST_SECONDS, 2.0 * (self._pause or TRY_AGAIN_SECONDS / 2.0))
        else:
            self._pause = TRY_AGAIN_SECONDS if found.waits else None

    def _send(self, message: Message) -> bool:
        """Send to every channel; return True if it arrived anywhere, so that nobody gets it twice."""
        arrived = [self._quietly(channel.name, partial(channel.send, message)) for channel in self._channels]
        return any(arrived)

    def _quietly(self, name: str, work: Callable[[], None]) -> bool:
        """Do `work`; a failure is one line in the log for as long as it stays the same. Return True if it is done."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever happens to an alert, trading goes on
            words = str(error) if isinstance(error, TradingPlatformError) else type(error).__name__
            if self._failures.get(name) != words:
                log.error("%s: %s", name, words)
            self._failures[name] = words
            return False
        if self._failures.pop(name, None) is not None:
            log.info("%s: works again", name)
        return True
