"""The venue over the local Alpaca: what the owner does by hand, what nobody explains, and who watches the stops."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from alpaca_world import (
    CALENDAR,
    FakeTimer,
    MemoryJournal,
    Register,
    ServerClock,
    flat,
    make_http,
    make_server,
    market,
)

from risk_config import RiskConfig
from trading_platform.alpaca.clock import SkewGuard
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.records import Whim
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.alpaca_venue import AlpacaVenue
from trading_platform.brokers.eve_events import ExDateSource
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import BrokerUnreachableError, FixCredentialsError
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market, build_market
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import DifferenceRow
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import ApprovedOrder, Ints, MarketPanel, OrderIntent, OrderStatus, Settlement, Side
from trading_platform.market_data.alpaca_data import LatestPrice
from trading_platform.storage.operator_requests import Standing

RULES = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
CASH = 100_000.0


class Door:
    """A risk manager that approves everything and remembers what it was told."""

    def __init__(self, server: AlpacaServer) -> None:
        self.register = Register()
        self.server = server
        self.reasons: dict[str, str] = {}
        self.unreconciled: str | None = None
        self.selling: dict[str, float] = {}
        self.refusal = "OK"

    def approve(self, intent: OrderIntent, attempt: int = 0, decided: OrderIntent | None = None) -> ApprovedOrder:
        return self.register.approve(intent, self.server.now, attempt)

    def consume(self, order: ApprovedOrder) -> None:
        self.register.consume(order)

    def quarantine(self, reasons: Mapping[str, str], unreconciled: str | None = None) -> None:
        self.reasons, self.unreconciled = dict(reasons), unreconciled

    def can_trade(self) -> tuple[bool, str]:
        return self.refusal == "OK", self.refusal

    def show_selling(self, selling: Mapping[str, float]) -> None:
        self.selling = dict(selling)

    def mirror(self, account: Record, slots: Records, lots: Records, stopped: Ints) -> None: ...

    def stops_all(self) -> bool:
        return self.unreconciled is not None


@dataclass
class Differences:
    """Remembers the lines of the last reading, and all kinds ever seen."""

    rows: list[DifferenceRow] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)

    def note(self, found: Iterable[DifferenceRow], session: date, now: datetime) -> None:
        self.rows = list(found)
        self.kinds |= {row.kind for row in self.rows}


class Said:
    """What operators have said so far."""

    def __init__(self) -> None:
        self.standing = Standing()

    def refuses(self, ticker: str, strategies: Collection[str]) -> bool:
        return self.standing.refuses(ticker, strategies)


class Scene:
    """A venue on a server; sessions are rows of the panel."""

    def __init__(self, server: AlpacaServer, panel: MarketPanel) -> None:
        self.server, self.panel = server, panel
        self.journal, self.door, self.differences = MemoryJournal(), Door(server), Differences()
        self.timer = FakeTimer()
        self.ahead = timedelta()  # of this machine's clock
        self.said = Said()
        clock = np.arange(panel.n_sessions, dtype=np.float64) * 23_400.0
        self.market: Market = build_market(panel, clock, RULES.limits.correlation_window)
        self.venue = self.build()
        self.venue.restore(self.venue.snapshot(panel.session(0)))

    def build(self) -> AlpacaVenue:
        clock, http = ServerClock(self.server), make_http(self.server, self.timer, requests_per_minute=1e9)
        broker = AlpacaBroker(http, self.door, self.journal, clock, self.timer.sleep)
        self.book = AccountBook(RULES, CASH, self.panel.tickers, ["momentum", "breakout"])
        memory = Memory(self.server.now - timedelta(seconds=1), {})
        guard = SkewGuard(broker.reader, lambda: self.server.now + self.ahead)
        return AlpacaVenue(
            broker,
            self.journal,
            self.differences,
            self.door,
            self.book,
            memory,
            CALENDAR,
            clock,
            self.prices,
            compare_clocks=guard.compare,
            ex_dates=self.ex_dates(http),
            refuses=self.said.refuses,
        )

    def ex_dates(self, http: AlpacaHttp) -> ExDateSource | None:
        """Return who tells corporate actions: nobody, unless a test is about them."""
        return None

    def prices(self, tickers: Iterable[str]) -> dict[str, LatestPrice]:
        found = {ticker: self.server.market.price(ticker) for ticker in tickers}
        now = self.server.now
        return {ticker: LatestPrice(price, now) for ticker, price in found.items() if price is not None}

    def enter(self, ticker: str, quantity: float, limit: float = 60.0, stop: float = 45.0) -> OrderStatus:
        intent = OrderIntent(
            ticker, Side.BUY, quantity, limit, stop, 90.0, "breakout", OrderReason.ENTRY, 1.0, self.server.now.date()
        )
        return self.venue.place_order(self.door.approve(intent)).status

    def look(self, to: datetime | None = None) -> bool:
        if to is not None:
            self.server.advance(to)
        return self.venue.watch(self.server.now)

    def opened(self, row: int) -> bool:
        return self.look(self.server.market.opens[row])

    def settle(self, row: int) -> Settlement:
        opens, closes = self.server.market.opens[row], self.server.market.closes[row]
        self.server.advance(closes)
        return self.venue.settle(self.market, row, self.panel.session(row), opens, closes)

    def working(self, ticker: str) -> list[tuple[str, float, float | None]]:
        """Return (type, shares, stop price) of the roots and legs that still work at the server."""
        return [
            (order.type, order.remaining, order.stop_price)
            for order in self.server.exchange.working(ticker)
            if order.side is Side.SELL
        ]


@pytest.fixture
def scene() -> Iterator[Scene]:
    panel = market({"AAA": flat(50.0), "BBB": flat(20.0), "SPY": flat(400.0)})
    with make_server(panel) as server:
        yield Scene(server, panel)


def equal(scene: Scene) -> None:
    """Assert that both books agree, the owner's part included."""
    held = {ticker: p.quantity for ticker, p in scene.book.positions().items()}
    for ticker, quantity in scene.book.manual.items():
        held[ticker] = held.get(ticker, 0.0) + quantity
    assert held == {symbol: p.quantity for symbol, p in scene.server.account.positions.items()}
    assert float(scene.venue.record["cash"]) == scene.server.account.cash


