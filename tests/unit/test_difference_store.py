"""Differences in the database: what stands, what is resolved, and what status shows of both."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from trading_platform.brokers.reconciliation.difference_words import cash_words, difference_rows, reasons_of
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.core.ports import DifferenceRow
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.difference_store import DifferenceStore
from trading_platform.storage.repository import create_run
from trading_platform.storage.run_status import run_status
from trading_platform.storage.runs import RunLock

NOW = datetime(2024, 1, 2, 21, 0, tzinfo=UTC)
DAY = date(2024, 1, 2)


def run_row() -> dict[str, object]:
    words = dict.fromkeys(
        ("key", "source", "config_fingerprint", "config", "data_hash", "code_version", "strategies", "sectors"), "x"
    )
    return {**words, "strategies": "[]", "mode": "alpaca_paper", "status": "running", "started_at": NOW, "capital": 1.0}


def shown_status(folder: Path, now: datetime | None = None) -> Any:
    """Return what `status` reads, through a connection of its own."""
    return run_status(open_database(folder / "d.db", read_only=True), 1, now)


def test_a_difference_stands_until_a_reading_no_longer_finds_it(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "d.db")
    migrate(engine)
    run_id = create_run(engine, run_row(), [])
    store = DifferenceStore(engine, run_id)
    found = difference_rows(
        [
            Difference(DifferenceKind.POSITION_UNEXPLAINED, "AAA", "10 shares", "12 shares"),
            Difference(DifferenceKind.CASH_UNEXPLAINED, None, "5.00", "7.00"),
            Difference(DifferenceKind.CASH_FLOW, None, "not booked", "deposit +2.00"),
            Difference(DifferenceKind.FILL, "AAA", "not booked", "buy 1 at 2"),
        ],
        {"AAA"},
    )
    assert [(row.kind, row.stands) for row in found] == [
        ("position_unexplained", True),
        ("cash_unexplained", True),
        ("cash_flow", False),
    ]
    store.note(found, DAY, NOW)
    later = NOW + timedelta(minutes=15)
    changed = DifferenceRow("cash_unexplained", None, "5.00", "9.00", "no new risk", stands=True)
    store.note([changed], DAY, later)
    with engine.connect() as connection:
        rows = connection.execute(select(m.Difference).order_by(m.Difference.id)).all()
    assert [(row.kind, row.resolved_at) for row in rows] == [
        ("position_unexplained", later),
        ("cash_unexplained", None),
        ("cash_flow", NOW),
    ]
    shown = shown_status(tmp_path)["differences"]
    assert [(row["kind"], row["theirs"]) for row in shown] == [("cash_unexplained", "9.00")]
    store.note([], DAY, later + timedelta(minutes=15))
    assert shown_status(tmp_path)["differences"] == []
    engine.dispose()


def test_words_for_the_risk_manager() -> None:
    cash = Difference(DifferenceKind.CASH_UNKNOWN, None, "5.00", "not told")
    order = Difference(DifferenceKind.FOREIGN_ORDER, "BBB", "not ours", "buy 3 submitted")
    assert cash_words([order]) is None
    assert cash_words([order, cash]) == "cash: ours 5.00, the broker's not told"
    assert reasons_of([order, cash], {"BBB", "CCC"}) == {
        "BBB": "foreign_order: ours not ours, the broker's buy 3 submitted"
    }


def test_status_tells_the_age_of_the_last_heartbeat(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "d.db")
    migrate(engine)
    run_id = create_run(engine, run_row(), [])
    lock = RunLock(engine, run_id)
    lock.acquire(NOW)
    lock.beat(NOW + timedelta(seconds=5), "watching; settled to 2024-01-02")
    beat = shown_status(tmp_path, NOW + timedelta(seconds=65))["heartbeat"]
    assert (beat["age_seconds"], beat["note"]) == (60.0, "watching; settled to 2024-01-02")
    assert shown_status(tmp_path)["heartbeat"]["age_seconds"] is None
    engine.dispose()
