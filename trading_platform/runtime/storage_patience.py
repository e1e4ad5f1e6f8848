"""A live engine outlasts its storage's troubles: it tells, waits until the database can be used, and starts over.

Positions are protected meanwhile by the stops that rest at the broker; one whose stop ends gets another (`protect`).
Else nothing is decided or sent without a database to write it down first. Starting over is the way that every start
goes, the one that is proven by killing the engine.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from trading_platform.core.errors import RepairDatabaseError, TradingPlatformError
from trading_platform.machine.clocks import steady_seconds
from trading_platform.machine.stop_signals import StoppedNowError, stop_signals
from trading_platform.storage.database import database_name, database_url, migrate, open_database
from trading_platform.storage.sqlite import StorageTroubleError, check_identity, check_writable, identity

log = logging.getLogger("trading_platform.runtime.storage_patience")

TRY_EVERY_SECONDS = 10.0
TELL_EVERY_SECONDS = 300.0
LOST_AFTER_SECONDS = 600.0  # a file that is gone or another one for so long does not come back by itself
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT})


def outlast(
    life: Callable[[], int],
    database: Path | str,
    tell: Callable[[str], None],
    *,
    protect: Callable[[], None] = lambda: None,
    steady: Callable[[], float] = steady_seconds,
    wake: threading.Event | None = None,
) -> int:
    """Live `life` until it ends by itself; return its exit code.

    Parameters
    ----------
    life
        Opens the database and trades; returns an exit code.
    database
        The file, or a server's URL.
    tell
        Takes a line for the operator.
    protect
        Keeps stops meanwhile; what it cannot do is tried again.
    steady, wake
        The clock of the waiting, and what ends it: for tests.

    Raises
    ------
    RepairDatabaseError
        Only a human can help: the database is damaged, of another version, or was not there for ten minutes.
    StoppedNowError
        Stopped while waiting.
    """
    place = FilePlace(database, identity(database)) if isinstance(database, Path) else ServerPlace(database)
    wake = wake or threading.Event()
    while True:
        try:
            place.prepare()
            return life()
        except (StorageTroubleError, OSError) as error:
            trouble = _trouble(error)
            if not place.is_known:
                raise trouble from error  # it was never there: whoever starts it is at hand
        tell(f"{trouble}. The engine waits; what rests at the broker stays there")
        _wait(place, tell, steady, wake, protect)
        tell(f"{place.name} can be used again: starting over from what it holds")


class DatabasePlace(Protocol):
    """Where a database is, and whether it can be used there now."""

    @property
    def name(self) -> str:
        """What people call it, without its password."""
        ...

    @property
    def is_known(self) -> bool:
        """True once it was there."""
        ...

    def prepare(self) -> None:
        """Make or migrate the database."""
        ...

    def find(self) -> None:
        """Raise StorageTroubleError where it is gone in a way that may not pass by itself."""
        ...

    def check(self) -> None:
        """Raise StorageTroubleError where it cannot be written now."""
        ...


@dataclass(slots=True)
class FilePlace:
    """A file of SQLite; `known` tells it from any other file that may stand in its place."""

    path: Path
    known: tuple[int, int] | None

    @property
    def name(self) -> str:
        """The database by its path."""
        return f"database {self.path}"

    @property
    def is_known(self) -> bool:
        """True if the file was there."""
        return self.known is not None

    def prepare(self) -> None:
        """Make or migrate it, if it is the one that is known."""
        self.find()
        _migrated(self.path)
        self.known = self.known or identity(self.path)

    def find(self) -> None:
        """Look that the very file is in its place."""
        if self.known is not None:
            check_identity(self.path, self.known)

    def check(self) -> None:
        """Look that it can be written."""
        check_writable(self.path)


@dataclass(slots=True)
class ServerPlace:
    """A database on a server, which comes back by itself or by whoever keeps it, however long that takes."""

    url: str
    is_known: bool = False

    @property
    def name(self) -> str:
        """The database by its URL without the password."""
        return database_name(database_url(self.url))

    def prepare(self) -> None:
        """Make or migrate its tables."""
        _migrated(self.url)
        self.is_known = True

    def find(self) -> None:
        """Nothing of a server is gone for good."""

    def check(self) -> None:
        """Look that it can be written."""
        from trading_platform.storage.postgresql import check_server

        engine = open_database(self.url)
        try:
            check_server(engine)
        finally:
            engine.dispose()


def _migrated(database: Path | str) -> None:
    engine = open_database(database)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def _wait(
    place: DatabasePlace,
    tell: Callable[[str], None],
    steady: Callable[[], float],
    wake: threading.Event,
    protect: Callable[[], None],
) -> None:
    """Return once the very file can be written again."""
    begun = told = steady()
    with stop_signals(wake.set, "stopping; again: now"):
        while not wake.wait(TRY_EVERY_SECONDS):
            try:
                place.find()
            except StorageTroubleError as error:
                if steady() - begun >= LOST_AFTER_SECONDS:
                    raise RepairDatabaseError(str(error)) from error
                problem = error
            else:
                try:
                    place.check()
                    return
                except StorageTroubleError as error:
                    problem = error
            try:
                protect()
            except TradingPlatformError as error:
                log.warning("stops cannot be looked after: %s", error)
            if steady() - told >= TELL_EVERY_SECONDS:
                told = steady()
                tell(f"still waiting for {(told - begun) / 60.0:.0f} minutes: {problem}")
    _stopped(place.name)


def _trouble(error: StorageTroubleError | OSError) -> StorageTroubleError:
    """Return what is wrong with the storage; an error of anything else goes on its way."""
    if isinstance(error, StorageTroubleError):
        return error
    if error.errno not in DISK_ERRORS:
        raise error
    return StorageTroubleError(f"{error.filename or 'the disk'}: {error.strerror}")


def _stopped(name: str) -> NoReturn:
    raise StoppedNowError(
        f"Stopped while {name} could not be used. What rests at the broker stays there; nobody watches it "
        "until the engine is started again."
    )
