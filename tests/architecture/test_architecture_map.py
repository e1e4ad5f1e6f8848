"""docs/architecture.md draws the house as it stands."""

from __future__ import annotations

import re

import pytest
from architecture_map import DRAWING, DRAWN, PAGE, ROOT, drawing, table, written
from architecture_rules import ROOMS


def test_the_map_is_that_of_the_rooms() -> None:
    assert written(PAGE.read_text(encoding="utf-8")) == table()


def test_the_drawing_has_every_room_on_its_floor() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page, DRAWING, DRAWN) == drawing()
    assert sorted(re.findall(r"(\w+)/", drawing())) == sorted(ROOMS)


def test_a_room_that_changed_its_purpose_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("| `strategies/` | What to buy", "| `strategies/` | Whom to ask")
    assert written(page) != table()


def test_every_room_has_a_line_of_its_own() -> None:
    assert re.findall(r"^\| `(\w+)/` \|", table(), re.M) == list(reversed(ROOMS))


def test_every_module_that_the_page_names_is_there() -> None:
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [
        name for name in named if not any((ROOT / part / name).is_file() for part in ("", "trading_platform"))
    ] == []


QUESTIONS = re.findall(
    r"^\| \d+ \| [^|]+\? \| `([a-z_/]+\.py)`: `(\w+)`",
    PAGE.read_text(encoding="utf-8").partition("## Ten questions")[2],
    re.M,
)


def test_ten_questions_of_a_newcomer_have_one_answer_each() -> None:
    assert len(QUESTIONS) == 10
    assert len({file for file, _ in QUESTIONS}) == 10


@pytest.mark.parametrize(("file", "name"), QUESTIONS)
def test_what_answers_a_question_is_there(file: str, name: str) -> None:
    text = (ROOT / "trading_platform" / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:class|def) {name}\b|^{name}\b.* = ", text, re.M), f"{file} has no {name}"
