"""What people are told of their data: counted notices in plain words, and how a screen folds them into three lines.

A notice is one line that begins with its group: ``remark: 32 moves of more than 40 % in a day (first: ...)``. So the
warnings of a panel stay plain texts that a database keeps, and `fold` can still sum them up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from trading_platform.core.errors import MarketDataError

PROBLEMS_SHOWN = 20
NAMES_SHOWN = 5


class Group(StrEnum):
    """What a notice asks of its reader, the most urgent first."""

    ATTENTION = "attention"  # something must be explained before it is traded
    UNKNOWN = "unknown"  # a value that could not be true, or is not there
    GUESS = "guessed"  # an understanding that moves prices or days
    LEFT_OUT = "left out"
    READ = "read"
    REMARK = "remark"  # strange, though it happens


class _Words(NamedTuple):
    group: Group
    one: str
    many: str


class NoticeKind(StrEnum):
    """What was noticed."""

    UNEXPLAINED_JUMP = "unexplained_jump"
    BAD_BAR = "bad_bar"
    NO_PRICES = "no_prices"
    GAP = "gap"
    EMPTY_SESSION = "empty_session"
    VIX_MISSING = "vix_missing"
    BENCHMARK_MISSING = "benchmark_missing"
    RATE_HELD = "rate_held"
    ADJUSTED = "adjusted"
    NOT_ADJUSTED = "not_adjusted"
    CONTAINED = "contained"
    DATE_ORDER = "date_order"
    ZONE = "zone"
    DECIMALS = "decimals"
    SPELLING = "spelling"
    FORM = "form"
    SORTED = "sorted"
    FILE_SKIPPED = "file_skipped"
    COLUMN_SKIPPED = "column_skipped"
    TICKER_SKIPPED = "ticker_skipped"
    TICKER_DROPPED = "ticker_dropped"
    OTHER_FOLDER = "other_folder"
    BEFORE_BENCHMARK = "before_benchmark"
    ROW_REPEATED = "row_repeated"
    LINE_SKIPPED = "line_skipped"
    OFF_SESSION = "off_session"
    VIX_OFF_SESSION = "vix_off_session"
    EVENT_SKIPPED = "event_skipped"
    MEMBER_UNKNOWN = "member_unknown"
    RENAMED = "renamed"
    LARGE_MOVE = "large_move"
    SPLIT_LIKE = "split_like"
    WIDE_RANGE = "wide_range"
    ZERO_VOLUME = "zero_volume"
    STALE = "stale"
    ENDS_EARLY = "ends_early"
    SECTOR_UNKNOWN = "sector_unknown"

    @property
    def group(self) -> Group:
        """What the notice asks of its reader."""
        return _WORDS[self].group


_WORDS: dict[NoticeKind, _Words] = {
    NoticeKind.UNEXPLAINED_JUMP: _Words(
        Group.ATTENTION, "price jump that nothing explains", "price jumps that nothing explains"
    ),
    NoticeKind.BAD_BAR: _Words(Group.UNKNOWN, "bar that cannot be true", "bars that cannot be true"),
    NoticeKind.NO_PRICES: _Words(Group.UNKNOWN, "row without prices", "rows without prices"),
    NoticeKind.GAP: _Words(Group.UNKNOWN, "missing bar", "missing bars"),
    NoticeKind.EMPTY_SESSION: _Words(Group.UNKNOWN, "session without any bar", "sessions without any bar"),
    NoticeKind.VIX_MISSING: _Words(Group.UNKNOWN, "session without VIX", "sessions without VIX"),
    NoticeKind.BENCHMARK_MISSING: _Words(
        Group.UNKNOWN, "session without the benchmark", "sessions without the benchmark"
    ),
    NoticeKind.RATE_HELD: _Words(
        Group.GUESS, "session at the last known rate of cash", "sessions at the last known rate of cash"
    ),
    NoticeKind.ADJUSTED: _Words(Group.GUESS, "ticker whose prices were adjusted", "tickers whose prices were adjusted"),
    NoticeKind.NOT_ADJUSTED: _Words(
        Group.GUESS,
        "ticker with splits or dividends that prices do not hold",
        "tickers with splits or dividends that prices do not hold",
    ),
    NoticeKind.CONTAINED: _Words(
        Group.GUESS,
        "ticker whose splits or dividends are in its prices",
        "tickers whose splits or dividends are in their prices",
    ),
    NoticeKind.DATE_ORDER: _Words(Group.GUESS, "file with dates in figures", "files with dates in figures"),
    NoticeKind.ZONE: _Words(Group.GUESS, "file with times beside its dates", "files with times beside their dates"),
    NoticeKind.DECIMALS: _Words(Group.GUESS, "file with decimal commas", "files with decimal commas"),
    NoticeKind.SPELLING: _Words(Group.GUESS, "ticker spelt in another way", "tickers spelt in another way"),
    NoticeKind.FORM: _Words(Group.READ, "file in another form", "files in another form"),
    NoticeKind.SORTED: _Words(Group.READ, "file out of order", "files out of order"),
    NoticeKind.FILE_SKIPPED: _Words(Group.LEFT_OUT, "file", "files"),
    NoticeKind.COLUMN_SKIPPED: _Words(Group.LEFT_OUT, "column", "columns"),
    NoticeKind.TICKER_SKIPPED: _Words(Group.LEFT_OUT, "index among the bars", "indices among the bars"),
    NoticeKind.TICKER_DROPPED: _Words(Group.LEFT_OUT, "ticker that was asked for", "tickers that were asked for"),
    NoticeKind.OTHER_FOLDER: _Words(
        Group.LEFT_OUT, "ticker that an earlier folder has", "tickers that an earlier folder has"
    ),
    NoticeKind.BEFORE_BENCHMARK: _Words(
        Group.LEFT_OUT, "bar before the benchmark begins", "bars before the benchmark begins"
    ),
    NoticeKind.ROW_REPEATED: _Words(Group.LEFT_OUT, "repeated row", "repeated rows"),
    NoticeKind.LINE_SKIPPED: _Words(Group.LEFT_OUT, "line that is no bar", "lines that are no bars"),
    NoticeKind.OFF_SESSION: _Words(Group.LEFT_OUT, "bar of a day without a session", "bars of days without a session"),
    NoticeKind.VIX_OFF_SESSION: _Words(
        Group.REMARK, "VIX close of a day without a session, left out", "VIX closes of days without a session, left out"
    ),
    NoticeKind.EVENT_SKIPPED: _Words(Group.LEFT_OUT, "event", "events"),
    NoticeKind.MEMBER_UNKNOWN: _Words(Group.LEFT_OUT, "member without bars", "members without bars"),
    NoticeKind.RENAMED: _Words(Group.READ, "change of name", "changes of name"),
    NoticeKind.LARGE_MOVE: _Words(Group.REMARK, "move of more than 40 % in a day", "moves of more than 40 % in a day"),
    NoticeKind.SPLIT_LIKE: _Words(
        Group.REMARK,
        "gap that looks like a split but for its volume",
        "gaps that look like splits but for their volume",
    ),
    NoticeKind.WIDE_RANGE: _Words(
        Group.REMARK, "day with a high three times its low", "days with a high three times their low"
    ),
    NoticeKind.ZERO_VOLUME: _Words(Group.REMARK, "bar without volume", "bars without volume"),
    NoticeKind.STALE: _Words(Group.REMARK, "bar repeated for days", "bars repeated for days"),
    NoticeKind.ENDS_EARLY: _Words(
        Group.REMARK, "ticker that ends before the others", "tickers that end before the others"
    ),
    NoticeKind.SECTOR_UNKNOWN: _Words(Group.REMARK, "stock without a sector", "stocks without a sector"),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A counted notice; `example` is its first case, in words."""

    kind: NoticeKind
    count: int
    example: str

    def __str__(self) -> str:
        group, one, many = _WORDS[self.kind]
        return f"{group}: {self.count:,} {one if self.count == 1 else many} ({self.example})"


