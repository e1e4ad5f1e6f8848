"""What corporate actions and the owner's other deals do to our book of an account, over the local Alpaca."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alpaca_world import Bar, flat
from test_alpaca_venue import CASH, Scene
from test_engine_at_realistic_alpaca import ONE_LOOK, covered, deed, held, holding, leave

from trading_platform.alpaca_server.behaviour import Behaviour
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import LotOrder, OrderIntent, Side

GONE: list[Bar | None] = [None] * 5


def after_dawn(scene: Scene) -> None:
    """Go through the evening of session 2 and the dawn of session 3 to its open, with a look at each."""
    scene.settle(2)
    scene.server.advance_to_dawn()
    scene.look()
    scene.opened(3)


def ties(scene: Scene) -> None:
    """Assert that shares and cash are the server's, to the cent."""
    mine = {ticker: position.quantity for ticker, position in scene.book.positions().items()}
    for ticker, quantity in scene.book.manual.items():
        mine[ticker] = mine.get(ticker, 0.0) + quantity
    assert mine == {symbol: p.quantity for symbol, p in scene.server.account.positions.items()}
    assert float(scene.venue.record["cash"]) == scene.server.account.cash


def lot(scene: Scene, ticker: str) -> tuple[float, float, float, float]:
    """Return (shares, basis, stop, target) of the only lot in a ticker."""
    s = scene.book.slot_of(ticker)
    (found,) = [row for row in scene.venue.lots[s] if row["quantity"] > 0.0]
    return float(found["quantity"]), float(found["cost"]), float(found["stop"]), float(found["target"])


def test_renamed_lot_keeps_basis_stop_and_target() -> None:
    bars = {"AAA": [*flat(50.0, 3), *GONE], "NEW": [*[None] * 3, *flat(50.0, 5)]}
    with holding(bars=bars) as scene:
        deed(scene, "events", kind="rename", ticker="AAA", other="NEW")
        after_dawn(scene)
        assert lot(scene, "NEW") == (10.0, 500.0, 45.0, 90.0)
        settled = scene.settle(3)
        assert (settled.equity, settled.fills) == (CASH, [])
        ties(scene)


def test_rename_moves_the_owners_shares_beside_ours() -> None:
    bars = {"AAA": [*flat(50.0, 3), *GONE], "NEW": [*[None] * 3, *flat(50.0, 5)]}
    with holding(bars=bars) as scene:
        deed(scene, "activities", activity_type="JNLS", symbol="AAA", qty=30.0, moves_shares=True)
        scene.look()
        deed(scene, "events", kind="rename", ticker="AAA", other="NEW")
        after_dawn(scene)
        assert (scene.book.quantity("NEW"), scene.book.manual) == (10.0, {"NEW": 30.0})
        ties(scene)


def test_rename_to_a_ticker_outside_the_universe_waits_and_says_what_to_do() -> None:
    bars = {"AAA": [*flat(50.0, 3), *GONE]}
    with holding(bars=bars) as scene:
        deed(scene, "events", kind="rename", ticker="AAA", other="NEW")
        after_dawn(scene)
        scene.look(scene.server.now + ONE_LOOK)
        assert scene.book.manual == {}
        assert scene.book.quantity("AAA") == 10.0
        assert not scene.door.stops_all()
        assert set(scene.door.reasons) == {"AAA", "NEW"}
        assert "add NEW to [universe]" in scene.door.reasons["AAA"]


def test_merger_for_shares_and_money_pays_basis_back_and_scales_the_stop() -> None:
    bars = {"AAA": [*flat(50.0, 3), *GONE], "NEW": flat(96.0)}
    with holding(bars=bars) as scene:
        deed(scene, "events", kind="stock_merger", ticker="AAA", other="NEW", ratio=0.5, cash=2.0)
        after_dawn(scene)
        assert lot(scene, "NEW") == (5.0, 480.0, 86.0, 176.0)  # (45 - 2) / 0.5, (90 - 2) / 0.5
        assert covered(scene, "NEW") == 5.0
        settled = scene.settle(3)
        assert (settled.equity, settled.flows.cash_flow, settled.flows.fees) == (CASH, 0.0, 0.0)
        ties(scene)


