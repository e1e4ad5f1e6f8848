"""Find rows that no engine can use, and put them right or set them aside; a backup is taken before."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from trading_platform.storage.backups import STAMP, check_backup, nobody_trades
from trading_platform.storage.result_faults import RESULT_CHECKS
from trading_platform.storage.row_faults import CHECKS, Cure, Fault, Row
from trading_platform.storage.sqlite import StorageTroubleError, connect_reader, connect_writer, explain

ALL_CHECKS = {**CHECKS, **RESULT_CHECKS}
KEYS = {  # of tables without an id of their own
    "paper_books": ("run_id",),
    "risk_states": ("run_id",),
    "equity": ("run_id", "session"),
    "positions": ("run_id", "session", "ticker"),
    "lots": ("run_id", "session", "ticker", "strategy"),
}
Key = tuple[object, ...]


class BadRow(NamedTuple):
    """A fault of one row: where it is, whose run it is, and what is wrong."""

    table: str
    key: Key
    run_id: int
    row: Row
    fault: Fault

    @property
    def name(self) -> int | str:
        """The row's key: its number, or the parts of the key without the run's."""
        return int(str(self.key[0])) if len(self.key) == 1 else " ".join(str(part) for part in self.key[1:])

    @property
    def text(self) -> str:
        """The finding in one line."""
        where = f"{self.table} {self.name}" + ("" if self.table == "runs" else f" of run {self.run_id}")
        return f"{where}: {self.fault.column} {self.fault.problem}"


def find_faults(database: Path) -> list[BadRow]:
    """Return every fault in `database`, in the order of tables and rows. Changes nothing.

    Raises
    ------
    RepairDatabaseError
        The file itself is damaged, missing, or of another version: rows cannot be judged.
    """
    check_backup(database, "database")
    found: list[BadRow] = []
    with closing(connect_reader(database).connection) as connection:
        connection.row_factory = sqlite3.Row
        try:
            for table, check in ALL_CHECKS.items():
                for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - names of our own tables
                    values = dict(row)
                    key = tuple(values[name] for name in KEYS.get(table, ("id",)))
                    run = int(values["run_id"]) if "run_id" in values else int(values["id"])
                    found += [BadRow(table, key, run, values, fault) for fault in check(values)]
            found += _beside(connection, found)
        except sqlite3.Error as error:
            raise explain(error, f"database {database}") from error
    return found


def _beside(connection: sqlite3.Connection, found: Sequence[BadRow]) -> list[BadRow]:
    """Return the sound lots of positions that lose one: lots are all of a position or none of it."""
    lost = {finding.key for finding in found if finding.table == "lots" and finding.fault.cure is Cure.SET_ASIDE}
    beside: list[BadRow] = []
    for run_id, session, ticker in sorted({key[:3] for key in lost}, key=str):
        query = 'SELECT * FROM "lots" WHERE run_id = ? AND session = ? AND ticker = ?'
        for row in connection.execute(query, (run_id, session, ticker)):
            values = dict(row)
            key = tuple(values[name] for name in KEYS["lots"])
            if key not in lost:
                fault = Fault("strategy", "shares its position with a lot that is set aside", Cure.SET_ASIDE)
                beside.append(BadRow("lots", key, int(values["run_id"]), values, fault))
    return beside


def repair(database: Path, findings: Sequence[BadRow], now: datetime) -> Path | None:
    """Put right and set aside what can be, in one transaction; return the file with the rows that were set aside.

    The file stands beside the database and is written before anything is deleted.

    Raises
    ------
    OperatorNeededError
        An engine holds a run of the database.
    StorageTroubleError
        The file or the database cannot be written.
    """
    gone = {(f.table, f.key): f.row for f in findings if f.fault.cure is Cure.SET_ASIDE}
    with nobody_trades(database):
        aside = _write_aside(database, gone, now) if gone else None
        connection = connect_writer(database)
        try:
            with closing(connection), connection:
                for table, key in gone:
                    connection.execute(f'DELETE FROM "{table}" WHERE {_named(table)}', key)  # noqa: S608 - our names
                for table, key, _, _, fault in findings:
                    if fault.cure is Cure.PUT_RIGHT and (table, key) not in gone:
                        _put_right(connection, table, key, fault.right)
        except sqlite3.Error as error:
            raise explain(error, f"database {database}") from error
    return aside


def _put_right(connection: sqlite3.Connection, table: str, key: Key, right: dict[str, Any]) -> None:
    changes = ", ".join(f'"{column}" = ?' for column in right)
    statement = f'UPDATE "{table}" SET {changes} WHERE {_named(table)}'  # noqa: S608 - our names
    connection.execute(statement, (*right.values(), *key))


def _named(table: str) -> str:
    return " AND ".join(f'"{name}" = ?' for name in KEYS.get(table, ("id",)))


def _write_aside(database: Path, gone: dict[tuple[str, Key], Row], now: datetime) -> Path:
    aside = database.with_name(f"{database.name}.set-aside-{now.strftime(STAMP)}.json")
    rows = [{"table": table, "row": row} for (table, _), row in gone.items()]
    try:
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1, default=str)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageTroubleError(f"{aside}: cannot be written ({error.strerror}); nothing was changed") from error
    return aside
