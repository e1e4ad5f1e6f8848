"""The small files beside the bars: VIX, sectors, asset classes, the rate of cash, membership over time.

Which file is which follows from its columns, and from its name where columns do not tell. What cannot be right is a
problem with file, line, value and cure; all of a file come together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import STOCK, Floats
from trading_platform.core.validation import did_you_mean
from trading_platform.market_data.columns import Role, key_of, roles_of
from trading_platform.market_data.forms import Form, Kind, dates_of, form_of
from trading_platform.market_data.membership import Membership
from trading_platform.market_data.notices import Notice, NoticeKind, refuse
from trading_platform.market_data.numbers import decimals_of, parse_numbers
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.quality import VIX_RANGE
from trading_platform.market_data.rates import RateHistory, yield_of_discount
from trading_platform.market_data.reading_rules import Rules, settled_days
from trading_platform.market_data.sources import Source
from trading_platform.market_data.text_tables import RawTable
from trading_platform.market_data.tickers import NOISE, canonical, is_vix

ASSET_CLASSES = (
    "equity_us",
    "equity_intl",
    "equity_em",
    "government_bonds",
    "credit",
    "inflation_bonds",
    "gold",
    "commodities",
    "real_estate",
    "cash",
    "currency",
    "other",
)
SECTOR_COLUMNS = ("sector", "gicssector", "sectorname", "gics", "industrysector")
CLASS_COLUMNS = ("assetclass", "class", "assettype")
RATE_COLUMNS = ("rate", "ratepct", "yield", "value", "dtb3", "tb3ms", "close", "cashrate", "percent", "tbill3m", "irx")
RATE_RANGE = (-5.0, 50.0)  # percent a year
VIX_WORDS = frozenset(("cboe", "volatility", "index", "vix", "spot", "close", "closes"))
BAD_VIX_SHARE = 0.05


class SideKind(StrEnum):
    """What a file beside the bars is."""

    VIX = "VIX"
    SECTORS = "sectors"
    ASSETS = "asset classes"
    RATE = "rate of cash"
    DISCOUNT = "bill rate"
    EVENTS = "events"
    UNIVERSE = "membership"
    WEIGHTS = "weights"


def kind_of_name(source: Source) -> SideKind | None:
    """Return what a file's name says, None if nothing."""
    tokens = [token for token in re.split(r"[\s_.,()\-]+", source.stem.lower()) if token]
    whole = "_".join(tokens)
    match whole:
        case "sectors" | "sector":
            return SideKind.SECTORS
        case "assets" | "asset_classes" | "asset_class":
            return SideKind.ASSETS
        case "cash_rate" | "cash_rates" | "cashrate":
            return SideKind.RATE
        case "tbill_3m" | "dtb3" | "tb3ms" | "tbill" | "t_bill_3m" | "tbill3m":
            return SideKind.DISCOUNT
        case "events" | "corporate_actions" | "corporate_events":
            return SideKind.EVENTS
        case "universe" | "members" | "membership":
            return SideKind.UNIVERSE
        case "weights" | "target_weights":
            return SideKind.WEIGHTS
    bare = [token.lstrip("^$") for token in tokens if token not in NOISE and not token.isdigit()]
    if bare and (
        is_vix("".join(bare))
        or (("vix" in bare or {"cboe", "volatility", "index"} <= set(bare)) and set(bare) <= VIX_WORDS)
    ):
        return SideKind.VIX
    return None


def kind_of_columns(table: RawTable) -> SideKind | None:
    """Return what a file's columns say, None if nothing."""
    keys = {key_of(name) for row in table.headers for name in row}
    roles = roles_of(table.header) if table.headers else {}
    dated, named = Role.DATE in roles, Role.TICKER in roles
    if named and keys & {"kind", "eventtype", "event"} and dated and "newticker" in keys:
        return SideKind.EVENTS
    if named and dated and "strategy" in keys and "weight" in keys:
        return SideKind.WEIGHTS
    if dated and not named and "dtb3" in keys:
        return SideKind.DISCOUNT
    if dated and not named and keys & {"vixcls", "vix", "vixclose"} and not {"open", "high"} <= keys:
        return SideKind.VIX
    if not dated and named and "assetclass" in keys:
        return SideKind.ASSETS
    if not dated and named and {"from", "to"} <= keys:
        return SideKind.UNIVERSE
    if not dated and named and keys & set(SECTOR_COLUMNS):
        return SideKind.SECTORS
    return None


