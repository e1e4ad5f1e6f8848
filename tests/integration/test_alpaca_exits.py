"""Exits as standing wishes, entries that end, and stops that are never given up for nothing, at the local Alpaca."""

from __future__ import annotations

import threading
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from alpaca_world import CALENDAR, flat
from test_alpaca_venue import Scene
from test_engine_at_realistic_alpaca import (
    ONE_LOOK,
    WaitByClock,
    Watching,
    covered,
    deed,
    held,
    holding,
    leave,
    scene_of,
)

from trading_platform.alpaca_server.behaviour import Behaviour
from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.alpaca_server.records import Whim
from trading_platform.brokers.venue import ENTRY_LIFE
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderIntent, OrderStatus, Side
from trading_platform.engine.engine_market import World
from trading_platform.machine.heartbeat import Heartbeat
from trading_platform.market_data.alpaca_data import LatestPrice
from trading_platform.runtime.live_loop import LiveLoop

LATE = Behaviour(late_cancels=True)
WAITS, BARE = "exit_waits", "no_cover"


def row_of(scene: Scene, kind: str) -> Any:
    """Return the line of a kind that stands after the last look, None if there is none."""
    return next((row for row in scene.differences.rows if row.kind == kind), None)


def reduce(scene: Scene, shares: float) -> OrderStatus:
    """Decide to sell a part of the position in AAA."""
    intent = OrderIntent(
        "AAA", Side.SELL, shares, None, None, None, "breakout", OrderReason.REBALANCE, 1.0, scene.server.now.date()
    )
    return scene.venue.place_order(scene.gate.approve(intent)).status


def live_loop(scene: Scene, until: datetime) -> tuple[LiveLoop, WaitByClock]:
    """Return a loop that looks after a scene on its clock until an instant."""
    hold = SimpleNamespace(beat=lambda now, note: None, lost=lambda: False)
    clock = cast(Any, SimpleNamespace(now=lambda: scene.server.now))
    wake, heart = WaitByClock(scene), Heartbeat(cast(Any, hold), None, 1)
    engine = Watching(scene, until, scene.server.now.date())
    loop = LiveLoop(
        engine,
        CALENDAR,
        clock,
        heart,
        lambda session: cast(World, None),
        ONE_LOOK.total_seconds(),
        wake=wake,
        glance=scene.venue.glance,
        steady=lambda: wake.seconds,
    )
    assert isinstance(wake, threading.Event)
    return loop, wake


# ---------------------------------------------------------------- the wish


def test_exit_whose_stop_is_still_being_cancelled_waits_and_keeps_its_cover_until_the_bell() -> None:
    with holding(LATE) as scene:
        scene.settle(2)
        assert leave(scene).status is OrderStatus.INTENT
        for _ in range(3):
            scene.look(scene.server.now + ONE_LOOK)
            assert covered(scene) == 10.0  # the old stop, and no second one
            assert not [o for o in scene.journal.rows.values() if o.reason is OrderReason.SIGNAL_EXIT]
        assert "to leave at the open of 2024-01-05" in row_of(scene, WAITS).ours
        scene.opened(3)
        assert (held(scene), row_of(scene, WAITS)) == (0.0, None)


def test_exit_that_waits_survives_a_restart() -> None:
    with holding(LATE) as scene:
        scene.settle(2)
        leave(scene)
        scene.look()
        saved = scene.venue.snapshot(date(2024, 1, 4))
        scene.venue = scene.build()
        scene.venue.restore(saved)
        scene.look()
        assert row_of(scene, WAITS).theirs.startswith("tried 3 times: ")
        scene.opened(3)
        assert held(scene) == 0.0
        assert scene.settle(3).fills[0][0].reason is OrderReason.SIGNAL_EXIT


def test_exit_leaves_at_the_bell_of_the_live_loop_and_not_a_quarter_of_an_hour_later() -> None:
    with holding(LATE) as scene:
        scene.settle(2)
        leave(scene)
        bell = scene.server.market.opens[3]
        scene.server.advance(bell - timedelta(minutes=3))  # the look of the interval would be at 9:42
        loop, _ = live_loop(scene, bell + timedelta(minutes=1))
        loop.run()
        sold = [a.at for a in scene.server.account.activities if a.body.get("side") == "sell"]
        assert sold
        assert sold[0] - bell <= timedelta(seconds=30)


