"""What a table is, seen from its columns and values: bars in long form, wide ones, a field a file, or none of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trading_platform.market_data.columns import (
    ACTIONS,
    FIELDS,
    PRICE_ROLES,
    REQUIRED,
    Role,
    is_price,
    key_of,
    nearest,
    role_of,
    roles_of,
)
from trading_platform.market_data.dates import is_date, parse_days
from trading_platform.market_data.numbers import is_number
from trading_platform.market_data.text_tables import RawTable
from trading_platform.market_data.tickers import canonical, is_ticker, is_vix, ticker_of_name

SNIFFED_ROWS = 600
FIELD_FILES = {
    "open": Role.OPEN,
    "opens": Role.OPEN,
    "high": Role.HIGH,
    "highs": Role.HIGH,
    "low": Role.LOW,
    "lows": Role.LOW,
    "close": Role.CLOSE,
    "closes": Role.CLOSE,
    "volume": Role.VOLUME,
    "volumes": Role.VOLUME,
    "vol": Role.VOLUME,
    "adjclose": Role.ADJ_CLOSE,
    "adjcloses": Role.ADJ_CLOSE,
    "adjustedclose": Role.ADJ_CLOSE,
    "price": Role.CLOSE,
    "prices": Role.CLOSE,
    "closing": Role.CLOSE,
    "opening": Role.OPEN,
    "dividends": Role.DIVIDEND,
    "dividend": Role.DIVIDEND,
    "splits": Role.SPLIT,
}


class Kind(StrEnum):
    """What a table holds."""

    LONG = "bars, one a row"
    WIDE = "bars, tickers side by side"
    FIELD = "one field of bars, tickers side by side"
    CLOSES = "closes alone"
    INCOMPLETE = "bars that lack a column"
    NONE = "no bars"


@dataclass(frozen=True, slots=True)
class Form:
    """A table's kind and where its columns are.

    Attributes
    ----------
    kind
        What it holds.
    roles
        Column of each role (long form; of a wide form the date alone).
    cells
        Of a wide form: (ticker, role) -> column.
    field
        Of one field a file: which.
    ticker
        The ticker that the file's name means, where no column tells; "" for none.
    reason
        Why it is not read, in words.
    unused
        Names of columns that nothing reads.
    """

    kind: Kind
    roles: dict[Role, int]
    cells: dict[tuple[str, Role], int] | None = None
    field: Role | None = None
    ticker: str = ""
    reason: str = ""
    unused: tuple[str, ...] = ()


def form_of(table: RawTable) -> Form:
    """Return what `table` is. Its first rows are enough to see it."""
    if not table.headers:
        return _without_header(table)
    if len(table.headers) > 1 and (form := _two_headers(table)) is not None:
        return form
    header = table.header
    roles = roles_of(header)
    prices = [role for role in PRICE_ROLES if role in roles]
    if (
        Role.DATE not in roles
        and (len(prices) >= 3 or _has_wide_names(header))
        and (place := _dates_of(table)) is not None
    ):
        roles[Role.DATE] = place
        for role in [role for role, column in roles.items() if column == place and role is not Role.DATE]:
            del roles[role]
    if len(prices) < 4 and (form := _flat_wide(table, roles)) is not None:
        return form
    if Role.TICKER in roles and Role.DATE in roles and roles[Role.TICKER] == roles[Role.DATE]:
        del roles[Role.TICKER]
    ticker = _ticker_of(table, roles)
    if Role.DATE in roles and len(prices) == 4:
        return _long(table, roles, ticker)
    if Role.DATE in roles and (form := _one_field(table, roles)) is not None:
        return form
    meant = (
        len(prices) >= 2 or (Role.TICKER in roles and bool(prices)) or (Role.TICKER in roles and _many_numbers(table))
    )
    if meant and (Role.DATE in roles or len(prices) >= 3):
        return _incomplete(table, roles, ticker, prices)
    if len(prices) == 1 and Role.CLOSE in roles and Role.DATE in roles and ticker and not is_vix(ticker):
        return Form(Kind.CLOSES, roles, ticker=ticker, reason=_CLOSES)
    return Form(Kind.NONE, roles, reason=f"no bars in its columns {', '.join(name for name in header[:8] if name)}")


_CLOSES = "closes alone cannot be traded at an open: open, high, low and volume are needed as well"


def is_intraday(table: RawTable, form: Form, zone: str) -> bool:
    """Return True if one ticker has several times on one day, as far as the table goes."""
    if form.kind not in (Kind.LONG, Kind.WIDE, Kind.FIELD) or Role.DATE not in form.roles:
        return False
    texts = dates_of(table, form)[:SNIFFED_ROWS]
    days = parse_days(texts, zone=zone)
    if not np.any(days.seconds > 0):
        return False
    names: Sequence[str] = [""] * len(texts)
    if Role.TICKER in form.roles:
        names = table.texts(form.roles[Role.TICKER])[:SNIFFED_ROWS]
    seen: dict[tuple[str, object], set[int]] = {}
    for name, day, second in zip(names, days.day.tolist(), days.seconds.tolist(), strict=True):
        if day is not None:
            seen.setdefault((name, day), set()).add(second)
    several = sum(len(times) > 1 for times in seen.values())
    return several > 0 and several >= 0.02 * len(seen)


def dates_of(table: RawTable, form: Form) -> Sequence[str]:
    """Return the date texts of a table, with the time column added where there is one."""
    texts = table.texts(form.roles[Role.DATE])
    if Role.TIME in form.roles:
        clock = table.texts(form.roles[Role.TIME])
        return [f"{day} {time}".strip() if time.strip(" 0:.") else day for day, time in zip(texts, clock, strict=True)]
    return texts


def _long(table: RawTable, roles: dict[Role, int], ticker: str) -> Form:
    if Role.VOLUME not in roles:
        return _incomplete(table, roles, ticker, [role for role in PRICE_ROLES if role in roles])
    if Role.TICKER not in roles and not ticker:
        return Form(
            Kind.INCOMPLETE,
            roles,
            reason="no ticker: its columns are "
            + ", ".join(name for name in table.header if name)
            + (f"; is {near!r} the ticker? " if (near := nearest(table.header, Role.TICKER)) else "; ")
            + "name the file by its ticker (AAPL.csv) or add a column ticker",
        )
    used = set(roles.values())
    unused = tuple(
        name
        for place, name in enumerate(table.header)
        if place not in used and name.strip() and not name.startswith(("Unnamed", "unnamed", "level_"))
    )
    return Form(Kind.LONG, roles, ticker=ticker, unused=unused)


def _incomplete(table: RawTable, roles: dict[Role, int], ticker: str, prices: Sequence[Role]) -> Form:
    missing = [role for role in REQUIRED if role not in roles and not (role is Role.TICKER and ticker)]
    if Role.CLOSE in roles and len(prices) == 1:
        return Form(Kind.CLOSES, roles, ticker=ticker, reason=_CLOSES)
    hints = [f"{near!r} for {role}" for role in missing if (near := nearest(table.header, role))]
    meant = f"; did you mean {' and '.join(hints)}?" if hints else ""
    columns = ", ".join(name for name in table.header if name)
    return Form(
        Kind.INCOMPLETE,
        roles,
        ticker=ticker,
        reason=f"column {', '.join(missing)} is missing, the header has {columns}{meant}; "
        f"a bar file needs {', '.join(REQUIRED)}",
    )


def _ticker_of(table: RawTable, roles: dict[Role, int]) -> str:
    """Return the ticker of the file's name where its columns tell none; drops a column of company names."""
    if Role.TICKER in roles:
        sample = [text.strip() for text in table.texts(roles[Role.TICKER])[:SNIFFED_ROWS] if text.strip()]
        named = key_of(table.header[roles[Role.TICKER]]) in ("ticker", "symbol", "tic")
        if named or not sample or sum(is_ticker(text) or text.startswith("^") for text in sample) >= 0.5 * len(sample):
            return ""
        del roles[Role.TICKER]
    parent = table.source.path.parent.name
    return ticker_of_name(table.source.stem, parent)


