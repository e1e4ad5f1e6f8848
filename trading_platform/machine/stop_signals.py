"""SIGINT and SIGTERM as a wish to stop: the first ends the work in hand well, the second ends it now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from trading_platform.core.errors import TradingPlatformError

INTERRUPTED = 130  # as a shell has it: 128 + SIGINT
NUMBERS = (signal.SIGINT, signal.SIGTERM)  # Windows knows both, and sends itself the first
STOPPING = "stopping after this look; again: now"


class StoppedNowError(TradingPlatformError):
    """Work was ended by a signal; the message says what that leaves behind."""

    exit_code = INTERRUPTED


def silent_until_started() -> None:
    """Let Ctrl-C end this process at once and without a word while its modules are imported; see `started`.

    Where nobody listens to it, as in a shell's background, it stays unheard.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def started() -> None:
    """Let Ctrl-C be KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_signals(stop: Callable[[], None], words: str = STOPPING) -> Iterator[None]:
    """Call `stop` on the first SIGINT or SIGTERM, saying `words`; the second raises KeyboardInterrupt wherever we are.

    Being killed is survived anywhere, so that being interrupted is, too: what was committed stands.
    """
    heard = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            raise KeyboardInterrupt
        _tell(words)
        stop()

    with _handlers(hear):
        yield


@contextmanager
def stop_at_start() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM: there is nothing in hand yet that could be lost.

    A shell that starts a program in the background has SIGINT ignored; a process that is number 1 of a container has
    SIGTERM ignored unless it listens. Both are heard here.
    """

    def hear(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handlers(hear):
        yield


@contextmanager
def _handlers(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may listen; a program that runs an engine in another has its own way to stop it
        return
    before = {number: signal.signal(number, hear) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(words: str) -> None:
    """Write a line to standard error as a signal handler may: past the buffers, which it may have interrupted."""
    with suppress(OSError):
        os.write(2, f"{words}\n".encode())
