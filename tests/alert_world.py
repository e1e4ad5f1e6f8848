"""A database with one account in it, for tests of alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.repository import create_run

NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)


def database_with_a_run(folder: Path) -> Engine:
    """Return a database whose run 1 is an Alpaca paper account."""
    words = dict.fromkeys(
        ("key", "source", "config_fingerprint", "config", "data_hash", "code_version", "sectors"), "x"
    )
    row = {
        **words,
        "strategies": "[]",
        "mode": "alpaca_paper",
        "status": "running",
        "started_at": NOW,
        "capital": 1.0,
    }
    engine = open_database(folder / "a.db")
    migrate(engine)
    create_run(engine, row, [])
    return engine
