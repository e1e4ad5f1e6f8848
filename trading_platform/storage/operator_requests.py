"""What an operator does from outside: look at a run, and leave a wish that its engine obeys, now or next started."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, bindparam, func, insert, select, update

from trading_platform.core.errors import FixConfigError
from trading_platform.storage import models as m
from trading_platform.storage.stopped_strategies import ENGINE

STOP = "stop"  # about the process and not the account: whoever drives the engine obeys it
KINDS = ("halt", "resume", "flatten", "pause", "unpause", STOP, "consent", "veto")
RESTORED = "restored"  # no wish: the database is a copy, and its next start has not yet taken up what it lacks
OPEN_WISHES = (  # built once: every scan of a live engine asks
    select(m.Command.id, m.Command.kind, m.Command.actor, m.Command.reason, m.Command.subject)
    .where(m.Command.run_id == bindparam("run"), m.Command.handled_at.is_(None))
    .order_by(m.Command.id)
)


@dataclass(frozen=True, slots=True)
class Wish:
    """An operator's command that has not been handled."""

    command_id: int
    kind: str
    actor: str
    reason: str
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What operators have said that holds until they say otherwise, also over a restart.

    `flatten`: every position is closed. `closing`: these tickers are closed and not bought. `paused`: these strategies
    open nothing new. `leaving`: these are traded no longer (`upgrade`), and what they hold is sold.
    """

    flatten: bool = False
    closing: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()

    def refuses(self, ticker: str, strategies: Collection[str]) -> bool:
        """Return True if an entry in `ticker` is not to be bought, or none of its `strategies` may open anything."""
        return self.flatten or ticker in self.closing or (bool(strategies) and self.paused.issuperset(strategies))

    def after(self, kind: str, subject: str | None) -> Standing:
        """Return what holds once a command of `kind` about `subject` (None: the account) is obeyed."""
        match kind, subject:
            case "flatten", None:
                return replace(self, flatten=True)
            case "flatten", str():
                return replace(self, closing=self.closing | {subject})
            case "resume", _:
                return replace(self, flatten=False, closing=frozenset())
            case "pause", str():
                return replace(self, paused=self.paused | {subject})
            case "unpause", str():
                return replace(self, paused=self.paused - {subject})
            case "leave", str():
                return replace(self, leaving=self.leaving | {subject})
            case "join", str():
                return replace(self, leaving=self.leaving - {subject})
        return self


def operator_name() -> str:
    """Return the login name of whoever runs this process, for the records."""
    try:
        return getpass.getuser()[:64]
    except (OSError, KeyError, ImportError):  # no such user (a container; KeyError before 3.13), no `pwd` (Windows)
        return "unknown"


def command_row(run_id: int, reason: str, now: datetime, actor: str | None = None) -> dict[str, object]:
    """Return what every row of `commands` begins with: whose run, when, who, and why.

    Raises
    ------
    FixConfigError
        No reason is given.
    """
    if not reason.strip():
        raise FixConfigError("--reason must say why; it is recorded")
    return {"run_id": run_id, "requested_at": now, "actor": actor or operator_name(), "reason": reason.strip()}


def leave_command(
    engine: Engine,
    run_id: int,
    kind: str,
    reason: str,
    now: datetime,
    subject: str | None = None,
    actor: str | None = None,
) -> int:
    """Store a command for run `run_id` about `subject` (None: the account); return the command's id.

    `actor` is who wants it; None: whoever runs this process.

    Raises
    ------
    FixConfigError
        No reason is given.
    """
    values = {**command_row(run_id, reason, now, actor), "kind": kind, "subject": subject}
    with engine.begin() as connection:
        key = connection.execute(insert(m.Command).values(**values)).inserted_primary_key
    return int(key[0]) if key is not None else 0


def result_of(engine: Engine, command_id: int) -> str | None:
    """Return what an engine said when it obeyed a command, None while it has not."""
    with engine.connect() as connection:
        query = select(m.Command.handled_at, m.Command.result).where(m.Command.id == command_id)
        row = connection.execute(query).first()
    return None if row is None or row[0] is None else row[1] or "done"


def open_wishes(engine: Engine, run_id: int) -> list[Wish]:
    """Return unhandled commands, oldest first."""
    with engine.connect() as connection:
        return [Wish(*row) for row in connection.execute(OPEN_WISHES, {"run": run_id})]


def account_wishes(engine: Engine, run_id: int) -> list[Wish]:
    """Return unhandled commands about the account, oldest first: all but those to stop."""
    return [wish for wish in open_wishes(engine, run_id) if wish.kind != STOP]


def answer_stops(engine: Engine, run_id: int, now: datetime, result: str) -> bool:
    """Mark open commands to stop as answered with `result`; return True if there was any."""
    mine = m.Command.run_id == run_id, m.Command.kind == STOP, m.Command.handled_at.is_(None)
    with engine.begin() as connection:
        done = connection.execute(update(m.Command).where(*mine).values(handled_at=now, result=result))
    return bool(done.rowcount)


def stop_answerer(engine: Engine, run_id: int, now: Callable[[], datetime]) -> Callable[[str], bool]:
    """Return what a live loop asks at each look: it answers commands to stop, and tells whether there were any."""
    return lambda words: answer_stops(engine, run_id, now(), words)


def has_open_wishes(engine: Engine, run_id: int) -> bool:
    """Return True if an operator waits for the engine of the run."""
    with engine.connect() as connection:
        return connection.execute(OPEN_WISHES.limit(1), {"run": run_id}).first() is not None


def restored_at(engine: Engine, run_id: int) -> datetime | None:
    """Return when a copy of the database was put back, if what it lacks has not been taken up yet."""
    query = select(func.max(m.Command.requested_at)).where(*_not_taken_up(run_id))
    with engine.connect() as connection:
        at: datetime | None = connection.execute(query).scalar()
    return at


def note_older_copy(engine: Engine, run_id: int, reason: str, now: datetime) -> None:
    """Leave the word that `restore` leaves, in a copy that was put back without it."""
    values = {"requested_at": now, "handled_at": now, "kind": RESTORED, "actor": ENGINE, "reason": reason}
    with engine.begin() as connection:
        connection.execute(insert(m.Command).values(run_id=run_id, **values))


def note_taken_up(engine: Engine, run_id: int, result: str) -> None:
    """Note what has become of a restored run's missing orders."""
    with engine.begin() as connection:
        connection.execute(update(m.Command).where(*_not_taken_up(run_id)).values(result=result))


