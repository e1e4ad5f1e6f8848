"""Lines and tables for screens of any width: words wrap, columns are left out or stacked, nothing is cut."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from trading_platform.reporting.plain import columns

GAP = 2  # columns between columns
KEPT = "\u00a0"  # a space at which no line is broken
BEFORE_PERCENT = re.compile(r"(?<=\d) (?=%)")
LEAST_ROOM = 20  # columns beside a name; with less a text stands below it


class Column(NamedTuple):
    """A column of texts. The least `keep` is left out first where there is no room; the first column always stays."""

    title: str
    texts: Sequence[str]
    keep: int
    is_number: bool = True

    @property
    def width(self) -> int:
        """Columns that the widest text takes."""
        return max((columns(text) for text in (self.title, *self.texts)), default=0)


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Return `text` in lines of at most `width`, broken between words; later lines begin with `indent`."""
    joined = BEFORE_PERCENT.sub(KEPT, text)
    lines = textwrap.wrap(
        joined, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(KEPT, " ") for line in lines]


def pairs(rows: Sequence[tuple[str, str]], width: int, indent: str = "  ") -> list[str]:
    """Return names and texts in two columns; on a screen without room for that, each text below its name."""
    name_width = max((len(name) for name, _ in rows), default=0)
    room = width - len(indent) - name_width - GAP
    lines = []
    for name, text in rows:
        if room >= LEAST_ROOM:
            first, *rest = wrap(text, room) or [""]
            lines.append(f"{indent}{name:{name_width}}{' ' * GAP}{first}".rstrip())
            lines += [f"{indent}{'':{name_width}}{' ' * GAP}{line}" for line in rest]
        else:
            lines.append(f"{indent}{name}")
            lines += [f"{indent}  {line}" for line in wrap(text, width - len(indent) - 2)]
    return lines


def table(head: Column, others: Sequence[Column], width: int, indent: str = "  ") -> list[str]:
    """Return a table of at most `width`: the columns that matter least are left out, then rows are stacked."""
    shown = list(others)
    while len(shown) > 1 and _width(head, shown, indent) > width:
        shown.remove(min(shown, key=lambda column: column.keep))
    if _width(head, shown, indent) <= width:
        return [_row(head, shown, n, indent) for n in range(-1, len(head.texts))]
    lines = []
    for n, name in enumerate(head.texts):
        lines.append(f"{indent}{name}")
        lines += [f"{indent}  {column.title} {column.texts[n]}" for column in shown if column.texts[n]]
    return lines


def _width(head: Column, shown: Sequence[Column], indent: str) -> int:
    return len(indent) + head.width + sum(GAP + column.width for column in shown)


def _row(head: Column, shown: Sequence[Column], n: int, indent: str) -> str:
    """Return row `n`, or the titles for -1."""
    cells = [_padded(head, n)] + [_padded(column, n) for column in shown]
    return (indent + (" " * GAP).join(cells)).rstrip()


def _padded(column: Column, n: int) -> str:
    text = column.title if n < 0 else column.texts[n]
    space = " " * (column.width - columns(text))
    return space + text if column.is_number else text + space
