"""Settings that refuse what they do not understand: typed fields, intervals, known keys, a fingerprint.

A setting is a dataclass field whose annotation says what it may be: ``Annotated[float, Interval("(0, 100]")]``, a
plain ``bool``, ``int``, ``float`` or ``str``, a ``Literal`` of choices, ``tuple[str, ...]``, or ``str`` or that. All is
reported at once, since an operator who mends one line at a time gives up on the third.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import numbers
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trading_platform.core.errors import FixConfigError

S = typing.TypeVar("S")

_CLOSE_ENOUGH = (
    0.7  # difflib's own 0.6 takes TELEGRAM_FOO_BAR for TELEGRAM_CHAT_ID; slips of one or two letters pass 0.8
)


class InvalidSettingsError(FixConfigError):
    """Some settings are wrong; `problems` holds one line for each, every line naming setting, value and cure."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        several = len(self.problems) > 1
        text = "\n".join(f"  - {line}" for line in self.problems) if several else "".join(self.problems)
        super().__init__(f"{len(self.problems)} settings are wrong:\n{text}" if several else text)


@dataclass(frozen=True, slots=True)
class Interval:
    """Range of a finite number, written as in mathematics: ``Interval("(0, 100]")`` is above 0 up to and with 100."""

    text: str

    def __contains__(self, value: float) -> bool:
        low, high = (float(bound) for bound in self.text[1:-1].split(","))
        above = low < value if self.text[0] == "(" else low <= value
        return above and (value < high if self.text[-1] == ")" else value <= high)


def type_hints(cls: type[typing.Any]) -> dict[str, object]:
    """Return the annotations of the settings class `cls` by field name, intervals included."""
    return typing.get_type_hints(cls, include_extras=True)


def checked(value: object, hint: object) -> object:
    """Return `value` as the plain Python value that the annotation `hint` asks for (whole numbers become floats).

    Raises:
        ValueError: the value does not fit; the message continues a sentence that begins with the setting's name.
    """
    if typing.get_origin(hint) is typing.Annotated:
        inner, *notes = typing.get_args(hint)
        result = checked(value, inner)
        for note in notes:
            if isinstance(note, Interval) and isinstance(result, int | float) and result not in note:
                raise ValueError(f"must be in {note.text}, was {value!r}")
        return result
    if typing.get_origin(hint) is typing.Literal:
        for problem in choice_problems("", value, typing.get_args(hint)):
            raise ValueError(problem.strip())
        return value
    if hint in (int, float):
        return _checked_number(value, whole=hint is int)
    if hint == tuple[str, ...]:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ValueError(f'must be a list of texts such as ["a", "b"], was {value!r}')
    if hint == (str | tuple[str, ...]):
        if isinstance(value, str):
            return value
        try:
            return checked(value, tuple[str, ...])
        except ValueError:
            raise ValueError(f'must be a text in quotes, or a list of them such as ["a", "b"], was {value!r}') from None
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _checked_either(value, typing.get_args(hint))
    if isinstance(hint, type) and isinstance(value, hint):
        return value
    wanted = {bool: "true or false", str: "a text in quotes", type(None): "left out"}.get(
        typing.cast(type, hint), str(hint)
    )
    raise ValueError(f"must be {wanted}, was {value!r}")


def _checked_either(value: object, hints: Iterable[object]) -> object:
    """Return `value` as the first of `hints` that it fits; the message tells them all."""
    faults = []
    for hint in hints:
        try:
            return checked(value, hint)
        except ValueError as problem:
            faults.append(str(problem).rpartition(", was ")[0])
    raise ValueError(f"{', or '.join(faults)}, was {value!r}")


def _checked_number(value: object, *, whole: bool) -> int | float:
    # bool is an int in Python, but `max_positions = true` is a slip and not a one
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"must be a number, was {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"must be a finite number, was {value!r}")
    if not whole:
        return float(value)
    if not isinstance(value, numbers.Integral):
        raise ValueError(f"must be a whole number, was {value!r}")
    return int(value)


def problems(settings: object, *orders: str) -> dict[str, str]:
    """Check the fields of a settings dataclass and store their plain form; return problems by field name.

    `orders` are comparisons that must hold between two fields, such as ``"min_stop_pct <= max_stop_pct"``; one is
    looked at only if both fields are right on their own. Meant for ``__post_init__``, hence the write past
    the frozen door.
    """
    found: dict[str, str] = {}
    for name, hint in type_hints(type(settings)).items():
        try:
            object.__setattr__(settings, name, checked(getattr(settings, name), hint))
        except ValueError as problem:
            found[name] = f"{name} {problem}"
    broken = [line for order in orders if (line := _broken_order(settings, order, found))]
    return {**found, **{f"order {number}": line for number, line in enumerate(broken)}}


def _broken_order(settings: object, order: str, known: Mapping[str, str]) -> str:
    low, sign, high = order.split()
    if low in known or high in known:
        return ""
    left, right = getattr(settings, low), getattr(settings, high)
    if left < right or (sign == "<=" and left == right):
        return ""
    return f"{low} must be {'at most' if sign == '<=' else 'below'} {high}, was {left!r} against {right!r}"


def build(cls: type[S], table: Mapping[str, object], error: type[InvalidSettingsError], found: Iterable[str] = ()) -> S:
    """Return `cls` made of `table`, whose keys must all be its fields.

    Raises:
        InvalidSettingsError: as `error`, with the problems already `found`, the unknown keys and the wrong values.
    """
    hints = type_hints(cls)
    lines = [*found, *(f"{key} is no setting{did_you_mean(key, hints)}" for key in table if key not in hints)]
    try:
        made = cls(**{key: value for key, value in table.items() if key in hints})
    except InvalidSettingsError as wrong:
        raise error([*lines, *wrong.problems]) from None
    if lines:
        raise error(lines)
    return made


def choice_problems(name: str, value: object, choices: Iterable[str]) -> list[str]:
    """Return a problem if the setting `name` has a `value` that is none of `choices`, else nothing."""
    known = tuple(choices)
    if isinstance(value, str) and value in known:
        return []
    listed = ", ".join(repr(choice) for choice in known)
    return [f"{name} must be one of {listed}, was {value!r}{did_you_mean(value, known)}"]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for the nearest of `known`, or nothing if none is near."""
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(str(word).casefold(), list(names), n=1, cutoff=_CLOSE_ENOUGH)
    return f": did you mean {names[near[0]]!r}?" if near else ""


def fingerprint(values: Mapping[str, object]) -> str:
    """Return 16 hex digits of the SHA-256 of `values` as canonical JSON; key order does not matter."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
