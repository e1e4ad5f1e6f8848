"""The local server answers as Alpaca's specification says, and alpaca-py's own models read every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import requests
from alpaca_spec import Spec, needs_spec

from trading_platform.alpaca_server.fill_models import ExactFills
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData

KEYS = {"APCA-API-KEY-ID": "PKLOCAL", "APCA-API-SECRET-KEY": "local-secret"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[AlpacaServer, str]]:
    """A server with positions, a bracket, an OCO, a cancelled order and a week of history."""
    calendar = NyseCalendar()
    panel = SyntheticMarketData(7, n_tickers=4, n_sessions=30, calendar=calendar).history()
    with AlpacaServer(panel, calendar, ServerConfig(), ExactFills()) as server:
        first, second = server.market.tickers[:2]
        price = server.market.price(first) or 0.0
        _post(server, symbol=first, qty=4, side="buy", type="market", time_in_force="day", client_order_id="a")
        _post(server, symbol=second, qty=2.5, side="buy", type="market", time_in_force="day")
        server.advance_to_close()
        stop, target = {"stop_price": round(price * 0.5, 2)}, {"limit_price": round(price * 2.0, 2)}
        shared = {"symbol": first, "type": "limit", "time_in_force": "gtc"}
        _post(server, **shared, qty=4, side="sell", order_class="oco", stop_loss=stop, take_profit=target)
        server.advance_to_close()
        _post(
            server,
            symbol=server.market.tickers[2],
            qty=3,
            side="buy",
            type="market",
            time_in_force="day",
            order_class="bracket",
            stop_loss={"stop_price": 0.5},
            take_profit={"limit_price": 9e4},
            client_order_id="b",
        )
        gone = _post(server, symbol=second, qty=1, side="buy", type="limit", limit_price=0.5, time_in_force="gtc")
        _call(server, "DELETE", f"/v2/orders/{gone['id']}")
        server.move_cash(250.0)
        for _ in range(3):
            server.advance_to_close()
        yield server, first


def _call(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, server.url + path, json=body, headers=KEYS, timeout=5)


def _post(server: AlpacaServer, **body: object) -> dict[str, Any]:
    answer = _call(server, "POST", "/v2/orders", body)
    assert answer.status_code == 200, answer.text
    parsed: dict[str, Any] = answer.json()
    return parsed


READS = [
    "/v2/account",
    "/v2/account/configurations",
    "/v2/account/portfolio/history?period=1M&timeframe=1D&cashflow_types=ALL",
    "/v2/account/activities",
    "/v2/account/activities?category=trade_activity&page_size=1&direction=asc",
    "/v2/account/activities/FILL",
    "/v2/clock",
    "/v2/calendar?start=2024-11-20&end=2024-12-31",
    "/v2/assets?status=active",
    "/v2/assets/{ticker}",
    "/v2/orders?status=all&limit=500",
    "/v2/orders?status=all&limit=500&nested=true&direction=asc",
    "/v2/orders",
    "/v2/orders/{order}?nested=true",
    "/v2/orders:by_client_order_id?client_order_id=a",
    "/v2/positions",
    "/v2/positions/{ticker}",
]
DATA_READS = [
    "/v2/stocks/bars?symbols={ticker}&timeframe=1Day&start=2024-11-01&limit=5&feed=iex&adjustment=all",
    "/v2/stocks/bars/latest?symbols={ticker}",
    "/v2/stocks/quotes/latest?symbols={ticker}",
    "/v2/stocks/trades/latest?symbols={ticker}",
    "/v2/stocks/snapshots?symbols={ticker}",
    "/v1beta1/indices/values?symbols=VIX&limit=3",
    "/v1beta1/indices/latest/values?symbols=VIX",
]


def _filled_in(server: AlpacaServer, template: str, ticker: str) -> str:
    bracket = server.exchange.find_client("b")
    return template.replace("{ticker}", ticker).replace("{order}", bracket.id)


@needs_spec
@pytest.mark.parametrize("template", READS)
def test_trading_answer_validates_against_the_specification(served: tuple[AlpacaServer, str], template: str) -> None:
    server, ticker = served
    path = _filled_in(server, template, ticker)
    answer = _call(server, "GET", path)
    assert answer.json()
    Spec("trading-api.json").validate("GET", path.partition("?")[0], answer.status_code, answer.json())


@needs_spec
@pytest.mark.parametrize("template", DATA_READS)
def test_data_answer_validates_against_the_specification(served: tuple[AlpacaServer, str], template: str) -> None:
    server, ticker = served
    path = _filled_in(server, template, ticker)
    answer = _call(server, "GET", path)
    Spec("market-data-api.json").validate("GET", path.partition("?")[0], answer.status_code, answer.json())
    assert ticker in answer.text or "VIX" in answer.text


@needs_spec
def test_changing_requests_validate_against_the_specification() -> None:
    spec, calendar = Spec("trading-api.json"), NyseCalendar()
    panel = SyntheticMarketData(7, n_tickers=2, n_sessions=10, calendar=calendar).history()
    with AlpacaServer(panel, calendar, ServerConfig(), ExactFills()) as server:
        server.advance_to_open()  # what has not reached the venue cannot be replaced
        first, second = server.market.tickers
        order = {"symbol": first, "qty": 5, "side": "buy", "type": "market", "time_in_force": "day"}

        def check(method: str, path: str, body: object = None) -> Any:
            answer = _call(server, method, path, body)
            content = answer.json() if answer.content else None
            spec.validate(method, path.partition("?")[0], answer.status_code, content)
            return content

        check("POST", "/v2/orders", order)
        resting = {**order, "type": "limit", "limit_price": 0.5, "time_in_force": "gtc"}
        working = check("POST", "/v2/orders", resting)
        replaced = check("PATCH", f"/v2/orders/{working['id']}", {"qty": 3})
        assert (replaced["replaces"], replaced["qty"]) == (working["id"], "3")
        check("DELETE", f"/v2/orders/{replaced['id']}")
        check("POST", "/v2/orders", {**order, "symbol": second})
        server.advance_to_open()
        check("DELETE", f"/v2/positions/{first}?qty=2")
        check("DELETE", "/v2/positions?cancel_orders=true")
        check("DELETE", "/v2/orders")
        assert _call(server, "POST", "/v2/orders", {**order, "qty": 10**9}).status_code == 403
        check("POST", "/v2/orders", {**order, "qty": 10**9})
        check("POST", "/v2/orders", {**order, "qty": 0})


@needs_spec
def test_answer_with_a_wrong_field_is_caught() -> None:
    spec = Spec("trading-api.json")
    good = {"timestamp": "2024-01-02T09:30:00-05:00", "is_open": True, "next_open": "x", "next_close": "x"}
    spec.validate("GET", "/v2/clock", 200, good)
    for bad in ({**good, "is_open": "yes"}, {key: good[key] for key in ("timestamp", "is_open")}):
        with pytest.raises(jsonschema.ValidationError):
            spec.validate("GET", "/v2/clock", 200, bad)
    with pytest.raises(AssertionError, match="not in the specification"):
        spec.validate("GET", "/v2/no_such_path", 200, {})
    with pytest.raises(AssertionError, match="status 418"):
        spec.validate("GET", "/v2/clock", 418, {})


def trading(server: AlpacaServer) -> Any:
    from alpaca.trading.client import TradingClient

    return TradingClient("PKLOCAL", "local-secret", url_override=server.url)


def data(server: AlpacaServer) -> Any:
    from alpaca.data.historical import StockHistoricalDataClient

    return StockHistoricalDataClient("PKLOCAL", "local-secret", url_override=server.url)


def test_alpaca_py_reads_the_account(served: tuple[AlpacaServer, str]) -> None:
    from alpaca.trading.requests import GetCalendarRequest, GetPortfolioHistoryRequest

    server, ticker = served
    client = trading(server)
    account = client.get_account()
    assert float(account.equity) == pytest.approx(float(account.cash) + float(account.long_market_value), abs=0.01)
    assert account.daytrade_count is None
    assert client.get_account_configurations().fractional_trading
    assert client.get_clock().timestamp.astimezone(UTC) == server.now
    days = client.get_calendar(GetCalendarRequest(start=date(2024, 11, 28), end=date(2024, 11, 29)))
    assert [(d.date, f"{d.close:%H:%M}") for d in days] == [(date(2024, 11, 29), "13:00")]  # Thanksgiving, half day
    history = client.get_portfolio_history(
        GetPortfolioHistoryRequest(timeframe="1D", start=datetime(2024, 1, 1, tzinfo=UTC), cashflow_types="CSD,CSW")
    )
    assert len(history.equity) == 5
    assert sum(history.cashflow["CSD"]) == 250.0
    assert {p.symbol: float(p.qty) for p in client.get_all_positions()}[ticker] == 4.0
    assert client.get_open_position(ticker).qty == "4"
    assert client.get_asset(ticker).fractionable
    assert len(client.get_all_assets()) == 5  # four tickers and the benchmark


def test_alpaca_py_reads_orders(served: tuple[AlpacaServer, str]) -> None:
    from alpaca.trading.enums import OrderClass, OrderStatus, QueryOrderStatus
    from alpaca.trading.requests import GetOrderByIdRequest, GetOrdersRequest

    server, _ = served
    client = trading(server)
    bracket = client.get_order_by_client_id("b")
    assert (bracket.order_class, bracket.legs) == (OrderClass.BRACKET, None)
    nested = client.get_order_by_id(bracket.id, GetOrderByIdRequest(nested=True))
    assert [leg.status for leg in nested.legs] == [OrderStatus.EXPIRED, OrderStatus.CANCELED]
    orders = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500, nested=False))
    assert len(orders) == 8
    listed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, nested=True))
    assert [(order.order_class, len(order.legs)) for order in listed] == [(OrderClass.OCO, 1)]


def test_alpaca_py_reads_activities(served: tuple[AlpacaServer, str]) -> None:
    from alpaca.trading.enums import ActivityType
    from alpaca.trading.models import NonTradeActivity, TradeActivity

    server, _ = served
    raw = trading(server).get("/account/activities", {"direction": "asc"})
    account = UUID(
        server.exchange.identifiers.named("account")
    )  # the trading API omits what the broker API's model wants
    fills = [TradeActivity(account_id=account, **entry) for entry in raw if entry["activity_type"] == "FILL"]
    others = [NonTradeActivity(account_id=account, **entry) for entry in raw if entry["activity_type"] != "FILL"]
    assert [fill.qty for fill in fills] == [4.0, 2.5, 3.0]
    assert [(entry.activity_type, entry.net_amount) for entry in others] == [(ActivityType.CSD, 250.0)]


REQUESTS: list[tuple[str, Callable[[str, str], Any]]] = []


def request(make: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    REQUESTS.append((make.__name__, make))
    return make


@request
def market_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import MarketOrderRequest

    return MarketOrderRequest(symbol=ticker, qty=1, side="buy", time_in_force="day", client_order_id=key)


@request
def notional_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import MarketOrderRequest

    return MarketOrderRequest(symbol=ticker, notional=10.5, side="buy", time_in_force="day", client_order_id=key)


@request
def fractional_limit_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import LimitOrderRequest

    return LimitOrderRequest(
        symbol=ticker, qty=0.5, side="buy", time_in_force="day", limit_price=1.25, client_order_id=key
    )


@request
def bracket_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import LimitOrderRequest, StopLossRequest, TakeProfitRequest

    return LimitOrderRequest(
        symbol=ticker,
        qty=2,
        side="buy",
        time_in_force="day",
        limit_price=1.25,
        order_class="bracket",
        stop_loss=StopLossRequest(stop_price=1.1),
        take_profit=TakeProfitRequest(limit_price=2),
        client_order_id=key,
    )


@request
def oto_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import LimitOrderRequest, StopLossRequest

    return LimitOrderRequest(
        symbol=ticker,
        qty=2,
        side="buy",
        time_in_force="gtc",
        limit_price=1.25,
        order_class="oto",
        stop_loss=StopLossRequest(stop_price=1.1, limit_price=1.05),
        client_order_id=key,
    )


@request
def oco_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import LimitOrderRequest, StopLossRequest, TakeProfitRequest

    return LimitOrderRequest(
        symbol=ticker,
        qty=2,
        side="sell",
        time_in_force="gtc",
        order_class="oco",
        stop_loss=StopLossRequest(stop_price=0.5),
        take_profit=TakeProfitRequest(limit_price=9e4),
        client_order_id=key,
    )


@request
def stop_order(ticker: str, key: str) -> Any:
    from alpaca.trading.requests import StopOrderRequest

    return StopOrderRequest(symbol=ticker, qty=2, side="sell", time_in_force="gtc", stop_price=0.5, client_order_id=key)


@pytest.mark.parametrize(("name", "make"), REQUESTS, ids=[name for name, _ in REQUESTS])
def test_alpaca_py_request_is_accepted(name: str, make: Callable[[str, str], Any]) -> None:
    calendar = NyseCalendar()
    panel = SyntheticMarketData(7, n_tickers=1, n_sessions=5, calendar=calendar).history()
    with AlpacaServer(panel, calendar, ServerConfig(), ExactFills()) as server:
        ticker = server.market.tickers[0]
        server.trade_by_hand(ticker, "buy", 2.0)
        server.advance_to_close()
        order = trading(server).submit_order(make(ticker, f"own-{name}"))
        assert (order.client_order_id, order.symbol) == (f"own-{name}", ticker)
        assert order.status.value in ("accepted", "new")
        n_legs = {"bracket_order": 2, "oto_order": 1, "oco_order": 1}.get(name, 0)
        assert len(order.legs or []) == n_legs


def test_alpaca_py_changes_orders() -> None:
    from alpaca.trading.requests import ReplaceOrderRequest

    calendar = NyseCalendar()
    panel = SyntheticMarketData(7, n_tickers=1, n_sessions=5, calendar=calendar).history()
    with AlpacaServer(panel, calendar, ServerConfig(), ExactFills()) as server:
        server.advance_to_open()
        client, ticker = trading(server), server.market.tickers[0]
        order = client.submit_order(fractional_limit_order(ticker, "x").model_copy(update={"qty": 3.0}))
        new = client.replace_order_by_id(order.id, ReplaceOrderRequest(limit_price=1.5, client_order_id="y"))
        assert (new.replaces, new.limit_price, new.client_order_id) == (order.id, "1.5", "y")
        client.cancel_order_by_id(new.id)
        assert client.get_order_by_id(new.id).status.value == "canceled"
        client.submit_order(market_order(ticker, "z"))
        server.advance_to_open()
        closed = client.close_position(ticker)
        assert (closed.side.value, closed.filled_qty) == ("sell", "1")
        assert client.get_all_positions() == []
        assert client.cancel_orders() == []
        assert client.close_all_positions(cancel_orders=True) == []


def test_alpaca_py_reads_market_data(served: tuple[AlpacaServer, str]) -> None:
    from alpaca.data.enums import Adjustment, DataFeed
    from alpaca.data.requests import (
        StockBarsRequest,
        StockLatestBarRequest,
        StockLatestQuoteRequest,
        StockLatestTradeRequest,
        StockSnapshotRequest,
    )
    from alpaca.data.timeframe import TimeFrame

    server, ticker = served
    client, tickers = data(server), list(server.market.tickers)
    bars = client.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols=tickers,
            timeframe=TimeFrame.Day,
            start=datetime(2024, 1, 1, tzinfo=UTC),
            limit=1000,
            adjustment=Adjustment.ALL,
            feed=DataFeed.IEX,
        )
    )
    row = server.market.closed_row
    assert {name: len(series) for name, series in bars.data.items()} == dict.fromkeys(tickers, row + 1)
    assert bars[ticker][-1].close == server.market.bar(row, ticker).close
    price = server.market.price(ticker)
    assert client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=ticker))[ticker].close == price
    assert client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=ticker))[ticker].price == price
    quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=ticker))[ticker]
    assert quote.bid_price < price < quote.ask_price
    snapshot = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=ticker))[ticker]
    assert snapshot.daily_bar.close == price
    values = client.get("/indices/values", {"symbols": "VIX", "limit": 2}, api_version="v1beta1")
    assert len(values["values"]["VIX"]) == 2
    assert values["next_page_token"]
