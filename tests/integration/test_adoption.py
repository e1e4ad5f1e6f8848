"""Adoption: the book that a lost database held, rebuilt from the account, and the start that refuses without it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from alpaca_world import CALENDAR, ServerClock, flat, make_http, make_server, market
from test_alpaca_venue import CASH, RULES, Scene, equal

from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.brokers.alpaca_broker import PREFIX
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.adoption import Adopted, OurPast, adopt_account, has_our_risk, read_past
from trading_platform.brokers.reconciliation.saved_account import load
from trading_platform.core.intents import OrderName, read_order_id
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import MarketPanel, OrderIntent, Side


@pytest.fixture
def panel() -> MarketPanel:
    return market({"AAA": flat(50.0, 12), "BBB": flat(20.0, 12), "CCC": flat(30.0, 12), "SPY": flat(400.0, 12)})


@pytest.fixture
def scene(panel: MarketPanel) -> Iterator[Scene]:
    with make_server(panel) as server:
        yield Scene(server, panel)


def past_of(scene: Scene) -> OurPast:
    http = make_http(scene.server, scene.timer, requests_per_minute=1e9)
    return read_past(http, AlpacaReader(http), PREFIX, lambda ticker, session: "breakout")


def adopted(scene: Scene, past: OurPast) -> Adopted:
    session = CALENDAR.last_completed_session(scene.server.now)
    names = scene.panel.tickers, ["momentum", "breakout"]
    return adopt_account(past, RULES, *names, session, ServerClock(scene.server), PREFIX)


def book_of(scene: Scene, found: Adopted) -> AccountBook:
    book = AccountBook(RULES, 1.0, scene.panel.tickers, ["momentum", "breakout"])
    load(book, found.book)
    return book


def risk_of(server: AlpacaServer, scene: Scene) -> list[str]:
    reader = AlpacaReader(make_http(server, scene.timer, requests_per_minute=1e9))
    return has_our_risk(reader.own_orders(PREFIX), {p.ticker: p.quantity for p in reader.positions()})


def leave(scene: Scene, ticker: str, quantity: float) -> None:
    intent = OrderIntent(
        ticker, Side.SELL, quantity, None, None, None, "breakout", OrderReason.SIGNAL_EXIT, 0.0, scene.server.now.date()
    )
    scene.venue.place_order(scene.door.approve(intent))


def test_what_an_id_says_is_read_back() -> None:
    name = OrderName(date(2024, 1, 3), "BRK-B", Side.SELL, OrderReason.STOP_LOSS, 12)
    assert read_order_id("tp-20240103-BRK-B-sell-stop_loss-12") == name
    for text in (
        "tp-20241303-A-buy-entry-0",
        "manual-1",
        "tp-20240103-A-hold-entry-0",
        "tp-20240103-A-buy-entry-0-stop",
    ):
        assert read_order_id(text) is None
    unknown = read_order_id("tp-20240103-A-buy-whim-0")
    assert unknown is not None
    assert unknown.reason is OrderReason.NONE


def test_an_account_of_the_owner_alone_may_be_begun_on(scene: Scene) -> None:
    scene.opened(1)
    scene.server.trade_by_hand("BBB", "buy", 30.0)
    assert risk_of(scene.server, scene) == []


def test_orders_and_shares_of_ours_are_found_and_what_is_over_is_not(scene: Scene) -> None:
    scene.enter("AAA", 10.0)
    assert risk_of(scene.server, scene) == ["AAA"]  # an order at work
    scene.opened(1)
    scene.settle(1)
    assert risk_of(scene.server, scene) == ["AAA"]  # shares
    leave(scene, "AAA", 10.0)
    scene.opened(2)
    assert scene.server.account.positions == {}
    assert risk_of(scene.server, scene) == []


def test_the_book_is_rebuilt_to_the_cent_with_its_stops(scene: Scene) -> None:
    """A round trip, a deposit, shares of the owner; one position is left, with its stop."""
    scene.opened(1)
    scene.server.trade_by_hand("CCC", "buy", 7.0)
    scene.settle(1)
    scene.enter("AAA", 10.0, stop=44.0)
    scene.enter("BBB", 20.0, limit=25.0, stop=15.0)
    scene.opened(2)
    scene.settle(2)
    scene.server.move_cash(2_500.0)
    scene.look()
    leave(scene, "BBB", 20.0)
    scene.opened(3)
    scene.settle(3)
    scene.look()
    equal(scene)
    found = adopted(scene, past_of(scene))
    book = book_of(scene, found)
    assert {t: p.quantity for t, p in book.positions().items()} == {"AAA": 10.0}
    assert book.manual == scene.book.manual == {"CCC": 7.0}
    assert float(book.record["cash"]) == float(scene.book.record["cash"])
    assert found.equity == float(book.record["equity"]) == float(book.record["peak_equity"])
    (position,) = found.positions
    assert (position.ticker, position.strategy, position.stop) == ("AAA", "breakout", 44.0)
    assert position.stop_from == "the stop that rests"
    fills = [(fill.ticker, fill.side, fill.quantity) for fill, _, _ in found.settlement.fills]
    assert fills == [("AAA", "buy", 10.0), ("BBB", "buy", 20.0), ("BBB", "sell", 20.0)]
    trades = [trade for _, _, trade in found.settlement.fills if trade is not None]
    assert [(trade.ticker, trade.strategy) for trade in trades] == [("BBB", "breakout")]


def test_an_adopted_account_goes_on_and_ties_with_the_first_look(scene: Scene, panel: MarketPanel) -> None:
    scene.enter("AAA", 10.0, stop=44.0)
    scene.opened(1)
    scene.settle(1)
    scene.look()
    stops = sorted(scene.working("AAA"), key=str)
    past = past_of(scene)
    found = adopted(scene, past)
    heir = Scene(scene.server, panel)
    heir.journal.rows.update(past.rows)
    heir.venue.restore(found.book)
    assert not heir.look()
    assert heir.differences.rows == []
    assert heir.door.reasons == {}
    assert not heir.door.stops_all()
    assert sorted(heir.working("AAA"), key=str) == stops  # its stop is the one that rests, and not placed anew
    equal(heir)
    heir.opened(2)
    assert heir.settle(2).fills == []  # nothing is booked twice
    equal(heir)


def test_a_stop_that_nobody_knows_is_the_disaster_stop(scene: Scene) -> None:
    scene.enter("AAA", 10.5)  # a fraction: the broker holds no stop of it, and its id names none
    scene.opened(1)
    scene.settle(1)
    (position,) = adopted(scene, past_of(scene)).positions
    assert (position.quantity, position.stop, position.target) == (10.5, 35.0, None)
    assert "30% below" in position.stop_from


def test_an_entry_at_work_is_taken_over_with_its_stop(scene: Scene, panel: MarketPanel) -> None:
    scene.enter("AAA", 10.0, stop=44.0)
    past = past_of(scene)
    found = adopted(scene, past)
    assert (found.positions, found.equity) == ((), CASH)
    heir = Scene(scene.server, panel)
    heir.journal.rows.update(past.rows)
    heir.venue.restore(found.book)
    scene.server.advance(scene.server.now + timedelta(minutes=1))
    heir.opened(1)
    assert heir.book.quantity("AAA") == 10.0
    assert heir.book.positions()["AAA"].stop_price == 44.0
    equal(heir)