def merged(notices: Iterable[Notice]) -> list[Notice]:
    """Return one notice a kind, in order of urgency: counts added, the first example kept."""
    found: dict[NoticeKind, Notice] = {}
    for notice in notices:
        first = found.get(notice.kind)
        found[notice.kind] = notice if first is None else Notice(notice.kind, first.count + notice.count, first.example)
    urgency = list(Group)
    return sorted(found.values(), key=lambda notice: urgency.index(notice.kind.group))


class Folded(NamedTuple):
    """The warnings of a panel, summed up: `verdict` in one line, then what deserves to be read at once."""

    verdict: str
    attention: tuple[str, ...]
    rest: tuple[str, ...]


COUNTED = re.compile(r"^(\w+): (\d+) x\b")  # how runs of before 2026-11 keep theirs: "large_move: 40 x, e.g. ..."
_NOTICE = re.compile(rf"({'|'.join(re.escape(group.value) for group in Group)}): ([\d,]+) ")


def fold(warnings: Sequence[str]) -> Folded:
    """Return `warnings` as a verdict ("data: fine to trade; 43 remarks") and the lines behind it.

    Lines of the groups attention and guessed, and lines in no known form, are for the first look; the others may wait
    until they are asked for.
    """
    attention: list[str] = []
    rest: list[str] = []
    remarks = 0
    urgent = False
    for text in warnings:
        match = _NOTICE.match(text)
        group = Group(match[1]) if match else None
        if match is None or group not in (Group.GUESS, Group.READ):  # those are told in lines of their own
            counted = match or COUNTED.match(text)
            remarks += int(counted[2].replace(",", "")) if counted else 1
        urgent |= group is Group.ATTENTION
        (attention if group in (None, Group.ATTENTION, Group.GUESS) else rest).append(text)
    verdict = "data: look at this before you trade" if urgent else "data: fine to trade"
    return Folded(
        f"{verdict}; {remarks:,} {plural(remarks, 'remark')}" if remarks else verdict, tuple(attention), tuple(rest)
    )


def plural(count: int, word: str) -> str:
    """Return `word`, with an s unless there is one of it."""
    return word if count == 1 else f"{word}s"


def shown(names: Sequence[str], most: int = NAMES_SHOWN) -> str:
    """Return the first few names, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


class DataProblemsError(MarketDataError):
    """Several things are wrong with the data; `problems` holds a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        rest = [f"... and {len(problems) - PROBLEMS_SHOWN} more of the kind"] if len(problems) > PROBLEMS_SHOWN else []
        lines = "".join(f"\n  - {text}" for text in [*problems[:PROBLEMS_SHOWN], *rest])
        super().__init__(f"{len(problems)} things are wrong with the data:{lines}")
        self.problems = tuple(problems)


def problems_of(error: MarketDataError) -> tuple[str, ...]:
    """Return what an error says, a line for each thing that is wrong."""
    return error.problems if isinstance(error, DataProblemsError) else (str(error),)


def refuse(problems: Sequence[str]) -> None:
    """Raise one error that holds all `problems`, if there are any.

    Raises
    ------
    MarketDataError
        One line a problem; of very many the first, and their number.
    """
    if not problems:
        return
    if len(problems) == 1:
        raise MarketDataError(problems[0])
    raise DataProblemsError(problems)
