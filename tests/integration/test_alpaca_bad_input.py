"""Answers of Alpaca that are unknown in form or value: left alone by object, told once, and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alpaca_world import flat
from test_alpaca_venue import CASH, Scene
from test_engine_at_realistic_alpaca import ONE_LOOK, deed, held, holding, leave

from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.core.alert_states import AlertKind
from trading_platform.core.ports import DifferenceRow
from trading_platform.storage.account_states import account_states
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.difference_store import DifferenceStore
from trading_platform.storage.repository import create_run

STRANGE = {"activity_type": "GIFT", "net_amount": 12.5}


def lines(scene: Scene, kind: str) -> list[DifferenceRow]:
    return [row for row in scene.differences.rows if row.kind == kind]


def test_activity_of_an_unknown_type_is_booked_by_nobody_and_stands_aside() -> None:
    with holding() as scene:
        deed(scene, "activities", **STRANGE)
        deed(scene, "activities", activity_type="DIV", symbol="AAA", net_amount=7.0)
        for _ in range(3):
            scene.look(scene.server.now + ONE_LOOK)
            assert not scene.door.stops_all()
        (line,) = lines(scene, "unreadable")
        assert "'GIFT' is unknown" in line.theirs
        assert scene.door.reasons == {}
        settled = scene.settle(2)
        assert (settled.flows.fees, settled.flows.cash_flow, settled.flows.dividends) == (0.0, 0.0, 7.0)
        assert scene.server.account.cash - float(scene.venue.record["cash"]) == 12.5


def test_shares_of_an_unknown_activity_keep_new_risk_out_of_their_ticker_only() -> None:
    with holding() as scene:
        deed(scene, "activities", activity_type="GIFT", symbol="AAA", qty=3.0, moves_shares=True)
        for _ in range(3):
            scene.look(scene.server.now + ONE_LOOK)
        assert (scene.book.quantity("AAA"), scene.book.manual) == (10.0, {})
        assert set(scene.door.reasons) == {"AAA"}
        assert not scene.door.stops_all()


def test_entries_that_nobody_understands_are_one_line() -> None:
    with holding() as scene:
        for amount in (1.0, 2.0, 3.0, 4.0, 5.0):
            deed(scene, "activities", activity_type="GIFT", net_amount=amount)
        scene.look()
        assert not scene.door.stops_all()
        (line,) = lines(scene, "unreadable")
        assert line.theirs.endswith("and 2 more")


def test_entry_whose_money_has_not_moved_leaves_cash_alone() -> None:
    with holding() as scene:
        deed(scene, "activities", **STRANGE)
        scene.server.account.cash -= 12.5
        scene.look()
        assert not scene.door.stops_all()
        assert lines(scene, "unreadable")


def test_cash_that_no_strange_entry_explains_stops_new_risk_all_the_same() -> None:
    with holding() as scene:
        deed(scene, "activities", **STRANGE)
        scene.server.account.cash += 100.0
        scene.look()
        assert scene.door.stops_all()


def test_money_of_a_strange_entry_is_a_flow_when_history_shows_it_no_more() -> None:
    with holding() as scene:
        deed(scene, "activities", **STRANGE)
        scene.look()
        scene.server.account.activities.pop()
        scene.look(scene.server.now + ONE_LOOK)
        scene.look(scene.server.now + ONE_LOOK)
        settled = scene.settle(2)
        assert (settled.flows.fees, settled.flows.cash_flow, settled.equity) == (0.0, 12.5, CASH + 12.5)


def run_row() -> dict[str, object]:
    words = dict.fromkeys(
        ("key", "source", "config_fingerprint", "config", "data_hash", "code_version", "sectors", "mode", "status"), "x"
    )
    return {**words, "strategies": "[]", "started_at": datetime(2024, 1, 2, tzinfo=UTC), "capital": 1.0}


@pytest.fixture
def unread() -> Iterator[Scene]:
    """A scene in which the two orders of BBB's group have a type that nobody knows, and AAA's are as ever."""
    bars = {"AAA": flat(50.0), "BBB": flat(50.0)}
    with holding(bars=bars) as scene:
        scene.enter("BBB", 5.0)
        scene.look(scene.server.now + ONE_LOOK)
        for order in scene.server.exchange.orders.values():
            if order.symbol == "BBB":
                order.type = "iceberg"
        yield scene


def test_own_order_that_cannot_be_read_keeps_new_risk_out_of_its_ticker_only(unread: Scene) -> None:
    unread.look(unread.server.now + ONE_LOOK)
    assert set(unread.door.reasons) == {"BBB"}
    assert not unread.door.stops_all()
    (line,) = lines(unread, "unreadable")
    assert (line.ticker, line.stands) == ("BBB", True)
    sent = unread.server.exchange.orders.keys()
    assert leave(unread, "AAA").status.is_open or held(unread, "AAA") == 0.0
    assert held(unread, "AAA") == 0.0
    assert len(unread.server.exchange.orders.keys() - sent) <= 1


def test_session_with_an_own_order_that_cannot_be_read_is_settled(unread: Scene) -> None:
    settled = unread.settle(2)
    assert settled.equity == CASH
    unread.look()
    assert (unread.book.quantity("BBB"), held(unread, "BBB")) == (5.0, 5.0)


def test_own_order_that_can_be_read_again_goes_on(unread: Scene) -> None:
    unread.look(unread.server.now + ONE_LOOK)
    for order in unread.server.exchange.orders.values():
        if order.type == "iceberg":
            order.type = "stop" if order.stop_price is not None else "limit"
    unread.look(unread.server.now + ONE_LOOK)
    assert unread.door.reasons == {}
    assert not lines(unread, "unreadable")


def test_order_of_ours_that_is_answered_with_nonsense_once_is_read_at_the_next_attempt() -> None:
    with holding() as scene:
        scene.server.faults.add(Fault(FaultKind.GARBAGE_AFTER, "GET", "/v2/orders/", times=1))
        scene.look(scene.server.now + ONE_LOOK)
        assert not lines(scene, "unreadable")


@pytest.mark.parametrize("kind", ["option", "mleg", "crypto", "unreadable"])
def test_orders_of_the_owner_in_other_things_are_his_and_one_line(kind: str) -> None:
    with holding() as scene:
        for _ in range(2):
            deed(scene, "foreign", kind=kind)
        for _ in range(3):
            scene.look(scene.server.now + ONE_LOOK)
        assert not lines(scene, "unreadable")
        (line,) = lines(scene, "owners_things")
        assert scene.door.reasons == {}
        assert line.theirs.count("; ") == 1


def test_owners_things_are_written_once_and_are_no_alert(tmp_path: Path) -> None:
    with holding() as scene:
        engine = open_database(tmp_path / "d.db")
        migrate(engine)
        run_id = create_run(engine, run_row(), [])
        store = DifferenceStore(engine, run_id)
        deed(scene, "foreign", kind="option")
        for _ in range(3):
            scene.look(scene.server.now + ONE_LOOK)
            store.note(scene.differences.rows, scene.panel.session(1), scene.server.now)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT kind FROM differences").all()
        assert [kind for (kind,) in rows] == ["owners_things"]
        assert account_states(engine, run_id) == []
        deed(scene, "activities", **STRANGE)
        scene.look(scene.server.now + ONE_LOOK)
        store.note(scene.differences.rows, scene.panel.session(1), scene.server.now)
        (state,) = account_states(engine, run_id)
        assert state.kind is AlertKind.QUARANTINE
        assert state.words.startswith("Left alone, nobody understands it: activity")
