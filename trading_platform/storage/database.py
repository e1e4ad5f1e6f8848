"""Open, check and migrate the database: a file of SQLite, or PostgreSQL by URL."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.pool import NullPool

from trading_platform.core.errors import FixConfigError, RepairDatabaseError
from trading_platform.machine.home_folder import expanded
from trading_platform.storage.schema import (
    HEAD,
    REVISIONS,
    VERSION_TABLE,
    SchemaState,
    corrupt_error,
    older_schema_error,
    schema_state,
)
from trading_platform.storage.sqlite import (
    PASSING,
    check_identity,
    connect_reader,
    connect_writer,
    explain,
    identity,
)

READ_ONLY = "trading_read_only"
MIGRATING = 0x7472_6164  # any number that other programs on the database do not take
ALEMBIC_TABLE = """CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""
MIGRATIONS = Path(__file__).with_name("migrations")


def open_database(url: str | Path, *, read_only: bool = False, synchronous: str = "FULL") -> Engine:
    """Return an engine for `url`; nothing is opened or created before its first connection.

    Parameters
    ----------
    url
        A file path (SQLite), or the URL of a SQLite file or of a PostgreSQL database.
    read_only
        Never write: SQLite opens the file read-only, PostgreSQL refuses writes by session default.
    synchronous
        ``FULL`` where orders are real, ``NORMAL`` for replays (see `connect_writer`, `open_server`).

    Notes
    -----
    Transactions of a writing SQLite engine begin IMMEDIATE: a transaction that reads first and writes later would
    otherwise fail at once, without waiting, when another process has written in between.

    Raises
    ------
    FixConfigError
        `url` is not a database URL or names a driver that is not installed.
    RepairDatabaseError
        On first connection: the file is missing (read-only), locked, or not a database.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite":
        from trading_platform.storage.postgresql import open_server, server_url

        parsed, options = server_url(parsed), {READ_ONLY: read_only}
        name = database_name(parsed)
        return open_server(parsed, name, read_only=read_only, synchronous=synchronous, options=options)
    if parsed.database in (None, "", ":memory:"):
        raise FixConfigError("DATABASE_URL: an in-memory database would be lost with the process; name a file")
    path = Path(str(parsed.database))
    opened: list[tuple[int, int]] = []

    def connect() -> sqlite3.Connection:
        if read_only:
            return connect_reader(path).connection
        for known in opened:
            check_identity(path, known)  # before it is opened: a file that is gone would be made anew, and empty
        connection = connect_writer(path, synchronous)
        found = identity(path)
        opened.extend([] if opened or found is None else [found])
        return connection

    def check_out(*_: object) -> None:
        for known in opened:
            check_identity(path, known)

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=connect,
        poolclass=NullPool if read_only else None,  # how a reader opens the file depends on who else is there
        execution_options={READ_ONLY: read_only},
    )
    event.listen(engine, "checkout", check_out)
    event.listen(engine, "handle_error", functools.partial(_say_what_to_do, f"database {path}"))
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _say_what_to_do(where: str, context: ExceptionContext) -> None:
    """Turn a failure of the database itself, not of a statement, into the error that says what to do about it."""
    error = context.original_exception
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in PASSING:
        raise explain(error, where) from error


def database_url(url: str | Path) -> URL:
    """Return `url` parsed; a plain path means SQLite.

    Raises
    ------
    FixConfigError
        The text looks like a URL and is none.
    """
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(expanded(url)))
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise FixConfigError(
            "DATABASE_URL: not a database URL, e.g. sqlite:///trading.db, a file path, or "
            "postgresql://USER@HOST:PORT/NAME"
        ) from error


def describe(engine: Engine) -> str:
    """Return the database's name for people: its path, or its URL without the password."""
    return database_name(engine.url)


def database_name(url: URL) -> str:
    """Return `url` for people: the path of a file, or the URL without the password."""
    if url.get_backend_name() == "sqlite":
        return f"database {url.database}"
    plain = url.set(drivername=url.get_backend_name()).difference_update_query(("password", "options"))
    return f"database {plain.render_as_string(hide_password=True)}"


def migrate(engine: Engine, *, revisions: Sequence[str] = REVISIONS, folder: Path = MIGRATIONS) -> None:
    """Bring an empty or older database to the newest schema, in one transaction; a current one is left alone.

    `revisions` (oldest first) and the Alembic `folder` are this version's own, except in tests of later ones.

    Raises
    ------
    RepairDatabaseError
        The file is corrupt, belongs to another program, or was written by a newer version.
    """
    where = describe(engine)
    try:
        with engine.connect() as connection, _foreign_keys_off(connection), connection.begin():
            if connection.dialect.name == "postgresql":  # of engines that start at once, one makes the tables
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            match _state(connection, where, revisions):
                case SchemaState.EMPTY:
                    _create(connection)
                case SchemaState.OLDER:
                    upgrade(connection, folder)
                case SchemaState.CURRENT:
                    pass
    except DatabaseError as error:
        raise explain(error.orig or error, where) from error


def reach_server(url: str | Path) -> None:
    """Connect to a database server once, so that what is wrong with its URL is told before any work; leave files alone.

    Raises
    ------
    FixConfigError, FixCredentialsError, RepairDatabaseError
        Driver, URL, user or password, version; or the server does not answer.
    """
    if database_url(url).get_backend_name() == "sqlite":
        return
    engine = open_database(url, read_only=True)
    try:
        with engine.connect() as connection:
            _state(connection, describe(engine), REVISIONS)
    finally:
        engine.dispose()


def check_schema(engine: Engine, *, revisions: Sequence[str] = REVISIONS) -> None:
    """Make sure that `engine` can be read by this version; a writer also lets SQLite check the file's pages.

    Raises
    ------
    RepairDatabaseError
        Corrupt, of another program, of a newer version, or of an older one; the message says the cure.
    """
    where = describe(engine)
    read_only = bool(engine.get_execution_options().get(READ_ONLY))
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite" and not read_only:
                verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if verdict != "ok":
                    raise corrupt_error(verdict, where)
            state = _state(connection, where, revisions)
            if state is SchemaState.OLDER and read_only:
                raise older_schema_error(_revision(connection), where, revisions[-1])
            if state is not SchemaState.CURRENT and not read_only:
                raise RepairDatabaseError(f"{where}: schema is {state}; it must be migrated before it is used")
    except DatabaseError as error:
        raise explain(error.orig or error, where) from error


def check_tables(engine: Engine) -> None:
    """Make sure that a database whose schema was checked has been used: a server's may be new and empty.

    Raises
    ------
    RepairDatabaseError
        It has no tables.
    """
    if not inspect(engine).has_table(VERSION_TABLE):
        raise RepairDatabaseError(
            f"{describe(engine)}: holds nothing yet; start the engine first, or name another database with --db"
        )


def upgrade(connection: Connection, folder: Path = MIGRATIONS) -> None:
    """Run the Alembic migrations in `folder` up to the newest on `connection`, inside its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by rebuilding it, which would otherwise delete the rows that refer to it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection  # the setting does nothing inside a transaction
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _create(connection: Connection) -> None:
    """Make all tables at once: a test proves that this equals the migrations, and it spares importing Alembic."""
    from trading_platform.storage.models import Base

    Base.metadata.create_all(connection)
    connection.execute(text(ALEMBIC_TABLE))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _state(connection: Connection, where: str, revisions: Sequence[str]) -> SchemaState:
    return schema_state(inspect(connection).get_table_names(), _revision(connection), where, revisions)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    value: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return value
