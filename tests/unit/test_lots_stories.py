"""Several strategies in one ticker, by hand: who gets which shares, what crosses, what protects, who leaves.

A slot is 5 % of 100,000 dollars: 50 shares at 100. Two strategies with half of the capital each want a whole slot at
strength 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.lot_world import GONE, VOLUME, Bar, LotStory, says, story_panel, story_rules
from trading_platform.core.costs import CostConfig, Protection, SizingConfig
from trading_platform.core.fill_log import CROSSED, OF_ORDER, PROTECTIVE
from trading_platform.core.ledger import Records
from trading_platform.core.market import VOLATILITY
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.types import StrategySignals

STOP_2 = Protection(stop_volatilities=2.0)  # 2 % below
STOP_5 = Protection(stop_volatilities=5.0)
HALF_AGAIN = SizingConfig(replace_margin_pct=50.0)


def told(fills: Records) -> list[tuple[int, int, float, str]]:
    """Return (strategy, side, shares, reason) of each fill."""
    return [
        (int(row["strategy"]), int(row["side"]), float(row["quantity"]), ORDER_REASONS[row["reason"]].value)
        for row in fills
    ]


def story(n: int, *signals: StrategySignals, prices: Sequence[float | Bar] | None = None, **more: Any) -> LotStory:
    """Return a story of one ticker X at 100 for `n` sessions unless `prices` say otherwise."""
    panel = story_panel({"X": prices or [100.0] * n})
    return LotStory(panel, signals, **more)


# ---------------------------------------------------------------- sharing an order


def test_two_that_want_a_whole_slot_share_it() -> None:
    run = story(3, says([1.0, 0.0, 0.0]), says([1.0, 0.0, 0.0]))
    fills = run.until(1)
    assert told(fills) == [(0, 1, 25.0, "entry"), (1, 1, 25.0, "entry")]
    assert run.slot("X")["quantity"] == 50.0
    assert run.account["cash"] == 95_000.0


def test_shares_follow_wishes() -> None:
    """5 % and 1.25 % are wanted, 5 % allowed: 4 % and 1 %."""
    run = story(3, says([1.0, 0.0, 0.0]), says([0.25, 0.0, 0.0]))
    assert told(run.until(1)) == [(0, 1, 40.0, "entry"), (1, 1, 10.0, "entry")]
    assert [round(float(lot["wish"]), 12) for lot in run.lots("X")] == [0.05, 0.0125]


def test_allocation_weighs_strengths_at_most_to_one() -> None:
    """With 80 : 20 of the capital 0.5 weighs 0.8 and 1.0 weighs 0.4 of a slot."""
    run = story(3, says([0.5, 0.0, 0.0]), says([1.0, 0.0, 0.0]), weights=[0.8, 0.2])
    assert told(run.until(1)) == [(0, 1, 33.0, "entry"), (1, 1, 17.0, "entry")]  # 50 x 0.8 / 1.2, rounded down


def test_partial_fill_goes_to_the_lots_in_order() -> None:
    """5 % of a volume of 600 are 30 shares: the first strategy has its 25, the second 5; the rest has lived its day."""
    thin = (100.0, 100.0, 100.0, 100.0, 600.0)
    run = story(3, says([1.0, 0.0, 0.0]), says([1.0, 0.0, 0.0]), prices=[100.0, thin, 100.0])
    assert told(run.until(1)) == [(0, 1, 25.0, "entry"), (1, 1, 5.0, "entry")]
    assert run.shares("X") == [25.0, 5.0]
    assert run.slot("X")["pending"] == 0.0


def test_partial_sale_leaves_the_rest_wanting_out() -> None:
    thin = (100.0, 100.0, 100.0, 100.0, 600.0)
    run = story(
        5,
        says([1.0] + [0.0] * 4, leaves=[1]),
        says([1.0] + [0.0] * 4, leaves=[1]),
        prices=[100.0, 100.0, thin, thin, 100.0],
    )
    run.until(1)
    assert run.slot("X")["selling"] == 50.0
    assert told(run.session()) == [(0, -1, 25.0, "signal_exit"), (1, -1, 5.0, "signal_exit")]
    assert run.shares("X") == [0.0, 20.0]
    assert run.slot("X")["stop"] == 70.0  # still protected while it waits
    assert told(run.session()) == [(1, -1, 20.0, "signal_exit")]
    assert run.held == []
    assert run.account["trades"] == 2


def test_costs_of_a_shared_order_are_divided_to_the_cent() -> None:
    """33 and 17 shares of an order of 50: spread 2 bp, slippage 3 bp of 5,000 are 1.00 and 1.50."""
    costs = CostConfig(impact_bps=0.0, commission_per_share=0.01)
    rules = story_rules(costs, entry_collar_pct=1.0)
    run = story(3, says([0.5, 0.0, 0.0]), says([1.0, 0.0, 0.0]), weights=[0.8, 0.2], rules=rules)
    fills = run.until(1)
    quantity = fills["quantity"].sum()
    assert quantity == 49.0  # the limit of 101 is what caps are checked at
    for name in ("amount", "commission", "spread", "slippage"):
        assert (
            round(float(fills[name].sum()), 2)
            == {
                "amount": round(49.0 * 100.05, 2),
                "commission": 0.49,
                "spread": 0.98,
                "slippage": 1.47,
            }[name]
        ), name
    assert run.account["cash"] == round(100_000.0 - 4_902.45 - 0.49, 2)


# ---------------------------------------------------------------- crossing


def crossing(prices: Sequence[float | Bar] | None = None) -> LotStory:
    """Strategy 0 holds 24 shares and leaves at row 1's close, when strategy 1 wants as much."""
    return story(
        5,
        says([0.5, 0.0, 0.0, 0.0, 0.0], leaves=[1]),
        says([0.0, 0.5, 0.0, 0.0, 0.0]),
        prices=prices,
        rules=story_rules(CostConfig(), entry_collar_pct=1.0, min_order_dollars=200.0),
    )


