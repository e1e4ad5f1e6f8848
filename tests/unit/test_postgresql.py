"""PostgreSQL: the same tables, the same values back, and one line for whatever is wrong with the way to it."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from account_rows import add_run
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from schema_shape import schema_shape
from sqlalchemy import Engine, inspect, select, text

from tests.postgres_server import LOCKED, PostgresServer
from trading_platform.core.errors import FixConfigError, FixCredentialsError, RepairDatabaseError
from trading_platform.storage import models as m
from trading_platform.storage import postgresql
from trading_platform.storage.database import describe, migrate, open_database, reach_server, upgrade
from trading_platform.storage.postgresql import DatabaseAwayError, check_server, explain_server
from trading_platform.storage.reader import Reader, read_database
from trading_platform.storage.rows import RowBuffer

NOW = datetime(2024, 7, 3, 17, 0, 0, 1, tzinfo=UTC)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    database = open_database(url)
    migrate(database)
    yield database
    database.dispose()


# ---------------------------------------------------------------- tables


@pytest.mark.real
def test_created_schema_equals_migrated_schema_and_the_models(postgres: PostgresServer, engine: Engine) -> None:
    migrated = open_database(postgres.new_database())
    with migrated.begin() as connection:
        upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, m.Base.metadata) == []
    assert schema_shape(engine) == schema_shape(migrated)
    migrated.dispose()


@pytest.mark.real
def test_engines_that_start_at_once_on_an_empty_database_all_find_its_tables(url: str) -> None:
    engines = [open_database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, engines))
    for engine in engines:
        engine.dispose()
    engine = open_database(url)
    assert set(m.Base.metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


# ---------------------------------------------------------------- values


@pytest.mark.real
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_rows_come_back_as_they_were_whatever_the_servers_time_zone(
    postgres: PostgresServer, url: str, zone: str
) -> None:
    postgres.sql(f"ALTER DATABASE {url.rpartition('?')[0].rpartition('/')[2]} SET timezone TO '{zone}'")
    engine = open_database(url)
    migrate(engine)
    add_run(engine, name="x" * 200)
    buffer = RowBuffer(m.FillRow)
    words = 'a tab\t, a line\nand "one\\more", \\N and \r'
    eastern = NOW.astimezone(timezone(timedelta(hours=-4)))
    row = (
        1,
        "order",
        "fill",
        date(2024, 7, 3),
        eastern,
        "BRK.B",
        "buy",
        0.1 + 0.2,
        1e-7,
        1234.565,
        -0.01,
        0.0,
        words,
        "é ✓",
        0.0,
        0.0,
        0.0,
        None,
        float("nan"),
    )
    buffer.add(row)
    with engine.begin() as connection:
        buffer.flush(connection)
    with engine.connect() as connection:
        found = connection.execute(select(m.FillRow.__table__)).one()
        assert connection.execute(select(m.Run.name)).scalar_one() == "x" * 200
    assert tuple(found[1:]) == (*row[:4], NOW, *row[5:9], 1234.56, *row[10:17], None, None)
    engine.dispose()


@pytest.mark.real
def test_readers_sums_of_cents_are_whole_numbers(engine: Engine, url: str) -> None:
    add_run(engine, equity=0.1)
    add_run(engine, equity=0.2)

    def sums(reader: Reader) -> list[Any]:
        return list(reader.rows("SELECT sum(equity), avg(equity) FROM equity")[0])

    assert read_database(url, sums) == [30, 15.0]


@pytest.mark.real
def test_reader_can_write_nothing(engine: Engine, url: str) -> None:
    reader = open_database(url, read_only=True)
    with pytest.raises(DatabaseAwayError, match="read-only transaction"):
        add_run(reader)
    reader.dispose()


# ---------------------------------------------------------------- what is wrong, in one line


@pytest.mark.real
def test_wrong_password_is_told_without_it(postgres: PostgresServer, url: str) -> None:
    postgres.sql(f"DROP ROLE IF EXISTS {LOCKED}")
    postgres.sql(f"CREATE ROLE {LOCKED} LOGIN PASSWORD 'right'")
    bad = url.replace("postgres@", f"{LOCKED}:hunter2@")
    with pytest.raises(FixCredentialsError, match="refuses the user or the password") as told:
        reach_server(bad)
    assert "hunter2" not in str(told.value)
    reach_server(bad.replace("hunter2", "right"))  # the same way with the right one goes through


@pytest.mark.real
@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("postgres@/", "nobody@/", FixConfigError, "knows no such database or user"),
        ("@/t", "@/none", FixConfigError, "knows no such database or user"),
        ("host=", "host=/nowhere", DatabaseAwayError, "does not answer"),
        ("host=", "hots=", FixConfigError, "invalid connection option"),
    ],
)
def test_wrong_url_is_told(url: str, old: str, new: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as told:
        reach_server(url.replace(old, new))
    assert "\n" not in str(told.value)


@pytest.mark.real
def test_too_old_a_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "OLDEST", 99)
    with pytest.raises(RepairDatabaseError, match=r"PostgreSQL \d+ is too old; it takes 99 or newer"):
        reach_server(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u@h:port/d", "not a database URL"),
        ("postgresql://u@h", "names no database"),
        ("mysql://u@h/d", "no driver for 'mysql'"),
        ("postgresql+nodriver://u@h/d", "no driver for"),
    ],
)
def test_url_of_something_else_is_refused_before_anything_is_connected(url: str, words: str) -> None:
    with pytest.raises(FixConfigError, match=words):
        open_database(url)


def test_missing_driver_names_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'")
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(FixConfigError, match=r"pip install 'trading-platform\[postgres\]'"):
        open_database("postgresql://u@h/d")


class CodedError(Exception):
    """An error as psycopg's, with a code of the server's."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("words")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("57P01", DatabaseAwayError),  # the administrator stops it
        ("57P03", DatabaseAwayError),  # it is starting
        ("53100", DatabaseAwayError),  # its disk is full
        ("53300", DatabaseAwayError),  # too many connections
        ("25006", DatabaseAwayError),  # it was demoted to a standby
        ("55P03", DatabaseAwayError),  # somebody holds a lock
        ("28P01", FixCredentialsError),
        ("3D000", FixConfigError),
        ("42501", FixConfigError),
        ("23505", None),  # a duplicate is the program's fault
    ],
)
def test_code_of_the_server_says_who_can_help(state: str, error: type[Exception] | None) -> None:
    told = explain_server(CodedError(state), "database x")
    assert (None if told is None else type(told)) is error


def test_name_for_people_holds_neither_password_nor_driver() -> None:
    name = describe(open_database("postgres://me:hunter2@db/x?password=hush"))
    assert name == "database postgresql://me:***@db/x"


# ---------------------------------------------------------------- a server that goes and comes


@pytest.mark.real
def test_stopped_server_is_trouble_that_passes(postgres: PostgresServer, engine: Engine, tmp_path: Path) -> None:
    run = add_run(engine)
    with engine.connect() as open_one:
        open_one.execute(text("SELECT 1"))
        postgres.stop()
        try:
            with pytest.raises(DatabaseAwayError):
                open_one.execute(text("SELECT 1"))
            with pytest.raises(DatabaseAwayError, match="does not answer"):
                check_server(engine)
        finally:
            postgres.start()
    check_server(engine)
    with engine.connect() as connection:
        assert connection.execute(select(m.Run.id)).scalar_one() == run
