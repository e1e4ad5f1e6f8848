"""Docstrings name shapes and errors where a program can ask for it; nothing is kept from the formatter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from architecture_rules import PACKAGE, ROOMS
from docstring_rules import (
    DOCUMENTED,
    arrays_have_their_shape_told,
    nothing_is_kept_from_the_formatter,
    what_is_raised_is_told,
)

ROOT = Path(__file__).parents[2]
OF_DOCSTRINGS = (arrays_have_their_shape_told, what_is_raised_is_told)
PLACE = "trading_platform/evaluation/seeded.py"

Rule = Callable[[str, str], list[str]]


def function(docstring: str, *, takes: str = "close: Floats", body: str = "return close") -> str:
    return f'def mean({takes}) -> object:\n    """{docstring}"""\n    {body}\n'


FAULTS: list[tuple[Rule, str]] = [
    (arrays_have_their_shape_told, function("Return the mean.")),
    (arrays_have_their_shape_told, function("Return the mean (in dollars).", takes="*, a: int, b: NDArray[float64]")),
    (arrays_have_their_shape_told, "class A:\n    def f(self, a: np.ndarray) -> int:\n        return 1"),
    (what_is_raised_is_told, function("Return it.", takes="a: int", body="if a:\n        raise ValueError(a)")),
    (nothing_is_kept_from_the_formatter, "x = (1,\n     2)  # fmt:" + " skip"),
]
INNOCENT: list[tuple[Rule, str]] = [
    (arrays_have_their_shape_told, function("Return the mean of `close`, (T, N) in dollars.")),
    (arrays_have_their_shape_told, function("See `Strategy.signals`.")),
    (arrays_have_their_shape_told, function("Return twice.", takes="a: int")),
    (arrays_have_their_shape_told, "def _own(a: Floats) -> int:\n    return 1"),
    (
        arrays_have_their_shape_told,
        'class A:\n    """Books (T, K)."""\n    def f(self, a: Floats) -> int:\n        return 1',
    ),
    (arrays_have_their_shape_told, '"""Shapes: `close` (T, N)."""\n' + function("Return the mean.")),
    (what_is_raised_is_told, function("Return it. Raises ValueError below 0.", body="raise ValueError(close)")),
    (what_is_raised_is_told, function("Check it.", body="raise typer.Exit(3 if close else 0)")),
    (what_is_raised_is_told, function("Return it.", body="try:\n        f()\n    except E:\n        raise")),
    (nothing_is_kept_from_the_formatter, "x = 1  # the formatter keeps this"),
]


@pytest.mark.parametrize("rule", OF_DOCSTRINGS, ids=lambda rule: rule.__name__)
def test_documented_rooms_keep_the_rule(rule: Rule) -> None:
    paths = sorted(ROOT.glob("trading_platform/**/*.py"))
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    assert all(any(name.startswith(room) for name in texts) for room in DOCUMENTED)
    assert [line for name, text in texts.items() for line in rule(name, text)] == []


def test_every_file_is_left_to_the_formatter() -> None:
    rooms = ("trading_platform", "tests", "tools", "benchmarks")
    paths = [*ROOT.glob("*.py"), *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    assert len(paths) > 100
    assert [
        line
        for path in paths
        for line in nothing_is_kept_from_the_formatter(
            path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        )
    ] == []


@pytest.mark.parametrize(("rule", "text"), FAULTS)
def test_a_seeded_fault_is_found(rule: Rule, text: str) -> None:
    assert len(rule(PLACE, text)) == 1


@pytest.mark.parametrize(("rule", "text"), INNOCENT)
def test_right_code_passes(rule: Rule, text: str) -> None:
    assert rule(PLACE, text) == []


def test_every_room_of_the_map_is_asked() -> None:
    assert set(DOCUMENTED) == {f"{PACKAGE}/{room}/" for room in ROOMS}


def test_what_is_in_no_room_is_not_asked() -> None:
    faults = [(rule, text) for rule, text in FAULTS if rule in OF_DOCSTRINGS]
    assert [rule("tests/unit/seeded.py", text) for rule, text in faults] == [[]] * len(faults)
