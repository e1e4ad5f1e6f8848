"""Messages on a screen: wrapped at words, and never where there is none to wrap to."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TextIO

NARROWEST = 40
_BEGINS = re.compile(r"[ -]*(?:[\w ]{1,10}? {2,})?")  # blanks and dashes, then perhaps the name of a row


def wrapped(text: str, stream: TextIO) -> str:
    """Return `text` with each of its lines wrapped at words to the terminal that `stream` is; elsewhere as it stands.

    Lines that begin with spaces, or with a word and a gap, go on under what stands behind those. A word longer than
    the screen stays whole.
    """
    if not stream.isatty():
        return text
    width = max(shutil.get_terminal_size().columns, NARROWEST) - 1
    return "\n".join(_line(line, width) for line in text.splitlines())


def _line(line: str, width: int) -> str:
    begins = _BEGINS.match(line)
    hang = 0 if begins is None else begins.end()
    return textwrap.fill(line, width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False)
