"""The eve of an ex-date at the local Alpaca: what rests and waits there follows tomorrow's events before the open."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
import requests
from alpaca_world import KEY, SECRET, Bar, FakeTimer, flat, make_http, make_server, market
from test_alpaca_venue import RULES, Scene

from trading_platform.alpaca.corporate_actions import ActionKind, ask_actions
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca_server.behaviour import EXACT, Behaviour
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.brokers.eve_events import Change, ExDateSource, after_ex_date
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import Floats, LotOrder, OrderIntent, OrderStatus, Side

ONE_LOOK = timedelta(minutes=15)
EX = 3  # row of the ex-date
EX_DATE = date(2024, 1, 5)
FALLEN: list[Bar | None] = [*flat(50.0, EX), *flat(40.0, 5)]
HALVED: list[Bar | None] = [*flat(50.0, EX), *flat(25.0, 5)]


class Told(Scene):
    """A venue that asks the server for corporate actions."""

    def ex_dates(self, http: AlpacaHttp) -> ExDateSource | None:
        return ExDateSource(partial(ask_actions, http), RULES.costs.special_dividend)

    def evening(self, row: int) -> None:
        """Look after the close, as the live loop does before the bars of the session are final."""
        self.look(self.server.market.closes[row])
        self.settle(row)
        self.look(self.server.now + timedelta(minutes=25))

    def morning(self) -> None:
        """Look twice before the open, when splits have been booked."""
        self.server.advance_to_dawn()
        self.look()
        self.look(self.server.now + ONE_LOOK)


def happen(scene: Scene, **event: object) -> None:
    """Announce an event of AAA for the ex-date."""
    body = {"ticker": "AAA", "session": EX_DATE.isoformat(), **event}
    answer = requests.post(f"{scene.server.url}/admin/events", json=body, timeout=5)
    assert answer.status_code == 200, answer.text


def at_row(value: float, rest: float) -> Floats:
    """Return a column of the panel (of AAA beside SPY) with `value` at the ex-date."""
    column = np.full((8, 2), rest)
    column[EX, 0] = value
    return column


def dividend(dollars: float) -> dict[str, Any]:
    return {"dividend": at_row(dollars, 0.0)}


def split(ratio: float) -> dict[str, Any]:
    return {"split_ratio": at_row(ratio, 1.0)}


@contextmanager
def scene_of(aaa: list[Bar | None], behaviour: Behaviour = EXACT, **extra: Any) -> Iterator[Told]:
    with make_server(market({"AAA": aaa, "SPY": flat(400.0)}, **extra), behaviour=behaviour) as server:
        yield Told(server, server.market.panel)


@contextmanager
def holding(aaa: list[Bar | None], shares: float = 10.0, behaviour: Behaviour = EXACT, **extra: Any) -> Iterator[Told]:
    """Hold shares of AAA, bought at 50, stop 45, target 90, up to the noon before the eve."""
    with scene_of(aaa, behaviour, **extra) as scene:
        scene.enter("AAA", shares)
        scene.opened(1)
        scene.evening(1)
        scene.opened(EX - 1)
        yield scene


def resting(scene: Scene) -> list[tuple[str, float, float | None, float | None]]:
    """Return (side, shares, limit, stop) of all that works at the server."""
    orders = scene.server.exchange.working("AAA")
    rows = [(o.side.value, o.remaining, o.limit_price, o.stop_price) for o in orders]
    return sorted(rows, key=str)


class ThisMachine:
    """The clock of a machine that may be ahead of the exchange's."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def now(self) -> datetime:
        return self._scene.server.now + self._scene.ahead


