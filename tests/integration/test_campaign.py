"""The campaign in short: what befalls the engine is the same again from a seed, is met by it, and would be seen."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from account_invariants import Breach
from campaign_books import Cover, campaign_breaches, manual_shares
from campaign_faults import CLOCK, ENGINES, OPERATOR, OWNER, STORAGE, WHIMS, blows, spoiled_answer
from campaign_quarter import live_a_quarter
from campaign_run import next_seed, page_of, read_state, write_state
from crash_world import Campaign, Forge, campaign, panel_of
from http_stub import Reply, Request, serve
from test_account_invariants import sound

from trading_platform.alpaca_server.admin import administer
from trading_platform.alpaca_server.faults import ABSURD_PATHS, Fault, FaultKind
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.core.errors import MarketDataError, OperatorNeededError
from trading_platform.core.types import Side
from trading_platform.storage.backups import back_up, put_back
from trading_platform.storage.order_mark import forget_marks

pytestmark = pytest.mark.real

NOW = datetime(2024, 7, 3, 17, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest.fixture
def world(forge: Forge, tmp_path: Path) -> Iterator[Campaign]:
    with campaign(forge, tmp_path / "account", panel_of(3, 4), 4) as account:
        account.server.advance_to_evening()
        account.scan()
        account.server.advance_to_open()
        account.scan()
        yield account


# ---------------------------------------------------------------- the engine


def test_short_campaign_breaks_nothing_and_is_the_same_again(forge: Forge, tmp_path: Path) -> None:
    first = live_a_quarter(forge, tmp_path / "first", 7, 4, tempo=5.0)
    assert first.breaches == []
    assert first.kills.total() >= 15
    assert first.faults.total() >= 40
    again = live_a_quarter(forge, tmp_path / "again", 7, 4, tempo=5.0)
    assert (again.digest, again.kills, again.faults) == (first.digest, first.kills, first.faults)


@pytest.mark.parametrize("fields", [{"cash": None}, {"trading_blocked": True}, {"cash": "-1e12"}])
def test_one_senseless_answer_about_the_account_keeps_no_engine_down(
    world: Campaign, fields: dict[str, object]
) -> None:
    world.server.faults.add(Fault(FaultKind.REWRITE, path=r"^/v2/account$", fields=fields, times=2))
    world.scan()


def test_status_that_nobody_knows_takes_no_new_risk_and_keeps_no_engine_down(world: Campaign) -> None:
    fields: dict[str, object] = {"status": "hypothecated"}
    world.server.faults.add(Fault(FaultKind.REWRITE, path=r"^/v2/account$", fields=fields, times=None))
    world.scan()
    world.server.lift_faults()
    world.scan()


def test_account_that_is_blocked_at_every_answer_needs_its_owner(world: Campaign) -> None:
    world.server.account.overrides = {"trading_blocked": True}
    assert world.life().code == 5


def test_clock_that_is_behind_the_book_ends_a_look_by_a_code_that_comes_up_again(world: Campaign) -> None:
    world.server.advance_to_evening()
    world.scan()
    behind = (world.server.now - timedelta(minutes=30)).isoformat()
    world.server.faults.add(Fault(FaultKind.REWRITE, path="clock", fields={"timestamp": behind}, times=None))
    assert world.life().code == MarketDataError.exit_code
    assert "check this machine's clock" in world.words()
    world.server.lift_faults()
    world.scan()


def test_type_of_an_order_that_nobody_knows_leaves_no_second_row_of_it(world: Campaign) -> None:
    for kind in ("type", "order_type"):
        fields = {kind: "hypothecated"}
        world.server.faults.add(Fault(FaultKind.REWRITE, path="^/v2/orders", fields=fields, times=6))
        world.life()
    world.server.lift_faults()
    world.scan()
    rows = Counter(row["broker_order_id"] for row in world.ledger().orders if row["broker_order_id"])
    assert rows
    assert max(rows.values()) == 1


def by_restore(copy: Path, world: Campaign) -> None:
    put_back(copy, world.database, world.server.now)


def by_hand(copy: Path, world: Campaign) -> None:
    for side in ("-wal", "-shm"):
        world.database.with_name(world.database.name + side).unlink(missing_ok=True)
    shutil.copyfile(copy, world.database)


def by_hand_on_a_new_machine(copy: Path, world: Campaign) -> None:
    """Nothing beside the copy tells that it is one: the account does, and the engine stays down until it is said."""
    by_hand(copy, world)
    forget_marks(world.database)
    sent = len(world.server.exchange.orders)
    refused = world.life()
    assert refused.code == OperatorNeededError.exit_code
    assert "`restore FILE`" in world.words()
    assert len(world.server.exchange.orders) == sent
    by_restore(copy, world)


@pytest.mark.parametrize("replace_by", [by_restore, by_hand, by_hand_on_a_new_machine])
def test_what_was_bought_after_a_copy_that_is_put_back_stays_the_engines_and_keeps_its_stops(
    forge: Forge, tmp_path: Path, replace_by: Callable[[Path, Campaign], None]
) -> None:
    with campaign(forge, tmp_path / "account", panel_of(3, 6), 6) as world:
        server = world.server
        world.server.advance_to_evening()
        world.scan()
        copy = back_up(world.database, world.home / "backups", 1, server.now)
        for _ in range(2):
            server.advance_to_open()
            world.scan()
            server.advance_to_evening()
            world.scan()
        server.advance_to_open()
        lost = {row["client_order_id"] for row in world.ledger().orders}
        replace_by(copy, world)
        lost -= {row["client_order_id"] for row in world.ledger().orders}
        assert any(key.endswith("-buy-entry-0") for key in lost)
        world.scan()
        world.scan()
        assert manual_shares(world.database) == {}
        held = {ticker: position.quantity for ticker, position in server.account.positions.items()}
        assert held
        assert {ticker: server.exchange.held_for_orders(ticker) for ticker in held} == held
        server.advance_to_evening()
        world.scan()
        assert {breach.name for breach in world.breaches()} <= {"order_without_signal"}
        assert world.ledger().positions == {t: p.quantity for t, p in server.account.positions.items()}


def test_a_stop_that_left_without_a_database_is_written_down_by_the_next_start(forge: Forge, world: Campaign) -> None:
    """Killed while its disk was full: what it had sent last is in no database, and no second engine's."""
    server = world.server
    stop = next(o for o in server.exchange.working() if o.side is Side.SELL and o.waits_for_stop)
    ticker, shares, level = stop.symbol, stop.quantity, stop.stop_price
    with server.lock:
        administer(server, "POST", "/admin/cancel", {"order_id": stop.id})
    key = f"tp-{server.now:%Y%m%d}-{ticker}-sell-stop_loss-900"
    wish = {"symbol": ticker, "side": "sell", "qty": str(shares), "type": "stop", "stop_price": str(level)}
    sent = requests.post(
        f"{server.url}/v2/orders",
        json={**wish, "time_in_force": "gtc", "client_order_id": key},
        headers={"APCA-API-KEY-ID": server.config.key_id, "APCA-API-SECRET-KEY": server.config.secret_key},
        timeout=30,
    )
    assert sent.status_code == 200, sent.text
    with closing(sqlite3.connect(world.database)) as database, database:
        database.execute(
            "INSERT INTO heartbeats (run_id, at, pid, host, owner, note) VALUES (1, '2024-01-02', 1, 'h', 'o', '')"
        )
    world.scan()
    (row,) = [row for row in world.ledger().orders if row["client_order_id"] == key]
    assert (row["ticker"], row["quantity"]) == (ticker, shares)
    assert "another engine" not in world.words(None)
    assert manual_shares(world.database) == {}
    assert server.exchange.held_for_orders(ticker) == shares