def test_what_one_sells_the_other_buys_at_the_open_without_cost() -> None:
    run = crossing([100.0, 100.0, 104.0, 104.0, 104.0])
    run.until(1)
    assert (run.slot("X")["pending"], run.slot("X")["selling"]) == (0.0, 0.0)  # nothing is left for the market
    before = run.account.copy()
    fills = run.session()
    assert told(fills) == [(0, -1, 24.0, "signal_exit"), (1, 1, 24.0, "entry")]
    assert fills["kind"].tolist() == [CROSSED, CROSSED]
    assert fills["price"].tolist() == [104.0, 104.0]
    assert fills["amount"].tolist() == [2_496.0, 2_496.0]
    for name in ("fees", "commission", "spread", "slippage", "impact"):
        assert fills[name].tolist() == [0.0, 0.0], name
        assert run.account[name] == before[name], name
    assert run.account["cash"] == before["cash"]
    assert run.shares("X") == [0.0, 24.0]


def test_crossing_moves_profit_to_its_strategy_and_basis_to_the_other() -> None:
    run = crossing([100.0, 100.0, 104.0, 104.0, 104.0])
    entry = run.until(1)
    paid = float(entry["amount"].sum())
    fills = run.session()
    assert fills["realized"].tolist() == [pytest.approx(2_496.0 - paid), 0.0]
    assert run.lots("X")[1]["cost"] == run.slot("X")["cost"] == 2_496.0
    assert fills["closed"].tolist() == [1, 0]
    assert (run.account["trades"], run.account["wins"]) == (1, 1)  # the strategy's own exit: a round trip