def test_spun_off_shares_are_ours_with_their_part_of_the_basis() -> None:
    bars = {"AAA": [*flat(50.0, 3), *flat(48.0, 5)], "NEW": [*[None] * 3, *flat(20.0, 5)]}
    with holding(bars=bars) as scene:
        deed(scene, "events", kind="spin_off", ticker="AAA", other="NEW", ratio=0.1)
        after_dawn(scene)
        assert (scene.book.quantity("NEW"), scene.book.manual) == (1.0, {})
        settled = scene.settle(3)
        assert (settled.equity, settled.flows.cash_flow) == (CASH, 0.0)
        assert lot(scene, "AAA") == (10.0, 480.0, 43.2, 86.4)
        assert lot(scene, "NEW")[:2] == (1.0, 20.0)
        assert lot(scene, "NEW")[2] > 10.0  # the engine's disaster stop
        ties(scene)


def test_reverse_split_pays_the_fraction_and_moves_the_stop() -> None:
    bars = {"AAA": [*flat(50.0, 3), *flat(200.0, 5)]}
    with holding(Behaviour(cash_in_lieu=True), bars=bars) as scene:
        deed(scene, "events", kind="split", ticker="AAA", ratio=0.25)
        after_dawn(scene)
        scene.look(scene.server.now + ONE_LOOK)
        assert held(scene) == scene.book.quantity("AAA") == 2.0
        assert lot(scene, "AAA")[2] == 180.0
        assert covered(scene) == 2.0
        settled = scene.settle(3)
        assert (settled.equity, settled.flows.cash_flow) == (CASH, 0.0)
        ties(scene)


def test_dividend_that_is_cancelled_after_it_was_booked_is_taken_back() -> None:
    with holding() as scene:
        row = deed(scene, "activities", activity_type="DIV", symbol="AAA", net_amount=7.0)
        scene.look()
        deed(scene, "activities", cancel=row["id"])
        scene.look(scene.server.now + ONE_LOOK)
        assert not scene.door.stops_all()
        settled = scene.settle(2)
        assert (settled.flows.dividends, settled.equity) == (0.0, CASH)
        ties(scene)


def test_dividend_that_is_corrected_counts_once_and_rightly() -> None:
    with holding() as scene:
        row = deed(scene, "activities", activity_type="DIV", symbol="AAA", net_amount=7.7)
        scene.look()
        deed(scene, "activities", cancel=row["id"])
        deed(scene, "activities", activity_type="DIV", symbol="AAA", net_amount=7.0, status="correct")
        scene.look(scene.server.now + ONE_LOOK)
        assert scene.settle(2).flows.dividends == 7.0
        ties(scene)


def trades(scene: Scene, side: str) -> list[str]:
    """Return the ids of what has traded."""
    return [a.id for a in scene.server.account.activities if a.kind == "FILL" and a.body["side"] == side]


def test_rename_that_is_cancelled_after_it_was_booked_is_taken_back() -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(50.0)}) as scene:
        row = {"activity_type": "NC", "moves_shares": True, "group_id": "g"}
        rows = [deed(scene, "activities", **row, symbol=name, qty=qty) for name, qty in (("AAA", -10.0), ("NEW", 10.0))]
        scene.look(scene.server.now + ONE_LOOK)
        assert lot(scene, "NEW") == (10.0, 500.0, 45.0, 90.0)
        for row in reversed(rows):
            deed(scene, "activities", cancel=row["id"])
        scene.look(scene.server.now + ONE_LOOK)
        scene.look(scene.server.now + ONE_LOOK)
        assert lot(scene, "AAA") == (10.0, 500.0, 45.0, 90.0)
        assert covered(scene) == 10.0
        assert (scene.book.manual, scene.door.reasons) == ({}, {})
        settled = scene.settle(2)
        assert (settled.equity, settled.flows.cash_flow, settled.fills) == (CASH, 0.0, [])
        ties(scene)


def test_rename_that_was_cancelled_before_it_was_seen_moves_nothing() -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(50.0)}) as scene:
        row = {"activity_type": "NC", "moves_shares": True, "group_id": "g"}
        rows = [deed(scene, "activities", **row, symbol=name, qty=qty) for name, qty in (("AAA", -10.0), ("NEW", 10.0))]
        for row in reversed(rows):
            deed(scene, "activities", cancel=row["id"])
        scene.look(scene.server.now + ONE_LOOK)
        assert lot(scene, "AAA") == (10.0, 500.0, 45.0, 90.0)
        assert scene.door.reasons == {}
        ties(scene)