def test_a_clock_that_shows_the_evening_at_noon_takes_no_stop_off() -> None:
    """Seen: set six hours ahead at noon, the engine took the stop off for the split of the next morning."""
    with holding(HALVED, **split(2.0)) as scene:
        scene.look()
        resting_at_noon = resting(scene)
        assert ("sell", 10.0, None, 45.0) in resting_at_noon
        clock = ThisMachine(scene)
        for part in (scene.venue, scene.venue._looks, scene.venue._requests):
            part._clock = clock
        scene.ahead = timedelta(hours=7)
        for _ in range(2):
            scene.venue.watch(clock.now())
            assert resting(scene) == resting_at_noon
            assert "off Alpaca's" in (scene.door.unreconciled or "")
        scene.ahead = timedelta()
        scene.venue.watch(clock.now())
        assert scene.door.unreconciled is None
        scene.evening(EX - 1)
        assert [order for order in resting(scene) if order[3] is not None] == []  # now it is the eve


# ---------------------------------------------------------------- special dividends


def test_stop_and_target_of_the_evening_are_those_of_the_ex_date_and_are_placed_once() -> None:
    with holding(FALLEN, **dividend(10.0)) as scene:
        sent = len([r for r in scene.server.requests if r.method in ("POST", "DELETE")])
        scene.evening(EX - 1)
        assert [price for *_, price in resting(scene) if price is not None] == [35.0]
        assert [limit for _, _, limit, stop in resting(scene) if stop is None] == [80.0]
        cancels = [r for r in scene.server.requests if r.method == "DELETE"]
        assert len(cancels) == 1  # the group of the evenings before
        assert len([r for r in scene.server.requests if r.method in ("POST", "DELETE")]) == sent + 2
        scene.opened(EX)
        scene.settle(EX)
        slot = scene.book.slots[scene.book.slot_of("AAA")]
        assert (slot["quantity"], slot["stop"], slot["target"], slot["dividends"]) == (10.0, 35.0, 80.0, 100.0)


def test_usual_dividend_moves_nothing() -> None:
    with holding(FALLEN, **dividend(1.0)) as scene:
        scene.evening(EX - 1)
        assert [price for *_, price in resting(scene) if price is not None] == [45.0]


def test_entry_of_the_eve_is_sent_with_the_prices_of_the_ex_date() -> None:
    with scene_of(FALLEN, **dividend(10.0)) as scene:
        scene.evening(EX - 1)
        assert scene.enter("AAA", 10.0, limit=51.0) is OrderStatus.SUBMITTED
        assert resting(scene) == [("buy", 10.0, 41.0, None), ("sell", 10.0, 80.0, None), ("sell", 10.0, None, 35.0)]
        scene.look()
        scene.opened(EX)
        slot = scene.book.slots[scene.book.slot_of("AAA")]
        assert (slot["quantity"], slot["stop"], slot["target"]) == (10.0, 35.0, 80.0)
        lot = scene.book.lots[scene.book.slot_of("AAA")][1]
        assert (lot["stop"], lot["target"]) == (35.0, 80.0)


def test_followed_dividend_is_not_followed_again_after_a_restart() -> None:
    with holding(FALLEN, **dividend(10.0)) as scene:
        scene.evening(EX - 1)
        saved = scene.venue.snapshot(scene.panel.session(EX - 1))
        scene.venue = scene.build()
        scene.venue.restore(saved)
        scene.look(scene.server.now + ONE_LOOK)
        scene.opened(EX)
        assert scene.book.slots[scene.book.slot_of("AAA")]["stop"] == 35.0
        assert [price for *_, price in resting(scene) if price is not None] == [35.0]


def test_dividend_that_nobody_can_believe_moves_nothing_and_keeps_entries_out() -> None:
    with scene_of(FALLEN, **dividend(49.0)) as scene:
        scene.evening(EX - 1)
        assert scene.enter("AAA", 10.0, limit=51.0) is OrderStatus.REJECTED
        assert resting(scene) == []


# ---------------------------------------------------------------- splits


def test_stop_is_off_over_the_night_before_a_split_and_back_when_it_is_booked() -> None:
    with holding(HALVED, **split(2.0)) as scene:
        scene.evening(EX - 1)
        assert resting(scene) == []
        scene.morning()
        assert [price for *_, price in resting(scene) if price is not None] == [22.5]
        scene.opened(EX)
        assert scene.book.quantity("AAA") == scene.server.account.held("AAA") == 20.0
        assert sum(shares for _, shares, _, stop in resting(scene) if stop is not None) == 20.0


