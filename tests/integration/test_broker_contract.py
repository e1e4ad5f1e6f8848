"""What any broker keeps: the paper simulator, Alpaca over the local server, and the broker of docs/brokers.md.

A broker of one's own joins with a scene: how its market opens, and how it is opened again after a crash.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from alpaca_world import CALENDAR, FakeTimer, MemoryJournal, Register, ServerClock, flat, make_http, make_server, market

from risk_config import RiskConfig
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.alpaca_venue import AlpacaVenue
from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.brokers.venue import ENTRY_LIFE, Broker, PendingOrder, row_of
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import ApprovalError, FixConfigError
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import build_market
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import DifferenceRow
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import ApprovedOrder, Ints, OrderIntent, Settlement, Side
from trading_platform.engine.own_brokers import BrokerSetup, own_broker
from trading_platform.market_data.alpaca_data import LatestPrice

DOCS = Path(__file__).parents[2] / "docs" / "brokers.md"
COSTS = CostConfig(half_spread_bps=0.0, slippage_bps=0.0, impact_bps=0.0)
RULES = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), COSTS.rates())
CASH = 100_000.0
STRATEGIES = ("momentum", "breakout")
PANEL = market(
    {
        "AAA": [(50.0, 50.0, 50.0, 50.0)] * 3 + [(54.0, 54.0, 54.0, 54.0)] * 5,
        "BBB": [(20.0, 20.0, 20.0, 20.0)]
        + [(30.0, 30.0, 30.0, 30.0)] * 7,  # opens far above what a buyer of 20 would pay
        "SPY": flat(400.0),
    }
)
MARKET = build_market(PANEL, np.arange(PANEL.n_sessions, dtype=np.float64) * 23_400.0, RULES.limits.correlation_window)


class Door:
    """A risk manager that approves what it is asked, and takes each approval once."""

    def __init__(self) -> None:
        self.register = Register()
        self.now = CALENDAR.close_at(PANEL.session(0))

    def approve(self, intent: OrderIntent, attempt: int = 0, decided: OrderIntent | None = None) -> ApprovedOrder:
        return self.register.approve(intent, self.now, attempt)

    def consume(self, order: ApprovedOrder) -> None:
        self.register.consume(order)

    def quarantine(self, reasons: Mapping[str, str], unreconciled: str | None = None) -> None:
        assert unreconciled is None

    def can_trade(self) -> tuple[bool, str]:
        return True, "OK"

    def show_selling(self, selling: Mapping[str, float]) -> None: ...

    def mirror(self, account: Record, slots: Records, lots: Records, stopped: Ints) -> None: ...


class Scene(Protocol):
    """A broker with its market: rows of PANEL."""

    door: Door
    broker: Broker

    def opened(self, t: int) -> None:
        """Let the market open in row `t` and orders trade."""
        ...

    def closed(self, t: int) -> None:
        """Let the market close."""
        ...

    def open_again(self) -> Broker:
        """Return the broker as a new process would have it."""
        ...


class PaperScene:
    def __init__(self) -> None:
        self.door = Door()
        self.broker: Broker = self.open_again()

    def opened(self, t: int) -> None: ...

    def closed(self, t: int) -> None: ...

    def open_again(self) -> Broker:
        return PaperBroker(RULES, CASH, PANEL.tickers, STRATEGIES, self.door)


class ByHandScene:
    """The broker of the docs, and an owner who executes what stands in orders.csv at the open."""

    def __init__(self, folder: Path) -> None:
        (folder / "brokers").mkdir()
        (folder / "brokers" / "by_hand.py").write_text(example(), encoding="utf-8")
        self.door = Door()
        self.opener = own_broker("by_hand", folder / "brokers")
        self.broker: Broker = self.open_again()
        self.seen = 0

    def opened(self, t: int) -> None:
        if not Path("orders.csv").is_file():
            return
        orders = list(csv.DictReader(Path("orders.csv").read_text(encoding="utf-8").splitlines()))
        made = (
            Path("fills.csv").read_text(encoding="utf-8")
            if Path("fills.csv").is_file()
            else ("fill,date,order,side,ticker,shares,price,fees,why\n")
        )
        for order in orders[self.seen :]:
            price = float(PANEL.open[t, PANEL.tickers.index(order["ticker"])])
            if not order["limit"] or price <= float(order["limit"]):
                made += f"f-{order['order']},{PANEL.session(t)},{order['order']},{order['side']},{order['ticker']},"
                made += f"{order['shares']},{price},,\n"
        self.seen = len(orders)
        Path("fills.csv").write_text(made, encoding="utf-8")

    def closed(self, t: int) -> None: ...

    def open_again(self) -> Broker:
        return self.opener(BrokerSetup(RULES, CASH, PANEL.tickers, STRATEGIES, self.door))


class NoDifferences:
    def note(self, found: Iterable[DifferenceRow], session: date, now: datetime) -> None:
        assert [row for row in found if row.stands and not row.is_patient] == []


class AlpacaScene:
    def __init__(self, server: object) -> None:
        self.server = server
        self.door, self.journal = Door(), MemoryJournal()
        self.broker: Broker = self.open_again()
        self.broker.restore(self.broker.snapshot(PANEL.session(0)), [])

    def opened(self, t: int) -> None:
        opens = self.server.market.opens[t]  # type: ignore[attr-defined]
        for instant in (opens, opens + ENTRY_LIFE):  # then entries that rest are called back
            self.look(instant)
        self.look(opens + 2 * ENTRY_LIFE)

    def closed(self, t: int) -> None:
        self.server.advance(self.server.market.closes[t])  # type: ignore[attr-defined]

    def look(self, to: datetime) -> None:
        self.server.advance(to)  # type: ignore[attr-defined]
        self.broker.watch(to)

    def open_again(self) -> Broker:
        clock = ServerClock(self.server)  # type: ignore[arg-type]
        timer = FakeTimer()
        http = make_http(self.server, timer, requests_per_minute=1e9)  # type: ignore[arg-type]
        broker = AlpacaBroker(http, self.door, self.journal, clock, timer.sleep)
        book = AccountBook(RULES, CASH, PANEL.tickers, STRATEGIES)
        memory = Memory(clock.now() - timedelta(seconds=1), {})
        return AlpacaVenue(broker, self.journal, NoDifferences(), self.door, book, memory, CALENDAR, clock, self.prices)

    def prices(self, tickers: object) -> dict[str, LatestPrice]:
        return {}


def example() -> str:
    """Return the file that the docs print."""
    return DOCS.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


@contextmanager
def paper(folder: Path) -> Iterator[Scene]:
    yield PaperScene()


@contextmanager
def by_hand(folder: Path) -> Iterator[Scene]:
    yield ByHandScene(folder)


@contextmanager
def alpaca(folder: Path) -> Iterator[Scene]:
    with make_server(PANEL) as server:
        yield AlpacaScene(server)


SCENES: list[Callable[[Path], object]] = [paper, alpaca, by_hand]


@pytest.fixture(params=SCENES, ids=lambda make: make.__name__)
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.chdir(tmp_path)
    with request.param(tmp_path) as made:
        yield made


# ---------------------------------------------------------------- what the engine does with a broker


def decided(scene: Scene, t: int, ticker: str, side: Side, quantity: float, limit: float | None) -> ApprovedOrder:
    """Return an order that breakout decided at the close of row `t`, staged in the broker's book and approved."""
    is_buy = side is Side.BUY
    intent = OrderIntent(
        ticker,
        side,
        quantity,
        limit,
        45.0 if is_buy else None,
        90.0 if is_buy else None,
        "breakout",
        OrderReason.ENTRY if is_buy else OrderReason.SIGNAL_EXIT,
        1.0,
        PANEL.session(t),
    )
    scene.door.now = CALENDAR.close_at(PANEL.session(t))
    order = scene.door.approve(intent)
    PendingEntries(scene.broker.book, PANEL.tickers, STRATEGIES).stage(row_of(order))
    return order


