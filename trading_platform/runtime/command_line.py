"""The engine's command line. What a command does is imported when it is needed.

``--help`` and mistakes in options answer before the compiler, pandas or a broker's client is imported. Each handler
reads the options of its command and returns the work; an option that was given and that it did not read is a fault of
the program, found before anything is done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.machine.packages import check_at_start
from trading_platform.machine.plain_warnings import plainly_warned
from trading_platform.machine.standard_streams import (
    give_up_output,
    is_of_output,
    open_closed_streams,
    unwritten,
    write_out,
)
from trading_platform.machine.stop_signals import INTERRUPTED, StoppedNowError, stop_at_start
from trading_platform.runtime.command_handlers import HANDLERS
from trading_platform.runtime.command_help import help_text
from trading_platform.runtime.command_parser import Given, Work, parse


def main() -> NoReturn:
    """Run the process's own command line and raise SystemExit with its exit code."""
    check_at_start()
    open_closed_streams()
    try:
        code = run()
        write_out()
    except BrokenPipeError:  # the reader has left
        give_up_output()
        code = 1
    except FixConfigError as error:
        complain(str(error))
        code = error.exit_code
    if code == INTERRUPTED:  # a download in another thread would keep the process until its network gives up
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def run(words: Sequence[str] | None = None) -> int:
    """Run the command that `words` (default: the process's own) name, and return the exit code.

    Raises
    ------
    FixConfigError
        What it prints cannot be written.
    """
    try:
        with stop_at_start(), plainly_warned(partial(complain, lead="note: ")):
            said = list(sys.argv[1:] if words is None else words)
            if said[:1] == ["data"]:  # has a command line of its own: it needs no account
                from trading_platform.operations.data_commands import data_main

                return data_main(said[1:])
            if "--version" in said:
                print(version_text())  # noqa: T201 - the command's answer
                return 0
            given = parse(said)
            if given.wants_help:
                print(help_text(given.command))  # noqa: T201 - the command's answer
                return 0
            return bound(given)()
    except StoppedNowError as stop:
        complain(str(stop), "")
        return INTERRUPTED
    except TradingPlatformError as error:
        complain(str(error))
        return error.exit_code
    except OSError as error:
        if not is_of_output(error):
            raise
        give_up_output()
        raise unwritten(error) from error
    except KeyboardInterrupt:
        complain("Stopped before anything was done; nothing has changed, the same command starts again.", "")
        return INTERRUPTED


def version_text() -> str:
    """Return which program this is: its version, that of its database, and of its Python."""
    from trading_platform import __version__
    from trading_platform.storage.schema import HEAD

    return f"trading-platform {__version__} (database {HEAD}, Python {sys.version.split()[0]})"


def bound(given: Given) -> Work:
    """Return the work of a command, with its options in it.

    Raises
    ------
    FixConfigError
        An option has a value that the command cannot use.
    """
    work = HANDLERS[given.command.words](given)
    if left := given.unread():
        raise AssertionError(f"{given.command.words!r} does nothing with {', '.join(left)}: a fault of the program")
    return work


def complain(text: str, lead: str = "error: ") -> None:
    """Print a message on standard error, its paragraphs wrapped at words where a terminal is narrow."""
    from trading_platform.reporting.wrapping import wrapped

    print(wrapped(f"{lead}{text}", sys.stderr), file=sys.stderr)  # noqa: T201 - the one place where a failure is said
