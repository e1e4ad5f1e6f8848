"""Stops while no database can be written: what lacks one gets one, once, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from alpaca_world import CALENDAR, flat, make_http, make_server, market
from test_alpaca_venue import Scene

from trading_platform.alpaca_server.behaviour import changed
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.records import Whim
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.brokers.alpaca_broker import PREFIX, AlpacaBroker
from trading_platform.brokers.bare_stops import BareStops, NoJournal, is_bare_stop
from trading_platform.brokers.venue import ENTRY_LIFE
from trading_platform.core.types import MarketPanel


@pytest.fixture
def panel() -> MarketPanel:
    return market({"AAA": flat(50.0), "BBB": flat(20.0), "SPY": flat(400.0)})


@pytest.fixture
def scene(panel: MarketPanel) -> Iterator[Scene]:
    """Yield an account that has bought AAA today, whose stop, the leg of a day order, has ended with the day."""
    with make_server(panel) as server:
        scene = Scene(server, panel)
        scene.enter("AAA", 10.0)
        scene.opened(1)
        scene.look()
        server.advance_to_evening()
        for order in list(server.exchange.working("AAA")):
            server.exchange.cancel(order.id)
        yield scene


def guard(scene: Scene) -> BareStops:
    http = make_http(scene.server, scene.timer, requests_per_minute=1e9)
    broker = AlpacaBroker(http, scene.door, NoJournal(), scene.venue._clock, scene.timer.sleep)
    return BareStops(broker, scene.door, scene.book, CALENDAR, scene.venue._clock, PREFIX)


def stops(server: AlpacaServer) -> list[tuple[str, float | None, float | None]]:
    return [(o.symbol, o.quantity, o.stop_price) for o in server.exchange.working() if o.side.value == "sell"]


def test_a_position_without_a_stop_gets_one_once(scene: Scene) -> None:
    assert stops(scene.server) == []
    keeper = guard(scene)
    keeper.keep()
    assert stops(scene.server) == [("AAA", 10.0, 45.0)]
    (order,) = [o for o in scene.server.exchange.working() if o.symbol == "AAA"]
    assert is_bare_stop(order.client_order_id)
    assert not is_bare_stop("tp-20240103-AAA-sell-stop_loss-0")
    keeper.keep()
    guard(scene).keep()
    assert len(stops(scene.server)) == 1
    assert scene.journal.find_order(order.client_order_id) is None


def test_the_owners_shares_and_orders_are_not_touched(scene: Scene) -> None:
    scene.server.advance_to_open()
    scene.server.trade_by_hand("BBB", "buy", 30.0)
    scene.server.trade_by_hand("AAA", "buy", 5.0)
    guard(scene).keep()
    assert stops(scene.server) == [("AAA", 10.0, 45.0)]


def test_a_price_below_the_stop_or_a_split_that_nobody_booked_gets_none(scene: Scene) -> None:
    for price in ("44.0", "5.0"):
        fault = Fault(FaultKind.REWRITE, path="^/v2/positions", fields={"current_price": price}, times=None)
        scene.server.faults.add(fault)
        guard(scene).keep()
        assert stops(scene.server) == []
        scene.server.faults.clear()
    guard(scene).keep()
    assert len(stops(scene.server)) == 1


def test_what_is_refused_three_times_is_not_asked_for_ever(scene: Scene) -> None:
    refusal = Fault(FaultKind.STATUS_BEFORE, method="POST", path="^/v2/orders$", status=403, code=40310000, times=None)
    scene.server.faults.add(refusal)
    keeper = guard(scene)
    for _ in range(6):
        scene.server.advance(scene.server.now + timedelta(minutes=1))
        keeper.keep()
    assert scene.server.faults.history[FaultKind.STATUS_BEFORE] == 3
    assert stops(scene.server) == []


# ---------------------------------------------------------------- entries that fill meanwhile


@pytest.fixture
def evening(panel: MarketPanel) -> Iterator[Scene]:
    """Yield an account on the evening of a decision; whatever comes, no look of the engine's sees it."""
    with make_server(panel) as server:
        scene = Scene(server, panel)
        scene.enter("AAA", 10.0)
        yield scene


def legs_end(server: AlpacaServer) -> None:
    for order in list(server.exchange.working("AAA")):
        server.exchange.cancel(order.id)


def test_what_an_entry_buys_meanwhile_gets_a_stop_when_its_own_has_ended(evening: Scene) -> None:
    server, keeper = evening.server, guard(evening)
    server.advance_to_open()
    keeper.keep()
    assert stops(server) == [("AAA", 10.0, None), ("AAA", 10.0, 45.0)]  # its legs
    server.advance_to_evening()
    legs_end(server)
    keeper.keep()
    keeper.keep()
    assert stops(server) == [("AAA", 10.0, 45.0)]
    assert all(is_bare_stop(order.client_order_id) for order in server.exchange.working("AAA"))
    assert evening.book.quantity("AAA") == 10.0


def test_what_is_left_of_an_entry_after_its_time_is_cancelled_and_what_it_bought_is_protected(evening: Scene) -> None:
    server, keeper = evening.server, guard(evening)
    server.behave(changed(server.behaviour, {"profile": "realistic", "partial_fills": 0.0}))
    (entry,) = [o for o in server.exchange.working("AAA") if o.side.value == "buy"]
    entry.whim = Whim("partial", fraction=0.6)
    server.advance_to_open()
    keeper.keep()
    assert [(o.side.value, o.remaining) for o in server.exchange.working("AAA") if o.parent is None] == [("buy", 4.0)]
    server.advance(server.now + ENTRY_LIFE)
    keeper.keep()
    keeper.keep()
    (order,) = server.exchange.working("AAA")
    assert (order.side.value, order.quantity, order.stop_price) == ("sell", 6.0, 45.0)
    assert is_bare_stop(order.client_order_id)


def test_what_the_owner_buys_beside_an_entry_is_not_taken_for_its_fill(evening: Scene) -> None:
    server, keeper = evening.server, guard(evening)
    (entry,) = [o for o in server.exchange.working("AAA") if o.side.value == "buy"]
    server.exchange.cancel(entry.id)
    server.advance_to_open()
    server.trade_by_hand("AAA", "buy", 10.0)
    keeper.keep()
    assert (stops(server), evening.book.quantity("AAA")) == ([], 0.0)
