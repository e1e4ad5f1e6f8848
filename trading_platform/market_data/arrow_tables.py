"""Parquet and Feather files as `RawTable`, read by pyarrow where it is installed."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.market_data.columns import Role, role_of
from trading_platform.market_data.sources import Source, read_bytes
from trading_platform.market_data.text_tables import RawTable

_INDEX_NAMES = re.compile(r"__index_level_\d+__")


def read_arrow_table(source: Source) -> RawTable:
    """Read a Parquet or Feather file.

    Raises
    ------
    MarketDataError
        pyarrow is missing, or the file is damaged or not what its name says.
    """
    table = _table(source)
    headers = _headers(table.column_names)
    columns: list[Sequence[str] | NDArray[np.generic]] = [
        _column(source, table, place) for place in range(table.num_columns)
    ]
    return RawTable(
        source=source,
        headers=headers,
        columns=columns,
        lines=range(1, table.num_rows + 1),
        notes=(f"a {source.suffix.lstrip('.').capitalize()} file",) if source.suffix not in (".parquet", ".pq") else (),
    )


def _table(source: Source) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import feather, parquet
    except ImportError as error:
        kind = "Parquet" if source.suffix in (".parquet", ".pq") else "Feather"
        raise MarketDataError(
            f"{source.name}: {kind} needs the package pyarrow; install it (pip install pyarrow) or use CSV"
        ) from error
    data = io.BytesIO(read_bytes(source)) if source.member is not None or _is_packed(source) else source.path
    is_parquet = source.suffix in (".parquet", ".pq")
    try:
        return parquet.read_table(data) if is_parquet else feather.read_table(data)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        kind = "Parquet" if is_parquet else "Feather"
        raise MarketDataError(f"{source.name}: not a readable {kind} file ({error}); write it again") from error


def _is_packed(source: Source) -> bool:
    return source.path.suffix.lower() in (".gz", ".bz2", ".xz")


def _headers(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the header rows; pandas writes the names of two header rows as ``('Close', 'AAPL')``."""
    pairs = [_pair(name) for name in names]
    if sum(pair is not None for pair in pairs) < 2:
        dated = any(role_of(name) is Role.DATE for name in names)  # then the index is a row number
        return (tuple(("" if dated else "Date") if _INDEX_NAMES.fullmatch(name) else name for name in names),)
    upper = tuple("Date" if pair is None else pair[0] for pair in pairs)
    lower = tuple("" if pair is None else pair[1] for pair in pairs)
    return upper, lower


def _pair(name: str) -> tuple[str, str] | None:
    if not (name.startswith("(") and name.endswith(")")):
        return None
    try:
        value = ast.literal_eval(name)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return (value[0], value[1]) if is_pair else None


def _column(source: Source, table: Any, place: int) -> Sequence[str] | NDArray[np.generic]:
    import pyarrow as pa

    column = table.column(place)
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
            kind = column.type
        if pa.types.is_timestamp(kind):
            return _stamps(column, kind)
        if pa.types.is_date(kind):
            days: NDArray[np.generic] = column.cast(pa.date32()).to_numpy().astype("datetime64[D]")
            return days
        if (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_decimal(kind)
            or pa.types.is_boolean(kind)
        ):
            numbers: NDArray[np.generic] = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
            return numbers
        return ["" if value is None else str(value) for value in column.to_pylist()]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise MarketDataError(
            f"{source.name}: column {table.column_names[place]} of type {kind} cannot be read ({error}); convert it"
        ) from error


def _stamps(column: Any, kind: Any) -> Sequence[str]:
    """Return instants as texts, with their zone; local midnights as plain dates."""
    moments = column.cast(_plain_seconds(kind), safe=False).to_numpy().astype("datetime64[s]")
    texts = ["" if text == "NaT" else text for text in np.datetime_as_string(moments, unit="s").tolist()]
    if kind.tz is None:
        return [text.removesuffix("T00:00:00") for text in texts]
    return [f"{text}+00:00" if text else "" for text in texts]


def _plain_seconds(kind: Any) -> Any:
    import pyarrow as pa

    return pa.timestamp("s", tz=kind.tz)
