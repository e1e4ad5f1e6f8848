"""The operator's commands: look at the newest run, or leave it a wish. They need no engine and no market."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import config_path, load_config, machine_overrides
from trading_platform.reporting.status_screen import say, show_status
from trading_platform.storage.database import check_schema, open_database
from trading_platform.storage.operator_requests import leave_wish, run_status


def status(database: str | None, config: Path | None, *, as_json: bool) -> int:
    """Print the state of the newest run; return the exit code."""
    found = run_status(existing_database(database, config, read_only=True), datetime.now(UTC))
    show_status(found, as_json=as_json)
    return 0


def command(kind: str, reason: str, database: str | None, config: Path | None) -> int:
    """Leave an operator's command for the newest run; return the exit code."""
    run_id = leave_wish(existing_database(database, config, read_only=False), kind, reason, datetime.now(UTC))
    say(f"{kind} recorded for run {run_id}; a running engine obeys at its next scan, a stopped one when it starts")
    return 0


def existing_database(given: str | None, config: Path | None, *, read_only: bool) -> Engine:
    """Open the database that the options or the settings name, without making one.

    Raises
    ------
    RepairDatabaseError
        It is missing, corrupt, or of another version.
    """
    url = given
    if url is None:
        url = load_config(config_path(config), machine_overrides(load_settings())).storage.database_url
    database = open_database(url, read_only=True)
    check_schema(database)
    return database if read_only else open_database(url)
