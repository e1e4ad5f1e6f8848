"""Where a study is kept: a journal file of its own, or a schema of its own in PostgreSQL; never among our tables."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trading_platform.core.errors import FixConfigError, OperatorNeededError
from trading_platform.storage.database import database_url, describe, open_database

JOURNAL = "study.journal"
SCHEMA = "searches"


def server_of(url: str) -> URL:
    """Return the database that searches are kept in.

    Raises
    ------
    FixConfigError
        It is no PostgreSQL.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() == "sqlite":
        raise FixConfigError(
            'search.storage = "postgresql" needs DATABASE_URL=postgresql://USER@HOST/NAME, it names a file; '
            'or keep storage = "journal"'
        )
    return parsed


def opened_storage(folder: Path, url: URL | None) -> Any:
    """Return Optuna's storage: the journal in `folder`, or the schema of a server, of which `alone_on_server` sees."""
    if url is None:
        from optuna.storages import JournalStorage

        journal = (folder / JOURNAL).absolute()
        # Whoever opens it holds the search's folder, so a lock that is there is a killed process's. Optuna would wait
        # half a minute, and for ever where the link that the lock is leads nowhere, as one to a relative path does.
        journal.with_name(f"{JOURNAL}.lock").unlink(missing_ok=True)
        return JournalStorage(_journal(journal))
    from optuna.storages import RDBStorage

    from trading_platform.storage.postgresql import SESSION, connecting, server_url

    given, arguments = connecting(server_url(url), {**SESSION, "search_path": SCHEMA})
    # Connections are not tried before use: a server that was restarted has freed the hold, so the search must notice.
    storage = RDBStorage(given.render_as_string(hide_password=False), engine_kwargs={"connect_args": arguments})
    weakref.finalize(storage, storage.engine.dispose)  # Optuna itself leaves its connections open
    return storage


def _journal(path: Path) -> Any:
    """Return Optuna's journal, which does not wait for the disk at each of a trial's six lines.

    A kill loses nothing by that. A power failure may lose the last lines: these trials are asked anew, are the same
    again, and what they were worth is in the files of their cells.
    """
    from optuna.storages.journal import JournalFileBackend

    class Journal(JournalFileBackend):  # type: ignore[misc]  # Optuna may be missing, and has no types then
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            """Write `logs` behind the others, at once and without waiting; one process alone writes here."""
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            with path.open("ab", buffering=0) as file:
                file.write(text.encode())

    return Journal(str(path))


@contextmanager
def alone_on_server(url: URL, name: str) -> Iterator[None]:
    """Make the schema, and hold the search of this name: a second one, on any machine, would ask the same trials.

    The hold is a lock of one connection. A server that restarts frees it; then this search ends at its next trial.

    Raises
    ------
    OperatorNeededError
        Another search of this name is at work.
    FixConfigError, FixCredentialsError, DatabaseAwayError
        The server cannot be used.
    """
    engine = open_database(str(url.render_as_string(hide_password=False)))
    where = describe(engine)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:schema))"), {"schema": SCHEMA})
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as holding:
            mine = holding.execute(
                text("SELECT pg_try_advisory_lock(hashtextextended(:key, 1))"), {"key": f"{SCHEMA} {name}"}
            ).scalar_one()
            if not mine:
                raise OperatorNeededError(
                    f"{where}: another search named {name} is at work there; wait for it, or give this one a name"
                )
            with told_trouble(where):
                yield
                # a server notices later that a connection has gone; who begins the search again at once need not wait
                holding.execute(text("SELECT pg_advisory_unlock_all()"))
    finally:
        engine.dispose()


@contextmanager
def told_trouble(where: str) -> Iterator[None]:
    """Say in one line what a server's failure in the middle of a search means; the same command goes on later.

    Raises
    ------
    DatabaseAwayError
        The server failed, or what `explain_server` makes of it.
    """
    from optuna.exceptions import StorageInternalError

    from trading_platform.storage.postgresql import DatabaseAwayError, explain_server

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        origin = cause.orig if isinstance(cause, DBAPIError) and cause.orig is not None else error
        told = explain_server(origin, where)
        raise told or DatabaseAwayError(f"{where}: {' '.join(str(origin).split())[:300]}") from error
