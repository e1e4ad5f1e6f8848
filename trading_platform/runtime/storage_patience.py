"""A live engine outlasts its storage's troubles: it tells, waits until the database can be used, and starts over.

Positions are protected meanwhile by the stops that rest at the broker. Nothing is decided or sent without a database to
write it down first. Starting over is the way that every start goes, the one that is proven by killing the engine.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from trading_platform.core.errors import RepairDatabaseError
from trading_platform.machine.clocks import steady_seconds
from trading_platform.machine.stop_signals import StoppedNowError, stop_signals
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.sqlite import StorageTroubleError, check_identity, check_writable, identity

TRY_EVERY_SECONDS = 10.0
TELL_EVERY_SECONDS = 300.0
LOST_AFTER_SECONDS = 600.0  # a file that is gone or another one for so long does not come back by itself
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT})


def outlast(
    life: Callable[[], int],
    database: Path | None,
    tell: Callable[[str], None],
    *,
    steady: Callable[[], float] = steady_seconds,
    wake: threading.Event | None = None,
) -> int:
    """Live `life` until it ends by itself; return its exit code.

    Parameters
    ----------
    life
        Opens the database and trades; returns an exit code.
    database
        The file, None for a server (whose troubles end the life, and the service starts it again).
    tell
        Takes a line for the operator.
    steady, wake
        The clock of the waiting, and what ends it: for tests.

    Raises
    ------
    RepairDatabaseError
        Only a human can help: the database is damaged, of another version, or was not there for ten minutes.
    StoppedNowError
        Stopped while waiting.
    """
    known = None if database is None else identity(database)
    wake = wake or threading.Event()
    while True:
        try:
            if database is not None:
                known = _prepared(database, known)
            return life()
        except (StorageTroubleError, OSError) as error:
            trouble = _trouble(error)
            if database is None or known is None:
                raise trouble from error  # it was never there: whoever starts it is at hand
        tell(f"{trouble}. The engine waits; what rests at the broker stays there")
        _wait(database, known, tell, steady, wake)
        tell(f"database {database} can be used again: starting over from what it holds")


def _prepared(database: Path, known: tuple[int, int] | None) -> tuple[int, int] | None:
    """Make or migrate the database, if it is the one `known`; return which file it is."""
    if known is not None:
        check_identity(database, known)
    engine = open_database(database)
    try:
        migrate(engine)
    finally:
        engine.dispose()
    return known or identity(database)


def _wait(
    database: Path,
    known: tuple[int, int],
    tell: Callable[[str], None],
    steady: Callable[[], float],
    wake: threading.Event,
) -> None:
    """Return once the very file can be written again."""
    begun = told = steady()
    with stop_signals(wake.set, "stopping; again: now"):
        while not wake.wait(TRY_EVERY_SECONDS):
            try:
                check_identity(database, known)
            except StorageTroubleError as error:
                if steady() - begun >= LOST_AFTER_SECONDS:
                    raise RepairDatabaseError(str(error)) from error
                problem = error
            else:
                try:
                    check_writable(database)
                    return
                except StorageTroubleError as error:
                    problem = error
            if steady() - told >= TELL_EVERY_SECONDS:
                told = steady()
                tell(f"still waiting for {(told - begun) / 60.0:.0f} minutes: {problem}")
    _stopped(database)


def _trouble(error: StorageTroubleError | OSError) -> StorageTroubleError:
    """Return what is wrong with the storage; an error of anything else goes on its way."""
    if isinstance(error, StorageTroubleError):
        return error
    if error.errno not in DISK_ERRORS:
        raise error
    return StorageTroubleError(f"{error.filename or 'the disk'}: {error.strerror}")


def _stopped(database: Path) -> NoReturn:
    raise StoppedNowError(
        f"Stopped while database {database} could not be used. What rests at the broker stays there; nobody watches it "
        "until the engine is started again."
    )
