"""Every corporate event by hand: what becomes of shares, basis, stops and money; and nothing is lost on the way.

A holder has 50 shares bought at 100 unless a story says otherwise; an order costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest

from tests.lot_world import GONE, NAN, VOLUME, Bar, LotStory, says, story_panel, story_rules
from trading_platform.core.costs import CostConfig, Protection
from trading_platform.core.fill_log import SETTLED
from trading_platform.core.market import forward_adjusted
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.types import CorporateEvent, EventKind

DAY = date(2024, 1, 4)  # row 2 of a story
STOPS = Protection(stop_volatilities=5.0, target_volatilities=20.0)  # 95 and 120
Fills = np.ndarray
Prices = Sequence[float | Bar]
FREE_OF_COST = {
    "half_spread_bps": 0.0,
    "slippage_bps": 0.0,
    "impact_bps": 0.0,
    "sec_fee_per_million": 0.0,
    "taf_per_share": 0.0,
    "taf_max": 0.0,
}


def told(fills: Fills) -> list[tuple[int, int, float, float, str]]:
    """Return (strategy, side, shares, dollars, reason) of each fill."""
    return [
        (
            int(row["strategy"]),
            int(row["side"]),
            round(float(row["quantity"]), 6),
            float(row["amount"]),
            ORDER_REASONS[row["reason"]].value,
        )
        for row in fills
    ]


def holder(event: CorporateEvent, x: Prices, y: Prices | None = None, **more: Any) -> LotStory:
    """Return a story in which X is bought at row 0's close and `event` comes; Y is another ticker."""
    prices = {"X": x, "Y": y if y is not None else [50.0] * len(x)}
    wants = says([[1.0, 0.0], *[[0.0, 0.0]] * (len(x) - 1)], n_tickers=2, protection=STOPS)
    signals = more.pop("signals", (wants,))
    return LotStory(story_panel(prices, (event,)), signals, **more)


# ---------------------------------------------------------------- the end of a ticker


@pytest.mark.compiles
def test_cash_merger_pays_what_was_offered() -> None:
    run = holder(CorporateEvent(DAY, "X", EventKind.CASH_MERGER, cash=110.0), [100.0, 100.0, GONE, GONE])
    fills = run.until(2)
    assert told(fills) == [(0, -1, 50.0, 5_500.0, "merger")]
    assert (fills["kind"][0], fills["realized"][0], fills["fees"][0]) == (SETTLED, 500.0, 0.0)
    assert run.account["cash"] == run.account["equity"] == 100_500.0
    assert run.held == []
    assert run.account["trades"] == 0  # no result of a strategy


def test_merger_withdraws_what_was_to_be_bought() -> None:
    event = CorporateEvent(date(2024, 1, 3), "X", EventKind.CASH_MERGER, cash=110.0)
    run = holder(event, [100.0, 100.0, GONE])
    assert told(run.until(1)) == []
    assert (run.held, run.account["cash"]) == ([], 100_000.0)


@pytest.mark.parametrize(("cash", "paid"), [(2.5, 125.0), (0.0, 0.0), (NAN, 5_000.0)])
def test_delisting_pays_what_is_known_else_the_last_price(cash: float, paid: float) -> None:
    run = holder(CorporateEvent(DAY, "X", EventKind.DELISTING, cash=cash), [100.0, 100.0, GONE, GONE])
    assert told(run.until(2)) == [(0, -1, 50.0, paid, "delisted")]
    assert run.account["equity"] == 95_000.0 + paid


def test_delisting_is_shared_by_its_lots() -> None:
    two = (says([[1.0, 0.0]] + [[0.0, 0.0]] * 3, n_tickers=2), says([[1.0, 0.0]] + [[0.0, 0.0]] * 3, n_tickers=2))
    event = CorporateEvent(DAY, "X", EventKind.DELISTING, cash=0.03)
    run = holder(event, [100.0, 100.0, GONE, GONE], signals=two)
    fills = run.until(2)
    assert [row[3] for row in told(fills)] == [0.75, 0.75]
    assert fills["realized"].sum() == 1.5 - 5_000.0