def _dates_of(table: RawTable) -> int | None:
    """Return the column whose first values are all dates, for tables whose index has no name or an odd one."""
    for place in range(len(table.columns)):
        sample = [text for text in table.texts(place)[:50] if text.strip()]
        if sample and all(is_date(text) for text in sample):
            return place
    return None


def _many_numbers(table: RawTable) -> bool:
    numeric = 0
    for place in range(len(table.columns)):
        sample = [text for text in table.texts(place)[:20] if text.strip()]
        numeric += bool(sample) and all(is_number(text) and not is_date(text) for text in sample)
    return numeric >= 4


def _two_headers(table: RawTable) -> Form | None:
    """Understand a row of fields over (or under) a row of tickers, as yfinance and pandas write them."""
    rows = table.headers
    fields = next((row for row in rows if sum(is_price(role_of(cell)) for cell in row) >= 4 or _all_fields(row)), None)
    if fields is None:
        return None
    others = [row for row in rows if row is not fields]
    names = max(others, key=lambda row: sum(bool(cell) for cell in row[1:]), default=None)
    if names is None or sum(bool(cell) for cell in names[1:]) < 1:
        return None
    names_row, fields_row = _filled(names), _filled(fields)
    cells: dict[tuple[str, Role], int] = {}
    unused = []
    date = 0
    for place, (name, cell) in enumerate(zip(names_row, fields_row, strict=True)):
        role = role_of(cell)
        if role is Role.DATE or (place == 0 and not is_price(role)):
            date = place
        elif is_price(role) or role in ACTIONS:
            if role is not None and name and role_of(name) is not Role.TICKER:
                cells.setdefault((canonical(name), role), place)
        elif cell:
            unused.append(cell)
    found = _dates_of(table)
    date = found if found is not None else date
    return _wide(
        table, date, {key: place for key, place in cells.items() if place != date}, tuple(dict.fromkeys(unused))
    )


