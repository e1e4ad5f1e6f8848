"""Puts the alerts of a live engine together: from settings to the post that its loop hands its looks to."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Engine

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.alert_states import AlertKind, AlertState, moment
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.watchdog import Watchdog, end_process
from trading_platform.reporting.alert_channels import Ping, channels_of, names_of
from trading_platform.reporting.alert_post import AlertPost
from trading_platform.storage.account_states import account_states
from trading_platform.storage.alert_log import AlertLog, silent_since
from trading_platform.storage.run_targets import KINDS

log = logging.getLogger("trading_platform.runtime.alerting")


class Ears(Protocol):
    """Who hears of a look."""

    def look(self, states: Sequence[AlertState], *, complete: bool) -> None:
        """Take what was seen; must return at once."""
        ...


class NobodyListens:
    """No channel is set up."""

    def look(self, states: Sequence[AlertState], *, complete: bool) -> None:
        """Take no notice."""


def open_post(
    settings: Settings, config: TradingConfig, database: Engine, run_id: int, mode: str, name: str
) -> AlertPost | None:
    """Return the post of an account, None if there is nobody to tell. Call it before the run is taken.

    An engine that went without a word is noted, so that the first look tells that it is up again.
    """
    channels = channels_of(settings, config.alerts)
    url = settings.ping_url
    if not channels and url is None:
        return None
    log_book = AlertLog(database, run_id)
    now = utc_now()
    since = silent_since(database, run_id, now)
    if since is not None:
        words = "The engine is DOWN without a word: killed, or its machine was gone"
        log_book.note_end(AlertState(AlertKind.ENGINE_DOWN, "", since, words), now, told=False)
        log.warning("the engine of run %d spoke last at %s, and went without a word", run_id, moment(since))
    log.info("alerts go to: %s", names_of(channels))
    ping = None if url is None else Ping(url, config.alerts.ping_minutes)
    account = " ".join(filter(None, (KINDS.get(mode, mode), name)))
    standing = functools.partial(account_states, database, run_id)
    before = standing()  # by an earlier process: its look and the next one are two in a row
    return AlertPost(log_book, standing, channels, ping, config.alerts, account, run_id, utc_now, before)


@contextmanager
def posted(post: AlertPost | None, *, drained: bool) -> Iterator[None]:
    """Let the post work for the engine's life, and tell its end by a fault.

    A single look (`drained`) waits until it has been told: no further one would send what is left.
    """
    if post is None:
        yield
        return
    with post:
        yield
        if drained:
            post.drain()


def telling_watchdog(post: AlertPost | None) -> Watchdog:
    """Return a watchdog that tells before it ends the process."""
    if post is None:
        return Watchdog()

    def end() -> None:
        post.last_word("no look at the account was over in time, its watchdog ends it")
        end_process()

    return Watchdog(act=end)