def test_an_entry_fills_is_settled_and_protected_overnight(scene: Scene) -> None:
    assert scene.enter("AAA", 10.0) is OrderStatus.SUBMITTED
    assert scene.venue.slots["pending"].max() == 10.0
    assert scene.opened(1)
    assert scene.venue.slots["pending"].max() == 0.0
    settled = scene.settle(1)
    assert [(fill.ticker, fill.quantity, fill.reason) for fill, _, _ in settled.fills] == [("AAA", 10.0, "entry")]
    assert all(fill.fill_id for fill, _, _ in settled.fills)
    assert settled.equity == CASH
    assert not scene.look()  # nothing to book, but the legs of the bracket have lapsed
    assert sorted(scene.working("AAA"), key=str) == [("limit", 10.0, None), ("stop", 10.0, 45.0)]
    assert scene.door.reasons == {}
    equal(scene)


def test_shares_bought_by_hand_are_the_owners(scene: Scene) -> None:
    scene.opened(1)
    scene.server.trade_by_hand("BBB", "buy", 30.0)
    assert scene.look()
    assert scene.book.manual == {"BBB": 30.0}
    assert "BBB" in scene.door.reasons
    assert not scene.door.stops_all()
    assert scene.working("BBB") == []  # no stop of ours on them
    settled = scene.settle(1)
    assert settled.flows.cash_flow == -600.0  # like a withdrawal: no profit, no loss
    assert settled.equity == CASH - 600.0
    assert settled.fills == []
    scene.look()
    assert [(row.kind, row.stands) for row in scene.differences.rows] == [("manual_position", True)]
    equal(scene)
    scene.opened(2)
    scene.server.trade_by_hand("BBB", "sell", 30.0)
    scene.look()
    settled = scene.settle(2)
    assert settled.flows.cash_flow == 600.0
    scene.look()
    assert scene.door.reasons == {}
    assert scene.differences.rows == []
    equal(scene)


def test_hand_trades_in_a_ticker_that_we_hold_leave_our_part_alone(scene: Scene) -> None:
    scene.opened(1)
    scene.server.trade_by_hand("AAA", "buy", 4.0)
    scene.settle(1)
    scene.enter("AAA", 10.0)
    scene.opened(2)
    assert (scene.book.quantity("AAA"), scene.book.manual) == (10.0, {"AAA": 4.0})
    scene.settle(2)
    scene.look()
    assert {shares for _, shares, _ in scene.working("AAA")} == {10.0}
    equal(scene)