def test_crossing_waits_for_a_ticker_that_trades_and_the_entry_does_not() -> None:
    """An exit stands until it is filled; an entry lives one day."""
    run = crossing([100.0, 100.0, GONE, 100.0, 100.0])
    run.until(1)
    assert told(run.session()) == []
    assert run.shares("X") == [24.0, 0.0]
    assert not run.slot("X")["owners"] >> 1 & 1
    assert run.slot("X")["selling"] == 24.0
    assert told(run.session()) == [(0, -1, 24.0, "signal_exit")]


def test_more_is_bought_than_sold_and_the_rest_is_an_order() -> None:
    """A target of half the slot is held; the other wants more than is for sale: 10 cross, the rest is bought."""
    target = says([0.06, 0.06, 0.04, 0.04, 0.04], is_target=True)
    run = story(5, target, says([0.0, 0.0, 1.0, 0.0, 0.0]))
    run.until(2)
    assert run.lots("X")["delta"].tolist() == [-10.0, 30.0]
    assert run.slot("X")["pending"] == 20.0  # 30 shares are held, 50 allowed
    fills = run.session()
    assert told(fills) == [(0, -1, 10.0, "rebalance"), (1, 1, 10.0, "entry"), (1, 1, 20.0, "entry")]
    assert fills["kind"].tolist() == [CROSSED, CROSSED, OF_ORDER]
    assert run.shares("X") == [20.0, 30.0]
    assert run.account["trades"] == 0  # a trim is no round trip


# ---------------------------------------------------------------- protection


def test_exit_of_one_sells_its_shares_only_and_moves_the_stop_to_what_is_left() -> None:
    run = story(
        4, says([1.0, 0.0, 0.0, 0.0], leaves=[1], protection=STOP_5), says([1.0, 0.0, 0.0, 0.0], protection=STOP_2)
    )
    run.until(1)
    assert run.slot("X")["stop"] == 95.0  # the widest
    assert told(run.session()) == [(0, -1, 25.0, "signal_exit")]
    assert run.shares("X") == [0.0, 25.0]
    assert run.slot("X")["stop"] == 98.0


def test_strategy_without_a_stop_has_the_disaster_stop() -> None:
    run = story(3, says([1.0, 0.0, 0.0]))
    run.until(1)
    assert (run.slot("X")["stop"], run.slot("X")["target"]) == (70.0, 0.0)


def test_target_is_the_widest_and_none_where_one_has_none() -> None:
    near, far = Protection(target_volatilities=3.0), Protection(target_volatilities=6.0)
    both = story(3, says([1.0, 0.0, 0.0], protection=near), says([1.0, 0.0, 0.0], protection=far))
    both.until(1)
    assert both.slot("X")["target"] == 106.0
    one = story(3, says([1.0, 0.0, 0.0], protection=near), says([1.0, 0.0, 0.0]))
    one.until(1)
    assert one.slot("X")["target"] == 0.0


def test_tighter_stop_acts_at_the_close_and_sells_nobody_elses_shares() -> None:
    """96.9 is below the tight stop of 98 and above the broker's of 95: the lot leaves at the next open."""
    dip = (100.0, 100.0, 96.9, 96.9, VOLUME)
    run = story(
        5,
        says([1.0] + [0.0] * 4, protection=STOP_2),
        says([1.0] + [0.0] * 4, protection=STOP_5),
        prices=[100.0, 100.0, dip, 97.0, 97.0],
    )
    assert told(run.until(2)) == []
    assert told(run.session()) == [(0, -1, 25.0, "stop_loss")]
    assert run.shares("X") == [0.0, 25.0]
    assert run.account["loss_streak"] == 1


def test_tighter_stop_that_a_close_recovers_from_does_nothing() -> None:
    dip = (100.0, 100.0, 96.9, 98.1, VOLUME)
    run = story(
        5,
        says([1.0] + [0.0] * 4, protection=STOP_2),
        says([1.0] + [0.0] * 4, protection=STOP_5),
        prices=[100.0, 100.0, dip, 99.0, 99.0],
    )
    run.until(4)
    assert run.shares("X") == [25.0, 25.0]


