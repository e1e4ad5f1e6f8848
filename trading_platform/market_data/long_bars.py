"""From a table as it is written to bars: dates to sessions, texts to numbers, prices brought to one basis.

A row that cannot be placed (no date, no ticker) is a problem of the file. A bar whose numbers cannot be read is that
ticker's unknown day, and is left to `quality`. Whatever moves a price is told with its first row before and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Bools, Floats, Ints
from trading_platform.market_data.actions import Actions, settle_actions
from trading_platform.market_data.bars import Bars, sort_names
from trading_platform.market_data.columns import ACTIONS, FIELDS, PRICE_ROLES, Role
from trading_platform.market_data.dates import DateForm, DateOrder, Days, parse_days
from trading_platform.market_data.forms import Form, Kind, dates_of
from trading_platform.market_data.notices import Notice, NoticeKind, shown
from trading_platform.market_data.numbers import Decimals, decimals_of, parse_numbers
from trading_platform.market_data.reading_rules import NAME_FORMAT, Rules
from trading_platform.market_data.text_tables import RawTable
from trading_platform.market_data.tickers import canonical, without_market

ROWS_NAMED = 20


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Bars of one table with what is to be told of them; `problems` refuse it, `ambiguous` dates may yet be settled."""

    bars: Bars | None
    notices: tuple[Notice, ...] = ()
    problems: tuple[str, ...] = ()
    ambiguous: bool = False
    order: DateOrder | None = None