def test_a_sale_by_hand_of_our_shares_is_booked_and_the_stop_shrinks(scene: Scene) -> None:
    scene.enter("AAA", 10.0)
    scene.opened(1)
    scene.settle(1)
    scene.look()
    scene.opened(2)
    root = next(order for order in scene.server.exchange.working("AAA") if order.parent is None)
    scene.server.exchange.cancel(root.id)  # the owner frees the shares, and sells four of them
    scene.server.trade_by_hand("AAA", "sell", 4.0)
    scene.look()
    assert scene.book.quantity("AAA") == 6.0
    scene.look()
    assert {shares for _, shares, _ in scene.working("AAA")} == {6.0}
    settled = scene.settle(2)
    assert [(fill.quantity, fill.client_order_id[:7]) for fill, _, _ in settled.fills] == [(4.0, "manual-")]
    equal(scene)


def test_cash_that_nothing_explains_stops_all_new_risk_until_it_is_confirmed(scene: Scene) -> None:
    scene.server.move_cash(-50.0, explained=False)
    assert scene.look()
    assert scene.door.stops_all()
    assert float(scene.venue.record["cash"]) == CASH  # the history may lag: wait for a second reading
    scene.look(scene.server.now + timedelta(minutes=15))
    assert float(scene.venue.record["cash"]) == CASH - 50.0
    scene.look(scene.server.now + timedelta(minutes=15))
    assert not scene.door.stops_all()
    assert scene.settle(1).flows.cash_flow == -50.0
    equal(scene)


def test_a_look_of_another_process_confirms_what_the_one_before_has_found_and_saved(scene: Scene) -> None:
    """Seen: a saved look of long ago stayed the one before for ever, and the owner's shares unexplained."""
    scene.opened(1)
    for cash in (-50.0, -100.0):
        scene.server.move_cash(-50.0, explained=False)
        for _ in range(2):
            saved = scene.venue.snapshot(scene.panel.session(0))
            scene.venue = scene.build()
            scene.venue.restore(saved)
            assert scene.look(scene.server.now + timedelta(minutes=15))  # so the engine saves it
        assert float(scene.venue.record["cash"]) == CASH + cash


def test_two_readings_of_one_moment_confirm_nothing(scene: Scene) -> None:
    scene.opened(1)
    scene.server.move_cash(-50.0, explained=False)
    scene.settle(1)
    scene.look()
    assert float(scene.venue.record["cash"]) == CASH


def test_a_deposit_is_a_flow_and_no_profit(scene: Scene) -> None:
    scene.opened(1)
    scene.server.move_cash(2_500.0)
    scene.look()
    assert not scene.door.stops_all()
    settled = scene.settle(1)
    assert (settled.flows.cash_flow, settled.equity) == (2_500.0, CASH + 2_500.0)
    assert scene.differences.kinds == {"cash_flow"}


def test_an_account_that_cannot_be_read_takes_no_new_risk(scene: Scene) -> None:
    scene.server.faults.add(Fault(FaultKind.STATUS_BEFORE, status=503, times=None))
    assert not scene.look()
    assert "cannot be read" in (scene.door.unreconciled or "")
    read = scene.venue.reconciled_at
    scene.server.faults.clear()
    scene.look()
    assert not scene.door.stops_all()
    assert scene.venue.reconciled_at != read


# ---------------------------------------------------------------- this machine's clock


def clock_questions(scene: Scene) -> int:
    return sum(request.path.startswith("/v2/clock") for request in scene.server.requests)


@pytest.mark.parametrize("seconds", [-31, 31, 7200])
def test_a_clock_that_goes_wrong_while_trading_stops_new_risk_at_the_settlement(scene: Scene, seconds: int) -> None:
    scene.opened(1)
    assert not scene.door.stops_all()
    scene.ahead = timedelta(seconds=seconds)
    scene.settle(1)
    words = f"this machine's clock is {abs(seconds)} s off Alpaca's (limit 30 s): synchronise it (NTP)"
    assert scene.door.unreconciled == words
    scene.look()
    assert scene.door.unreconciled == words
    assert [(state.subject, words in state.words) for state in scene.venue.states()] == [("the clock", True)]
    scene.ahead = timedelta(seconds=5)
    scene.look()
    assert not scene.door.stops_all()
    assert scene.venue.states() == []


