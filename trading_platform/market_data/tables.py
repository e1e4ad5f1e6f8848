"""Rows of a plain csv file, with the line of whatever is wrong with it: for lists that people keep by hand."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

from trading_platform.core.errors import MarketDataError


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
        raise MarketDataError(f"{path.name} is empty; fill it in or remove it")


def _open_text(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")
