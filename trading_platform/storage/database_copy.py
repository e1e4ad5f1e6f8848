"""Move a database: every row of every table from a file into PostgreSQL or back, and each compared with its like.

The rows go in one transaction, which ends well only if the target, read back, equals the source; a copy that was cut
off leaves an empty database. The source is read as one moment. Numbers of rows stay, and count on from the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, select, text

from trading_platform.core.errors import FixConfigError, OperatorNeededError, RepairDatabaseError
from trading_platform.machine.clocks import utc_now
from trading_platform.storage import models as m
from trading_platform.storage.database import check_schema, check_tables, describe, migrate
from trading_platform.storage.runs import is_running

ROWS_AT_ONCE = 5_000
Row = Sequence[Any]


def copy_database(source: Engine, target: Engine) -> dict[str, int]:
    """Copy every row of `source` into `target`, an empty database; return the rows of each table.

    Parameters
    ----------
    source
        Opened read-only, of this version.
    target
        Opened for writing; its tables are made.

    Raises
    ------
    FixConfigError
        The target holds runs already, or both are the same database.
    OperatorNeededError
        An engine holds a run of the source: what it writes from now on would be missing.
    RepairDatabaseError
        One of them cannot be used, or a row did not arrive as it was.
    """
    if source.url == target.url:
        raise FixConfigError(f"{describe(source)} cannot be copied into itself: name another database")
    check_schema(source)
    check_tables(source)
    migrate(target)
    with _moment(source) as reading, target.begin() as writing:
        _check_idle(source, reading)
        if writing.execute(select(func.count()).select_from(m.Run)).scalar_one():
            raise FixConfigError(f"{describe(target)} holds runs already: copy into an empty database")
        tables = m.Base.metadata.sorted_tables
        counts = {table.name: _copy_table(reading, writing, table) for table in tables}
        for table in tables:
            _compare(reading, writing, table)
            _count_on(writing, table)
    return counts


def _moment(engine: Engine) -> Connection:
    """Return a connection whose reads are all of one moment."""
    connection = engine.connect()
    return connection.execution_options(isolation_level="REPEATABLE READ") if _is_server(connection) else connection


def _check_idle(source: Engine, reading: Connection) -> None:
    for run_id in reading.execute(select(m.Run.id).order_by(m.Run.id)).scalars():
        if is_running(source, run_id, utc_now()):
            raise OperatorNeededError(
                f"{describe(source)}: an engine trades run {run_id} of it now; stop it first, nothing was copied"
            )


def _copy_table(reading: Connection, writing: Connection, table: Table) -> int:
    count = 0
    for rows in _rows(reading, table):
        count += len(rows)
        if _is_server(writing):
            from trading_platform.storage.postgresql import copy_rows

            copy_rows(writing, table.name, list(table.columns), list(zip(*rows, strict=True)))
        else:
            writing.execute(insert(table), [row._asdict() for row in rows])
    return count


def _compare(reading: Connection, writing: Connection, table: Table) -> None:
    """Read both again, side by side.

    Raises
    ------
    RepairDatabaseError
        A row differs or is missing; the message says where.
    """
    pairs = zip_longest(_one_by_one(reading, table), _one_by_one(writing, table))
    for before, after in pairs:
        if before is None or after is None:
            raise RepairDatabaseError(f"table {table.name}: the copy has not as many rows; nothing was kept of it")
        if tuple(before) != tuple(after):
            columns = (c.name for c, one, other in zip(table.columns, before, after, strict=True) if one != other)
            key = ", ".join(f"{column.name} {before._mapping[column.name]}" for column in table.primary_key)
            raise RepairDatabaseError(
                f"table {table.name}, {key}: column {next(columns)} did not arrive as it was; nothing was kept of the "
                "copy: `db repair` the source first"
            )


def _one_by_one(connection: Connection, table: Table) -> Iterator[Any]:
    for rows in _rows(connection, table):
        yield from rows


def _rows(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Yield a table's rows in the order of its key, some thousands at once.

    Text is ordered by its bytes: a language's order differs between the two, and between servers.
    """
    is_server = _is_server(connection)
    order = [
        column.collate("C") if is_server and column.type.python_type is str else column for column in table.primary_key
    ]
    query = select(table).order_by(*order).execution_options(yield_per=ROWS_AT_ONCE)
    with connection.execute(query) as found:
        yield from found.partitions()


def _count_on(writing: Connection, table: Table) -> None:
    """Let new rows of a server's table go on behind the largest number that was copied."""
    if "id" not in table.c or not _is_server(writing):
        return
    largest = writing.execute(select(func.max(table.c.id))).scalar()
    if largest is not None:
        words = text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :largest)")
        writing.execute(words, {"table": table.name, "largest": largest})


def _is_server(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
