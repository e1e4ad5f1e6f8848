"""Read bar tables (csv, csv.gz, parquet) fast, and name the line when something is wrong.

pyarrow parses the columns. Whatever it refuses is read again by a plain Python reader, which either understands it
or raises the one error that names file, line, column, value and cure. Without pyarrow the plain reader does it all.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Floats
from trading_platform.market_data.bars import Bars, encode_tickers, sort_names

REQUIRED = ("date", "ticker", "open", "high", "low", "close", "volume")
# An empty field in these columns means that nothing happened on that day.
OPTIONAL = {"split_ratio": 1.0, "dividend": 0.0}
NUMBERS = (*REQUIRED[2:], *OPTIONAL)


def read_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a table in lower case.

    Raises
    ------
    MarketDataError
        The file is empty or cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return tuple(name.lower() for name in _parquet_schema(path).names)
    rows = read_rows(path)
    return tuple(name.strip().lower() for name in next(rows)[1])


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every line of a csv or csv.gz file that is not blank, the header first.

    Raises
    ------
    MarketDataError
        Truncated or damaged gzip, text that is not UTF-8, an empty file, or a line with more or fewer fields than
        the header.
    """
    line = 0
    width = None
    try:
        with _open_text(path) as text:
            reader = csv.reader(text, strict=True)
            for fields in reader:
                line = reader.line_num
                if not fields:
                    continue
                width = len(fields) if width is None else width
                if len(fields) != width:
                    raise MarketDataError(
                        f"{path.name} line {line}: {len(fields)} fields where the header has {width}; "
                        "correct or delete the line"
                    )
                yield line, fields
    except EOFError as error:
        raise MarketDataError(
            f"{path.name}: the gzip data end in the middle, after line {line}; download or copy the file again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise MarketDataError(
            f"{path.name}: damaged gzip data after line {line} ({error}); download or copy the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise MarketDataError(f"{path.name}: not UTF-8 text after line {line} ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise MarketDataError(f"{path.name} line {line + 1}: not valid CSV ({error}); correct the line") from error
    except OSError as error:
        raise MarketDataError(f"{path.name} cannot be read ({error}); check the file and its permissions") from error
    if width is None:
        raise MarketDataError(f"{path.name} is empty; it needs the columns {', '.join(REQUIRED)}, or remove it")


def read_bars(path: Path) -> Bars:
    """Read one long-form table. Values are parsed, not judged: that is `quality`'s job.

    Raises
    ------
    MarketDataError
        Missing or repeated columns, no rows, or a field that is not a date, a ticker or a number.
    """
    header = read_header(path)
    _check_header(path, header)
    if path.suffix.lower() == ".parquet":
        bars = _read_parquet(path)
    else:
        bars = _read_arrow_csv(path) or _read_plain(path, header)
    if len(bars) == 0:
        raise MarketDataError(f"{path.name} has a header and no rows; add bars or remove the file")
    strange = [name for name in bars.names if not name or name.strip() != name or not name.isprintable()]
    if strange:
        row = int(np.flatnonzero(bars.ticker == bars.names.index(strange[0]))[0])
        raise MarketDataError(
            f"{bars.place(row)}: ticker {strange[0]!r} is blank or has stray spaces; correct the field"
        )
    return bars


def parse_date(text: str) -> date:
    """Return the date of ``YYYY-MM-DD``; raise ValueError for anything else."""
    value = date.fromisoformat(text)
    if value.isoformat() != text:
        raise ValueError(text)
    return value


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise MarketDataError(
            f"{path.name}: column {', '.join(missing)} is missing, the header has {', '.join(header)}; "
            f"a bar file needs {', '.join(REQUIRED)}"
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise MarketDataError(f"{path.name}: column {', '.join(repeated)} appears twice; remove one of them")


def _open_text(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _line_of(path: Path, row: int) -> str:
    """Return the place of data row `row` by reading the file once more: only errors and warnings pay for it."""
    for number, (line, _) in enumerate(read_rows(path), start=-1):
        if number == row:
            return f"{path.name} line {line}"
    return f"{path.name} row {row + 1}"


def _read_plain(path: Path, header: tuple[str, ...]) -> Bars:
    rows = read_rows(path)
    next(rows)
    index = {name: header.index(name) for name in (*REQUIRED, *OPTIONAL) if name in header}
    numbers = {name: index[name] for name in NUMBERS if name in index}
    days: list[date] = []
    tickers: list[str] = []
    columns: dict[str, list[float]] = {name: [] for name in numbers}
    for line, fields in rows:
        try:
            days.append(parse_date(fields[index["date"]]))
        except ValueError:
            raise _bad_field(path, line, "date", fields[index["date"]], "a date like 2017-12-29") from None
        tickers.append(fields[index["ticker"]])
        for name, column in numbers.items():
            text = fields[column]
            try:
                columns[name].append(OPTIONAL[name] if name in OPTIONAL and not text.strip() else float(text))
            except ValueError:
                raise _bad_field(path, line, name, text, "a number") from None
    names, codes = encode_tickers(tickers)
    return _bars(path, names, codes, np.array(days, dtype="datetime64[D]"), columns)


def _bad_field(path: Path, line: int, column: str, text: str, wanted: str) -> MarketDataError:
    return MarketDataError(f"{path.name} line {line}: {column} {text!r} is not {wanted}; correct or delete the line")


def _read_arrow_csv(path: Path) -> Bars | None:
    """Return the bars as pyarrow reads them, or None if it is missing or refuses something."""
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
    except ImportError:
        return None
    spelled = {name.strip().lower(): name for name in next(read_rows(path))[1]}
    types = {
        spelled[name]: pa.date32() if name == "date" else pa.string() if name == "ticker" else pa.float64()
        for name in (*REQUIRED, *OPTIONAL)
        if name in spelled
    }
    types[spelled["ticker"]] = pa.dictionary(pa.int32(), pa.string())
    options = arrow_csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=False
    )
    try:
        table = arrow_csv.read_csv(str(path), convert_options=options)
    except (pa.ArrowException, OSError, EOFError):
        return None
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    if any(table.column(name).null_count for name in REQUIRED):
        return None
    return _from_arrow(path, table)


def _parquet_schema(path: Path) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MarketDataError(f"{path.name}: Parquet needs the package pyarrow; install it or use CSV") from error
    try:
        return parquet.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise MarketDataError(f"{path.name}: not a readable Parquet file ({error}); write it again") from error


def _read_parquet(path: Path) -> Bars:
    import pyarrow as pa
    from pyarrow import parquet

    spelled = {name.lower(): name for name in _parquet_schema(path).names}
    wanted = [name for name in (*REQUIRED, *OPTIONAL) if name in spelled]
    try:
        table = parquet.read_table(path, columns=[spelled[name] for name in wanted]).rename_columns(wanted)
    except (pa.ArrowException, OSError) as error:
        raise MarketDataError(f"{path.name}: not a readable Parquet file ({error}); write it again") from error
    for position, name in enumerate(wanted):
        column = table.column(name)
        if name in ("date", "ticker") and column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise MarketDataError(f"{path.name} row {row + 1}: {name} is missing; fill or delete the row")
        kind = pa.date32() if name == "date" else pa.string() if name == "ticker" else pa.float64()
        try:
            column = column.cast(kind)
        except pa.ArrowException as error:
            raise MarketDataError(
                f"{path.name}: column {name} of type {column.type} cannot be read as {kind} ({error}); convert it"
            ) from error
        if name == "ticker":
            column = column.dictionary_encode()
        table = table.set_column(position, name, column)
    return _from_arrow(path, table)


def _from_arrow(path: Path, table: Any) -> Bars:
    tickers = table.column("ticker").unify_dictionaries().combine_chunks()
    chunks = [tickers] if not hasattr(tickers, "chunks") else tickers.chunks
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in chunks]) if chunks else np.empty(0, np.int64)
    labels = chunks[0].dictionary.to_pylist() if chunks else []
    names, ticker = sort_names(labels, codes.astype(np.int64))
    days = table.column("date").to_numpy().astype("datetime64[D]")
    numbers = {}
    for name in NUMBERS:
        if name in table.column_names:
            column = table.column(name).fill_null(OPTIONAL.get(name, np.nan))
            numbers[name] = column.to_numpy().astype(np.float64)
    return _bars(path, names, ticker, days, numbers)


def _bars(
    path: Path, names: tuple[str, ...], ticker: Any, days: NDArray[np.datetime64], numbers: dict[str, Any]
) -> Bars:
    def place(row: int) -> str:
        is_table = path.suffix.lower() == ".parquet"
        return f"{path.name} row {row + 1}" if is_table else _line_of(path, row)

    columns: dict[str, Floats] = {name: np.asarray(values, dtype=np.float64) for name, values in numbers.items()}
    return Bars(names=names, ticker=ticker, session=days, place=place, **columns)
