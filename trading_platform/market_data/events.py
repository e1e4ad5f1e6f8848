"""Corporate events told in ``events.csv``: read, checked, and worked into the bars.

A split and a special dividend become numbers of their bars, where the columns split_ratio and dividend may tell of
them, too: told twice they are one event, and told with different figures they are an error. A change of name joins
both tickers into one series. Everything else is handed on, on sessions that exist.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import CorporateEvent, EventKind, Floats
from trading_platform.core.validation import did_you_mean
from trading_platform.market_data.bars import Bars
from trading_platform.market_data.columns import Role, key_of, roles_of
from trading_platform.market_data.notices import Notice, NoticeKind, refuse, shown
from trading_platform.market_data.numbers import parse_number
from trading_platform.market_data.reading_rules import Rules, settled_days
from trading_platform.market_data.text_tables import RawTable
from trading_platform.market_data.tickers import canonical

KINDS = {kind.value.replace("_", ""): kind for kind in EventKind}
NEEDS_TICKER = (EventKind.STOCK_MERGER, EventKind.RENAME, EventKind.SPIN_OFF)
NEEDS_RATIO = (EventKind.SPLIT, EventKind.STOCK_MERGER, EventKind.SPIN_OFF)
NEEDS_CASH = (EventKind.CASH_MERGER, EventKind.SPECIAL_DIVIDEND)
SAME_FIGURE = 1e-6
CONTAINED_FROM = 1.2  # a smaller split leaves a gap that a usual day leaves, too


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """One row of ``events.csv`` that can be right, and its place."""

    event: CorporateEvent
    place: str


@dataclass(frozen=True, slots=True)
class EventTable:
    """What the events files of all folders say: rows that can be right, and problems of the others."""

    rows: tuple[ToldEvent, ...] = ()
    problems: tuple[str, ...] = ()


def read_events_table(table: RawTable, rules: Rules) -> EventTable:
    """Return the events of a file; wrong rows become problems, so that all of them can be told at once.

    Raises
    ------
    MarketDataError
        A column is missing.
    """
    header = table.header
    keys = [key_of(name) for name in header]
    roles = roles_of(header)
    places = {
        "date": roles.get(Role.DATE),
        "ticker": roles.get(Role.TICKER),
        **{name: keys.index(name) if name in keys else None for name in ("kind", "newticker", "ratio", "cash")},
    }
    if places["kind"] is None:
        places["kind"] = next(
            (keys.index(name) for name in ("event", "eventtype", "type", "action") if name in keys), None
        )
    missing = [name for name in ("date", "ticker", "kind") if places[name] is None]
    if missing:
        raise MarketDataError(
            f"{table.source.name}: column {', '.join(missing)} is missing, the header has {', '.join(header)}; "
            "an events file needs date,ticker,kind,new_ticker,ratio,cash"
        )
    texts = {name: [""] * len(table) if place is None else list(table.texts(place)) for name, place in places.items()}
    days = settled_days(texts["date"], rules, table.source.name)
    rows: list[ToldEvent] = []
    problems = list(table.problems)
    for row, day in enumerate(days.day.tolist()):
        fields = {name: column[row].strip() for name, column in texts.items()}
        found = _event(fields, day)
        if isinstance(found, CorporateEvent):
            rows.append(ToldEvent(found, table.place(row)))
        else:
            problems += [f"{table.place(row)}: {fault}" for fault in found]
    return EventTable(tuple(rows), tuple(problems))


def joined_events(tables: Sequence[EventTable]) -> EventTable:
    """Return the events of several files, told twice once; different figures for one event are a problem."""
    rows: dict[tuple[date, str, EventKind, str], ToldEvent] = {}
    problems = [problem for table in tables for problem in table.problems]
    for table in tables:
        for told in table.rows:
            event = told.event
            other = event.other if event.kind is EventKind.SPIN_OFF else ""
            key = (event.session, event.ticker, event.kind, other)
            first = rows.setdefault(key, told)
            if first is not told and _figures(first.event) != _figures(event):
                problems.append(
                    f"{told.place}: {event.ticker} {event.kind} on {event.session} has other figures than "
                    f"{first.place}; delete one of the two"
                )
    return EventTable(tuple(sorted(rows.values(), key=lambda told: told.event.session)), tuple(problems))


def renames_of(table: EventTable) -> dict[str, str]:
    """Return old ticker -> the newest one, over chains of changes."""
    newest: dict[str, str] = {}
    for told in table.rows:
        if told.event.kind is EventKind.RENAME:
            newest = {old: told.event.other if new == told.event.ticker else new for old, new in newest.items()}
            newest[told.event.ticker] = told.event.other
    return newest


def first_names_of(table: EventTable) -> dict[str, str]:
    """Return new ticker -> the name that its security had first, over chains of changes."""
    first: dict[str, str] = {}
    for told in table.rows:
        if told.event.kind is EventKind.RENAME:
            first[told.event.other] = first.get(told.event.ticker, told.event.ticker)
    return first


def joined_names(bars: Bars, table: EventTable) -> tuple[Bars, EventTable, list[Notice]]:
    """Return bars in which a renamed ticker is one series under its newest name, and the events under that name.

    Raises
    ------
    MarketDataError
        The new ticker has bars before the change: another company's.
    """
    renames = [told for told in table.rows if told.event.kind is EventKind.RENAME and told.event.ticker in bars.names]
    if not renames:
        return bars, table, []
    problems = []
    names = list(bars.names)
    ticker = bars.ticker.copy()
    for told in renames:
        event = told.event
        day = np.datetime64(event.session, "D")
        if event.other not in names:
            names.append(event.other)
        old, new = names.index(event.ticker), names.index(event.other)
        early = np.flatnonzero((ticker == new) & (bars.session < day))
        if early.size:
            problems.append(
                f"{told.place}: {event.other} has bars before it takes the place of {event.ticker} on {event.session} "
                f"({bars.place(int(early[0]))}); correct the date, or remove the other company's bars"
            )
            continue
        ticker[(ticker == old) & (bars.session < day)] = new
    refuse(problems)
    joined = replace(bars, names=tuple(names), ticker=ticker).renamed(names).without_unused_names()
    rows = []
    for told in table.rows:
        name = told.event.ticker
        for change in renames:
            if change.event.ticker == name and told.event.session < change.event.session:
                name = change.event.other
        rows.append(ToldEvent(told.event._replace(ticker=name), told.place))
    texts = [f"{told.event.ticker} is {told.event.other} from {told.event.session} on" for told in renames]
    return joined, EventTable(tuple(rows), table.problems), [Notice(NoticeKind.RENAMED, len(renames), shown(texts, 3))]


def with_events(bars: Bars, table: EventTable) -> tuple[Bars, tuple[CorporateEvent, ...], list[Notice]]:
    """Return bars with the splits and special dividends of `table`, the other events, and what was left out.

    Raises
    ------
    MarketDataError
        Rows of the file that cannot be right, or contradict the bars' own columns: all of them, those about unknown
        tickers included.
    """
    problems = list(table.problems)
    strangers = [told for told in table.rows if _is_stranger(told.event, bars.names)]
    split = None if bars.split_ratio is None else bars.split_ratio.copy()
    dividend = None if bars.dividend is None else bars.dividend.copy()
    handed: list[CorporateEvent] = []
    notices: list[Notice] = []
    last_day: date = bars.session.max().item()
    first_day: date = bars.session.min().item()
    for told in table.rows:
        event = told.event
        if event.kind is EventKind.RENAME or _is_stranger(event, bars.names):
            continue
        if not first_day <= event.session <= last_day:
            notices.append(Notice(NoticeKind.EVENT_SKIPPED, 1, f"{told.place}: {event.session} is outside the bars"))
            continue
        if event.kind in (EventKind.STOCK_MERGER, EventKind.SPIN_OFF) and event.other not in bars.names:
            text = f"{told.place}: there are no bars of {event.other}"
            if event.kind is EventKind.STOCK_MERGER:
                text += f", so {event.ticker} is settled at its last price"
            notices.append(Notice(NoticeKind.EVENT_SKIPPED, 1, text))
            continue
        if event.kind in (EventKind.SPLIT, EventKind.SPECIAL_DIVIDEND):
            is_split = event.kind is EventKind.SPLIT
            if is_split and split is None:
                split = np.ones(len(bars))
            if not is_split and dividend is None:
                dividend = np.zeros(len(bars))
            values = split if is_split else dividend
            if values is not None:
                problems += _enter(bars, values, told)
            if is_split:
                continue
        handed.append(event)
    if problems:
        problems += [_unknown(told, bars) for told in strangers]
    refuse(problems)
    if strangers:
        names = [told.event.ticker for told in strangers]
        notices.append(Notice(NoticeKind.EVENT_SKIPPED, len(strangers), f"no bars of {shown(names)}"))
    return replace(bars, split_ratio=split, dividend=dividend), tuple(handed), notices


def _is_stranger(event: CorporateEvent, names: Collection[str]) -> bool:
    """Return True for an event of a ticker without bars; of a change of name the new one's will do."""
    return event.ticker not in names and not (event.kind is EventKind.RENAME and event.other in names)