def read_vix_table(table: RawTable, rules: Rules) -> tuple[VixHistory, list[Notice]]:
    """Return VIX closes, sorted; blank days and values outside 5..150 are unknown and counted.

    Raises
    ------
    MarketDataError
        No date or close, dates that are none, two values for one day, or many values that no VIX can have.
    """
    name = table.source.name
    place = _vix_column(table)
    form = Form(Kind.NONE, {Role.DATE: place[0], **({Role.TIME: place[2]} if place[2] is not None else {})})
    texts = dates_of(table, form)
    days, values, problems = _dated_numbers(table, texts, place[1], rules, "VIX", "correct or delete the line")
    refuse(problems)
    rows = np.flatnonzero(~np.isnat(days) & ~np.isnan(values))
    if not len(rows):
        raise MarketDataError(f"{name} has a header and no rows with values; add VIX closes or remove the file")
    day, value = days[rows], values[rows]
    order = np.argsort(day, kind="stable")
    day, value, rows = day[order], value[order], rows[order]
    again = np.flatnonzero(day[1:] == day[:-1])
    for at in again.tolist():
        if value[at] != value[at + 1]:
            problems.append(
                f"{table.place(int(rows[at + 1]))}: {day[at]} has VIX {value[at + 1]:g}, and {value[at]:g} in "
                f"{table.place(int(rows[at]))}; delete one of the two"
            )
    inside = (value >= VIX_RANGE[0]) & (value <= VIX_RANGE[1])
    if np.count_nonzero(~inside) > max(1, BAD_VIX_SHARE * len(value)) or not inside.any():
        at = int(np.flatnonzero(~inside)[0])
        problems.append(
            f"{table.place(int(rows[at]))}: {day[at]} VIX {value[at]:g} is outside {VIX_RANGE[0]:g}..{VIX_RANGE[1]:g} "
            f"({np.count_nonzero(~inside)} such values); correct them"
        )
    refuse(problems)
    notices = []
    if not inside.all():
        at = int(np.flatnonzero(~inside)[0])
        text = f"{table.place(int(rows[at]))}: VIX {value[at]:g} on {day[at]} is taken as unknown"
        notices.append(Notice(NoticeKind.BAD_BAR, int(np.count_nonzero(~inside)), text))
    kept = inside & np.append(True, day[1:] != day[:-1])
    return VixHistory(day[kept], value[kept], name), notices


def read_sectors_table(table: RawTable) -> dict[str, str]:
    """Return ticker -> sector; a blank sector means unknown and is left out.

    Raises
    ------
    MarketDataError
        Missing columns, or a ticker that appears with two sectors.
    """
    return _pairs(table, SECTOR_COLUMNS, "sector (or gics_sector)", {})


def read_assets_table(table: RawTable) -> dict[str, str]:
    """Return ticker -> asset class.

    Raises
    ------
    MarketDataError
        Missing columns, an unknown class, or a ticker that appears with two; all rows in one.
    """
    allowed = {name.replace("_", ""): name for name in (*ASSET_CLASSES, STOCK)}
    return _pairs(table, CLASS_COLUMNS, "asset_class", allowed)


def read_rate_table(table: RawTable, rules: Rules, *, is_discount: bool) -> RateHistory:
    """Return the rate of cash as a yield in percent a year; bank discounts are turned into yields.

    Raises
    ------
    MarketDataError
        Missing columns, dates or numbers that are none, rates outside -5..50; all rows in one.
    """
    name = table.source.name
    roles = roles_of(table.header)
    keys = [key_of(cell) for cell in table.header]
    column = next((keys.index(key) for key in RATE_COLUMNS if key in keys), None)
    if column is None and Role.DATE in roles and len(keys) == 2:
        column = 1 - roles[Role.DATE]
    if Role.DATE not in roles or column is None:
        raise MarketDataError(f"{name}: needs the columns date and rate, has {', '.join(table.header)}")
    cure = "write percent a year, e.g. 4.25"
    days, values, problems = _dated_numbers(table, table.texts(roles[Role.DATE]), column, rules, "rate", cure)
    known = ~np.isnat(days) & ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        outside = known & ~((values >= RATE_RANGE[0]) & (values <= RATE_RANGE[1]))
    problems += [
        f"{table.place(row)}: rate {values[row]:g} is outside {RATE_RANGE[0]:g}..{RATE_RANGE[1]:g} percent a year; "
        "correct it"
        for row in np.flatnonzero(outside).tolist()
    ]
    rows = np.flatnonzero(known)
    order = rows[np.argsort(days[rows], kind="stable")]
    day, value = days[order], values[order]
    again = np.flatnonzero((day[1:] == day[:-1]) & (value[1:] != value[:-1]))
    problems += [
        f"{table.place(int(order[at + 1]))}: {day[at]} has the rate {value[at + 1]:g}, and {value[at]:g} in "
        f"{table.place(int(order[at]))}; delete one of the two"
        for at in again.tolist()
    ]
    refuse(problems)
    if not len(rows):
        raise MarketDataError(f"{name} has a header and no rows with rates; add some or remove the file")
    return RateHistory(day, yield_of_discount(value) if is_discount else value, name)


