"""What evidence costs and when it is missing: calendar only in doubt, model files only by a safe name."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trading_platform.reporting.evidence import age_words, close_time, is_session, missing_sessions, read_model

FRIDAY = date(2024, 3, 8)


class Calendar:
    """Weekdays, but for Monday 11 March."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        return self

    def is_session(self, day: date) -> bool:
        return day.weekday() < 5 and day != date(2024, 3, 11)

    def next_session(self, day: date) -> date:
        following = day + timedelta(days=1)
        return following if self.is_session(following) else self.next_session(following)


def new_york(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant of March 2024 by New York's clock, 4 h behind UTC from the 10th on, 5 h before."""
    return datetime(2024, 3, day, hour, minute, tzinfo=UTC) + timedelta(hours=5 if day < 10 else 4)


@pytest.mark.parametrize(
    ("now", "missing", "asked"),
    [
        (new_york(8, 15), 0, 0),  # Friday's session is still on, but it is booked already
        (new_york(9, 12), 0, 0),  # the weekend needs no calendar
        (new_york(10, 23), 0, 0),
        (new_york(11, 12), 0, 0),  # Monday before the close
        (new_york(11, 18), 0, 1),  # after it, the calendar knows the holiday
        (new_york(12, 16, 10), 0, 1),  # Tuesday has just closed: give the engine its minutes
        (new_york(12, 16, 30), 1, 1),
        (new_york(17, 12), 4, 1),
    ],
)
def test_missing_sessions_asks_the_calendar_only_in_doubt(now: datetime, missing: int, asked: int) -> None:
    calendar = Calendar()
    assert missing_sessions(FRIDAY, now, calendar) == missing
    assert calendar.asked == asked


@pytest.mark.parametrize(
    ("day", "booked", "answer", "asked"),
    [
        (date(2024, 3, 9), set(), False, 0),
        (date(2024, 3, 8), {FRIDAY}, True, 0),
        (date(2024, 3, 8), set(), True, 1),
        (date(2024, 3, 11), set(), False, 1),
    ],
)
def test_is_session_knows_weekends_and_bookings(day: date, booked: set[date], answer: bool, asked: int) -> None:
    calendar = Calendar()
    assert is_session(day, booked, calendar) is answer
    assert calendar.asked == asked


def manifest(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "manifest.json").write_text(text)


GOOD = json.dumps({"created_at": "2024-03-02T10:00:00+00:00", "data_end": "2024-03-01"})


def test_model_age_counts_from_the_newest_session_it_has_seen(tmp_path: Path) -> None:
    manifest(tmp_path, "20240302-abc", GOOD)
    model = read_model(tmp_path, "20240302-abc", FRIDAY)
    assert (model.created_at, model.data_end, model.age_days) == ("2024-03-02T10:00:00+00:00", date(2024, 3, 1), 7)
    assert read_model(tmp_path, "20240302-abc", date(2024, 2, 1)).age_days == -29


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"created_at": "x", "data_end": "soon"}', '"text"'])
def test_unreadable_manifest_leaves_the_age_unknown(tmp_path: Path, text: str) -> None:
    manifest(tmp_path, "m", text)
    assert read_model(tmp_path, "m", FRIDAY) == ("m", None, None, None)


@pytest.mark.parametrize("name", ["../m", "..", ".", "a/b", "", "x" * 200])
def test_model_name_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    manifest(tmp_path, "m", GOOD)
    (tmp_path / "manifest.json").write_text(GOOD)
    assert read_model(tmp_path / "models", name, FRIDAY).age_days is None


@pytest.mark.parametrize(
    ("then", "words"), [(timedelta(minutes=3), "3 min"), (timedelta(hours=5), "5 h"), (timedelta(days=9), "9 days")]
)
def test_age_in_words(then: timedelta, words: str) -> None:
    now = new_york(8, 12)
    assert age_words(now - then, now) == words
    assert age_words(now + timedelta(hours=1), now) == "0 min"


def test_close_is_named_only_where_it_is_one() -> None:
    assert close_time(new_york(8, 16)) == "16:00"
    assert close_time(new_york(11, 13)) == "13:00"
    assert close_time(new_york(11, 14, 7)) is None