def _enter(bars: Bars, values: Floats, told: ToldEvent) -> list[str]:
    """Write a split or dividend into the first bar on or after its date; return what contradicts it."""
    event = told.event
    rows = np.flatnonzero(
        (bars.ticker == bars.names.index(event.ticker)) & (bars.session >= np.datetime64(event.session, "D"))
    )
    if not rows.size:
        return []
    row = int(rows[np.argmin(bars.session[rows])])
    is_split = event.kind is EventKind.SPLIT
    figure, none = (event.ratio, 1.0) if is_split else (event.cash, 0.0)
    there = float(values[row])
    if abs(there - none) > SAME_FIGURE:
        if abs(there - figure) <= SAME_FIGURE * abs(figure):
            return []
        column = "split_ratio" if is_split else "dividend"
        return [
            f"{told.place}: {event.ticker} {event.kind} on {event.session} is {figure:g}, and the column {column} has "
            f"{there:g} ({bars.place(row)}); correct one of the two"
        ]
    if is_split and _contained(bars, row, figure):
        return [
            f"{told.place}: the prices of {event.ticker} do not fall with the split of {figure:g} on "
            f"{event.session}, so they are adjusted for it already; delete the line"
        ]
    values[row] = figure
    return []


def _contained(bars: Bars, row: int, ratio: float) -> bool:
    if 1.0 / CONTAINED_FROM < ratio < CONTAINED_FROM:
        return False
    before = np.flatnonzero((bars.ticker == bars.ticker[row]) & (bars.session < bars.session[row]))
    if not before.size:
        return False
    close = bars.close[before[np.argmax(bars.session[before])]]
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.log(bars.open[row] / close)
    return bool(abs(gap) < abs(gap + np.log(ratio)))


