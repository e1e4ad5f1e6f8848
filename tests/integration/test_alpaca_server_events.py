"""Corporate events at the local server: what they do to shares, money, orders, names, and how they are told."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
import requests
from alpaca_world import KEY, SECRET, Bar, flat, make_server, market

from trading_platform.alpaca_server.behaviour import EXACT, Behaviour
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.core.types import CorporateEvent, EventKind

HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
BUY = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}
EX_DATE = date(2024, 1, 4)  # row 2 of the market
Row = tuple[str, str, str, str | None, str]


@contextmanager
def holding(
    behaviour: Behaviour = EXACT, bars: dict[str, list[Bar | None]] | None = None, quantity: float = 10.0, **extra: Any
) -> Iterator[AlpacaServer]:
    """Hold AAA, bought at 100 in the session before `EX_DATE`."""
    panel = market({"BBB": flat(50.0), **(bars or {"AAA": flat(100.0)})}, **extra)
    with make_server(panel, behaviour=behaviour) as server:
        call(server, "POST", "/v2/orders", {**BUY, "qty": quantity})
        server.advance_to_close()
        yield server


def call(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, server.url + path, json=body, headers=HEADERS, timeout=5)


def happen(server: AlpacaServer, **event: object) -> None:
    answer = call(server, "POST", "/admin/events", event)
    assert answer.status_code == 200, answer.text


def told(server: AlpacaServer, *kinds: str) -> list[Row]:
    """Return (type, sub type, symbol, quantity, dollars) of the rows of these types, oldest first."""
    listed = call(server, "GET", f"/v2/account/activities?activity_types={','.join(kinds)}&direction=asc").json()
    return [
        (row["activity_type"], row.get("activity_sub_type", ""), row["symbol"], row.get("qty"), row["net_amount"])
        for row in listed
    ]


def shares(server: AlpacaServer) -> dict[str, float]:
    return {row["symbol"]: float(row["qty"]) for row in call(server, "GET", "/v2/positions").json()}


def groups(server: AlpacaServer) -> set[object]:
    return {row.body.get("group_id") for row in server.account.activities if row.kind in ("MA", "NC")}


def test_rename_is_two_rows_of_one_group_and_the_price_goes_on() -> None:
    with holding() as server:
        target = {**BUY, "side": "sell", "type": "limit", "limit_price": 120.0, "time_in_force": "gtc"}
        resting = call(server, "POST", "/v2/orders", target).json()
        happen(server, kind="rename", ticker="AAA", other="NEW")
        server.advance_to_dawn()
        assert told(server, "NC") == [("NC", "SNC", "AAA", "-10", "0"), ("NC", "SNC", "NEW", "10", "0")]
        assert len(groups(server)) == 1
        assert shares(server) == {"NEW": 10.0}
        assert call(server, "GET", f"/v2/orders/{resting['id']}").json()["status"] == "canceled"
        assert call(server, "GET", "/v2/assets/AAA").json()["status"] == "inactive"
        server.advance_to_open()
        assert server.market.price("NEW") == 100.0
        position = call(server, "GET", "/v2/positions/NEW").json()
        assert (position["cost_basis"], position["market_value"]) == ("1000", "1000")
        assert call(server, "POST", "/v2/orders", {**BUY, "symbol": "NEW", "side": "sell"}).json()["status"] == "filled"
        assert shares(server) == {}
        assert call(server, "POST", "/v2/orders", BUY).status_code == 422


def test_renamed_ticker_with_a_column_of_its_own_has_its_own_prices() -> None:
    bars = {"AAA": [*flat(100.0, 2), *[None] * 6], "NEW": [*[None] * 2, *flat(101.0, 6)]}
    with holding(bars=bars) as server:
        happen(server, kind="rename", ticker="AAA", other="NEW")
        server.advance_to_open()
        assert server.market.price("NEW") == 101.0
        assert server.account.equity(server.market.price) == 100_010.0


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [
        (1, [("MA", "CMA", "AAA", "-10", "1050")]),
        (2, [("MA", "CMA", "AAA", "-10", "0"), ("MA", "CMA", "AAA", None, "1050")]),
    ],
)
def test_cash_merger_is_told_in_one_row_or_two(n_rows: int, expected: list[Row]) -> None:
    with holding(Behaviour(merger_rows=n_rows)) as server:
        happen(server, kind="cash_merger", ticker="AAA", cash=105.0)
        server.advance_to_dawn()
        assert told(server, "MA") == expected
        assert (shares(server), server.account.cash) == ({}, 100_050.0)


def test_rows_of_a_merger_are_drawn_in_the_realistic_profile() -> None:
    seen = set()
    for quantity in (10.0, 11.0):
        for session in ("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"):
            with holding(Behaviour(merger_rows=0), quantity=quantity) as server:
                happen(server, kind="cash_merger", ticker="AAA", cash=105.0, session=session)
                for _ in range(5):
                    server.advance_to_close()
                seen.add(len(told(server, "MA")))
    assert seen == {1, 2}


def test_stock_merger_with_cash_moves_shares_money_and_cost() -> None:
    with holding() as server:
        happen(server, kind="stock_merger", ticker="AAA", other="BBB", ratio=1.5, cash=20.0)
        server.advance_to_dawn()
        assert told(server, "MA") == [("MA", "SCMA", "AAA", "-10", "0"), ("MA", "SCMA", "BBB", "15", "200")]
        assert shares(server) == {"BBB": 15.0}
        assert server.account.positions["BBB"].cost == 800.0
        assert len(groups(server)) == 1


def test_stock_dividend_names_the_new_shares() -> None:
    with holding() as server:
        happen(server, kind="stock_dividend", ticker="AAA", ratio=0.1)
        server.advance_to_dawn()
        assert told(server, "DIV") == [("DIV", "SDIV", "AAA", "1", "0")]
        assert shares(server) == {"AAA": 11.0}
        assert server.account.positions["AAA"].cost == 1_000.0


def test_spin_off_adds_a_ticker() -> None:
    with holding() as server:
        happen(server, kind="spin_off", ticker="AAA", other="BBB", ratio=0.5)
        server.advance_to_dawn()
        assert told(server, "SPIN") == [("SPIN", "", "BBB", "5", "0")]
        assert shares(server) == {"AAA": 10.0, "BBB": 5.0}


def test_special_dividend_and_delisting_pay() -> None:
    with holding() as server:
        happen(server, kind="special_dividend", ticker="AAA", cash=5.0)
        server.advance_to_dawn()
        assert told(server, "DIV") == [("DIV", "", "AAA", None, "50")]
        happen(server, kind="delisting", ticker="AAA", now=True)
        assert told(server, "REORG") == [("REORG", "WRM", "AAA", "-10", "1000")]
        assert shares(server) == {}


def test_journal_moves_shares_in_and_out() -> None:
    with holding() as server:
        happen(server, kind="journal", ticker="BBB", ratio=4.0, now=True)
        happen(server, kind="journal", ticker="AAA", ratio=-3.0, now=True)
        assert told(server, "JNLS") == [("JNLS", "", "BBB", "4", "0"), ("JNLS", "", "AAA", "-3", "0")]
        assert shares(server) == {"AAA": 7.0, "BBB": 4.0}


def splitting(ratio: float) -> np.ndarray:
    table = np.ones((8, 2))
    table[2, 0] = ratio
    return table


def test_reverse_split_pays_the_fraction_in_cash_or_keeps_it() -> None:
    bars: dict[str, list[Bar | None]] = {"AAA": [*flat(100.0, 2), *flat(300.0, 6)]}
    with holding(Behaviour(cash_in_lieu=True), bars, split_ratio=splitting(1 / 3)) as server:
        server.advance_to_dawn()
        rows = told(server, "SPLIT")
        assert [(row[1], row[2]) for row in rows] == [("RSPLIT", "AAA"), ("", "AAA")]
        assert shares(server) == pytest.approx({"AAA": 3.0})
        assert server.account.cash == 99_000.0 + 100.0
    with holding(bars=bars, split_ratio=splitting(1 / 3)) as server:
        server.advance_to_dawn()
        assert shares(server) == pytest.approx({"AAA": 10.0 / 3.0})


def test_late_split_comes_in_the_course_of_the_session() -> None:
    bars: dict[str, list[Bar | None]] = {"AAA": [*flat(100.0, 2), *flat(50.0, 6)]}
    with holding(Behaviour(late_splits=1.0), bars, split_ratio=splitting(2.0)) as server:
        server.advance_to_open()
        assert (shares(server), server.market.price("AAA")) == ({"AAA": 10.0}, 50.0)
        server.advance_to_close()
        assert shares(server) == {"AAA": 20.0}


def test_event_of_the_panel_happens_and_is_told_once_with_its_column() -> None:
    panel = market({"AAA": flat(100.0), "BBB": flat(50.0)}, split_ratio=splitting(2.0))
    panel = replace(
        panel,
        events=(
            CorporateEvent(EX_DATE, "AAA", EventKind.SPLIT, ratio=2.0),
            CorporateEvent(date(2024, 1, 5), "AAA", EventKind.RENAME, other="NEW"),
        ),
    )
    with make_server(panel) as server:
        call(server, "POST", "/v2/orders", BUY)
        server.advance_to_close()
        server.advance_to_close()
        assert shares(server) == {"AAA": 20.0}
        server.advance_to_close()
        assert shares(server) == {"NEW": 20.0}


def test_event_of_a_day_without_a_session_happens_at_the_next() -> None:
    with holding() as server:
        happen(server, kind="special_dividend", ticker="AAA", cash=1.0, session="2024-01-06")  # a Saturday
        server.advance_to_close()
        server.advance_to_close()
        assert told(server, "DIV") == []
        server.advance_to_dawn()
        assert [row[4] for row in told(server, "DIV")] == ["10"]


def test_announcements_come_before_the_session_and_are_found_by_type_and_symbol() -> None:
    with holding(split_ratio=splitting(2.0)) as server:
        happen(server, kind="rename", ticker="AAA", other="NEW", session="2024-01-08")
        happen(server, kind="special_dividend", ticker="BBB", cash=3.0, session="2024-01-09")
        happen(server, kind="cash_merger", ticker="BBB", cash=3.0, session="2024-03-28")
        days = "since=2024-01-01&until=2024-03-30"
        asked = f"/v2/corporate_actions/announcements?ca_types=split,merger,dividend&{days}"
        found = call(server, "GET", asked).json()
        assert [(row["ca_type"], row["initiating_symbol"], row["ex_date"]) for row in found] == [
            ("split", "AAA", "2024-01-04"),
            ("merger", "AAA", "2024-01-08"),
            ("dividend", "BBB", "2024-01-09"),
        ]
        assert call(server, "GET", f"/v2/corporate_actions/announcements/{found[0]['id']}").json() == found[0]
        assert call(server, "GET", f"{asked}&symbol=BBB").json() == found[2:]
        assert call(server, "GET", "/v2/corporate_actions/announcements?ca_types=split").status_code == 422
        for version in ("v1", "v1beta1"):
            page = call(server, "GET", f"/{version}/corporate-actions?symbols=AAA&start=2024-01-01").json()
            assert set(page["corporate_actions"]) == {"forward_splits", "name_changes"}
            split = page["corporate_actions"]["forward_splits"][0]
            assert (split["new_rate"], split["old_rate"], split["ex_date"]) == (2.0, 1.0, "2024-01-04")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"kind": "apocalypse", "ticker": "AAA"}, "event kind must be one of"),
        ({"kind": "rename", "ticker": "AAA"}, "needs other"),
        ({"kind": "split", "ticker": "AAA", "ratio": 0}, "ratio must be positive"),
        ({"kind": "split", "ticker": "AAA", "ratio": math.inf}, "ratio must be positive"),
        ({"kind": "split"}, "ticker"),
        ({"kind": "split", "ticker": "ZZZ", "ratio": 2}, "no ZZZ"),
        ({"kind": "split", "ticker": "AAA", "ratio": 2, "session": "2024-01-03"}, "2024-01-03 is over.*2024-01-04"),
        ({"kind": "journal", "ticker": "AAA", "ratio": -11, "now": True}, "11 shares of AAA cannot go: 10 are held"),
    ],
)
def test_event_that_makes_no_sense_is_refused(wish: dict[str, object], words: str) -> None:
    with holding() as server:
        answer = requests.post(f"{server.url}/admin/events", data=_json(wish), timeout=5)
        assert answer.status_code == 400
        assert re.search(words, answer.json()["message"])
        assert server.matching.corporate.events == []


def _json(wish: dict[str, object]) -> str:
    return json.dumps(wish)  # `requests` refuses infinity, a client need not