def test_bought_shares_of_a_busted_trade_leave_without_profit() -> None:
    with holding() as scene:
        deed(scene, "activities", cancel=trades(scene, "buy")[0])
        scene.look(scene.server.now + ONE_LOOK)
        scene.look(scene.server.now + ONE_LOOK)
        assert (scene.book.quantity("AAA"), scene.book.manual, held(scene)) == (0.0, {}, 0.0)
        settled = scene.settle(2)
        assert (settled.equity, settled.flows.cash_flow) == (CASH, 0.0)
        assert covered(scene) == 0.0
        ties(scene)


def leave_with_levels(scene: Scene) -> None:
    """Decide to leave AAA, as the engine does: each strategy's part says what stop and target it had."""
    part = LotOrder("breakout", -10.0, 45.0, 90.0, OrderReason.SIGNAL_EXIT)
    intent = OrderIntent(
        "AAA",
        Side.SELL,
        10.0,
        None,
        None,
        None,
        "breakout",
        OrderReason.SIGNAL_EXIT,
        1.0,
        scene.server.now.date(),
        (part,),
    )
    scene.venue.place_order(scene.door.approve(intent))


@pytest.mark.parametrize("reason", ["signal_exit", "stop_loss"])
def test_sold_shares_of_a_busted_trade_are_ours_again_with_their_stop(reason: str) -> None:
    fall: list[Bar | None] = [*flat(50.0, 2), (50.0, 50.0, 44.0, 48.0), *flat(48.0, 5)]
    with holding(bars={"AAA": fall if reason == "stop_loss" else flat(50.0)}) as scene:
        if reason == "signal_exit":
            leave_with_levels(scene)
        noon = scene.server.market.closes[2] - ONE_LOOK * 4
        scene.look(noon)
        assert held(scene) == 0.0
        deed(scene, "activities", cancel=trades(scene, "sell")[0])
        scene.look(noon + ONE_LOOK)
        scene.look(noon + ONE_LOOK * 2)
        assert (scene.book.quantity("AAA"), scene.book.manual, held(scene)) == (10.0, {}, 10.0)
        assert lot(scene, "AAA")[2:] == (45.0, 90.0)
        assert covered(scene) == 10.0
        settled = scene.settle(2)
        assert settled.flows.cash_flow == 0.0
        assert scene.server.account.equity(scene.server.market.price) == settled.equity
        ties(scene)


def test_half_of_a_merger_is_left_alone_until_the_rest_is_told() -> None:
    with holding(target=None) as scene:
        row = {"activity_type": "MA", "symbol": "AAA", "qty": -10.0, "moves_shares": True, "group_id": "g"}
        deed(scene, "activities", **row)
        for _ in range(3):
            scene.look(scene.server.now + ONE_LOOK)
        assert scene.book.quantity("AAA") == 10.0
        assert "AAA" in scene.door.reasons
        assert not scene.door.stops_all()
        deed(scene, "activities", activity_type="MA", symbol="AAA", net_amount=520.0, group_id="g")
        scene.look(scene.server.now + ONE_LOOK)
        settled = scene.settle(2)
        assert (settled.equity, settled.flows.cash_flow, settled.flows.fees) == (CASH + 20.0, 0.0, 0.0)
        assert [(fill.quantity, fill.price, fill.reason) for fill, _, _ in settled.fills] == [
            (10.0, 52.0, OrderReason.DELISTED)
        ]
        ties(scene)


@pytest.mark.parametrize("deal", ["option", "mleg", "crypto"])
def test_deals_of_the_owner_in_other_things_are_his_money(deal: str) -> None:
    with holding() as scene:
        deed(scene, "foreign", kind=deal, qty=2, price=3.0, filled=True)
        scene.look()
        assert scene.book.manual == {}
        settled = scene.settle(2)
        assert settled.flows.fees == 0.0
        assert settled.flows.cash_flow < 0.0
        assert float(scene.venue.record["cash"]) == scene.server.account.cash


def test_activity_that_nobody_understands_is_told_and_the_rest_goes_on() -> None:
    with holding() as scene:
        deed(scene, "activities", activity_type="CSD", net_amount=25.0)
        scene.server.account.activities[-1].body["qty"] = "a few"
        deed(scene, "activities", activity_type="DIV", symbol="AAA", net_amount=7.0)
        scene.server.account.activities[-2].body["symbol"] = "AAA"
        scene.look(scene.server.now + timedelta(minutes=1))
        assert "unreadable" in scene.differences.kinds
        assert scene.settle(2).flows.dividends == 7.0


# ---------------------------------------------------------------- corporate actions that are cancelled