def test_age_and_tries_of_an_exit_are_told_session_by_session() -> None:
    with holding() as scene:
        deed(scene, "account", trading_blocked=True)
        scene.settle(2)
        leave(scene)
        for row in (3, 4):
            scene.opened(row)
            assert covered(scene) == held(scene) == 10.0
            scene.settle(row)
        scene.opened(5)
        told = row_of(scene, WAITS)
        assert told.ours == "10 shares should have left at the open of 2024-01-05, 2 sessions ago"
        assert "tried 4 times: the account may not trade" in told.theirs
        deed(scene, "account", trading_blocked=False)
        scene.look(scene.server.now + ONE_LOOK)
        assert (held(scene), row_of(scene, WAITS)) == (0.0, None)


def test_exit_that_a_later_decision_withdraws_is_not_sent() -> None:
    with holding(LATE) as scene:
        scene.settle(2)
        leave(scene)
        s = scene.book.slot_of("AAA")
        scene.book.lots[s]["delta"] = 0.0
        scene.book.slots[s]["selling"] = 0.0
        scene.opened(3)
        assert held(scene) == covered(scene) == 10.0
        assert row_of(scene, WAITS) is None


def test_exit_that_ended_unfilled_is_sent_again_at_the_next_look() -> None:
    with holding() as scene:
        scene.settle(2)
        scene.server.exchange.whims.append(Whim("reject", symbol="AAA", side="sell"))
        leave(scene)
        scene.opened(3)
        assert held(scene) == 0.0


def test_reduction_waits_for_the_bell_and_the_rest_is_covered_in_the_same_look() -> None:
    with holding(LATE) as scene:
        scene.settle(2)
        assert reduce(scene, 4.0) is OrderStatus.INTENT
        scene.look()
        assert covered(scene) == 10.0
        scene.opened(3)
        assert held(scene) == covered(scene) == 6.0


# ---------------------------------------------------------------- refusals


def test_exit_refused_after_its_stop_was_released_has_the_stop_back_at_once() -> None:
    with holding() as scene:
        scene.settle(2)
        scene.server.faults.add(
            Fault(FaultKind.STATUS_BEFORE, method="POST", path="orders", status=403, message="no", times=1)
        )
        assert leave(scene).status is OrderStatus.REJECTED
        assert covered(scene) == held(scene) == 10.0
        scene.opened(3)
        assert held(scene) == 0.0


def test_position_whose_exit_and_stop_are_both_refused_is_told() -> None:
    with holding() as scene:
        scene.server.faults.add(
            Fault(FaultKind.STATUS_BEFORE, method="POST", path="orders", status=403, message="no", times=None)
        )
        leave(scene)
        scene.look(scene.server.now + ONE_LOOK)
        assert covered(scene) == 0.0
        assert (row_of(scene, BARE).ticker, row_of(scene, BARE).stands) == ("AAA", True)
        assert "HTTP 403: no" in row_of(scene, BARE).theirs
        scene.server.faults.clear()
        scene.look(scene.server.now + ONE_LOOK)
        assert (held(scene), row_of(scene, BARE)) == (0.0, None)


def test_exit_beside_a_near_buy_of_the_owner_waits_behind_its_stop_until_the_buy_is_gone() -> None:
    with holding() as scene:
        owners = {"symbol": "AAA", "side": "buy", "type": "limit", "limit_price": 48.0, "time_in_force": "gtc"}
        deed(scene, "orders", **owners, qty=1)
        scene.settle(2)
        assert leave(scene).status is OrderStatus.INTENT
        scene.opened(3)
        assert covered(scene) == held(scene) == 10.0
        assert "wash trade: cancel 1 at 48" in row_of(scene, WAITS).theirs
        deed(scene, "cancel", symbol="AAA", side="buy")
        scene.look(scene.server.now + ONE_LOOK)
        assert held(scene) == 0.0


def test_exit_above_a_far_buy_of_the_owner_leaves_with_a_limit() -> None:
    with holding() as scene:
        owners = {"symbol": "AAA", "side": "buy", "type": "limit", "limit_price": 30.0, "time_in_force": "gtc"}
        deed(scene, "orders", **owners, qty=1)
        scene.settle(2)
        assert leave(scene).status is OrderStatus.SUBMITTED
        (order,) = [o for o in scene.server.exchange.working("AAA") if o.side is Side.SELL]
        assert (order.type, order.limit_price) == ("limit", 30.01)
        scene.opened(3)
        assert held(scene) == 0.0


# ---------------------------------------------------------------- entries that end