def test_stop_that_two_single_looks_could_not_set_is_told_by_the_second(forge: Forge, world: Campaign) -> None:
    bodies: list[dict[str, Any]] = []

    def answer(request: Request) -> Reply:
        bodies.append(json.loads(request.body))
        return Reply()

    def look() -> list[str]:
        bodies.clear()
        options = {"config": "trading.toml", "database": "engine.db", "once": True, "allocation": "equal"}
        env = {**world.environment, "TRADING_WEBHOOK_URL": hook.url}
        life = forge.live({"home": str(world.home), "env": env, "options": options, "kill": None})
        assert life.code == 0, world.words()
        world.server.advance(world.server.now + timedelta(minutes=15))
        return [f"{state['kind']} {state['subject']}" for body in bodies for state in body["began"]]

    server = world.server
    stops = [order for order in server.exchange.working() if order.side is Side.SELL and order.waits_for_stop]
    for stop in stops:
        with server.lock:
            administer(server, "POST", "/admin/cancel", {"order_id": stop.id})
    fault = Fault(FaultKind.STATUS_BEFORE, method="POST", path="^/v2/orders$", status=503, times=None)
    server.faults.add(fault)
    with serve(answer) as hook:
        assert look() == []
        assert look() == [f"unprotected {ticker}" for ticker in sorted({stop.symbol for stop in stops})]
        assert look() == []
        server.lift_faults()
        look()
        look()
        assert [state["kind"] for body in bodies for state in body["over"]] == ["unprotected"] * len(stops)


# ---------------------------------------------------------------- what befalls it


def test_a_seed_draws_the_same_blows_again_and_another_one_others() -> None:
    plan = [blows(1, n, "evening") for n in range(50)]
    assert plan == [blows(1, n, "evening") for n in range(50)]
    assert plan != [blows(2, n, "evening") for n in range(50)]


