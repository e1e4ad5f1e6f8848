"""`doctor --broker` at the local Alpaca: an order lives and dies, and none is ever left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca_world import SECRET, FakeTimer, flat, make_http, make_server, market
from test_alpaca_venue import Scene
from test_venue_doctor import doctor

from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.brokers.alpaca_broker import PREFIX as ENGINES_PREFIX
from trading_platform.operations.doctor_broker import PREFIX, BrokerTrial
from trading_platform.operations.doctor_findings import CheckVerdict, Finding, exit_code_of


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market({"AAA": flat(50.0, 30), "SPY": flat(400.0, 30)})) as server:
        server.advance(server.market.opens[1])
        yield server


def trial(server: AlpacaServer, **changes: object) -> BrokerTrial:
    timer = FakeTimer()
    return BrokerTrial(make_http(server, timer, **changes), lambda: server.now, lambda: timer.now, timer.sleep)


def verdicts(found: list[Finding]) -> list[str]:
    return [finding.verdict.value for finding in found]


def still_open(server: AlpacaServer) -> list[str]:
    return [order.client_order_id for order in server.exchange.working()]


def act(server: AlpacaServer, path: str, **body: object) -> Mapping[str, Any]:
    answer = requests.post(f"{server.url}/admin/{path}", json=body, timeout=5)
    assert answer.status_code == 200, answer.text
    done: Mapping[str, Any] = answer.json()
    return done


def test_order_is_placed_read_replaced_and_cancelled(server: AlpacaServer) -> None:
    found = trial(server).run()
    assert verdicts(found) == ["ok"] * 5
    assert found[0].text.partition(" (")[0] == "buy 1 SPY at 200.00, far below 400: new"
    assert found[2].text.startswith("limit 200.00 is 196.00 now")
    assert all(finding.text.endswith("ms)") for finding in found[:4])
    assert still_open(server) == []
    assert server.account.positions == {}


def test_its_ids_are_never_taken_for_the_engine_s(server: AlpacaServer) -> None:
    assert not PREFIX.startswith(ENGINES_PREFIX)
    scene = Scene(server, server.market.panel)
    check = trial(server)
    check._place()  # what the engine sees while the order rests
    scene.look()
    assert [row.kind for row in scene.differences.rows] == ["foreign_order"]
    assert len(still_open(server)) == 1
    assert check._clear_away().verdict is CheckVerdict.OK
    scene.look()
    assert scene.door.reasons == {}


def test_fund_that_the_account_holds_is_left_alone(server: AlpacaServer) -> None:
    act(server, "trade", symbol="SPY", side="buy", qty=1)
    found = trial(server).run()
    assert found[0].verdict is CheckVerdict.FAILED
    assert "no order was sent" in found[0].text
    assert not [r for r in server.requests if r.method == "POST" and r.path.startswith("/v2/")]


@pytest.mark.parametrize("kind", [FaultKind.STATUS_AFTER, FaultKind.DROP_AFTER, FaultKind.GARBAGE_AFTER])
def test_lost_answer_is_looked_up_and_nothing_stays(server: AlpacaServer, kind: FaultKind) -> None:
    server.faults.add(Fault(kind, "POST", "/v2/orders", status=504))
    assert verdicts(trial(server).run()) == ["ok"] * 5
    assert still_open(server) == []


@pytest.mark.parametrize(("method", "path", "step"), [("GET", "by_client_order_id", 1), ("PATCH", "/v2/orders", 2)])
def test_step_that_fails_ends_the_check_and_the_order(server: AlpacaServer, method: str, path: str, step: int) -> None:
    server.faults.add(Fault(FaultKind.STATUS_BEFORE, method, path, status=503, times=4))
    found = trial(server).run()
    assert found[step].verdict is CheckVerdict.FAILED
    assert found[-1].verdict is CheckVerdict.OK
    assert exit_code_of(found) == 3
    assert still_open(server) == []


def test_interrupt_on_the_way_cancels_the_order(server: AlpacaServer) -> None:
    check = trial(server)

    def interrupted() -> Finding:
        raise KeyboardInterrupt

    check._read = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        check.run()
    assert still_open(server) == []
    assert [r.method for r in server.requests].count("DELETE") == 1


def test_order_that_cannot_be_cancelled_is_named(server: AlpacaServer) -> None:
    server.faults.add(Fault(FaultKind.STATUS_BEFORE, "DELETE", "/v2/orders", status=503, times=None))
    found = trial(server).run()
    assert (found[-1].verdict, found[-1].exit_code) == (CheckVerdict.FAILED, 5)
    assert still_open(server)[0] in found[-1].text
    assert "by hand" in found[-1].cure


def test_cancellation_that_is_pending_is_told(server: AlpacaServer) -> None:
    check = trial(server)
    assert check._place().verdict is CheckVerdict.OK
    pending = {"status": "pending_cancel"}
    server.faults.add(Fault(FaultKind.REWRITE, "GET", "by_client_order_id", fields=pending, times=None))
    found = check._clear_away()
    assert (found.verdict, found.exit_code) == (CheckVerdict.WARNING, 0)
    assert "is pending" in found.text


def test_refused_order_says_the_service_s_words(server: AlpacaServer) -> None:
    act(server, "account", trading_blocked=True)
    found = trial(server).run()
    assert (found[0].verdict, exit_code_of(found)) == (CheckVerdict.FAILED, 5)
    assert still_open(server) == []


def test_the_command_prints_the_steps_as_json(tmp_path: Path, server: AlpacaServer) -> None:
    done = doctor(tmp_path, server.url, SECRET, "--broker", "--json")
    report = json.loads(done.stdout)
    told = {check["check"]: check["verdict"] for check in report["checks"]}
    steps = ("order placed", "order read", "order replaced", "order cancelled", "nothing left")
    assert [told[step] for step in steps] == ["ok"] * 5
    assert still_open(server) == []


def test_live_account_needs_a_yes(tmp_path: Path, server: AlpacaServer) -> None:
    done = doctor(tmp_path, server.url, SECRET, "--broker", "--live", "--json")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not [r for r in server.requests if r.method != "GET"]
