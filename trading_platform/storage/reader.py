"""Read a database in one snapshot and within a deadline: nothing is written, and SQLite needs no SQLAlchemy.

The daily report is called by cron on small machines: SQLAlchemy takes 0.2 s and 27 MB to import, the driver 0.01 s.
The SQL is the same for every database: named parameters, no dialect.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from trading_platform.core.errors import RepairDatabaseError
from trading_platform.machine.home_folder import expanded
from trading_platform.storage.schema import REVISIONS, SchemaState, older_schema_error, schema_state
from trading_platform.storage.sqlite import connect_reader, explain

if TYPE_CHECKING:
    from sqlalchemy import Connection

Row = Sequence[Any]
# SQLite asks for the deadline after so many virtual instructions: about every millisecond.
INSTRUCTIONS_BETWEEN_CHECKS = 100_000
ATTEMPTS = 4


T = TypeVar("T")


class Reader(Protocol):
    """One consistent snapshot of a database."""

    where: str

    def rows(self, sql: str, **parameters: object) -> Sequence[Row]:
        """Return all rows of a SELECT with ``:name`` parameters; dates go in as `date`, and come out for `as_date`.

        Raises
        ------
        RepairDatabaseError
            Corrupt, or too slow.
        """
        ...

    def is_consistent(self) -> bool:
        """Tell whether everything read so far is of one moment."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def read_database(
    url: str | Path, work: Callable[[Reader], T], seconds: float = 30.0, revisions: Sequence[str] = REVISIONS
) -> T | None:
    """Return what `work` makes of a snapshot of the database at `url`; None where there is none (no file, no tables).

    Parameters
    ----------
    url
        A file path, or a SQLAlchemy URL.
    work
        Reads, and keeps no reference to the reader. It is called again if a writer appeared meanwhile.
    seconds
        From now on, SQLite queries fail after so much time.
    revisions
        Known schema versions, oldest first; other than this version's own only in tests of later ones.

    Raises
    ------
    RepairDatabaseError
        Corrupt, locked, of another program, or of an older or newer version.
    """
    deadline = time.monotonic() + seconds
    for _ in range(ATTEMPTS):
        reader = _open(url, deadline, seconds, revisions)
        if reader is None:
            return None
        try:
            result = work(reader)
            if reader.is_consistent():
                return result
        except RepairDatabaseError:
            if reader.is_consistent():
                raise
        finally:
            reader.close()
    raise RepairDatabaseError(f"database {url}: changed while it was read, {ATTEMPTS} times over; try again")


def _open(url: str | Path, deadline: float, seconds: float, revisions: Sequence[str]) -> Reader | None:
    path = sqlite_path(url)
    if path is None:
        return _checked(_ServerReader(str(url)), revisions)
    if not path.exists():
        return None
    return _checked(_SqliteReader(path, deadline, seconds), revisions)


def sqlite_path(url: str | Path) -> Path | None:
    """Return the file that `url` names, or None if it is not SQLite."""
    if isinstance(url, Path) or "://" not in url:
        return expanded(url)
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    if "%" in rest or "?" in rest:  # rare: let SQLAlchemy take it apart
        from trading_platform.storage.database import database_url

        rest = "/" + str(database_url(url).database)
    return expanded(rest.removeprefix("/"))


def as_date(value: str | date) -> date:
    """Return a stored session; SQLite keeps text."""
    return date.fromisoformat(value) if isinstance(value, str) else value


def as_instant(value: str | datetime) -> datetime:
    """Return a stored instant, aware and in UTC; SQLite keeps text."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.replace(tzinfo=UTC)


def _checked(reader: Reader, revisions: Sequence[str]) -> Reader | None:
    try:
        tables, revision = _tables(reader), None
        if "alembic_version" in tables:
            revision = next((str(row[0]) for row in reader.rows("SELECT version_num FROM alembic_version")), None)
        state = schema_state(tables, revision, reader.where, revisions)
        if state is SchemaState.OLDER:
            raise older_schema_error(revision, reader.where, revisions[-1])
    except RepairDatabaseError:
        reader.close()
        raise
    if state is SchemaState.EMPTY:
        reader.close()
        return None
    return reader


def _tables(reader: Reader) -> list[str]:
    if isinstance(reader, _ServerReader):
        return reader.tables()
    return [str(row[0]) for row in reader.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]


class _SqliteReader:
    def __init__(self, path: Path, deadline: float, seconds: float) -> None:
        self.where = f"database {path}"
        self._path, self._deadline, self._seconds = path, deadline, seconds
        self._before = _marks(path)
        self._connection, self._is_fixed = connect_reader(path)
        self._connection.set_progress_handler(self._is_late, INSTRUCTIONS_BETWEEN_CHECKS)
        self._connection.execute("BEGIN")

    def rows(self, sql: str, **parameters: object) -> Sequence[Row]:
        known = {name: value.isoformat() if isinstance(value, date) else value for name, value in parameters.items()}
        try:
            return self._connection.execute(sql, known).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise RepairDatabaseError(f"{self.where}: did not answer within {self._seconds:g} s") from error
            raise explain(error, self.where) from error

    def is_consistent(self) -> bool:
        return not self._is_fixed or _marks(self._path) == self._before

    def close(self) -> None:
        self._connection.close()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


class _ServerReader:
    def __init__(self, url: str) -> None:
        from sqlalchemy.exc import DBAPIError

        from trading_platform.storage.database import describe, open_database

        engine = open_database(url, read_only=True)
        self.where = describe(engine)
        try:
            self._connection: Connection = engine.connect().execution_options(isolation_level="REPEATABLE READ")
        except DBAPIError as error:
            raise explain(error.orig or error, self.where) from error

    def rows(self, sql: str, **parameters: object) -> Sequence[Row]:
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        try:
            return [tuple(row) for row in self._connection.execute(text(sql), parameters)]
        except DBAPIError as error:
            raise explain(error.orig or error, self.where) from error

    def tables(self) -> list[str]:
        from sqlalchemy import inspect

        return inspect(self._connection).get_table_names()

    def is_consistent(self) -> bool:
        return True  # the transaction sees to it

    def close(self) -> None:
        self._connection.close()


def _marks(path: Path) -> tuple[int, int]:
    """Return what changes whenever the file is written."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size
