"""A live engine outlasts a locked, full, read-only, deleted or replaced database, and ends only where it must."""

from __future__ import annotations

import errno
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from account_rows import add_run, empty
from sqlalchemy import insert, select

from trading_platform.core.errors import BrokerUnreachableError, RepairDatabaseError
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.runtime import storage_patience
from trading_platform.runtime.storage_patience import LOST_AFTER_SECONDS, outlast
from trading_platform.storage import models as m
from trading_platform.storage.database import open_database
from trading_platform.storage.sqlite import LARGEST_KEPT_LOG, StorageTroubleError, check_writable, explain

FULL = "a disk that is full"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    engine = empty(tmp_path / "d.db")
    add_run(engine)
    engine.dispose()
    return tmp_path / "d.db"


class Waiting(threading.Event):
    """Time that passes only while it is waited; `events` happen one a wait."""

    def __init__(self, *events: Callable[[], object]) -> None:
        super().__init__()
        self.seconds = 0.0
        self._events = list(events)

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0.0
        if self._events:
            self._events.pop(0)()
        return self.is_set()


class Lives:
    """A life that fails with each of `errors`, one a time, and then ends well."""

    def __init__(self, *errors: BaseException) -> None:
        self.begun = 0
        self._errors = list(errors)

    def __call__(self) -> int:
        self.begun += 1
        if self._errors:
            raise self._errors.pop(0)
        return 0


def tried(lives: Lives, path: Path | str, waiting: Waiting, told: list[str]) -> int:
    return outlast(lives, path, told.append, steady=lambda: waiting.seconds, wake=waiting)


@pytest.mark.parametrize(
    "error", [StorageTroubleError(FULL), OSError(errno.ENOSPC, "No space left on device", "bars.npz")]
)
def test_trouble_that_passes_starts_over_from_the_database(path: Path, error: BaseException) -> None:
    lives, told = Lives(error, StorageTroubleError("again")), list[str]()
    assert tried(lives, path, Waiting(), told) == 0
    assert lives.begun == 3
    assert "The engine waits" in told[0]
    assert "can be used again" in told[1]


def test_a_locked_database_is_waited_for_and_told_of_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.storage.sqlite.BUSY_TIMEOUT_SECONDS", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    rest = [lambda: None] * 40
    told = list[str]()
    assert tried(Lives(StorageTroubleError("locked")), path, Waiting(*rest, other.rollback), told) == 0
    other.close()
    assert any("still waiting for 5 minutes" in line and "locked" in line for line in told)


def test_stops_are_looked_after_while_it_waits_and_their_failure_ends_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_platform.storage.sqlite.BUSY_TIMEOUT_SECONDS", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    looked = list[int]()

    def protect() -> None:
        looked.append(1)
        raise BrokerUnreachableError("not now")

    waiting, told = Waiting(lambda: None, lambda: None, other.rollback), list[str]()
    lives = Lives(StorageTroubleError("locked"))
    code = outlast(lives, path, told.append, protect=protect, steady=lambda: waiting.seconds, wake=waiting)
    other.close()
    assert (code, lives.begun) == (0, 2)
    assert len(looked) == 2  # not when it can be used again


def test_a_database_that_was_put_away_and_put_back_goes_on(path: Path) -> None:
    away = path.with_name("away.db")
    path.rename(away)
    away.rename(path)
    waiting = Waiting(lambda: path.rename(away), lambda: None, lambda: away.rename(path))
    assert tried(Lives(StorageTroubleError("deleted")), path, waiting, []) == 0


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_database_that_does_not_come_back_ends_the_engine_and_is_not_made_anew(path: Path, replaced: bool) -> None:
    def take_away() -> None:
        if replaced:
            shutil.copy(path, path.with_name("other.db"))
            path.with_name("other.db").replace(path)
        else:
            path.unlink()

    waiting = Waiting(take_away)
    lives = Lives(StorageTroubleError("gone"))
    with pytest.raises(RepairDatabaseError, match="was replaced by another" if replaced else "was deleted") as caught:
        tried(lives, path, waiting, [])
    assert caught.value.exit_code == 4
    assert not isinstance(caught.value, StorageTroubleError)
    assert waiting.seconds == pytest.approx(LOST_AFTER_SECONDS, abs=20.0)
    assert lives.begun == 1
    assert path.exists() == replaced


def test_a_database_that_was_never_there_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageTroubleError, match="cannot be opened"):
        tried(Lives(StorageTroubleError(FULL)), tmp_path / "file" / "none.db", Waiting(), [])


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StorageTroubleError, match="does not answer") as caught:
        tried(Lives(), "postgresql://me@/x?host=/nowhere", Waiting(), [])
    assert caught.value.exit_code == 3


