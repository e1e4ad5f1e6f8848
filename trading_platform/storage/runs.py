"""Runs: which account is this, has it been here before, and is anybody else trading it right now."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, insert, select, update

from trading_platform.core.errors import OperatorNeededError
from trading_platform.storage import models as m
from trading_platform.storage.repository import create_run, find_runs

# An engine that has not said anything for so long is dead; a live one beats at every scan and at least every minute.
HEARTBEAT_EXPIRES = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run to trade. `continued` is True when it was begun before and has not finished."""

    run_id: int
    continued: bool


def open_run(engine: Engine, key: str, values: Mapping[str, Any], warnings: Sequence[str]) -> OpenedRun:
    """Return the unfinished run with `key`, or a new one made of `values`."""
    for run in find_runs(engine, key):
        if run["status"] != "finished":
            return OpenedRun(int(run["id"]), continued=True)
    return OpenedRun(create_run(engine, {**values, "key": key, "status": "running"}, warnings), continued=False)


class RunLock:
    """Keeps a second engine off a run, by a heartbeat row that names its owner.

    Raises
    ------
    OperatorNeededError
        From `acquire` and `beat`, when another living engine holds the run.
    """

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id
        self._owner = uuid4().hex
        self._host = socket.gethostname()[:64]

    def acquire(self, now: datetime) -> None:
        """Take the run."""
        with self._engine.begin() as connection:
            row = connection.execute(select(m.Heartbeat.__table__).where(m.Heartbeat.run_id == self._run_id)).first()
            if row is not None and self._is_alive(dict(row._mapping), now):
                holder = row._mapping
                raise OperatorNeededError(
                    f"run {self._run_id} is traded by process {holder['pid']} on {holder['host']}, "
                    f"last seen {holder['at']:%Y-%m-%d %H:%M:%S} UTC; stop it first, two engines would double orders"
                )
            self._write(connection, now, "started")

    def beat(self, now: datetime, note: str) -> None:
        """Say that this engine lives."""
        with self._engine.begin() as connection:
            done = connection.execute(
                update(m.Heartbeat)
                .where(m.Heartbeat.run_id == self._run_id, m.Heartbeat.owner == self._owner)
                .values(at=now, note=note)
            )
            if done.rowcount != 1:
                raise OperatorNeededError(f"run {self._run_id} was taken over by another engine; this one stops")

    def release(self) -> None:
        """Give the run back."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(m.Heartbeat).where(m.Heartbeat.run_id == self._run_id, m.Heartbeat.owner == self._owner)
            )

    def _write(self, connection: Connection, now: datetime, note: str) -> None:
        connection.execute(delete(m.Heartbeat).where(m.Heartbeat.run_id == self._run_id))
        connection.execute(
            insert(m.Heartbeat).values(
                run_id=self._run_id, at=now, pid=os.getpid(), host=self._host, owner=self._owner, note=note
            )
        )

    def _is_alive(self, holder: Mapping[str, Any], now: datetime) -> bool:
        if holder["host"] == self._host:
            return _process_lives(int(holder["pid"]))
        return bool(now - holder["at"] < HEARTBEAT_EXPIRES)


def _process_lives(pid: int) -> bool:
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
