"""`consent` and `veto`: what the owner says to entries that wait for the next open (`[engine] consent`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Engine

from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import did_you_mean
from trading_platform.machine.clocks import utc_now
from trading_platform.operations.commands import (
    NOT_OBEYED,
    Patience,
    Place,
    database_place,
    existing_database,
    wait_until_obeyed,
)
from trading_platform.reporting.status_screen import ahead_words, complain, say, show_json
from trading_platform.storage.consents import ANSWERS, CONSENT, next_open, subject_of
from trading_platform.storage.database import open_database
from trading_platform.storage.operator_requests import leave_command
from trading_platform.storage.run_state import OrderAhead
from trading_platform.storage.run_targets import Account, Target, all_accounts, meant_accounts


class Said(NamedTuple):
    """An answer: "consent" or "veto", to one ticker (None: to all that waits), and why."""

    kind: str
    ticker: str | None
    reason: str


def leave_answer(
    writing: Engine, run_id: int, said: Said, now: datetime, actor: str | None = None, session: str | None = None
) -> tuple[int, str]:
    """Write an answer to what waits in a run; return the command's id, and the session that it speaks of.

    Raises
    ------
    FixConfigError
        As `answered_decision`.
    """
    decided = answered_decision(writing, run_id, said, session)
    subject = subject_of(date.fromisoformat(decided), said.ticker)
    return leave_command(writing, run_id, said.kind, said.reason, now, subject, actor), decided


def answered_decision(database: Engine, run_id: int, said: Said, session: str | None = None) -> str:
    """Return the session whose decision an answer speaks of.

    `session` is the decision that the answer was given to, where whoever answers has seen one; it must be the newest.

    Raises
    ------
    FixConfigError
        Nothing waits for an answer, this ticker does not, or it was another decision.
    """
    ahead = next_open(database, run_id)
    decided, waiting = ahead["session"], ahead["waiting"]
    if session is not None and session != decided:
        newest = decided or "none"
        raise FixConfigError(f"that was the decision of {session}; by now it is {newest}: nothing was changed")
    if not waiting or decided is None:
        raise FixConfigError(f"run {run_id}: no entry waits for an answer{_became(ahead['orders'], said.ticker)}")
    if said.ticker is not None and said.ticker not in waiting:
        became = _became(ahead["orders"], said.ticker)
        hint = became or did_you_mean(said.ticker, waiting) or f"; there are {', '.join(waiting)}"
        raise FixConfigError(f"run {run_id}: no entry in {said.ticker} waits for an answer{hint}")
    return str(decided)


def answer(
    place: Place, said: Said, target: Target, waits: bool, as_json: bool, patience: Patience | None = None
) -> int:
    """Leave an answer for the account that is meant, and say what became of each order; return the exit code.

    Raises
    ------
    ValueError
        A word that is no answer.
    """
    if said.kind not in ANSWERS:
        raise ValueError(f"an answer is one of {', '.join(ANSWERS)}, was {said.kind!r}")
    database, now = existing_database(place, read_only=True), utc_now()
    codes, shown = [], []
    for account in meant_accounts(all_accounts(database, now), target, said.kind):
        writing = open_database(database_place(place))
        command, _ = leave_answer(writing, account.run_id, said, now)
        writing.dispose()
        codes.append(_heard(database, account, command, said, patience if waits else None, waits=waits, quiet=as_json))
        ahead = next_open(database, account.run_id)
        shown.append({"run": account.run_id, **ahead})
        if not as_json:
            for row in ahead["orders"]:
                say(ahead_words(row))
    if as_json:
        show_json(shown)
    return max(codes)


def _heard(
    database: Engine, account: Account, command: int, said: Said, patience: Patience | None, *, waits: bool, quiet: bool
) -> int:
    """Wait until the engine has heard, and say it; return the exit code."""
    what = "they go" if said.kind == CONSENT else "they stay"
    recorded = f"{said.kind} {said.ticker or 'to all'}: recorded for run {account.run_id}"
    if not account.running or not waits:
        when = "its engine obeys within seconds" if account.running else "its engine obeys when it is started"
        _tell(f"{recorded}; {when}", quiet=quiet)
        return 0
    if wait_until_obeyed(database, account, command, patience or Patience()) is None:
        complain(f"{recorded}, but its engine has not obeyed yet: see `status`")
        return NOT_OBEYED
    _tell(f"{recorded}, and obeyed: {what} unless they had left or ended before", quiet=quiet)
    return 0


def _tell(line: str, *, quiet: bool) -> None:
    if not quiet:
        say(line)


def _became(orders: Sequence[OrderAhead], ticker: str | None) -> str:
    """Return what has become of the entry that is asked about, for whoever comes late."""
    ended = [row for row in orders if row["side"] == "buy" and (ticker is None or row["ticker"] == ticker)]
    return "".join(f"; {ahead_words(row)}" for row in ended[:3])