def _all_fields(row: Sequence[str]) -> bool:
    filled = [cell for cell in row[1:] if cell]
    return len(filled) >= 2 and all(role_of(cell) is not None for cell in filled)


def _filled(row: Sequence[str]) -> list[str]:
    """Return a header row with cells that Excel merged filled from the left."""
    out: list[str] = []
    for place, cell in enumerate(row):
        out.append(cell if cell or place < 2 else out[-1])
    return out


_SPLIT_NAME = re.compile(r"[\s_:|/]+|(?<=[a-zA-Z])\.(?=[A-Za-z]{3,})|\.(?=(?:open|high|low|close|volume)$)", re.I)


def _flat_wide(table: RawTable, roles: dict[Role, int]) -> Form | None:
    """Understand one header row with names such as AAPL_Open, Open_AAPL, AAPL.Close, Adj Close AAPL."""
    cells: dict[tuple[str, Role], int] = {}
    for place, name in enumerate(table.header):
        pair = _field_and_ticker(name)
        if pair is not None:
            cells.setdefault(pair, place)
    tickers = {ticker for ticker, _ in cells}
    if len(cells) < 4 or not all(
        any((ticker, role) in cells for ticker in tickers) for role in (Role.OPEN, Role.CLOSE)
    ):
        return None
    date = roles.get(Role.DATE, _dates_of(table))
    if date is None:
        return None
    used = {date, *cells.values()}
    unused = tuple(name for place, name in enumerate(table.header) if place not in used and name)
    return _wide(table, date, cells, unused)


def _has_wide_names(header: Sequence[str]) -> bool:
    return sum(_field_and_ticker(name) is not None for name in header) >= 4


def _field_and_ticker(name: str) -> tuple[str, Role] | None:
    parts = [part for part in _SPLIT_NAME.split(name.strip()) if part]
    if len(parts) < 2 or len(parts) > 4:
        return None
    for cut in range(1, len(parts)):
        for field, ticker in ((parts[:cut], parts[cut:]), (parts[cut:], parts[:cut])):
            role = role_of("".join(field))
            joined = ".".join(ticker)
            if (
                is_price(role)
                and role is not None
                and len(key_of("".join(field))) > 2
                and is_ticker(joined)
                and (role_of(joined) is None or joined.isupper())
            ):
                return canonical(joined), role
    return None


def _wide(table: RawTable, date: int, cells: dict[tuple[str, Role], int], unused: tuple[str, ...]) -> Form:
    roles = {Role.DATE: date}
    tickers = sorted({ticker for ticker, _ in cells})
    whole = [ticker for ticker in tickers if all((ticker, role) in cells for role in FIELDS)]
    if not whole:
        have = {role for _, role in cells}
        if Role.CLOSE in have and Role.OPEN not in have:
            return Form(Kind.CLOSES, roles, reason=_CLOSES)
        missing = [role for role in FIELDS if role not in have]
        return Form(Kind.INCOMPLETE, roles, reason=f"column {', '.join(missing) or 'of some tickers'} is missing")
    return Form(Kind.WIDE, roles, cells=cells, unused=unused)


