"""SIGINT and SIGTERM as a wish to stop: the first ends the work in hand well, the second ends it now."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from trading_platform.core.errors import TradingPlatformError

INTERRUPTED = 130  # as a shell has it: 128 + SIGINT
NUMBERS = (signal.SIGINT, signal.SIGTERM)  # Windows knows both, and sends itself the first
STOPPING = "stopping after this look; again: now"
DEAF_SECONDS = 0.5  # that Python may not hear a signal: compiling one large function took it 7 seconds
END = b"\0"  # no signal's number


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
def stop_always_heard(words: Callable[[], str], patience: float = DEAF_SECONDS) -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT; where Python is deaf to it for `patience` seconds, end the process instead.

    Python hears a signal between two of its own steps, and to compile one large function is a single step. A thread
    hears it at once; if Python has not by then, the thread writes `words` to standard error and ends the process with
    `INTERRUPTED`. For work that being killed does not harm. An error of work that was stopped is that stop.

    Nothing is done where nobody listens to SIGINT, or from another thread than the main one.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard = threading.Event()
    was_heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal was_heard
        was_heard = True
        heard.set()
        raise KeyboardInterrupt

    ears, mouth = socket.socketpair()
    mouth.setblocking(False)
    watcher = threading.Thread(target=_end_if_deaf, args=(ears, heard, words, patience), daemon=True)
    watcher.start()
    signal.signal(signal.SIGINT, hear)
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    try:
        yield
    except Exception as error:
        if was_heard:  # what it met on its way out: modules written in C make an ImportError of it, numba other errors
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        mouth.send(END)
        watcher.join()
        ears.close()
        mouth.close()


def leave(code: int) -> NoReturn:
    """End this process with `code`, and where it was stopped at once: to tidy up what was compiled takes seconds.

    Raises
    ------
    SystemExit
        With `code`, where the process was not stopped.
    """
    if code == INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    raise SystemExit(code)


def _end_if_deaf(ears: socket.socket, heard: threading.Event, words: Callable[[], str], patience: float) -> None:
    while (number := ears.recv(1)) not in (END, b""):
        if number != bytes([signal.SIGINT]):
            continue
        if not heard.wait(patience):
            _show_cursor()
            _tell(words())
            os._exit(INTERRUPTED)
        heard.clear()


def _show_cursor() -> None:
    """Leave a progress bar's line, and show the cursor that it hides."""
    with suppress(OSError):
        if os.isatty(1):
            os.write(1, b"\n\x1b[?25h")


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
