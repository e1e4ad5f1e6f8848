"""The doctor against the local Alpaca: a healthy account, and each thing that can be wrong with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from alpaca_world import CALENDAR, KEY, SECRET, FakeTimer, flat, make_http, make_server, market

from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.operations.doctor_findings import CheckVerdict, examined
from trading_platform.operations.doctor_services import check_account, check_bars, check_calendar, check_clock

pytestmark = pytest.mark.real

ENGINE = Path(__file__).parents[2] / "autonomous_trading_engine.py"
OTHER_SECRET = "another-secret-altogether"


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market({"AAA": flat(50.0, 30), "SPY": flat(400.0, 30)})) as server:
        server.advance_to_close()
        yield server


@pytest.fixture
def http(server: AlpacaServer) -> AlpacaHttp:
    return make_http(server, FakeTimer())


@pytest.fixture
def reader(http: AlpacaHttp) -> AlpacaReader:
    return AlpacaReader(http)


def doctor(home: Path, url: str, secret: str = SECRET, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("ALPACA", "APCA", "TRADING", "DATABASE"))}
    access = {"ALPACA_API_KEY": KEY, "ALPACA_SECRET_KEY": secret, "ALPACA_BASE_URL": url, "COLUMNS": "250"}
    done = subprocess.run(
        [sys.executable, str(ENGINE), "doctor", *arguments],
        cwd=home,
        env={**own, **access},
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
    )
    assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_command_prints_one_object_and_exits_with_the_worst(tmp_path: Path, server: AlpacaServer) -> None:
    done = doctor(tmp_path, server.url, SECRET, "--json")
    report = json.loads(done.stdout)
    verdicts = {check["check"]: check["verdict"] for check in report["checks"]}
    names = ("settings", "keys", "account", "clock", "calendar", "bars", "VIX", "database", "costs", "disk", "model")
    assert tuple(verdicts) == names
    assert done.returncode == report["exit_code"]
    well = {name: verdicts[name] for name in ("settings", "keys", "account", "calendar", "bars", "database", "model")}
    assert set(well.values()) == {"ok"}
    assert verdicts["clock"] == "warning"  # a simulated market has its own time
    assert list(tmp_path.iterdir()) == []  # nothing was made
    assert not any(request.method != "GET" for request in server.requests)


def test_the_command_prints_a_table_with_cures(tmp_path: Path, server: AlpacaServer) -> None:
    done = doctor(tmp_path, server.url, OTHER_SECRET)
    assert done.returncode == 7
    assert "refused the keys" in done.stdout
    assert "may have been revoked" in done.stdout
    assert "Alpaca gave no account" in done.stdout


def test_a_blocked_account_needs_an_operator(reader: AlpacaReader) -> None:
    class Blocked(AlpacaReader):
        def account(self):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return replace(super().account(), is_blocked=True)

    assert check_account(reader).verdict is CheckVerdict.OK
    found = examined("account", lambda: check_account(Blocked(reader._http)))
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 5)


@pytest.mark.parametrize(
    ("skew", "verdict", "code"),
    [(0.5, CheckVerdict.OK, 0), (-7.0, CheckVerdict.WARNING, 0), (90.0, CheckVerdict.FAILED, 5)],
)
def test_the_clock_may_differ_a_little(
    server: AlpacaServer, reader: AlpacaReader, skew: float, verdict: CheckVerdict, code: int
) -> None:
    def now() -> datetime:
        return server.now + timedelta(seconds=skew)

    found = check_clock(reader, now, simulated=False)
    assert (found.verdict, found.exit_code) == (verdict, code)


def test_a_half_day_that_we_do_not_know_is_found(reader: AlpacaReader) -> None:
    class Older(NyseCalendar):
        def close_at(self, session: date) -> datetime:
            return super().close_at(session) - timedelta(hours=3 if session == date(2024, 1, 17) else 0)

    assert check_calendar(reader, CALENDAR).verdict is CheckVerdict.OK
    found = check_calendar(reader, Older())
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 5)
    assert "2024-01-17: 09:30-13:00 here, 09:30-16:00 at Alpaca (1 such days)" in found.text


def test_a_calendar_without_sessions_is_found(reader: AlpacaReader) -> None:
    class Empty(AlpacaReader):
        def sessions(self, start: date, end: date) -> list[tuple[date, str, str]]:
            return []

    found = check_calendar(Empty(reader._http), CALENDAR)
    assert (found.verdict, found.exit_code) == (CheckVerdict.FAILED, 5)


def test_refused_sip_leaves_iex(server: AlpacaServer, http: AlpacaHttp, reader: AlpacaReader) -> None:
    assert check_bars(http, reader).verdict is CheckVerdict.OK
    server.faults.add(Fault(FaultKind.STATUS_BEFORE, path="bars", status=403, code=40310000, message="no SIP", times=1))
    found = check_bars(http, reader)
    assert found.verdict is CheckVerdict.WARNING
    assert "IEX serves" in found.text


def test_bars_that_nobody_has_are_a_warning() -> None:
    panel = market({"AAA": flat(50.0)})
    with make_server(replace(panel, benchmark=np.full(panel.n_sessions, np.nan))) as server:
        server.advance_to_close()
        http = make_http(server, FakeTimer())
        assert check_bars(http, AlpacaReader(http)).verdict is CheckVerdict.WARNING