def read_universe_table(table: RawTable, rules: Rules) -> list[Membership]:
    """Return who belongs to the universe, and when; a file with tickers alone means always.

    Raises
    ------
    MarketDataError
        No ticker column, dates that are none, or a membership that ends before it begins; all rows in one.
    """
    roles = roles_of(table.header)
    keys = [key_of(cell) for cell in table.header]
    if Role.TICKER not in roles:
        raise MarketDataError(f"{table.source.name}: needs the columns ticker,from,to, has {', '.join(table.header)}")
    tickers = table.texts(roles[Role.TICKER])
    problems = list(table.problems)
    bounds: list[Sequence[date | None]] = []
    for names in (("from", "start", "added", "dateadded", "first"), ("to", "end", "removed", "dateremoved", "last")):
        place = next((keys.index(name) for name in names if name in keys), None)
        if place is None:
            bounds.append([None] * len(table))
            continue
        texts = table.texts(place)
        days = settled_days(texts, rules, table.source.name)
        problems += [
            f"{table.place(row)}: {table.header[place]} {texts[row]!r} is no date; "
            "write it as 2017-12-29, or leave it empty"
            for row in days.wrong.tolist()
        ]
        bounds.append(days.day.tolist())
    found = []
    for row, (ticker, first, last) in enumerate(zip(tickers, *bounds, strict=True)):
        if not ticker.strip():
            problems.append(f"{table.place(row)}: the ticker is missing; fill it in or delete the line")
        elif first is not None and last is not None and last < first:
            problems.append(
                f"{table.place(row)}: {ticker} leaves on {last}, before it joins on {first}; correct the row"
            )
        else:
            found.append(Membership(canonical(ticker), first, last, table.place(row)))
    refuse(problems)
    return found


def _dated_numbers(
    table: RawTable, dates: Sequence[str], column: int, rules: Rules, what: str, cure: str
) -> tuple[NDArray[np.datetime64], Floats, list[str]]:
    """Return days (R,), NaT where there is none, numbers (R,), NaN where there is none, and what is neither."""
    days = settled_days(dates, rules, table.source.name)
    texts = table.texts(column)
    values, wrong = parse_numbers(texts, decimals_of([texts], table.separator))
    problems = list(table.problems)
    problems += [
        f"{table.place(row)}: date {dates[row]!r} is no date; correct or delete the line" for row in days.wrong.tolist()
    ]
    problems += [f"{table.place(row)}: {what} {texts[row]!r} is not a number; {cure}" for row in wrong.tolist()]
    return days.day, values, problems


def _vix_column(table: RawTable) -> tuple[int, int, int | None]:
    """Return the columns of date, close and, if there is one, time."""
    form = form_of(table)
    if form.cells is not None:
        closes = [place for (ticker, role), place in form.cells.items() if role is Role.CLOSE and is_vix(ticker)]
        if closes:
            return form.roles[Role.DATE], closes[0], None
    header = table.header
    roles = roles_of(header)
    keys = [key_of(cell) for cell in header]
    for key in ("vixcls", "vix", "vixclose"):
        if key in keys and Role.DATE in roles:
            return roles[Role.DATE], keys.index(key), None
    if Role.CLOSE in roles and Role.DATE in roles:
        return roles[Role.DATE], roles[Role.CLOSE], roles.get(Role.TIME)
    if form.kind in (Kind.LONG, Kind.INCOMPLETE) and {Role.DATE, Role.CLOSE} <= set(form.roles):
        return form.roles[Role.DATE], form.roles[Role.CLOSE], form.roles.get(Role.TIME)
    raise MarketDataError(
        f"{table.source.name}: needs the columns date and close (or vix), has {', '.join(header) or 'no header'}"
    )


def _pairs(table: RawTable, columns: Sequence[str], words: str, allowed: Mapping[str, str]) -> dict[str, str]:
    roles = roles_of(table.header)
    keys = [key_of(cell) for cell in table.header]
    column = next((keys.index(key) for key in columns if key in keys), None)
    if Role.TICKER not in roles or column is None:
        raise MarketDataError(
            f"{table.source.name}: needs the columns ticker and {words}, has {', '.join(table.header) or 'no header'}"
        )
    found: dict[str, str] = {}
    problems = list(table.problems)
    for row, (raw, text) in enumerate(zip(table.texts(roles[Role.TICKER]), table.texts(column), strict=True)):
        ticker, value = canonical(raw), text.strip()
        if not ticker or not value:
            continue
        if allowed:
            known = allowed.get(key_of(value))
            if known is None:
                problems.append(
                    f"{table.place(row)}: {value!r} is no asset class{did_you_mean(value, tuple(allowed.values()))}; "
                    f"write one of {', '.join(allowed.values())}"
                )
                continue
            value = known
        if found.get(ticker, value) != value:
            problems.append(
                f"{table.place(row)}: {ticker} is in {value!r} and was in {found[ticker]!r} above; keep one"
            )
            continue
        found[ticker] = value
    refuse(problems)
    return found