def test_single_lot_is_stopped_within_the_session() -> None:
    dip = (100.0, 100.0, 96.9, 99.0, VOLUME)
    run = story(4, says([1.0, 0.0, 0.0, 0.0], protection=STOP_2), prices=[100.0, 100.0, dip, 99.0])
    fills = run.until(2)
    assert told(fills) == [(0, -1, 50.0, "stop_loss")]
    assert (fills["price"][0], fills["kind"][0]) == (98.0, PROTECTIVE)


def test_stop_at_the_broker_sells_every_lot() -> None:
    gap = (90.0, 91.0, 89.0, 90.0, VOLUME)
    run = story(
        4,
        says([1.0, 0.0, 0.0, 0.0], protection=STOP_2),
        says([1.0, 0.0, 0.0, 0.0], protection=STOP_5),
        prices=[100.0, 100.0, gap, 90.0],
    )
    assert told(run.until(2)) == [(0, -1, 25.0, "stop_loss"), (1, -1, 25.0, "stop_loss")]
    assert run.held == []
    assert run.account["loss_streak"] == 2


def test_trailing_stop_follows_the_highest_close_and_never_falls() -> None:
    run = story(
        7,
        says([1.0] + [0.0] * 6, protection=Protection(trailing=0.10)),
        prices=[100.0, 100.0, 110.0, 120.0, 115.0, (109.0, 109.0, 107.9, 109.0, VOLUME), 109.0],
    )
    stops = [run.until(t) is not None and float(run.slot("X")["stop"]) for t in range(1, 5)]
    assert stops == [90.0, 99.0, 108.0, 108.0]
    fills = run.session()
    assert told(fills) == [(0, -1, 50.0, "stop_loss")]
    assert fills["price"][0] == 108.0
    assert run.account["wins"] == 1


def test_longest_holding_ends_a_position() -> None:
    run = story(6, says([1.0] + [0.0] * 5, protection=Protection(max_holding=2)))
    assert told(run.until(2)) == []  # closes of rows 1 and 2 were lived through
    assert told(run.session()) == [(0, -1, 50.0, "max_holding")]


@pytest.mark.parametrize(("cooling", "back"), [(0, 4), (1, 4), (2, 5), (3, 6)])
def test_cooling_keeps_a_strategy_out_of_what_stopped_it(cooling: int, back: int) -> None:
    """The stop is hit in row 2; the first close that may buy again is `cooling` sessions later, the fill one more."""
    dip = (100.0, 100.0, 97.0, 100.0, VOLUME)
    protection = Protection(stop_volatilities=2.0, cooling=cooling)
    run = story(9, says([1.0] * 9, protection=protection), prices=[100.0, 100.0, dip, *[100.0] * 6])
    bought = [t for t in range(9) if (run.until(t)["side"] > 0).any()]
    assert bought == [1, back if cooling else 3]


def test_cooling_is_each_strategys_own() -> None:
    dip = (100.0, 100.0, 97.0, 100.0, VOLUME)
    run = story(
        6,
        says([1.0] * 6, protection=Protection(stop_volatilities=2.0, cooling=10)),
        says([0.0, 0.0, 1.0, 0.0, 0.0, 0.0], protection=Protection(cooling=0)),
        prices=[100.0, 100.0, dip, *[100.0] * 3],
    )
    run.until(2)
    assert told(run.session()) == [(1, 1, 49.0, "entry")]  # 5 % of 99,900


# ---------------------------------------------------------------- capital that leaves


def test_strategy_without_capital_keeps_its_position_until_its_patience_ends() -> None:
    rules = story_rules(sizing=SizingConfig(unfunded_sessions=3))
    weights = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    run = story(6, says([0.5] + [0.0] * 5), says([0.0] * 6), weights=weights, rules=rules)
    assert told(run.until(1)) == [(0, 1, 50.0, "entry")]
    assert told(run.until(3)) == []
    assert told(run.session()) == [(0, -1, 50.0, "unfunded")]
    assert run.account["trades"] == 0  # the book's decision says nothing of the strategy


