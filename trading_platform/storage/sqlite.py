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
        raise RepairDatabaseError(f"{where}: cannot be opened ({error}); check the path and its permissions") from error
    try:
        if _pragma(connection, "journal_mode") != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        if synchronous == "NORMAL":
            connection.execute(f"PRAGMA wal_autocheckpoint = {REPLAY_CHECKPOINT_PAGES}")
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, where) from error
    return connection


class Reading(NamedTuple):
    """A read-only connection. `is_fixed` if it takes the file for unchanging: true only while nobody writes it."""

    connection: sqlite3.Connection
    is_fixed: bool


def connect_reader(path: Path) -> Reading:
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
            return Reading(_probe(f"file:{quote(str(path))}?mode=ro&immutable=1"), is_fixed=True)
        if index.exists():
            try:
                return Reading(_probe(f"file:{quote(str(path))}?mode=ro"), is_fixed=False)
            except sqlite3.OperationalError as error:
                if not _needs_no_writing(error):
                    raise
        return Reading(_connect_copy(path, log), is_fixed=False)
    except (OSError, sqlite3.Error) as error:
        raise explain(error, where) from error


def explain(error: BaseException, where: str) -> RepairDatabaseError:
    """Return the error that says what to do about a failure of the database called `where`."""
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
        seconds = f"{BUSY_TIMEOUT_SECONDS:.0f} s"
        return RepairDatabaseError(f"{where}: locked by another program for over {seconds}; close it and try again")
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return corrupt_error(error, where)
    reason = " ".join(str(error).split())
    return RepairDatabaseError(f"{where}: cannot be used ({reason}); check the path, its permissions, the server")


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
