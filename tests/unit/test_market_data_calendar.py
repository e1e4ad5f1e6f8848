"""Golden dates are from the NYSE's own holiday and closing notices, not from the library under test."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from trading_platform.core.errors import MarketDataError
from trading_platform.core.ports import TradingCalendar
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.schedule import SHIPPED, library_schedule, shipped_schedule

NEW_YORK = ZoneInfo("America/New_York")
CALENDAR = NyseCalendar()

CLOSED = {
    "attack on the World Trade Center": [date(2001, 9, 11), date(2001, 9, 12), date(2001, 9, 13), date(2001, 9, 14)],
    "Hurricane Sandy": [date(2012, 10, 29), date(2012, 10, 30)],
    "days of mourning": [
        date(1994, 4, 27),
        date(2004, 6, 11),
        date(2007, 1, 2),
        date(2018, 12, 5),
        date(2025, 1, 9),
    ],
    "Juneteenth": [date(2022, 6, 20), date(2023, 6, 19), date(2024, 6, 19), date(2026, 6, 19)],
    "Good Friday": [date(2000, 4, 21), date(2017, 4, 14), date(2026, 4, 3)],
    "New Year observed": [date(2006, 1, 2), date(2017, 1, 2)],
    "Independence Day observed": [date(2015, 7, 3), date(2021, 7, 5)],
    "weekend": [date(2024, 11, 30), date(2024, 12, 1)],
}
OPEN = [
    date(2001, 9, 10),
    date(2001, 9, 17),
    date(2012, 10, 31),
    date(2021, 6, 18),  # Juneteenth became an exchange holiday in 2022 only
    date(2019, 6, 19),
    date(2010, 12, 31),  # 1 January 2011 was a Saturday: no holiday is observed
    date(2024, 11, 11),  # Veterans Day is a bond market holiday
]
HALF_DAYS = [
    date(2000, 11, 24),
    date(2003, 12, 26),
    date(2013, 7, 3),
    date(2017, 11, 24),
    date(2019, 12, 24),
    date(2024, 11, 29),
    date(2024, 12, 24),
    date(2026, 11, 27),
]


@pytest.mark.parametrize("day", [day for days in CLOSED.values() for day in days])
def test_is_session_on_a_closed_day_is_false(day: date) -> None:
    assert not CALENDAR.is_session(day)


@pytest.mark.parametrize("day", OPEN + HALF_DAYS)
def test_is_session_on_an_open_day_is_true(day: date) -> None:
    assert CALENDAR.is_session(day)


@pytest.mark.parametrize("session", HALF_DAYS)
def test_close_at_half_day_is_one_o_clock_in_new_york(session: date) -> None:
    assert CALENDAR.close_at(session).astimezone(NEW_YORK).time().isoformat() == "13:00:00"


@pytest.mark.parametrize(
    ("session", "open_utc", "close_utc"),
    [
        (date(2024, 3, 8), "14:30", "21:00"),  # the Friday before clocks go forward
        (date(2024, 3, 11), "13:30", "20:00"),
        (date(2024, 11, 1), "13:30", "20:00"),
        (date(2024, 11, 4), "14:30", "21:00"),
        (date(2006, 4, 3), "13:30", "20:00"),  # until 2006 clocks went forward in April
        (date(2006, 3, 13), "14:30", "21:00"),
    ],
)
def test_open_and_close_follow_daylight_saving_time(session: date, open_utc: str, close_utc: str) -> None:
    opened, closed = CALENDAR.open_at(session), CALENDAR.close_at(session)

    assert (f"{opened:%H:%M}", f"{closed:%H:%M}") == (open_utc, close_utc)
    assert opened.utcoffset() == closed.utcoffset() == timedelta(0)
    assert opened.date() == session


@pytest.mark.parametrize(
    ("year", "count"),
    # sessions a year as the NYSE held them; 1996 to 2024 from the exchange's fact book and calendars
    [
        (1996, 254),
        (2000, 252),
        (2001, 248),
        (2002, 252),
        (2008, 253),
        (2012, 250),
        (2016, 252),
        (2017, 251),
        (2024, 252),
    ],
)
def test_sessions_between_counts_a_year(year: int, count: int) -> None:
    assert len(CALENDAR.sessions_between(date(year, 1, 1), date(year, 12, 31))) == count


def test_sessions_between_includes_both_ends_and_skips_the_closure() -> None:
    found = CALENDAR.sessions_between(date(2001, 9, 10), date(2001, 9, 17))

    assert found.tolist() == [date(2001, 9, 10), date(2001, 9, 17)]
    assert CALENDAR.sessions_between(date(2001, 9, 11), date(2001, 9, 14)).size == 0


def test_next_and_previous_session_cross_a_closure() -> None:
    assert CALENDAR.next_session(date(2001, 9, 10)) == date(2001, 9, 17)
    assert CALENDAR.previous_session(date(2001, 9, 17)) == date(2001, 9, 10)
    assert CALENDAR.next_session(date(2012, 10, 28)) == date(2012, 10, 31)
    assert CALENDAR.previous_session(date(2012, 10, 30)) == date(2012, 10, 26)


def test_exchange_seconds_half_day_adds_three_and_a_half_hours() -> None:
    clock = CALENDAR.exchange_seconds([date(2024, 11, 27), date(2024, 11, 29), date(2024, 12, 2)])

    np.testing.assert_array_equal(np.diff(clock), [3.5 * 3600, 6.5 * 3600])


def test_exchange_seconds_begins_at_the_first_session() -> None:
    assert CALENDAR.exchange_seconds([date(1990, 1, 2)]).tolist() == [6.5 * 3600]


def test_session_at_includes_the_open_and_excludes_the_close() -> None:
    session = date(2024, 11, 29)
    opened, closed = CALENDAR.open_at(session), CALENDAR.close_at(session)
    second = timedelta(seconds=1)

    assert [CALENDAR.session_at(t) for t in (opened - second, opened, closed - second, closed)] == [
        None,
        session,
        session,
        None,
    ]


def test_last_completed_session_changes_at_the_close() -> None:
    closed = CALENDAR.close_at(date(2024, 11, 29))

    assert CALENDAR.last_completed_session(closed) == date(2024, 11, 29)
    assert CALENDAR.last_completed_session(closed - timedelta(seconds=1)) == date(2024, 11, 27)


@pytest.mark.parametrize("day", [date(1989, 12, 29), date(2061, 1, 3)])
def test_days_outside_the_calendar_raise_and_name_the_range(day: date) -> None:
    for question in (CALENDAR.is_session, CALENDAR.open_at, CALENDAR.previous_session):
        with pytest.raises(
            MarketDataError, match=rf"{day} is outside the calendar, which covers 1990-01-01 to 2060-12-31"
        ):
            question(day)


def test_first_and_last_day_have_no_neighbour_beyond() -> None:
    with pytest.raises(MarketDataError, match="begins on 1990-01-01"):
        CALENDAR.previous_session(date(1990, 1, 2))
    with pytest.raises(MarketDataError, match="2061-01-01 is outside"):
        CALENDAR.next_session(date(2060, 12, 31))
    with pytest.raises(MarketDataError, match="no session had closed"):
        CALENDAR.last_completed_session(datetime(1980, 1, 2, tzinfo=UTC))


def test_a_day_that_is_no_session_raises_and_names_the_next() -> None:
    with pytest.raises(
        MarketDataError, match=r"2001-09-12 \(Wednesday\) is not an NYSE session; the next one is 2001-09-17"
    ):
        CALENDAR.open_at(date(2001, 9, 12))
    with pytest.raises(MarketDataError, match="2001-09-11"):
        CALENDAR.exchange_seconds([date(2001, 9, 10), date(2001, 9, 11)])


def test_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        CALENDAR.last_completed_session(datetime(2024, 11, 4, 15))  # noqa: DTZ001 - that is the fault under test


def test_returned_sessions_do_not_alias_the_schedule() -> None:
    CALENDAR.sessions_between(date(2024, 1, 1), date(2024, 1, 31))[:] = np.datetime64("1999-01-01")

    assert CALENDAR.sessions_between(date(2024, 1, 1), date(2024, 1, 31))[0] == np.datetime64("2024-01-02")


def test_calendar_satisfies_the_port() -> None:
    port: TradingCalendar = CALENDAR

    assert port.is_session(date(2024, 7, 5))


def test_importing_the_module_does_not_import_the_library() -> None:
    code = (
        "import sys; import trading_platform.market_data.calendar;"
        "print('exchange_calendars' in sys.modules, 'pandas' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


def test_shipped_hours_are_those_of_the_library() -> None:
    shipped, library = shipped_schedule(SHIPPED), library_schedule()

    assert shipped is not None, "another version is installed: python -m trading_platform.market_data.schedule"
    for ours, theirs in zip(shipped, library, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_shipped_hours_of_another_version_are_not_used(tmp_path: Path) -> None:
    with np.load(SHIPPED) as arrays:
        np.savez(tmp_path / "old.npz", **{**arrays, "stamp": "exchange_calendars 3.0, 1990-01-01 to 2060-12-31"})

    assert shipped_schedule(tmp_path / "old.npz") is None
    assert shipped_schedule(tmp_path / "missing.npz") is None


def test_first_use_imports_no_data_library() -> None:
    code = (
        "import sys; from datetime import date; from trading_platform.market_data.calendar import NyseCalendar;"
        "print(NyseCalendar().close_at(date(2016, 11, 25)).hour == 18, 'pandas' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "False"]