def _event(fields: dict[str, str], day: date | None) -> CorporateEvent | list[str]:
    faults = []
    if day is None:
        faults.append(f"date {fields['date']!r} is not a date; write it as 2017-12-29")
    ticker, other = canonical(fields["ticker"]), canonical(fields["newticker"])
    kind = KINDS.get(key_of(fields["kind"]))
    if kind is None:
        names = tuple(EventKind)
        faults.append(
            f"{fields['kind']!r} is no kind of event{did_you_mean(fields['kind'], names)}; "
            f"write one of {', '.join(names)}"
        )
        return faults
    if not ticker:
        faults.append("the ticker is missing; fill it in or delete the line")
    if kind in NEEDS_TICKER and not other:
        faults.append(f"new_ticker is empty; a {kind} needs the ticker that shares become or bring")
    if kind in NEEDS_TICKER and other and other == ticker:
        faults.append(f"new_ticker {other} is the old one; correct one of the two")
    ratio, cash = parse_number(fields["ratio"]), parse_number(fields["cash"])
    if kind in NEEDS_RATIO and (ratio is None or not 0.0 < ratio < float("inf")):
        faults.append(f"ratio {fields['ratio']!r} is not a number above 0; a {kind} needs new shares per old one")
    if kind in NEEDS_CASH and (cash is None or not 0.0 < cash < float("inf")):
        faults.append(f"cash {fields['cash']!r} is not a number above 0; a {kind} needs dollars a share")
    if kind in (EventKind.STOCK_MERGER, EventKind.DELISTING) and (cash is None or cash < 0.0 or cash == float("inf")):
        faults.append(f"cash {fields['cash']!r} is not dollars a share >= 0; leave it empty if there is none")
    if faults or day is None or ratio is None or cash is None:
        return faults or ["ratio or cash is not a number; leave empty what the kind of event does not need"]
    no_cash = float("nan") if kind is EventKind.DELISTING else 0.0
    return CorporateEvent(
        session=day,
        ticker=ticker,
        kind=kind,
        other=other if kind in NEEDS_TICKER else "",
        ratio=ratio if kind in NEEDS_RATIO else 1.0,
        cash=no_cash
        if cash != cash
        else (cash if kind not in (EventKind.SPLIT, EventKind.RENAME, EventKind.SPIN_OFF) else 0.0),
    )


def _figures(event: CorporateEvent) -> tuple[str, float, str]:
    return event.other, event.ratio, repr(event.cash)


def _unknown(told: ToldEvent, bars: Bars) -> str:
    ticker = told.event.ticker
    return f"{told.place}: there are no bars of {ticker}{did_you_mean(ticker, bars.names)}; correct or delete the line"
