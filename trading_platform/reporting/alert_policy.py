"""Which alerts may leave now: each once, folded by kind, not in quiet hours, and not too many an hour. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from trading_platform.configuration.running_tables import AlertsConfig
from trading_platform.core.alert_states import AlertKind
from trading_platform.storage.alert_log import LastTold, LoggedAlert

NEVER = LastTold(None, None)


class Due(NamedTuple):
    """What to do with alerts that nobody has been told of.

    Attributes
    ----------
    began, over
        Goes into the message that is due now.
    passed
        Came and went untold: nobody needs to hear of it.
    waits
        How many have to wait.
    """

    began: tuple[LoggedAlert, ...]
    over: tuple[LoggedAlert, ...]
    passed: tuple[LoggedAlert, ...]
    waits: int


def due(
    rows: Sequence[LoggedAlert],
    last: Mapping[AlertKind, LastTold],
    sent_in_hour: int,
    config: AlertsConfig,
    now: datetime,
) -> Due:
    """Return what may be told at `now` of the `rows` that are untold.

    An engine that was down is told of when it is up again, also if it could not say that it went.
    """
    passed = tuple(
        row
        for row in rows
        if row.told_at is None and row.over_at is not None and row.state.kind is not AlertKind.ENGINE_DOWN
    )
    left = [row for row in rows if row not in passed]
    if is_quiet(config, now) or sent_in_hour >= config.most_an_hour:
        return Due((), (), passed, len(left))
    pause = timedelta(minutes=config.quiet_minutes)
    began = tuple(row for row in left if row.over_at is None and _is_rested(last, row, now - pause))
    over = tuple(row for row in left if row.over_at is not None and _is_rested(last, row, now - pause))
    return Due(began, over, passed, len(left) - len(began) - len(over))


def is_quiet(config: AlertsConfig, now: datetime) -> bool:
    """Return True within the quiet hours."""
    if not config.quiet_hours:
        return False
    first, last = (time.fromisoformat(text) for text in config.quiet_hours.split("-"))
    at = now.astimezone(ZoneInfo(config.quiet_zone)).time()
    return first <= at < last if first <= last else not last <= at < first


def _is_rested(last: Mapping[AlertKind, LastTold], row: LoggedAlert, before: datetime) -> bool:
    """Return True if the kind's last message of this sort left at `before` or earlier."""
    told = last.get(row.state.kind, NEVER)
    at = told.began if row.over_at is None else told.over
    return at is None or at <= before
