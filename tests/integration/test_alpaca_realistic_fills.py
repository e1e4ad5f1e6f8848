"""Realistic fills of the kernel are those of the local server's realistic profile, where both know the case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import requests
from alpaca_world import KEY, SECRET, Bar, make_server, market

from tests.kernel_world import make_rules
from trading_platform.alpaca_server.behaviour import REALISTIC as REALISTIC_SERVER
from trading_platform.alpaca_server.behaviour import Behaviour
from trading_platform.alpaca_server.fill_models import RealisticFills
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.core.booking import ask_all_out, net_order
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.ledger import reserve, settle_levels, want
from trading_platform.core.market import Market, build_market
from trading_platform.core.realistic_fills import REALISTIC, with_fills
from trading_platform.core.reasons import SIGNAL_EXIT
from trading_platform.core.session import trade_session
from trading_platform.core.simulate import Books, open_books
from trading_platform.core.types import MarketPanel

SEED, N_SESSIONS, SHARES = 11, 60, 100.0
RULES = make_rules()
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
# The part of the realistic profile that decides fills.
HABITS = Behaviour(
    partial_fills=REALISTIC_SERVER.partial_fills,
    limits_rest=True,
    seeded_path=True,
    auction_least=REALISTIC_SERVER.auction_least,
    auction_most=REALISTIC_SERVER.auction_most,
    stop_slippage=REALISTIC_SERVER.stop_slippage,
)


def bars(n: int) -> list[Bar | None]:
    """Return bars whose opens lie beside the closes, now within an entry's limit of 0.2 % above them and now not."""
    rng = np.random.default_rng(4)
    made: list[Bar | None] = []
    close = 50.0
    for _ in range(n):
        opened = round(close * (1.0 + rng.uniform(-0.006, 0.006)), 2)
        close = round(opened * (1.0 + rng.uniform(-0.01, 0.01)), 2)
        made.append((opened, round(max(opened, close) * 1.004, 2), round(min(opened, close) * 0.996, 2), close))
    return made


def kernel_market(panel: MarketPanel) -> Market:
    exact = build_market(panel, np.arange(panel.n_sessions, dtype=np.float64), 30)
    return with_fills(exact, panel, REALISTIC, SEED)


def wanting(quantity: float, limit: float) -> Books:
    """Return a book that is to buy `quantity` shares at the next open."""
    books = open_books(1, 2, 1, 1, 1_000_000.0)
    reserve(books.slots[0, 0], 0, quantity, limit, limit)
    want(books.slots[0, 0], books.lots[0, 0, 0], 0, quantity, 1.0, 0.0)
    settle_levels(books.slots[0, 0], books.lots[0, 0])
    return books


def holding(quantity: float, stop: float) -> Books:
    """Return a book that holds `quantity` shares."""
    books = wanting(quantity, 100.0)
    slot, lot = books.slots[0, 0], books.lots[0, 0, 0]
    slot["pending"], lot["delta"] = 0.0, 0.0
    slot["quantity"] = lot["quantity"] = lot["bought"] = quantity
    slot["stop"] = lot["stop"] = stop
    return books


def traded(books: Books, prices: Market, t: int) -> list[tuple[float, float]]:
    """Return (shares, price) of what the kernel fills in session `t`."""
    log = new_fill_log(8)
    trade_session(books.accounts[0], books.slots[0], books.lots[0], books.stopped[0], prices, t, RULES, log)
    return [(float(row["quantity"]), float(row["price"])) for row in log.rows[: log.used[0]]]


def sent(server: AlpacaServer, **body: object) -> str:
    order = {"symbol": "AAA", "time_in_force": "day", **body}
    answer = requests.post(f"{server.url}/v2/orders", json=order, headers=HEADERS, timeout=5)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def new_fills(server: AlpacaServer, known: int) -> list[tuple[float, float]]:
    """Return (shares, price) of the server's fills after the first `known`."""
    rows = [activity.body for activity in server.account.activities if activity.kind == "FILL"]
    return [(float(str(row["qty"])), float(str(row["price"]))) for row in rows[known:]]


def assert_alike(theirs: Sequence[tuple[float, float]], ours: Sequence[tuple[float, float]]) -> None:
    assert [shares for shares, _ in theirs] == [shares for shares, _ in ours]
    assert [price for _, price in theirs] == pytest.approx([price for _, price in ours], abs=1e-6)


@pytest.mark.compiles
def test_entries_and_exits_at_the_open_fill_alike() -> None:
    """In each session one order: an entry, or the exit of what is held; the rest is cancelled soon after the open."""
    panel = market({"AAA": bars(N_SESSIONS)})
    prices = kernel_market(panel)
    kinds: set[str] = set()
    with make_server(panel, fill_model=RealisticFills(), behaviour=HABITS, seed=SEED) as server:
        for t in range(1, N_SESSIONS):
            known, held = len(new_fills(server, 0)), server.account.held("AAA")
            if held > 0.0:
                books = holding(held, 0.0)
                ask_all_out(books.slots[0], books.lots[0], 0, SIGNAL_EXIT)
                net_order(books.slots[0], books.lots[0], 0)
                order = sent(server, side="sell", type="market", qty=held)
            else:
                limit = round(float(panel.close[t - 1, 0]) * 1.002, 2)
                books = wanting(SHARES, limit)
                order = sent(server, side="buy", type="limit", qty=SHARES, limit_price=limit)
            asked = held or SHARES
            ours = traded(books, prices, t)
            server.advance_to_open()
            requests.delete(f"{server.url}/v2/orders/{order}", headers=HEADERS, timeout=5)
            assert_alike(new_fills(server, known), ours)
            done = sum(shares for shares, _ in ours)
            kinds.add(f"{'exit' if held else 'entry'} {'whole' if done == asked else 'part' if done else 'none'}")
            server.advance_to_close()
    assert kinds == {"exit whole", "exit part", "entry whole", "entry part", "entry none"}


def test_elected_stops_sell_at_the_same_price() -> None:
    quiet: Bar = (50.0, 50.5, 49.5, 50.0)
    falling: list[Bar | None] = [quiet, quiet, (49.0, 49.2, 43.0, 44.0), (40.0, 41.0, 39.0, 40.0)]
    panel = market({"AAA": falling})
    prices = kernel_market(panel)
    for stop, session in ((45.0, 2), (41.5, 3)):  # touched; gapped through
        habits = replace(HABITS, partial_fills=0.0)
        with make_server(panel, fill_model=RealisticFills(), behaviour=habits, seed=SEED) as server:
            sent(server, side="buy", type="market", qty=10)
            server.advance_to_open()
            sent(server, side="sell", type="stop", stop_price=stop, qty=10, time_in_force="gtc")
            known = len(new_fills(server, 0))
            for _ in range(session):
                server.advance_to_close()
            assert_alike(new_fills(server, known), traded(holding(10.0, stop), prices, session))