def _not_taken_up(run_id: int) -> tuple[ColumnElement[bool], ...]:
    return m.Command.run_id == run_id, m.Command.kind == RESTORED, m.Command.result.is_(None)


def said_so_far(rows: Iterable[tuple[Any, ...]]) -> tuple[Standing, list[str]]:
    """Return (what holds, the commands that wait in words) from a run's commands, oldest first.

    A row is the run, kind, subject, actor, reason, and when it was obeyed.
    """
    standing, waiting = Standing(), []
    for _, kind, subject, actor, reason, handled_at in rows:
        if handled_at is None:
            waiting.append(" ".join(filter(None, (kind, subject, f"by {actor}: {reason}"))))
        else:
            standing = standing.after(kind, subject)
    return standing, waiting


def entry_refuser(engine: Engine, run_id: int) -> Callable[[str, Collection[str]], bool]:
    """Return what tells whether operators want an entry no more, by its ticker and the strategies that it is for.

    What has been said counts from the moment on at which it is said, obeyed or not.
    """
    said = select(m.Command.kind, m.Command.subject).where(m.Command.run_id == run_id).order_by(m.Command.id)

    def refuses(ticker: str, strategies: Collection[str]) -> bool:
        standing = Standing()
        with engine.connect() as connection:
            for kind, subject in connection.execute(said):
                standing = standing.after(kind, subject)
        return standing.refuses(ticker, strategies)

    return refuses


def standing_orders(engine: Engine, run_id: int) -> Standing:
    """Return what holds of all commands that were obeyed so far."""
    standing = Standing()
    with engine.connect() as connection:
        obeyed = connection.execute(
            select(m.Command.kind, m.Command.subject)
            .where(m.Command.run_id == run_id, m.Command.handled_at.is_not(None))
            .order_by(m.Command.id)
        )
        for kind, subject in obeyed:
            standing = standing.after(kind, subject)
    return standing
