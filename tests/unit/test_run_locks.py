"""A run is held by a living process only: not by a killed one, a reused number, number 1 of a container, a reboot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from account_rows import add_run, empty
from lock_holder import holder
from sqlalchemy import Engine, update

from trading_platform.core.errors import OperatorNeededError
from trading_platform.storage import models as m
from trading_platform.storage.run_locks import KernelLock, is_held, lock_path
from trading_platform.storage.runs import RunLock, is_running

NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    database = empty(tmp_path / "d.db")
    add_run(database, "alpaca_paper", account="PA1")
    yield database
    database.dispose()


def test_a_second_engine_is_refused_and_the_first_is_named(engine: Engine, tmp_path: Path) -> None:
    first = holder(tmp_path / "d.db", "stay")
    assert first.stdout is not None
    pid = int(first.stdout.readline())
    assert is_running(engine, 1, NOW)
    with pytest.raises(OperatorNeededError, match=rf"run 1 is traded by process {pid} on .*, last seen"):
        RunLock(engine, 1).acquire(NOW)
    first.communicate()
    RunLock(engine, 1).acquire(NOW)


def test_a_killed_engine_keeps_nobody_out(engine: Engine, tmp_path: Path) -> None:
    dead = holder(tmp_path / "d.db", "die")
    dead.communicate()
    assert dead.returncode == -9
    assert lock_path(tmp_path / "d.db", 1).exists()  # it left everything as it was
    assert not is_running(engine, 1, NOW)
    RunLock(engine, 1).acquire(NOW)


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs the right to make a process namespace (unshare --pid)")
def test_an_engine_killed_as_process_1_of_a_container_starts_again_as_process_1(engine: Engine, tmp_path: Path) -> None:
    for _ in range(2):
        run = holder(tmp_path / "d.db", "die", "unshare", "--pid", "--fork")
        shown, _ = run.communicate()
        assert shown == "1\n"
    assert not is_running(engine, 1, NOW)


def test_a_number_that_lives_again_as_another_process_holds_nothing(engine: Engine, tmp_path: Path) -> None:
    """The row of a process that was killed, whose number now is ours: the bare number would look alive for ever."""
    dead = holder(tmp_path / "d.db", "die")
    dead.communicate()
    with engine.begin() as connection:
        connection.execute(update(m.Heartbeat).values(pid=os.getpid(), process_start="1"))
    RunLock(engine, 1).acquire(NOW)


def test_releasing_lets_the_next_one_in_and_leaves_no_file(engine: Engine, tmp_path: Path) -> None:
    for _ in range(2):
        lock = RunLock(engine, 1)
        lock.acquire(NOW)
        lock.release()
        lock.release()
    assert not lock_path(tmp_path / "d.db", 1).exists()


def test_looking_takes_nothing_from_the_holder(tmp_path: Path) -> None:
    lock = KernelLock(tmp_path / "x.lock")
    assert not is_held(lock.path)
    assert lock.acquire()
    assert is_held(lock.path)
    assert is_held(lock.path)
    lock.release()
    assert not is_held(lock.path)
    lock.path.touch()
    assert not is_held(lock.path)  # a file that was left is no lock


def test_a_failed_start_leaves_no_lock(engine: Engine, tmp_path: Path) -> None:
    lock = RunLock(engine, 99)  # the row cannot be written: there is no such run
    with pytest.raises(Exception, match="FOREIGN KEY"):
        lock.acquire(NOW)
    assert not is_held(lock_path(tmp_path / "d.db", 99))
