"""Numbers as people write them: 1,164,665 or 1.164.665, 49,40 or 49.40, $12.50, 1.2M, (3.5), n/a."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import numpy as np

from trading_platform.core.types import Floats, Ints

MISSING = frozenset(
    ("", "-", "--", ".", "n/a", "na", "#n/a", "nan", "null", "none", "nil", "\\n", "missing", "n.a.", "#value!", "?")
)
MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
SAMPLE = 2000  # values that settle how a column is written

_DOT_GROUPS = re.compile(r"\d{1,3}(\.\d{3}){2,}(,\d+)?|\d{1,3}(\.\d{3})+,\d+")
_COMMA_GROUPS = re.compile(r"\d{1,3}(,\d{3}){2,}(\.\d+)?|\d{1,3}(,\d{3})+\.\d+")
_ONE_COMMA = re.compile(r"(\d+),(\d+)")
_ONE_DOT = re.compile(r"(\d+)\.(\d+)")
_CURRENCY = re.compile(r"[$€£¥%'\u2019\u00a0\u202f\s]|USD|EUR|GBP")


class Decimals(StrEnum):
    """The sign before the fraction of a number."""

    DOT = "."
    COMMA = ","


def decimals_of(columns: Iterable[Sequence[str]], separator: str) -> Decimals:
    """Return how the numbers in `columns` are written.

    Groups of thousands and fractions that have not three digits settle it. Where nothing does ("1,234" everywhere),
    a comma is a decimal comma in files whose columns are separated by something else, as Excel writes them.
    """
    commas = dots = open_commas = 0
    for column in columns:
        for text in column[:SAMPLE]:
            number = _bare(text)
            if _DOT_GROUPS.fullmatch(number):
                commas += 1
            elif _COMMA_GROUPS.fullmatch(number):
                dots += 1
            elif match := _ONE_COMMA.fullmatch(number):
                settled = len(match[2]) != 3 or len(match[1]) > 3 or match[1].startswith("0")
                commas += settled
                open_commas += not settled
            elif match := _ONE_DOT.fullmatch(number):
                dots += len(match[2]) != 3 or len(match[1]) > 3 or match[1].startswith("0")
    if commas != dots:
        return Decimals.COMMA if commas > dots else Decimals.DOT
    return Decimals.COMMA if open_commas and separator != "," else Decimals.DOT


def parse_numbers(texts: Sequence[str], decimals: Decimals = Decimals.DOT) -> tuple[Floats, Ints]:
    """Return the numbers (R,), NaN where there is none, and the rows whose text is neither a number nor a blank."""
    if decimals is Decimals.DOT:
        try:
            return np.array(list(map(float, texts)), dtype=np.float64), np.empty(0, np.int64)
        except ValueError:
            pass
    values = np.full(len(texts), np.nan)
    wrong = []
    known: dict[str, float | None] = {}
    for row, text in enumerate(texts):
        if text in known:
            value = known[text]
        else:
            value = known[text] = parse_number(text, decimals)
        if value is None:
            wrong.append(row)
        else:
            values[row] = value
    return values, np.array(wrong, dtype=np.int64)


def parse_number(text: str, decimals: Decimals = Decimals.DOT) -> float | None:
    """Return the number in `text`, NaN for a blank or a word that means none, None for anything else."""
    if text.strip().lower() in MISSING:
        return float("nan")
    number = _bare(text)
    factor = 1.0
    if number[-1:].lower() in MULTIPLES and number[:-1]:
        factor = MULTIPLES[number[-1].lower()]
        number = number[:-1]
    if number.startswith("(") and number.endswith(")"):
        number = "-" + number[1:-1]
    thousands = "," if decimals is Decimals.DOT else "."
    number = number.replace(thousands, "")
    if decimals is Decimals.COMMA:
        number = number.replace(",", ".")
    try:
        return float(number) * factor
    except ValueError:
        return None


def is_number(text: str) -> bool:
    """Return True if `text` reads as a number in either way of writing."""
    value = parse_number(text) if text.strip() else None
    return value is not None and value == value


def _bare(text: str) -> str:
    return _CURRENCY.sub("", text)
