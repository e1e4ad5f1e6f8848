"""Strategies in files of one's own: found in a folder beside trading.toml, or brought by an installed package.

A file holds one or more classes with a `lookback` and a method `signals` or `targets` (see `strategies.base`); a class
is known by the default of its field `name`. Only files whose strategies are asked for by name, or listed, are ever
imported, and nothing is imported where the folder is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from inspect import isclass
from pathlib import Path
from typing import Any

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.own_modules import imported, loaded

GROUP = "trading_platform.strategies"  # of entry points: name -> class
SAID = ("signals", "targets")
NO_STRATEGIES = ("_", ".", "test_", "conftest.")
PREFIX = "own_strategies_"  # of the modules' names, so that none hides another package


def strategy_files(folder: Path) -> list[Path]:
    """Return the Python files of `folder` that may hold strategies: neither tests nor hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith(NO_STRATEGIES))


def classes_in(path: Path) -> list[type[Any]]:
    """Return the strategy classes that a Python file defines, in its order; `digest` of each is of the file's text.

    Raises
    ------
    FixConfigError
        The file cannot be imported, or defines no strategy.
    """
    module = imported(path, PREFIX)
    own = [value for value in vars(module).values() if isclass(value) and value.__module__ == module.__name__]
    found: list[type[Any]] = [c for c in own if hasattr(c, "lookback") and any(hasattr(c, name) for name in SAID)]
    if not found:
        raise FixConfigError(f"{path}: no class with a lookback and a method signals(panel) or targets(panel)")
    for each in found:
        each.digest = hashlib.sha256(path.read_bytes()).hexdigest()  # another text is another run
    return found


def own_strategies(folder: Path, taken: Iterable[str] = ()) -> dict[str, type[Any]]:
    """Return the strategy classes of `folder` and of installed packages, by name.

    Parameters
    ----------
    folder
        Where the files are; it need not exist.
    taken
        Names that built-in strategies have.

    Raises
    ------
    FixConfigError
        A file cannot be used, a class has no name of its own, or a name is taken twice.
    """
    found: dict[str, type[Any]] = {}
    whence = dict.fromkeys(taken, "this program")
    for place, each in (*_of_folder(folder), *_of_packages()):
        name = name_of(each, place)
        if name in whence:
            raise FixConfigError(f"{place}: the strategy name {name!r} is taken by {whence[name]}; give it another")
        found[name], whence[name] = each, place
    return found


def name_of(strategy: type[Any], place: str) -> str:
    """Return the name of a strategy class: the default of its field `name`.

    Raises
    ------
    FixConfigError
        It has none, or one that a settings file could not hold.
    """
    fields: Mapping[str, Any] = getattr(strategy, "__dataclass_fields__", {})
    name = fields["name"].default if "name" in fields else getattr(strategy, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise FixConfigError(
            f"{place}: {strategy.__name__} needs a name of letters, digits and _: "
            'write the field  name: str = "my_strategy"'
        )
    return name


def is_own(strategy: object) -> bool:
    """Return whether a strategy is not one of this program's."""
    return not type(strategy).__module__.startswith("trading_platform.")


def _of_folder(folder: Path) -> list[tuple[str, type[Any]]]:
    return [(str(path), each) for path in strategy_files(folder) for each in classes_in(path)]


def _of_packages() -> list[tuple[str, type[Any]]]:
    return [(f"the package of {entry.value}", loaded(entry, "strategy")) for entry in entry_points(group=GROUP)]
