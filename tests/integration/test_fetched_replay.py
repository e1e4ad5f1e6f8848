"""`replay --source yahoo|alpaca` in one line.

yfinance itself asks a local stand-in for Yahoo's chart service, and Alpaca is the local server.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from trading_platform.alpaca_server.server import AlpacaServer, ServerConfig
from trading_platform.market_data import yahoo
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.market_data.vix import cboe
from trading_platform.runtime.command_line import run

CALENDAR = NyseCalendar()
LAST_DAY = int(datetime(2023, 12, 29, tzinfo=UTC).timestamp())
COMMAND = ["replay", "--tickers", "AAPL,MSFT", "--from", "2022", "--to", "2023-12", "--source", "yahoo", "--no-page"]


class Charts(ThreadingHTTPServer):
    """Yahoo's chart service for any ticker, and CBOE's file of VIX; counts what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Charts

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        name = place.path.rpartition("/")[2]
        self.server.asked.append(name)
        if name == "vix.csv":
            self._send(("DATE,OPEN,HIGH,LOW,CLOSE\n" + "\n".join(_vix_rows())).encode(), "text/csv")
        else:
            query = {key: values[0] for key, values in parse_qs(place.query).items()}
            self._send(json.dumps(_chart(name, query)).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _vix_rows() -> Iterator[str]:
    for day in CALENDAR.sessions_between(date(2022, 1, 1), date(2024, 1, 31)).tolist():
        yield f"{day:%m/%d/%Y},18,19,17,18.5"


def _chart(name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a chart as Yahoo writes it: one bar a session between period1 and period2, stamped at its open.

    Without these it is the last day's, from which yfinance takes the zone.
    """
    known = (int(query.get("period1", LAST_DAY)), int(query.get("period2", LAST_DAY + 86_400)))
    first, last = (datetime.fromtimestamp(at, UTC).date() for at in known)
    days = [day for day in CALENDAR.sessions_between(first, last).tolist() if day < last]
    opens = [int(CALENDAR.open_at(day).timestamp()) for day in days]
    phase = sum(name.encode())
    close = [100.0 * math.exp(0.0004 * i + 0.05 * math.sin(i / 23.0 + phase)) for i in range(len(days))]
    quote = {
        "open": [value * 0.999 for value in close],
        "high": [value * 1.01 for value in close],
        "low": [value * 0.99 for value in close],
        "close": close,
        "volume": [5_000_000] * len(days),
    }
    meta = {
        "currency": "USD",
        "symbol": name,
        "exchangeName": "NMS",
        "instrumentType": "EQUITY",
        "timezone": "EST",
        "exchangeTimezoneName": "America/New_York",
        "gmtoffset": -18000,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "max"],
        "regularMarketTime": opens[-1] if opens else 0,
        "priceHint": 2,
        "currentTradingPeriod": {},
    }
    result = {"meta": meta, "timestamp": opens, "indicators": {"quote": [quote], "adjclose": [{"adjclose": close}]}}
    return {"chart": {"result": [result], "error": None}}


@pytest.fixture
def charts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Charts]:
    """A running stand-in that yfinance and the source of VIX are pointed at; the working folder is empty."""
    pytest.importorskip("yfinance")
    pytest.importorskip("pyarrow")
    server = Charts()
    Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    # yfinance has its address and its cookie's in constants
    monkeypatch.setattr("yfinance.scrapers.history._BASE_URL_", server.url)
    monkeypatch.setattr("yfinance.base._BASE_URL_", server.url)
    monkeypatch.setattr("yfinance.data.YfData._get_cookie_and_crumb", lambda *_, **__: (None, "basic"))
    monkeypatch.setattr(yahoo, "SERVICE", server.url)
    monkeypatch.setattr(yahoo, "cboe", lambda: cboe(f"{server.url}/vix.csv"))
    yield server
    server.shutdown()
    server.server_close()


def test_replay_from_yahoo_downloads_keeps_and_replays_and_needs_no_network_again(
    charts: Charts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*COMMAND, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert {"AAPL", "MSFT", "SPY", "vix.csv"} <= set(charts.asked)
    assert first["last_session"] == "2023-12-29"
    assert first["sessions"] > 200

    charts.asked.clear()
    monkeypatch.setattr(yahoo, "SERVICE", "http://127.0.0.1:1")  # nobody listens there
    assert run([*COMMAND, "--json", "--db", "again.db"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert charts.asked == []
    assert again["final_equity"] == first["final_equity"]


def test_replay_from_yahoo_without_network_says_so_and_what_works_without(
    charts: Charts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(yahoo, "SERVICE", "http://127.0.0.1:1")

    assert run(COMMAND) == 6

    said = capsys.readouterr().err
    assert "yahoo cannot be reached (127.0.0.1: " in said
    assert "without a network these work: the embedded market (no --source), bars of your own (--data-dir" in said
    assert charts.asked == []
    assert not list(tmp_path.glob("*.db"))


def test_replay_from_yahoo_without_network_names_the_day_up_to_which_bars_are_kept(
    charts: Charts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*COMMAND, "--json"]) == 0
    monkeypatch.setattr(yahoo, "SERVICE", "http://127.0.0.1:1")
    capsys.readouterr()

    assert run([*COMMAND[:5], "--source", "yahoo", "--to", "2024-01"]) == 6

    assert "bars of these tickers are kept up to 2023-12-31: --to 2023-12-31" in capsys.readouterr().err


@pytest.fixture
def alpaca(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AlpacaServer]:
    """A local Alpaca at the end of its market, keys set to it."""
    market = SyntheticMarketData(n_tickers=4, n_sessions=600).history()
    monkeypatch.chdir(tmp_path)
    with AlpacaServer(market, CALENDAR, ServerConfig(), start=market.session(-1)) as server:
        monkeypatch.setenv("ALPACA_API_KEY", server.config.key_id)
        monkeypatch.setenv("ALPACA_SECRET_KEY", server.config.secret_key)
        monkeypatch.setenv("ALPACA_BASE_URL", server.url)
        yield server


def test_replay_from_alpaca_with_keys_asks_for_bars_and_touches_no_order(
    alpaca: AlpacaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ",".join(alpaca.market.panel.tickers[:3])
    words = ["replay", "--tickers", asked, "--from", "2023", "--to", "2024-12-20", "--source", "alpaca", "--no-page"]

    assert run([*words, "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["last_session"] == "2024-12-20"
    assert told["sessions"] > 200
    paths = {request.path.partition("?")[0] for request in alpaca.requests}
    assert "/v2/stocks/bars" in paths
    assert not any("orders" in path for path in paths)
    assert {request.method for request in alpaca.requests} == {"GET"}


def test_replay_from_alpaca_without_network_says_what_works_without(
    alpaca: AlpacaServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPACA_BASE_URL", "http://127.0.0.1:1")

    assert run(["replay", "--tickers", "AAPL", "--from", "2023", "--source", "alpaca"]) == 3

    assert "without a network these work: the embedded market" in capsys.readouterr().err
