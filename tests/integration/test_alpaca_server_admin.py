"""The local server from outside: its clock, its faults, its state, delistings, and sales that the volume cap splits."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from alpaca_world import KEY, SECRET, Bar, Register, flat, make_server, make_world, market, utc

from risk_config import RiskConfig
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.brokers.paper import PaperBroker
from trading_platform.brokers.reconciliation.pending_entries import PendingEntries
from trading_platform.brokers.venue import row_of
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.market import build_market
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.core.types import OrderIntent, Side

ROOT = Path(__file__).parents[2]
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market({"AAA": flat(100.0, 20), "BBB": flat(50.0, 20)}), PaperFills()) as running:
        yield running


def admin(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, f"{server.url}/admin/{path}", json=body, timeout=5)


@pytest.mark.parametrize(
    ("wish", "now"),
    [
        ({"to": "dawn"}, "2024-01-03T13:30:00+00:00"),  # the server starts an hour before the open of 3 January
        ({"to": "open"}, "2024-01-03T14:30:00+00:00"),
        ({"to": "close"}, "2024-01-03T21:00:00+00:00"),
        ({"to": "evening"}, "2024-01-03T21:21:00+00:00"),
        ({"to": "evening", "times": 3}, "2024-01-05T21:21:00+00:00"),
        ({"to": "2024-01-04T15:00:00+00:00"}, "2024-01-04T15:00:00+00:00"),
    ],
)
def test_clock_moves_to_the_moment_that_is_named(server: AlpacaServer, wish: dict[str, object], now: str) -> None:
    assert admin(server, "POST", "advance", wish).json() == {"now": now}


def test_evening_after_a_close_is_that_days(server: AlpacaServer) -> None:
    server.advance_to_close()
    assert server.advance_to_evening() == utc("2024-01-03T21:21")
    assert server.advance_to_evening() == utc("2024-01-04T21:21")


@pytest.mark.parametrize(
    ("method", "path", "wish"),
    [
        ("POST", "advance", {"to": "noon"}),
        ("POST", "advance", {"to": "open", "times": 0}),
        ("POST", "advance", ["open"]),
        ("POST", "faults", {"kind": "earthquake"}),
        ("POST", "faults", [{"kind": "html"}, 3]),
        ("POST", "whims", {"species": "reject"}),
        ("POST", "cash", {}),
    ],
)
def test_wish_that_cannot_be_read_is_refused_with_the_reason(
    server: AlpacaServer, method: str, path: str, wish: object
) -> None:
    answer = admin(server, method, path, wish)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert server.faults.faults == ()


def test_state_counts_requests_faults_and_fills(server: AlpacaServer) -> None:
    faults = [{"kind": "html", "path": "clock"}, {"kind": "status_before", "path": "clock", "status": 503}]
    assert admin(server, "POST", "faults", faults).json() == {"faults": 2}
    for _ in range(3):
        requests.get(f"{server.url}/v2/clock", headers=HEADERS, timeout=5)
    bracket = {
        "symbol": "AAA",
        "qty": 10,
        "side": "buy",
        "type": "limit",
        "limit_price": 102.0,
        "time_in_force": "day",
        "order_class": "bracket",
        "stop_loss": {"stop_price": 90.0},
        "take_profit": {"limit_price": 110.0},
    }
    assert requests.post(f"{server.url}/v2/orders", json=bracket, headers=HEADERS, timeout=5).status_code == 200
    admin(server, "POST", "advance", {"to": "open"})
    seen: dict[str, Any] = admin(server, "GET", "state").json()
    assert seen["answers"] == {
        "GET /v2/clock 200": 1,
        "GET /v2/clock 502": 1,
        "GET /v2/clock 503": 1,
        "POST /admin/advance 200": 1,
        "POST /admin/faults 200": 1,
        "POST /v2/orders 200": 1,
    }
    assert seen["faults"] == {"html": 1, "status_before": 1}
    assert seen["positions"] == {"AAA": 10.0}
    entry, target, stop = seen["orders"]
    assert entry["parent_id"] is None
    assert target["parent_id"] == stop["parent_id"] == entry["id"]
    (fill,) = seen["fills"]
    assert (fill["order_id"], fill["qty"], fill["side"]) == (entry["id"], "10", "buy")
    assert admin(server, "DELETE", "faults").json() == {"faults": 0}


# ------------------------------------------------------------ as the paper broker does it


class Pair:
    """The same orders at the local server and at the paper broker."""

    def __init__(self, server: AlpacaServer) -> None:
        panel = server.market.panel
        self.server, self.world, self.register = server, make_world(server), Register()
        self.rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
        window = self.rules.limits.correlation_window
        clock = np.arange(panel.n_sessions, dtype=np.float64) * 23_400.0
        self.market = build_market(panel, clock, window)
        self.paper = PaperBroker(self.rules, 100_000.0, panel.tickers, ["momentum"], self.register)
        self.staged = PendingEntries(self.paper.book, panel.tickers, ["momentum"])

    def buy(self, quantity: float, stop: float, target: float) -> None:
        now = self.server.now
        wish = OrderIntent(
            "AAA", Side.BUY, quantity, 102.0, stop, target, "momentum", OrderReason.ENTRY, 1.0, now.date()
        )
        self.world.broker.place_order(self.world.register.approve(wish, now))
        approved = self.register.approve(wish, now)
        self.staged.stage(row_of(approved))
        self.paper.place_order(approved)

    def settle(self, t: int) -> None:
        panel, times = self.server.market.panel, self.server.market
        self.server.advance_to_close()
        self.paper.settle(self.market, t, panel.session(t), times.opens[t], times.closes[t])

    def held(self) -> tuple[float, float]:
        mine = float(self.paper.slots["quantity"].sum())
        return self.server.account.held("AAA"), mine

    def cash(self) -> tuple[float, float]:
        return self.server.account.cash, float(self.paper.record["cash"])


def test_target_beyond_the_volume_cap_sells_once_a_session_as_the_paper_broker() -> None:
    gap: list[Bar | None] = [(100.0,) * 4, (100.0,) * 4, (112.0, 113.0, 111.5, 112.5), *[(112.5,) * 4] * 3]
    volume = np.full((6, 1), 1e6)
    volume[2] = 500.0  # a twentieth of it may be sold, 25 shares of 200, although open and high are above the target
    panel = market({"AAA": gap})
    panel.volume[:] = volume
    with make_server(panel, PaperFills(CostConfig())) as server:
        pair = Pair(server)
        pair.buy(200.0, stop=90.0, target=110.0)
        pair.settle(1)
        assert pair.held() == (200.0, 200.0)
        stop = OrderReason.STOP_LOSS  # the legs of the entry have lapsed at the close
        pair.world.place(side=Side.SELL, quantity=200.0, reason=stop, stop_price=90.0, target_price=110.0)
        pair.settle(2)
        assert pair.held() == (175.0, 175.0)
        assert pair.cash()[0] == pair.cash()[1]


def test_delisted_position_is_written_off_as_at_the_paper_broker() -> None:
    gone: list[Bar | None] = [(100.0,) * 4, (100.0,) * 4, (100.0, 101.0, 99.0, 96.0), *[None] * 12]
    with make_server(market({"AAA": gone, "BBB": flat(50.0, 15)}), PaperFills(CostConfig())) as server:
        pair = Pair(server)
        pair.buy(100.0, stop=60.0, target=180.0)
        for t in range(1, 12):
            pair.settle(t)
        assert pair.held() == (100.0, 100.0)
        pair.settle(12)
        assert pair.held() == (0.0, 0.0)
        assert pair.cash()[0] == pair.cash()[1]
        removal = server.account.activities[-1].json()
        assert (removal["activity_type"], removal["symbol"], removal["qty"]) == ("REORG", "AAA", "-100")
        assert removal["net_amount"] == "9600"  # at the last close of 96, whole: costs.delisting_haircut_pct is 0
        changes = pair.world.broker.history_since(utc("2024-01-01"))
        assert [(change.ticker, change.quantity, change.is_split) for change in changes.shares] == [
            ("AAA", -100.0, False)
        ]
        assert changes.cash[-1].amount == 9600.0
        assert not list(server.exchange.working("AAA"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_ends_quietly_when_it_is_asked_to(number: signal.Signals) -> None:
    module = [sys.executable, "-m", "trading_platform.alpaca_server", "--tickers", "ZUZILI"]
    with subprocess.Popen(module, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(" on ")[1].split()[0]
        assert requests.get(f"{url}/admin/state", timeout=5).status_code == 200
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # what does not hear the signal must not keep the suite waiting
    assert (process.returncode, errors) == (0, "")
