"""Two engines on one account, each with a database of its own: whoever came second stops sending, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from alpaca_world import flat, make_server, market
from test_alpaca_venue import Scene, equal

from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.core.alert_states import AlertKind
from trading_platform.core.types import MarketPanel, OrderStatus, Side


@pytest.fixture
def panel() -> MarketPanel:
    return market({"AAA": flat(50.0), "BBB": flat(20.0), "CCC": flat(30.0), "SPY": flat(400.0)})


@pytest.fixture
def server(panel: MarketPanel) -> Iterator[AlpacaServer]:
    with make_server(panel) as running:
        yield running


def working_entries(server: AlpacaServer) -> set[str]:
    return {
        order.symbol
        for ticker in ("AAA", "BBB", "CCC")
        for order in server.exchange.working(ticker)
        if order.side is Side.BUY and order.parent is None
    }


def later(server: AlpacaServer) -> None:
    server.advance(server.now + timedelta(minutes=5))


def test_the_younger_one_stops_within_one_look_after_both_have_sent(server: AlpacaServer, panel: MarketPanel) -> None:
    old, young = Scene(server, panel), Scene(server, panel)
    assert old.enter("AAA", 10.0) is OrderStatus.SUBMITTED
    later(server)
    assert young.enter("BBB", 10.0, limit=25.0, stop=15.0) is OrderStatus.SUBMITTED
    young.look()
    assert young.door.stops_all()
    assert "another engine trades this account since" in (young.door.unreconciled or "")
    assert "tp-20240103-AAA-buy-entry-0" in (young.door.unreconciled or "")
    (state,) = young.venue.states()
    assert state.kind is AlertKind.SECOND_ENGINE
    assert working_entries(server) == {"AAA", "BBB"}  # it cancels nothing of the other's
    old.look()
    assert not old.door.stops_all()
    assert old.venue.states() == []


def test_the_younger_one_stays_stopped_and_goes_on_protecting_what_it_holds(
    server: AlpacaServer, panel: MarketPanel
) -> None:
    old, young = Scene(server, panel), Scene(server, panel)
    old.enter("AAA", 10.0)
    later(server)
    young.enter("BBB", 10.0, limit=25.0, stop=15.0)
    young.look()
    young.opened(1)
    young.settle(1)
    young.look()
    assert young.door.stops_all()
    assert {shares for _, shares, _ in young.working("BBB")} == {10.0}


def test_an_engine_that_has_not_sent_yet_is_the_younger_one_by_fills_alone(
    server: AlpacaServer, panel: MarketPanel
) -> None:
    old, young = Scene(server, panel), Scene(server, panel)
    old.enter("AAA", 10.0)
    server.advance_to_open()  # bought at once: there is nothing left to see but the fill
    later(server)
    young.look()
    assert young.door.stops_all()


def test_the_owners_own_orders_are_no_engine(server: AlpacaServer, panel: MarketPanel) -> None:
    only = Scene(server, panel)
    only.opened(1)
    server.trade_by_hand("BBB", "buy", 30.0)
    only.enter("AAA", 10.0)
    later(server)
    only.look()
    assert not only.door.stops_all()
    assert only.venue.states() == []
    equal(only)