def rows_of(scene: Scene, *rows: dict[str, object]) -> list[str]:
    """Book rows of one corporate action, look, and return their ids."""
    ids = [str(deed(scene, "activities", moves_shares=True, group_id="g", **row)["id"]) for row in rows]
    scene.look(scene.server.now + ONE_LOOK)
    return ids


def cancelled(scene: Scene, ids: list[str], looks: int = 2) -> None:
    """Let the broker cancel rows, and look until stops stand again."""
    for row in reversed(ids):
        deed(scene, "activities", cancel=row)
    for _ in range(looks):
        scene.look(scene.server.now + ONE_LOOK)


def as_before(scene: Scene, stop: float = 45.0) -> None:
    """Assert that 10 AAA are ours again with their basis and levels, and that cash and shares are the server's."""
    assert lot(scene, "AAA") == (10.0, 500.0, stop, 90.0)
    assert covered(scene) == 10.0
    assert (scene.book.manual, scene.door.reasons, scene.door.stops_all()) == ({}, {}, False)
    ties(scene)


MERGED: tuple[dict[str, object], ...] = (
    {"activity_type": "MA", "symbol": "AAA", "qty": -10.0},
    {"activity_type": "MA", "symbol": "NEW", "qty": 3.0, "net_amount": 177.77},
)


@pytest.mark.parametrize("is_settled", [False, True])
def test_merger_for_shares_and_money_that_is_cancelled_is_taken_back_to_the_cent(*, is_settled: bool) -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(107.41)}) as scene:
        ids = rows_of(scene, *MERGED)
        assert scene.book.quantity("NEW") == 3.0
        assert lot(scene, "NEW")[1] == 322.23  # 500 less what was paid back
        flows = scene.settle(2).flows.realized if is_settled else 0.0
        if is_settled:
            scene.look()
            scene.opened(3)
        cancelled(scene, ids)
        as_before(scene)
        settled = scene.settle(3 if is_settled else 2)
        assert (settled.equity, settled.flows.cash_flow, settled.fills) == (CASH, 0.0, [])
        assert flows + settled.flows.realized == 0.0


def test_merger_whose_money_is_corrected_counts_once_and_rightly() -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(107.41)}) as scene:
        ids = rows_of(scene, *MERGED)
        for row in reversed(ids):
            deed(scene, "activities", cancel=row)
        right = [{**row, "status": "correct"} for row in MERGED]
        right[1]["net_amount"] = 180.0
        for corrected in right:
            deed(scene, "activities", moves_shares=True, group_id="h", **corrected)
        scene.look(scene.server.now + ONE_LOOK)
        scene.look(scene.server.now + ONE_LOOK)
        assert lot(scene, "NEW") == (3.0, 320.0, 90.0, 240.0)  # (45 - 18) x 10/3, (90 - 18) x 10/3
        assert covered(scene, "NEW") == 3.0
        ties(scene)
        assert scene.door.reasons == {}


def test_spin_off_that_is_cancelled_a_session_later_is_taken_back_to_the_cent() -> None:
    with holding(bars={"AAA": [*flat(50.0, 3), *flat(48.0, 5)], "NEW": [*[None] * 3, *flat(20.0, 5)]}) as scene:
        deed(scene, "events", kind="spin_off", ticker="AAA", other="NEW", ratio=0.1)
        after_dawn(scene)
        scene.settle(3)
        scene.look()
        assert lot(scene, "AAA")[:2] == (10.0, 480.0)
        scene.opened(4)
        spun = [a.id for a in scene.server.account.activities if a.kind == "SPIN"]
        cancelled(scene, spun)
        assert scene.book.slot_of("NEW") == -1
        as_before(scene)


@pytest.mark.parametrize("kind", ["MA", "REORG"])
@pytest.mark.parametrize("is_settled", [False, True])
def test_shares_taken_for_money_come_back_when_it_is_cancelled(kind: str, *, is_settled: bool) -> None:
    with holding() as scene:
        ids = rows_of(scene, {"activity_type": kind, "symbol": "AAA", "qty": -10.0, "net_amount": 523.33})
        assert scene.book.quantity("AAA") == 0.0
        realized = 0.0
        if is_settled:
            first = scene.settle(2)
            realized = first.flows.realized
            assert (realized, [fill.reason for fill, _, _ in first.fills]) == (23.33, [OrderReason.DELISTED])
            scene.look()
            scene.opened(3)
        cancelled(scene, ids)
        as_before(scene)
        settled = scene.settle(3 if is_settled else 2)
        assert (settled.equity, settled.flows.cash_flow) == (CASH, 0.0)
        assert settled.flows.realized == -realized
        back = [(fill.side, fill.quantity, fill.amount, profit) for fill, profit, _ in settled.fills]
        assert back == ([(Side.BUY, 10.0, 523.33, -23.33)] if is_settled else [])