@pytest.mark.parametrize("seconds", [-30, 30])
def test_a_clock_within_the_limit_stops_nothing(scene: Scene, seconds: int) -> None:
    scene.ahead = timedelta(seconds=seconds)
    scene.opened(1)
    scene.settle(1)
    scene.look()
    assert not scene.door.stops_all()


def test_positions_are_settled_and_protected_whatever_the_clock_says(scene: Scene) -> None:
    scene.enter("AAA", 10.0)
    scene.ahead = timedelta(minutes=5)
    scene.opened(1)
    settled = scene.settle(1)
    assert [(fill.ticker, fill.quantity) for fill, _, _ in settled.fills] == [("AAA", 10.0)]
    scene.look()
    assert scene.door.stops_all()
    assert sorted(scene.working("AAA"), key=str) == [("limit", 10.0, None), ("stop", 10.0, 45.0)]
    equal(scene)


def test_clocks_are_compared_once_a_day_and_at_settlements_and_at_each_look_while_apart(scene: Scene) -> None:
    asked = [clock_questions(scene)]

    def more() -> int:
        asked.append(clock_questions(scene))
        return asked[-1] - asked[-2]

    scene.opened(1)
    assert more() == 1
    scene.look()
    assert more() == 0
    scene.settle(1)
    assert more() == 1
    scene.ahead = timedelta(minutes=1)
    scene.look()
    assert (more(), scene.door.stops_all()) == (0, False)
    scene.opened(2)
    assert (more(), scene.door.stops_all()) == (1, True)
    scene.look()
    assert more() == 1
    scene.ahead = timedelta()
    scene.look()
    assert (more(), scene.door.stops_all()) == (1, False)
    scene.look()
    assert more() == 0


def test_a_clock_that_stands_still_at_alpaca_stops_new_risk_until_it_moves_again(scene: Scene) -> None:
    scene.opened(1)
    scene.server.freeze_clock()
    scene.settle(1)
    assert scene.door.stops_all()
    scene.server.lift_faults()
    scene.look()
    assert not scene.door.stops_all()


def test_a_session_is_not_settled_while_the_clocks_cannot_be_compared(scene: Scene) -> None:
    scene.opened(1)
    scene.server.faults.add(Fault(FaultKind.STATUS_BEFORE, path="clock", status=503, times=None))
    with pytest.raises(BrokerUnreachableError, match="clock"):
        scene.settle(1)
    scene.server.faults.clear()
    assert scene.settle(1).equity == CASH


def test_money_that_nothing_explains_is_told_of_again_when_the_clock_is_right(scene: Scene) -> None:
    scene.ahead = timedelta(minutes=1)
    scene.server.move_cash(-50.0, explained=False)
    scene.look()
    assert "clock" in (scene.door.unreconciled or "")
    scene.ahead = timedelta()
    scene.look()
    assert "cash" in (scene.door.unreconciled or "")


def test_keys_that_are_revoked_while_trading_end_the_engine(scene: Scene) -> None:
    scene.server.faults.add(Fault(FaultKind.STATUS_BEFORE, status=401, times=None))
    with pytest.raises(FixCredentialsError, match="revoked"):
        scene.look()


def test_a_partial_fill_is_held_and_protected_when_the_rest_has_lapsed(scene: Scene) -> None:
    scene.server.exchange.whims.append(Whim("partial", symbol="AAA", side="buy", fraction=0.3))
    scene.enter("AAA", 10.0)
    scene.opened(1)
    assert (scene.book.quantity("AAA"), scene.venue.slots["pending"].max()) == (3.0, 7.0)
    scene.settle(1)
    assert scene.venue.slots["pending"].max() == 0.0
    scene.look()
    assert {shares for _, shares, _ in scene.working("AAA")} == {3.0}
    equal(scene)


def test_a_refused_entry_leaves_its_slot(scene: Scene) -> None:
    scene.server.exchange.whims.append(Whim("reject", symbol="AAA", side="buy"))
    scene.enter("AAA", 10.0)
    scene.opened(1)
    assert (scene.venue.slots["ticker"] < 0).all()


