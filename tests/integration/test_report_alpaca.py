"""The report with an Alpaca account: asked now, or, when Alpaca is slow, wrong or silent, what is stored."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from http_stub import Reply, Request, Stub, serve
from report_stories import BARE, Weekdays
from report_world import Plan, build

from daily_report import generate_daily_report
from trading_platform.configuration.environment import load_settings
from trading_platform.core.errors import BrokerUnreachableError, FixCredentialsError
from trading_platform.reporting.account_source import AlpacaAccount, ask

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "trading_platform" / "reporting" / "report.schema.json").read_text()
)
SESSIONS = 21  # of the stored run: 3 January to 31 January 2023 (a Tuesday)
LAST = date(2023, 1, 31)
KEY, SECRET = "PKTESTKEY", "very-secret-value"

ACCOUNT = {
    "account_number": "PA1",
    "equity": "101234.56",
    "cash": "61234.56",
    "buying_power": "161234.56",
    "last_equity": "101000.00",
}
POSITION = {
    "symbol": "AAPL",
    "qty": "100",
    "avg_entry_price": "390",
    "current_price": "400",
    "market_value": "40000",
    "cost_basis": "39000",
    "side": "long",
}


def clock(day: str, hour: str, *, is_open: bool) -> dict[str, Any]:
    return {"timestamp": f"{day}T{hour}:00.123456789-05:00"[:26] + "-05:00", "is_open": is_open}


class Alpaca:
    """Answers by path; tests change entries."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/v2/account": ACCOUNT,
            "/v2/positions": [POSITION],
            "/v2/clock": clock("2023-01-31", "18:30", is_open=False),
            "/v2/calendar": [{"date": "2023-01-31", "open": "09:30", "close": "16:00"}],
        }
        self.replies: dict[str, Reply] = {}

    def __call__(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        if request.headers.get("APCA-API-KEY-ID") != KEY or request.headers.get("APCA-API-SECRET-KEY") != SECRET:
            return Reply(401, b'{"message": "unauthorized."}')
        return self.replies.get(path) or Reply(200, json.dumps(self.answers[path]).encode())


@pytest.fixture
def alpaca() -> Alpaca:
    return Alpaca()


@pytest.fixture
def server(alpaca: Alpaca) -> Iterator[Stub]:
    with serve(alpaca) as stub:
        yield stub


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "trading.db"
    build(path, Plan(sessions=SESSIONS, mode="alpaca_paper", account="PA1", status="running"))
    return path


def make(database: Path, server: Stub, *, hour: int = 23, day: date = LAST, **options: Any) -> Any:
    keys = {"ALPACA_API_KEY": KEY, "ALPACA_SECRET_KEY": SECRET, "ALPACA_BASE_URL": server.url}
    now = datetime(day.year, day.month, day.day, hour, 30, tzinfo=UTC)
    calendar: Any = Weekdays()
    report = generate_daily_report(
        database, settings=load_settings(keys, env_file=None), now=now, calendar=calendar, **options
    )
    jsonschema.validate(report, SCHEMA)
    return report


def test_after_the_close_the_account_is_now_and_the_day_is_the_booked_one(database: Path, server: Stub) -> None:
    found = make(database, server)
    stored: Any = generate_daily_report(database, LAST, settings=BARE)
    assert found["source"] == "alpaca"
    assert found["account"] == {"equity": 101234.56, "cash": 61234.56, "buying_power": 161234.56}
    assert found["positions"][0] | {"sector": None} == {
        "ticker": "AAPL",
        "qty": 100.0,
        "entry": 390.0,
        "current": 400.0,
        "pnl": 1000.0,
        "pnl_pct": 2.5641,
        "value": 40000.0,
        "cost": 39000.0,
        "weight_pct": 39.5122,
        "day_pnl": None,
        "strategy": None,
        "strategies": {},
        "sector": None,
        "stop": None,
        "target": None,
        "dividends": 0.0,
        "entry_session": None,
        "sessions_held": None,
    }
    assert found["daily_pnl"] == stored["daily_pnl"]
    assert found["bridge"] == stored["bridge"]
    off = 101234.56 - stored["account"]["equity"]
    assert any(a.startswith("Account is") and f"{abs(off):,.2f}" in a for a in found["alerts"])
    assert found["session"] | {"asked": ""} == {
        "date": "2023-01-31",
        "asked": "",
        "is_session": True,
        "market_open": False,
        "booked": True,
        "close": "16:00",
        "half_day": False,
    }


def test_only_reading_requests_are_made(database: Path, server: Stub) -> None:
    make(database, server)
    assert {request.method for request in server.requests} == {"GET"}
    assert [request.path.partition("?")[0] for request in server.requests] == [
        "/v2/account",
        "/v2/positions",
        "/v2/clock",
        "/v2/calendar",
    ]


def test_during_a_session_the_day_runs_from_the_last_close(database: Path, server: Stub, alpaca: Alpaca) -> None:
    alpaca.answers["/v2/clock"] = clock("2023-02-01", "11:00", is_open=True)
    alpaca.answers["/v2/calendar"] = [{"date": "2023-02-01", "open": "09:30", "close": "16:00"}]
    found = make(database, server, hour=16, day=date(2023, 2, 1))
    stored: Any = generate_daily_report(database, LAST, settings=BARE)
    close = stored["account"]["equity"]
    assert (found["date"], found["session"]["market_open"], found["session"]["booked"]) == ("2023-02-01", True, False)
    assert found["daily_pnl"] == pytest.approx(101234.56 - close, abs=1e-9)
    assert found["total_pnl"] == pytest.approx(stored["total_pnl"] + found["daily_pnl"], abs=1e-9)
    bridge = found["bridge"]
    assert bridge["start_equity"] == close
    parts = ("realized", "unrealized_change", "fees", "dividends", "interest", "cash_flow", "residual")
    assert round(sum(bridge[part] for part in parts), 2) == bridge["equity_change"]
    assert any("P&L does not tie out" in alert for alert in found["alerts"])
    assert sum(round(s["pnl"] * 100) for s in found["attribution"]["tickers"]) == round(found["daily_pnl"] * 100)
    assert found["performance"]["periods"]["day"]["first_session"] == "2023-02-01"
    assert found["trades_today"] == []
    assert "today" in found["summary"]


def test_before_the_open_the_last_close_is_reported(database: Path, server: Stub, alpaca: Alpaca) -> None:
    alpaca.answers["/v2/clock"] = clock("2023-02-01", "07:00", is_open=False)
    alpaca.answers["/v2/calendar"] = [{"date": "2023-02-01", "open": "09:30", "close": "16:00"}]
    found = make(database, server, hour=12, day=date(2023, 2, 1))
    assert (found["date"], found["session"]["booked"]) == ("2023-01-31", True)


def test_on_a_holiday_alpaca_says_so(database: Path, server: Stub, alpaca: Alpaca) -> None:
    alpaca.answers["/v2/clock"] = clock("2023-02-01", "11:00", is_open=False)
    alpaca.answers["/v2/calendar"] = [{"date": "2023-02-02", "open": "09:30", "close": "16:00"}]
    found = make(database, server, hour=16, day=date(2023, 2, 1))
    assert (found["date"], found["session"]["is_session"]) == ("2023-01-31", False)


def bad(**changes: Any) -> dict[str, Any]:
    return ACCOUNT | changes


@pytest.mark.parametrize(
    ("path", "reply", "words"),
    [
        ("/v2/account", Reply(500, b"oops"), "HTTP 500"),
        ("/v2/account", Reply(502, b"<html>Bad gateway</html>"), "HTTP 502"),
        ("/v2/account", Reply(200, b"<html>hello</html>"), "not JSON"),
        ("/v2/account", Reply(200, b"[]"), "expected an object"),
        ("/v2/account", Reply(200, json.dumps(bad(equity="lots")).encode()), "equity must be a number"),
        ("/v2/account", Reply(200, json.dumps(bad(equity="NaN")).encode()), "equity must be a number"),
        ("/v2/account", Reply(200, json.dumps(bad(cash=None)).encode()), "cash must be a number"),
        ("/v2/account", Reply(403, b"{}"), "keys are refused"),
        ("/v2/account", Reply(drop=True), "ConnectionError"),
        ("/v2/account", Reply(302, b""), "HTTP 302"),
        ("/v2/positions", Reply(200, b'{"code": 1}'), "must answer with lists"),
        ("/v2/positions", Reply(200, b'[{"symbol": "X"}]'), "qty must be a number"),
        ("/v2/clock", Reply(200, b'{"timestamp": "noon"}'), "timestamp must be a time"),
        ("/v2/clock", Reply(200, b'{"timestamp": "2023-01-31T12:00:00"}'), "no time zone"),
    ],
)
def test_wrong_answers_leave_the_stored_snapshot_with_its_age(
    database: Path, server: Stub, alpaca: Alpaca, path: str, reply: Reply, words: str
) -> None:
    alpaca.replies[path] = reply
    found = make(database, server, hour=23)
    stored: Any = generate_daily_report(database, LAST, settings=BARE)
    assert found["source"] == "alpaca_snapshot"
    assert found["account"]["equity"] == stored["account"]["equity"]
    assert found["account"]["buying_power"] is None
    assert any(words in alert and "showing what is stored" in alert for alert in found["alerts"]), found["alerts"]
    assert "Account and positions are 2 h old" in found["alerts"]


def test_silence_costs_no_more_than_its_share_of_the_deadline(database: Path, server: Stub, alpaca: Alpaca) -> None:
    alpaca.replies["/v2/positions"] = Reply(hang=True)
    started = time.monotonic()
    found = make(database, server, deadline_seconds=2.0)
    assert time.monotonic() - started < 1.9
    assert found["source"] == "alpaca_snapshot"
    assert any("did not answer within 1 s" in alert for alert in found["alerts"])


def test_transient_errors_are_tried_again(alpaca: Alpaca) -> None:
    states = iter([Reply(503, b""), None])

    def once(request: Request) -> Reply:
        return next(states, None) or alpaca(request)

    with serve(once) as stub:
        assert ask(AlpacaAccount(KEY, SECRET, stub.url), 10).equity == 101_234_56


def test_keys_of_another_account_are_not_mixed_with_the_run(database: Path, server: Stub, alpaca: Alpaca) -> None:
    alpaca.answers["/v2/account"] = bad(account_number="PA2")
    found = make(database, server)
    assert found["source"] == "alpaca_snapshot"
    assert "The keys belong to account PA2, the run to PA1; showing what is stored" in found["alerts"]


def test_no_database_shows_the_account_alone(tmp_path: Path, server: Stub) -> None:
    found = make(tmp_path / "none.db", server)
    assert (found["source"], found["daily_pnl"], found["total_pnl"]) == ("alpaca", 234.56, None)
    assert found["daily_pnl_pct"] == pytest.approx(100 * 234.56 / 101000, abs=1e-4)
    assert (found["bridge"], found["trades_today"]) == (None, [])


def test_no_database_and_no_answer_is_nothing_to_report(tmp_path: Path, server: Stub, alpaca: Alpaca) -> None:
    alpaca.replies["/v2/account"] = Reply(500)
    with pytest.raises(BrokerUnreachableError, match="nothing is stored"):
        make(tmp_path / "none.db", server)


def test_a_replay_is_not_taken_for_the_account(tmp_path: Path, server: Stub, alpaca: Alpaca) -> None:
    path = tmp_path / "trading.db"
    build(path, Plan(sessions=5))
    found = make(path, server)
    assert (found["source"], found["run"]) == ("alpaca", None)
    assert any("No Alpaca run in the database yet" in alert for alert in found["alerts"])
    alpaca.replies["/v2/account"] = Reply(500)
    assert make(path, server)["source"] == "paper_simulator"
    assert make(path, server, run=1)["source"] == "paper_simulator"


def test_past_sessions_do_not_ask_alpaca(database: Path, server: Stub) -> None:
    assert make(database, server, session=date(2023, 1, 20))["source"] == "alpaca_snapshot"
    assert server.requests == []


def test_refused_keys_are_named_without_showing_them(server: Stub) -> None:
    with pytest.raises(FixCredentialsError) as caught:
        ask(AlpacaAccount("WRONG", SECRET, server.url), 5)
    assert "keys are refused (HTTP 401)" in str(caught.value)
    assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("failure", [RuntimeError("boom"), SystemExit(3)])
def test_source_that_breaks_is_unreachable(failure: BaseException) -> None:
    class Broken:
        def snapshot(self) -> Any:
            raise failure

    with pytest.raises(BrokerUnreachableError, match=type(failure).__name__):
        ask(Broken(), 5)


def test_time_left_of_nothing_waits_for_no_answer() -> None:
    given_up = threading.Event()

    class Silent:
        def snapshot(self) -> Any:
            given_up.wait(1.0)  # who waits longer gets an answer

    with pytest.raises(BrokerUnreachableError, match="did not answer within"):
        ask(Silent(), -1.0)
    given_up.set()