def test_capital_that_comes_back_in_time_starts_the_count_anew() -> None:
    rules = story_rules(sizing=SizingConfig(unfunded_sessions=3))
    weights = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    run = story(8, says([0.5] + [0.0] * 7), says([0.0] * 8), weights=weights, rules=rules)
    assert told(run.until(6)) == []
    assert told(run.session()) == [(0, -1, 50.0, "unfunded")]


def test_unfunded_strategy_still_follows_its_own_exit() -> None:
    weights = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    run = story(4, says([0.5, 0.0, 0.0, 0.0], leaves=[2]), says([0.0] * 4), weights=weights)
    run.until(2)
    assert told(run.session()) == [(0, -1, 50.0, "signal_exit")]


# ---------------------------------------------------------------- targets, bands, growth


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (0.04, []),  # 20 % of what is held is the band
        (0.0399, [(0, -1, 10.0, "rebalance")]),
        (0.03, [(0, -1, 20.0, "rebalance")]),
        (0.0, [(0, -1, 50.0, "signal_exit")]),
    ],
)
def test_target_is_followed_down_outside_the_band(now: float, expected: list[tuple[int, int, float, str]]) -> None:
    run = story(4, says([0.05, 0.05, now, now], is_target=True))
    run.until(2)
    assert told(run.session()) == expected
    assert run.account["trades"] == (1 if now == 0.0 else 0)


@pytest.mark.parametrize(
    ("now", "expected"), [(0.0374, []), (0.038, [(0, 1, 8.0, "entry")]), (0.05, [(0, 1, 20.0, "entry")])]
)
def test_target_is_followed_up_outside_the_band(now: float, expected: list[tuple[int, int, float, str]]) -> None:
    run = story(5, says([0.03, 0.03, now, now, now], is_target=True))
    run.until(2)
    assert told(run.session()) == expected


def test_growth_keeps_stop_entry_day_and_one_round_trip() -> None:
    run = story(5, says([0.03, 0.03, 0.05, 0.05, 0.0], is_target=True), prices=[100.0, 100.0, 104.0, 104.0, 104.0])
    run.until(2)
    lot = run.lots("X")[0]
    stop, entered = float(lot["stop"]), int(lot["entry_day"])
    assert told(run.session()) == [(0, 1, 18.0, "entry")]  # 5 % of 100,120 less 3,120, at 104
    lot = run.lots("X")[0]
    assert (lot["stop"], lot["entry_day"], lot["bought"]) == (stop, entered, 48.0)
    assert lot["cost"] == 3_000.0 + 18 * 104.0
    assert run.account["trades"] == 0


def test_position_never_grows_past_its_cap() -> None:
    run = story(4, says([0.03, 0.03, 0.5, 0.5], is_target=True))
    run.until(3)
    assert run.shares("X") == [50.0]


def test_a_held_position_grows_when_a_second_strategy_joins() -> None:
    run = story(4, says([0.5, 0.0, 0.0, 0.0]), says([0.0, 0.5, 0.0, 0.0]))
    run.until(1)
    assert told(run.session()) == [(1, 1, 25.0, "entry")]
    assert run.shares("X") == [25.0, 25.0]


