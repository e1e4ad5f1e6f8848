"""What the local server serves beyond shares and money: watchlists, announcements, options, foreign orders, streams.

And what of the specification it does not serve at all, by name, so that nothing is missing unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import requests
from alpaca_spec import Spec, needs_spec

from trading_platform.alpaca_server.behaviour import REALISTIC, changed
from trading_platform.alpaca_server.corporate import KINDS
from trading_platform.alpaca_server.fill_models import ExactFills
from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData

KEYS = {"APCA-API-KEY-ID": "PKLOCAL", "APCA-API-SECRET-KEY": "local-secret"}
EVENT_SESSION = "2024-12-12"

# the parts of the specification that this server leaves out, and why
NOT_SERVED = {
    "/v1/locates": "short sales",
    "/v2beta1/events": "server-sent events; trade_updates is served",
    "/v2/assets/fixed_income": "bonds",
    "/v2/perpetuals": "perpetual futures",
    "/v2/tokenization": "tokens",
    "/v2/wallets": "crypto wallets",
    "/v3/": "newer clock and calendar; alpaca-py asks /v2",
}
DATA_NOT_SERVED = {
    "/v1beta1/crypto": "crypto prices",
    "/v1beta3": "crypto prices",
    "/v1beta1/options": "option prices",
    "/v1beta1/news": "news",
    "/v1beta1/logos": "logos",
    "/v1beta1/forex": "currencies",
    "/v1beta1/screener": "screeners",
    "/v1beta1/fixed_income": "bonds",
    "/v2/stocks/meta": "codes of conditions and exchanges",
}


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[AlpacaServer, str]]:
    """A realistic server whose owner deals in options and coins, with one corporate event of every kind ahead."""
    calendar = NyseCalendar()
    panel = SyntheticMarketData(7, n_tickers=4, n_sessions=30, calendar=calendar).history()
    habits = changed(REALISTIC, {"requests_per_minute": 0, "late_activities": 0.0})
    with AlpacaServer(panel, calendar, ServerConfig(behaviour=habits), ExactFills()) as server:
        ticker, other = server.market.tickers[:2]
        call(server, "POST", "/v2/orders", order(ticker, client_order_id="a"))
        server.advance_to_close()
        for kind in ("mleg", "option"):
            deed(server, "foreign", kind=kind, filled=True)
            deed(server, "foreign", kind=kind)
        for n, kind in enumerate(KINDS):
            deed(server, "events", kind=kind, ticker=ticker, other=other, ratio=1.5, cash=1.0, session=EVENT_SESSION)
            if n == 0:
                deed(server, "events", kind=kind, ticker=ticker, ratio=0.5, session=EVENT_SESSION)
        deed(server, "activities", activity_type="JNLC", net_amount=5.0)
        made = call(server, "POST", "/v2/watchlists", {"name": "mine", "symbols": [ticker, "SPY"]}).json()
        yield server, f"{ticker} {made['id']}"


def small() -> AlpacaServer:
    calendar = NyseCalendar()
    panel = SyntheticMarketData(7, n_tickers=2, n_sessions=10, calendar=calendar).history()
    return AlpacaServer(panel, calendar, ServerConfig(), ExactFills())


def call(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, server.url + path, json=body, headers=KEYS, timeout=5)


def deed(server: AlpacaServer, path: str, **body: object) -> Any:
    answer = call(server, "POST", f"/admin/{path}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def order(ticker: str, **changes: object) -> dict[str, object]:
    return {"symbol": ticker, "qty": 4, "side": "buy", "type": "market", "time_in_force": "day", **changes}


READS = [
    "/v2/account",
    "/v2/account/activities",
    "/v2/account/portfolio/history?timeframe=15Min&period=1D",
    "/v2/assets/SPY",
    "/v2/orders?status=all&nested=true",
    "/v2/positions",
    "/v2/positions/AAPL250117C00190000",
    "/v2/watchlists",
    "/v2/watchlists/{watchlist}",
    "/v2/watchlists:by_name?name=mine",
    "/v2/corporate_actions/announcements?ca_types=split,merger,dividend,spinoff&since=2024-11-01&until=2024-12-31",
    "/v2/options/contracts?underlying_symbols={ticker}&limit=7",
]
DATA_READS = [
    "/v1/corporate-actions?start=2024-11-01&end=2024-12-31",
    "/v2/stocks/bars?symbols={ticker}&timeframe=30Min&start=2024-11-01&feed=iex",
    "/v2/stocks/auctions?symbols={ticker}&start=2024-11-01",
    "/v2/stocks/{ticker}/bars?timeframe=1Day&start=2024-11-01&feed=iex",
    "/v2/stocks/{ticker}/bars/latest",
    "/v2/stocks/{ticker}/auctions?start=2024-11-01",
    "/v2/stocks/{ticker}/quotes?start=2024-11-01&limit=20&feed=iex",
    "/v2/stocks/{ticker}/trades?start=2024-11-01&limit=20&feed=iex",
    "/v2/stocks/quotes?symbols={ticker}&start=2024-11-01&limit=20&feed=iex",
    "/v2/stocks/trades?symbols={ticker}&start=2024-11-01&limit=20&feed=iex",
    "/v2/stocks/{ticker}/quotes/latest",
    "/v2/stocks/{ticker}/trades/latest",
    "/v2/stocks/{ticker}/snapshot",
]


def filled_in(busy: tuple[AlpacaServer, str], template: str) -> tuple[AlpacaServer, str]:
    server, names = busy
    ticker, watchlist = names.split()
    return server, template.replace("{ticker}", ticker).replace("{watchlist}", watchlist)


@needs_spec
@pytest.mark.parametrize("template", READS)
def test_trading_answer_validates(busy: tuple[AlpacaServer, str], template: str) -> None:
    server, path = filled_in(busy, template)
    answer = call(server, "GET", path)
    assert answer.json()
    if template.startswith("/v2/orders"):  # a spread has neither symbol nor side at the service, whatever is specified
        listed = [entry for entry in answer.json() if entry["order_class"] != "mleg"]
        assert len(listed) == 3
        Spec("trading-api.json").validate("GET", "/v2/orders", answer.status_code, listed)
        return
    Spec("trading-api.json").validate("GET", path.partition("?")[0], answer.status_code, answer.json())


@needs_spec
@pytest.mark.parametrize("template", DATA_READS)
def test_data_answer_validates(busy: tuple[AlpacaServer, str], template: str) -> None:
    server, path = filled_in(busy, template)
    answer = call(server, "GET", path)
    assert answer.json()
    Spec("market-data-api.json").validate("GET", path.partition("?")[0], answer.status_code, answer.json())


@needs_spec
def test_every_kind_of_event_is_announced_on_both_hosts(busy: tuple[AlpacaServer, str]) -> None:
    server, path = filled_in(busy, DATA_READS[0])
    listed = call(server, "GET", path).json()["corporate_actions"]
    assert set(listed) == {
        "forward_splits",
        "reverse_splits",
        "cash_dividends",
        "stock_dividends",
        "name_changes",
        "cash_mergers",
        "stock_and_cash_mergers",
        "spin_offs",
        "worthless_removals",
    }


@needs_spec
def test_changing_requests_validate() -> None:
    spec = Spec("trading-api.json")
    with small() as server:
        first, second = server.market.tickers

        def check(method: str, path: str, body: object = None) -> Any:
            answer = call(server, method, path, body)
            content = answer.json() if answer.content else None
            spec.validate(method, path.partition("?")[0], answer.status_code, content)
            return content

        made = check("POST", "/v2/watchlists", {"name": "mine", "symbols": [first]})
        check("PUT", f"/v2/watchlists/{made['id']}", {"name": "ours"})
        assert len(check("POST", f"/v2/watchlists/{made['id']}", {"symbol": second})["assets"]) == 2
        check("DELETE", f"/v2/watchlists/{made['id']}/{first}")
        check("POST", "/v2/watchlists:by_name?name=ours", {"symbol": first})
        check("PUT", "/v2/watchlists:by_name?name=ours", {"name": "theirs"})
        check("DELETE", "/v2/watchlists:by_name?name=theirs")
        check("POST", "/v2/watchlists", {"name": "again"})
        check("DELETE", f"/v2/watchlists/{check('GET', '/v2/watchlists')[0]['id']}")
        check("PATCH", "/v2/account/configurations", {"suspend_trade": False, "max_margin_multiplier": "1"})
        check("POST", "/v2/orders", order(first))
        server.advance_to_open()
        trail = order(first, side="sell", type="trailing_stop", trail_percent=5.0, time_in_force="gtc")
        resting = check("POST", "/v2/orders", trail)
        check("PATCH", f"/v2/orders/{resting['id']}", {"trail": "4"})
        contract = "AAPL250117C00190000"
        deed(server, "foreign", kind="option", symbol=contract, filled=True)
        check("POST", f"/v2/positions/{contract}/exercise")
        check("POST", f"/v2/positions/{contract}/do-not-exercise")


@needs_spec
@pytest.mark.parametrize(
    ("name", "left_out"), [("trading-api.json", NOT_SERVED), ("market-data-api.json", DATA_NOT_SERVED)]
)
def test_what_is_specified_is_served_or_left_out_by_name(name: str, left_out: dict[str, str]) -> None:
    known = set()
    with small() as server:
        ticker = server.market.tickers[0]
        for template, operations in Spec(name).document["paths"].items():
            exempt = [prefix for prefix in left_out if template.startswith(prefix)]
            known |= set(exempt)
            for method in operations:
                if method not in ("get", "post", "put", "patch", "delete"):
                    continue
                path = template.replace("{symbol}", ticker).replace("{", "").replace("}", "")
                answer = call(server, method.upper(), f"{path}?symbols={ticker}&timeframe=1Day&feed=iex", {})
                is_missing = answer.status_code == 404 and "endpoint not found" in answer.text
                assert is_missing == bool(exempt), f"{method} {template}: {answer.status_code} {answer.text[:100]}"
    assert known == set(left_out)


@needs_spec
def test_spread_with_a_wrong_leg_is_caught(busy: tuple[AlpacaServer, str]) -> None:
    listed = call(busy[0], "GET", "/v2/orders?status=all").json()
    option = next(entry for entry in listed if entry["asset_class"] == "us_option" and entry["order_class"] == "simple")
    with pytest.raises(jsonschema.ValidationError):
        Spec("trading-api.json").validate("GET", "/v2/orders", 200, [{**option, "side": "sideways"}])


# ---------------------------------------------------------------- alpaca-py's models


def trading(server: AlpacaServer) -> Any:
    from alpaca.trading.client import TradingClient

    return TradingClient("PKLOCAL", "local-secret", url_override=server.url)


def test_alpaca_py_reads_foreign_orders_and_positions(busy: tuple[AlpacaServer, str]) -> None:
    from alpaca.trading.enums import OrderClass, QueryOrderStatus
    from alpaca.trading.requests import GetOrdersRequest

    orders = trading(busy[0]).get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, nested=True))
    spread = next(entry for entry in orders if entry.order_class is OrderClass.MLEG)
    assert [leg.symbol for leg in spread.legs] == ["AAPL250117P00190000", "AAPL250117P00195000"]
    held = {position.symbol: position.qty for position in trading(busy[0]).get_all_positions()}
    assert held["AAPL250117C00190000"] == "1"


@pytest.mark.filterwarnings("ignore:get_corporate_announcements is deprecated:DeprecationWarning")  # and still there
def test_alpaca_py_reads_announcements_contracts_and_watchlists(busy: tuple[AlpacaServer, str]) -> None:
    from datetime import date

    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.requests import CorporateActionsRequest
    from alpaca.trading.enums import CorporateActionType
    from alpaca.trading.requests import GetCorporateAnnouncementsRequest, GetOptionContractsRequest

    server, ticker = busy[0], busy[1].split()[0]
    client = trading(server)
    asked = GetCorporateAnnouncementsRequest(
        ca_types=list(CorporateActionType), since=date(2024, 11, 1), until=date(2024, 12, 31)
    )
    assert len(client.get_corporate_announcements(asked)) >= len(KINDS)
    actions = CorporateActionsClient("PKLOCAL", "local-secret", url_override=server.url)
    request = CorporateActionsRequest(symbols=[ticker], start=date(2024, 11, 1), end=date(2024, 12, 31))
    answer: Any = actions.get_corporate_actions(request)
    found = answer.data
    assert (found["name_changes"][0].old_symbol, found["forward_splits"][0].new_rate) == (ticker, 1.5)
    contracts = client.get_option_contracts(GetOptionContractsRequest(underlying_symbols=[ticker], limit=3))
    assert [contract.underlying_symbol for contract in contracts.option_contracts] == [ticker] * 3
    (watched,) = client.get_watchlists()
    assert [asset.symbol for asset in client.get_watchlist_by_id(watched.id).assets] == [ticker, "SPY"]
    assert client.set_account_configurations(client.get_account_configurations()).fractional_trading


def test_alpaca_py_places_a_trailing_stop() -> None:
    from alpaca.trading.requests import TrailingStopOrderRequest

    with small() as server:
        ticker = server.market.tickers[0]
        server.trade_by_hand(ticker, "buy", 2.0)
        server.advance_to_close()
        request = TrailingStopOrderRequest(symbol=ticker, qty=1, side="sell", time_in_force="gtc", trail_percent=10)
        sent = trading(server).submit_order(request)
        assert (sent.trail_percent, sent.type.value) == ("10", "trailing_stop")
        assert float(sent.stop_price) == pytest.approx(float(sent.hwm) * 0.9, abs=1e-4)