def test_stops_of_fractional_positions_are_watched() -> None:
    panel = market({"AAA": [*flat(50.0, 2), (50.0, 50.5, 40.0, 41.0), *flat(41.0, 5)], "SPY": flat(400.0)})
    with make_server(panel) as server:
        own = Scene(server, panel)
        own.enter("AAA", 2.5)
        own.opened(1)
        own.settle(1)
        own.look()
        assert own.working("AAA") == []  # Alpaca holds no stop of it
        own.opened(2)
        assert own.working("AAA") == []
        own.look(server.market.opens[2] + timedelta(hours=2, minutes=30))  # the low has been seen
        settled = own.settle(2)
        assert [(fill.quantity, fill.reason) for fill, _, _ in settled.fills] == [(2.5, "stop_loss")]
        assert settled.fills[0][0].price <= 45.0
        trade = settled.fills[0][2]
        assert trade is not None
        assert (trade.strategy, trade.quantity) == ("breakout", 2.5)
        equal(own)


def test_a_split_moves_shares_and_stops() -> None:
    ratio = np.ones((8, 2))
    ratio[2, 0] = 2.0
    panel = market({"AAA": [*flat(50.0, 2), *flat(25.0, 6)], "SPY": flat(400.0)}, split_ratio=ratio)
    with make_server(panel) as server:
        scene = Scene(server, panel)
        scene.enter("AAA", 10.0)
        scene.opened(1)
        scene.settle(1)
        scene.look()
        scene.server.advance_to_dawn()
        scene.look()
        assert (scene.book.quantity("AAA"), scene.book.positions()["AAA"].stop_price) == (20.0, 22.5)
        scene.look()
        assert sorted(scene.working("AAA"), key=str) == [("limit", 20.0, None), ("stop", 20.0, 22.5)]
        settled = scene.settle(2)
        assert settled.equity == CASH
        equal(scene)


def test_a_restored_book_reads_the_history_again_and_books_it_once(scene: Scene) -> None:
    scene.enter("AAA", 10.0)
    scene.opened(1)
    scene.server.trade_by_hand("BBB", "buy", 3.0)
    saved = scene.venue.snapshot(scene.panel.session(0))  # before this look: the trades are not in it
    scene.look()
    for text in (saved, scene.venue.snapshot(scene.panel.session(0))):
        scene.venue = scene.build()
        scene.venue.restore(text)
        scene.look()
        assert (scene.book.quantity("AAA"), scene.book.manual) == (10.0, {"BBB": 3.0})
        equal(scene)
    assert len(scene.settle(1).fills) == 1


def test_a_restored_book_takes_stops_from_the_order_at_work(scene: Scene) -> None:
    scene.enter("AAA", 10.0, limit=40.0, stop=30.0)
    saved = scene.venue.snapshot(scene.panel.session(0))
    scene.server.advance_to_close()  # the entry has lapsed
    scene.server.advance_to_dawn()
    scene.look()
    scene.enter("AAA", 8.0, limit=60.0, stop=45.0)
    scene.venue = scene.build()
    scene.venue.restore(saved)
    scene.look()
    (slot,) = scene.venue.slots[scene.venue.slots["ticker"] >= 0]
    assert (slot["pending"], slot["limit_price"], slot["stop"]) == (8.0, 60.0, 45.0)


# ---------------------------------------------------------------- the account's own state


@pytest.mark.parametrize(
    ("field", "value"),
    [("trading_blocked", True), ("account_blocked", True), ("status", "ACCOUNT_CLOSED"), ("maintenance_margin", "9e9")],
)
def test_an_account_in_trouble_takes_no_new_risk_from_the_next_look_on(scene: Scene, field: str, value: object) -> None:
    scene.settle(1)
    assert not scene.door.stops_all()
    scene.server.account.overrides[field] = value
    scene.look()
    assert scene.door.unreconciled is not None
    assert scene.door.unreconciled.startswith("Alpaca's account: ")
    assert [(row.kind, row.action) for row in scene.differences.rows] == [("account_state", "no new risk")]
    del scene.server.account.overrides[field]
    scene.look()
    assert not scene.door.stops_all()
    assert scene.differences.rows == []


