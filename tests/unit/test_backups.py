"""Backups: one moment of a database beside its writer, checked, rotated, private; restored over no running engine."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from account_rows import add_run, empty
from sqlalchemy import Engine, insert, select

from trading_platform.core.errors import FixConfigError, OperatorNeededError, RepairDatabaseError
from trading_platform.operations.commands import Place
from trading_platform.operations.safekeeping import backup, restore
from trading_platform.storage import models as m
from trading_platform.storage.alert_log import silent_since
from trading_platform.storage.backups import back_up, backups_of, check_backup, put_back
from trading_platform.storage.database import open_database
from trading_platform.storage.operator_requests import note_taken_up, open_wishes, restored_at
from trading_platform.storage.runs import RunLock

NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trading.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    database = empty(path)
    add_run(database, "alpaca_paper", account="PA1", equity=100.0)
    yield database
    database.dispose()


def warn(engine: Engine, message: str) -> None:
    with engine.begin() as connection:
        connection.execute(insert(m.DataWarning).values(run_id=1, message=message))


def warnings_in(path: Path) -> list[str]:
    engine = open_database(path, read_only=True)
    with engine.connect() as connection:
        found = [str(text) for text in connection.execute(select(m.DataWarning.message)).scalars()]
    engine.dispose()
    return found


def test_a_backup_holds_what_was_committed_and_not_what_is_under_way(engine: Engine, path: Path) -> None:
    warn(engine, "committed")  # it stands in the log, not in the file
    with engine.begin() as connection:
        connection.execute(insert(m.DataWarning).values(run_id=1, message="under way"))
        made = back_up(path, path.parent / "backups", 3, NOW)
    assert warnings_in(made) == ["committed"]
    assert warnings_in(path) == ["committed", "under way"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert sorted(file.name for file in made.parent.iterdir()) == ["trading-20240703T170000Z.db"]


def test_only_the_newest_backups_of_this_database_are_kept(engine: Engine, path: Path) -> None:
    folder = path.parent / "backups"
    folder.mkdir()
    for other in ("trading-notes.db", "other-20200101T000000Z.db"):
        (folder / other).touch()
    made = [back_up(path, folder, 2, NOW + timedelta(days=day)) for day in range(4)]
    assert backups_of(path, folder) == [made[3], made[2]]
    assert (folder / "trading-notes.db").exists()
    assert (folder / "other-20200101T000000Z.db").exists()


def test_a_damaged_database_makes_no_backup_and_costs_no_old_one(engine: Engine, path: Path) -> None:
    folder = path.parent / "backups"
    for n in range(3):
        with engine.begin() as connection:
            rows = [{"run_id": 1, "message": f"{n} " + "x" * 3000} for _ in range(50)]
            connection.execute(insert(m.DataWarning), rows)
    kept = back_up(path, folder, 1, NOW)
    engine.dispose()
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(whole)
    with pytest.raises(RepairDatabaseError, match=r"damaged|cannot be read"):
        back_up(path, folder, 1, NOW + timedelta(days=1))
    assert [file.name for file in folder.iterdir()] == [kept.name]


def test_a_missing_database_and_a_folder_that_is_none_are_named(engine: Engine, path: Path) -> None:
    with pytest.raises(RepairDatabaseError, match="does not exist"):
        back_up(path.with_name("none.db"), path.parent, 1, NOW)
    with pytest.raises(RepairDatabaseError, match="cannot be written"):
        back_up(path, path / "below a file", 1, NOW)


def test_a_backup_restored_is_the_account_as_it_was(engine: Engine, path: Path) -> None:
    warn(engine, "before")
    made = back_up(path, path.parent / "backups", 3, NOW)
    warn(engine, "after")
    engine.dispose()
    aside = put_back(made, path, NOW)
    assert warnings_in(path) == ["before"]
    assert aside is not None
    assert warnings_in(aside) == ["before", "after"]  # with what its log held
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = open_database(path)
    warn(again, "goes on")
    again.dispose()
    assert warnings_in(path) == ["before", "goes on"]
    assert made.exists()


def test_restoring_under_a_running_engine_is_refused_and_changes_nothing(engine: Engine, path: Path) -> None:
    made = back_up(path, path.parent / "backups", 3, NOW)
    warn(engine, "after")
    lock = RunLock(engine, 1)
    lock.acquire(NOW)
    with pytest.raises(OperatorNeededError, match="an engine trades run 1 of it now"):
        put_back(made, path, NOW)
    assert warnings_in(path) == ["after"]
    lock.release()
    engine.dispose()
    put_back(made, path, NOW)
    assert warnings_in(path) == []


def test_a_restored_copy_says_so_to_the_next_start_and_holds_no_proof_of_life(engine: Engine, path: Path) -> None:
    assert restored_at(engine, 1) is None
    lock = RunLock(engine, 1)
    lock.acquire(NOW)
    made = back_up(path, path.parent / "backups", 3, NOW)
    lock.release()
    engine.dispose()
    put_back(made, path, NOW + timedelta(hours=1))
    again = open_database(path)
    assert restored_at(again, 1) == NOW + timedelta(hours=1)
    assert silent_since(again, 1, NOW + timedelta(hours=2)) is None  # else its first look would tell of a death
    assert open_wishes(again, 1) == []
    note_taken_up(again, 1, "2 orders")
    assert restored_at(again, 1) is None
    again.dispose()


def test_restore_into_an_empty_place(engine: Engine, path: Path, tmp_path: Path) -> None:
    made = back_up(path, tmp_path / "backups", 3, NOW)
    assert put_back(made, tmp_path / "new" / "trading.db", NOW) is None
    assert warnings_in(tmp_path / "new" / "trading.db") == []


def test_what_is_no_sound_backup_is_refused(engine: Engine, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "music.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE songs (id INTEGER)")
        connection.commit()
    hollow = tmp_path / "hollow.db"
    hollow.touch()
    torn = tmp_path / "torn.db"
    made = back_up(path, tmp_path / "backups", 3, NOW)
    torn.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    for file in (other, hollow, torn, tmp_path / "none.db"):
        with pytest.raises(RepairDatabaseError):
            check_backup(file)
        with pytest.raises(RepairDatabaseError):
            put_back(file, path, NOW)
    with pytest.raises(FixConfigError, match="is the database itself"):
        put_back(path, path, NOW)
    check_backup(made)


def test_the_commands_say_where_and_what_next(
    engine: Engine, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(str(path), None)
    assert backup(place, tmp_path / "safe", keep=2, as_json=False) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "read back and whole; 1 kept in" in said
    engine.dispose()
    (made,) = backups_of(path, tmp_path / "safe")
    assert restore(place, made, sure=True) == 0
    assert "what was there is kept as" in " ".join(capsys.readouterr().out.split())


def test_a_database_server_has_its_own_backup() -> None:
    with pytest.raises(FixConfigError, match="pg_dump"):
        backup(Place("postgresql://x/y", None), Path("backups"), keep=1, as_json=False)