def test_lot_of_a_signal_keeps_what_it_has_however_strong_the_signal() -> None:
    run = story(5, says([0.5, 1.0, 1.0, 1.0, 1.0]))
    assert told(run.until(1)) == [(0, 1, 25.0, "entry")]
    assert [told(run.session()) for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize(("strength", "shares"), [(0.39, []), (0.4, [20.0])])
def test_position_not_worth_its_slot_is_not_opened(strength: float, shares: list[float]) -> None:
    run = story(3, says([strength, 0.0, 0.0]))
    run.until(1)
    assert run.shares("X") == shares
    assert run.denials[0][DENIAL_CODES.index(DenialCode.BELOW_MINIMUM)] == (0 if shares else 1)


def test_position_inside_the_band_does_not_grow_although_one_of_its_lots_would() -> None:
    signal, target = says([0.5, 0.0, 0.0, 0.0]), says([0.01, 0.01, 0.014, 0.014], is_target=True)
    run = story(4, signal, target)
    run.until(2)
    assert run.shares("X") == [25.0, 5.0]  # 2 more of 30 shares: two fifths of the lot, a sixteenth of the position
    assert told(run.session()) == []


def test_growth_stops_at_the_room_that_other_caps_leave() -> None:
    still = {"X": [100.0] * 4, "Y": [100.0] * 4}
    target = says([[0.03, 0.05], [0.03, 0.05], *[[0.05, 0.05]] * 2], n_tickers=2, is_target=True)
    run = LotStory(story_panel(still), [target], story_rules(max_exposure_pct=9.0))
    run.until(2)
    assert (run.shares("X"), run.shares("Y")) == ([30.0], [50.0])
    assert told(run.session()) == [(0, 1, 10.0, "entry")]


@pytest.mark.parametrize(("held", "bought"), [(0.03, [(0, 1, 20.0, "entry")]), (0.0, [])])
def test_correlation_refuses_what_is_new_and_not_what_grows(held: float, bought: list[object]) -> None:
    still = {"X": [100.0] * 4, "Y": [100.0] * 4}
    target = says([[held, 0.05], [held, 0.05], *[[0.05, 0.05]] * 2], n_tickers=2, is_target=True)
    run = LotStory(story_panel(still), [target], story_rules(correlation_discount=0.0))
    run.market.returns[:, -2:] = 1.0  # from the third close on they move as one
    run.until(2)
    assert told(run.session()) == bought


# ---------------------------------------------------------------- a full book


def rivals(weak: float, strong: float, *, sector: str = "") -> LotStory:
    """One slot: A is held for `weak`, then B is wanted for `strong`."""
    prices = {"A": [100.0] * 5, "B": [100.0] * 5}
    target = says([[weak, 0.0], [weak, 0.0], *[[weak, strong]] * 3], n_tickers=2, is_target=True)
    return LotStory(story_panel(prices), [target], story_rules(sizing=HALF_AGAIN, max_positions=1))


def test_much_better_candidate_replaces_the_weakest() -> None:
    run = rivals(0.03, 0.0451)
    run.until(2)
    assert told(run.session()) == [(0, -1, 30.0, "replaced")]
    assert told(run.session()) == [(0, 1, 45.0, "entry")]
    assert run.held == ["B"]
    assert run.account["trades"] == 0  # what made room says nothing of the strategy


def test_candidate_within_the_margin_replaces_nothing() -> None:
    run = rivals(0.03, 0.045)  # half as much again is the margin
    run.until(4)
    assert run.held == ["A"]


def test_margin_is_of_what_all_strategies_together_want() -> None:
    """The strongest wish for B alone would allow for twice as much; nobody else adds to it."""
    prices = {"A": [100.0] * 4, "B": [100.0] * 4}
    first, second = (
        says([[0.06, 0.0], [0.06, 0.0], *[[0.06, 0.085]] * 2], n_tickers=2, is_target=True),
        says([[0.0, 0.0]] * 4, n_tickers=2),
    )
    run = LotStory(story_panel(prices), [first, second], story_rules(sizing=HALF_AGAIN, max_positions=1))
    run.until(3)
    assert run.held == ["A"]


def test_rival_without_data_replaces_nothing() -> None:
    run = rivals(0.03, 0.05)
    run.market.bars[1, :, VOLATILITY] = float("nan")
    run.until(4)
    assert run.held == ["A"]


def test_nobody_is_sent_away_while_another_leaves() -> None:
    prices = {name: [100.0] * 4 for name in "ABC"}
    first, then = [0.03, 0.025, 0.0], [0.0, 0.025, 0.05]
    target = says([first, first, then, then], n_tickers=3, is_target=True)
    run = LotStory(story_panel(prices), [target], story_rules(sizing=HALF_AGAIN, max_positions=2))
    run.until(2)
    assert told(run.session()) == [(0, -1, 30.0, "signal_exit")]
    assert run.held == ["B", "C"]


def test_weakest_of_several_leaves_and_only_one_at_a_time() -> None:
    prices = {name: [100.0] * 5 for name in "ABCD"}
    first, then = [0.03, 0.025, 0.0, 0.0], [0.03, 0.025, 0.05, 0.05]
    target = says([first, first, then, then, then], n_tickers=4, is_target=True)
    run = LotStory(story_panel(prices), [target], story_rules(sizing=HALF_AGAIN, max_positions=2))
    run.until(2)
    assert told(run.session()) == [(0, -1, 25.0, "replaced")]
    assert run.held == ["A", "C"]  # B's slot was free at this close; nobody else was sent away meanwhile
    run.session()
    assert run.shares("C") == [50.0]


# ---------------------------------------------------------------- what round trips count


def test_streak_and_kelly_count_what_a_strategy_closed_only() -> None:
    """Three losing stop-outs pause; three losing replacements, mergers or flattenings would not."""
    dips: list[float | Bar] = []
    for _ in range(3):
        dips += [100.0, (100.0, 100.0, 97.0, 100.0, VOLUME)]
    protection = Protection(stop_volatilities=2.0, cooling=0)
    run = story(8, says([1.0] * 8, protection=protection), prices=[100.0, *dips, 100.0])
    run.until(6)
    assert run.account["trades"] == 3
    assert run.account["pause_until"] > 0.0
    assert run.account["kelly_trades"] > 2.9


@pytest.mark.parametrize(
    ("strength", "deltas", "pending", "selling"),
    [
        (0.5, [-25.0, 25.0], 0.0, 0.0),  # the same is wanted: it changes hands
        (1.0, [-25.0, 50.0], 25.0, 0.0),  # more: the rest is bought
        (0.4, [-25.0, 20.0], 0.0, 5.0),  # less: the rest is sold
        (0.0, [-25.0, 0.0], 0.0, 25.0),
    ],
)
def test_what_one_leaves_another_takes_over(
    strength: float, deltas: list[float], pending: float, selling: float
) -> None:
    run = story(4, says([0.5, 0.0, 0.0, 0.0], leaves=[1]), says([0.0, strength, 0.0, 0.0]))
    run.until(1)
    assert run.lots("X")["delta"].tolist() == deltas
    assert (run.slot("X")["pending"], run.slot("X")["selling"]) == (pending, selling)
    run.session()
    assert run.shares("X") == ([0.0, deltas[1]] if strength else [])


def test_whole_slot_changes_hands_and_the_position_stays_at_its_cap() -> None:
    run = story(4, says([1.0, 0.0, 0.0, 0.0], leaves=[1]), says([0.0, 1.0, 0.0, 0.0]), weights=[0.5, 0.5])
    run.until(1)
    fills = run.session()
    assert told(fills) == [(0, -1, 50.0, "signal_exit"), (1, 1, 50.0, "entry")]
    assert set(fills["kind"].tolist()) == {CROSSED}
    assert run.account["traded"] == 3 * 5_000.0


def test_nobody_takes_over_what_cannot_be_measured() -> None:
    run = story(4, says([0.5, 0.0, 0.0, 0.0], leaves=[1]), says([0.0, 0.5, 0.0, 0.0]))
    run.market.bars[0, :, VOLATILITY][-3:] = float("nan")
    run.until(1)
    assert run.lots("X")["delta"].tolist() == [-25.0, 0.0]
