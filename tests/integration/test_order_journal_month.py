"""A month of faults with the order journal in a database that is closed and opened again every few days."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from alpaca_world import make_server, make_world, market
from sqlalchemy import Engine, select
from test_alpaca_month import SESSIONS, Desk, everything_breaks, random_market
from test_order_journal_database import new_run

from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.brokers.reconciliation.differences import DifferenceKind
from trading_platform.core.types import OrderStatus
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.order_journal import DatabaseJournal

STATUSES = {"filled": OrderStatus.FILLED, "expired": OrderStatus.EXPIRED, "canceled": OrderStatus.CANCELED}
REOPENED = 3  # sessions between two restarts


@pytest.mark.parametrize("seed", [1, 2])
def test_month_of_faults_ends_reconciled_over_the_database(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "trading.db"
    engine = open_database(path)
    migrate(engine)
    new_run(engine)
    with make_server(market(random_market(seed), volume=20_000.0), PaperFills(), seed=seed) as server:
        world = make_world(server)
        desk = Desk(world, random.Random(seed))

        def reopen(old: Engine) -> Engine:
            old.dispose()
            new = open_database(path)
            world.journal = DatabaseJournal(new, 1, lambda: server.now)
            world.restart()
            return new

        server.faults.add(*everything_breaks(0.15))
        for day in range(SESSIONS - 3):
            if day % REOPENED == 0:
                engine = reopen(engine)
            desk.decide()
            for instant in (server.market.next_open() - timedelta(minutes=10), server.market.next_open()):
                server.advance(instant)
                desk.scan()
            server.advance_to_close()
            desk.scan()
        server.faults.clear()
        engine = reopen(engine)
        for _ in range(4):
            server.advance_to_close()
            if desk.scan():
                break
        roots = [order for order in server.exchange.orders.values() if order.parent is None]
        account = server.account
    with engine.connect() as connection:
        rows = {row.client_order_id: row for row in connection.execute(select(m.Order.__table__))}
    engine.dispose()
    assert desk.book.cash == account.cash
    assert {t: p.quantity for t, p in desk.book.positions.items()} == {
        symbol: position.quantity for symbol, position in account.positions.items()
    }
    assert len({order.client_order_id for order in roots}) == len(roots) <= desk.placed
    assert len(roots) >= 15
    for order in roots:
        row = rows[order.client_order_id]
        assert row.approval_id
        assert (row.broker_order_id, row.filled_quantity) == (order.id, order.filled_quantity)
        assert row.status == STATUSES.get(order.status, row.status)
        assert (row.closed_at is None) == OrderStatus(row.status).is_open
    never_sent = [row for row in rows.values() if row.broker_order_id is None]
    assert all(row.status in (OrderStatus.CANCELED, OrderStatus.REJECTED) for row in never_sent)
    assert desk.seen[DifferenceKind.POSITION_UNEXPLAINED] == desk.seen[DifferenceKind.CASH_UNEXPLAINED] == 0
