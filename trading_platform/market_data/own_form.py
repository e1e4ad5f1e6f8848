"""The platform's own form of bars, read by pyarrow's CSV reader: half a million bars in half a second.

Only what is plainly that form is read here; whatever pyarrow refuses, and every other form, goes the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trading_platform.core.types import Floats
from trading_platform.market_data.bars import Bars, sort_names
from trading_platform.market_data.columns import OWN_HEADER, Role, role_of
from trading_platform.market_data.long_bars import Part, order_notices, spelling_notices
from trading_platform.market_data.notices import Notice, NoticeKind, shown
from trading_platform.market_data.sources import Source
from trading_platform.market_data.text_tables import read_text_table

# An empty field in these columns means that nothing happened on that day.
OPTIONAL = {Role.SPLIT.value: 1.0, Role.DIVIDEND.value: 0.0}
SUFFIXES = (".csv", ".csv.gz")


def is_own_form(source: Source, header: Sequence[str]) -> bool:
    """Return True if the columns have the platform's own names, and no other column can mean anything for bars."""
    names = [name.strip().lower() for name in header]
    others = [name for name in names if name not in OWN_HEADER and name not in OPTIONAL]
    return (
        source.member is None
        and source.path.name.lower().endswith(SUFFIXES)
        and all(names.count(name) == 1 for name in OWN_HEADER)
        and len(set(names)) == len(names)
        and all(role_of(name) is None for name in others)
    )


def read_own_form(source: Source, header: Sequence[str]) -> Part | None:
    """Return the bars as pyarrow reads them, or None if it is missing or refuses something."""
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
    except ImportError:
        return None
    spelled = {name.strip().lower(): name for name in header}
    types = {
        spelled[name]: pa.date32() if name == "date" else pa.float64()
        for name in (*OWN_HEADER, *OPTIONAL)
        if name in spelled and name != "ticker"
    }
    types[spelled["ticker"]] = pa.dictionary(pa.int32(), pa.string())
    options = arrow_csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=False
    )
    try:
        table = arrow_csv.read_csv(str(source.path), convert_options=options)
    except (pa.ArrowException, OSError, EOFError, ValueError):
        return None
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    if table.num_rows == 0 or any(table.column(name).null_count for name in OWN_HEADER):
        return None
    return _part(source, table, [name for name in header if name.strip().lower() not in (*OWN_HEADER, *OPTIONAL)])


def _part(source: Source, table: Any, unused: Sequence[str]) -> Part | None:
    tickers = table.column("ticker").unify_dictionaries().combine_chunks()
    chunks = [tickers] if not hasattr(tickers, "chunks") else tickers.chunks
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in chunks]).astype(np.int64)
    labels = chunks[0].dictionary.to_pylist()
    if any(not label.strip() for label in labels):
        return None
    names, notices = spelling_notices(labels, source.name)
    ordered, ticker = sort_names(names, codes)
    columns: dict[str, Floats] = {}
    for name in (*OWN_HEADER[2:], *OPTIONAL):
        if name in table.column_names:
            columns[name] = table.column(name).fill_null(OPTIONAL.get(name, np.nan)).to_numpy().astype(np.float64)
    if any(np.isnan(columns[name]).any() for name in columns):
        return None
    if unused:
        notices.append(Notice(NoticeKind.COLUMN_SKIPPED, len(unused), f"{source.name}: {shown(unused, 8)}"))
    days = table.column("date").to_numpy().astype("datetime64[D]")
    notices += order_notices(ticker, days, source.name)
    return Part(
        Bars(names=ordered, ticker=ticker, session=days, place=_place(source), **columns),  # type: ignore[arg-type]  # the columns are floats
        tuple(notices),
    )


def _place(source: Source) -> Any:
    """Return a function that names the line of a row by reading the file once more: only errors pay for it."""

    def place(row: int) -> str:
        return read_text_table(source).place(row)

    return place
