"""`db repair`: rows that no engine can use are found, shown, and put right or set aside after a backup."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from account_rows import add_run, empty
from sqlalchemy import Engine, insert

from trading_platform.core.errors import OperatorNeededError, RepairDatabaseError
from trading_platform.operations.commands import Place
from trading_platform.operations.database_repair import repair_database
from trading_platform.storage import models as m
from trading_platform.storage.database_repair import find_faults, repair
from trading_platform.storage.order_journal import DatabaseJournal
from trading_platform.storage.runs import RunLock

NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "run_id": 1, "client_order_id": "tp-1", "broker_order_id": None, "approval_id": "a", "config_fingerprint": "f",
    "ticker": "AAA", "side": "buy", "quantity": 10.0, "filled_quantity": 0.0, "limit_price": 100.0, "stop_price": 90.0,
    "target_price": None, "strategy": "momentum", "reason": "entry", "strength": 1.0, "status": "submitted",
    "message": None, "decided_session": NOW.date(), "decided_at": NOW, "submitted_at": NOW, "closed_at": None,
    "parts": None,
}  # fmt: skip
FILL: dict[str, Any] = {
    "run_id": 1, "client_order_id": "tp-1", "broker_fill_id": "f-1", "session": NOW.date(), "filled_at": NOW,
    "ticker": "AAA", "side": "buy", "quantity": 10.0, "price": 99.5, "amount": 995.0, "fees": 0.0, "realized_pnl": 0.0,
    "strategy": "momentum", "reason": "entry",
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trading.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    database = empty(path)
    add_run(database, "alpaca_paper", account="PA1", equity=100.0)
    with database.begin() as connection:
        connection.execute(insert(m.Order).values(**ORDER))
        connection.execute(insert(m.FillRow).values(**FILL))
        connection.execute(
            insert(m.Command).values(run_id=1, requested_at=NOW, kind="halt", actor="ann", reason="look")
        )
    yield database
    database.dispose()


def poison(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def read(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_a_sound_database_has_nothing_to_repair(engine: Engine, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_faults(path) == []
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    assert "nothing to repair" in capsys.readouterr().out
    assert not (path.parent / "backups").exists()


PUT_RIGHT = [
    ("orders", "status", "dreaming", "uncertain"),
    ("orders", "reason", "whim", "entry"),
    ("orders", "limit_price", 1e30, None),
    ("orders", "stop_price", -5.0, None),
    ("fills", "amount", 1e30, 99_500),
    ("fills", "fees", "nan", 0),
    ("runs", "status", "lost", "interrupted"),
]
SET_ASIDE = [
    ("orders", "side", "hold"), ("orders", "quantity", -10.0), ("orders", "quantity", 1e30),
    ("orders", "filled_quantity", float("inf")), ("fills", "quantity", -1.0), ("fills", "price", 1e30),
    ("fills", "side", "hold"), ("commands", "kind", "dance"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value", "right"), PUT_RIGHT)
def test_a_wrong_value_is_put_right(
    engine: Engine, path: Path, table: str, column: str, value: object, right: object
) -> None:
    poison(path, f"UPDATE {table} SET {column} = ?", value)  # noqa: S608 - names of our own tables
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    assert read(path, f"SELECT {column} FROM {table}") == [(right,)]  # noqa: S608 - likewise
    assert find_faults(path) == []


@pytest.mark.parametrize(("table", "column", "value"), SET_ASIDE)
def test_a_row_that_cannot_be_put_right_is_set_aside(
    engine: Engine, path: Path, table: str, column: str, value: object
) -> None:
    poison(path, f"UPDATE {table} SET {column} = ?", value)  # noqa: S608 - names of our own tables
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    assert read(path, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - likewise
    (aside,) = path.parent.glob("trading.db.set-aside-*.json")
    (kept,) = json.loads(aside.read_text())
    assert (kept["table"], kept["row"][column]) == (table, value)
    (copy,) = (path.parent / "backups").glob("*.db")
    assert read(copy, f"SELECT {column} FROM {table}") == [(value,)]  # noqa: S608 - likewise


def test_a_word_that_ended_the_engine_at_every_start_does_so_no_more(engine: Engine, path: Path) -> None:
    journal = DatabaseJournal(engine, 1, lambda: NOW)
    poison(path, "UPDATE orders SET reason = 'whim'")
    with pytest.raises(ValueError, match="whim"):
        journal.open_orders()
    repair(path, find_faults(path), NOW)
    assert [order.client_order_id for order in journal.open_orders()] == ["tp-1"]


def test_a_damaged_book_is_left_and_named(engine: Engine, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(m.PaperBook).values(
                run_id=1, session=NOW.date(), saved_at=NOW, account="{}", slots="{}", checksum="x"
            )
        )
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == RepairDatabaseError.exit_code
    assert "only a backup helps" in capsys.readouterr().out
    assert read(path, "SELECT count(*) FROM paper_books") == [(1,)]


def test_an_absurd_risk_memory_is_set_aside_so_that_an_operator_must_resume(engine: Engine, path: Path) -> None:
    payload = json.dumps({"account": {"peak_equity": 1e30}})
    with engine.begin() as connection:
        connection.execute(
            insert(m.RiskStateRow).values(run_id=1, version=3, saved_at=NOW, payload=payload, checksum="x")
        )
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    assert read(path, "SELECT count(*) FROM risk_states") == [(0,)]


def test_json_without_yes_shows_and_changes_nothing(
    engine: Engine, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(path, "UPDATE orders SET status = 'dreaming'")
    assert repair_database(Place(str(path), None), sure=False, as_json=True) == RepairDatabaseError.exit_code
    told = json.loads(capsys.readouterr().out)
    assert [(row["table"], row["column"], row["cure"]) for row in told["findings"]] == [
        ("orders", "status", "put right")
    ]
    assert (told["left"], told["backup"]) == (1, None)
    assert read(path, "SELECT status FROM orders") == [("dreaming",)]


def test_a_running_engine_keeps_its_rows(engine: Engine, path: Path) -> None:
    poison(path, "UPDATE orders SET status = 'dreaming'")
    lock = RunLock(engine, 1)
    lock.acquire(NOW)
    with pytest.raises(OperatorNeededError, match="an engine trades run 1"):
        repair(path, find_faults(path), NOW)
    lock.release()
    assert read(path, "SELECT status FROM orders") == [("dreaming",)]
