"""Write many rows quickly: rows are collected as tuples and go to the database in one statement a table.

SQLAlchemy converts every value of every row; with a dozen rows a session that is most of a replay's time. For SQLite
the values are converted here, a column at a time, with the same column types; PostgreSQL gets them by COPY.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import Connection, Date, Table
from sqlalchemy.sql.schema import Column

from trading_platform.storage.models import Base
from trading_platform.storage.types import Cents, UtcDateTime

BLOCK = 64  # rows a statement: the driver's work for each row was a third of an insert
REMEMBERED = 1024  # texts of days and instants: they repeat from row to row and from table to table

Row = tuple[Any, ...]
Values = Sequence[Any]


class RowBuffer:
    """Rows of one table that wait for the next commit. Values are in the order of `columns`."""

    def __init__(self, model: type[Base]) -> None:
        table = model.__table__
        if not isinstance(table, Table):
            raise TypeError(f"{model.__name__} is not mapped to a table")
        self.table = table
        self.columns: tuple[Column[Any], ...] = tuple(c for c in table.columns if not _counts_up(c))
        self._rows: list[Row] = []
        self.add = self._rows.append  # takes one row
        names = [c.name for c in self.columns]
        self._insert_row, self._insert_block = (_sqlite_insert(table.name, names, n) for n in (1, BLOCK))
        self._sqlite_values = [_sqlite_values(c) for c in self.columns]

    def __len__(self) -> int:
        return len(self._rows)

    def flush(self, connection: Connection) -> None:
        """Write all rows in the connection's transaction, and forget them."""
        if self._rows:
            self.write(connection, list(zip(*self._rows, strict=True)))
            self._rows.clear()

    def write(self, connection: Connection, values: Sequence[Values]) -> None:
        """Write rows given as one sequence of values a column, all as long."""
        if not len(values[0]):
            return
        if connection.dialect.name == "sqlite":
            stored = [convert(column) for convert, column in zip(self._sqlite_values, values, strict=True)]
            self._write_sqlite(connection, stored)
        else:
            from trading_platform.storage.postgresql import copy_rows

            copy_rows(connection, self.table.name, self.columns, values)

    def _write_sqlite(self, connection: Connection, stored: Sequence[Values]) -> None:
        """Write values of SQLite's, a column each: as many whole blocks as there are, then the rest row by row."""
        width, count = len(stored), len(stored[0])
        flat: list[Any] = [None] * (count * width)
        for n, values in enumerate(stored):
            flat[n::width] = values
        in_blocks = count - count % BLOCK
        for statement, first, stop, rows in (
            (self._insert_block, 0, in_blocks, BLOCK),
            (self._insert_row, in_blocks, count, 1),
        ):
            step = rows * width
            pieces = [tuple(flat[n : n + step]) for n in range(first * width, stop * width, step)]
            if pieces:
                connection.exec_driver_sql(statement, pieces)


def _counts_up(column: Column[Any]) -> bool:
    return column.primary_key and column.name == "id"


def _sqlite_insert(table: str, names: Sequence[str], n_rows: int) -> str:
    quoted, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    values = ", ".join([f"({marks})"] * n_rows)
    return f'INSERT INTO "{table}" ({quoted}) VALUES {values}'  # noqa: S608 - names of our own tables


def _sqlite_values(column: Column[Any]) -> Callable[[Values], Values]:
    """Return what turns the values of `column` into what SQLite stores."""
    one: Callable[[Any], Any]
    many: Callable[[Values], Values]
    match column.type:
        case Cents():
            one, many = _cents, _all_cents
        case UtcDateTime():
            one, many = _utc_text, _all_utc_texts
        case Date():
            one, many = _date_text, _all_date_texts
        case _:
            return _unchanged
    if column.nullable:
        return lambda values: [None if value is None else one(value) for value in values]
    return many


def _unchanged(values: Values) -> Values:
    return values


def _all_cents(values: Values) -> Values:
    cents: list[int] = np.rint(np.array(values) * 100.0).astype(np.int64).tolist()
    return cents


def _all_utc_texts(values: Values) -> Values:
    return list(map(_utc_text, values))


def _all_date_texts(values: Values) -> Values:
    return list(map(_date_text, values))


def _cents(dollars: float) -> int:
    return round(dollars * 100.0)


@lru_cache(maxsize=REMEMBERED)
def _date_text(day: date) -> str:
    return day.isoformat()


@lru_cache(maxsize=REMEMBERED)
def _utc_text(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant!r}: pass an aware one, e.g. datetime.now(UTC)")
    return instant.astimezone(UTC).isoformat(sep=" ", timespec="microseconds").removesuffix("+00:00")
