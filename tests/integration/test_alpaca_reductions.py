"""A reduction of the evening: its shares leave at the open, and the stop of the rest is never off, where PATCH can."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alpaca_world import flat
from test_alpaca_exits import LATE, WAITS, reduce, row_of
from test_alpaca_server_behaviour import call
from test_alpaca_venue import Scene
from test_engine_at_realistic_alpaca import ONE_LOOK, covered, held, holding

from trading_platform.alpaca_server.faults import Fault, FaultKind
from trading_platform.core.types import OrderStatus


@pytest.fixture
def evening() -> Iterator[Scene]:
    """The evening of session 2 of a position of 10 shares whose stop rests alone, at a broker that cancels late."""
    with holding(LATE, target=None) as scene:
        scene.settle(2)
        yield scene


def stops(scene: Scene) -> list[tuple[str, float, float | None]]:
    return [order for order in scene.working("AAA") if order[0] == "stop"]


def asked(scene: Scene, method: str) -> int:
    return sum(r.method == method and r.path.startswith("/v2/orders") for r in scene.server.requests)


def test_reduction_leaves_at_the_auction_and_the_stop_of_the_rest_is_never_off(evening: Scene) -> None:
    cancels = asked(evening, "DELETE")
    assert reduce(evening, 4.0) is OrderStatus.SUBMITTED
    for _ in range(2):
        assert stops(evening) == [("stop", 6.0, 45.0)]
        evening.look(evening.server.now + ONE_LOOK)
    assert row_of(evening, WAITS) is None
    evening.server.advance(evening.server.market.opens[3])  # before the engine has looked
    assert (held(evening), covered(evening)) == (6.0, 6.0)
    evening.look()
    assert stops(evening) == [("stop", 6.0, 45.0)]
    assert asked(evening, "DELETE") == cancels
    assert "edited" not in evening.differences.kinds
    assert evening.door.reasons == {}


def test_stop_that_was_made_smaller_sells_what_it_protects() -> None:
    bars = {"AAA": [*flat(50.0, 3), (50.0, 50.0, 44.0, 44.0), *flat(44.0, 4)]}
    with holding(LATE, bars, target=None) as scene:
        scene.settle(2)
        reduce(scene, 4.0)
        scene.look()
        fills = [(fill.quantity, fill.reason.value) for fill, _, _ in scene.settle(3).fills]
        assert fills == [(4.0, "rebalance"), (6.0, "stop_loss")]


def test_reduction_that_was_cut_off_after_its_stop_was_made_smaller_is_sent(evening: Scene) -> None:
    evening.server.faults.add(Fault(FaultKind.STATUS_BEFORE, "POST", "/v2/orders", times=None, status=503))
    reduce(evening, 4.0)
    assert stops(evening) == [("stop", 6.0, 45.0)]
    evening.server.faults.clear()
    saved = evening.venue.snapshot(evening.panel.session(2))
    evening.venue = evening.build()
    evening.venue.restore(saved)
    evening.look(evening.server.now + ONE_LOOK)
    evening.opened(3)
    evening.look(evening.server.now + ONE_LOOK)
    assert (held(evening), covered(evening)) == (6.0, 6.0)
    assert stops(evening) == [("stop", 6.0, 45.0)]


def test_stop_is_whole_again_when_the_sale_is_refused(evening: Scene) -> None:
    fault = Fault(
        FaultKind.STATUS_BEFORE, "POST", "/v2/orders", times=None, status=403, code=40310000, message="not now"
    )
    evening.server.faults.add(fault)
    reduce(evening, 4.0)
    assert stops(evening) == [("stop", 10.0, 45.0)]


def test_stop_is_whole_again_when_the_reduction_is_withdrawn(evening: Scene) -> None:
    reduce(evening, 4.0)
    (sale,) = [o for o in evening.server.exchange.working("AAA") if o.type == "market"]
    evening.server.exchange.cancel(sale.id)
    s = evening.book.slot_of("AAA")
    evening.book.lots[s]["delta"] = evening.book.slots[s]["selling"] = 0.0
    evening.look()
    evening.opened(3)
    evening.look(evening.server.now + ONE_LOOK)
    assert held(evening) == 10.0
    assert stops(evening) == [("stop", 10.0, 45.0)]


def test_stop_of_this_evening_is_not_at_the_venue_yet_and_is_placed_anew(evening: Scene) -> None:
    evening.look()
    for order in evening.server.exchange.working("AAA"):
        order.queued, order.status = True, "accepted"
    assert reduce(evening, 4.0) is OrderStatus.SUBMITTED
    assert asked(evening, "PATCH") == 0
    evening.look(evening.server.now + ONE_LOOK)
    assert stops(evening) == [("stop", 6.0, 45.0)]


def test_reduction_behind_a_group_waits_for_the_bell() -> None:
    with holding(LATE) as scene:
        scene.settle(2)
        assert reduce(scene, 4.0) is OrderStatus.INTENT
        assert covered(scene) == 10.0
        assert asked(scene, "PATCH") == 0
        scene.opened(3)
        assert held(scene) == covered(scene) == 6.0


@pytest.mark.parametrize(("target", "body"), [(None, {"qty": "4"}), (90.0, {"qty": "4"})], ids=["queued", "group"])
def test_server_refuses_to_change_what_alpaca_would_not(target: float | None, body: dict[str, str]) -> None:
    with holding(target=target) as scene:
        order = next(scene.server.exchange.working("AAA"))
        if target is None:
            order.queued, order.status = True, "accepted"
        answer = call(scene.server, "PATCH", f"/v2/orders/{order.id}", body)
        assert answer.status_code == 422
        assert "cannot be replaced" in answer.json()["message"]
