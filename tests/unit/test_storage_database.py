"""Opening and checking databases: private files, snapshots beside a writer, and every way a file can be wrong."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from trading_platform.core.errors import FixConfigError, RepairDatabaseError
from trading_platform.storage import sqlite
from trading_platform.storage.database import (
    check_schema,
    database_name,
    database_url,
    describe,
    migrate,
    open_database,
)
from trading_platform.storage.models import Base
from trading_platform.storage.schema import HEAD, REVISIONS, SchemaState, schema_state
from trading_platform.storage.sqlite import StorageTroubleError

REPO = Path(__file__).resolve().parents[2]
NOBODY = 65534


def fresh(path: Path, synchronous: str = "FULL") -> Engine:
    engine = open_database(path, synchronous=synchronous)
    migrate(engine)
    return engine


def scalar(engine: Engine, sql: str) -> object:
    with engine.connect() as connection:
        return connection.execute(text(sql)).scalar()


def beat(engine: Engine, run: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO differences VALUES (NULL, :run, 0, 0, 'k', NULL, '', '', '', NULL)"), {"run": run}
        )


def one_run(engine: Engine) -> None:
    row = {column.name: "" for column in Base.metadata.tables["runs"].columns if not column.nullable}
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    with engine.begin() as connection:
        insert = text(f"INSERT INTO runs ({names}) VALUES ({marks})")  # noqa: S608 - names from the models
        connection.execute(insert, row | {"id": 1, "capital": 0, "started_at": "2024-01-02 00:00:00"})


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that another user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_new_database_is_private_with_its_log_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "made" / "trading.db"
    engine = fresh(path)
    one_run(engine)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == {"trading.db": 0o600, "trading.db-wal": 0o600, "trading.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("synchronous", "number"), [("NORMAL", 1), ("FULL", 2)])
def test_writer_uses_wal_foreign_keys_and_the_asked_durability(tmp_path: Path, synchronous: str, number: int) -> None:
    engine = fresh(tmp_path / "trading.db", synchronous)
    assert scalar(engine, "PRAGMA journal_mode") == "wal"
    assert scalar(engine, "PRAGMA synchronous") == number
    assert scalar(engine, "PRAGMA foreign_keys") == 1


def test_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="synchronous must be one of NORMAL, FULL, EXTRA, was 'OFF'"):
        fresh(tmp_path / "trading.db", "OFF")


def test_foreign_keys_hold_after_migrating(tmp_path: Path) -> None:
    engine = fresh(tmp_path / "trading.db")
    with pytest.raises(Exception, match="FOREIGN KEY constraint failed"):
        beat(engine, run=7)


def test_opening_creates_nothing_before_the_first_connection(tmp_path: Path) -> None:
    open_database(tmp_path / "trading.db")
    assert list(tmp_path.iterdir()) == []


def test_reader_refuses_writes_and_sees_one_snapshot_beside_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "trading.db"
    writer = fresh(path)
    one_run(writer)
    reader = open_database(path, read_only=True)
    check_schema(reader)
    with pytest.raises(StorageTroubleError, match="readonly database"):
        beat(reader, run=1)
    with reader.connect() as snapshot:
        assert snapshot.execute(text("SELECT count(*) FROM differences")).scalar() == 0
        beat(writer, run=1)  # not locked by the reader
        assert snapshot.execute(text("SELECT count(*) FROM differences")).scalar() == 0
    assert scalar(reader, "SELECT count(*) FROM differences") == 1


def test_two_writers_that_read_first_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "trading.db"
    first, second = fresh(path), open_database(path)
    one_run(first)
    for engine in (first, second):
        with engine.begin() as connection:
            connection.execute(text("SELECT count(*) FROM runs")).scalar()
            connection.execute(text("UPDATE runs SET capital = capital + 1"))
    assert scalar(first, "SELECT capital FROM runs") == 2


def test_reader_of_a_missing_file_says_so_and_creates_nothing(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "none.db", read_only=True)
    with pytest.raises(RepairDatabaseError, match=r"none\.db: does not exist; start the engine first"):
        check_schema(engine)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_corrupt_file_is_named_and_left_as_it_is(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "trading.db"
    path.write_bytes(b"this is no database" * 500)
    before = path.read_bytes()
    engine = open_database(path, read_only=read_only)
    for step in (check_schema, migrate):
        with pytest.raises(RepairDatabaseError, match=r"trading\.db: cannot be read .*restore a backup"):
            step(engine)
    assert path.read_bytes() == before


def test_damaged_page_is_found_by_the_writer_check(tmp_path: Path) -> None:
    path = tmp_path / "trading.db"
    engine = fresh(path)
    one_run(engine)
    engine.dispose()
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    path.write_bytes(damaged)
    with pytest.raises(RepairDatabaseError, match="cannot be read"):
        check_schema(open_database(path))


def test_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    engine = fresh(tmp_path / "trading.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for step in (check_schema, migrate):
        with pytest.raises(RepairDatabaseError, match=r"trading\.db: schema 9999 was written by a newer version"):
            step(engine)


def test_schema_states_by_revision() -> None:
    known = ("0001", "0002")
    assert schema_state([], None, "database x", known) is SchemaState.EMPTY
    assert schema_state(["runs"], "0001", "database x", known) is SchemaState.OLDER
    assert schema_state(["runs"], "0002", "database x", known) is SchemaState.CURRENT


def test_older_schema_stops_a_reader_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "trading.db"
    fresh(path).dispose()
    with pytest.raises(RepairDatabaseError, match=rf"schema {HEAD} is older than next .*start the engine once"):
        check_schema(open_database(path, read_only=True), revisions=(*REVISIONS, "next"))


def test_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "music.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (id INTEGER)")
    other.close()
    with pytest.raises(RepairDatabaseError, match=r"not a trading database .it holds songs and no schema version"):
        migrate(open_database(path))


def test_writer_check_of_an_unmigrated_file_fails(tmp_path: Path) -> None:
    with pytest.raises(RepairDatabaseError, match="schema is empty; it must be migrated"):
        check_schema(open_database(tmp_path / "trading.db"))


def test_locked_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "trading.db"
    fresh(path).dispose()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = sqlite3.connect(path, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError) as caught:
        waiting.execute("BEGIN IMMEDIATE")
    assert "locked by another program" in str(sqlite.explain(caught.value, "database x"))
    holder.close()
    waiting.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://x", "no driver for 'nosuch'"),
        ("://", "not a database URL"),
        ("sqlite://", "in-memory database would be lost"),
    ],
)
def test_bad_url_is_a_config_error(url: str, message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        open_database(url)


def test_names_for_people_hide_the_password(tmp_path: Path) -> None:
    assert database_name(database_url("postgresql://me:hunter2@db/x")) == "database postgresql://me:***@db/x"
    assert describe(open_database(tmp_path / "x.db")) == f"database {tmp_path}/x.db"


def test_importing_the_module_does_not_import_alembic() -> None:
    code = "import sys, trading_platform.storage.database; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@contextmanager
def stranger() -> Iterator[None]:
    """Act as a user without rights: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def count_runs(path: Path) -> int:
    with closing(sqlite.connect_reader(path).connection) as connection:
        number: int = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    return number


def test_reader_works_in_a_read_only_folder(public_folder: Path) -> None:
    path = public_folder / "trading.db"
    engine = fresh(path)
    one_run(engine)
    engine.dispose()
    path.chmod(0o444)
    public_folder.chmod(0o555)
    with stranger():
        assert count_runs(path) == 1


def test_reader_in_a_read_only_folder_sees_the_unfinished_log(public_folder: Path) -> None:
    path = public_folder / "source.db"
    engine = fresh(path)
    one_run(engine)
    left = public_folder / "trading.db"  # what a crash leaves: the last commits are only in the log
    shutil.copyfile(path, left)
    shutil.copyfile(public_folder / "source.db-wal", public_folder / "trading.db-wal")
    engine.dispose()
    for part in public_folder.iterdir():
        part.chmod(0o444)
    public_folder.chmod(0o555)
    with stranger():
        assert count_runs(left) == 1
    assert list(Path(tempfile.gettempdir()).glob("trading-report-*")) == []


def test_reader_without_permission_is_told(public_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs two users: only root can become another one")
    path = public_folder / "trading.db"
    fresh(path).dispose()
    with stranger(), pytest.raises(RepairDatabaseError, match=r"cannot be used .*permissions"):
        count_runs(path)
