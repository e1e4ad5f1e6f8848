"""Everything the report is made from, gathered once, and what is missing from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trading_platform.machine.clocks import NEW_YORK
from trading_platform.reporting.day_view import DayView
from trading_platform.reporting.facts import BrokerSnapshot, History, Ledger
from trading_platform.reporting.risk_view import Halt, Headroom, SectorShare

if TYPE_CHECKING:
    from trading_platform.core.ports import TradingCalendar

MODEL_ID = re.compile(r"[0-9A-Za-z._-]{1,128}")  # it becomes a folder's name
# Closing prices settle and the engine books the session within this time after the close.
BOOKING_TIME = timedelta(minutes=20)
FULL_CLOSE = time(16, 0)


class Model(NamedTuple):
    """The model behind the allocation. Age in days from the newest session it has seen to the report; None unknown."""

    id: str
    created_at: str | None
    data_end: date | None
    age_days: int | None


class Evidence(NamedTuple):
    """Facts and views of one report.

    `asked` is the day that was asked for (None: the newest), `today` the date in New York. `is_session` tells whether
    the asked day has a session, None where nobody was asked. `missing` counts closed sessions without a booking.
    `notes` are alerts about the sources, `history` is there for charts only.
    """

    now: datetime
    today: date
    asked: date | None
    is_session: bool | None
    since: date | None
    ledger: Ledger | None
    snapshot: BrokerSnapshot | None
    view: DayView
    halts: tuple[Halt, ...]
    headroom: tuple[Headroom, ...]
    sectors: tuple[SectorShare, ...]
    model: Model | None
    missing: int
    notes: tuple[str, ...]
    history: History | None


def read_model(models_dir: Path, model_id: str, session: date | None) -> Model:
    """Return what the model's manifest says about its age; unknown where there is none."""
    unknown = Model(model_id, None, None, None)
    if not MODEL_ID.fullmatch(model_id) or model_id.startswith("."):
        return unknown
    try:
        manifest = json.loads((models_dir / model_id / "manifest.json").read_text(encoding="utf-8"))
        created, end = str(manifest["created_at"]), date.fromisoformat(str(manifest["data_end"]))
    except (OSError, ValueError, KeyError, TypeError):
        return unknown
    return Model(model_id, created, end, None if session is None else (session - end).days)


def is_session(day: date, booked: set[date], calendar: Callable[[], TradingCalendar]) -> bool:
    """Tell whether the exchange opens on `day`: bookings and weekends are known without the calendar library."""
    if day in booked:
        return True
    return day.weekday() < 5 and calendar().is_session(day)


def missing_sessions(last: date, now: datetime, calendar: Callable[[], TradingCalendar]) -> int:
    """Return how many sessions have closed after `last` without a booking, asking the calendar only when in doubt."""
    local = (now - BOOKING_TIME).astimezone(NEW_YORK)
    day = local.date() if local.time() >= FULL_CLOSE else local.date() - timedelta(days=1)
    while day.weekday() >= 5:
        day -= timedelta(days=1)
    if last >= day:
        return 0
    schedule = calendar()
    count, session = 0, schedule.next_session(last)
    while session <= day:
        count += 1
        session = schedule.next_session(session)
    return count


def new_york_date(instant: datetime) -> date:
    """Return the exchange's date at `instant`."""
    return instant.astimezone(NEW_YORK).date()


def close_time(instant: datetime) -> str | None:
    """Return the exchange's wall time of a booked close, HH:MM; None if it is not on one of the known closes."""
    local = instant.astimezone(NEW_YORK).strftime("%H:%M")
    return local if local in ("13:00", "16:00") else None


def age_words(then: datetime, now: datetime) -> str:
    """Return the time between two instants in words of one unit, e.g. ``3 h``."""
    seconds = max(0.0, (now.astimezone(UTC) - then.astimezone(UTC)).total_seconds())
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
