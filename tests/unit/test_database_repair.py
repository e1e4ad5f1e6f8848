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
from sqlalchemy import Engine, delete, insert

from trading_platform.core.errors import OperatorNeededError, RepairDatabaseError
from trading_platform.operations.commands import Place
from trading_platform.operations.database_repair import repair_database
from trading_platform.storage import models as m
from trading_platform.storage.database_repair import find_faults, repair
from trading_platform.storage.order_journal import DatabaseJournal
from trading_platform.storage.runs import RunLock

NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "run_id": 1,
    "client_order_id": "tp-1",
    "broker_order_id": None,
    "approval_id": "a",
    "config_fingerprint": "f",
    "ticker": "AAA",
    "side": "buy",
    "quantity": 10.0,
    "filled_quantity": 0.0,
    "limit_price": 100.0,
    "stop_price": 90.0,
    "target_price": None,
    "strategy": "momentum",
    "reason": "entry",
    "strength": 1.0,
    "status": "submitted",
    "message": None,
    "decided_session": NOW.date(),
    "decided_at": NOW,
    "submitted_at": NOW,
    "closed_at": None,
    "parts": None,
}
FILL: dict[str, Any] = {
    "run_id": 1,
    "client_order_id": "tp-1",
    "broker_fill_id": "f-1",
    "session": NOW.date(),
    "filled_at": NOW,
    "ticker": "AAA",
    "side": "buy",
    "quantity": 10.0,
    "price": 99.5,
    "amount": 995.0,
    "fees": 0.0,
    "realized_pnl": 0.0,
    "strategy": "momentum",
    "reason": "entry",
}


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
    ("orders", "side", "hold"),
    ("orders", "quantity", -10.0),
    ("orders", "quantity", 1e30),
    ("orders", "filled_quantity", float("inf")),
    ("fills", "quantity", -1.0),
    ("fills", "price", 1e30),
    ("fills", "side", "hold"),
    ("commands", "kind", "dance"),
]


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
    with pytest.raises(RepairDatabaseError, match="whim"):
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


# ---------------------------------------------------------------- closes, round trips, positions, lots

DAY = NOW.date()
CLOSE: dict[str, Any] = {
    "run_id": 1,
    "session": DAY,
    "as_of": NOW,
    "cash": 600.0,
    "positions_value": 400.0,
    "equity": 1_000.0,
    "previous_equity": 990.0,
    "realized_pnl": 5.0,
    "unrealized_pnl": 10.0,
    "fees": 0.5,
    "dividends": 0.0,
    "cash_flow": 0.0,
    "peak_equity": 1_250.0,
    "drawdown": 0.2,
    "lifetime_drawdown": 0.2,
    "gross_exposure": 0.4,
    "n_positions": 1,
    "halted": False,
    "vix": 15.0,
    "benchmark_close": 400.0,
    "universe_return": 0.01,
    "unused_slots": 10.0,
}
TRADE: dict[str, Any] = {
    "run_id": 1,
    "ticker": "AAA",
    "strategy": "momentum",
    "entry_session": DAY,
    "exit_session": DAY,
    "opened_at": NOW,
    "closed_at": NOW,
    "quantity": 10.0,
    "entry_price": 50.0,
    "exit_price": 55.0,
    "cost": 500.0,
    "proceeds": 550.0,
    "fees": 1.0,
    "dividends": 2.0,
    "pnl": 51.0,
    "return_fraction": 0.102,
    "exit_reason": "signal_exit",
}
POSITION: dict[str, Any] = {
    "run_id": 1,
    "session": DAY,
    "ticker": "AAA",
    "strategy": "momentum",
    "quantity": 8.0,
    "entry_price": 45.0,
    "price": 50.0,
    "cost": 360.0,
    "value": 400.0,
    "stop_price": 40.0,
    "target_price": 60.0,
    "dividends": 0.0,
    "entry_session": DAY,
}
LOT: dict[str, Any] = {
    "run_id": 1,
    "session": DAY,
    "ticker": "AAA",
    "strategy": "momentum",
    "quantity": 5.0,
    "cost": 225.0,
    "value": 250.0,
    "stop_price": 40.0,
    "target_price": None,
    "dividends": 0.0,
    "entry_session": DAY,
}