def test_a_new_database_is_made_and_known_from_the_first_life_on(tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    class Lost(Lives):
        def __call__(self) -> int:
            path.unlink()
            return super().__call__()

    with pytest.raises(RepairDatabaseError, match="was deleted"):
        tried(Lost(StorageTroubleError("gone")), path, Waiting(), [])
    assert not path.exists()


def test_another_file_that_took_the_place_before_the_trouble_was_noticed_is_not_taken_for_ours(path: Path) -> None:
    class Swapped(Lives):
        def __call__(self) -> int:
            shutil.copy(path, path.with_name("other.db"))
            path.with_name("other.db").replace(path)
            return super().__call__()

    lives = Swapped(StorageTroubleError("replaced"))
    with pytest.raises(RepairDatabaseError, match="was replaced by another"):
        tried(lives, path, Waiting(), [])
    assert lives.begun == 1


def test_what_only_a_human_can_mend_ends_at_once(path: Path) -> None:
    for error in (RepairDatabaseError("damaged"), FileNotFoundError(errno.ENOENT, "no such file")):
        with pytest.raises(type(error)):
            tried(Lives(error), path, Waiting(), [])


def test_a_signal_ends_the_waiting_with_a_word_on_what_is_left(path: Path) -> None:
    waiting = Waiting(lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(StoppedNowError, match="nobody watches it"):
        tried(Lives(StorageTroubleError(FULL)), path, waiting, [])


# ---------------------------------------------------------------- what the database itself says


@pytest.fixture
def engine(path: Path) -> Iterator[object]:
    database = open_database(path)
    yield database
    database.dispose()


def test_a_file_that_is_deleted_or_replaced_while_it_is_open_is_noticed(path: Path) -> None:
    engine = open_database(path)
    with engine.begin() as connection:
        connection.execute(insert(m.DataWarning).values(run_id=1, message="before"))
    kept = path.with_name("kept.db")
    path.rename(kept)
    for _ in range(2):
        with pytest.raises(StorageTroubleError, match="was deleted while it was in use"), engine.begin():
            pass
    assert not path.exists()  # a new and empty one would be a new history
    shutil.copy(kept, path)
    with pytest.raises(StorageTroubleError, match="was replaced by another file"), engine.begin():
        pass
    kept.replace(path)
    with engine.begin() as connection:
        assert connection.execute(select(m.DataWarning.message)).scalar() == "before"
    engine.dispose()


def test_a_lock_of_others_is_trouble_that_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.storage.sqlite.BUSY_TIMEOUT_SECONDS", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        engine = open_database(path)
        with pytest.raises(StorageTroubleError, match="locked by another program"), engine.begin():
            pass
        with pytest.raises(StorageTroubleError, match="locked by another program"):
            check_writable(path)
        other.rollback()
        check_writable(path)
        engine.dispose()


def test_a_full_disk_is_trouble_and_what_was_committed_stands(path: Path) -> None:
    """SQLite's own limit on the number of pages answers as a full disk does."""
    engine = open_database(path)
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    rows = [{"run_id": 1, "message": "x" * 4000} for _ in range(100)]
    with pytest.raises(StorageTroubleError, match="its disk is full; make room"), engine.begin() as connection:
        connection.execute(insert(m.DataWarning), rows)
    with engine.connect() as connection:
        assert connection.execute(select(m.DataWarning.id)).all() == []
    engine.dispose()


def test_damage_is_no_trouble_that_passes() -> None:
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    error = explain(damaged, "database x")
    assert isinstance(error, RepairDatabaseError)
    assert not isinstance(error, StorageTroubleError)


def test_the_log_is_cut_back_once_its_readers_have_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 1 << 20
    assert limit < LARGEST_KEPT_LOG
    monkeypatch.setattr("trading_platform.storage.sqlite.LARGEST_KEPT_LOG", limit)
    engine = open_database(path)
    log = path.with_name(path.name + "-wal")
    rows = [{"run_id": 1, "message": "x" * 4000} for _ in range(600)]
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        for _ in range(2):
            with engine.begin() as connection:
                connection.execute(insert(m.DataWarning), rows)
        assert log.stat().st_size > 4 * limit
        reader.rollback()
    for _ in range(2):  # the log begins anew, and is cut
        with engine.begin() as connection:
            connection.execute(insert(m.DataWarning), rows[:1])
    assert log.stat().st_size <= limit
    engine.dispose()


def test_the_waits_are_short_enough_to_answer_a_signal() -> None:
    assert storage_patience.TRY_EVERY_SECONDS <= 10.0
