"""PostgreSQL: how it is connected to, what its failures mean, and many rows at once. psycopg comes by `[postgres]`.

An engine decides nothing without its database, so what matters most is to tell what passes by itself (a restart, a
failover, a full disk: wait) from what somebody must change (a name, a password, a version: say so and end).
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Boolean, Connection, Date, Engine, Float, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.sql.schema import Column

from trading_platform.core.errors import (
    FixConfigError,
    FixCredentialsError,
    RepairDatabaseError,
    TradingPlatformError,
)
from trading_platform.storage.sqlite import StorageTroubleError
from trading_platform.storage.types import Cents, UtcDateTime

if TYPE_CHECKING:
    import psycopg

DRIVER = "postgresql+psycopg"
NAMES = frozenset({"postgres", "postgresql", DRIVER})
OLDEST = 14  # the oldest version that its makers still mend
CONNECT_SECONDS = 10
# A network that swallows packets looks like silence: after so long a connection counts as lost.
SILENT_MILLISECONDS = 20_000
SESSION = {
    "timezone": "UTC",
    "lock_timeout": "10s",  # as SQLite's busy timeout: whoever holds a lock longer than this is stuck
    "idle_in_transaction_session_timeout": "60s",
    "extra_float_digits": "1",  # floats come back bit by bit
}
# Classes and codes of SQLSTATE that pass: the server goes, comes, is full, was demoted, or somebody holds a lock.
PASSING_CLASSES = frozenset({"08", "53", "58"})
PASSING_CODES = frozenset(
    {"57P01", "57P02", "57P03", "57P05", "25006", "25P03", "55P03", "40001", "40P01", "57014", "HV00N"}
)
# libpq tells why a connection failed in words only.
PASSWORD_WORDS = ("password authentication failed", "no password supplied", "authentication failed")
NAME_WORDS = (
    '" does not exist',
    "is not permitted to log in",
    "no pg_hba.conf entry",
    "permission denied for database",
)
OPTION_WORDS = ("invalid connection option", "invalid port", "invalid sslmode", "invalid integer", "invalid uri")


class DatabaseAwayError(StorageTroubleError):
    """The database server does not answer now: a start ends by it and may be tried again, an engine waits."""

    exit_code = 3


def server_url(url: URL) -> URL:
    """Return a server's URL with our driver; `postgres://` and `postgresql://` mean the same.

    Raises
    ------
    FixConfigError
        It names no PostgreSQL, or no database on it.
    """
    if url.drivername not in NAMES:
        raise FixConfigError(
            f"DATABASE_URL: no driver for {url.drivername!r}; a database is a file or postgresql://USER@HOST/NAME"
        )
    if not url.database:
        raise FixConfigError("DATABASE_URL: names no database; write postgresql://USER@HOST:PORT/NAME")
    return url.set(drivername=DRIVER)


def open_server(url: URL, where: str, *, read_only: bool, synchronous: str, options: dict[str, Any]) -> Engine:
    """Return an engine for a PostgreSQL database; nothing is connected yet.

    Parameters
    ----------
    url
        The database, by `server_url`.
    where
        What it is called in messages: without its password.
    read_only
        The server refuses writes.
    synchronous
        ``NORMAL`` lets a commit return before it is on disk: for replays, which can be continued.
    options
        Execution options of the engine.

    Raises
    ------
    FixConfigError
        psycopg is not installed.
    """
    session = {**SESSION, **({"default_transaction_read_only": "on"} if read_only else {})}
    if synchronous == "NORMAL":
        session["synchronous_commit"] = "off"
    given, arguments = connecting(url, session)
    try:
        engine = create_engine(
            given,
            connect_args=arguments,
            pool_pre_ping=True,
            pool_recycle=1800,
            execution_options=options,
        )
    except (NoSuchModuleError, ImportError) as error:
        raise FixConfigError(
            "DATABASE_URL: PostgreSQL needs psycopg; pip install 'trading-platform[postgres]', or use a file"
        ) from error
    event.listen(engine, "handle_error", functools.partial(_say_what_to_do, where))
    event.listen(engine, "connect", functools.partial(_welcome, where))
    weakref.finalize(engine, engine.pool.dispose)  # whoever forgets an engine leaves no connection behind
    return engine


def connecting(url: URL, session: Mapping[str, str] = SESSION) -> tuple[URL, dict[str, Any]]:
    """Return a server's URL and the arguments to connect with: settings of the session, and when silence is an end."""
    asked = str(url.query.get("options", ""))
    arguments = {
        "options": " ".join([*(f"-c {name}={value}" for name, value in session.items()), asked]).strip(),
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENT_MILLISECONDS,
        "application_name": "trading-platform",
        "prepare_threshold": None,  # a migration beside a running engine changes what was prepared; poolers lose it
    }
    given = url.difference_update_query(["options"])
    return given, {name: value for name, value in arguments.items() if name not in given.query}


