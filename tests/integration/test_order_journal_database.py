"""The order journal over the database: the port's contract, beside the journal in memory, and under the broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alpaca_world import FIRST, MemoryJournal, Register, World, fills_since, flat, make_server, make_world, market, utc
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import DropTable

from trading_platform.core.errors import ApprovalError, RepairDatabaseError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder
from trading_platform.core.types import ApprovedOrder, OrderIntent, OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.order_journal import DatabaseJournal
from trading_platform.storage.repository import create_run

NOW = utc("2024-01-02T20:00:00")
ENTRY: dict[str, Any] = {"ticker": "AAA", "limit_price": 101.0, "stop_price": 95.0, "target_price": 110.0}


def new_run(engine: Engine) -> int:
    values = {
        "key": "k",
        "mode": "alpaca_paper",
        "source": "test",
        "account": "PA1",
        "status": "running",
        "started_at": NOW,
        "finished_at": None,
        "capital": 1e5,
        "first_session": FIRST,
        "last_session": None,
        "config_fingerprint": "f",
        "config": "{}",
        "data_hash": "h",
        "seed": 7,
        "code_version": "0",
        "strategies": json.dumps(["momentum"]),
        "sectors": "{}",
    }
    return create_run(engine, values, [])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "trading.db"
    engine = open_database(path)
    migrate(engine)
    new_run(engine)
    engine.dispose()
    return path


@pytest.fixture
def journal(path: Path) -> Iterator[DatabaseJournal]:
    engine = open_database(path)
    yield DatabaseJournal(engine, 1, lambda: NOW)
    engine.dispose()


def approved(key: str = "tp-x", **changes: Any) -> ApprovedOrder:
    values: dict[str, object] = {
        "ticker": "AAA",
        "side": Side.BUY,
        "quantity": 10.0,
        "limit_price": 101.0,
        "stop_price": 95.0,
        "target_price": 110.0,
        "strategy": "momentum",
        "reason": OrderReason.ENTRY,
        "strength": 0.7,
        "decided_session": FIRST,
    }
    intent = OrderIntent(**{**values, **changes})
    return Register().approve(intent, NOW, key=key)


def told(key: str = "tp-x", **changes: Any) -> BrokerOrder:
    order = BrokerOrder(key, "b-1", "AAA", Side.BUY, 10.0, 0.0, None, OrderStatus.SUBMITTED, 101.0, None, NOW)
    changed: BrokerOrder = order._replace(**changes)
    return changed


def leg(suffix: str, **changes: Any) -> BrokerOrder:
    reason = OrderReason.STOP_LOSS if suffix == "stop" else OrderReason.TAKE_PROFIT
    values = {"broker_order_id": f"b-{suffix}", "side": Side.SELL, "parent_id": "tp-x", "reason": reason}
    return told(f"tp-x-{suffix}", **{**values, **changes})


def test_an_intent_is_in_the_file_when_the_method_returns(journal: DatabaseJournal, path: Path) -> None:
    journal.record_intent(approved())
    other = open_database(path, read_only=True)
    with other.connect() as connection:
        row = connection.execute(select(m.Order.__table__)).one()._mapping
    assert (row["status"], row["approval_id"], row["submitted_at"]) == ("intent", "approval-0", None)
    assert (row["limit_price"], row["strength"], row["decided_session"]) == (101.0, 0.7, FIRST)


def signals_in(path: Path) -> list[tuple[object, ...]]:
    columns = m.SignalRow.run_id, m.SignalRow.session, m.SignalRow.verdict, m.SignalRow.client_order_id
    with open_database(path, read_only=True).connect() as connection:
        return [tuple(row) for row in connection.execute(select(*columns))]


def test_an_entry_is_written_with_the_signal_that_let_it_through_once(journal: DatabaseJournal, path: Path) -> None:
    journal.record_intent(approved())
    journal.record_intent(approved())
    assert signals_in(path) == [(1, FIRST, "approved", "tp-x")]


def test_an_exit_has_no_signal(journal: DatabaseJournal, path: Path) -> None:
    journal.record_intent(approved(side=Side.SELL, reason=OrderReason.SIGNAL_EXIT))
    assert signals_in(path) == []


def test_a_signal_that_cannot_be_written_takes_its_intent_back(journal: DatabaseJournal, path: Path) -> None:
    engine = open_database(path)
    with engine.begin() as connection:
        connection.execute(DropTable(m.Base.metadata.tables[m.SignalRow.__tablename__]))
    engine.dispose()
    with pytest.raises(SQLAlchemyError):
        journal.record_intent(approved())
    assert journal.find_order("tp-x") is None


def test_news_is_in_the_file_when_the_method_returns(journal: DatabaseJournal, path: Path) -> None:
    journal.record_intent(approved())
    journal.record_order(told(filled_quantity=4.0, status=OrderStatus.PARTIALLY_FILLED, message="words"))
    reopened = DatabaseJournal(open_database(path), 1, lambda: NOW)
    row = reopened.find_order("tp-x")
    assert row is not None
    assert (row.status, row.filled_quantity, row.broker_order_id) == (OrderStatus.PARTIALLY_FILLED, 4.0, "b-1")
    assert row.decided_at == NOW
    assert (row.stop_price, row.target_price) == (95.0, 110.0)


def test_both_journals_tell_the_same_after_every_step(journal: DatabaseJournal) -> None:
    memory = MemoryJournal()
    filled: dict[str, Any] = {"filled_quantity": 10.0, "status": OrderStatus.FILLED}
    steps = [
        told(broker_order_id="", status=OrderStatus.UNCERTAIN),
        told(),
        told(**filled, legs=(leg("stop"), leg("target"))),
        leg("stop", status=OrderStatus.CANCELED),
        told(broker_order_id="", reason=OrderReason.TAKE_PROFIT),
        told(**filled, legs=(leg("stop", **filled), leg("target", status=OrderStatus.CANCELED))),
    ]
    for order in (approved(), approved("tp-y", ticker="BBB")):
        journal.record_intent(order)
        memory.record_intent(order)
    for step in steps:
        journal.record_order(step)
        memory.record_order(step)
        assert journal.open_orders() == memory.open_orders()
        for key in ("tp-x", "tp-x-stop", "tp-x-target", "tp-y", "tp-z"):
            assert journal.find_order(key) == memory.find_order(key)
        for name in ("b-1", "b-stop", "b-target", "b-9"):
            assert journal.find_broker_order(name) == memory.find_broker_order(name)


def test_a_leg_carries_its_parents_approval(journal: DatabaseJournal, path: Path) -> None:
    journal.record_intent(approved())
    journal.record_order(told(legs=(leg("stop"),)))
    with open_database(path, read_only=True).connect() as connection:
        rows = connection.execute(select(m.Order.approval_id, m.Order.strategy, m.Order.reason)).all()
    assert [tuple(row) for row in rows] == [
        ("approval-0", "momentum", "entry"),
        ("approval-0", "momentum", "stop_loss"),
    ]


@pytest.mark.parametrize(("key", "parent"), [("tp-unknown", None), ("tp-unknown-stop", "tp-unknown"), ("-stop", "")])
def test_an_order_that_was_never_intended_is_refused_and_leaves_nothing(
    journal: DatabaseJournal, key: str, parent: str | None
) -> None:
    with pytest.raises(RepairDatabaseError, match="no intent of it for run 1"):
        journal.record_order(told(key, parent_id=parent))
    assert journal.open_orders() == []


def test_a_leg_that_cannot_be_written_takes_its_parents_news_back(journal: DatabaseJournal) -> None:
    journal.record_intent(approved())
    with pytest.raises(RepairDatabaseError):
        journal.record_order(told(legs=(told("tp-else-stop", parent_id="tp-else"),)))
    row = journal.find_order("tp-x")
    assert row is not None
    assert row.status is OrderStatus.INTENT


def test_the_same_decision_again_keeps_what_is_known(journal: DatabaseJournal) -> None:
    journal.record_intent(approved())
    journal.record_order(told(filled_quantity=10.0, status=OrderStatus.FILLED))
    journal.record_intent(approved())
    row = journal.find_order("tp-x")
    assert row is not None
    assert (row.status, row.broker_order_id) == (OrderStatus.FILLED, "b-1")


@pytest.mark.parametrize("change", [{"quantity": 11.0}, {"ticker": "BBB"}, {"side": Side.SELL}])
def test_an_id_is_taken_once(journal: DatabaseJournal, change: dict[str, Any]) -> None:
    journal.record_intent(approved())
    with pytest.raises(ApprovalError, match="belongs to buy 10 AAA"):
        journal.record_intent(approved(**change))


def test_close_ends_an_order_with_a_reason(journal: DatabaseJournal, path: Path) -> None:
    journal.record_intent(approved())
    journal.close("tp-x", OrderStatus.CANCELED, "never reached the broker")
    assert journal.open_orders() == []
    with open_database(path, read_only=True).connect() as connection:
        assert connection.execute(select(m.Order.message, m.Order.closed_at)).one() == ("never reached the broker", NOW)


def test_runs_do_not_see_each_other(journal: DatabaseJournal, path: Path) -> None:
    engine = open_database(path)
    other = DatabaseJournal(engine, new_run(engine), lambda: NOW)
    journal.record_intent(approved())
    journal.record_order(told())
    assert other.open_orders() == []
    assert other.find_order("tp-x") is None
    assert other.find_broker_order("b-1") is None


def test_a_brokers_order_without_a_name_is_nobodys(journal: DatabaseJournal) -> None:
    journal.record_intent(approved())
    assert journal.find_broker_order("") is None


def make_durable(world: World, journal: DatabaseJournal) -> None:
    world.journal = journal
    world.restart()


def test_the_broker_trades_a_bracket_over_the_database(journal: DatabaseJournal, path: Path) -> None:
    bars = [*flat(100.0, 2), (100.0, 100.0, 90.0, 92.0), *flat(92.0, 3)]
    with make_server(market({"AAA": bars})) as server:
        world = make_world(server)
        make_durable(world, journal)
        server.advance_to_close()
        order = world.place(key="tp-x", **ENTRY)
        server.advance_to_close()
        make_durable(world, DatabaseJournal(open_database(path), 1, lambda: datetime.now(UTC)))  # as after a crash
        fills = fills_since(world.broker, utc("2024-01-01"))
        statuses = {
            row.client_order_id: row.status
            for row in map(journal.find_order, ("tp-x", "tp-x-stop", "tp-x-target"))
            if row is not None
        }
    assert [(fill.client_order_id, fill.reason) for fill in fills] == [
        (order.client_order_id, OrderReason.ENTRY),
        ("tp-x-stop", OrderReason.STOP_LOSS),
    ]
    assert statuses == {
        "tp-x": OrderStatus.FILLED,
        "tp-x-stop": OrderStatus.FILLED,
        "tp-x-target": OrderStatus.CANCELED,
    }


def test_a_row_that_no_order_can_have_is_one_line_with_its_cure(journal: DatabaseJournal, path: Path) -> None:
    """Seen: one such row ended every start with a traceback, and its service started it again for ever."""
    journal.record_intent(approved())
    engine = open_database(path)
    with engine.begin() as connection:
        connection.execute(update(m.Order).values(side="hold"))
    engine.dispose()
    with pytest.raises(
        RepairDatabaseError, match=r"tp-x cannot be read \('hold' is not a valid Side\); `db repair`"
    ) as caught:
        journal.find_order("tp-x")
    assert caught.value.exit_code == 4  # which no service starts again


def test_a_split_gives_a_resting_stop_its_shares_and_its_level(journal: DatabaseJournal) -> None:
    stop = approved("tp-s", side=Side.SELL, limit_price=None, target_price=None, reason=OrderReason.STOP_LOSS)
    journal.record_intent(stop)
    moved = told("tp-s", side=Side.SELL, quantity=100.0, limit_price=None, stop_price=9.5)
    journal.record_order(moved)
    row = journal.find_order("tp-s")
    assert row is not None
    assert (row.quantity, row.stop_price) == (100.0, 9.5)
    journal.record_order(moved._replace(stop_price=None))  # a group's root has none: its legs do
    assert journal.find_order("tp-s") == row
