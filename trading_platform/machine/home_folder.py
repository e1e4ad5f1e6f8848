"""Paths that begin with ``~``: the home folder of whoever runs this process, who need not have one."""

from __future__ import annotations

from pathlib import Path

from trading_platform.core.errors import FixConfigError


def expanded(path: str | Path) -> Path:
    """Return `path` with its ``~`` replaced.

    Raises
    ------
    FixConfigError
        There is no such home folder: an unknown user's, or of a scheduler's process without HOME.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FixConfigError(f"{path}: there is no home folder of that name here; write the whole path") from error