@pytest.mark.parametrize("shares", [10.0, 10.5], ids=["whole", "fractional"])
def test_position_is_not_sold_while_a_split_is_booked_late(shares: float) -> None:
    with holding(HALVED, shares, Behaviour(late_splits=1.0), **split(2.0)) as scene:
        scene.evening(EX - 1)
        scene.opened(EX)
        assert scene.server.account.held("AAA") == shares
        scene.look(scene.server.market.closes[EX] - ONE_LOOK)
        assert scene.book.quantity("AAA") == scene.server.account.held("AAA") == 2.0 * shares
        assert scene.book.slots[scene.book.slot_of("AAA")]["stop"] == 22.5


def test_stop_is_back_when_the_session_of_a_split_ends_without_it() -> None:
    with holding(flat(50.0)) as scene:
        happen(scene, kind="split", ratio=2.0)
        scene.evening(EX - 1)
        assert resting(scene) == []
        scene.server.matching.corporate.events.clear()  # it was called off
        scene.opened(EX)
        assert resting(scene) == []
        scene.evening(EX)
        assert [price for *_, price in resting(scene) if price is not None] == [45.0]


def test_entry_on_the_eve_of_a_split_is_sent_in_shares_after_it() -> None:
    with scene_of(HALVED, **split(2.0)) as scene:
        scene.evening(EX - 1)
        assert scene.enter("AAA", 10.0, limit=51.0) is OrderStatus.SUBMITTED
        assert resting(scene) == [("buy", 20.0, 25.5, None), ("sell", 20.0, 45.0, None), ("sell", 20.0, None, 22.5)]
        scene.look()
        scene.opened(EX)
        slot = scene.book.slots[scene.book.slot_of("AAA")]
        assert (slot["quantity"], slot["stop"], slot["cost"]) == (20.0, 22.5, 500.0)


def test_growth_on_the_eve_of_a_split_is_withdrawn() -> None:
    with holding(HALVED, **split(2.0)) as scene:
        scene.evening(EX - 1)
        assert scene.enter("AAA", 5.0, limit=51.0) is OrderStatus.REJECTED
        assert [order for order in resting(scene) if order[0] == "buy"] == []
        scene.look()
        assert scene.book.slots[scene.book.slot_of("AAA")]["pending"] == 0.0


# ---------------------------------------------------------------- tickers that end, and those who cannot tell


@pytest.mark.parametrize("kind", ["cash_merger", "stock_merger", "rename", "spin_off", "delisting"])
def test_entry_in_a_ticker_that_ends_or_parts_tomorrow_is_withdrawn(kind: str) -> None:
    with scene_of(flat(50.0)) as scene:
        happen(scene, kind=kind, other="NEW", cash=40.0)
        scene.evening(EX - 1)
        assert scene.enter("AAA", 10.0, limit=51.0) is OrderStatus.REJECTED
        assert resting(scene) == []
        scene.look()
        assert scene.book.slot_of("AAA") == -1


def test_entries_go_on_where_nobody_tells_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with holding(FALLEN, **dividend(10.0)) as scene:
        scene.server.faults.add(Fault(FaultKind.STATUS_BEFORE, "GET", "corporate-actions", status=504, times=None))
        with caplog.at_level(logging.WARNING, "trading_platform.eve"):
            scene.evening(EX - 1)
            assert scene.enter("AAA", 10.0, limit=51.0) is OrderStatus.SUBMITTED
            scene.look()
        told = [r for r in caplog.records if r.name == "trading_platform.eve"]
        assert len(told) == 1
        assert ("buy", 10.0, 51.0, None) in resting(scene)


def test_entry_that_was_sent_before_a_dividend_was_known_is_withdrawn() -> None:
    with scene_of(FALLEN) as scene:
        scene.evening(EX - 1)
        scene.enter("AAA", 10.0, limit=51.0)
        happen(scene, kind="special_dividend", cash=10.0)
        scene.look(scene.server.now + timedelta(hours=4))
        assert resting(scene) == []
        scene.look(scene.server.now + ONE_LOOK)
        assert scene.book.slot_of("AAA") == -1


