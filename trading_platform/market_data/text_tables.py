"""Tables in text files as people have them: any encoding, any separator, remarks, several header rows, footers.

Nothing is converted here: a `RawTable` holds texts, and the line of every row for whoever has to complain about it.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.market_data.columns import is_price, key_of, role_of, roles_of
from trading_platform.market_data.dates import is_date, parse_stamp
from trading_platform.market_data.numbers import MISSING, is_number
from trading_platform.market_data.sources import Source, read_bytes, read_head

SEPARATORS = (",", ";", "\t", "|")
HEAD_LINES = 40
MAX_HEADER_ROWS = 4
SNIFFED_LINES = 400
MAX_FOOTER_LINES = 10
COMMENTS = ("#", "//", "%", "sep=", '"sep=')
csv.field_size_limit(1_000_000)


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """A table as it is written.

    Attributes
    ----------
    source
        Where it comes from.
    headers
        Header rows, the last one closest to the data; each as wide as the table. Empty if there is none.
    columns
        One sequence of texts a column, (R,) each; of Parquet and Feather, arrays of numbers or days as well.
    lines
        (R,) line of each row as an editor shows it, or its number in a Parquet file.
    separator
        What stands between columns.
    notes
        What was understood about the file's form, in a few words each.
    skipped
        Lines that are no rows and no header, such as titles and footers: (line, text).
    """

    source: Source
    headers: tuple[tuple[str, ...], ...]
    columns: Sequence[Sequence[str] | NDArray[np.generic]]
    lines: Sequence[int]
    separator: str = ","
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[int, str], ...] = ()
    problems: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def header(self) -> tuple[str, ...]:
        """The header row that is closest to the data."""
        return self.headers[-1] if self.headers else ()

    def place(self, row: int) -> str:
        """Name a row for people."""
        word = "line" if self.source.is_text else "row"
        return f"{self.source.name} {word} {self.lines[row]}"

    def texts(self, column: int) -> Sequence[str]:
        """Return a column as texts."""
        values = self.columns[column]
        if isinstance(values, np.ndarray):
            return ["" if value is None else str(value) for value in values.tolist()]
        return values


def read_text_table(source: Source, *, head_only: bool = False) -> RawTable:
    """Read a text file.

    Parameters
    ----------
    source
        The file.
    head_only
        Read only its beginning, to see what it is; what is wrong with single rows is then no error.

    Raises
    ------
    MarketDataError
        The file cannot be read or unpacked, is empty, is no text, or is no table.
    """
    data = read_head(source) if head_only else read_bytes(source)
    text, encoding = decode(data, source.name, is_whole=not head_only)
    if head_only and len(text) > 1000:
        text = _first_lines(text)
    return parse_text(text, source, encoding=encoding, lenient=head_only)


def _first_lines(text: str) -> str:
    """Return the first whole lines of a text that was cut somewhere."""
    at = -1
    for _ in range(SNIFFED_LINES):
        following = text.find("\n", at + 1)
        if following < 0:
            break
        at = following
    return text[: at + 1] or text


def decode(data: bytes, name: str, *, is_whole: bool = True) -> tuple[str, str]:
    """Return the text of a file and the encoding that was understood, empty for UTF-8.

    Raises
    ------
    MarketDataError
        It is no text.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        text, encoding = decode(data[3:], name, is_whole=is_whole)
        return text, encoding or "UTF-8 with a byte-order mark"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _utf16(data, "utf-16", name, is_whole), "UTF-16"
    if b"\0" in data[:4096]:
        sample = data[:4096]
        odd, even = sample[1::2].count(0), sample[::2].count(0)
        if max(odd, even) > 0.3 * len(sample) / 2 and min(odd, even) < 0.05 * len(sample):
            return _utf16(data, "utf-16-le" if odd > even else "utf-16-be", name, is_whole), "UTF-16"
        raise MarketDataError(f"{name}: no text (it holds zero bytes); give a CSV, Parquet or Feather file")
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        if not is_whole and error.start > len(data) - 4:
            return data[: error.start].decode("utf-8"), ""
    return data.decode("cp1252", errors="replace"), "Windows-1252"


