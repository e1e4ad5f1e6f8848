"""What a search is asked: a TOML file of trials, objectives, periods, and the space of settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from trading_platform.configuration.toml_tables import read_toml
from trading_platform.core import validation
from trading_platform.core.validation import Interval, InvalidSettingsError

TABLES = ("strategies", "sizing", "risk", "exits", "allocator")
SAMPLERS = ("tpe", "random", "qmc", "nsga2")
PRUNERS = ("none", "median", "percentile", "successive_halving", "hyperband")
STORAGES = ("journal", "postgresql")
OBJECTIVES = ("sharpe", "calmar", "drawdown")
# Sessions between the last inner and the first outer one, so that no position of the one knows of the other.
GAP = 21
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,39}")

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Dimension:
    """One setting that is searched: a range, whole or not, on a log scale or in steps; or choices."""

    setting: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that are tried on the settings before anything begins."""
        if self.choices:
            return self.choices
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def position(self, value: Value) -> float:
        """Return where in the dimension a value lies, 0 to 1; a choice counts by its place."""
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        return (float(value) - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Outer:
    """An outer period, ends included: no trial sees a session of it."""

    start: date
    end: date

    @property
    def name(self) -> str:
        """How it is called in files and on the page."""
        return f"{self.start}..{self.end}"


@dataclass(frozen=True, slots=True)
class Asked:
    """The table [search]."""

    name: str = "search"
    trials: Annotated[int, Interval("[1, 100000]")] = 100
    sampler: str = "tpe"
    pruner: str = "none"
    storage: str = "journal"
    objectives: tuple[str, ...] = ("sharpe",)
    universes: Annotated[int, Interval("[1, 1000]")] = 4
    universe_size: Annotated[int, Interval("[5, 100000]")] = 40
    folds: Annotated[int, Interval("[2, 100]")] = 3
    batch: Annotated[int, Interval("[1, 1000]")] = 4
    seed: Annotated[int, Interval("[0, 4294967295]")] = 0
    start: str = ""

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        found = list(problems.values())
        for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS), ("storage", STORAGES)):
            if name not in problems:
                found += validation.choice_problems(name, getattr(self, name), known)
        for objective in self.objectives if "objectives" not in problems else ():
            found += validation.choice_problems("objectives", objective, OBJECTIVES)
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            found.append(f"objectives must name one or more, each once, was {list(self.objectives)}")
        if len(self.objectives) > 1 and self.pruner != "none":
            found.append(f'pruner must be "none" with several objectives, was {self.pruner!r}')
        if self.pruner != "none" and self.universes < 2:
            found.append("universes must be at least 2 for a pruner, which looks after each; was 1")
        if not _NAME.fullmatch(self.name):
            found.append(f"name must be letters, digits, dots, hyphens, underscores, at most 40, was {self.name!r}")
        if self.start:
            found += [f"start must be a day such as 2005-01-03, was {self.start!r}"] if _day(self.start) is None else []
        if found:
            raise InvalidSettingsError(found)


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A whole file: what is asked, the outer periods, and the space."""

    asked: Asked
    outer: tuple[Outer, ...]
    space: tuple[Dimension, ...]

    @property
    def start(self) -> date | None:
        """The first inner day; None = the data's."""
        return _day(self.asked.start) if self.asked.start else None


def read_plan(path: Path) -> SearchPlan:
    """Return the plan in a TOML file.

    Raises
    ------
    FixConfigError
        Everything that is wrong in it, at once; a file without an outer period above all.
    """
    document = read_toml(path)
    problems = [
        f"{name} is no table of a search{validation.did_you_mean(name, ('search', 'outer', 'space'))}"
        for name in document
        if name not in ("search", "outer", "space")
    ]
    asked, found = _asked(document.get("search", {}))
    problems += found
    outer, found = _outer(document.get("outer", []))
    problems += found
    space, found = _space(document.get("space", {}))
    problems += found
    if problems:
        raise InvalidSettingsError(f"{path}: {line}" for line in problems)
    return SearchPlan(asked, outer, space)


def _asked(table: object) -> tuple[Asked, list[str]]:
    if not isinstance(table, dict):
        return Asked(), ["search must be a table: write [search] on a line of its own"]
    try:
        return validation.build(Asked, table, InvalidSettingsError), []
    except InvalidSettingsError as error:
        return Asked(), [f"search.{line}" for line in error.problems]