def test_cash_merger_whose_price_is_corrected_is_one_sale_at_the_right_price() -> None:
    with holding() as scene:
        row: dict[str, object] = {"activity_type": "MA", "symbol": "AAA", "qty": -10.0, "net_amount": 520.0}
        ids = rows_of(scene, row)
        deed(scene, "activities", cancel=ids[0])
        right = {**row, "net_amount": 530.0, "status": "correct"}
        deed(scene, "activities", moves_shares=True, **right)
        scene.look(scene.server.now + ONE_LOOK)
        settled = scene.settle(2)
        assert [(fill.quantity, fill.price) for fill, _, _ in settled.fills] == [(10.0, 53.0)]
        assert (settled.flows.realized, settled.equity) == (30.0, CASH + 30.0)
        ties(scene)


def test_cancelled_action_is_taken_back_once_over_a_restart() -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(107.41)}) as scene:
        ids = rows_of(scene, *MERGED)
        saved = scene.venue.snapshot(scene.panel.session(1))
        scene.venue = scene.build()
        scene.venue.restore(saved)
        cancelled(scene, ids)
        as_before(scene)
        saved = scene.venue.snapshot(scene.panel.session(1))
        scene.venue = scene.build()
        scene.venue.restore(saved)
        scene.look(scene.server.now + ONE_LOOK)
        as_before(scene)


def test_merger_that_is_cancelled_after_its_shares_were_sold_is_told() -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(107.41)}) as scene:
        rows_of(scene, *MERGED)
        leave(scene, "NEW")
        scene.look(scene.server.now + ONE_LOOK)
        assert held(scene, "NEW") == 0.0
        row = next(a for a in scene.server.account.activities if a.kind == "MA")
        for activity in scene.server.account.activities:
            if activity.kind == "MA":
                activity.body["status"] = "canceled"
        assert row.body["symbol"] == "AAA"
        scene.look(scene.server.now + ONE_LOOK)
        assert "too late to be taken back" in scene.door.reasons["AAA"]
        assert scene.book.manual == {}


@pytest.mark.parametrize("kind", ["cash", "stock"])
def test_cancelled_merger_takes_the_owners_part_back_as_well(kind: str) -> None:
    with holding(bars={"AAA": flat(50.0), "NEW": flat(107.41)}) as scene:
        deed(scene, "activities", activity_type="JNLS", symbol="AAA", qty=30.0, moves_shares=True)
        scene.look(scene.server.now + ONE_LOOK)
        assert scene.book.manual == {"AAA": 30.0}
        gone: dict[str, object] = {"activity_type": "MA", "symbol": "AAA", "qty": -40.0}
        came: dict[str, object] = {"activity_type": "MA", "symbol": "NEW", "qty": 12.0, "net_amount": 711.08}
        ids = rows_of(scene, *([gone, came] if kind == "stock" else [{**gone, "net_amount": 2_080.0}]))
        assert scene.book.quantity("AAA") == 0.0
        assert scene.book.manual == ({"NEW": 9.0} if kind == "stock" else {})
        ties(scene)
        cancelled(scene, ids)
        assert (scene.book.quantity("AAA"), scene.book.manual) == (10.0, {"AAA": 30.0})
        assert lot(scene, "AAA") == (10.0, 500.0, 45.0, 90.0)
        ties(scene)
        settled = scene.settle(2)
        assert (settled.flows.fees, settled.flows.cash_flow, settled.flows.realized) == (0.0, 0.0, 0.0)


def test_dividend_of_shares_that_both_hold_is_shared() -> None:
    with holding() as scene:
        deed(scene, "activities", activity_type="JNLS", symbol="AAA", qty=30.0, moves_shares=True)
        scene.look(scene.server.now + ONE_LOOK)
        deed(scene, "activities", activity_type="DIV", symbol="AAA", net_amount=28.0)
        scene.look(scene.server.now + ONE_LOOK)
        settled = scene.settle(2)
        assert (settled.flows.dividends, settled.flows.cash_flow) == (7.0, 21.0)
        ties(scene)
