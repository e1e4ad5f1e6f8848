"""Write many rows quickly: rows are collected as tuples and go to the database in one statement a table.

SQLAlchemy converts every value of every row; with a dozen rows a session that is most of a replay's time. For SQLite
the values are converted here, a column at a time, with the same column types; other databases take SQLAlchemy's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import Connection, Date, Table, insert
from sqlalchemy.sql.schema import Column

from trading_platform.storage.models import Base
from trading_platform.storage.types import Cents, UtcDateTime

REMEMBERED = 1024  # texts of days and instants: they repeat from row to row and from table to table

Row = tuple[Any, ...]
Converter = Callable[[Any], Any]


class RowBuffer:
    """Rows of one table that wait for the next commit. Values are in the order of `columns`."""

    def __init__(self, model: type[Base]) -> None:
        table = model.__table__
        if not isinstance(table, Table):
            raise TypeError(f"{model.__name__} is not mapped to a table")
        self.table = table
        self.columns: tuple[Column[Any], ...] = tuple(c for c in table.columns if not _counts_up(c))
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Take one row."""
        self._rows.append(row)

    def extend(self, rows: list[Row]) -> None:
        """Take many rows."""
        self._rows += rows

    def __len__(self) -> int:
        return len(self._rows)

    def discard(self) -> None:
        """Forget what has not been written."""
        self._rows.clear()

    def flush(self, connection: Connection) -> None:
        """Write all rows in the connection's transaction, and forget them."""
        if not self._rows:
            return
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(self.columns))
            names = ", ".join(f'"{c.name}"' for c in self.columns)
            statement = f'INSERT INTO "{self.table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - names of our own tables
            connection.exec_driver_sql(statement, _converted(self.columns, self._rows))
        else:
            keys = [c.name for c in self.columns]
            connection.execute(insert(self.table), [dict(zip(keys, row, strict=True)) for row in self._rows])
        self._rows.clear()


def _counts_up(column: Column[Any]) -> bool:
    return column.primary_key and column.name == "id"


def _converted(columns: Sequence[Column[Any]], rows: Sequence[Row]) -> list[Row]:
    """Return `rows` with every value as SQLite stores it."""
    by_column = list(zip(*rows, strict=True))
    for i, column in enumerate(columns):
        convert = _sqlite_converter(column)
        if isinstance(column.type, Cents) and not column.nullable:
            by_column[i] = tuple(np.rint(np.array(by_column[i]) * 100.0).astype(np.int64).tolist())
        elif convert is not None:
            by_column[i] = tuple([None if value is None else convert(value) for value in by_column[i]])
    return list(zip(*by_column, strict=True))


def _sqlite_converter(column: Column[Any]) -> Converter | None:
    match column.type:
        case Cents():
            return lambda dollars: round(dollars * 100.0)
        case UtcDateTime():
            return _utc_text
        case Date():
            return _date_text
        case _:
            return None


@lru_cache(maxsize=REMEMBERED)
def _date_text(day: date) -> str:
    return day.isoformat()


@lru_cache(maxsize=REMEMBERED)
def _utc_text(instant: Any) -> str:
    naive = UtcDateTime().process_bind_param(instant, None)  # type: ignore[arg-type] # the dialect is not looked at
    return "" if naive is None else naive.isoformat(sep=" ", timespec="microseconds")
