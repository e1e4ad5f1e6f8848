"""Warnings for people: a setting that is hardly meant is said in one line, once, and without a place in the source."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from trading_platform.core.errors import HardlyMeantWarning


@contextmanager
def plainly_warned(say: Callable[[str], None]) -> Iterator[None]:
    """Hand each text of a `HardlyMeantWarning` to `say` once; warnings for programmers are shown as ever."""
    shown, said = warnings.showwarning, set[str]()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, HardlyMeantWarning):
            shown(message, category, filename, lineno, file, line)
        elif (words := str(message)) not in said:
            said.add(words)
            sys.stdout.flush()  # both streams may be one screen
            say(words)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown
