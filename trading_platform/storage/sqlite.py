"""SQLite connections: private files, write-ahead log, and readers that work where nothing can be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from trading_platform.core.errors import RepairDatabaseError
from trading_platform.storage.schema import corrupt_error

# A commit of the engine takes milliseconds; whoever holds the lock longer than this is stuck.
BUSY_TIMEOUT_SECONDS = 10.0
# Copying the log into the file syncs both; a replay writes some 30 pages a commit and can be continued.
REPLAY_CHECKPOINT_PAGES = 16_384  # 64 MiB
SYNCHRONOUS = ("NORMAL", "FULL", "EXTRA")
# A reader that stays makes the log grow; once it has left, the file is cut back to this.
LARGEST_KEPT_LOG = 64 << 20  # bytes
# What may pass by itself, or once somebody makes room: the database is whole, it only cannot be used now.
PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    }
)


class StorageTroubleError(RepairDatabaseError):
    """The database cannot be used now: locked, no room, not writable, gone. It was whole when it was last seen."""


def connect_writer(path: Path, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open `path` for writing in WAL mode, creating it with mode 0600 (SQLite gives -wal and -shm the same mode).

    Parameters
    ----------
    path
        The database file; missing folders are made, readable by the owner only.
    synchronous
        ``FULL`` survives power loss without losing a commit; ``NORMAL`` may lose the last commits then (never
        the consistency), and is several times faster: right for replays, which can be continued.

    Raises
    ------
    RepairDatabaseError
        The file cannot be opened or is not a database. It is never overwritten.
    """
    if synchronous not in SYNCHRONOUS:
        raise ValueError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}, was {synchronous!r}")
    where = f"database {path}"
    try:
        _create_private(path)
        connection = _connect(f"file:{quote(str(path))}?mode=rw")
    except (OSError, sqlite3.Error) as error:
        raise StorageTroubleError(f"{where}: cannot be opened ({error}); check the path and its permissions") from error
    try:
        if _pragma(connection, "journal_mode") != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_KEPT_LOG}")
        if synchronous == "NORMAL":
            connection.execute(f"PRAGMA wal_autocheckpoint = {REPLAY_CHECKPOINT_PAGES}")
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, where) from error
    return connection


class ReadConnection(NamedTuple):
    """A read-only connection. `is_fixed` if it takes the file for unchanging: true only while nobody writes it."""

    connection: sqlite3.Connection
    is_fixed: bool


def connect_reader(path: Path) -> ReadConnection:
    """Open `path` read-only, beside a running writer or where nothing can be written, and leave no file behind.

    SQLite would create missing -wal and -shm files for a reader too. Made by another user than the engine's they
    would lock the engine out, so: with both there, a writer is or was at work, and SQLite shares the file with it;
    with an unfinished log alone (a crash), a private copy is read; with neither, the file is complete by itself.

    Raises
    ------
    RepairDatabaseError
        The file is missing, cannot be opened, or is not a database.
    """
    where = f"database {path}"
    if not path.is_file():
        raise RepairDatabaseError(f"{where}: does not exist; start the engine first, or name another file with --db")
    log, index = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    try:
        if not log.exists():
            return ReadConnection(_probe(f"file:{quote(str(path))}?mode=ro&immutable=1"), is_fixed=True)
        if index.exists():
            try:
                return ReadConnection(_probe(f"file:{quote(str(path))}?mode=ro"), is_fixed=False)
            except sqlite3.OperationalError as error:
                if not _needs_no_writing(error):
                    raise
        return ReadConnection(_connect_copy(path, log), is_fixed=False)
    except (OSError, sqlite3.Error) as error:
        raise explain(error, where) from error


def explain(error: BaseException, where: str) -> RepairDatabaseError:
    """Return the error that says what to do about a failure of the database called `where`.

    It is a `StorageTroubleError` where the database is whole and only cannot be used at this moment.
    """
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    reason = " ".join(str(error).split())
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        seconds = f"{BUSY_TIMEOUT_SECONDS:.0f} s"
        return StorageTroubleError(f"{where}: locked by another program for over {seconds}; close it and try again")
    if code == sqlite3.SQLITE_FULL:
        return StorageTroubleError(f"{where}: its disk is full; make room, nothing is lost of what was committed")
    if code in PASSING:
        return StorageTroubleError(
            f"{where}: cannot be used ({reason}); check the path, its permissions, and that its disk is writable"
        )
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return corrupt_error(error, where)
    return RepairDatabaseError(f"{where}: cannot be used ({reason}); check the path, its permissions, the server")


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from any other one that may take its place; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_identity(path: Path, known: tuple[int, int]) -> None:
    """Raise where the file at `path` is not the one that was opened as `known`.

    Raises
    ------
    StorageTroubleError
        It was deleted, or another file stands in its place: writing on would go to nowhere, or to another history.
    """
    now = identity(path)
    if now == known:
        return
    what = "was deleted" if now is None else "was replaced by another file"
    raise StorageTroubleError(
        f"database {path}: {what} while it was in use; put it back, or stop the engine and restore a backup"
    )


def check_writable(path: Path) -> None:
    """Write something that changes nothing into the database.

    Raises
    ------
    StorageTroubleError
        It cannot be written now.
    RepairDatabaseError
        It is no database any more.
    """
    connection = connect_writer(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {int(version)}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise explain(error, f"database {path}") from error
    finally:
        connection.close()


def _create_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


def _connect(uri: str) -> sqlite3.Connection:
    # isolation_level None: we say BEGIN ourselves, the driver's own guesses break snapshots and savepoints.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)


def _probe(uri: str) -> sqlite3.Connection:
    connection = _connect(uri)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect_copy(path: Path, log: Path) -> sqlite3.Connection:
    folder = Path(tempfile.mkdtemp(prefix="trading-report-"))
    try:
        copy = folder / "copy.db"
        shutil.copyfile(path, copy)
        shutil.copyfile(log, folder / "copy.db-wal")
        return _probe(f"file:{quote(str(copy))}?mode=ro")
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # open files stay readable until the connection closes


def _needs_no_writing(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