def buy(scene: Scene, t: int, ticker: str = "AAA", quantity: float = 10.0, limit: float = 51.0) -> ApprovedOrder:
    order = decided(scene, t, ticker, Side.BUY, quantity, limit)
    scene.broker.place_order(order)
    return order


def trade(scene: Scene, t: int) -> Settlement:
    """Let row `t` open and close, and settle it."""
    scene.opened(t)
    scene.closed(t)
    session = PANEL.session(t)
    return scene.broker.settle(MARKET, t, session, CALENDAR.open_at(session), CALENDAR.close_at(session))


def held(broker: Broker) -> dict[str, float]:
    return {PANEL.tickers[slot["ticker"]]: float(slot["quantity"]) for slot in broker.slots if slot["quantity"] > 0.0}


# ---------------------------------------------------------------- the contract


def test_views_are_parts_of_the_book_not_copies(scene: Scene) -> None:
    broker = scene.broker
    broker.slots[0]["held"] = 7
    broker.record["trades"] = 3
    assert (broker.book.slots[0]["held"], broker.book.accounts[0]["trades"]) == (7, 3)
    assert np.shares_memory(broker.lots, broker.book.lots) and np.shares_memory(broker.stopped, broker.book.stopped)
    assert float(broker.record["cash"]) == float(broker.record["equity"]) == CASH