# ---------------------------------------------------------------- shares for shares


def test_stock_merger_into_a_ticker_that_is_not_held() -> None:
    """50 shares become 50 x 1.25 = 62.5 of Y and 20 dollars each; half a share is paid at Y's open of 64."""
    event = CorporateEvent(DAY, "X", EventKind.STOCK_MERGER, "Y", 1.25, 20.0)
    run = holder(event, [100.0, 100.0, GONE, GONE], [64.0] * 4)
    fills = run.until(2)
    assert told(fills) == [(0, -1, 0.5, 32.0, "merger")]
    assert run.held == ["Y"]
    slot, lot = run.slot("Y"), run.lots("Y")[0]
    assert (slot["quantity"], slot["value"]) == (62.0, 3_968.0)
    assert run.account["cash"] == 95_000.0 + 1_000.0 + 32.0
    assert run.account["equity"] == 100_000.0  # 100 = 1.25 x 64 + 20
    assert slot["cost"] == lot["cost"] == 3_968.0  # 5,000 - 1,000 in cash - 32 for the fraction
    assert (lot["stop"], lot["target"]) == (60.0, 80.0)  # (95 - 20) / 1.25 and (120 - 20) / 1.25
    assert (slot["held"], lot["since"]) == (2, 0)  # goes on
    assert run.account["realized_pnl"] == 0.0


def test_stock_merger_into_a_ticker_that_is_held_joins_it() -> None:
    x, y = says([[1.0, 0.0]] + [[0.0, 0.0]] * 3, n_tickers=2, protection=STOPS), [0.0, 1.0]
    other = says([y] + [[0.0, 0.0]] * 3, n_tickers=2, protection=Protection(stop_volatilities=3.0))
    event = CorporateEvent(DAY, "X", EventKind.STOCK_MERGER, "Y", 0.5, 0.0)
    run = holder(event, [100.0, 100.0, GONE, GONE], [200.0] * 4, signals=(x, other))
    run.until(1)
    assert (run.shares("X"), run.shares("Y")) == ([50.0, 0.0], [0.0, 25.0])
    assert told(run.session()) == []
    assert run.held == ["Y"]
    assert run.shares("Y") == [25.0, 25.0]
    slot = run.slot("Y")
    assert (slot["cost"], slot["value"], slot["stop"]) == (10_000.0, 10_000.0, 190.0)  # widest of 190 and 194
    assert run.account["equity"] == 100_000.0


def test_fraction_of_a_merged_lot_is_its_own_while_another_lot_leaves() -> None:
    """Y's lot leaves as the merger comes: it sells its 25 shares, and no share of its is paid for X's fraction."""
    x = says([[0.0, 0.0]] + [[0.0, 0.0]] * 4, n_tickers=2)
    leaves = says([[0.0, 1.0]] + [[0.0, 0.0]] * 4, leaves=[1], n_tickers=2)
    merges = says([[1.0, 0.0]] + [[0.0, 0.0]] * 4, n_tickers=2)
    event = CorporateEvent(DAY, "X", EventKind.STOCK_MERGER, "Y", 0.51, 0.0)
    run = holder(event, [100.0, 100.0, *[GONE] * 3], [200.0] * 5, signals=(leaves, x, merges))
    run.until(1)
    assert (run.shares("X"), run.shares("Y")) == ([0.0, 0.0, 50.0], [25.0, 0.0, 0.0])
    assert told(run.session()) == [(2, -1, 0.5, 100.0, "merger"), (0, -1, 25.0, 5_000.0, "signal_exit")]
    assert run.shares("Y") == [0.0, 0.0, 25.0]


def test_stock_merger_into_nothing_known_pays_the_last_price() -> None:
    event = CorporateEvent(DAY, "X", EventKind.STOCK_MERGER, "Z", 2.0, 1.0)
    run = holder(event, [100.0, 100.0, GONE, GONE])
    assert told(run.until(2)) == [(0, -1, 50.0, 5_000.0, "merger")]


