"""Schema versions, and what to say about a database that has another one.

Free of SQLAlchemy: the report reads without it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from trading_platform.core.errors import RepairDatabaseError

# Oldest first; a test holds this list against migrations/versions.
REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD = REVISIONS[-1]
VERSION_TABLE = "alembic_version"


class SchemaState(StrEnum):
    """How a readable database relates to this program."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"


def schema_state(
    tables: Collection[str], revision: str | None, where: str, revisions: Sequence[str] = REVISIONS
) -> SchemaState:
    """Classify a database by its table names and its stored revision.

    Parameters
    ----------
    tables
        Names of all tables.
    revision
        Content of the version table, None when there is none.
    where
        The database as people know it (a path, or a URL without password), for the message.
    revisions
        Every known revision, oldest first.

    Raises
    ------
    RepairDatabaseError
        The database belongs to another program or was written by a newer version of this one.
    """
    if not tables:
        return SchemaState.EMPTY
    if revision is None:
        found = ", ".join(sorted(tables)[:3])
        raise RepairDatabaseError(
            f"{where}: not a trading database (it holds {found} and no schema version); "
            "name another file with --db or DATABASE_URL"
        )
    if revision not in revisions:
        raise RepairDatabaseError(
            f"{where}: schema {revision} was written by a newer version (this one knows up to {revisions[-1]}); "
            "update the program, or name another database with --db or DATABASE_URL"
        )
    return SchemaState.CURRENT if revision == revisions[-1] else SchemaState.OLDER


def older_schema_error(revision: str | None, where: str, newest: str = HEAD) -> RepairDatabaseError:
    """Return the error for a reader that may not migrate what it reads."""
    return RepairDatabaseError(
        f"{where}: schema {revision} is older than {newest} and is opened read-only; "
        "start the engine once, it migrates the database and keeps every row"
    )


def corrupt_error(reason: object, where: str) -> RepairDatabaseError:
    """Return the error for a file that SQLite cannot read. The file is left as it is."""
    return RepairDatabaseError(
        f"{where}: cannot be read ({reason}); nothing was changed: restore a backup, or salvage what is left with "
        "`sqlite3 FILE .recover`, or start afresh with another --db"
    )
