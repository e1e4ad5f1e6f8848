"""Messages on a screen: wrapped at words, and never where there is none to wrap to."""

from __future__ import annotations

import shutil
import textwrap
from typing import TextIO

NARROWEST = 40


def wrapped(text: str, stream: TextIO) -> str:
    """Return `text` with each of its lines wrapped at words to the terminal that `stream` is; elsewhere as it stands.

    Lines that begin with spaces go on under their own beginning. A word longer than the screen stays whole.
    """
    if not stream.isatty():
        return text
    width = max(shutil.get_terminal_size().columns, NARROWEST) - 1
    return "\n".join(_line(line, width) for line in text.splitlines())


def _line(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip(" -"))]
    return textwrap.fill(
        line, width, subsequent_indent=" " * len(indent), break_long_words=False, break_on_hyphens=False
    )