def test_cash_beyond_the_basis_is_profit() -> None:
    """110 dollars a share of which 100 were paid: the basis is used up, and 500 are profit."""
    event = CorporateEvent(DAY, "X", EventKind.STOCK_MERGER, "Y", 1.0, 110.0)
    run = holder(event, [100.0, 100.0, GONE, GONE], [5.0] * 4)
    run.until(2)
    assert run.account["realized_pnl"] == 500.0
    assert run.slot("Y")["cost"] == 0.0
    assert run.account["equity"] == 95_000.0 + 5_500.0 + 250.0


# ---------------------------------------------------------------- spin-offs


def spin(x: Prices, y: Prices, ratio: float = 0.5, **more: Any) -> LotStory:
    return holder(CorporateEvent(DAY, "X", EventKind.SPIN_OFF, "Y", ratio), x, y, **more)


def test_spin_off_splits_the_basis_by_first_prices() -> None:
    """0.5 shares of Y at 40 are 20 of the 100 dollars: a fifth. Stop and target of X fall by a fifth."""
    run = spin([100.0, 100.0, 80.0, 80.0], [GONE, GONE, 40.0, 40.0])
    assert told(run.until(2)) == []
    assert run.held == ["X", "Y"]
    x, y = run.slot("X"), run.slot("Y")
    assert (x["quantity"], x["value"], x["cost"]) == (50.0, 4_000.0, 4_000.0)
    assert (y["quantity"], y["value"], y["cost"]) == (25.0, 1_000.0, 1_000.0)
    assert (x["stop"], x["target"]) == (76.0, 96.0)
    assert (y["stop"], y["target"]) == (28.0, 0.0)  # the disaster stop: nobody chose it
    assert run.account["equity"] == 100_000.0
    assert run.lots("X")[0]["bought_amount"] + run.lots("Y")[0]["bought_amount"] == 5_000.0


def test_spin_off_pays_fractions_at_the_first_price() -> None:
    run = spin([100.0, 100.0, 86.8, 86.8], [GONE, GONE, 40.0, 40.0], ratio=0.33)  # 16.5 shares
    assert told(run.until(2)) == [(0, -1, 0.5, 20.0, "merger")]
    assert run.slot("Y")["quantity"] == 16.0


def test_spin_off_goes_to_each_strategy() -> None:
    two = tuple(says([[1.0, 0.0]] + [[0.0, 0.0]] * 3, n_tickers=2) for _ in range(2))
    run = spin([100.0, 100.0, 80.0, 80.0], [GONE, GONE, 40.0, 40.0], ratio=0.4, signals=two)
    run.until(2)
    assert run.shares("Y") == [10.0, 10.0]


def test_spin_off_stops_nobody_out_although_the_price_fell() -> None:
    """X opens a fifth lower, below its stop of 95: without the event it is sold, with it nothing happens."""
    quiet = spin([100.0, 100.0, 80.0, 80.0], [GONE, GONE, 40.0, 40.0])
    assert told(quiet.until(2)) == []
    unknown = CorporateEvent(date(2030, 1, 2), "X", EventKind.SPIN_OFF, "Y", 0.5)
    alone = holder(unknown, [100.0, 100.0, 80.0, 80.0], [GONE, GONE, 40.0, 40.0])
    assert told(alone.until(2)) == [(0, -1, 50.0, 4_000.0, "stop_loss")]


def test_spin_off_takes_a_spare_slot_of_a_full_book() -> None:
    run = spin([100.0, 100.0, 80.0, 80.0], [GONE, GONE, 40.0, 40.0], rules=story_rules(max_positions=1))
    run.until(2)
    assert run.held == ["X", "Y"]


def test_spin_off_withdraws_what_was_to_be_bought() -> None:
    """Nobody knows on the eve what X will be worth without Y; its limit of the day before would buy at any price."""
    event = CorporateEvent(date(2024, 1, 3), "X", EventKind.SPIN_OFF, "Y", 0.5)
    run = holder(event, [100.0, 80.0, 80.0], [GONE, 40.0, 40.0])
    assert told(run.until(1)) == []
    assert (run.held, run.account["cash"]) == ([], 100_000.0)