# ---------------------------------------------------------------- the rules by themselves

PARTS = (
    LotOrder("breakout", 6.0, 45.0, 90.0, OrderReason.ENTRY),
    LotOrder("momentum", 4.0, 46.0, 0.0, OrderReason.ENTRY),
)
ENTRY = OrderIntent(
    "AAA", Side.BUY, 10.0, 51.0, 45.0, 90.0, "breakout", OrderReason.ENTRY, 1.0, date(2024, 1, 4), PARTS
)


@pytest.mark.parametrize(
    ("change", "quantity", "limit", "stop", "target"),
    [
        ({"cash": 10.0}, 10.0, 41.0, 35.0, 80.0),
        ({"cash": 1.5}, 10.0, 51.0, 45.0, 90.0),  # 3 % of 50 is usual
        ({"ratio": 3.0}, 30.0, 17.0, 15.0, 30.0),
        ({"ratio": 0.3}, 3.0, 170.0, 150.0, 300.0),
        ({"ratio": 2.0, "cash": 5.0}, 20.0, 20.5, 17.5, 40.0),  # dollars are those after the split
    ],
)
def test_terms_after_an_ex_date_are_those_of_the_kernel(
    change: Mapping[str, Any], quantity: float, limit: float, stop: float, target: float
) -> None:
    found = after_ex_date(ENTRY, Change(EX_DATE, "AAA", "event", **change), 50.0, 0.0, 0.03, 1.0)
    assert isinstance(found, OrderIntent)
    assert (found.quantity, found.limit_price, found.stop_price, found.target_price) == (quantity, limit, stop, target)
    assert found.parts[0].stop == stop
    assert found.parts[1].target == 0.0
    assert sum(part.quantity for part in found.parts) == pytest.approx(quantity)


def test_entry_of_which_a_reverse_split_leaves_no_share_is_withdrawn() -> None:
    found = after_ex_date(ENTRY, Change(EX_DATE, "AAA", "reverse split", 0.05), 50.0, 0.0, 0.03, 1.0)
    assert found == "reverse split of 0.05 on 2024-01-05 leaves less than a share"


def test_dividend_is_found_by_its_ex_date_though_it_is_filed_under_its_payment() -> None:
    with scene_of(FALLEN, **dividend(10.0)) as scene:
        answer = ask_actions(make_http(scene.server, FakeTimer()), ["AAA", "SPY"], EX_DATE, EX_DATE)
        told = [(a.ticker, a.session, a.kind, a.cash) for a in answer.actions]
        assert told == [("AAA", EX_DATE, ActionKind.DIVIDEND, 10.0)]
        shown = f"{scene.server.url}/v1beta1/corporate-actions?start={EX_DATE}&end={EX_DATE}"
        headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
        assert requests.get(shown, headers=headers, timeout=5).json()["corporate_actions"] == {}


def test_action_that_cannot_be_read_keeps_no_other_from_being_read() -> None:
    with scene_of(HALVED, **split(2.0)) as scene:
        wrong = {
            "cash_dividends": [{"symbol": "AAA", "ex_date": "soon", "rate": 1.0}],
            "forward_splits": [
                {"symbol": "AAA", "ex_date": "2024-01-05", "new_rate": 2, "old_rate": 1},
                {"symbol": "AAA", "ex_date": "2024-01-05", "new_rate": 0, "old_rate": 1},
            ],
        }
        scene.server.faults.add(
            Fault(FaultKind.REWRITE, "GET", "corporate-actions", fields={"corporate_actions": wrong}, times=None)
        )
        answer = ask_actions(make_http(scene.server, FakeTimer()), ["AAA"], EX_DATE, EX_DATE)
        assert [action.ratio for action in answer.actions] == [2.0]
        assert len(answer.unread) == 2
