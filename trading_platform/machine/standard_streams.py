"""Standard input and output as schedulers leave them: closed, without a reader, or on a full disk."""

from __future__ import annotations

import errno
import os
import sys

from trading_platform.core.errors import FixConfigError

FULL = ("ENOSPC", "EDQUOT", "EIO")  # by name: Windows has not all of them


def open_closed_streams() -> None:
    """Open those that whoever started this process has closed (cron, ``>&-``): then nobody reads or types."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115, PTH123


def write_out(text: str | None = None) -> None:
    """Print `text`, if there is any, and write out all that waits for standard output.

    Raises
    ------
    BrokenPipeError
        The reader has left.
    FixConfigError
        It cannot be written: the disk is full.
    """
    try:
        if text is not None:
            print(text)  # noqa: T201 - a command's answer
        sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        give_up_output()
        raise unwritten(error) from error


def unwritten(error: OSError) -> FixConfigError:
    """Return what is said of output that was lost."""
    return FixConfigError(f"the output could not be written: {error.strerror or error}; send it elsewhere")


def is_of_output(error: OSError) -> bool:
    """Return whether an error is that of a stream and not of a file: a full disk under ``> file``."""
    return error.filename is None and errno.errorcode.get(error.errno or 0) in FULL


def give_up_output() -> None:
    """Let what still waits for standard output go nowhere: no second complaint when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
