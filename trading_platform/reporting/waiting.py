"""Signs of life: what is waited for, and for how long already."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

FIRST_SECONDS = 2.0  # a shorter wait needs no word
AGAIN_SECONDS = 15.0


@contextmanager
def waiting(words: str, *, shown: bool = True, in_pipes: bool = True) -> Iterator[None]:
    """Show on standard error that `words` goes on, with its time: moving in a terminal, as lines elsewhere.

    Parameters
    ----------
    words
        What is waited for, e.g. ``"asking Yahoo for 119 tickers"``.
    shown
        False says nothing at all.
    in_pipes
        Also say it where no terminal listens.
    """
    console = Console(stderr=True, highlight=False)
    if not shown or not (console.is_terminal or in_pipes):
        yield
        return
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(words, total=None)
            yield
        return
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(words, ended), daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def _tell(words: str, ended: threading.Event) -> None:
    seconds = FIRST_SECONDS
    if ended.wait(FIRST_SECONDS):
        return
    while True:
        print(f"{words} ({seconds:.0f} s)", file=sys.stderr, flush=True)  # noqa: T201 - that is the point
        if ended.wait(AGAIN_SECONDS):
            return
        seconds += AGAIN_SECONDS
