"""`backup`, `restore` and `db copy`: the database as files that were checked, or in another place."""

from __future__ import annotations

from pathlib import Path

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.clocks import utc_now
from trading_platform.operations.commands import Place, confirmed, database_place
from trading_platform.reporting.status_screen import say, show_json
from trading_platform.storage.backups import back_up, backups_of, check_backup, put_back
from trading_platform.storage.database import database_url, describe, open_database
from trading_platform.storage.database_copy import copy_database

DEFAULT_FOLDER = Path("backups")
KEPT = 14  # two weeks of one a day


def backup(place: Place, folder: Path, *, keep: int, as_json: bool) -> int:
    """Copy the database into `folder`, check the copy, and let the oldest beyond `keep` go; return the exit code."""
    file = file_of(place)
    made = back_up(file, folder, keep, utc_now())
    kept = len(backups_of(file, folder))
    size = made.stat().st_size
    if as_json:
        show_json({"backup": str(made), "bytes": size, "kept": kept})
        return 0
    say(f"{made}: {size / 1e6:,.1f} MB, read back and whole; {kept} kept in {folder}")
    return 0


def restore(place: Place, file: Path, *, sure: bool) -> int:
    """Put a backup in the database's place, after a check of it; return the exit code."""
    database = file_of(place)
    check_backup(file)
    if not sure and not confirmed(f"Put {file} in the place of {database}? What is there is kept beside it."):
        say("nothing was changed")
        return 0
    aside = put_back(file, database, utc_now())
    say(f"{database} is {file} again" + ("" if aside is None else f"; what was there is kept as {aside}"))
    say("Start the engine: it reads the broker's account, and tells what differs from this copy.")
    return 0


def copy(source: str, target: str, *, as_json: bool) -> int:
    """Copy a database into an empty one, comparing every row; return the exit code."""
    reading, writing = open_database(source, read_only=True), open_database(target)
    try:
        counts = copy_database(reading, writing)
    finally:
        reading.dispose()
        writing.dispose()
    total, runs = sum(counts.values()), counts["runs"]
    if as_json:
        show_json({"from": describe(reading), "to": describe(writing), "rows": counts})
        return 0
    say(f"{describe(writing)}: {total:,} rows of {runs} run{'' if runs == 1 else 's'}, each compared with its like")
    say("From now on start the engine and all commands with this --db or DATABASE_URL; the old one stays as it is.")
    return 0


def file_of(place: Place) -> Path:
    """Return the database file meant; other databases have their own tools.

    Raises
    ------
    FixConfigError
        The database is no file.
    """
    url = database_url(database_place(place))
    if url.get_backend_name() != "sqlite":
        raise FixConfigError(
            f"{url.get_backend_name()} has its own backup (pg_dump); this is for database files, into which `db copy` "
            "brings it"
        )
    return Path(str(url.database))
