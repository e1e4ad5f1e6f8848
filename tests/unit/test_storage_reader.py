"""Reading for the report: one moment, a deadline, no trace, and a clear word about every other database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from trading_platform.core.errors import RepairDatabaseError
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.reader import ATTEMPTS, Reader, as_date, as_instant, read_database, sqlite_path
from trading_platform.storage.schema import HEAD, REVISIONS

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    engine = open_database(tmp_path / "trading.db")
    migrate(engine)
    engine.dispose()
    return tmp_path / "trading.db"


def add_warning(path: Path, *, keep_open: list[sqlite3.Connection] | None = None) -> None:
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO data_warnings (run_id, message) VALUES (1, 'x')")
    connection.commit()
    if keep_open is None:
        connection.close()
    else:
        keep_open.append(connection)


def count(reader: Reader) -> int:
    return int(reader.rows("SELECT count(*) FROM data_warnings")[0][0])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("trading.db", "trading.db"),
        ("sqlite:///trading.db", "trading.db"),
        ("sqlite:////var/lib/trading.db", "/var/lib/trading.db"),
        ("sqlite+pysqlite:///trading.db", "trading.db"),
        ("sqlite:///some%20folder/trading.db", "some folder/trading.db"),
        ("postgresql+psycopg://me@db/trading", None),
    ],
)
def test_sqlite_path_of_a_url(url: str, expected: str | None) -> None:
    assert sqlite_path(url) == (None if expected is None else Path(expected))


def test_no_file_and_no_tables_are_no_database(tmp_path: Path) -> None:
    assert read_database(tmp_path / "none.db", count) is None
    (tmp_path / "empty.db").touch()
    assert read_database(tmp_path / "empty.db", count) is None


def test_dates_go_in_and_come_out(path: Path) -> None:
    rows = read_database(
        path, lambda reader: reader.rows("SELECT :day, '2024-03-05 21:00:00.000000'", day=date(2024, 3, 5))
    )
    assert rows is not None
    assert as_date(rows[0][0]) == date(2024, 3, 5)
    assert as_instant(rows[0][1]) == datetime(2024, 3, 5, 21, tzinfo=UTC)


def test_reader_of_an_idle_database_leaves_no_file(path: Path) -> None:
    assert read_database(path, count) == 0
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_reader_sees_one_moment_beside_a_writer(path: Path) -> None:
    open_connections: list[sqlite3.Connection] = []
    add_warning(path, keep_open=open_connections)

    def work(reader: Reader) -> tuple[int, int]:
        before = count(reader)
        add_warning(path)
        return before, count(reader)

    assert read_database(path, work) == (1, 1)
    assert read_database(path, count) == 2
    open_connections[0].close()


def test_file_that_changes_while_it_is_read_is_read_again(path: Path) -> None:
    """Nobody had it open at first, so it was taken for unchanging; then an engine started and finished."""
    seen: list[int] = []

    def work(reader: Reader) -> int:
        seen.append(count(reader))
        if len(seen) == 1:
            add_warning(path)
        return seen[-1]

    assert read_database(path, work) == 1
    assert seen == [0, 1]


def test_file_that_never_rests_is_given_up(path: Path) -> None:
    calls: list[int] = []

    def work(reader: Reader) -> int:
        calls.append(count(reader))
        add_warning(path)
        return 0

    with pytest.raises(RepairDatabaseError, match="changed while it was read"):
        read_database(path, work)
    assert len(calls) == ATTEMPTS


def test_error_of_a_changing_file_is_not_believed(path: Path) -> None:
    attempts: list[int] = []

    def work(reader: Reader) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            add_warning(path)
            reader.rows("SELECT * FROM no_such_table")
        return count(reader)

    assert read_database(path, work) == 1


def test_query_that_takes_too_long_is_stopped(path: Path) -> None:
    with pytest.raises(RepairDatabaseError, match=r"did not answer within 0\.2 s"):
        read_database(path, lambda reader: reader.rows(ENDLESS), seconds=0.2)


def test_writing_through_a_reader_fails(path: Path) -> None:
    with pytest.raises(RepairDatabaseError, match="readonly"):
        read_database(path, lambda reader: reader.rows("DELETE FROM runs"))


def test_older_schema_is_named_with_its_cure(path: Path) -> None:
    with pytest.raises(RepairDatabaseError, match=rf"schema {HEAD} is older than next .*start the engine once"):
        read_database(path, count, revisions=(*REVISIONS, "next"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE alembic_version SET version_num = '0777'", "schema 0777 was written by a newer version"),
        ("DELETE FROM alembic_version", "not a trading database"),
    ],
)
def test_other_schemas_are_named(path: Path, change: str, words: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    with pytest.raises(RepairDatabaseError, match=words):
        read_database(path, count)