def test_spin_off_without_a_price_says_nothing() -> None:
    run = spin([100.0, 100.0, 100.0, 100.0], [GONE] * 4)
    run.until(2)
    assert run.held == ["X"]
    assert run.slot("X")["stop"] == 95.0


def test_spin_off_leaves_alone_what_strategies_sell_to_each_other() -> None:
    """One leaves X as another enters: 50 shares change hands at X's first price after Y has come, and none is lost."""
    leaves = says([[1.0, 0.0]] + [[0.0, 0.0]] * 3, leaves=[1], n_tickers=2)
    enters = says([[0.0, 0.0], [1.0, 0.0]] + [[0.0, 0.0]] * 2, n_tickers=2)
    run = spin([100.0, 100.0, 80.0, 80.0], [GONE, GONE, 40.0, 40.0], signals=(leaves, enters))
    run.until(1)
    assert run.slot("X")["crossing"] == 50.0
    assert told(run.session()) == [(0, -1, 50.0, 4_000.0, "signal_exit"), (1, 1, 50.0, 4_000.0, "entry")]
    assert (run.shares("X"), run.shares("Y")) == ([0.0, 50.0], [25.0, 0.0])
    assert run.account["equity"] == 100_000.0


# ---------------------------------------------------------------- splits and dividends


def grows_into(event: CorporateEvent, x: Prices) -> LotStory:
    """Return a story in which one strategy holds 25 of X, and another decides to buy 25 on the eve of DAY."""
    one = says([[0.5, 0.0]] + [[0.0, 0.0]] * 3, n_tickers=2)
    other = says([[0.0, 0.0], [0.5, 0.0]] + [[0.0, 0.0]] * 2, n_tickers=2)
    run = holder(event, x, signals=(one, other))
    run.until(1)
    assert (run.shares("X"), run.slot("X")["pending"]) == ([25.0, 0.0], 25.0)
    return run


def test_growth_on_the_eve_of_a_split_is_withdrawn() -> None:
    run = grows_into(CorporateEvent(DAY, "X", EventKind.SPLIT, ratio=2.0), [100.0, 100.0, 50.0, 50.0])
    assert told(run.session()) == []
    assert run.shares("X") == [50.0, 0.0]
    assert run.account["equity"] == 100_000.0


def test_growth_on_the_eve_of_nothing_is_bought() -> None:
    run = grows_into(CorporateEvent(date(2030, 1, 2), "X", EventKind.SPLIT, ratio=2.0), [100.0] * 4)
    assert told(run.session()) == [(1, 1, 25.0, 2_500.0, "entry")]


def test_prices_of_orders_stay_in_ticks_through_a_split() -> None:
    run = holder(CorporateEvent(DAY, "X", EventKind.SPLIT, ratio=3.0), [100.0, 100.0, 33.4, 33.4])
    run.until(2)
    slot, lot = run.slot("X"), run.lots("X")[0]
    assert (slot["stop"], slot["target"], lot["stop"], lot["target"]) == (31.67, 40.0, 31.67, 40.0)


def test_split_as_an_event_is_a_split() -> None:
    run = holder(CorporateEvent(DAY, "X", EventKind.SPLIT, ratio=4.0), [100.0, 100.0, 25.0, 25.0])
    assert told(run.until(2)) == []
    slot, lot = run.slot("X"), run.lots("X")[0]
    assert (slot["quantity"], slot["value"], slot["cost"]) == (200.0, 5_000.0, 5_000.0)
    assert (lot["stop"], lot["target"], lot["bought"], lot["peak"]) == (23.75, 30.0, 200.0, 25.0)


