from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from trading_platform.market_data.calendar import NyseCalendar

CALENDAR = NyseCalendar()
days = st.dates(date(1991, 1, 10), date(2060, 12, 20))


@given(days)
def test_neighbouring_sessions_are_inverse_and_surround_the_day(day: date) -> None:
    following, earlier = CALENDAR.next_session(day), CALENDAR.previous_session(day)

    assert earlier < day < following
    assert CALENDAR.is_session(following)
    assert CALENDAR.is_session(earlier)
    between = CALENDAR.sessions_between(earlier, following).tolist()
    assert between == ([earlier, day, following] if CALENDAR.is_session(day) else [earlier, following])


@given(days)
def test_weekends_are_closed_and_a_session_opens_and_closes_on_its_day(day: date) -> None:
    event("session" if CALENDAR.is_session(day) else "closed")
    if day.weekday() >= 5:
        assert not CALENDAR.is_session(day)
    if CALENDAR.is_session(day):
        opened, closed = CALENDAR.open_at(day), CALENDAR.close_at(day)
        assert opened.date() == closed.date() == day
        assert timedelta(hours=3) <= closed - opened <= timedelta(hours=6.5)
        assert CALENDAR.session_at(opened) == day
        assert CALENDAR.last_completed_session(closed) == day


@given(days)
def test_exchange_clock_agrees_with_a_sum_over_the_sessions(day: date) -> None:
    last = CALENDAR.previous_session(day)
    first = date(last.year, 1, 1)
    sessions = CALENDAR.sessions_between(first, last).tolist()
    base, clock = CALENDAR.exchange_seconds([CALENDAR.previous_session(first), last])

    open_seconds = sum((CALENDAR.close_at(day) - CALENDAR.open_at(day)).total_seconds() for day in sessions)

    assert abs(clock - base - open_seconds) < 1e-3


@given(days, st.integers(1, 60))
def test_exchange_seconds_is_vectorised(day: date, length: int) -> None:
    sessions = CALENDAR.sessions_between(day - timedelta(days=length), day)
    clock = CALENDAR.exchange_seconds(sessions)

    assert clock.shape == sessions.shape
    assert np.all(np.diff(clock) > 0)
    assert np.all(np.diff(clock) <= 6.5 * 3600)
    np.testing.assert_array_equal(clock, [CALENDAR.exchange_seconds([session])[0] for session in sessions.tolist()])
