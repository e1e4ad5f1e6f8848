"""What the owner must hear of at the moment: states of an account that begin, last, and are over.

A state is something that *is* so (a halt is in force, a position has no stop), not a line that was said once: whoever
looks later finds the same, with the same beginning. It is named by its kind and its subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class AlertKind(StrEnum):
    """What is told; the order is that of urgency."""

    ENGINE_DOWN = "engine_down"
    SECOND_ENGINE = "second_engine"
    HALT = "halt"
    UNPROTECTED = "unprotected"
    REJECTED_EXIT = "rejected_exit"
    ACCOUNT_UNREADABLE = "account_unreadable"
    QUARANTINE = "quarantine"
    NOT_SETTLED = "not_settled"
    REPLAY = "replay"


# Stored differences of these kinds are no doubt about the books: a stop that is missing, an exit that waits.
NO_COVER = "no_cover"
STOP_LACKS = frozenset({"unprotected", NO_COVER})
EXIT_WAITS = "exit_waits"
UNREADABLE = "unreadable"  # what the broker tells and nobody understands: left alone by object
OWNERS_THINGS = "owners_things"  # of the account's owner: shown, and no trouble of ours
LATE_EXIT = "should have left"  # how an exit that is overdue is worded; one that waits for its first open is no news


class AlertState(NamedTuple):
    """One thing that is so.

    Attributes
    ----------
    kind
        What it is.
    subject
        Whom it is about: a ticker, a halt's code; empty for the account as a whole.
    since
        When it began, aware UTC.
    words
        It in one line for people, with its numbers and without its beginning.
    """

    kind: AlertKind
    subject: str
    since: datetime
    words: str


class Wording(NamedTuple):
    """How a kind is said of several subjects at once, with their number and their names, and how its end is said."""

    several: str
    over: str


# Several states of one kind are one line, so that a bad morning is one message and not forty.
WORDINGS: dict[AlertKind, Wording] = {
    AlertKind.ENGINE_DOWN: Wording("{n} engines are down: {names}", "The engine is up again"),
    AlertKind.SECOND_ENGINE: Wording("Another engine trades this account", "The other engine sends no more"),
    AlertKind.HALT: Wording("{n} halts are in force: {names}", "New positions may be opened again"),
    AlertKind.UNPROTECTED: Wording("{n} positions have no stop: {names}", "Stops rest again"),
    AlertKind.REJECTED_EXIT: Wording(
        "{n} exits were rejected or are overdue: {names}", "The exit is out, or the position gone"
    ),
    AlertKind.ACCOUNT_UNREADABLE: Wording("The account cannot be read", "The account can be read again"),
    AlertKind.QUARANTINE: Wording("No new risk in {n}, our book and the broker's differ: {names}", "Books agree again"),
    AlertKind.NOT_SETTLED: Wording("{n} sessions are not settled: {names}", "The session is settled"),
    AlertKind.REPLAY: Wording(
        "Sessions differ from their replay without a cause", "What the account makes is explained again"
    ),
}
MOST_NAMES = 12


def lines_begun(states: Iterable[AlertState]) -> list[str]:
    """Return a line for each kind that has begun, the most urgent first; several subjects are folded into one."""
    lines = []
    for kind, found in _by_kind(states):
        if len(found) == 1:
            since = moment(found[0].since)
            lines.append(found[0].words if since in found[0].words else f"{found[0].words}; since {since}")
        else:
            names = _names([state.subject for state in found])
            since = moment(min(state.since for state in found))
            lines.append(f"{WORDINGS[kind].several.format(n=len(found), names=names)}; the first since {since}")
    return lines


def lines_over(states: Iterable[AlertState]) -> list[str]:
    """Return a line for each kind of which something is over, the most urgent first."""
    lines = []
    for kind, found in _by_kind(states):
        names = _names([state.subject for state in found if state.subject])
        about = f" ({names})" if names else ""
        lines.append(f"{WORDINGS[kind].over}{about}; it was so since {moment(min(state.since for state in found))}")
    return lines


def moment(at: datetime) -> str:
    """Return an instant as alerts say it."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _by_kind(states: Iterable[AlertState]) -> list[tuple[AlertKind, list[AlertState]]]:
    everything = sorted(states, key=lambda state: (state.subject, state.since))
    found = [(kind, [state for state in everything if state.kind is kind]) for kind in AlertKind]
    return [(kind, some) for kind, some in found if some]


def _names(subjects: Sequence[str]) -> str:
    rest = len(subjects) - MOST_NAMES
    shown = ", ".join(subjects[:MOST_NAMES])
    return f"{shown} and {rest} more" if rest > 0 else shown