@dataclass(slots=True, eq=False)
class _Columns:
    """Columns in long form: `row` is the row of the table, `ticker` an index into `labels`."""

    labels: list[str]
    ticker: Ints
    row: Ints
    values: dict[Role, Floats]
    unread: dict[int, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read_part(table: RawTable, form: Form, rules: Rules) -> Part:
    """Return the bars in `table`, which has the given form."""
    days = parse_days(dates_of(table, form), rules.date_order, rules.zone)
    if days.ambiguous:
        row = int(np.flatnonzero(np.isnat(days.day))[0])
        text = dates_of(table, form)[row]
        problem = f"{table.place(row)}: date {text!r} can be day or month first, and no date of the file "
        problem += f"says which; {NAME_FORMAT}"
        return Part(None, problems=(*table.problems, problem), ambiguous=True)
    decimals = _decimals(table, form)
    columns = _wide_columns(table, form, decimals) if form.cells is not None else _long_columns(table, form, decimals)
    blank = _blank(columns)
    problems = [*table.problems, *columns.faults, *_unplaced(table, form, days, columns, blank)]
    placed = ~np.isnat(days.day[columns.row]) & (columns.ticker >= 0)
    notices = _form_notices(table, form, days, decimals)
    empty = int(np.count_nonzero(blank & placed)) if form.cells is None else 0
    if empty:
        row = int(np.flatnonzero(blank & placed)[0])
        subject = f"{columns.labels[columns.ticker[row]]} {days.day[columns.row[row]]}"
        notices.append(Notice(NoticeKind.NO_PRICES, empty, f"{table.source.name}, first {subject}"))
    words = [row for row in days.wrong.tolist() if form.cells is None and blank[row]]
    if words:
        text = f"{table.place(words[0])}: {dates_of(table, form)[words[0]].strip()[:60]}"
        notices.append(Notice(NoticeKind.LINE_SKIPPED, len(words), text))
    columns = _kept(columns, placed & ~blank)
    if not len(columns.row):
        return Part(None, tuple(notices), tuple(problems), order=days.order)
    bars, settled = _bars_of(columns, days.day[columns.row], table, rules, own_names=_own_names(table, form))
    return Part(bars, (*notices, *settled), tuple(problems), order=days.order)


def join_fields(tables: Mapping[Role, tuple[RawTable, Form]], rules: Rules) -> Part:
    """Return the bars of one field a file (dates by tickers); volumes and the four prices must all be there."""
    found: dict[Role, tuple[Days, _Columns, RawTable]] = {}
    problems: list[str] = []
    for role, (table, form) in tables.items():
        days = parse_days(dates_of(table, form), rules.date_order, rules.zone)
        if days.ambiguous:
            return Part(
                None, problems=(f"{table.source.name}: dates can be day or month first; {NAME_FORMAT}",), ambiguous=True
            )
        columns = _wide_columns(table, form, _decimals(table, form))
        problems += [*table.problems, *_unplaced(table, form, days, columns, _blank(columns))]
        found[role] = days, columns, table
    days, base, table = found[Role.CLOSE]
    cells = {
        role: {
            (columns.labels[int(code)], str(day)): (position, float(value))
            for position, (code, day, value) in enumerate(
                zip(columns.ticker, at.day[columns.row], columns.values[role], strict=True)
            )
        }
        for role, (at, columns, _) in found.items()
    }
    keys = sorted(key for key in cells[Role.CLOSE] if key[1] != "NaT")
    values = {role: np.array([cells[role].get(key, (0, np.nan))[1] for key in keys]) for role in cells}
    labels = list(dict.fromkeys(key[0] for key in keys))
    code = {label: place for place, label in enumerate(labels)}
    rows = np.array([int(base.row[cells[Role.CLOSE][key][0]]) for key in keys], dtype=np.int64)
    columns = _Columns(labels, np.array([code[key[0]] for key in keys], dtype=np.int64), rows, values)
    whole = ~_blank(columns)
    columns = _kept(columns, whole)
    if not len(columns.row):
        return Part(None, problems=tuple(problems))
    session = np.array([key[1] for key, kept in zip(keys, whole, strict=True) if kept], dtype="datetime64[D]")
    bars, settled = _bars_of(columns, session, table, rules, own_names=False)
    files = ", ".join(sorted(at.source.name for _, _, at in found.values()))
    form_notice = Notice(NoticeKind.FORM, len(found), f"one field a file: {files}")
    return Part(bars, (form_notice, *settled), tuple(problems), order=days.order)


def _bars_of(
    columns: _Columns, session: NDArray[np.datetime64], table: RawTable, rules: Rules, *, own_names: bool
) -> tuple[Bars, list[Notice]]:
    """Return bars under the platform's tickers and on one basis of prices, and what is to be told of both."""
    file = table.source.name
    names, notices = spelling_notices(columns.labels, file)
    ordered, ticker = sort_names(names, columns.ticker)
    notices += order_notices(ticker, session, file)
    settled = settle_actions(
        Actions(
            ticker=ticker,
            session=session,
            prices={role: columns.values[role] for role in PRICE_ROLES},
            adj_close=columns.values.get(Role.ADJ_CLOSE),
            split=columns.values.get(Role.SPLIT),
            dividend=columns.values.get(Role.DIVIDEND),
        ),
        names=ordered,
        adjustment=rules.adjustment,
        file=file,
        own_names=own_names,
    )
    rows = columns.row

    def place(row: int) -> str:
        return table.place(int(rows[row]))

    bars = Bars(
        names=ordered,
        ticker=ticker,
        session=session,
        open=settled.prices[Role.OPEN],
        high=settled.prices[Role.HIGH],
        low=settled.prices[Role.LOW],
        close=settled.prices[Role.CLOSE],
        volume=columns.values[Role.VOLUME],
        place=place,
        split_ratio=settled.split,
        dividend=settled.dividend,
        unread=columns.unread,
    )
    return bars, [*notices, *settled.notices]


def _decimals(table: RawTable, form: Form) -> Decimals:
    places = form.cells.values() if form.cells is not None else [form.roles[r] for r in NUMBERS if r in form.roles]
    texts = [column for place in places if not isinstance(column := table.columns[place], np.ndarray)]
    return decimals_of(texts[:40], table.separator)


NUMBERS = (*FIELDS, Role.ADJ_CLOSE, *ACTIONS)


def _numbers(table: RawTable, place: int, role: Role, decimals: Decimals) -> tuple[Floats, dict[int, str]]:
    """Return a column as numbers, and the texts that are none by row."""
    column = table.columns[place]
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return column.astype(np.float64), {}
    texts = table.texts(place)
    if role is Role.SPLIT:
        texts = [_ratio(text) for text in texts]
    values, wrong = parse_numbers(texts, decimals)
    return values, {int(row): f"{role} {texts[row].strip()!r} is not a number" for row in wrong}


def _ratio(text: str) -> str:
    """Return ``4:1`` and ``4/1`` as the number that they mean."""
    for sign in (":", "/"):
        new, found, old = text.partition(sign)
        if found:
            try:
                return repr(float(new) / float(old))
            except (ValueError, ZeroDivisionError):
                return text
    return text


def _long_columns(table: RawTable, form: Form, decimals: Decimals) -> _Columns:
    values: dict[Role, Floats] = {}
    unread: dict[int, str] = {}
    faults: list[str] = []
    for role in NUMBERS:
        if role in form.roles:
            values[role], wrong = _numbers(table, form.roles[role], role, decimals)
            if role in ACTIONS:  # one that cannot be read changes every price before it: no bad bar
                faults += [f"{table.place(row)}: {text}; correct or delete the line" for row, text in wrong.items()]
            else:
                unread = {**wrong, **unread}
    if Role.TICKER in form.roles:
        texts = table.texts(form.roles[Role.TICKER])
        labels = list(dict.fromkeys(texts))
        position = {label: place for place, label in enumerate(labels)}
        ticker = np.fromiter((position[text] for text in texts), dtype=np.int64, count=len(texts))
        nameless = np.array([not label.strip() for label in labels], dtype=np.bool_)
        ticker = np.where(nameless[ticker], -1, ticker) if nameless.any() else ticker
    else:
        labels, ticker = [form.ticker], np.zeros(len(table), dtype=np.int64)
    return _Columns(labels, ticker, np.arange(len(table), dtype=np.int64), values, unread, faults)


def _wide_columns(table: RawTable, form: Form, decimals: Decimals) -> _Columns:
    cells = form.cells or {}
    labels = list(dict.fromkeys(ticker for ticker, _ in cells))
    roles = [role for role in NUMBERS if any(found is role for _, found in cells)]
    size = len(table)
    values = {role: np.full(size * len(labels), np.nan) for role in roles}
    unread: dict[int, str] = {}
    for place, label in enumerate(labels):
        for role in roles:
            column = cells.get((label, role))
            if column is not None:
                found, wrong = _numbers(table, column, role, decimals)
                values[role][place * size : (place + 1) * size] = found
                unread |= {place * size + row: text for row, text in wrong.items()}
    return _Columns(
        labels, np.repeat(np.arange(len(labels)), size), np.tile(np.arange(size), len(labels)), values, unread
    )


def _blank(columns: _Columns) -> Bools:
    """Return rows without a bar: no price, or nothing but zeros; a volume alone makes no bar."""
    blank: Bools = np.ones(len(columns.row), dtype=np.bool_)
    for role in PRICE_ROLES:
        if role in columns.values:
            blank &= ~(columns.values[role] != 0.0) | np.isnan(columns.values[role])
    if columns.unread:
        blank[list(columns.unread)] = False
    return blank


def _kept(columns: _Columns, kept: Bools) -> _Columns:
    if kept.all():
        return columns
    at = np.cumsum(kept) - 1
    used, ticker = np.unique(columns.ticker[kept], return_inverse=True)
    return _Columns(
        [columns.labels[label] for label in used.tolist()],
        ticker.astype(np.int64),
        columns.row[kept],
        {role: values[kept] for role, values in columns.values.items()},
        {int(at[row]): text for row, text in columns.unread.items() if kept[row]},
    )


def _unplaced(table: RawTable, form: Form, days: Days, columns: _Columns, blank: Bools) -> list[str]:
    """Return what keeps rows from being placed: a date that is none, a date or ticker that is missing."""
    problems: list[str] = []
    dates = dates_of(table, form)
    whole = np.ones(len(table), dtype=np.bool_)
    if form.cells is None:
        whole = ~blank
    else:
        whole[:] = False
        np.logical_or.at(whole, columns.row, ~blank)
    dateful = [row for row in days.wrong.tolist() if whole[row]]  # words without a price, such as a sum, are no bars
    problems += [
        f"{table.place(row)}: date {dates[row].strip()!r} is not a date like 2017-12-29; correct or delete the line"
        for row in dateful[:ROWS_NAMED]
    ]
    if len(dateful) > ROWS_NAMED:
        problems.append(f"{table.source.name}: {len(dateful) - ROWS_NAMED} more rows whose date is none")
    dateless = [row for row in days.blank.tolist() if whole[row]]
    if dateless:
        problems.append(
            f"{table.place(dateless[0])}: the date is missing ({len(dateless)} such rows); "
            "fill it in or delete the line"
        )
    nameless = columns.row[(columns.ticker < 0) & ~blank]
    if len(nameless):
        problems.append(
            f"{table.place(int(nameless[0]))}: the ticker is missing ({len(nameless)} such rows); "
            "fill it in or delete the line"
        )
    return problems


def spelling_notices(labels: Sequence[str], file: str) -> tuple[list[str], list[Notice]]:
    """Return the platform's spelling of each label, and what had to be respelt."""
    bare = without_market([label.strip() for label in labels])
    names = [canonical(label) for label in bare]
    changed = [f"{old.strip()} is {new}" for old, new in zip(labels, names, strict=True) if old.strip() != new]
    if not changed:
        return names, []
    return names, [Notice(NoticeKind.SPELLING, len(changed), f"{file}: {shown(changed, 3)}")]


def _form_notices(table: RawTable, form: Form, days: Days, decimals: Decimals) -> list[Notice]:
    notices = []
    file = table.source.name
    notes = list(table.notes)
    if form.kind is Kind.WIDE:
        notes.append(f"tickers side by side ({len({ticker for ticker, _ in form.cells or {}})})")
    elif form.ticker:
        notes.append(f"one file a ticker, {form.ticker} by its name")
    spelt = [
        f"{table.header[place]} is the {role}"
        for role, place in form.roles.items()
        if table.header and form.cells is None and table.header[place].strip().lower() not in (role.value, "")
    ]
    if form.cells is None and spelt:
        notes.append(", ".join(spelt))
    if form.cells is None and (sign := _signs(table, form)):
        notes.append(sign)
    if days.form is not DateForm.ISO:
        notes.append(f"dates as {days.form}")
    if notes:
        notices.append(Notice(NoticeKind.FORM, 1, f"{file}: {'; '.join(notes)}"))
    dates = dates_of(table, form)
    if days.order is not None:
        row = int(np.flatnonzero(~np.isnat(days.day))[0]) if not np.isnat(days.day).all() else 0
        words = "month first" if days.order is DateOrder.MONTH_FIRST else "day first"
        notices.append(Notice(NoticeKind.DATE_ORDER, 1, f"{file}, {words}: {dates[row].strip()} is {days.day[row]}"))
    if days.timed and not np.isnat(days.day).all():
        row = days.shifted[0] if days.shifted is not None else int(np.flatnonzero(~np.isnat(days.day))[0])
        notices.append(Notice(NoticeKind.ZONE, 1, f"{file}: {dates[row].strip()} is the session {days.day[row]}"))
    if decimals is Decimals.COMMA:
        place = next(iter(form.cells.values())) if form.cells is not None else form.roles[Role.CLOSE]
        text = next((text for text in table.texts(place) if "," in text), "")
        value = parse_numbers([text], decimals)[0][0]
        notices.append(Notice(NoticeKind.DECIMALS, 1, f"{file}: {text.strip()} is {value:g}"))
    if form.unused:
        notices.append(Notice(NoticeKind.COLUMN_SKIPPED, len(form.unused), f"{file}: {shown(form.unused, 8)}"))
    lines = [(line, text) for line, text in table.skipped if text.strip()]
    if lines:
        line, text = lines[0]
        notices.append(Notice(NoticeKind.LINE_SKIPPED, len(lines), f"{file} line {line}: {text[:60]}"))
    return notices


def order_notices(ticker: Ints, session: NDArray[np.datetime64], file: str) -> list[Notice]:
    """Return a notice if rows (n,) of a ticker do not go from older to newer, so that they had to be sorted."""
    if not np.any(np.diff(session.astype(np.int64)) < 0):
        return []
    order = np.argsort(ticker, kind="stable") if np.any(np.diff(ticker) < 0) else slice(None)
    step = np.diff(session[order].astype(np.int64))
    if not np.any((step < 0) & (np.diff(ticker[order]) == 0)):
        return []
    return [Notice(NoticeKind.SORTED, 1, f"{file}: rows sorted by date")]


def _signs(table: RawTable, form: Form) -> str:
    """Return which signs beside digits were taken off the numbers, seen from the first rows."""
    texts = [text for role in FIELDS for text in table.columns[form.roles[role]][:20] if isinstance(text, str)]
    signs = [sign for sign in ("$", "€", "£", "'") if any(sign in text for text in texts)]
    grouped = any("," in text for text in texts)
    return " and ".join([*(f"signs {sign}" for sign in signs), *(["numbers with commas"] if grouped else [])])


def _own_names(table: RawTable, form: Form) -> bool:
    """Return True if splits and dividends stand under the platform's own names, whose prices are raw by definition."""
    names = {table.header[form.roles[role]].strip().lower() for role in ACTIONS if role in form.roles}
    return bool(names) and names <= set(ACTIONS) and Role.ADJ_CLOSE not in form.roles
