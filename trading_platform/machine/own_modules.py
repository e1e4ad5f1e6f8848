"""Python files of the user's own, imported by path, and what installed packages offer by entry point.

What a file does at import is its author's: only files that are asked for by name, or listed, are ever imported.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from trading_platform.core.errors import FixConfigError, TradingPlatformError


def imported(path: Path, prefix: str) -> ModuleType:
    """Return the module of a Python file; `prefix` begins its name, so that it hides no other package.

    Raises
    ------
    FixConfigError
        The file cannot be imported: with its name, the error, and the line where it is known.
    """
    name = prefix + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FixConfigError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a stranger's file raises, it is that file's fault and named so
        del sys.modules[name]
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise FixConfigError(f"{path}: cannot be imported: {type(error).__name__}: {error}{line}") from error
    return module


def loaded(entry: EntryPoint, what: str) -> Any:
    """Return what an installed package offers as `entry`, a `what` (strategy, broker).

    Raises
    ------
    FixConfigError
        It cannot be loaded.
    """
    try:
        return entry.load()
    except Exception as error:
        raise FixConfigError(
            f"the {what} {entry.name} of {entry.value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def answer(place: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Return what a function of the user's own returns; `place` names it.

    Raises
    ------
    FixConfigError
        Whatever it raises.
    """
    try:
        return function(*arguments)
    except TradingPlatformError:
        raise
    except Exception as error:
        raise FixConfigError(f"{place}: {function.__name__}: {type(error).__name__}: {error}") from error
