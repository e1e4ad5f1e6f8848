"""Signs of life: what is waited for, and for how long already."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

FIRST_SECONDS = 2.0  # a shorter wait needs no word
AGAIN_SECONDS = 15.0


def tell(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - that is the point


@contextmanager
def waiting(
    words: str,
    *,
    shown: bool = True,
    in_pipes: bool = True,
    first: float = FIRST_SECONDS,
    teller: Callable[[str], object] = tell,
) -> Iterator[None]:
    """Show on standard error that `words` goes on, with its time: moving in a terminal, as lines elsewhere.

    Parameters
    ----------
    words
        What is waited for, e.g. ``"asking Yahoo for 119 tickers"``.
    shown
        False says nothing at all.
    in_pipes
        Also say it where no terminal listens.
    first
        Seconds before the first word.
    teller
        Takes the lines where no terminal listens.
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
    thread = threading.Thread(target=_tell_again, args=(words, ended, first, teller), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell_again(words: str, ended: threading.Event, first: float, teller: Callable[[str], object]) -> None:
    seconds, pause = 0.0, first
    while not ended.wait(pause):
        seconds, pause = seconds + pause, AGAIN_SECONDS
        teller(f"{words} ({seconds:.0f} s)")
