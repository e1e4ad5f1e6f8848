"""What the desk may write, and nothing else: commands, audit rows, tags and notes of runs.

The desk shows everything and decides nothing. Its one writing connection refuses every other statement, on SQLite by
the database's own authorizer, and on any database by the statement's first words; on a server give the desk a role
that has these rights only (docs/desk.md).
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, update

from trading_platform.core.errors import FixConfigError
from trading_platform.storage import models as m
from trading_platform.storage.database import open_database

LONGEST_TAG, LONGEST_TEXT = 64, 2000
MARKS = ("tag", "note")
_WRITTEN = frozenset({m.Command.__tablename__, m.DeskAudit.__tablename__})
_ALLOWED = re.compile(
    r"\s*(SELECT\b|INSERT INTO (commands|desk_audit)\b|UPDATE runs SET (tag|note)=|BEGIN|PRAGMA\b)", re.IGNORECASE
)
_READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_SAVEPOINT,
    }
)


class PenError(RuntimeError):
    """The desk tried to write what it may not: a fault of the program, nothing was written."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did at the desk, for its record."""

    at: datetime
    actor: str
    origin: str
    action: str
    run_id: int | None = None
    subject: str | None = None
    reason: str = ""
    outcome: str = "done"


class Pen:
    """The desk's writing connection to the database at `url`; opened for each deed, closed after it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def record(self, deed: Deed) -> None:
        """Write what somebody did or tried."""
        with self._writing() as connection:
            _record(connection, deed)

    def command(self, deed: Deed) -> int:
        """Leave the command that `deed` tells of for its engine, together with the record; return the command's id.

        Raises
        ------
        FixConfigError
            No reason is given.
        """
        if not deed.reason.strip():
            raise FixConfigError("say why: the reason is recorded with your name")
        with self._writing() as connection:
            values = {
                "run_id": deed.run_id,
                "requested_at": deed.at,
                "kind": deed.action,
                "subject": deed.subject,
                "actor": deed.actor[:64],
                "reason": deed.reason.strip()[:LONGEST_TEXT],
            }
            key = connection.execute(insert(m.Command).values(**values)).inserted_primary_key
            _record(connection, deed)
        return int(key[0]) if key is not None else 0

    def mark(self, deed: Deed, text: str) -> None:
        """Put the tag or note that `deed.action` names on a run; an empty one takes it off.

        Raises
        ------
        FixConfigError
            The text is too long.
        """
        longest = LONGEST_TAG if deed.action == "tag" else LONGEST_TEXT
        if len(text.strip()) > longest:
            raise FixConfigError(f"a {deed.action} has at most {longest} signs, was {len(text.strip())} long")
        if deed.action not in MARKS:
            raise PenError(f"a run has no {deed.action!r} that the desk writes")
        with self._writing() as connection:
            values = {deed.action: text.strip() or None}
            connection.execute(update(m.Run).where(m.Run.id == deed.run_id).values(values))
            _record(connection, deed)

    def _writing(self) -> Any:
        return _Writing(guarded(self._url))


class _Writing:
    """One transaction on an engine that ends with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transaction = engine.begin()

    def __enter__(self) -> Connection:
        try:
            return self._transaction.__enter__()
        except BaseException:
            self._engine.dispose()
            raise

    def __exit__(self, *failure: Any) -> None:
        try:
            self._transaction.__exit__(*failure)
        finally:
            self._engine.dispose()


def guarded(url: str) -> Engine:
    """Return an engine that writes what the desk may write, and refuses everything else."""
    engine = open_database(url)
    event.listen(engine, "before_cursor_execute", _refuse_others)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.set_authorizer(_authorize))
    return engine


def _refuse_others(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if not _ALLOWED.match(statement):
        raise PenError(f"the desk may not write this: {statement[:60]}")


def _authorize(action: int, table: str | None, column: str | None, *_: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_INSERT and table in _WRITTEN):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_UPDATE and table == m.Run.__tablename__ and column in MARKS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _record(connection: Connection, deed: Deed) -> None:
    connection.execute(
        insert(m.DeskAudit).values(
            at=deed.at,
            actor=deed.actor[:64],
            origin=deed.origin[:64],
            action=deed.action[:64],
            run_id=deed.run_id,
            subject=None if deed.subject is None else deed.subject[:64],
            reason=deed.reason[:LONGEST_TEXT],
            outcome=deed.outcome[:LONGEST_TEXT],
        )
    )
