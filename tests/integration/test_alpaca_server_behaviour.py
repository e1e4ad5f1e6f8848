"""Each habit of Alpaca at the local server: what it does when it is on, and that the exact profile does without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca_world import KEY, SECRET, Bar, flat, make_server, market, utc

from trading_platform.alpaca_server.behaviour import EXACT, PROFILES, REALISTIC, Behaviour, changed
from trading_platform.alpaca_server.draws import Draw, uniform
from trading_platform.alpaca_server.fill_models import PaperFills
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.core.costs import CostConfig
from trading_platform.core.errors import FixConfigError

DOCS = Path(__file__).parents[2] / "docs" / "alpaca.md"
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
BUY = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}
STOP = {"symbol": "AAA", "qty": 10, "side": "sell", "type": "stop", "stop_price": 90.0, "time_in_force": "gtc"}
BRACKET = {
    **BUY,
    "type": "limit",
    "limit_price": 101.0,
    "order_class": "bracket",
    "stop_loss": {"stop_price": 95.0},
    "take_profit": {"limit_price": 111.0},
}
OCO = {
    **BUY,
    "side": "sell",
    "type": "limit",
    "time_in_force": "gtc",
    "order_class": "oco",
    "stop_loss": {"stop_price": 90.0},
    "take_profit": {"limit_price": 120.0},
}


@contextmanager
def serving(behaviour: Behaviour = EXACT, bars: list[Bar | None] | None = None, **extra: Any) -> Iterator[AlpacaServer]:
    config = {name: extra.pop(name) for name in ("seed",) if name in extra}
    panel = market({"AAA": bars or flat(100.0, 12), "BBB": flat(50.0, len(bars or flat(1.0, 12)))}, **extra)
    with make_server(panel, behaviour=behaviour, **config) as server:
        yield server


def call(server: AlpacaServer, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, server.url + path, json=body, headers=HEADERS, timeout=5)


def post(server: AlpacaServer, body: object) -> dict[str, Any]:
    answer = call(server, "POST", "/v2/orders", body)
    assert answer.status_code == 200, answer.text
    parsed: dict[str, Any] = answer.json()
    return parsed


def status(server: AlpacaServer, order_id: str) -> str:
    return str(call(server, "GET", f"/v2/orders/{order_id}").json()["status"])


def fills(server: AlpacaServer) -> list[tuple[float, float]]:
    rows = [activity.body for activity in server.account.activities if activity.kind == "FILL"]
    return [(float(str(row["qty"])), float(str(row["price"]))) for row in rows]


def rows(server: AlpacaServer, kind: str) -> list[dict[str, Any]]:
    listed = call(server, "GET", f"/v2/account/activities/{kind}?direction=asc").json()
    return list(listed)


# ---------------------------------------------------------------- switches


def test_every_switch_is_in_the_table_of_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [field.name for field in fields(Behaviour) if f"`{field.name}`" not in text] == []


def test_every_test_in_the_table_of_the_documentation_exists() -> None:
    named = re.findall(r"`(\w+)\.\.\.`", DOCS.read_text(encoding="utf-8"))
    here = Path(__file__)
    written = here.read_text() + here.with_name("test_alpaca_server_events.py").read_text()
    assert len(named) >= 20
    assert [name for name in named if f"def test_{name}" not in written] == []


def test_every_fact_of_the_documentation_has_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*`(test_\w+): (\w+) \.\.\.` \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 34))
    files = {path.stem: path.read_text() for path in Path(__file__).parents[1].rglob("test_alpaca_*.py")}
    files["test_reconcile_stories"] = (Path(__file__).parents[1] / "unit/test_reconcile_stories.py").read_text()
    assert [f"{file}: {name}" for _, file, name in rows if f"def test_{name}" not in files[file]] == []


def test_profiles_differ_and_exact_is_the_default() -> None:
    assert PROFILES["exact"] == Behaviour()
    same = [field.name for field in fields(Behaviour) if getattr(EXACT, field.name) == getattr(REALISTIC, field.name)]
    assert same == ["sleeping_legs", "wash_trades", "pays_dividends", "gtc_days"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"late_cancel": True}, "'late_cancel' is unknown"),
        ({"late_cancels": 1}, "late_cancels must be true or false"),
        ({"partial_fills": 1.5}, r"partial_fills must be in \[0, 1\], was 1.5"),
        ({"partial_fills": float("nan")}, r"partial_fills must be in \[0, 1\]"),
        ({"partial_fills": True}, "must be a number"),
        ({"merger_rows": 3}, "merger_rows must be 0"),
        ({"auction_least": 0.2, "auction_most": 0.1}, "least <= most"),
        ({"gtc_days": -1}, "gtc_days must not be negative"),
        ({"profile": "surreal"}, "profile must be one of exact, realistic"),
    ],
)
def test_switch_that_makes_no_sense_is_refused_by_name(wish: dict[str, object], words: str) -> None:
    with pytest.raises(FixConfigError, match=words):
        changed(EXACT, wish)


def test_switches_change_by_request_and_one_profile_may_be_the_base() -> None:
    with serving() as server:
        wish = {"profile": "realistic", "partial_fills": 0.0}
        shown = requests.post(f"{server.url}/admin/behaviour", json=wish, timeout=5).json()
        assert (shown["late_cancels"], shown["partial_fills"]) == (True, 0.0)
        assert server.behaviour == changed(REALISTIC, {"partial_fills": 0.0})
        refused = requests.post(f"{server.url}/admin/behaviour", json={"nonsense": 1}, timeout=5)
        assert refused.status_code == 400


def test_draws_repeat_by_seed_and_lie_evenly() -> None:
    day = date(2024, 1, 3)
    drawn = [uniform(7, day + timedelta(days=n), "AAA", Draw.PARTIAL) for n in range(2_000)]
    assert drawn == [uniform(7, day + timedelta(days=n), "AAA", Draw.PARTIAL) for n in range(2_000)]
    assert abs(sum(drawn) / 2_000 - 0.5) < 0.03
    assert abs(sum(draw < 0.1 for draw in drawn) / 2_000 - 0.1) < 0.03
    assert len({uniform(seed, day, name, what) for seed in (1, 2) for name in "AB" for what in Draw}) == 4 * len(Draw)


# ---------------------------------------------------------------- cancellations


@pytest.mark.parametrize(("late", "evening"), [(True, "pending_cancel"), (False, "canceled")])
def test_cancellation_after_hours_of_a_routed_order_waits_for_the_bell(late: bool, evening: str) -> None:
    with serving(Behaviour(late_cancels=late)) as server:
        post(server, BUY)
        server.advance_to_open()
        stop = post(server, STOP)
        server.advance_to_close()
        assert call(server, "DELETE", f"/v2/orders/{stop['id']}").status_code == 204
        assert status(server, stop["id"]) == evening
        sale = call(server, "POST", "/v2/orders", {**BUY, "side": "sell"})
        assert sale.status_code == (403 if late else 200)
        if late:
            assert call(server, "DELETE", f"/v2/orders/{stop['id']}").status_code == 422
        server.advance_to_dawn()
        assert status(server, stop["id"]) == evening
        server.advance_to_open()
        assert status(server, stop["id"]) == "canceled"


def test_cancellation_after_hours_of_an_unrouted_order_is_immediate() -> None:
    with serving(Behaviour(late_cancels=True)) as server:
        server.advance_to_close()
        bought = post(server, BUY)
        call(server, "DELETE", f"/v2/orders/{bought['id']}")
        assert status(server, bought["id"]) == "canceled"


def test_cancelled_group_is_pending_as_a_whole_and_does_not_trade_at_the_bell() -> None:
    gap: list[Bar | None] = [*flat(100.0, 2), *flat(80.0, 6)]
    with serving(Behaviour(late_cancels=True), gap) as server:
        post(server, BUY)
        server.advance_to_open()
        group = post(server, OCO)
        server.advance_to_close()
        call(server, "DELETE", f"/v2/orders/{group['id']}")
        server.advance_to_open()
        assert (status(server, group["id"]), status(server, group["legs"][0]["id"])) == ("canceled", "canceled")
        assert server.account.held("AAA") == 10.0


def test_working_target_can_be_made_marketable_in_the_evening() -> None:
    with serving(Behaviour(late_cancels=True)) as server:
        post(server, BUY)
        server.advance_to_open()
        group = post(server, OCO)
        server.advance_to_close()
        new = call(server, "PATCH", f"/v2/orders/{group['id']}", {"limit_price": 99.0}).json()
        assert (new["replaces"], status(server, group["id"])) == (group["id"], "replaced")
        server.advance_to_open()
        assert server.account.held("AAA") == 0.0


# ---------------------------------------------------------------- groups


def test_legs_sleep_until_the_entry_is_complete() -> None:
    dive: list[Bar | None] = [*flat(100.0, 1), (100.0, 100.0, 80.0, 81.0), *flat(81.0, 5)]
    for sleeping, left in ((True, 4.0), (False, 0.0)):
        with serving(Behaviour(sleeping_legs=sleeping), dive) as server:
            wish = {"kind": "partial", "symbol": "AAA", "fraction": 0.4}
            requests.post(f"{server.url}/admin/whims", json=wish, timeout=5)
            post(server, BRACKET)
            server.advance(server.market.closes[1] - timedelta(minutes=1))
            assert server.account.held("AAA") == left


def test_resting_legs_are_replaced_by_alpaca_in_the_morning() -> None:
    with serving(Behaviour(replaced_legs=1.0)) as server:
        post(server, BUY)
        server.advance_to_open()
        group = post(server, OCO)
        server.advance_to_close()
        server.advance_to_dawn()
        old = call(server, "GET", f"/v2/orders/{group['id']}").json()
        assert old["status"] == "replaced"
        new = call(server, "GET", f"/v2/orders/{old['replaced_by']}?nested=true").json()
        assert (new["replaces"], new["limit_price"], new["status"]) == (group["id"], "120", "new")
        assert new["client_order_id"] != old["client_order_id"]
        assert [leg["status"] for leg in new["legs"]] == ["held"]


@pytest.mark.parametrize("refused", [True, False])
def test_market_sale_against_an_open_buy_is_a_wash_trade(refused: bool) -> None:
    with serving(Behaviour(wash_trades=refused)) as server:
        post(server, BUY)
        server.advance_to_open()
        post(server, {**BUY, "qty": 1, "type": "limit", "limit_price": 60.0})
        sale = call(server, "POST", "/v2/orders", {**BUY, "side": "sell"})
        assert (sale.status_code == 403) is refused
        if refused:
            assert sale.json()["code"] == 40310000
            above = {**BUY, "side": "sell", "type": "limit", "limit_price": 60.01}
            assert call(server, "POST", "/v2/orders", above).status_code == 200


def test_gtc_orders_end_after_the_days_of_the_switch() -> None:
    with serving(Behaviour(gtc_days=3)) as server:
        resting = post(server, {**BUY, "type": "limit", "limit_price": 50.0, "time_in_force": "gtc"})
        server.advance_to_close()
        assert status(server, resting["id"]) == "new"
        for _ in range(3):
            server.advance_to_close()
        assert status(server, resting["id"]) == "expired"


# ---------------------------------------------------------------- fills


FREE = CostConfig(half_spread_bps=0.0, slippage_bps=0.0, impact_bps=0.0)


def test_limit_that_missed_the_open_fills_when_the_price_comes_back() -> None:
    back: list[Bar | None] = [*flat(100.0, 1), (103.0, 104.0, 99.0, 100.0), *flat(100.0, 5)]
    for rests, bought in ((True, [(10.0, 101.0)]), (False, [])):
        with make_server(market({"AAA": back}), PaperFills(FREE), behaviour=Behaviour(limits_rest=rests)) as server:
            post(server, {**BUY, "type": "limit", "limit_price": 101.0})
            server.advance_to_open()
            assert fills(server) == []
            server.advance(server.market.closes[1] - timedelta(minutes=1))
            assert fills(server) == bought


def test_low_and_high_come_in_a_drawn_order_and_the_bar_is_kept() -> None:
    wide: list[Bar | None] = [(100.0, 110.0, 90.0, 105.0)] * 40
    with serving(Behaviour(seeded_path=True), wide) as server:
        first = [server.market.low_first(row, "AAA") for row in range(40)]
        assert 8 < sum(first) < 32
        for row in range(1, 12):
            server.advance_to_open()
            running = server.market.running_bar("AAA")
            opened, third = server.market.opens[row], (server.market.closes[row] - server.market.opens[row]) / 3
            server.advance(opened + third)
            assert server.market.price("AAA") == (90.0 if first[row] else 110.0)
            server.advance(opened + 2 * third)
            running = server.market.running_bar("AAA")
            assert running is not None
            assert (running.open, running.high, running.low) == (100.0, 110.0, 90.0)
            server.advance_to_close()
            assert server.market.price("AAA") == 105.0


def test_stop_placed_after_the_low_is_met_on_the_way_to_the_close() -> None:
    late: list[Bar | None] = [*flat(100.0, 1), (100.0, 110.0, 90.0, 92.0), *flat(92.0, 5)]
    for drawn, sold in ((True, True), (False, False)):
        with serving(Behaviour(seeded_path=drawn), late, seed=_seed_with_low_first()) as server:
            post(server, BUY)
            server.advance_to_open()
            third = (server.market.closes[1] - server.market.opens[1]) / 3
            server.advance(server.market.opens[1] + 2 * third)  # at the high; the close is below the stop
            post(server, {**STOP, "stop_price": 100.0})
            server.advance(server.market.closes[1])
            assert (server.account.held("AAA") == 0.0) is sold


def _seed_with_low_first() -> int:
    day = date(2024, 1, 3)
    return next(seed for seed in range(20) if uniform(seed, day, "AAA", Draw.PATH) < 0.5)


def test_queued_order_fills_at_the_auction_and_the_bar_opens_elsewhere() -> None:
    with serving(Behaviour(auction_least=0.001, auction_most=0.003), flat(100.0, 60)) as server:
        post(server, BUY)
        server.advance_to_open()
        ((_, price),) = fills(server)
        assert 0.0999 <= abs(price - 100.0) <= 0.3001
        asked = call(server, "GET", "/v2/stocks/bars?symbols=AAA&timeframe=1Day&start=2024-01-03&feed=iex").json()
        assert asked["bars"]["AAA"][0]["o"] == 100.0
        auctions = call(server, "GET", "/v2/stocks/auctions?symbols=AAA&start=2024-01-03").json()
        assert auctions["auctions"]["AAA"][0]["o"][0]["p"] == price
        away = [server.market.auction(row, "AAA") - 100.0 for row in range(60)]
        assert 15 < sum(gap > 0.0 for gap in away) < 45  # either way


def test_order_that_comes_too_late_for_the_auction_gets_the_first_trade() -> None:
    with serving(Behaviour(auction_least=0.001, auction_most=0.003)) as server:
        server.advance(server.market.opens[1] - timedelta(minutes=2))
        post(server, BUY)
        server.advance_to_open()
        assert fills(server) == [(10.0, 100.0)]


def test_auction_of_the_exact_profile_is_the_open() -> None:
    with serving() as server:
        assert server.market.auction(1, "AAA") == 100.0


def test_one_fill_in_ten_is_partial_and_the_rest_goes_on() -> None:
    with serving(Behaviour(partial_fills=1.0, seeded_path=True, limits_rest=True)) as server:
        sent = post(server, BUY)
        server.advance_to_open()
        (first, *_) = fills(server)
        assert 1.0 <= first[0] < 10.0
        assert status(server, sent["id"]) == "partially_filled"
        server.advance(server.market.closes[1] - timedelta(minutes=1))
        assert len(fills(server)) > 1
    drawn = [uniform(3, date(2024, 1, 1) + timedelta(days=n), "AAA/buy", Draw.PARTIAL) < 0.1 for n in range(1000)]
    assert 60 < sum(drawn) < 140


def test_elected_stop_slips() -> None:
    fall: list[Bar | None] = [*flat(100.0, 2), (100.0, 100.0, 85.0, 88.0), *flat(88.0, 4)]
    with serving(Behaviour(stop_slippage=0.01), fall) as server:
        post(server, BUY)
        server.advance_to_close()
        post(server, STOP)
        server.advance_to_close()
        price = fills(server)[-1][1]
        assert 89.1 <= price < 90.0


# ---------------------------------------------------------------- money and activities


def test_activities_appear_late_and_all_of_them_in_the_end() -> None:
    with serving(Behaviour(late_activities=45.0), flat(100.0, 20)) as server:
        for _ in range(12):
            post(server, {**BUY, "qty": 1})
        server.advance_to_open()
        seen = len(rows(server, "FILL"))
        assert seen < 12
        server.advance(server.now + timedelta(minutes=46))
        assert len(rows(server, "FILL")) == 12
    with serving() as server:
        post(server, BUY)
        server.advance_to_open()
        assert len(rows(server, "FILL")) == 1


def dividend(amount: float, row: int, sessions: int = 12) -> Any:
    import numpy as np

    paid = np.zeros((sessions, 2))
    paid[row, 0] = amount
    return paid


def test_doubled_dividend_is_cancelled_the_next_morning() -> None:
    with serving(Behaviour(doubled_activities=1.0), dividend=dividend(0.5, 2)) as server:
        post(server, BUY)
        server.advance_to_close()
        before = server.account.cash
        server.advance_to_dawn()
        assert [(row["status"], row["net_amount"]) for row in rows(server, "DIV")] == [("executed", "5")] * 2
        assert server.account.cash == before + 10.0
        server.advance_to_close()
        server.advance_to_dawn()
        assert [row["status"] for row in rows(server, "DIV")] == ["executed", "canceled"]
        assert server.account.cash == before + 5.0


def test_wrong_dividend_is_cancelled_and_corrected() -> None:
    with serving(Behaviour(reversed_activities=1.0), dividend=dividend(0.5, 2)) as server:
        post(server, BUY)
        server.advance_to_close()
        before = server.account.cash
        server.advance_to_close()
        server.advance_to_dawn()
        told = [(row["status"], row["net_amount"]) for row in rows(server, "DIV")]
        assert told == [("canceled", "5.5"), ("correct", "5")]
        assert server.account.cash == before + 5.0


def test_paper_account_may_pay_no_dividends() -> None:
    with serving(Behaviour(pays_dividends=False), dividend=dividend(0.5, 2)) as server:
        post(server, BUY)
        server.advance_to_close()
        server.advance_to_close()
        assert rows(server, "DIV") == []


def test_plain_gtc_buy_limit_falls_by_the_dividend_and_a_group_does_not() -> None:
    for reduced, limit in ((True, "89.5"), (False, "90")):
        with serving(Behaviour(reduced_limits=reduced), dividend=dividend(0.5, 2)) as server:
            sent = post(server, {**BUY, "type": "limit", "limit_price": 90.0, "time_in_force": "gtc"})
            group = post(
                server, {**BRACKET, "limit_price": 90.0, "stop_loss": {"stop_price": 80.0}, "time_in_force": "gtc"}
            )
            server.advance_to_close()
            server.advance_to_dawn()
            assert call(server, "GET", f"/v2/orders/{sent['id']}").json()["limit_price"] == limit
            assert call(server, "GET", f"/v2/orders/{group['id']}").json()["limit_price"] == "90"


def test_interest_comes_with_the_first_session_of_a_month() -> None:
    with serving(Behaviour(interest_pct=2.4), flat(100.0, 30)) as server:
        for _ in range(23):
            server.advance_to_close()
        (paid,) = rows(server, "INT")
        assert (paid["net_amount"], paid["date"]) == ("200", "2024-02-01")
        assert server.account.cash == 100_200.0


def test_fees_of_a_day_are_one_row_the_next_morning() -> None:
    panel = market({"AAA": flat(100.0, 12)})
    with make_server(panel, PaperFills(CostConfig()), behaviour=Behaviour(fees_by_day=True)) as server:
        post(server, {**BUY, "qty": 900})
        server.advance_to_close()
        post(server, {**BUY, "qty": 900, "side": "sell"})
        server.advance_to_close()
        assert rows(server, "FEE") == []
        before = server.account.cash
        server.advance_to_dawn()
        (fee,) = rows(server, "FEE")
        assert "group_id" not in fee
        assert float(fee["net_amount"]) < 0.0
        assert server.account.cash == pytest.approx(before + float(fee["net_amount"]))


# ---------------------------------------------------------------- data


def evening_bar(server: AlpacaServer) -> dict[str, Any]:
    asked = "/v2/stocks/bars?symbols=AAA&timeframe=1Day&start=2024-01-03&end=2024-01-03T23:59:00Z&feed=iex"
    found: dict[str, Any] = call(server, "GET", asked).json()["bars"]["AAA"][0]
    return found


def test_volume_grows_in_the_evening_and_then_stands() -> None:
    with serving(Behaviour(late_prints=True)) as server:
        server.advance_to_evening()
        early = evening_bar(server)["v"]
        server.advance(server.now + timedelta(hours=1))
        later = evening_bar(server)["v"]
        server.advance(utc("2024-01-04T02:00"))
        final = evening_bar(server)["v"]
        server.advance(utc("2024-01-04T09:00"))
        assert early < later < final == evening_bar(server)["v"]


def test_absurd_tick_is_in_the_bar_until_the_next_morning() -> None:
    with serving(Behaviour(bad_ticks=1.0)) as server:
        server.advance_to_evening()
        bad = evening_bar(server)
        assert (bad["h"], bad["l"]) in ((1000.0, 100.0), (100.0, 10.0))
        server.advance_to_dawn()
        good = evening_bar(server)
        assert (good["h"], good["l"]) == (100.0, 100.0)


def test_wrong_bar_by_request_holds_until_it_is_corrected() -> None:
    with serving() as server:
        wish = {"symbol": "AAA", "session": "2024-01-03", "low": 0.01, "until": "2024-01-04T01:00:00+00:00"}
        requests.post(f"{server.url}/admin/bars", json=wish, timeout=5)
        server.advance_to_evening()
        assert evening_bar(server)["l"] == 0.01
        server.advance(utc("2024-01-04T01:00"))
        assert evening_bar(server)["l"] == 100.0


def test_last_trade_may_be_told_stale_until_it_is_fresh_again() -> None:
    with serving() as server:
        at, until = "2024-01-02T20:59:00+00:00", "2024-01-03T15:00:00+00:00"
        wish = {"symbol": "AAA", "price": 44.0, "at": at, "until": until}
        requests.post(f"{server.url}/admin/trades", json=wish, timeout=5)
        server.advance_to_open()
        told = call(server, "GET", "/v2/stocks/trades/latest?symbols=AAA,BBB").json()["trades"]
        assert (told["AAA"]["p"], told["AAA"]["t"]) == (44.0, "2024-01-02T20:59:00.000000Z")
        assert told["BBB"]["p"] == 50.0
        server.advance(utc("2024-01-03T15:00"))
        assert call(server, "GET", "/v2/stocks/AAA/trades/latest").json()["trade"]["p"] == 100.0


# ---------------------------------------------------------------- the service itself


def test_limit_of_requests_counts_trading_and_data_apart() -> None:
    with serving(Behaviour(requests_per_minute=5)) as server:
        answers = [call(server, "GET", "/v2/clock").status_code for _ in range(6)]
        assert answers == [200] * 5 + [429]
        assert call(server, "GET", "/v2/stocks/trades/latest?symbols=AAA").status_code == 200


def test_service_is_away_in_the_hours_of_maintenance() -> None:
    for away in (True, False):
        with serving(Behaviour(maintenance=away)) as server:
            for at, closed in (("2024-01-13T13:59", False), ("2024-01-13T14:01", True), ("2024-01-13T16:30", False)):
                server.advance(utc(at))
                assert (call(server, "GET", "/v2/clock").status_code == 503) is (away and closed)


def test_realistic_sessions_repeat_by_seed() -> None:
    def walk(seed: int) -> list[tuple[float, float]]:
        rough: list[Bar | None] = [(100.0, 104.0, 96.0, 101.0)] * 30
        with serving(REALISTIC, rough, seed=seed) as server:
            for n in range(25):
                limit = {**BUY, "qty": 7 + n, "type": "limit", "limit_price": 101.0}
                post(server, limit)
                server.advance_to_open()
                server.advance_to_close()
            return fills(server)

    assert walk(1) == walk(1)
    assert walk(1) != walk(2)