def _one_field(table: RawTable, roles: dict[Role, int]) -> Form | None:
    """Understand dates by tickers: one file each for opens, highs, lows, closes and volumes."""
    date = roles[Role.DATE]
    names = [name for place, name in enumerate(table.header) if place != date and name]
    tickers = [name for name in names if is_ticker(name) or name.startswith("^")]
    if len(tickers) < max(1, 0.9 * len(names)) or not _all_numbers(table, date):
        return None
    known = {place for role, place in roles.items() if role is not Role.DATE}
    if len(known) >= 2 and len(known) > 0.5 * len(names):
        return None
    field = field_of_name(table.source.stem, table.source.path.parent.name)
    if field is None and len(tickers) < 2:
        return None
    if field is None and any(role_of(name) is not None and not name.isupper() for name in tickers):
        return None
    cells = {
        (canonical(name), field or Role.CLOSE): place for place, name in enumerate(table.header) if name in tickers
    }
    if field is None:
        return Form(Kind.CLOSES, {Role.DATE: date}, cells=cells, reason=_CLOSES)
    return Form(Kind.FIELD, {Role.DATE: date}, cells=cells, field=field)


def field_of_name(stem: str, parent: str = "") -> Role | None:
    """Return the field that a file's name means: open.csv, sp500_close.csv, prices-high.csv."""
    tokens = [token for token in re.split(r"[\s_.\-]+", stem.lower()) if token]
    whole = "".join(tokens)
    if "adj" in tokens or "adjusted" in tokens or whole.startswith("adj"):
        return Role.ADJ_CLOSE
    for token in (whole, *reversed(tokens)):
        if token in FIELD_FILES:
            return FIELD_FILES[token]
    return FIELD_FILES.get(parent.lower())


def _all_numbers(table: RawTable, date: int) -> bool:
    for place in range(len(table.columns)):
        if place == date:
            continue
        column = table.columns[place]
        if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
            continue
        sample = [text for text in table.texts(place)[:20] if text.strip()]
        if not all(is_number(text) or text.strip().lower() in ("nan", "-", "null", "none") for text in sample):
            return False
    return True


def _without_header(table: RawTable) -> Form:
    """Understand a table without a header by its values: a date, a ticker if there is one, and the five numbers."""
    width = len(table.columns)
    sample = [[text.strip() for text in table.texts(place)[:50]] for place in range(width)]
    date = next(
        (place for place, column in enumerate(sample) if column and all(is_date(text) for text in column if text)), None
    )
    numeric = [
        place
        for place, column in enumerate(sample)
        if place != date and column and all(is_number(text) for text in column if text)
    ]
    words = [place for place, column in enumerate(sample) if place not in numeric and place != date]
    if date is None or len(numeric) < 5:
        return Form(Kind.NONE, {}, reason="no header line, and not a date with five numbers")
    first = numeric[:5]
    roles = {Role.DATE: date, **dict(zip(FIELDS, first, strict=True))}
    numbers = np.array(
        [
            [float(text) if is_number(text) and "," not in text else np.nan for text in sample[place]]
            for place in first[:4]
        ]
    )
    with np.errstate(invalid="ignore"):
        fits = (numbers[1] >= numbers[[0, 2, 3]].max(axis=0) * 0.999) & (
            numbers[2] <= numbers[[0, 1, 3]].min(axis=0) * 1.001
        )
    if not fits.size or np.mean(fits) < 0.9:
        return Form(Kind.INCOMPLETE, roles, reason="no header line; add one: " + ", ".join(REQUIRED))
    tickers = [place for place in words if all(is_ticker(text) for text in sample[place] if text)]
    if tickers:
        roles[Role.TICKER] = tickers[0]
    ticker = "" if tickers else ticker_of_name(table.source.stem, table.source.path.parent.name)
    if not tickers and not ticker:
        return Form(Kind.INCOMPLETE, roles, reason="no header line and no ticker; add the line " + ",".join(REQUIRED))
    return Form(Kind.LONG, roles, ticker=ticker)
