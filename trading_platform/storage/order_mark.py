"""The newest order that a database wrote down, remembered in a file beside it: a copy put back by hand lacks it.

`restore` leaves word in the copy; `cp` leaves none. Without this file such a copy would take what its own engine had
sent since for the orders of another engine, and the shares of it for the owner's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from trading_platform.storage.run_locks import file_of

LONGEST = 256  # bytes; a client order id has 128 at most


class OrderMark:
    """The mark of one run; on a database server there is none.

    It is written after the order is in the database and before the order is sent, so that it is never ahead of a
    database that nobody has exchanged.
    """

    def __init__(self, engine: Engine, run_id: int) -> None:
        file = file_of(engine)
        self._path = None if file is None else file.with_name(f"{file.name}-run{run_id}.newest")

    @property
    def is_kept(self) -> bool:
        """True for a database file."""
        return self._path is not None

    def put(self, client_order_id: str) -> None:
        """Remember an order. A disk that cannot be written is told of by the database; an old mark accuses nobody."""
        if self._path is None:
            return
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.partial")
        with suppress(OSError):
            partial.write_text(client_order_id, encoding="utf-8")
            partial.chmod(0o600)
            partial.replace(self._path)

    def read(self) -> str | None:
        """Return the client id of the newest order, None where no mark can be read."""
        if self._path is None:
            return None
        try:
            with self._path.open("rb") as file:
                return file.read(LONGEST).decode("utf-8", errors="replace").strip() or None
        except OSError:
            return None

    def forget(self) -> None:
        """Take the mark away: the account begins anew."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def forget_marks(database: Path) -> None:
    """Take away the marks of all runs beside a database that is about to be another one."""
    for path in _marks(database):
        with suppress(OSError):
            path.unlink()


def _marks(database: Path) -> Iterator[Path]:
    yield from database.parent.glob(f"{database.name}-run*.newest")
