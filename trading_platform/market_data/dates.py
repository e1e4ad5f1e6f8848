"""The session of a row, from dates and times in any clear form.

Dates in figures (01/03/2023) are read in the one order that fits the whole column, and not at all where both fit.
Times decide only to which day a row belongs: an instant in UTC is the day in the exchange's zone, unless every one is
midnight in UTC, which is how many services write a date.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.day_count import NEW_YORK_ZONE
from trading_platform.core.types import Ints

DAY = 86_400
EXCEL_ORIGIN = date(1899, 12, 30)
EXCEL_DAYS = (20_000, 80_000)  # 1954 to 2119
BLANK = frozenset(("", "nat", "nan", "none", "null", "n/a", "na", "-", "."))
MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}

_TAIL = r"(?:[T ,;]+(?P<time>\S.*))?"
_ISO = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TAIL}")
_COMPACT = re.compile(rf"(\d{{4}})(\d{{2}})(\d{{2}})(?:\.0)?{_TAIL}")
_FIGURES = re.compile(rf"(\d{{1,2}})([-/. ])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TAIL}")
_DAY_MONTH = re.compile(
    rf"(?:[a-z]{{3,9}}\.?,?\s+)?(\d{{1,2}})[-/. ]*([a-z]{{3,9}})\.?,?[-/. ]*(\d{{4}}|\d{{2}}){_TAIL}", re.I
)
_MONTH_DAY = re.compile(
    rf"(?:[a-z]{{3,9}}\.?,?\s+)?([a-z]{{3,9}})\.?[- ]*(\d{{1,2}})(?:st|nd|rd|th)?,?[- ]+(\d{{4}}){_TAIL}", re.I
)
_YEAR_MONTH = re.compile(rf"(\d{{4}})[-/. ]([a-z]{{3,9}})[-/. ](\d{{1,2}}){_TAIL}", re.I)
_EPOCH = re.compile(r"(-?\d{9,10}|\d{12,13}|\d{15,16}|\d{18,19})(?:\.\d*)?")
_SERIAL = re.compile(r"(\d{5})(?:\.\d+)?")
_CLOCK = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:(am|pm)(?![a-z]))?\s*"
    r"(z|utc|gmt|[+-]\d{2}:?\d{2}(?::?\d{2})?|[+-]\d{1,2}|e[sd]?t|[a-z]+/[a-z_]+)?",
    re.I,
)
_BARE_CLOCK = re.compile(r"(\d{2})(\d{2})(\d{2})?")


class DateOrder(StrEnum):
    """The order of day and month in dates in figures."""

    MONTH_FIRST = "month_first"
    DAY_FIRST = "day_first"


class DateForm(StrEnum):
    """How a column writes its dates."""

    ISO = "2017-12-29"
    COMPACT = "20171229"
    FIGURES = "12/29/2017"
    NAMED = "29-Dec-2017"
    EPOCH = "seconds since 1970"
    SERIAL = "Excel's day numbers"


class Stamp(NamedTuple):
    """One text: `first`, `second` and `year` in the column's order, seconds of the day, offset from UTC in seconds.

    `seconds` is -1 where no time is written; `offset` is None where no zone is written.
    """

    form: DateForm
    year: int
    first: int
    second: int
    seconds: int = -1
    offset: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """Sessions of R rows.

    Attributes
    ----------
    day
        (R,) datetime64[D], NaT where there is none.
    seconds
        (R,) seconds of the day in the zone that decided, -1 where no time is written.
    blank, wrong
        Rows without a text, and rows whose text is no date.
    order
        What settled dates in figures, None if nothing had to be settled.
    ambiguous
        True if both orders fit; `day` is then NaT for those rows.
    form
        How most dates are written.
    shifted
        (row, text) of the first row whose session is not the date that it shows, None if there is none.
    timed
        True if times stand beside the dates.
    """

    day: NDArray[np.datetime64]
    seconds: Ints
    blank: Ints
    wrong: Ints
    order: DateOrder | None = None
    ambiguous: bool = False
    form: DateForm = DateForm.ISO
    shifted: tuple[int, str] | None = None
    timed: bool = False


def parse_days(texts: Sequence[str], order: DateOrder | None = None, zone: str = NEW_YORK_ZONE) -> Days:
    """Return the sessions that `texts` (R,) name.

    Parameters
    ----------
    texts
        One text a row.
    order
        How to read dates in figures where the column itself does not say.
    zone
        Zone of the exchange, for instants.
    """
    if (plain := _plain_days(texts)) is not None:
        nothing = np.empty(0, np.int64)
        return Days(plain, np.full(len(texts), -1, dtype=np.int64), nothing, nothing)
    distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    stamps = [parse_stamp(text) for text in distinct]
    seen = [stamp for stamp in stamps if stamp is not None]
    forms = [stamp.form for stamp in seen]
    form = max(set(forms), key=forms.count) if forms else DateForm.ISO
    figures = [stamp for stamp in seen if stamp.form is DateForm.FIGURES]
    found, ambiguous = _settle(figures, order)
    utc = [stamp for stamp in seen if stamp.offset == 0]
    as_written = all(stamp.seconds in (-1, 0) for stamp in utc)
    day = np.full(len(stamps), np.datetime64("NaT"), dtype="datetime64[D]")
    seconds = np.full(len(stamps), -1, dtype=np.int64)
    wrong = np.zeros(len(stamps), dtype=np.bool_)
    shifted = None
    zoned = ZoneInfo(zone)
    for place, (text, stamp) in enumerate(zip(distinct, stamps, strict=True)):
        if stamp is None:
            wrong[place] = text.strip().lower() not in BLANK
            continue
        if stamp.form is DateForm.FIGURES and found is None:
            continue
        written = _date_of(stamp, found)
        if written is None:
            wrong[place] = True
            continue
        at = written, stamp.seconds
        if stamp.offset == 0 and not as_written:
            at = _in_zone(written, stamp.seconds, zoned)
            if at[0] != written and shifted is None:
                shifted = place, text
        day[place], seconds[place] = at
    rows = np.fromiter((distinct[text] for text in texts), dtype=np.int64, count=len(texts))
    days = day[rows]
    bad = wrong[rows]
    unread = np.isnat(days) & ~bad
    return Days(
        day=days,
        seconds=seconds[rows],
        blank=np.flatnonzero(unread) if not ambiguous else np.empty(0, np.int64),
        wrong=np.flatnonzero(bad),
        order=found if figures else None,
        ambiguous=ambiguous,
        form=form,
        shifted=None if shifted is None else (int(np.flatnonzero(rows == shifted[0])[0]), shifted[1]),
        timed=bool(np.any(seconds >= 0)),
    )


def _plain_days(texts: Sequence[str]) -> NDArray[np.datetime64] | None:
    """Return days that are all written 2017-12-29, None if one is not: most files are, and numpy reads them fast."""
    if not texts or any(len(text) != 10 or text[4] != "-" or text[7] != "-" for text in texts):
        return None
    try:
        return np.array(texts, dtype="datetime64[D]")
    except ValueError:
        return None


def parse_stamp(text: str) -> Stamp | None:
    """Return what `text` says, None if it is no date."""
    text = text.strip().strip("'\"")
    if match := _ISO.fullmatch(text):
        return _timed(match["time"], Stamp(DateForm.ISO, int(match[1]), int(match[3]), int(match[4])))
    if match := _COMPACT.fullmatch(text):
        stamp = Stamp(DateForm.COMPACT, int(match[1]), int(match[2]), int(match[3]))
        return _timed(match["time"], stamp) if 1 <= stamp.first <= 12 else None
    if match := _FIGURES.fullmatch(text):
        return _timed(match["time"], Stamp(DateForm.FIGURES, _year(match[4]), int(match[1]), int(match[3])))
    for pattern, places in ((_DAY_MONTH, (3, 2, 1)), (_MONTH_DAY, (3, 1, 2)), (_YEAR_MONTH, (1, 2, 3))):
        if (match := pattern.fullmatch(text)) and (month := MONTHS.get(match[places[1]][:3].lower())):
            return _timed(match["time"], Stamp(DateForm.NAMED, _year(match[places[0]]), month, int(match[places[2]])))
    if match := _EPOCH.fullmatch(text):
        return _epoch(match[1])
    if (match := _SERIAL.fullmatch(text)) and EXCEL_DAYS[0] <= int(match[1]) <= EXCEL_DAYS[1]:
        day = EXCEL_ORIGIN + timedelta(days=int(match[1]))
        return Stamp(DateForm.SERIAL, day.year, day.month, day.day)
    return None


def is_date(text: str) -> bool:
    """Return True if `text` is a date in a form that cannot be taken for a number."""
    stamp = parse_stamp(text)
    return stamp is not None and stamp.form not in (DateForm.EPOCH, DateForm.SERIAL)


def _settle(figures: Sequence[Stamp], order: DateOrder | None) -> tuple[DateOrder | None, bool]:
    """Return the order that fits all dates in figures, and whether both do."""
    if not figures:
        return None, False
    if order is not None:
        return order, False
    day_first = any(stamp.first > 12 for stamp in figures)
    month_first = any(stamp.second > 12 for stamp in figures)
    if day_first == month_first:
        # both: the rows that do not fit are named as wrong when read in the order of the majority
        if not day_first:
            return None, True
        firsts = sum(stamp.first > 12 for stamp in figures)
        return (
            DateOrder.DAY_FIRST
            if 2 * firsts > sum(stamp.first > 12 or stamp.second > 12 for stamp in figures)
            else DateOrder.MONTH_FIRST
        ), False
    return DateOrder.DAY_FIRST if day_first else DateOrder.MONTH_FIRST, False


def _date_of(stamp: Stamp, order: DateOrder | None) -> date | None:
    month, day = stamp.first, stamp.second
    if stamp.form is DateForm.FIGURES and order is DateOrder.DAY_FIRST:
        month, day = day, month
    try:
        return date(stamp.year, month, day)
    except ValueError:
        return None


def _in_zone(day: date, seconds: int, zone: ZoneInfo) -> tuple[date, int]:
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=max(seconds, 0))
    try:
        local = instant.astimezone(zone)
    except OverflowError:
        return day, seconds
    return local.date(), local.hour * 3600 + local.minute * 60 + local.second


def _timed(text: str | None, stamp: Stamp) -> Stamp | None:
    if text is None:
        return stamp
    if match := _BARE_CLOCK.fullmatch(text):
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        return _at(stamp, hour, minute, second, None)
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour, half = int(match[1]), (match[4] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    return _at(stamp, hour, int(match[2]), int(match[3] or 0), match[5])


def _at(stamp: Stamp, hour: int, minute: int, second: int, zone: str | None) -> Stamp | None:
    if hour > 23 or minute > 59 or second > 60:
        return None
    seconds = hour * 3600 + minute * 60 + second
    if zone is None:
        return stamp._replace(seconds=seconds)
    offset = _offset(zone)
    return None if offset is None else stamp._replace(seconds=seconds, offset=offset)


def _offset(zone: str) -> int | None:
    """Return an offset in seconds; a zone other than UTC only says that the written day is meant."""
    name = zone.lower()
    if name in ("z", "utc", "gmt"):
        return 0
    if name in ("et", "est", "edt"):
        return -5 * 3600
    if "/" in name:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return None
        return 1 if name not in ("etc/utc", "etc/gmt") else 0
    digits = name[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:4] or 0)
    offset = (hours * 60 + minutes) * 60
    return -offset if name[0] == "-" else offset


def _epoch(digits: str) -> Stamp | None:
    value = int(digits)
    size = len(digits.lstrip("-"))
    seconds = value // (1 if size <= 10 else 1000 if size <= 13 else 1_000_000 if size <= 16 else 1_000_000_000)
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return Stamp(DateForm.EPOCH, at.year, at.month, at.day, at.hour * 3600 + at.minute * 60 + at.second, 0)


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) == 4 else year + (2000 if year < 70 else 1900)
