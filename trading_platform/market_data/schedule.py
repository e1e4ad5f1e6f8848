"""An exchange's hours from 1990 to 2060, as plain arrays.

They are those of exchange_calendars. Importing it (and pandas) and building them takes over a second, so New York's of
the version that is tested ship with the package, in data/nyse_hours.npz; with any other version installed, and for any
other exchange, they are asked of the library itself. Dates after the library's newest release follow the exchange's
standing holiday rules.

Regenerate after a change of version: ``python -m trading_platform.market_data.schedule``; a test compares the two.
"""

from __future__ import annotations

import difflib
import warnings
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.day_count import NEW_YORK_ZONE
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats, Ints
from trading_platform.market_data.exchange import NEW_YORK

LIBRARY = "exchange_calendars"
SHIPPED = Path(__file__).with_name("data") / "nyse_hours.npz"
# exchange_calendars begins 20 years back unless told otherwise; VIX begins in 1990, and so does the exchange clock.
FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2060, 12, 31)
DAY, MINUTE = 86_400, 60  # seconds

Sessions = NDArray[np.datetime64]


class Schedule(NamedTuple):
    """Every session: its date, open and close in seconds since 1970 UTC, and the exchange clock at its close."""

    sessions: Sessions
    opens: Ints
    closes: Ints
    seconds: Floats


@cache
def nyse_schedule() -> Schedule:
    """Return the hours of every session from `FIRST_DAY` to `LAST_DAY`, read once a process."""
    shipped = shipped_schedule(SHIPPED)
    return library_schedule() if shipped is None else shipped


def shipped_schedule(path: Path) -> Schedule | None:
    """Return the hours in `path`, or None if they are not those of the installed library."""
    try:
        installed = version(LIBRARY)
    except PackageNotFoundError:
        return None
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if _stamp(installed) != str(arrays["stamp"]):
            return None
        days = np.cumsum(arrays["gaps"], dtype=np.int64)
        opens, closes = (days * DAY + arrays[name] * np.int64(MINUTE) for name in ("open_minutes", "close_minutes"))
        return _schedule(days.astype("datetime64[D]"), opens, closes)


@cache
def exchange_schedule(name: str) -> Schedule:
    """Return the hours of the exchange that exchange_calendars calls `name`, e.g. XLON, read once a process.

    Raises
    ------
    FixConfigError
        There is no such exchange.
    """
    return nyse_schedule() if name == NEW_YORK else library_schedule(name)


def exchange_zone(name: str) -> str:
    """Return the time zone of an exchange, e.g. Europe/London.

    Raises
    ------
    FixConfigError
        There is no such exchange.
    """
    return NEW_YORK_ZONE if name == NEW_YORK else str(_exchange(name).tz)


def _exchange(name: str) -> Any:
    """Return the library's class of an exchange."""
    from exchange_calendars import get_calendar_names
    from exchange_calendars.calendar_utils import _default_calendar_factories as exchanges

    if name not in exchanges:
        known = get_calendar_names(include_aliases=False)
        near = difflib.get_close_matches(name.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "e.g. XNYS, XLON, XETR, XPAR, XTKS, XASX"
        raise FixConfigError(f"calendar in [data]: exchange_calendars knows no exchange {name!r}; {hint}")
    return exchanges[name]


def library_schedule(name: str = NEW_YORK) -> Schedule:
    """Return the hours as exchange_calendars has them; of an exchange that it knows for fewer years, those years."""
    exchange = _exchange(name)
    earliest, latest = exchange.bound_min(), exchange.bound_max()
    first = FIRST_DAY if earliest is None else max(FIRST_DAY, earliest.date())
    last = LAST_DAY if latest is None else min(LAST_DAY, latest.date())
    from exchange_calendars import get_calendar

    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values, which pandas 3.1 deprecates for time zones
        warnings.simplefilter("ignore", DeprecationWarning)
        table = get_calendar(name, start=first.isoformat(), end=last.isoformat())
    opens = table.opens.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    closes = table.closes.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    return _schedule(table.sessions.to_numpy().astype("datetime64[D]"), opens, closes)


def write_schedule(path: Path) -> None:
    """Write the library's hours to `path`."""
    hours = library_schedule()
    days = hours.sessions.astype(np.int64)
    gaps = np.diff(days, prepend=0).astype(np.int32)  # days since the session before; these compress to nothing
    opens, closes = (((at - days * DAY) // MINUTE).astype(np.int16) for at in (hours.opens, hours.closes))
    np.savez_compressed(path, stamp=_stamp(version(LIBRARY)), gaps=gaps, open_minutes=opens, close_minutes=closes)


def _schedule(sessions: Sessions, opens: Ints, closes: Ints) -> Schedule:
    return Schedule(sessions, opens, closes, np.cumsum(closes - opens).astype(np.float64))


def _stamp(installed: str) -> str:
    return f"{LIBRARY} {installed}, {FIRST_DAY} to {LAST_DAY}"


if __name__ == "__main__":
    write_schedule(SHIPPED)