def explain_server(error: BaseException, where: str) -> TradingPlatformError | None:
    """Return the error that says what to do about a failure of the server; None for one of a statement."""
    state = str(getattr(error, "sqlstate", None) or "")
    reason = " ".join(str(error).split())[:300]
    low = reason.lower()
    if state[:2] in PASSING_CLASSES or state in PASSING_CODES:
        return DatabaseAwayError(f"{where}: cannot be used now ({reason}); nothing is lost of what was committed")
    if state.startswith("28") or any(words in low for words in PASSWORD_WORDS):
        return FixCredentialsError(
            f"{where}: the server refuses the user or the password; mend DATABASE_URL ({reason})"
        )
    if type(error).__name__ == "ProgrammingError" and not state and any(words in low for words in OPTION_WORDS):
        return FixConfigError(f"DATABASE_URL: {reason}")
    if state == "3D000" or (not state and any(words in low for words in NAME_WORDS)):
        return FixConfigError(
            f"{where}: the server knows no such database or user; make it, or mend DATABASE_URL ({reason})"
        )
    if state.startswith("42501"):
        return FixConfigError(
            f"{where}: the user may not do this ({reason}); GRANT it, or name another in DATABASE_URL"
        )
    if not state and type(error).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
        return DatabaseAwayError(f"{where}: the server does not answer ({reason}); start it, or mend host and port")
    return None


def check_server(engine: Engine) -> None:
    """Lock a row and let it go: what a standby, a full disk or a server that goes down would refuse.

    Raises
    ------
    StorageTroubleError
        It cannot be written now.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT version_num FROM alembic_version FOR UPDATE").all()


def copy_rows(
    connection: Connection, table: str, columns: Sequence[Column[Any]], values: Sequence[Sequence[Any]]
) -> None:
    """Write rows, given as one sequence of values a column, in one COPY of the connection's transaction.

    Raises
    ------
    DatabaseAwayError, RepairDatabaseError
        What the server says, explained.
    """
    import psycopg
    from psycopg import sql

    stored = [_texts(column)(column_values) for column, column_values in zip(columns, values, strict=True)]
    lines = "\n".join(map("\t".join, zip(*stored, strict=True)))
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(lines + "\n")
    except psycopg.Error as error:
        raise explain_server(error, f"table {table}") or error from error


# ---------------------------------------------------------------- connections


def _welcome(where: str, connection: psycopg.Connection[Any], _: object) -> None:
    """Refuse a server that is too old, and let sums of cents come as plain numbers."""
    version = connection.info.server_version // 10_000
    if version < OLDEST:
        raise RepairDatabaseError(f"{where}: PostgreSQL {version} is too old; it takes {OLDEST} or newer")
    connection.adapters.register_loader("numeric", _plain_numbers())


@functools.cache
def _plain_numbers() -> type:
    from psycopg.adapt import Loader

    class PlainNumber(Loader):
        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return int(text) if text.lstrip(b"-").isdigit() else float(text)

    return PlainNumber


def _say_what_to_do(where: str, context: ExceptionContext) -> None:
    error = context.original_exception
    told = explain_server(error, where)
    if told is None and context.is_disconnect:
        told = DatabaseAwayError(f"{where}: the connection is lost ({' '.join(str(error).split())[:300]})")
    if told is not None:
        raise told from error


# ---------------------------------------------------------------- COPY's text


def _texts(column: Column[Any]) -> Callable[[Sequence[Any]], list[str]]:
    """Return what turns the values of `column` into COPY's text."""
    one: Callable[[Any], str]
    match column.type:
        case Cents():
            one = _cents
        case UtcDateTime():
            one = _instant
        case Date():
            one = _day
        case Float():
            one = _float
        case Boolean():
            one = _flag
        case _:
            one = _text
    if isinstance(column.type, Cents) and not column.nullable:
        return lambda values: list(map(str, np.rint(np.array(values) * 100.0).astype(np.int64).tolist()))
    return lambda values: ["\\N" if value is None else one(value) for value in values]


def _cents(dollars: float) -> str:
    return str(round(dollars * 100.0))


def _float(value: float) -> str:
    return repr(float(value)) if value - value == 0.0 else "\\N"  # as SQLite keeps what is no number


def _flag(value: object) -> str:
    return "t" if value else "f"


@functools.lru_cache(maxsize=1024)
def _day(value: date) -> str:
    return value.isoformat()


@functools.lru_cache(maxsize=1024)
def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"naive datetime {value!r}: pass an aware one, e.g. datetime.now(UTC)")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat()


@functools.lru_cache(maxsize=4096)
def _text(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return text.replace("\0", "")  # SQLite keeps it, PostgreSQL knows no such sign
