"""The local server behaves as Alpaca's documentation says: fills, groups, refusals, lists, time, money."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from alpaca_world import CALENDAR, KEY, SECRET, Bar, flat, make_server, market

from trading_platform.alpaca_server.data_api import Entitlement
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.alpaca_server.validation import Asset
from trading_platform.core.costs import CostConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.fills import buy_price, commission, regulatory_fees, sell_price

ROOT = Path(__file__).parents[2]
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
MARKET = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}
LIMIT = {**MARKET, "type": "limit", "limit_price": 101.0}
BRACKET = {**LIMIT, "order_class": "bracket", "stop_loss": {"stop_price": 95.0}, "take_profit": {"limit_price": 111.0}}
OCO = {
    **MARKET,
    "side": "sell",
    "type": "limit",
    "time_in_force": "gtc",
    "order_class": "oco",
    "stop_loss": {"stop_price": 95.0},
    "take_profit": {"limit_price": 111.0},
}


def call(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, server.url + path, json=body, headers=HEADERS, timeout=5)


def post(server: AlpacaServer, body: object) -> dict[str, Any]:
    answer = call(server, "POST", "/v2/orders", body)
    assert answer.status_code == 200, answer.text
    parsed: dict[str, Any] = answer.json()
    return parsed


def order(server: AlpacaServer, order_id: str) -> dict[str, Any]:
    parsed: dict[str, Any] = call(server, "GET", f"/v2/orders/{order_id}?nested=true").json()
    return parsed


def states(server: AlpacaServer, order_id: str) -> list[str]:
    found = order(server, order_id)
    return [found["status"], *(leg["status"] for leg in found["legs"] or ())]


def one_day(bar: Bar) -> list[Bar | None]:
    """Return a market of quiet days at 100 with `bar` on the second, the first that trades."""
    return [(100.0,) * 4, bar, *[(100.0,) * 4] * 4]


# ------------------------------------------------------------ fills of one session


STORIES = [
    # bar open, high, low, close;          what fills of a bracket 101 / 95 / 111;   at which prices
    ((100.0, 103.0, 99.0, 102.0), ["filled", "new", "held"], [100.0]),
    ((100.0, 111.0, 99.0, 102.0), ["filled", "filled", "canceled"], [100.0, 111.0]),
    ((100.0, 103.0, 95.0, 102.0), ["filled", "canceled", "filled"], [100.0, 95.0]),
    ((100.0, 120.0, 90.0, 102.0), ["filled", "canceled", "filled"], [100.0, 95.0]),  # both: the stop comes first
    ((94.0, 103.0, 90.0, 102.0), ["filled", "canceled", "filled"], [94.0, 94.0]),  # gap through the stop
    ((101.0, 103.0, 99.0, 102.0), ["filled", "new", "held"], [101.0]),
    ((101.5, 103.0, 100.5, 102.0), ["filled", "new", "held"], [101.0]),  # not at the open, but the low reaches it
    ((101.5, 103.0, 101.2, 102.0), ["new", "held", "held"], []),
]


@pytest.mark.parametrize(("bar", "expected", "prices"), STORIES)
def test_bracket_story(bar: Bar, expected: list[str], prices: list[float]) -> None:
    with make_server(market({"AAA": one_day(bar)})) as server:
        sent = post(server, BRACKET)
        assert states(server, sent["id"]) == ["accepted", "held", "held"]
        server.advance(server.market.closes[1].replace(minute=59, hour=server.market.closes[1].hour - 1))
        assert states(server, sent["id"]) == expected
        assert [float(a.body["price"]) for a in server.account.activities] == prices  # type: ignore[arg-type]


def test_day_legs_lapse_at_the_close_and_gtc_legs_stay() -> None:
    for time_in_force, expected in (("day", ["filled", "expired", "canceled"]), ("gtc", ["filled", "new", "held"])):
        with make_server(market({"AAA": flat(100.0)})) as server:
            sent = post(server, {**BRACKET, "time_in_force": time_in_force})
            server.advance_to_close()
            assert states(server, sent["id"]) == expected


def test_order_after_the_close_waits_for_the_next_open() -> None:
    with make_server(market({"AAA": [*one_day((100.0, 100.0, 100.0, 100.0))[:2], *flat(105.0)]})) as server:
        server.advance_to_close()
        sent = post(server, MARKET)
        assert sent["status"] == "accepted"
        server.advance_to_dawn()
        assert order(server, sent["id"])["status"] == "accepted"
        server.advance_to_open()
        assert float(order(server, sent["id"])["filled_avg_price"]) == 105.0


def test_order_while_open_fills_at_the_running_price() -> None:
    with make_server(market({"AAA": one_day((100.0, 130.0, 90.0, 120.0))})) as server:
        opened = server.advance_to_open()
        third = (server.market.closes[1] - opened) / 3
        server.advance(opened + third)  # at the low
        assert float(post(server, MARKET)["filled_avg_price"]) == 90.0
        server.advance(opened + 1.5 * third)
        assert float(post(server, MARKET)["filled_avg_price"]) == pytest.approx(110.0)


def test_oco_protects_a_position_until_one_half_fills() -> None:
    bars = [*flat(100.0, 3), (100.0, 112.0, 99.0, 110.0), *flat(110.0, 3)]
    with make_server(market({"AAA": bars})) as server:
        post(server, MARKET)
        server.advance_to_close()
        sent = post(server, OCO)
        listed = call(server, "GET", "/v2/orders?status=open").json()
        assert [o["id"] for o in listed] == [sent["id"]]  # the held stop is not listed
        server.advance_to_close()
        assert states(server, sent["id"]) == ["new", "held"]
        server.advance_to_close()
        assert states(server, sent["id"]) == ["filled", "canceled"]
        assert call(server, "GET", "/v2/positions").json() == []
        assert server.account.cash == 100_110.0


def test_cancelling_one_leg_ends_the_group() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        post(server, MARKET)
        server.advance_to_open()
        sent = post(server, OCO)
        leg = sent["legs"][0]["id"]
        assert call(server, "DELETE", f"/v2/orders/{leg}").status_code == 204
        assert states(server, sent["id"]) == ["canceled", "canceled"]
        again = call(server, "DELETE", f"/v2/orders/{leg}")
        assert (again.status_code, again.json()["code"]) == (422, 42210000)


def test_filled_entry_hides_its_legs_as_the_service_does() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        sent = post(server, BRACKET)
        server.advance_to_open()
        assert call(server, "GET", "/v2/orders?status=open&nested=true").json() == []
        flat_list = call(server, "GET", "/v2/orders?status=open&nested=false").json()
        assert [o["type"] for o in flat_list] == ["limit"]  # the target; the held stop is in no list of open orders
        assert len(order(server, sent["id"])["legs"]) == 2


def test_paper_fills_cost_what_the_decision_core_says() -> None:
    costs = CostConfig()
    rates = costs.rates()
    with make_server(market({"AAA": flat(100.0)}, volume=5e5), PaperFills(costs)) as server:
        post(server, MARKET)
        server.advance_to_open()
        paid = buy_price(100.0, 10.0, 5e5, rates)
        assert server.account.positions["AAA"].entry_price == pytest.approx(round(10 * paid, 2) / 10)
        post(server, {**MARKET, "side": "sell"})
        got = sell_price(100.0, 10.0, 5e5, rates)
        fees = commission(10.0, rates) + regulatory_fees(10.0, 10.0 * got, rates)
        assert server.account.cash == pytest.approx(100_000 - round(10 * paid, 2) + round(10 * got, 2) - fees)
        kinds = [activity.kind for activity in server.account.activities]
        assert kinds == ["FILL", "FILL", "FEE"]
        assert server.account.activities[2].body["group_id"] == server.account.activities[1].id


def test_paper_fills_miss_a_limit_below_the_cost_and_do_not_try_again() -> None:
    with make_server(market({"AAA": one_day((100.0, 101.0, 90.0, 95.0))}), PaperFills()) as server:
        sent = post(server, {**MARKET, "type": "limit", "limit_price": 100.0})
        server.advance_to_close()
        assert states(server, sent["id"]) == ["expired"]


def test_paper_fills_are_capped_by_volume_and_cash() -> None:
    with make_server(market({"AAA": flat(100.0)}, volume=1000.0), PaperFills()) as server:
        sent = post(server, {**LIMIT, "qty": 80})
        server.advance_to_open()
        assert order(server, sent["id"])["filled_qty"] == "50"
        server.advance_to_close()
        assert order(server, sent["id"])["status"] == "expired"
    with make_server(market({"AAA": flat(100.0)}), PaperFills(), cash=1_000.0, multiplier=2) as server:
        sent = post(server, {**LIMIT, "qty": 15})
        server.advance_to_open()
        assert order(server, sent["id"])["filled_qty"] == "9"


def test_sales_at_the_open_pay_for_purchases_at_the_open() -> None:
    with make_server(
        market({"AAA": flat(100.0), "BBB": flat(50.0)}), PaperFills(), cash=1_100.0, multiplier=2
    ) as server:
        post(server, LIMIT)
        server.advance_to_close()
        bought = post(server, {**LIMIT, "symbol": "BBB", "qty": 10, "limit_price": 51.0})
        post(server, {**MARKET, "side": "sell"})
        server.advance_to_open()
        assert order(server, bought["id"])["filled_qty"] == "10"


def test_ticker_without_a_bar_does_not_trade() -> None:
    bars: list[Bar | None] = [(100.0,) * 4, None, (100.0,) * 4, (100.0,) * 4]
    with make_server(market({"AAA": bars, "BBB": flat(1.0, 4)})) as server:
        sent = post(server, {**MARKET, "time_in_force": "gtc"})
        server.advance_to_close()
        assert order(server, sent["id"])["status"] == "new"
        server.advance_to_close()
        assert order(server, sent["id"])["status"] == "filled"


@pytest.mark.parametrize(("kind", "status", "filled"), [("reject", "rejected", "0"), ("cancel", "canceled", "0")])
def test_venue_may_reject_or_cancel(kind: str, status: str, filled: str) -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        assert call(server, "POST", "/admin/whims", {"kind": kind, "symbol": "AAA"}).status_code == 200
        first, second = post(server, LIMIT), post(server, LIMIT)
        server.advance_to_open()
        assert [order(server, o["id"])["status"] for o in (first, second)] == [status, "filled"]
        assert order(server, first["id"])["filled_qty"] == filled


def test_venue_may_fill_a_part_only() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        call(server, "POST", "/admin/whims", {"kind": "partial", "fraction": 0.35})
        sent = post(server, BRACKET)
        server.advance_to_open()
        assert states(server, sent["id"]) == ["partially_filled", "held", "held"]
        assert order(server, sent["id"])["filled_qty"] == "3"
        server.advance_to_close()
        assert states(server, sent["id"]) == ["expired", "canceled", "canceled"]
        assert server.account.held("AAA") == 3.0


# ------------------------------------------------------------ refusals

REFUSALS = [
    ({"symbol": None}, 422, "symbol is required"),
    ({"symbol": "ZZZ"}, 422, 'asset "ZZZ" not found'),
    ({"symbol": "HALT"}, 422, "not tradable"),
    ({"symbol": "GONE"}, 422, "not active"),
    ({"symbol": "WHOLE", "qty": 1.5}, 403, "not fractionable"),
    ({"side": "hold"}, 422, "invalid side hold"),
    ({"type": "iceberg"}, 422, "invalid type iceberg"),
    ({"time_in_force": "soon"}, 422, "invalid time_in_force soon"),
    ({"order_class": "mleg"}, 422, "invalid order_class mleg"),
    ({"qty": None}, 422, "qty or notional is required"),
    ({"notional": 100}, 422, "only one of qty or notional"),
    ({"qty": 0}, 422, "qty must be > 0"),
    ({"qty": "many"}, 422, "invalid qty many"),
    ({"qty": "NaN"}, 422, "invalid qty NaN"),
    ({"qty": 1.0000000001}, 422, "9 decimal places"),
    ({"qty": None, "notional": 0.5}, 403, "minimal amount of order 1"),
    ({"qty": None, "notional": 10.555}, 422, "2 decimal places"),
    ({"qty": None, "notional": 10, "time_in_force": "gtc"}, 422, "notional orders must be market DAY"),
    ({"qty": 1.5, "time_in_force": "gtc"}, 422, "fractional orders must be DAY orders"),
    ({**BRACKET, "qty": 1.5}, 422, "fractional orders must be simple orders"),
    ({"type": "limit"}, 422, "limit orders require limit price"),
    ({"limit_price": 100}, 422, "market orders must not have limit price"),
    ({"stop_price": 100}, 422, "market orders must not have stop_price"),
    ({"type": "stop"}, 422, "stop orders require stop price"),
    ({**LIMIT, "limit_price": 100.123}, 422, "sub-penny increment"),
    ({**LIMIT, "limit_price": 0.12345}, 422, "sub-penny increment"),
    ({**LIMIT, "limit_price": 0}, 422, "limit_price must be > 0"),
    ({**BRACKET, "stop_loss": None}, 422, "bracket orders require"),
    ({**BRACKET, "stop_loss": 95}, 422, "stop_loss must be an object"),
    ({**BRACKET, "stop_loss": {"stop_price": 100.0}}, 422, "stop_loss.stop_price must be <= base_price - 0.01"),
    ({**BRACKET, "take_profit": {"limit_price": 101.0}}, 422, "take_profit.limit_price must be >= base_price + 0.01"),
    ({**BRACKET, "take_profit": {"limit_price": 94.0}}, 422, "must be greater than stop_loss.stop_price"),
    ({**BRACKET, "time_in_force": "opg"}, 422, "complex orders must be DAY or GTC"),
    ({"order_class": "oto"}, 422, "oto orders require either"),
    ({**OCO, "type": "market"}, 422, "oco orders must be limit orders"),
    ({"stop_loss": {"stop_price": 90}}, 422, "simple orders must not have"),
    ({"extended_hours": True}, 422, "extended hours order must be"),
    ({"client_order_id": "x" * 129}, 422, "no more than 128 characters"),
    ({"client_order_id": "taken"}, 422, "client_order_id must be unique"),
    ({"side": "sell"}, 403, "not allowed to short"),
    ({"qty": 100_000}, 403, "insufficient buying power"),
    (
        {"symbol": "BBB", "side": "sell", "qty": 6},
        403,
        "insufficient qty available for order (requested: 6, available: 5)",
    ),
]


@pytest.fixture(scope="module")
def strict() -> Any:
    bars = {name: flat(100.0) for name in ("AAA", "BBB", "HALT", "GONE", "WHOLE")}
    assets = [
        Asset("HALT", tradable=False),
        Asset("GONE", active=False),
        Asset("WHOLE", fractionable=False),
    ]
    with make_server(market(bars), assets=assets) as server:
        post(server, {**MARKET, "symbol": "BBB", "qty": 5, "client_order_id": "taken"})
        server.advance_to_close()
        yield server


@pytest.mark.parametrize(("changes", "status", "words"), REFUSALS, ids=[words for _, _, words in REFUSALS])
def test_order_is_refused_in_the_services_words(
    strict: AlpacaServer, changes: dict[str, object], status: int, words: str
) -> None:
    before = len(strict.exchange.orders)
    answer = call(strict, "POST", "/v2/orders", {**MARKET, **changes})
    assert (answer.status_code, words in answer.json()["message"]) == (status, True), answer.text
    assert isinstance(answer.json()["code"], int)
    assert len(strict.exchange.orders) == before


def test_shares_are_sold_once_only() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        post(server, MARKET)
        server.advance_to_open()
        sent = post(server, {**OCO, "qty": 7})
        refused = call(server, "POST", "/v2/orders", {**MARKET, "side": "sell", "qty": 4}).json()
        assert (refused["available"], refused["held_for_orders"], refused["existing_qty"]) == ("3", "7", "10")
        assert sent["id"] in refused["related_orders"]
        assert call(server, "GET", "/v2/positions/AAA").json()["qty_available"] == "3"
        post(server, {**MARKET, "side": "sell", "qty": 3})


def test_crossing_orders_of_one_account_are_a_wash() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        post(server, MARKET)
        server.advance_to_open()
        post(server, {**MARKET, "side": "sell", "type": "stop", "stop_price": 90.0, "time_in_force": "gtc"})
        answer = call(server, "POST", "/v2/orders", MARKET)
        assert (answer.status_code, "wash trade" in answer.text) == (403, True)


def test_open_buys_reserve_buying_power() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        post(server, {**LIMIT, "qty": 900})
        assert float(call(server, "GET", "/v2/account").json()["buying_power"]) == 100_000 - 900 * 101
        assert call(server, "POST", "/v2/orders", {**LIMIT, "qty": 100}).status_code == 403


def test_auction_orders_have_their_hours() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        sent = post(server, {**MARKET, "time_in_force": "opg"})
        server.advance_to_open()
        assert order(server, sent["id"])["status"] == "filled"
        late = call(server, "POST", "/v2/orders", {**MARKET, "time_in_force": "opg"})
        assert (late.status_code, "9:28am" in late.text) == (422, True)
        at_close = post(server, {**MARKET, "time_in_force": "cls"})
        assert at_close["status"] == "new"
        server.advance_to_close()
        assert order(server, at_close["id"])["status"] == "filled"


def test_blocked_account_takes_no_orders() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        server.account.blocked = True
        assert call(server, "POST", "/v2/orders", MARKET).status_code == 403
        assert call(server, "GET", "/v2/account").json()["trading_blocked"] is True


# ------------------------------------------------------------ lists, time, money, data


def test_lists_filter_and_page() -> None:
    with make_server(market({"AAA": flat(100.0), "BBB": flat(50.0)})) as server:
        ids = [post(server, {**LIMIT, "qty": 1, "limit_price": 1.0})["id"] for _ in range(5)]
        other = post(server, {**LIMIT, "symbol": "BBB", "limit_price": 1.0})["id"]
        call(server, "DELETE", f"/v2/orders/{ids[0]}")

        def listed(query: str) -> list[str]:
            return [o["id"] for o in call(server, "GET", f"/v2/orders?{query}").json()]

        assert listed("limit=2") == [other, ids[4]]
        assert listed("status=closed") == [ids[0]]
        assert listed("symbols=BBB&status=all") == [other]
        assert listed("direction=asc&limit=2&status=all") == ids[:2]
        assert listed(f"direction=asc&status=all&limit=2&after_order_id={ids[1]}") == ids[2:4]
        assert listed(f"status=all&limit=2&before_order_id={ids[2]}") == [ids[1], ids[0]]
        assert call(server, "GET", "/v2/orders?limit=501").status_code == 422


def test_clock_knows_half_days_and_holidays() -> None:
    panel = market({"AAA": flat(100.0, 250)})
    with make_server(panel) as server:
        christmas_eve = server.market.sessions.index(date(2024, 12, 24))
        server.advance(server.market.opens[christmas_eve])
        clock = call(server, "GET", "/v2/clock").json()
        assert (clock["is_open"], clock["next_close"]) == (True, "2024-12-24T13:00:00-05:00")
        assert clock["next_open"].startswith("2024-12-26T09:30")


def test_clock_can_stand_still() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        before = call(server, "GET", "/v2/clock").json()
        server.freeze_clock()
        server.advance_to_open()
        assert call(server, "GET", "/v2/clock").json() == before
        call(server, "DELETE", "/admin/faults")
        assert call(server, "GET", "/v2/clock").json()["is_open"] is True


def test_splits_and_dividends_come_before_the_open() -> None:
    split, dividend = np.ones((6, 1)), np.zeros((6, 1))
    split[3, 0], dividend[2, 0] = 2.0, 0.25
    bars = [*flat(100.0, 3), *flat(50.0, 3)]
    with make_server(market({"AAA": bars}, split_ratio=split, dividend=dividend)) as server:
        post(server, MARKET)
        server.advance_to_close()
        simple = post(server, {**MARKET, "side": "sell", "type": "stop", "stop_price": 90.0, "time_in_force": "gtc"})
        server.advance_to_dawn()
        assert server.account.cash == 99_000.0 + 2.5
        server.advance_to_close()
        server.advance_to_dawn()
        assert (server.account.held("AAA"), server.account.cash) == (20.0, 99_002.5)
        moved = order(server, simple["id"])
        assert (moved["qty"], moved["stop_price"]) == ("20", "45")
        assert [a.kind for a in server.account.activities] == ["FILL", "DIV", "SPLIT"]


def test_group_does_not_follow_a_split() -> None:
    split = np.ones((6, 1))
    split[2, 0] = 2.0
    with make_server(market({"AAA": [*flat(100.0, 2), *flat(50.0, 4)]}, split_ratio=split)) as server:
        post(server, MARKET)
        server.advance_to_close()
        sent = post(server, OCO)
        server.advance_to_dawn()
        assert (order(server, sent["id"])["qty"], server.account.held("AAA")) == ("10", 20.0)
        server.advance_to_open()  # the stop at 95 is far above the new price
        assert states(server, sent["id"]) == ["canceled", "filled"]


def bars_of(server: AlpacaServer, query: str) -> requests.Response:
    return call(server, "GET", f"/v2/stocks/bars?timeframe=1Day&{query}")


def test_history_pages_cover_all_symbols_once() -> None:
    with make_server(market({"AAA": flat(100.0), "BBB": flat(50.0)})) as server:
        for _ in range(4):
            server.advance_to_close()
        seen, token, pages = [], "", 0
        while True:
            page = bars_of(server, f"symbols=AAA,BBB,ZZZ&start=2024-01-01&limit=3&feed=iex&page_token={token}").json()
            seen += [(symbol, bar["t"]) for symbol, series in page["bars"].items() for bar in series]
            pages, token = pages + 1, page["next_page_token"]
            if token is None:
                break
        assert (len(seen), len(set(seen)), pages) == (10, 10, 4)


def test_history_contains_the_running_session_half_built() -> None:
    with make_server(market({"AAA": one_day((100.0, 130.0, 90.0, 120.0))})) as server:
        opened = server.advance_to_open()
        server.advance(opened + (server.market.closes[1] - opened) / 2)
        bar = bars_of(server, "symbols=AAA&start=2024-01-03&feed=iex").json()["bars"]["AAA"][-1]
        assert (bar["o"], bar["l"], bar["h"] < 130.0, bar["c"]) == (100.0, 90.0, True, pytest.approx(110.0))
        assert bar["t"] == "2024-01-03T05:00:00.000000Z"


def test_free_plan_has_no_recent_sip_data() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        server.advance_to_close()
        refused = bars_of(server, f"symbols=AAA&start=2024-01-01&feed=sip&end={server.now:%Y-%m-%dT%H:%M:%SZ}")
        assert (refused.status_code, "recent SIP data" in refused.text) == (403, True)
        assert bars_of(server, "symbols=AAA&start=2024-01-01&feed=sip").status_code == 200
        assert call(server, "GET", "/v2/stocks/snapshots?symbols=AAA&feed=sip").status_code == 403
    with make_server(market({"AAA": flat(100.0)}), entitlement=Entitlement(True, indices=False)) as server:
        assert bars_of(server, f"symbols=AAA&start=2024-01-01&feed=sip&end={server.now:%Y-%m-%dT%H:%M:%SZ}").ok
        assert call(server, "GET", "/v1beta1/indices/latest/values?symbols=VIX").status_code == 403


def test_adjusted_history_moves_when_a_split_happens() -> None:
    split = np.ones((6, 1))
    split[3, 0] = 2.0
    with make_server(market({"AAA": [*flat(100.0, 3), *flat(50.0, 3)]}, split_ratio=split)) as server:
        closes = {}
        for _ in range(3):
            server.advance_to_close()
            page = bars_of(server, "symbols=AAA&start=2024-01-01&feed=iex&adjustment=all").json()
            closes[server.market.closed_row] = [bar["c"] for bar in page["bars"]["AAA"]]
        assert closes == {1: [100.0, 100.0], 2: [100.0] * 3, 3: [50.0] * 4}
        raw = bars_of(server, "symbols=AAA&start=2024-01-01&feed=iex&adjustment=raw").json()
        assert [bar["c"] for bar in raw["bars"]["AAA"]] == [100.0, 100.0, 100.0, 50.0]


def test_two_servers_with_one_seed_answer_alike() -> None:
    answers = []
    for _ in range(2):
        with make_server(market({"AAA": flat(100.0)}), seed=3) as server:
            sent = post(server, BRACKET)
            server.advance_to_close()
            answers.append((order(server, sent["id"]), call(server, "GET", "/v2/account/activities").json()))
    assert answers[0] == answers[1]


def test_port_in_use_is_one_clear_error() -> None:
    with make_server(market({"AAA": flat(100.0)})) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(FixConfigError, match=f"port {port} cannot be opened"):
            AlpacaServer(server.market.panel, CALENDAR, port=port)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data", "no_such_folder"], 6, "no_such_folder"),
        (["--data", "synthetic", "--port", "99999"], 2, "--port must be in 0..65535"),
    ],
)
def test_command_fails_with_one_message(arguments: list[str], code: int, words: str) -> None:
    module = [sys.executable, "-m", "trading_platform.alpaca_server", *arguments]
    done = subprocess.run(module, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert (done.returncode, words in done.stderr, done.stdout) == (code, True, "")


def test_command_serves_until_it_is_stopped() -> None:
    module = [sys.executable, "-m", "trading_platform.alpaca_server", "--data", "synthetic"]
    with subprocess.Popen(module, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(" on ")[1].split()[0]
        keys = {"APCA-API-KEY-ID": "PKLOCAL", "APCA-API-SECRET-KEY": "local-secret"}
        assert requests.get(f"{url}/v2/account", headers=keys, timeout=5).json()["cash"] == "100000"
        moved = requests.post(f"{url}/admin/advance", json={"to": "open"}, timeout=5)
        assert moved.status_code == 200
        assert requests.get(f"{url}/v2/clock", headers=keys, timeout=5).json()["is_open"] is True
        assert requests.get(f"{url}/admin/state", timeout=5).json()["positions"] == {}
        process.terminate()