def test_rest_of_an_entry_is_cancelled_by_the_live_loop_some_minutes_after_the_open() -> None:
    bars = {"AAA": [(50.0,) * 4, (53.0, 54.0, 49.0, 50.0), *flat(50.0, 6)]}
    with scene_of(bars, Behaviour(limits_rest=True)) as scene:
        scene.enter("AAA", 10.0, limit=51.0)
        bell = scene.server.market.opens[1]
        scene.server.advance(bell - timedelta(minutes=3))
        loop, _ = live_loop(scene, bell + ENTRY_LIFE + timedelta(seconds=10))
        loop.run()
        assert not list(scene.server.exchange.working("AAA"))
        assert scene.venue.slots["pending"].max() == 0.0


def test_entry_is_left_alone_before_its_time_is_over() -> None:
    bars = {"AAA": [(50.0,) * 4, (53.0, 54.0, 49.0, 50.0), *flat(50.0, 6)]}
    with scene_of(bars, Behaviour(limits_rest=True)) as scene:
        scene.enter("AAA", 10.0, limit=51.0)
        scene.opened(1)
        scene.look(scene.server.market.opens[1] + ENTRY_LIFE - timedelta(seconds=1))
        assert list(scene.server.exchange.working("AAA"))
        scene.look(scene.server.market.opens[1] + ENTRY_LIFE)
        assert not list(scene.server.exchange.working("AAA"))


# ---------------------------------------------------------------- watched stops


class OldPrices(Scene):
    """The last trade of every ticker is 44 and some minutes old."""

    age = timedelta(minutes=16)

    def prices(self, tickers: Any) -> dict[str, LatestPrice]:
        return dict.fromkeys(tickers, LatestPrice(44.0, self.server.now - self.age))


def test_watched_stop_that_has_only_an_old_price_is_told_and_not_sold() -> None:
    with holding(shares=10.5, scene_type=OldPrices) as scene:
        scene.look(scene.server.now + timedelta(hours=1))
        assert held(scene) == 10.5
        assert "16 minutes old" in row_of(scene, BARE).theirs
        OldPrices.age = timedelta(minutes=1)
        try:
            scene.look(scene.server.now + ONE_LOOK)
        finally:
            OldPrices.age = timedelta(minutes=16)
        assert (held(scene), row_of(scene, BARE)) == (0.0, None)


def test_watched_stop_on_a_split_morning_is_told() -> None:
    with holding(shares=10.5, bars={"AAA": [*flat(50.0, 3), *flat(25.0, 5)]}) as scene:
        scene.settle(2)
        scene.opened(3)
        assert held(scene) == 10.5
        assert "looks like a 2:1 split" in row_of(scene, BARE).theirs


def test_watched_stop_is_sold_in_a_fall_that_no_split_explains() -> None:
    with holding(shares=10.5, bars={"AAA": [*flat(50.0, 3), *flat(29.0, 5)]}) as scene:
        scene.settle(2)
        scene.opened(3)
        assert held(scene) == 0.0


def test_glance_asks_for_no_price_where_nothing_is_watched_and_none_outside_of_trading_hours() -> None:
    asked: list[object] = []

    class Counting(Scene):
        def prices(self, tickers: Any) -> dict[str, LatestPrice]:
            asked.append(tickers)
            return super().prices(tickers)

    with holding(scene_type=Counting) as scene:
        scene.server.advance(scene.server.now + timedelta(minutes=1))
        assert not scene.venue.glance(scene.server.now)
        assert not asked
    with holding(shares=10.5, scene_type=Counting) as scene:
        asked.clear()
        scene.server.advance(scene.server.now + timedelta(minutes=1))
        assert not scene.venue.glance(scene.server.now)
        assert asked == [["AAA"]]  # one request
        scene.settle(2)
        scene.server.advance(scene.server.now + timedelta(minutes=1))
        asked.clear()
        assert not scene.venue.glance(scene.server.now)
        assert not asked


@pytest.mark.parametrize("word", ["suspended", "calculated", "done_for_day"])
def test_stop_that_cannot_trade_is_told_and_the_engine_watches_instead(word: str) -> None:
    """The local server does not let such an order be cancelled, so the sale is refused; that is told as well."""
    bars = {"AAA": [*flat(50.0, 3), (44.0, 44.0, 43.0, 44.0), *flat(44.0, 4)]}
    with holding(bars=bars) as scene:
        scene.settle(2)
        scene.look()
        for order in scene.server.exchange.working("AAA"):
            order.status = word
        scene.look(scene.server.now + ONE_LOOK)
        assert row_of(scene, "stop_idle").stands
        assert row_of(scene, BARE) is None  # watched, and not reached
        scene.opened(3)
        assert "it is reached, and the sale is refused" in row_of(scene, BARE).theirs