@pytest.mark.parametrize(
    ("dollars", "stop", "target"),
    [
        (3.0, 95.0, 120.0),  # 3 % is usual: who is stopped by it lost what he was paid
        (10.0, 85.0, 110.0),
    ],
)
def test_special_dividend_lowers_stop_and_target(dollars: float, stop: float, target: float) -> None:
    after = (100.0 - dollars, 100.0 - dollars, 100.0 - dollars, 100.0 - dollars, VOLUME)
    event = CorporateEvent(DAY, "X", EventKind.SPECIAL_DIVIDEND, cash=dollars)
    run = holder(event, [100.0, 100.0, after, after])
    assert told(run.until(2)) == []
    assert (run.slot("X")["stop"], run.slot("X")["target"]) == (stop, target)
    assert run.account["dividends"] == run.lots("X")[0]["dividends"] == 50.0 * dollars
    assert run.account["equity"] == 100_000.0


def test_special_dividend_lowers_the_limit_of_an_entry_and_pays_it_nothing() -> None:
    event = CorporateEvent(date(2024, 1, 3), "X", EventKind.SPECIAL_DIVIDEND, cash=10.0)
    run = holder(event, [100.0, 90.0, 90.0])
    fills = run.until(1)
    assert told(fills) == [(0, 1, 50.0, 4_500.0, "entry")]
    assert run.account["dividends"] == 0.0
    assert run.slot("X")["stop"] == 85.0
    high = holder(event, [100.0, (91.0, 91.0, 91.0, 91.0, VOLUME), 91.0])
    assert told(high.until(1)) == []  # the limit of 100 is 90 now


def test_threshold_of_special_dividends_is_a_setting() -> None:
    event = CorporateEvent(DAY, "X", EventKind.SPECIAL_DIVIDEND, cash=3.0)
    rules = story_rules(CostConfig(special_dividend_pct=2.9, **FREE_OF_COST))
    run = holder(event, [100.0, 100.0, 97.0, 97.0], rules=rules)
    run.until(2)
    assert run.slot("X")["stop"] == 92.0


# ---------------------------------------------------------------- what strategies see


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (CorporateEvent(DAY, "X", EventKind.SPLIT, ratio=4.0), 25.0),
        (CorporateEvent(DAY, "X", EventKind.SPECIAL_DIVIDEND, cash=10.0), 90.0),
        (CorporateEvent(DAY, "X", EventKind.SPIN_OFF, "Y", 0.5), 75.0),
    ],
)
def test_adjusted_prices_show_no_fall_that_was_none(event: CorporateEvent, after: float) -> None:
    panel = story_panel({"X": [100.0, 100.0, after, after], "Y": [50.0] * 4}, (event,))
    adjusted = forward_adjusted(panel)
    assert adjusted.close[:, 0].tolist() == pytest.approx([100.0] * 4)
    assert adjusted.close[:, 1].tolist() == [50.0] * 4
    assert panel.close[2, 0] == after  # what is traded stays


@pytest.mark.parametrize(
    "event",
    [
        CorporateEvent(DAY, "X", EventKind.STOCK_MERGER, "Y", 1.37, 31.5),
        CorporateEvent(DAY, "X", EventKind.SPIN_OFF, "Y", 0.37),
        CorporateEvent(DAY, "X", EventKind.SPLIT, ratio=3.0),
    ],
)
def test_events_are_worth_what_was_held(event: CorporateEvent) -> None:
    """Prices that move by exactly the event leave the equity as it was, to the cents of rounding."""
    y = 50.0
    worth = {EventKind.STOCK_MERGER: 0.0, EventKind.SPIN_OFF: 100.0 - 0.37 * y, EventKind.SPLIT: 100.0 / 3.0}[
        event.kind
    ]
    x: float | Bar = GONE if event.kind is EventKind.STOCK_MERGER else worth
    run = holder(event, [100.0, 100.0, x, x], [y] * 4)
    run.until(2)
    lost = {EventKind.STOCK_MERGER: 50.0 * (100.0 - 1.37 * y - 31.5)}.get(event.kind, 0.0)
    assert run.account["equity"] == pytest.approx(100_000.0 - lost, abs=0.011)