# ---------------------------------------------------------------- answers that make no sense


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.INFINITE_CASH, times=None),
        Fault(FaultKind.NEGATIVE_FILLS, times=None),
        Fault(FaultKind.ABSURD_PRICES, path="activities", times=None),
    ],
)
def test_an_answer_that_makes_no_sense_is_booked_by_nobody(scene: Scene, fault: Fault) -> None:
    scene.enter("AAA", 10.0)
    scene.server.faults.add(fault)
    scene.opened(1)
    for _ in range(3):
        scene.look()
    assert 0.0 < float(scene.venue.record["cash"]) <= CASH
    assert scene.door.stops_all() or "AAA" in scene.door.reasons
    scene.server.faults.clear()
    scene.look()
    scene.look()
    assert float(scene.venue.record["cash"]) == pytest.approx(scene.server.account.cash)
    assert not scene.door.stops_all()
    assert "AAA" not in scene.door.reasons
    assert scene.venue.slots["cost"].max() == 500.0  # of 10 shares at 50 dollars


def test_stops_stay_while_the_fills_of_their_entry_are_not_believed(scene: Scene) -> None:
    """Seen: minutes after the open the entry counted as overdue, and its cancellation took the stop along."""
    scene.enter("AAA", 10.0)
    scene.server.faults.add(Fault(FaultKind.NEGATIVE_FILLS, times=None))
    scene.opened(1)
    for _ in range(2):
        scene.look(scene.server.now + timedelta(minutes=10))
    assert ("stop", 10.0, 45.0) in scene.working("AAA")
    assert {row.quantity for row in scene.journal.rows.values()} == {10.0}  # nothing of it is written down either
    scene.server.faults.clear()
    scene.look()
    assert ("stop", 10.0, 45.0) in scene.working("AAA")
    equal(scene)


def test_an_answer_of_impossible_numbers_leaves_the_order_as_it_is_written(scene: Scene) -> None:
    scene.server.faults.add(Fault(FaultKind.NEGATIVE_FILLS, method="POST", path="^/v2/orders$", times=None))
    scene.enter("AAA", 10.0)
    (row,) = scene.journal.rows.values()
    assert (row.quantity, row.filled_quantity) == (10.0, 0.0)
    assert row.status is OrderStatus.UNCERTAIN  # it was sent, and what became of it is asked for again
    scene.server.faults.clear()
    scene.opened(1)
    assert scene.book.quantity("AAA") == 10.0


@pytest.mark.parametrize(
    ("refusal", "held"), [("MANUAL_HALT: lunch (since 2024)", 0.0), ("VIX_STALE: 4 sessions", 10.0), ("OK", 10.0)]
)
def test_an_operators_halt_withdraws_the_entries_that_wait_for_the_open(
    scene: Scene, refusal: str, held: float
) -> None:
    """Seen: said in the evening, `halt` was done, and four positions were bought at the next open."""
    scene.enter("AAA", 10.0)
    scene.door.refusal = refusal
    scene.look()
    scene.opened(1)
    assert scene.book.quantity("AAA") == held
    assert scene.venue.slots["pending"].max() == 0.0
    equal(scene)


def test_an_operators_halt_leaves_what_has_filled_its_stop(scene: Scene) -> None:
    scene.enter("AAA", 10.0)
    scene.opened(1)
    scene.door.refusal = "MANUAL_HALT: lunch"
    scene.look()
    scene.look(scene.server.now + timedelta(minutes=10))
    assert sorted(scene.working("AAA"), key=str) == [("limit", 10.0, None), ("stop", 10.0, 45.0)]


@pytest.mark.parametrize(
    ("kind", "subject", "held"),
    [
        ("flatten", "AAA", 0.0),
        ("flatten", "BBB", 10.0),
        ("pause", "breakout", 0.0),
        ("pause", "momentum", 10.0),
        ("resume", None, 10.0),
    ],
)
def test_an_operators_word_about_an_entry_withdraws_it_alone(
    scene: Scene, kind: str, subject: str | None, held: float
) -> None:
    scene.enter("AAA", 10.0)
    scene.said.standing = Standing().after(kind, subject)
    scene.look()
    scene.opened(1)
    assert scene.book.quantity("AAA") == held
    assert scene.venue.slots["pending"].max() == 0.0
    equal(scene)
