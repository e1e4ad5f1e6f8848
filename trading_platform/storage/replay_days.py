"""The account's days beside the kernel's, for people: the last one with its causes, sums by week and of all.

Free of SQLAlchemy: the report reads without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple, TypedDict

from trading_platform.core.replay_causes import CAUSE_WORDS, Cause
from trading_platform.storage.reader import as_date

DONE, FAILED = "done", "failed"
WEEKS = 8  # that are told one by one

REPLAY_DAYS = """
SELECT session, state, live_equity, replay_equity, unexplained, causes, items, message
FROM replay_checks WHERE run_id = :run AND session <= :session AND state IN ('done', 'failed') ORDER BY session"""


class ReplayDay(NamedTuple):
    """A session that was compared, or could not be (`message`). Money in cents; `causes` by name."""

    session: date
    state: str
    live_equity: int
    replay_equity: int
    unexplained: int
    causes: dict[str, int]
    items: tuple[tuple[str, str, int, str], ...]
    message: str

    @property
    def difference(self) -> int:
        """By how much the account has made more than the kernel."""
        return self.live_equity - self.replay_equity


class ReplayItem(TypedDict):
    """A difference with its cause, dollars."""

    cause: str
    ticker: str | None
    dollars: float
    text: str


class ReplaySums(TypedDict):
    """What sessions differ by, dollars; `causes` by name."""

    sessions: int
    difference: float
    unexplained: float
    causes: dict[str, float]


class ReplayWeek(ReplaySums):
    """The same of one week, such as 2026-W48."""

    week: str


class ReplaySummary(TypedDict):
    """Live against replay as JSON values, dollars: the newest session, weeks, and all of them."""

    session: str
    compared: bool
    message: str | None
    difference: float | None
    unexplained: float | None
    unexplained_since: str | None
    causes: dict[str, float]
    items: list[ReplayItem]
    weeks: list[ReplayWeek]
    since_start: ReplaySums


def replay_days(rows: Iterable[Sequence[Any]]) -> tuple[ReplayDay, ...]:
    """Return the days in the rows of `REPLAY_DAYS`."""
    return tuple(
        ReplayDay(
            as_date(row[0]),
            str(row[1]),
            int(row[2] or 0),
            int(row[3] or 0),
            int(row[4] or 0),
            json.loads(row[5]),
            tuple((cause, ticker, cents, words) for cause, ticker, cents, words in json.loads(row[6])),
            str(row[7]),
        )
        for row in rows
    )


def replay_summary(days: Sequence[ReplayDay]) -> ReplaySummary | None:
    """Return live against replay as JSON values, dollars; None where nothing was ever compared."""
    if not days:
        return None
    done = [day for day in days if day.state == DONE]
    weeks: dict[str, list[ReplayDay]] = {}
    for day in done:
        year, week, _ = day.session.isocalendar()
        weeks.setdefault(f"{year}-W{week:02d}", []).append(day)
    newest = days[-1]
    return {
        "session": str(newest.session),
        "compared": newest.state == DONE,
        "message": newest.message or None,
        "difference": newest.difference / 100 if newest.state == DONE else None,
        "unexplained": newest.unexplained / 100 if newest.state == DONE else None,
        "unexplained_since": _unexplained_since(done),
        "causes": _dollars(newest.causes),
        "items": [
            {"cause": cause, "ticker": ticker or None, "dollars": cents / 100, "text": words}
            for cause, ticker, cents, words in newest.items
        ],
        "weeks": [{"week": week, **_sums(some)} for week, some in list(weeks.items())[-WEEKS:]],
        "since_start": _sums(done),
    }


def replay_words(summary: ReplaySummary) -> list[str]:
    """Return live against replay in lines: the last session, this week, and since the start."""
    if (difference := summary["difference"]) is None:
        lines = [f"{summary['session']} could not be compared: {summary['message']}"]
    else:
        lines = [f"{summary['session']}: {_words(difference, summary['causes'])}"]
    for name, sums in [*(("this week", week) for week in summary["weeks"][-1:]), ("ever", summary["since_start"])]:
        sessions = f"{sums['sessions']} session{'s' * (sums['sessions'] != 1)}"
        lines.append(f"{name}, {sessions}: {_words(sums['difference'], sums['causes'])}")
    return lines


def _words(difference: float, causes: dict[str, float]) -> str:
    if not causes:
        return "as the replay, to the cent" if difference == 0.0 else f"{difference:+,.2f}"
    largest = sorted(causes.items(), key=lambda pair: -abs(pair[1]))
    return f"{difference:+,.2f} ({', '.join(f'{CAUSE_WORDS[Cause(name)]} {value:+,.2f}' for name, value in largest)})"


def _sums(days: Sequence[ReplayDay]) -> ReplaySums:
    causes: dict[str, int] = {}
    for day in days:
        for name, cents in day.causes.items():
            causes[name] = causes.get(name, 0) + cents
    return {
        "sessions": len(days),
        "difference": sum(day.difference for day in days) / 100,
        "unexplained": sum(day.unexplained for day in days) / 100,
        "causes": _dollars(causes),
    }


def _dollars(causes: dict[str, int]) -> dict[str, float]:
    return {name: cents / 100 for name, cents in causes.items() if cents != 0}


def _unexplained_since(done: Sequence[ReplayDay]) -> str | None:
    """Return the first of the newest sessions in a row of which something has no cause."""
    since = None
    for day in reversed(done):
        if not day.unexplained:
            break
        since = day.session
    return None if since is None else str(since)
