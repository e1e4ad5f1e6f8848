"""A table of settings that checks itself when it is made: types and ranges stand with its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from trading_platform.core import validation
from trading_platform.core.validation import Interval, InvalidSettingsError

Table = Mapping[str, object]
Count = Annotated[int, Interval("[1, 1000000]")]


class CheckedTable:
    """What every table begins with; one with rules of its own adds them to `validation.problems`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        if problems := validation.problems(self):
            raise InvalidSettingsError(problems.values())


def twice(names: Sequence[str]) -> str:
    """Return the first of `names` that is there twice, empty if none is."""
    return next((name for position, name in enumerate(names) if name in names[:position]), "")