def parse_text(text: str, source: Source, *, encoding: str = "", lenient: bool = False) -> RawTable:
    """Return the table in `text`; see `read_text_table`.

    Raises
    ------
    MarketDataError
        There is nothing in it.
    """
    name = source.name
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old Macs end their lines
    start, head = _head_of(text)
    if not head:
        raise MarketDataError(f"{name} is empty; add bars (date, ticker, open, high, low, close, volume) or remove it")
    separator = _separator_of(head)
    rows, lines = _rows_of(text, separator, name, lenient=lenient, commented=start)
    if not rows:
        raise MarketDataError(f"{name} is empty; add bars (date, ticker, open, high, low, close, volume) or remove it")
    first = _first_data_row(rows)
    titles, headers = _headers_of(rows[:first])
    body, at = rows[first:], lines[first:]
    width = max((len(row) for row in headers), default=0) or _usual_width(body)
    if headers and body and _usual_width(body) == width + 1 and all(len(row) <= width for row in headers):
        headers = [["", *row] for row in headers]  # the index of a data frame without a name
        width += 1
    skipped = [(lines[place], ",".join(rows[place])) for place in titles]
    body, at, more, problems = _even(body, at, width, name, headers)
    skipped += more
    columns: list[Sequence[str]] = (
        [list(column) for column in zip(*body, strict=True)] if body else [[] for _ in range(width)]
    )
    notes = tuple(
        note
        for note in (
            encoding,
            "remarks in the text" if start else "",
            "blanks around columns" if _is_spaced(head) and separator != " " else "",
            "" if separator == "," else f"columns separated by {_SEPARATOR_WORDS[separator]}",
            "no header line, so columns by their values" if not headers and body else "",
            f"{len(headers)} header rows" if len(headers) > 1 else "",
            f"packed in {source.path.name}" if source.member is not None else "",
        )
        if note
    )
    return RawTable(
        source=source,
        headers=tuple(tuple(cell.strip() for cell in [*row, *([""] * (width - len(row)))]) for row in headers),
        columns=columns,
        lines=at,
        separator=separator,
        notes=notes,
        skipped=tuple(skipped),
        problems=tuple(problems),
    )


_SEPARATOR_WORDS = {";": "semicolons", "\t": "tabs", "|": "bars (|)", " ": "spaces"}


def _is_spaced(head: Sequence[str]) -> bool:
    return all(", " in line or "; " in line for line in head[:3])


def _utf16(data: bytes, codec: str, name: str, is_whole: bool) -> str:
    try:
        return data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if not is_whole and error.start >= len(data) - 4:
            return data[: error.start].decode(codec).removeprefix("\ufeff")
        raise MarketDataError(
            f"{name}: begins as UTF-16 text and is none after byte {error.start:,}; save it as UTF-8"
        ) from error


def _head_of(text: str) -> tuple[bool, list[str]]:
    """Return whether remarks come first, and the first lines that are neither blank nor remarks."""
    head: list[str] = []
    commented = False
    for line in itertools.islice(io.StringIO(text), HEAD_LINES * 4):
        stripped = line.strip()
        if not stripped or (stripped.startswith(COMMENTS) and not (stripped.startswith("%") and "," in stripped)):
            commented |= bool(stripped)
            continue
        head.append(line)
        if len(head) >= HEAD_LINES:
            break
    return commented, head


def _separator_of(head: Sequence[str]) -> str:
    """Return the separator under which the head makes the most sense: known column names, then even rows."""

    def score(separator: str) -> tuple[int, int, float]:
        try:
            rows = [row for row in csv.reader(head, delimiter=separator, skipinitialspace=True) if row]
        except csv.Error:
            return 0, 0, 0.0
        named = max((len(roles_of(row)) for row in rows[:10]), default=0)
        filled = max((sum(is_price(role_of(cell)) for cell in row) for row in rows[:10]), default=0)
        widths = [len(row) for row in rows]
        usual = max(set(widths), key=widths.count) if widths else 1
        return max(named, filled), int(usual > 1), widths.count(usual) / len(widths) * usual if widths else 0.0

    best = max(SEPARATORS, key=score)
    if score(best)[1] == 0 and all(len(line.split()) > 2 for line in head[:5]):
        return " "
    return best


def _rows_of(
    text: str, separator: str, name: str, *, lenient: bool, commented: bool
) -> tuple[list[list[str]], list[int]]:
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(
        _uncommented(text) if commented else io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=not lenient,
    )
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        if not lenient:
            raise MarketDataError(
                f"{name} line {reader.line_num}: not valid CSV ({error}); correct the line"
            ) from error
    return rows, lines


def _uncommented(text: str) -> Iterator[str]:
    """Yield the lines with remarks made blank, so that lines keep their numbers."""
    for line in io.StringIO(text, newline=""):
        yield "\n" if line.lstrip().startswith(COMMENTS) else line


