"""The tamed clients against a real socket: timeouts, retries, typed errors, secrets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from alpaca_world import KEY, SECRET, FakeTimer, flat, make_http, make_server, market

from trading_platform.alpaca.failures import AlpacaRefusalError, FailureKind, SendError
from trading_platform.alpaca.http import AlpacaHttp, access_from
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.configuration.environment import Secret, load_settings
from trading_platform.core.errors import (
    BrokerUnreachableError,
    FixConfigError,
    FixCredentialsError,
    TradingPlatformError,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market({"AAA": flat(100.0)})) as running:
        yield running


@pytest.fixture
def timer() -> FakeTimer:
    return FakeTimer()


def read_account(server: AlpacaServer, timer: FakeTimer, **changes: object) -> dict[str, object]:
    http = make_http(server, timer, **changes)
    account: dict[str, object] = http.read("account", http.trading.get_account, dict)
    return account


TRANSIENT = [
    Fault(FaultKind.STATUS_BEFORE, status=429),
    Fault(FaultKind.STATUS_BEFORE, status=500),
    Fault(FaultKind.STATUS_BEFORE, status=504),
    Fault(FaultKind.HTML),
    Fault(FaultKind.DROP_BEFORE),
    Fault(FaultKind.DROP_AFTER),
    Fault(FaultKind.HANG, seconds=1.0),
    Fault(FaultKind.GARBAGE_AFTER),
    Fault(FaultKind.EMPTY_AFTER),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_read_survives_a_passing_fault(server: AlpacaServer, timer: FakeTimer, fault: Fault) -> None:
    fault.struck = 0
    server.faults.add(fault)
    assert read_account(server, timer)["cash"] == "100000"
    assert fault.struck == 1
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (FaultKind.STATUS_BEFORE, "HTTP 503"),
        (FaultKind.HTML, "502 Bad Gateway nginx"),
        (FaultKind.DROP_BEFORE, "ConnectionError"),
        (FaultKind.HANG, "ReadTimeout"),
    ],
)
def test_read_gives_up_after_four_attempts_with_one_message(
    server: AlpacaServer, timer: FakeTimer, kind: FaultKind, why: str
) -> None:
    server.faults.add(Fault(kind, times=None, status=502 if kind is FaultKind.HTML else 503, seconds=1.0))
    with pytest.raises(BrokerUnreachableError, match="account: no usable answer from Alpaca after 4 attempts") as lost:
        read_account(server, timer)
    assert why in str(lost.value)
    assert len(timer.slept) == 3
    assert timer.slept[0] <= 0.5 < timer.slept[2] <= 2.0


def test_server_that_is_gone_is_unreachable(timer: FakeTimer) -> None:
    with make_server(market({"AAA": flat(100.0)})) as gone:
        pass
    with pytest.raises(BrokerUnreachableError, match="check the network"):
        read_account(gone, timer)


def test_retry_after_is_honoured(server: AlpacaServer, timer: FakeTimer) -> None:
    server.faults.add(Fault(FaultKind.STATUS_BEFORE, status=429, headers={"Retry-After": "7"}))
    read_account(server, timer)
    assert 7.0 in timer.slept


def test_rate_limit_of_the_server_is_waited_out(timer: FakeTimer) -> None:
    with make_server(market({"AAA": flat(100.0)}), requests_per_minute=3) as server:
        http = make_http(server, timer)
        for _ in range(3):
            http.read("account", http.trading.get_account, dict)
        with pytest.raises(BrokerUnreachableError, match="HTTP 429"):
            http.read("account", http.trading.get_account, dict)  # the fake timer does not pass real time
        assert sum(timer.slept) > 30.0


@pytest.mark.parametrize("what", ["key_id", "secret_key"])
def test_wrong_keys_are_named_and_not_retried(server: AlpacaServer, timer: FakeTimer, what: str) -> None:
    with pytest.raises(FixCredentialsError, match="Alpaca refused the keys") as refused:
        read_account(server, timer, **{what: Secret("AKWRONG")})
    assert len(server.requests) == 1
    assert refused.value.exit_code == 7


def test_paper_key_in_live_mode_is_explained(server: AlpacaServer, timer: FakeTimer) -> None:
    with pytest.raises(FixCredentialsError, match="one of a paper account, but this is live mode"):
        read_account(server, timer, live=True, key_id=Secret("PKSOMEONE"))
    with pytest.raises(FixCredentialsError, match="one of a live account, but this is paper mode"):
        read_account(server, timer, key_id=Secret("AKSOMEONE"))


def test_unknown_order_is_a_refusal_and_not_retried(server: AlpacaServer, timer: FakeTimer) -> None:
    http = make_http(server, timer)
    with pytest.raises(AlpacaRefusalError, match="order x") as refused:
        http.read("order x", lambda: http.trading.get_order_by_client_id("x"), dict)
    assert refused.value.failure.kind is FailureKind.NOT_FOUND
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_send_never_repeats(server: AlpacaServer, timer: FakeTimer, status: int) -> None:
    """The very fault of alpaca-py: on 429 and 504 it posts an order four times."""
    server.faults.add(Fault(FaultKind.STATUS_AFTER, status=status, times=None))
    http = make_http(server, timer)
    body = {"symbol": "AAA", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}
    with pytest.raises(SendError) as failed:
        http.send(lambda: http.trading.post("/orders", body), dict)
    assert not failed.value.failure.is_definitive
    assert len(server.requests) == len(server.exchange.orders) == 1
    assert timer.slept == []


def test_alpaca_py_by_itself_would_send_four_times(server: AlpacaServer) -> None:
    """The negative control of the test above: the library without our manners."""
    from alpaca.trading.client import TradingClient

    server.faults.add(Fault(FaultKind.STATUS_AFTER, status=504, times=None))
    client = TradingClient(KEY, SECRET, url_override=server.url)
    client._retry_wait = 0
    body = {"symbol": "AAA", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}
    with pytest.raises(Exception, match="internal server error"):
        client.post("/orders", body)
    assert len(server.exchange.orders) == 4


def test_settings_lead_to_an_account(server: AlpacaServer) -> None:
    keys = {"ALPACA_API_KEY": KEY, "ALPACA_SECRET_KEY": SECRET}
    with pytest.raises(FixConfigError, match="needs ALPACA_API_KEY and ALPACA_SECRET_KEY"):
        access_from(load_settings({}, None), live=False)
    with pytest.raises(FixConfigError, match=r"two confirmations.*TRADING_ALLOW_LIVE=yes-i-mean-it"):
        access_from(load_settings(keys, None), live=True)
    allowed = load_settings({**keys, "TRADING_ALLOW_LIVE": "yes-i-mean-it"}, None)
    assert access_from(allowed, live=True).live is True
    local = access_from(load_settings({**keys, "ALPACA_BASE_URL": server.url}, None), live=False)
    far = access_from(allowed, live=True)
    assert (far.timeout, far.first_wait, far.requests_per_minute) == ((3.05, 10.0), 0.5, 180.0)
    assert local.first_wait < far.first_wait
    assert local.requests_per_minute > far.requests_per_minute
    assert (local.trading_url, local.data_url) == (server.url, server.url)
    http = AlpacaHttp(local)
    assert http.read("account", http.trading.get_account, dict)["cash"] == "100000"


def test_missing_package_is_one_clear_message() -> None:
    program = (
        "import sys; sys.modules['alpaca'] = None\n"
        "from trading_platform.alpaca.http import AlpacaAccess, AlpacaHttp\n"
        "from trading_platform import alpaca_server\n"
        "from trading_platform.brokers import alpaca_broker, reconciliation\n"
        "from trading_platform.market_data import alpaca_data, yahoo, vix\n"
        "from trading_platform.configuration.environment import Secret\n"
        "http = AlpacaHttp(AlpacaAccess(Secret('PK'), Secret('s')))\n"
        "try:\n    http.read('account', http.trading.get_account, dict)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.stdout.startswith("FixConfigError the package alpaca-py is not installed")
    assert done.stderr == ""


def test_client_that_hides_its_session_is_refused(server: AlpacaServer, timer: FakeTimer) -> None:
    http = make_http(server, timer)
    for moved in (SimpleNamespace(_retry=3), SimpleNamespace(_session=requests.Session()), SimpleNamespace()):
        with pytest.raises(FixConfigError, match=r"install alpaca-py>=0\.44,<0\.45"):
            http._tame(moved)  # type: ignore[arg-type]


def test_no_message_shows_a_secret(server: AlpacaServer, timer: FakeTimer) -> None:
    said: list[str] = []
    echo = f"key {KEY} with secret {SECRET} is wrong"
    faults = [
        *TRANSIENT,
        Fault(FaultKind.STATUS_BEFORE, status=401, message=echo),
        Fault(FaultKind.STATUS_BEFORE, status=403, code=40310000, message=echo),
        Fault(FaultKind.STATUS_BEFORE, status=422, message=echo),
        Fault(FaultKind.STATUS_BEFORE, status=500, message=echo),
    ]
    for fault in faults:
        server.faults.clear()
        fault.times, fault.struck = None, 0
        server.faults.add(fault)
        with pytest.raises(TradingPlatformError) as failed:
            read_account(server, timer)
        said.append(f"{failed.value!r} {failed.value}")
    http = make_http(server, timer)
    said += [repr(http.access), str(http.access), repr(vars(http))]
    for secret in (KEY, SECRET):
        assert not any(secret in text for text in said)
