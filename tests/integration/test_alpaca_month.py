"""A month of trading while everything breaks: afterwards both books agree, and no order was lost or doubled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from alpaca_world import Bar, World, make_server, make_world, market, utc

from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.records import Whim
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.two_books import (
    CancelOrder,
    CloseOrder,
    OurBook,
    Protect,
    UpdateOrder,
    apply_actions,
)
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderStatus, Side

TICKERS = ("AAA", "BBB", "CCC", "DDD", "EEE")
SESSIONS = 22
SINCE = utc("2024-01-01")


@dataclass(slots=True)
class Desk:
    """A small engine: reads the broker's book, makes ours agree, decides at random, places and protects."""

    world: World
    draws: random.Random
    book: OurBook = field(default_factory=lambda: OurBook(100_000.0))
    previous: tuple[Difference, ...] = ()
    quarantine: frozenset[str] = frozenset()
    seen: Counter[DifferenceKind] = field(default_factory=Counter)
    placed: int = 0
    blind_scans: int = 0

    def scan(self) -> bool:
        """Run one reconciliation; return True if nothing differed."""
        journal = self.world.journal
        try:
            theirs = self.world.broker.book_since(SINCE)
            self.book = replace(self.book, orders={row.client_order_id: row for row in journal.open_orders()})
            now = self.world.server.now
            result = reconcile(self.book, theirs, now, "tp-", self.previous)
            self.book = apply_actions(self.book, result.actions)
            self.previous, self.quarantine = result.differences, result.quarantine
            self.seen.update(difference.kind for difference in result.differences)
            for action in result.actions:
                match action:
                    case UpdateOrder(order):
                        journal.record_order(order)
                    case CloseOrder(key, status, message):
                        journal.close(key, status, message)
                    case CancelOrder(key):
                        self.world.broker.cancel_order(key)
                    case Protect(ticker, quantity, stop, target):
                        self.place(
                            ticker,
                            Side.SELL,
                            quantity,
                            reason=OrderReason.STOP_LOSS,
                            stop_price=stop,
                            target_price=target,
                        )
        except BrokerUnreachableError:
            self.blind_scans += 1
            return False
        return not result.differences

    def decide(self) -> None:
        """Enter and leave at random, on tickers where nothing is at work or unexplained."""
        busy = {row.ticker for row in self.world.journal.open_orders() if row.side is Side.BUY} | self.quarantine
        for ticker in TICKERS:
            if ticker in busy:
                continue
            price = self.world.server.market.price(ticker)
            assert price is not None
            if ticker in self.book.positions:
                if self.draws.random() < 0.2:
                    self.place(ticker, Side.SELL, self.book.positions[ticker].quantity)
            elif self.draws.random() < 0.5:
                stop, target = round(price * 0.96, 2), round(price * 1.05, 2)
                quantity = float(self.draws.randint(1, 40))
                limit = round(price * 1.02, 2)
                self.place(ticker, Side.BUY, quantity, limit_price=limit, stop_price=stop, target_price=target)

    def place(self, ticker: str, side: Side, quantity: float, **fields: Any) -> None:
        self.placed += 1
        with suppress(BrokerUnreachableError):  # an exit whose shares cannot be released now
            self.world.place(key=f"tp-{self.placed}", ticker=ticker, side=side, quantity=quantity, **fields)


def random_market(seed: int) -> dict[str, list[Bar | None]]:
    draws = np.random.default_rng(seed)
    bars: dict[str, list[Bar | None]] = {}
    for ticker in TICKERS:
        series: list[Bar | None] = []
        close = 80.0
        for _ in range(SESSIONS):
            opened = close * float(np.exp(draws.normal(0, 0.01)))
            close = opened * float(np.exp(draws.normal(0, 0.02)))
            high, low = max(opened, close) * 1.01, min(opened, close) * 0.99
            series.append((round(opened, 2), round(high, 2), round(low, 2), round(close, 2)))
            close = round(close, 2)
        bars[ticker] = series
    return bars


