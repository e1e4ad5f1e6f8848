"""What the owner does by hand at the local server, absurd answers, and scenarios that happen again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca_world import CALENDAR, KEY, SECRET, Bar, FakeTimer, flat, make_http, make_server, market, utc

from trading_platform.alpaca_server.scenario import read_scenario
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.market_data.alpaca_data import AlpacaMarketData
from trading_platform.market_data.files import FilesMarketData

HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
BUY = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}
BARS: dict[str, list[Bar | None]] = {"AAA": flat(100.0, 12), "BBB": flat(50.0, 12)}


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market(BARS)) as running:
        running.advance_to_open()
        call(running, "POST", "/v2/orders", BUY)
        yield running


def call(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, server.url + path, json=body, headers=HEADERS, timeout=5)


def deed(server: AlpacaServer, path: str, **body: object) -> Any:
    answer = call(server, "POST", f"/admin/{path}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---------------------------------------------------------------- orders


def test_owner_edits_a_resting_stop_and_the_old_order_names_the_new_one(server: AlpacaServer) -> None:
    stop = {**BUY, "side": "sell", "type": "stop", "stop_price": 90.0, "time_in_force": "gtc"}
    old = call(server, "POST", "/v2/orders", {**stop, "client_order_id": "tp-1"}).json()
    new = deed(server, "replace", client_order_id="tp-1", stop_price=95.0, qty=4)
    assert (new["replaces"], new["stop_price"], new["qty"]) == (old["id"], "95", "4")
    shown = call(server, "GET", "/v2/orders:by_client_order_id?client_order_id=tp-1").json()
    assert (shown["status"], shown["replaced_by"]) == ("replaced", new["id"])
    deed(server, "cancel", symbol="AAA", type="stop")
    assert call(server, "GET", f"/v2/orders/{new['id']}").json()["status"] == "canceled"
    assert call(server, "POST", "/admin/cancel", {"symbol": "AAA"}).status_code == 400


@pytest.mark.parametrize(
    "extra",
    [
        {"notional": 100.0, "qty": None},
        {"type": "trailing_stop", "side": "sell", "trail_percent": 5.0, "qty": 2},
        {"type": "limit", "limit_price": 60.0, "order_class": "oto", "stop_loss": {"stop_price": 50.0}},
    ],
    ids=["notional", "trailing", "oto"],
)
def test_owner_places_share_orders_of_any_kind(server: AlpacaServer, extra: dict[str, object]) -> None:
    placed = deed(server, "orders", **{**BUY, **extra})
    shown = call(server, "GET", f"/v2/orders/{placed['id']}").json()
    assert not shown["client_order_id"].startswith("tp-")
    assert shown["type"] == extra.get("type", "market")


TRAILS: list[Bar | None] = [*flat(100.0, 2), (100.0, 120.0, 99.0, 118.0), (118.0, 118.0, 112.0, 113.0), *flat(113.0, 4)]


def test_trailing_stop_follows_the_price_and_sells_below_its_high() -> None:
    with make_server(market({"AAA": TRAILS})) as server:
        call(server, "POST", "/v2/orders", BUY)
        server.advance_to_close()
        trail = {**BUY, "side": "sell", "type": "trailing_stop", "trail_percent": 5.0, "time_in_force": "gtc"}
        sent = call(server, "POST", "/v2/orders", trail).json()
        assert (sent["hwm"], sent["stop_price"], sent["trail_percent"]) == ("100", "95", "5")
        server.advance_to_close()
        shown = call(server, "GET", f"/v2/orders/{sent['id']}").json()
        assert (shown["hwm"], shown["stop_price"], shown["status"]) == ("120", "114", "new")
        server.advance_to_close()
        shown = call(server, "GET", f"/v2/orders/{sent['id']}").json()
        assert (shown["status"], shown["filled_avg_price"]) == ("filled", "114")


def test_trail_of_a_trailing_stop_can_be_changed(server: AlpacaServer) -> None:
    trail = {**BUY, "side": "sell", "type": "trailing_stop", "trail_price": 5.0, "time_in_force": "gtc"}
    sent = call(server, "POST", "/v2/orders", trail).json()
    new = call(server, "PATCH", f"/v2/orders/{sent['id']}", {"trail": 8.0}).json()
    assert (new["replaces"], new["stop_price"], new["trail_price"]) == (sent["id"], "92", "8")


@pytest.mark.parametrize(
    "extra", [{}, {"trail_price": 1.0, "trail_percent": 1.0}, {"trail_percent": 1.0, "time_in_force": "ioc"}]
)
def test_trailing_stop_that_makes_no_sense_is_refused(server: AlpacaServer, extra: dict[str, object]) -> None:
    wish = {**BUY, "side": "sell", "type": "trailing_stop", **extra}
    assert call(server, "POST", "/v2/orders", wish).status_code == 422


# ---------------------------------------------------------------- things that are no shares


def test_spread_of_options_is_shown_as_alpaca_shows_it_and_moves_only_its_own(server: AlpacaServer) -> None:
    cash, equity = server.account.cash, server.account.equity(server.market.price)
    legs = ["AAA240119P00095000", "AAA240119P00090000"]
    placed = deed(server, "foreign", kind="mleg", legs=legs, qty=2, price=1.5, filled=True)
    assert (placed["symbol"], placed["side"], placed["order_class"]) == ("", "", "mleg")
    assert [(leg["symbol"], leg["side"]) for leg in placed["legs"]] == [(legs[0], "buy"), (legs[1], "sell")]
    listed = call(server, "GET", "/v2/orders?status=all").json()
    assert placed["id"] in {order["id"] for order in listed}
    positions = {row["symbol"]: row for row in call(server, "GET", "/v2/positions").json()}
    assert (positions[legs[0]]["qty"], positions[legs[1]]["qty"]) == ("2", "-2")
    assert positions[legs[0]]["asset_class"] == "us_option"
    assert server.account.cash == cash - 300.0 + 2.0
    assert server.account.equity(server.market.price) == equity
    assert len(call(server, "GET", "/v2/account/activities/FILL").json()) == 3


def test_coin_bought_and_sold_leaves_its_profit_in_cash(server: AlpacaServer) -> None:
    cash = server.account.cash
    deed(server, "foreign", kind="crypto", qty=0.01, price=40_000.0, filled=True)
    assert server.account.cash == cash - 400.0
    deed(server, "foreign", kind="crypto", qty=0.01, price=41_000.0, side="sell", filled=True)
    assert [row["symbol"] for row in call(server, "GET", "/v2/positions").json()] == ["AAA"]
    assert server.account.equity(server.market.price) == 100_010.0


def test_open_foreign_order_is_listed_until_it_is_cancelled(server: AlpacaServer) -> None:
    placed = deed(server, "foreign", kind="option", symbol="AAA240119C00100000")
    assert [order["id"] for order in call(server, "GET", "/v2/orders").json()] == [placed["id"]]
    assert call(server, "DELETE", f"/v2/orders/{placed['id']}").status_code == 204
    assert call(server, "GET", "/v2/orders").json() == []
    again = deed(server, "foreign", kind="mleg")
    server.advance_to_close()
    assert call(server, "GET", f"/v2/orders/{again['id']}").json()["status"] == "expired"
    unreadable = deed(server, "foreign", kind="unreadable")
    assert [order["side"] for order in call(server, "GET", "/v2/orders").json()] == ["sell_to_forget"]
    assert call(server, "DELETE", f"/v2/orders/{unreadable['id']}").status_code == 204
    assert call(server, "POST", "/admin/foreign", {"kind": "house"}).status_code == 400


def test_assignment_moves_shares_and_money(server: AlpacaServer) -> None:
    cash = server.account.cash
    row = {"activity_type": "OPASN", "symbol": "BBB", "qty": 100, "net_amount": -4_800.0, "moves_shares": True}
    deed(server, "activities", **row)
    assert (server.account.held("BBB"), server.account.cash) == (100.0, cash - 4_800.0)
    told = call(server, "GET", "/v2/account/activities/OPASN").json()
    assert [(entry["qty"], entry["net_amount"], entry["status"]) for entry in told] == [("100", "-4800", "executed")]


def test_contracts_are_made_up_around_the_price(server: AlpacaServer) -> None:
    asked = "/v2/options/contracts?underlying_symbols=AAA&type=put&strike_price_lte=100"
    found = call(server, "GET", asked).json()["option_contracts"]
    assert {contract["strike_price"] for contract in found} == {"80", "90", "100"}
    assert found[0]["symbol"] == "AAA240119P00080000"
    assert call(server, "GET", f"/v2/options/contracts/{found[0]['symbol']}").json() == found[0]
    assert call(server, "GET", "/v2/options/contracts/NOTHING").status_code == 404


# ---------------------------------------------------------------- account and assets


@pytest.mark.parametrize("field", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
def test_blocked_account_refuses_orders_and_says_so(server: AlpacaServer, field: str) -> None:
    deed(server, "account", **{field: True, "status": "ACCOUNT_UPDATED", "maintenance_margin": "500000"})
    shown = call(server, "GET", "/v2/account").json()
    assert (shown[field], shown["status"], shown["maintenance_margin"]) == (True, "ACCOUNT_UPDATED", "500000")
    assert call(server, "POST", "/v2/orders", BUY).status_code == 403
    call(server, "DELETE", "/admin/account")
    assert call(server, "POST", "/v2/orders", BUY).status_code == 200


def test_suspended_by_configuration_refuses_orders(server: AlpacaServer) -> None:
    changed = call(server, "PATCH", "/v2/account/configurations", {"suspend_trade": True, "no_shorting": True}).json()
    assert changed["suspend_trade"]
    assert call(server, "POST", "/v2/orders", BUY).status_code == 403
    assert call(server, "PATCH", "/v2/account/configurations", {"suspend_trade": False}).status_code == 200
    assert call(server, "POST", "/v2/orders", BUY).status_code == 200
    assert call(server, "PATCH", "/v2/account/configurations", {"colour": "blue"}).status_code == 422


def test_untradable_asset_refuses_and_a_halted_one_does_not_trade(server: AlpacaServer) -> None:
    deed(server, "assets", symbol="AAA", tradable=False)
    assert call(server, "POST", "/v2/orders", BUY).status_code == 422
    assert call(server, "GET", "/v2/assets/AAA").json()["tradable"] is False
    deed(server, "assets", symbol="AAA", tradable=True, halted=True)
    sent = call(server, "POST", "/v2/orders", {**BUY, "time_in_force": "gtc"}).json()
    assert sent["status"] == "new"
    deed(server, "assets", symbol="AAA", halted=False)
    server.advance_to_close()
    server.advance_to_open()
    assert call(server, "GET", f"/v2/orders/{sent['id']}").json()["status"] == "filled"
    assert call(server, "POST", "/admin/assets", {"symbol": "AAA", "colour": 1}).status_code == 400


# ---------------------------------------------------------------- answers that make no sense


@pytest.mark.parametrize(
    ("kind", "path", "field", "absurd"),
    [
        ("infinite_cash", "/v2/account", "cash", "Infinity"),
        ("absurd_prices", "/v2/positions", "current_price", "1e+30"),
        ("negative_fills", "/v2/orders?status=all", "filled_qty", "-10"),
        ("unknown_words", "/v2/account", "status", "hypothecated"),
        ("unknown_words", "/v2/orders?status=all", "status", "hypothecated"),
    ],
)
def test_absurd_answer_strikes_its_requests_and_no_others(
    server: AlpacaServer, kind: str, path: str, field: str, absurd: str
) -> None:
    deed(server, "faults", kind=kind)
    assert call(server, "GET", "/v2/clock").json()["is_open"] is True
    spoiled, good = (call(server, "GET", path).json() for _ in range(2))
    first, second = (body[0] if isinstance(body, list) else body for body in (spoiled, good))
    assert first[field] == absurd
    assert second[field] != absurd


def test_positions_vanish_and_come_back(server: AlpacaServer) -> None:
    deed(server, "faults", kind="vanished_positions", times=2)
    assert [len(call(server, "GET", "/v2/positions").json()) for _ in range(3)] == [0, 0, 1]


def test_rows_come_twice(server: AlpacaServer) -> None:
    deed(server, "faults", kind="doubled_rows")
    twice = call(server, "GET", "/v2/account/activities").json()
    assert [row["id"] for row in twice] == [twice[0]["id"]] * 2


def test_any_field_may_be_rewritten(server: AlpacaServer) -> None:
    wish = {"kind": "rewrite", "path": "/v2/orders", "fields": {"order_class": "octuple", "qty": None}}
    call(server, "POST", "/admin/faults", wish)
    (order,) = call(server, "GET", "/v2/orders?status=all").json()
    assert (order["order_class"], order["qty"], order["symbol"]) == ("octuple", None, "AAA")


# ---------------------------------------------------------------- scenarios


def scenario_server(lines: Path | None = None, record: Path | None = None) -> AlpacaServer:
    deeds = () if lines is None else read_scenario(lines)
    config = ServerConfig(key_id=KEY, secret_key=SECRET)
    return AlpacaServer(market(BARS), CALENDAR, config, scenario=deeds, record=record)


def test_recorded_scenario_happens_again_at_its_times(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    with scenario_server(record=kept) as first:
        deed(first, "trade", symbol="AAA", side="buy", qty=10)
        first.advance_to_open()
        deed(first, "orders", **{**BUY, "side": "sell", "type": "limit", "limit_price": 130.0, "time_in_force": "gtc"})
        first.advance_to_close()
        deed(first, "replace", symbol="AAA", limit_price=120.0)
        deed(first, "cash", amount=500.0)
        call(first, "GET", "/admin/state")
        deed(first, "events", kind="special_dividend", ticker="AAA", cash=2.0)
        deed(first, "advance", to="close")
        wanted = first.account.cash, [order.json(nested=False) for order in first.exchange.orders.values()]
    assert [json.loads(line)["path"] for line in kept.read_text().splitlines()] == [
        "/admin/trade",
        "/admin/orders",
        "/admin/replace",
        "/admin/cash",
        "/admin/events",
    ]
    with scenario_server(kept) as second:
        second.advance_to_close()
        second.advance_to_close()
        assert (second.account.cash, [order.json(nested=False) for order in second.exchange.orders.values()]) == wanted


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not json", "line 2.*is no deed"),
        ('{"at": "2024-01-03T15:00:00", "path": "/admin/cash"}', "has no zone"),
        ('{"at": "2024-01-03T15:00:00+00:00", "path": "/v2/orders"}', "no admin request"),
        ('{"at": "2024-01-03T15:00:00+00:00", "path": "/admin/advance"}', "no admin request"),
        ('{"path": "/admin/cash"}', "is no deed"),
    ],
)
def test_scenario_that_cannot_be_read_names_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "bad.jsonl"
    good = '{"at": "2024-01-03T15:00:00+00:00", "path": "/admin/cash", "body": {"amount": 1.0}}'
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(FixConfigError, match=words):
        read_scenario(file)
    with pytest.raises(FixConfigError, match="cannot be read"):
        read_scenario(tmp_path / "absent.jsonl")


# ---------------------------------------------------------------- the benchmark


def test_benchmark_is_an_asset_with_bars_that_can_be_traded(server: AlpacaServer) -> None:
    assert call(server, "GET", "/v2/assets/SPY").json()["tradable"] is True
    asked = "/v2/stocks/bars?symbols=SPY&timeframe=1Day&start=2024-01-01&end=2024-01-03T23:00:00Z&feed=iex"
    assert [bar["c"] for bar in call(server, "GET", asked).json()["bars"]["SPY"]] == [400.0, 400.0]
    bought = call(server, "POST", "/v2/orders", {**BUY, "symbol": "SPY", "qty": 1}).json()
    assert (bought["status"], bought["filled_avg_price"]) == ("filled", "400")


def test_benchmark_of_a_folder_reaches_the_engine_as_the_replay_sees_it(tmp_path: Path) -> None:
    closes = [400.0, 404.5, 399.25, 402.0, 403.5]
    days = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]
    rows = ["date,ticker,open,high,low,close,volume"]
    for name, values in (("AAA", [100.0] * 5), ("SPY", closes)):
        rows += [f"{day},{name},{value},{value},{value},{value},1000" for day, value in zip(days, values, strict=True)]
    (tmp_path / "bars.csv").write_text("\n".join(rows) + "\n")
    replayed = FilesMarketData(tmp_path, calendar=CALENDAR).history()
    assert replayed.benchmark.tolist() == closes
    with make_server(replayed) as server:
        for _ in range(4):
            server.advance_to_evening()
        source = AlpacaMarketData(
            make_http(server, FakeTimer()), cache_dir=None, calendar=CALENDAR, now=lambda: server.now
        )
        seen = source.history(["AAA"], start=date(2024, 1, 2))
    assert seen.tickers == ("AAA",)
    assert seen.benchmark.tolist() == closes


def test_column_called_spy_is_served_as_it_is() -> None:
    with make_server(market({"AAA": flat(100.0), "SPY": flat(410.0)})) as server:
        server.advance_to_close()
        assert (server.market.price("SPY"), server.market.symbols) == (410.0, ("AAA", "SPY"))


# ---------------------------------------------------------------- intraday


def test_minutes_add_up_to_the_day() -> None:
    day: list[Bar | None] = [*flat(100.0, 1), (100.0, 112.0, 94.0, 103.0), *flat(103.0, 3)]
    with make_server(market({"AAA": day})) as server:
        server.advance_to_close()
        server.advance(utc("2024-01-03T21:30"))
        asked = "/v2/stocks/bars?symbols=AAA&timeframe=5Min&start=2024-01-03&limit=1000&end=2024-01-03T21:00:00Z"
        bars = call(server, "GET", asked).json()["bars"]["AAA"]
        assert len(bars) == 78
        assert (bars[0]["o"], bars[-1]["c"]) == (100.0, 103.0)
        assert (max(bar["h"] for bar in bars), min(bar["l"] for bar in bars)) == (112.0, 94.0)
        assert all(before["c"] == after["o"] for before, after in pairwise(bars))
        hours = call(server, "GET", asked.replace("5Min", "1Hour")).json()["bars"]["AAA"]
        assert len(hours) == 7
        one = call(
            server, "GET", "/v2/stocks/AAA/bars?timeframe=1Hour&start=2024-01-03&end=2024-01-03T21:00:00Z"
        ).json()
        assert one["bars"] == hours
        assert call(server, "GET", asked.replace("5Min", "5Weeks")).status_code == 400


def test_trades_and_quotes_of_a_session_come_by_the_minute_and_the_page(server: AlpacaServer) -> None:
    server.advance_to_close()
    asked = "/v2/stocks/trades?symbols=AAA&start=2024-01-03&feed=iex&limit=300"
    first = call(server, "GET", asked).json()
    second = call(server, "GET", f"{asked}&page_token={first['next_page_token']}").json()
    assert (len(first["trades"]["AAA"]), len(second["trades"]["AAA"])) == (300, 90)
    assert second["next_page_token"] is None
    (quote,) = call(server, "GET", "/v2/stocks/AAA/quotes?start=2024-01-03&feed=iex&limit=1").json()["quotes"]
    assert quote["bp"] < 100.0 < quote["ap"]


def test_intraday_equity_is_kept(server: AlpacaServer) -> None:
    server.advance_to_close()
    kept = call(server, "GET", "/v2/account/portfolio/history?timeframe=1H&period=1D").json()
    assert kept["timeframe"] == "1H"
    assert len(kept["equity"]) >= 3
    assert set(kept["equity"]) == {100_000.0}