def test_a_year_of_moments_meets_every_kind_of_blow() -> None:
    plan = [blows(1, n, "evening") for n in range(3_000)]
    met = Counter(
        word for blow in plan for word in (blow.whim, blow.storage, blow.clock, blow.operator, blow.owner, blow.engines)
    )
    assert {*WHIMS, *STORAGE, *CLOCK, *OPERATOR, *OWNER, *ENGINES} <= set(met)
    spoiled = {fault.kind for blow in plan for kill in blow.kills for fault in kill.spoiled}
    assert spoiled == set(FaultKind)
    assert set(ABSURD_PATHS) <= spoiled


def test_faults_of_a_plan_are_fresh_at_every_drawing() -> None:
    fault = blows(1, 1, "evening").kills[0].spoiled[0]
    fault.struck += 1
    assert blows(1, 1, "evening").kills[0].spoiled[0].struck == 0


def test_status_429_asks_for_no_real_minute() -> None:
    import random

    draws = random.Random(1)
    for fault in (spoiled_answer(draws) for _ in range(3_000)):
        if fault.status == 429:
            assert fault.headers is not None
            assert fault.headers["Retry-After"] == "0"


# ---------------------------------------------------------------- what would be seen


def bare_server(held: float, covered: float, *, is_open: bool = True) -> AlpacaServer:
    exchange = SimpleNamespace(held_for_orders=lambda ticker: covered)
    account = SimpleNamespace(positions={"AAA": SimpleNamespace(quantity=held)})
    market = SimpleNamespace(is_open=is_open)
    return cast(AlpacaServer, SimpleNamespace(exchange=exchange, account=account, market=market))


def test_position_that_is_bare_at_a_third_look_untold_is_seen() -> None:
    cover, server = Cover(), bare_server(10.0, 4.0)
    looks = [list(cover.after_look(server, {}, set())) for _ in range(3)]
    assert looks[:2] == [[], []]
    assert [breach.name for breach in looks[2]] == ["unprotected"]


@pytest.mark.parametrize(
    ("covered", "owners", "told"),
    [(10.0, {}, set()), (0.0, {"AAA": 10.0}, set()), (0.0, {}, {"AAA"})],
    ids=["covered", "the owner's", "told of"],
)
def test_position_that_need_not_be_covered_is_no_breach(
    covered: float, owners: dict[str, float], told: set[str]
) -> None:
    cover, server = Cover(), bare_server(10.0, covered)
    assert [list(cover.after_look(server, owners, told)) for _ in range(4)] == [[]] * 4


def test_position_that_is_bare_while_the_exchange_is_closed_is_no_breach() -> None:
    cover, server = Cover(), bare_server(10.0, 0.0, is_open=False)
    assert [list(cover.after_look(server, {}, set())) for _ in range(4)] == [[]] * 4


def with_links(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "orders": [{**order, "replaces": None} for order in state["orders"]]}


def test_sound_books_beside_the_owners_shares_are_no_breach() -> None:
    state, ledger = sound()
    state = with_links(state)
    state["positions"] = {**state["positions"], "SPY": 3.0}
    assert campaign_breaches(state, ledger, {"SPY": 3.0}, {"SPY": 3.0}, ()) == []


def test_position_that_is_called_the_owners_is_given_up() -> None:
    state, ledger = sound()
    found = campaign_breaches(with_links(state), replace(ledger, positions={}), {}, {"AAA": 10.0}, ())
    assert [breach.name for breach in found] == ["position", "given_up"]
    assert isinstance(found[0], Breach)


# ---------------------------------------------------------------- its sum


def quarter(seed: int, kills: int, breaches: list[str]) -> dict[str, Any]:
    return {
        "seed": seed,
        "sessions": 63,
        "lives": 900,
        "kills": {"random": kills},
        "faults": {"answers: html": 7},
        "codes": {"killed": kills, "0": 300},
        "orders": 50,
        "fills": 20,
        "breaches": breaches,
        "digest": "",
        "kills_total": kills,
        "faults_total": 7,
    }


def test_state_goes_on_where_it_stopped(tmp_path: Path) -> None:
    state, page = tmp_path / "campaign.json", tmp_path / "campaign.md"
    assert (read_state(state), next_seed([])) == ([], 1)
    write_state(state, page, [quarter(1, 500, []), quarter(2, 400, ["doubled_fill: AAA"])], NOW)
    assert next_seed(read_state(state)) == 3
    assert json.loads(state.read_text())["quarters"][0]["kills_total"] == 500


def test_page_tells_the_sum_and_what_broke() -> None:
    words = page_of([quarter(1, 500, []), quarter(2, 4_500, ["doubled_fill: AAA"])], NOW)
    assert "As of 2024-07-03: **5,000 kills and 14 faults** in 2 quarters" in words
    assert "not reached yet" in words
    assert "* seed 2: doubled_fill: AAA" in words