def everything_breaks(probability: float) -> Iterator[Fault]:
    kinds: list[tuple[FaultKind, int]] = [
        (FaultKind.STATUS_BEFORE, 500),
        (FaultKind.STATUS_BEFORE, 429),
        (FaultKind.STATUS_BEFORE, 503),
        (FaultKind.STATUS_AFTER, 504),
        (FaultKind.STATUS_AFTER, 500),
        (FaultKind.HTML, 502),
        (FaultKind.DROP_BEFORE, 0),
        (FaultKind.DROP_AFTER, 0),
        (FaultKind.GARBAGE_AFTER, 0),
        (FaultKind.EMPTY_AFTER, 0),
    ]
    for kind, status in kinds:
        yield Fault(kind, status=status, times=None, probability=probability / len(kinds))
    yield Fault(FaultKind.HANG, times=3, probability=0.002, seconds=0.6)


DOWN = Fault(FaultKind.STATUS_BEFORE, status=503, times=None)
DEAF = Fault(FaultKind.DROP_AFTER, method="POST", times=None)  # orders arrive, and nothing comes back
OUTAGES: dict[int, tuple[Fault, ...]] = {4: (DOWN,), 11: (DEAF, DOWN), 15: (DOWN,)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_month_of_faults_ends_reconciled(seed: int) -> None:
    with make_server(market(random_market(seed), volume=20_000.0), PaperFills(), seed=seed) as server:
        world = make_world(server)
        desk = Desk(world, random.Random(seed))
        server.faults.add(*everything_breaks(0.15))
        for kind in ("reject", "cancel", "partial", "partial"):
            server.exchange.whims.append(Whim(kind, symbol=TICKERS[desk.draws.randrange(5)], side="buy"))
        for day in range(SESSIONS - 3):
            outage = OUTAGES.get(day, ())
            server.faults.add(*(replace(fault) for fault in outage), first=True)
            desk.decide()
            server.faults.remove(len(outage))
            if day == 9:
                world.restart()  # the process was killed and started again; the journal is what it has
            for instant in (server.market.next_open() - timedelta(minutes=10), server.market.next_open()):
                server.advance(instant)
                desk.scan()
            server.advance(server.now + timedelta(hours=3))
            desk.scan()
            if day == 12:
                server.move_cash(-777.77)
            server.advance_to_close()
            desk.scan()
        struck = sum(fault.struck for fault in server.faults.faults)
        server.faults.clear()
        for _ in range(4):
            server.advance_to_close()
            if desk.scan():
                break

        account, journal, orders = server.account, world.memory, server.exchange.orders.values()
        assert struck > 50
        assert desk.book.cash == account.cash
        assert {t: p.quantity for t, p in desk.book.positions.items()} == {
            symbol: position.quantity for symbol, position in account.positions.items()
        }
        fills = {activity.id for activity in account.activities if activity.kind == "FILL"}
        assert fills <= desk.book.booked
        roots = [order for order in orders if order.parent is None]
        assert len({order.client_order_id for order in roots}) == len(roots) <= desk.placed
        statuses = {"filled": OrderStatus.FILLED, "expired": OrderStatus.EXPIRED, "canceled": OrderStatus.CANCELED}
        for order in roots:
            assert journal.approvals[order.client_order_id]
            row = journal.rows[order.client_order_id]
            assert row.broker_order_id == order.id
            assert row.filled_quantity == order.filled_quantity
            assert row.status == statuses.get(order.status, row.status)
        sent = [row for row in journal.rows.values() if row.broker_order_id is None]
        assert all(row.status in (OrderStatus.CANCELED, OrderStatus.REJECTED) for row in sent)
        assert desk.seen[DifferenceKind.FILL] >= 10
        assert desk.seen[DifferenceKind.NEVER_SENT] >= 1
        assert desk.seen[DifferenceKind.OVERPROTECTED] <= 2  # a partial exit may leave too large a stop
        assert desk.seen[DifferenceKind.POSITION_UNEXPLAINED] == desk.seen[DifferenceKind.CASH_UNEXPLAINED] == 0
