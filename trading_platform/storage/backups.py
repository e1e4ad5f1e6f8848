"""Copies of the database that can be trusted: taken beside a running engine, checked, rotated, private; and back.

SQLite's own online backup copies one moment of the database while others write; copying the file would not, since what
was committed last stands in the log beside it.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from trading_platform.core.errors import FixConfigError, OperatorNeededError, RepairDatabaseError
from trading_platform.storage.operator_requests import RESTORED, operator_name
from trading_platform.storage.order_mark import forget_marks
from trading_platform.storage.run_locks import KernelLock, lock_paths
from trading_platform.storage.schema import VERSION_TABLE, schema_state
from trading_platform.storage.sqlite import StorageTroubleError, connect_reader, explain

STAMP = "%Y%m%dT%H%M%SZ"
_STAMPED = re.compile(r"-(\d{8}T\d{6}Z)\.db")
PAGES_AT_ONCE = 2048  # 8 MiB: between the pieces a writer gets its turn
SIDES = ("-wal", "-shm")


def back_up(database: Path, folder: Path, keep: int, now: datetime) -> Path:
    """Copy `database` into `folder`, check the copy, and keep the newest `keep` copies of it; return the new one.

    The name ends in the UTC time. A copy that does not pass its check never gets its name, and nothing is rotated away
    for it.

    Raises
    ------
    RepairDatabaseError
        The database or its copy is damaged, or the folder cannot be written.
    """
    if not database.is_file():
        raise RepairDatabaseError(f"database {database}: does not exist; name another with --db")
    target = folder / f"{database.stem}-{now.astimezone(UTC).strftime(STAMP)}.db"
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        with closing(connect_reader(database).connection) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy, pages=PAGES_AT_ONCE)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete by itself
        check_backup(partial)
        _sync(partial)
        partial.replace(target)
    except sqlite3.Error as error:
        raise explain(error, f"database {database}") from error
    except OSError as error:
        raise StorageTroubleError(
            f"{error.filename or folder}: cannot be written ({error.strerror}); make room or name another folder"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    for old in backups_of(database, folder)[keep:]:
        old.unlink(missing_ok=True)
    return target


def backups_of(database: Path, folder: Path) -> list[Path]:
    """Return the copies of `database` in `folder`, the newest first."""
    own = [path for path in folder.glob(f"{database.stem}-*.db") if _STAMPED.fullmatch(path.name[len(database.stem) :])]
    return sorted(own, key=lambda path: path.name, reverse=True)


def check_backup(path: Path, what: str = "backup") -> None:
    """Read every page of a copy, or of the database itself (`what` it is called), and its version.

    Raises
    ------
    RepairDatabaseError
        It is missing, damaged, of another program, or of a newer version.
    """
    with closing(connect_reader(path).connection) as connection:
        try:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            revision = None
            if VERSION_TABLE in tables:
                revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as error:
            raise explain(error, f"{what} {path}") from error
    if verdict != "ok":
        raise RepairDatabaseError(f"{what} {path}: is damaged ({verdict}); take another")
    schema_state(tables, None if revision is None else str(revision[0]), f"{what} {path}")
    if not tables:
        raise RepairDatabaseError(f"{what} {path}: is empty; take another")


def put_back(backup: Path, database: Path, now: datetime) -> Path | None:
    """Put a copy of `backup` in the place of `database`; return where what was there is kept, None if nothing was.

    The backup itself stays. What stood there is moved aside with its log, never overwritten.

    Raises
    ------
    OperatorNeededError
        An engine holds a run of the database.
    RepairDatabaseError
        The backup is not sound, or the place cannot be written.
    """
    if backup.resolve() == database.resolve():
        raise FixConfigError(f"{backup} is the database itself: name a backup of it")
    check_backup(backup)
    with nobody_trades(database):
        partial = database.with_name(f".{database.name}.{os.getpid()}.partial")
        try:
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
            shutil.copyfile(backup, partial)
            check_backup(partial)
            _note_restoring(partial, backup.name, now)
            _sync(partial)
            aside = _set_aside(database, now)
            partial.replace(database)
            forget_marks(database)  # the copy has word of its own
        except OSError as error:
            raise StorageTroubleError(
                f"{error.filename or database}: cannot be written ({error.strerror}); check permissions and room"
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink()
    return aside


def _note_restoring(copy: Path, name: str, now: datetime) -> None:
    """Leave word to the engines of broker accounts that this is a copy: what was sent since is theirs, too.

    A copy that was taken beside a running engine holds its proof of life; nobody has held the run since.
    """
    at = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    values = at, RESTORED, operator_name(), f"put back from {name}", at
    try:
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute("DELETE FROM heartbeats")
            connection.execute(
                "INSERT INTO commands (run_id, requested_at, kind, actor, reason, handled_at) "
                "SELECT id, ?, ?, ?, ?, ? FROM runs WHERE mode LIKE 'alpaca%'",
                values,
            )
    except sqlite3.Error as error:
        raise explain(error, f"backup {name}") from error


def _set_aside(database: Path, now: datetime) -> Path | None:
    """Move the database with its log to a name of its own, if there is one; return it."""
    if not database.exists():
        return None
    aside = database.with_name(f"{database.name}.before-restore-{now.astimezone(UTC).strftime(STAMP)}")
    database.replace(aside)
    for side in SIDES:
        beside = database.with_name(database.name + side)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + side))
    return aside


@contextmanager
def nobody_trades(database: Path) -> Iterator[None]:
    """Hold every run of the database, so that no engine begins while its file is changed under it.

    Raises
    ------
    OperatorNeededError
        An engine trades one of them.
    """
    held: list[KernelLock] = []
    try:
        for path in lock_paths(database):
            lock = KernelLock(path)
            if not lock.acquire(patience=0.0):
                run = path.name.rpartition("-run")[2].removesuffix(".lock")
                raise OperatorNeededError(
                    f"database {database}: an engine trades run {run} of it now; stop it first, nothing was changed"
                )
            held.append(lock)
        yield
    finally:
        for lock in held:
            lock.release()


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
