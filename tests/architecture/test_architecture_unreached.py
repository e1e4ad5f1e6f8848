"""Nothing in the package is reached by tests alone, unless somebody looked at it and said why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("vulture", reason="finds what nothing reaches: pip install vulture")

from unreached import LEFT_OUT, REVIEWED, ROOT, unreached

LISTED = {(path, name) for path, names in REVIEWED.items() for name in names}


@pytest.fixture(scope="module")
def found() -> set[tuple[str, str]]:
    files = [*(ROOT / "trading_platform").rglob("*.py"), *ROOT.glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    return {each for each in unreached(files) if not each[0].startswith((*LEFT_OUT, "benchmarks/"))}


def test_everything_is_reached_or_reviewed(found: set[tuple[str, str]]) -> None:
    """A new name here is called by tests at most: call it, remove it, or list it with the reason."""
    assert sorted(found - LISTED) == []


def test_nothing_on_the_reviewed_list_is_reached_or_gone(found: set[tuple[str, str]]) -> None:
    assert sorted(LISTED - found) == []


def test_unreached_function_is_found_and_a_called_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_text("def used(): ...\ndef forgotten(): ...\nused()\n", encoding="utf-8")
    assert unreached([file], tmp_path) == {("part.py", "forgotten")}


def test_key_of_a_document_is_no_name_and_a_field_of_a_record_is(tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_text(
        "from typing import NamedTuple, TypedDict\n"
        "class Day(TypedDict):\n    date: str\n"
        "class Whole(Day):\n    summary: str\n"
        "class Row(NamedTuple):\n    forgotten: str\n"
        "x: Whole\ny: Row\nprint(x, y)\n",
        encoding="utf-8",
    )
    assert unreached([file], tmp_path) == {("part.py", "forgotten")}


def test_module_is_wired_to_something() -> None:
    """Every module is imported by another, or is one that is run; studies count, tests do not."""
    sources = [*(ROOT / "trading_platform").rglob("*.py"), *ROOT.glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    lonely = []
    for file in (ROOT / "trading_platform").rglob("*.py"):
        path = file.relative_to(ROOT)
        if file.stem in ("__init__", "__main__") or "migrations" in path.parts:
            continue
        room, name = ".".join(path.parts[:-1]), path.stem
        listed = re.search(rf"from {re.escape(room)} import [^\n]*\b{name}\b", text)
        if f"{room}.{name}" not in text and listed is None:
            lonely.append(str(path))
    assert [path for path in lonely if path not in REVIEWED] == []