def test_approved_entry_trades_at_the_next_open_and_is_told_once(scene: Scene) -> None:
    order = buy(scene, 0)
    settled = trade(scene, 1)
    (fill, realized, closed), *more = settled.fills
    assert more == [] and closed is None and realized == 0.0
    assert (fill.client_order_id, fill.ticker, fill.side) == (order.client_order_id, "AAA", Side.BUY)
    assert (fill.quantity, fill.price, fill.amount) == (10.0, 50.0, 500.0)
    assert (fill.strategy, fill.reason, fill.session) == ("breakout", "entry", PANEL.session(1))
    assert held(scene.broker) == {"AAA": 10.0}
    assert float(scene.broker.slots["pending"].max()) == 0.0
    assert float(scene.broker.record["cash"]) == pytest.approx(CASH - 500.0 - fill.fees)
    assert settled.equity == pytest.approx(CASH - fill.fees)
    again = trade(scene, 2)
    assert list(again.fills) == [] and again.equity == pytest.approx(settled.equity)


def test_order_without_a_fresh_approval_is_refused_and_nothing_leaves(scene: Scene) -> None:
    order = decided(scene, 0, "AAA", Side.BUY, 10.0, 51.0)
    with pytest.raises(ApprovalError):
        scene.broker.place_order(order._replace(approval_id="forged"))
    scene.broker.place_order(order)
    trade(scene, 1)
    assert held(scene.broker) == {"AAA": 10.0}
    assert len(scene.door.register.spent) >= 1


def test_entry_that_the_open_missed_is_not_waited_for(scene: Scene) -> None:
    buy(scene, 0, "BBB", 10.0, 20.5)
    settled = trade(scene, 1)
    assert list(settled.fills) == [] and settled.equity == CASH
    assert held(scene.broker) == {}
    assert float(scene.broker.slots["pending"].max()) == 0.0


def test_sale_tells_the_round_trip_that_it_closes(scene: Scene) -> None:
    buy(scene, 0)
    trade(scene, 1)
    trade(scene, 2)
    scene.broker.place_order(decided(scene, 2, "AAA", Side.SELL, 10.0, None))
    settled = trade(scene, 3)
    (fill, realized, closed), *more = settled.fills
    assert more == [] and closed is not None
    assert (fill.side, fill.quantity, fill.price, fill.reason) == (Side.SELL, 10.0, 54.0, "signal_exit")
    assert realized == pytest.approx(40.0)
    assert (closed.strategy, closed.entry_session, closed.exit_session) == (
        "breakout",
        PANEL.session(1),
        PANEL.session(3),
    )
    assert closed.pnl == pytest.approx(40.0 - closed.fees)
    assert held(scene.broker) == {}
    assert float(scene.broker.record["cash"]) == pytest.approx(settled.equity)


def test_broker_that_is_opened_again_has_the_same_book_and_books_nothing_twice(scene: Scene) -> None:
    buy(scene, 0)
    trade(scene, 1)
    order = decided(scene, 1, "AAA", Side.SELL, 10.0, None)
    scene.broker.place_order(order)
    before, saved = scene.broker, scene.broker.snapshot(PANEL.session(1))
    scene.broker = scene.open_again()
    scene.broker.restore(saved, [PendingOrder(order.client_order_id, "AAA", Side.SELL, 10.0)])
    for mine, theirs in zip(scene.broker.book, before.book, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    settled = trade(scene, 2)
    assert [(fill.side, fill.quantity) for fill, _, _ in settled.fills] == [(Side.SELL, 10.0)]
    assert held(scene.broker) == {}
    assert list(trade(scene, 3).fills) == []


# ---------------------------------------------------------------- brokers of one's own


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r'\[broker\] name = "mine": there are paper, alpaca, and no .*mine\.py with a function open_broker'),
        ("x = 1\n", r"mine\.py: no function open_broker\(setup\)"),
        ("1 / 0\n", r"mine\.py: cannot be imported: ZeroDivisionError"),
    ],
)
def test_broker_that_cannot_be_opened_is_named_with_the_cure(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(FixConfigError, match=words):
        own_broker("mine", tmp_path)
