"""Runs: which account is this, has it been here before, and is anybody else trading it right now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from trading_platform.core.errors import OperatorNeededError, TradingPlatformError
from trading_platform.machine.process_identity import (
    ProcessIdentity,
    boot_id,
    lives,
    process_namespace,
    this_process,
)
from trading_platform.storage import models as m
from trading_platform.storage.leases import Lease, LeaseRow, find_lease, find_leases, is_ours, lock_lease
from trading_platform.storage.repository import create_run, find_runs
from trading_platform.storage.run_locks import KernelLock, file_of, is_held, lock_path


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run to trade. `continued` is True when it was begun before and has not finished."""

    run_id: int
    continued: bool


def open_run(
    engine: Engine, key: str, values: Mapping[str, Any], warnings: Sequence[str], name: str | None = None
) -> OpenedRun:
    """Return the unfinished run with `key`, or a new one made of `values`; `name` is what its account is called now."""
    with _alone(engine, key):
        for run in find_runs(engine, key):
            if run["status"] != "finished":
                _call(engine, int(run["id"]), run["name"], name)
                return OpenedRun(int(run["id"]), continued=True)
        new = {**values, "key": key, "status": "running", "name": name}
        return OpenedRun(create_run(engine, new, warnings), continued=False)


@contextmanager
def _alone(engine: Engine, key: str) -> Iterator[None]:
    """Keep other engines from opening the run with `key` meanwhile: of two that start at once one would make another.

    Only on a server; the transaction that holds the lock writes nothing and ends with the block.
    """
    if file_of(engine) is not None:
        yield
        return
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
        yield


def begun_with(engine: Engine, key: str) -> tuple[str, ...]:
    """Return the strategies of the unfinished run with `key`, in kernel order; none if there is no such run."""
    for run in find_runs(engine, key):
        if run["status"] != "finished":
            return tuple(json.loads(run["strategies"]))
    return ()


def begun_capital(engine: Engine, key: str) -> float | None:
    """Return the dollars with which the unfinished run with `key` began, None if there is no such run."""
    return next((float(run["capital"]) for run in find_runs(engine, key) if run["status"] != "finished"), None)


def renumber(engine: Engine, run_id: int, strategies: Sequence[str]) -> None:
    """Write down which strategies a run trades from now on, in kernel order."""
    with engine.begin() as connection:
        connection.execute(update(m.Run).where(m.Run.id == run_id).values(strategies=json.dumps(list(strategies))))


def run_of(engine: Engine, key: str) -> int | None:
    """Return the unfinished run with `key`, None if there is none."""
    return next((int(run["id"]) for run in find_runs(engine, key) if run["status"] != "finished"), None)


def saved_slots(engine: Engine, run_id: int) -> str | None:
    """Return the slots of a run's book as they were last saved, or None."""
    with engine.connect() as connection:
        return connection.execute(select(m.PaperBook.slots).where(m.PaperBook.run_id == run_id)).scalar()


def _call(engine: Engine, run_id: int, known: str | None, name: str | None) -> None:
    if name == known:
        return
    with engine.begin() as connection:
        connection.execute(update(m.Run).where(m.Run.id == run_id).values(name=name))