def _outer(tables: object) -> tuple[tuple[Outer, ...], list[str]]:
    if not isinstance(tables, list) or not tables:
        return (), [
            "outer: a search needs years that it never sees, or its best trial is only the luckiest; add\n"
            "    [[outer]]\n    start = 2014-01-02\n    end = 2017-12-29"
        ]
    outer, problems = [], []
    for number, table in enumerate(tables, start=1):
        days = {name: _day(table.get(name)) for name in ("start", "end")} if isinstance(table, dict) else {}
        first, last = days.get("start"), days.get("end")
        if first is None or last is None or set(table) != {"start", "end"}:
            problems.append(f"outer {number} must have start and end, each a day such as 2014-01-02, was {table!r}")
        elif not first < last:
            problems.append(f"outer {number}: end {last} must lie after start {first}")
        else:
            outer.append(Outer(first, last))
    if len({period.name for period in outer}) < len(outer):
        problems.append("outer: a period stands there twice")
    return tuple(sorted(outer, key=lambda period: period.start)), problems


def _space(table: object) -> tuple[tuple[Dimension, ...], list[str]]:
    if not isinstance(table, dict) or not table:
        return (), ['space: name at least one setting, as in "exits.max_holding_sessions" = { low = 20, high = 120 }']
    dimensions, problems = [], []
    for setting, said in _flat(table):
        try:
            dimensions.append(_dimension(setting, said))
        except ValueError as problem:
            problems.append(f"space: {setting} {problem}")
    return tuple(dimensions), problems


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Return (dotted name, what is said of it); names may be quoted or be tables in tables."""
    found: list[tuple[str, Any]] = []
    for name, said in table.items():
        if isinstance(said, dict) and said and all(isinstance(below, dict) for below in said.values()):
            found += _flat(said, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", said))
    return found


def _dimension(setting: str, said: object) -> Dimension:
    """Return the dimension.

    Raises
    ------
    ValueError
        It is none; the message goes on behind the setting's name.
    """
    if setting.partition(".")[0] not in TABLES or "." not in setting:
        raise ValueError(f"may not be searched; what may is in {', '.join(TABLES)}")
    if not isinstance(said, dict):
        raise ValueError(f"must be {{ low = .., high = .. }} or {{ choices = [..] }}, was {said!r}")
    if unknown := set(said) - {"low", "high", "step", "log", "choices"}:
        raise ValueError(f"has no {sorted(unknown)[0]}; it may have low, high, step, log, or choices")
    if "choices" in said:
        choices = said["choices"]
        if len(said) > 1 or not isinstance(choices, list) or len(choices) < 2:
            raise ValueError("choices must be a list of two or more, and stand alone")
        if not all(isinstance(choice, bool | int | float | str) for choice in choices):
            raise ValueError(f"choices must be texts, numbers, true or false, were {choices}")
        return Dimension(setting, choices=tuple(choices))
    return _range(setting, said)


def _range(setting: str, said: Mapping[str, Any]) -> Dimension:
    low, high, step, log = said.get("low"), said.get("high"), said.get("step"), said.get("log", False)
    numbers = [value for value in (low, high, step) if value is not None]
    if low is None or high is None or not all(type(value) in (int, float) for value in numbers):
        raise ValueError(f"needs the numbers low and high, was {dict(said)}")
    if not low < high:
        raise ValueError(f"low must be below high, was {low} against {high}")
    if not isinstance(log, bool) or (log and (step is not None or not low > 0)):
        raise ValueError("log must be true or false; with true, low must be above 0 and there is no step")
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"step must be above 0 and at most high - low, was {step}")
    whole = all(type(value) is int for value in numbers)
    return Dimension(setting, float(low), float(high), None if step is None else float(step), log, whole)


def _day(said: object) -> date | None:
    if isinstance(said, date):
        return date(said.year, said.month, said.day)
    try:
        return date.fromisoformat(str(said))
    except ValueError:
        return None


def named(dimensions: Sequence[Dimension], values: Mapping[str, Value]) -> dict[str, Value]:
    """Return `values` in the order of the space."""
    return {dimension.setting: values[dimension.setting] for dimension in dimensions}
