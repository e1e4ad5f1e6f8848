"""docs/architecture.md draws the house as it stands."""

from __future__ import annotations

import re

from architecture_map import PAGE, ROOT, table, written
from architecture_rules import ROOMS


def test_the_map_is_that_of_the_rooms() -> None:
    assert written(PAGE.read_text(encoding="utf-8")) == table()


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