class RunLock:
    """Keeps a second engine off a run.

    A database file is held by a lock of the operating system, which ends with the process (`run_locks`). On a database
    server it is a lease (`leases`), which every later transaction of `engine` proves. The heartbeat row beside either
    tells people who it is; it names the process, the start of its machine and when it began, so that the lease of one
    that is known to be dead need not be waited for.

    Raises
    ------
    OperatorNeededError
        From `acquire` and `beat`, when another living engine holds the run.
    """

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id
        self._owner = f"{uuid4().hex}@{process_namespace()}"
        self._identity = this_process()
        file = file_of(engine)
        self._kernel = None if file is None else KernelLock(lock_path(file, run_id))
        self._lease = Lease(engine, run_id, self._owner) if file is None else None

    def acquire(self, now: datetime) -> None:
        """Take the run."""
        if self._kernel is not None and not self._kernel.acquire():
            raise self._held(self._holder())
        try:
            with self._engine.begin() as connection:
                holder = _row(connection, self._run_id)
                if self._lease is not None:
                    found = lock_lease(connection, self._run_id)
                    if found.runs and not _is_dead(found, holder):
                        raise self._held(holder)
                    self._lease.take(connection, found)
                self._write(connection, now, "started")
            if self._lease is not None:
                self._lease.guard()
        except BaseException:
            if self._kernel is not None:
                self._kernel.release()
            raise

    def beat(self, now: datetime, note: str) -> None:
        """Say that this engine lives."""
        with self._engine.begin() as connection:
            if self._lease is not None:
                self._lease.renew(connection)
            done = connection.execute(
                update(m.Heartbeat)
                .where(m.Heartbeat.run_id == self._run_id, m.Heartbeat.owner == self._owner)
                .values(at=now, note=note)
            )
            if done.rowcount != 1:
                raise OperatorNeededError(f"run {self._run_id} was taken over by another engine; this one stops")

    def release(self) -> None:
        """Give the run back; a database that cannot be written any more keeps nobody from leaving."""
        try:
            with suppress(DBAPIError, TradingPlatformError), self._engine.begin() as connection:
                connection.execute(
                    delete(m.Heartbeat).where(m.Heartbeat.run_id == self._run_id, m.Heartbeat.owner == self._owner)
                )
                if self._lease is not None:
                    self._lease.give_back(connection)
        finally:
            if self._lease is not None:
                self._lease.let_go()
            if self._kernel is not None:
                self._kernel.release()

    def _holder(self) -> Mapping[str, Any] | None:
        with self._engine.connect() as connection:
            return _row(connection, self._run_id)

    def _held(self, holder: Mapping[str, Any] | None) -> OperatorNeededError:
        who = "another process"
        if holder is not None:
            seen = f"{holder['at']:%Y-%m-%d %H:%M:%S} UTC"
            who = f"process {holder['pid']} on {holder['host']}, last seen {seen}"
        return OperatorNeededError(
            f"run {self._run_id} is traded by {who}; stop it first, two engines would double orders"
        )

    def _write(self, connection: Connection, now: datetime, note: str) -> None:
        connection.execute(delete(m.Heartbeat).where(m.Heartbeat.run_id == self._run_id))
        me = self._identity
        connection.execute(
            insert(m.Heartbeat).values(
                run_id=self._run_id,
                at=now,
                pid=me.pid,
                host=me.host,
                owner=self._owner,
                note=note,
                boot=me.boot or None,
                process_start=me.started or None,
            )
        )


def is_cut_off(engine: Engine, run_id: int) -> bool:
    """Return True if the last engine of a run did not end by itself: its proof of life is still there."""
    with engine.connect() as connection:
        return _row(connection, run_id) is not None


def is_running(engine: Engine, run_id: int, now: datetime) -> bool:
    """Return True if an engine holds the run at this moment."""
    file = file_of(engine)
    if file is not None:
        return is_held(lock_path(file, run_id))
    with engine.connect() as connection:
        found = find_lease(connection, run_id)
        return found is not None and found.runs and not _is_dead(found, _row(connection, run_id))


def running_runs(engine: Engine, run_ids: Sequence[int], now: datetime) -> set[int]:
    """Return those of the runs that an engine holds at this moment."""
    if file_of(engine) is not None:
        return {run_id for run_id in run_ids if is_running(engine, run_id, now)}
    with engine.connect() as connection:
        leases = find_leases(connection)
        beats = {int(row.run_id): dict(row._mapping) for row in connection.execute(select(m.Heartbeat.__table__))}
    held = {run_id: leases[run_id] for run_id in run_ids if run_id in leases and leases[run_id].runs}
    return {run_id for run_id, lease in held.items() if not _is_dead(lease, beats.get(run_id))}


def _is_dead(found: LeaseRow, holder: Mapping[str, Any] | None) -> bool:
    """Return whether the holder of a lease is known to live no more: by its process on this host, and only so.

    In another container the same number is another process, so nothing is known of that one.
    """
    if holder is None or holder["owner"] != found.owner:
        return False
    if found.owner.rpartition("@")[2] != process_namespace():
        return False
    known = ProcessIdentity(holder["host"], int(holder["pid"]), holder["boot"] or "", holder["process_start"] or "")
    if known == this_process():
        return not is_ours(found.owner)
    return bool(known.boot) and known.boot == boot_id() and lives(known) is False


def _row(connection: Connection, run_id: int) -> Mapping[str, Any] | None:
    row = connection.execute(select(m.Heartbeat.__table__).where(m.Heartbeat.run_id == run_id)).first()
    return None if row is None else dict(row._mapping)