def _first_data_row(rows: Sequence[Sequence[str]]) -> int:
    """Return the first row that holds a date and a number, or a date where columns are blank; all rows if none does."""
    for place, row in enumerate(rows[: HEAD_LINES + MAX_HEADER_ROWS]):
        cells = [cell.strip() for cell in row]
        dated = [cell for cell in cells if is_date(cell)]
        plain = [cell for cell in cells if is_number(cell)]
        if dated and (len(plain) > len([cell for cell in dated if is_number(cell)]) or _blank_but(cells, dated)):
            return place
        if not dated and len(plain) >= 2 and any(parse_stamp(cell) is not None for cell in plain):
            return place
        # side files without numbers (ticker,sector) begin after the first row with known names
        if place and len(roles_of(rows[place - 1])) >= 1 and not _is_header_like(cells):
            return place
    known = next((place for place, row in enumerate(rows[:HEAD_LINES]) if roles_of(row)), None)
    return len(rows) if known is None and len(rows) == 1 else (1 if known is None else known + 1)


def _blank_but(cells: Sequence[str], dated: Sequence[str]) -> bool:
    return len(cells) > 1 and all(cell in dated or cell.lower() in MISSING for cell in cells)


def _is_header_like(cells: Sequence[str]) -> bool:
    """Return True if a row can still be a header: known names, or tickers under a row of prices, or mostly blank."""
    filled = [cell for cell in cells if cell]
    if len(filled) <= 1:
        return True
    return sum(role_of(cell) is not None for cell in filled) >= 2 or len(set(filled[1:])) < len(filled[1:])


def _headers_of(rows: Sequence[Sequence[str]]) -> tuple[list[int], list[list[str]]]:
    """Return the rows that are titles, and the header rows: those as wide as the last that names columns."""
    if not rows:
        return [], []
    named = [place for place, row in enumerate(rows) if sum(role_of(cell) is not None for cell in row) >= 1]
    if not named:
        return list(range(len(rows) - 1)), [list(rows[-1])]
    width = max(len(rows[place]) for place in named)
    chosen = [place for place in range(len(rows)) if len(rows[place]) == width and place >= named[0]][-MAX_HEADER_ROWS:]
    if named[0] > 0 and len(rows[named[0] - 1]) == width and _many_tickers(rows[named[0] - 1]):
        chosen = [named[0] - 1, *chosen]
    return [place for place in range(len(rows)) if place not in chosen], [list(rows[place]) for place in chosen]


def _many_tickers(cells: Sequence[str]) -> bool:
    """Return True for the row of tickers above a row of repeated prices."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return len(filled) >= 2 and len(set(filled)) < len(filled)


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    widths = [len(row) for row in rows[:1000]]
    return max(set(widths), key=widths.count) if widths else 0


def _even(
    rows: list[list[str]], lines: list[int], width: int, name: str, headers: Sequence[Sequence[str]]
) -> tuple[list[list[str]], list[int], list[tuple[int, str]], list[str]]:
    """Return rows of one width; blank lines, repeated headers and footers are taken out, other widths are problems."""
    kept: list[list[str]] = []
    at: list[int] = []
    skipped: list[tuple[int, str]] = []
    problems: list[str] = []
    keys = [[key_of(cell) for cell in header] for header in headers]
    last = len(rows) - 1
    known = max((len(header) for header in headers), default=width)
    for place, (row, line) in enumerate(zip(rows, lines, strict=True)):
        if len(row) != width:
            filled = [cell for cell in row if cell.strip()]
            if not filled:
                skipped.append((line, "blank"))
                continue
            if len(filled) == 1 and last - place < MAX_FOOTER_LINES and not is_date(filled[0]):
                skipped.append((line, filled[0]))
                continue
            if len(row) > width and not any(cell.strip() for cell in row[width:]):
                row = row[:width]
            else:
                problems.append(
                    f"{name} line {line}: {len(row)} fields where the header has {known}; correct or delete the line"
                )
                continue
        elif not row[0].strip() and not any(cell.strip() for cell in row):
            skipped.append((line, "blank"))
            continue
        elif keys and row[-1][:1].isalpha() and [key_of(cell) for cell in row] in keys:
            skipped.append((line, "the header again"))
            continue
        elif place > last - MAX_FOOTER_LINES and _is_footer(row):
            skipped.append((line, " ".join(cell for cell in row if cell.strip())))
            continue
        kept.append(row)
        at.append(line)
    return kept, at, skipped, problems


def _is_footer(row: Sequence[str]) -> bool:
    """Return True for a line of words at the end: no date, no number."""
    filled = [cell.strip() for cell in row if cell.strip()]
    return len(filled) == 1 and len(row) > 2 and not is_date(filled[0]) and not is_number(filled[0])