@pytest.fixture
def results(engine: Engine) -> Engine:
    other = {**LOT, "strategy": "breakout", "quantity": 3.0, "cost": 135.0, "value": 150.0}
    with engine.begin() as connection:
        connection.execute(delete(m.EquityRow))
        connection.execute(delete(m.PositionRow))
        for table, row in (
            (m.EquityRow, CLOSE),
            (m.Trade, TRADE),
            (m.PositionRow, POSITION),
            (m.LotRow, LOT),
            (m.LotRow, other),
        ):
            connection.execute(insert(table).values(**row))
    return engine


INFINITE = float("inf")
RESULTS_PUT_RIGHT = [
    ("equity", "cash", 1e30, 60_000),
    ("equity", "equity", INFINITE, 100_000),
    ("equity", "equity", 100_001, 100_000),
    ("equity", "positions_value", "nan", 40_000),
    ("equity", "drawdown", 7.5, 0.2),
    ("equity", "lifetime_drawdown", -INFINITE, 0.2),
    ("equity", "gross_exposure", 1e30, 0.4),
    ("equity", "fees", 1e30, 0),
    ("equity", "vix", -3.0, None),
    ("equity", "unused_slots", INFINITE, None),
    ("trades", "pnl", 1e30, 5_100),
    ("trades", "cost", INFINITE, 50_000),
    ("trades", "proceeds", "nan", 55_000),
    ("trades", "fees", 1e30, 100),
    ("trades", "dividends", 1e30, 200),
    ("trades", "quantity", -10.0, 10.0),
    ("trades", "exit_price", 1e30, 55.0),
    ("trades", "entry_price", 0.0, 50.0),
    ("trades", "return_fraction", INFINITE, 0.102),
    ("positions", "quantity", -8.0, 8.0),
    ("positions", "price", 1e30, 50.0),
    ("positions", "entry_price", -1.0, 45.0),
    ("positions", "value", 1e30, 40_000),
    ("positions", "cost", -1, 36_000),
    ("positions", "stop_price", 1e30, None),
    ("positions", "dividends", "nan", 0),
    ("lots", "target_price", -1.0, None),
]
RESULTS_SET_ASIDE = [
    ("equity", "peak_equity", INFINITE),
    ("equity", "n_positions", -1),
    ("equity", "realized_pnl", 1e30),
    ("lots", "quantity", -5.0),
    ("lots", "value", INFINITE),
]


def test_sound_results_have_nothing_to_repair(results: Engine, path: Path) -> None:
    assert find_faults(path) == []


@pytest.mark.parametrize(("table", "column", "value", "right"), RESULTS_PUT_RIGHT)
def test_a_wrong_result_is_put_right_from_its_own_row(
    results: Engine, path: Path, table: str, column: str, value: object, right: object
) -> None:
    poison(path, f"UPDATE {table} SET {column} = ?", value)  # noqa: S608 - names of our own tables
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    for (found,) in read(path, f"SELECT {column} FROM {table}"):  # noqa: S608 - likewise
        assert found == (pytest.approx(right) if isinstance(right, float) else right)
    assert find_faults(path) == []


@pytest.mark.parametrize(("table", "column", "value"), RESULTS_SET_ASIDE)
def test_a_result_of_which_too_little_is_known_is_set_aside(
    results: Engine, path: Path, table: str, column: str, value: object
) -> None:
    poison(path, f"UPDATE {table} SET {column} = ?", value)  # noqa: S608 - names of our own tables
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    assert read(path, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - likewise
    assert find_faults(path) == []


def test_all_lots_of_a_position_go_with_one_that_is_wrong(results: Engine, path: Path) -> None:
    poison(path, "UPDATE lots SET quantity = -5 WHERE strategy = 'momentum'")
    found = find_faults(path)
    assert [(finding.text, finding.fault.cure.value) for finding in found] == [
        (f"lots {DAY} AAA momentum of run 1: quantity is -5.0 shares", "set aside"),
        (f"lots {DAY} AAA breakout of run 1: strategy shares its position with a lot that is set aside", "set aside"),
    ]
    aside = repair(path, found, NOW)
    assert aside is not None
    assert [row["row"]["strategy"] for row in json.loads(aside.read_text())] == ["momentum", "breakout"]
    assert read(path, "SELECT count(*) FROM lots") == [(0,)]


def test_a_round_trip_with_two_wrong_sums_is_set_aside(results: Engine, path: Path) -> None:
    poison(path, "UPDATE trades SET pnl = 9e999, cost = 9e999")
    assert repair_database(Place(str(path), None), sure=True, as_json=False) == 0
    assert read(path, "SELECT count(*) FROM trades") == [(0,)]
