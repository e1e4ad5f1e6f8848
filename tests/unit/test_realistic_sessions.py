"""Market stories of one session under realistic fills: one ticker, bars and draws written out."""

from __future__ import annotations

import numpy as np
import pytest
from test_kernel_session import NAN, QUIET, RULES, Story, entry, holding, run

from trading_platform.core.booking import ask_all_out, net_order
from trading_platform.core.fills import buy_price, cost_fraction, round_cents, sell_price
from trading_platform.core.ledger import Record
from trading_platform.core.market import Market
from trading_platform.core.order_reasons import ORDER_REASONS, OrderReason
from trading_platform.core.realistic_fills import AUCTION, BUY_PART, SELL_PART, STOP_SLIP, WHOLE
from trading_platform.core.reasons import SIGNAL_EXIT
from trading_platform.core.simulate import Books

Bar = tuple[float, float, float, float, float]
COSTS = RULES.costs
USUAL = 1.0 + cost_fraction(100.0, 1e6, COSTS)


def market(
    *bars: Bar, auction: float = NAN, buys: float = WHOLE, sales: float = WHOLE, slip: float = 0.0, since: int = 1
) -> Market:
    """Return the market of a quiet session and `bars`, with the draws of row `since`; others draw nothing unusual."""
    made = Story((QUIET, *bars)).market()
    draws = np.empty((1, len(bars) + 1, 4))
    draws[0] = WHOLE
    draws[0, :, AUCTION] = made.bars[0, :, 0]
    draws[0, :, STOP_SLIP] = 0.0
    drawn = {AUCTION: auction, BUY_PART: buys, SELL_PART: sales, STOP_SLIP: slip}
    for field, value in drawn.items():
        if value == value:  # the auction is the open where it is not written out
            draws[0, since, field] = value
    return made._replace(draws=draws)


def slot(books: Books) -> Record:
    return books.slots[0, 0]


def leaving() -> Books:
    """Return a book that holds 100 shares and leaves at the next open."""
    books = holding()
    ask_all_out(books.slots[0], books.lots[0], 0, SIGNAL_EXIT)
    net_order(books.slots[0], books.lots[0], 0)
    return books


def test_entry_and_exit_trade_at_the_auction() -> None:
    fills = run(entry(), market(QUIET, auction=100.2), 1)
    assert fills["price"].tolist() == [buy_price(100.2, 100.0, 1e6, COSTS)]
    fills = run(leaving(), market(QUIET, auction=99.8), 1)
    assert fills["price"].tolist() == [sell_price(99.8, 100.0, 1e6, COSTS)]


def test_same_story_without_draws_trades_at_the_open() -> None:
    exact = market(QUIET, auction=100.2, buys=0.1)._replace(draws=np.empty((0, 0, 0)))
    fills = run(entry(), exact, 1)
    assert fills[["price", "quantity"]].tolist() == [(buy_price(100.0, 100.0, 1e6, COSTS), 100.0)]


def test_entry_that_missed_the_auction_gets_the_first_trade() -> None:
    fills = run(entry(limit_price=100.1), market(QUIET, auction=100.2), 1)
    assert fills["price"].tolist() == [buy_price(100.0, 100.0, 1e6, COSTS)]


def test_entry_that_missed_auction_and_first_trade_does_not_come_back_in_the_afternoon() -> None:
    books = entry(limit_price=100.0)
    fills = run(books, market((100.1, 101.0, 95.0, 96.0, 1e6), auction=100.3), 1)
    assert len(fills) == 0
    assert slot(books)["ticker"] == -1  # taken back some minutes after the open
    assert books.accounts[0]["cash"] == 100_000.0


@pytest.mark.parametrize("auction", [99.97, 99.99, 100.0])
def test_entry_never_pays_more_than_its_limit_and_bears_the_costs_that_fit_under_it(auction: float) -> None:
    fills = run(entry(limit_price=100.0), market(QUIET, auction=auction), 1)
    assert fills["price"].tolist() == [100.0]
    parts = [float(fills[name][0]) for name in ("spread", "slippage", "impact")]
    assert min(parts) >= 0.0
    assert round_cents(sum(parts)) == round_cents(10_000.0 - 100.0 * auction)


def test_entry_partly_filled_keeps_what_it_got_protected_and_the_rest_is_gone() -> None:
    books = entry()
    falls = (100.0, 100.0, 85.0, 88.0, 1e6)
    prices = market(QUIET, falls, buys=0.367)
    assert run(books, prices, 1)["quantity"].tolist() == [37.0]
    assert (slot(books)["quantity"], slot(books)["pending"], slot(books)["stop"]) == (37.0, 0.0, 90.0)
    fills = run(books, prices, 2)
    assert fills["quantity"].tolist() == [37.0]
    assert ORDER_REASONS[fills["reason"][0]] is OrderReason.STOP_LOSS


def test_entry_partly_filled_is_protected_in_the_same_session() -> None:
    books = entry()
    fills = run(books, market((100.0, 100.0, 85.0, 88.0, 1e6), buys=0.0), 1)
    assert fills["quantity"].tolist() == [1.0, 1.0]  # of a partial fill at least one share
    assert books.accounts[0]["trades"] == 1
    assert slot(books)["ticker"] == -1


def test_exit_partly_filled_stands_for_the_rest_at_the_next_open() -> None:
    books = leaving()
    prices = market(QUIET, QUIET, sales=0.25, auction=100.3)
    first = run(books, prices, 1)
    assert (first["quantity"].tolist(), first["closed"].tolist()) == ([26.0], [0])
    assert (slot(books)["quantity"], slot(books)["selling"], slot(books)["stop"]) == (74.0, 74.0, 90.0)
    second = run(books, prices, 2)
    assert (second["quantity"].tolist(), second["closed"].tolist()) == ([74.0], [1])
    assert books.accounts[0]["trades"] == 1


def test_rest_of_an_exit_is_still_protected_by_its_stop() -> None:
    books = leaving()
    fills = run(books, market((100.0, 100.0, 85.0, 88.0, 1e6), sales=0.25), 1)
    assert fills["quantity"].tolist() == [26.0, 74.0]
    assert [ORDER_REASONS[code] for code in fills["reason"]] == [OrderReason.SIGNAL_EXIT, OrderReason.STOP_LOSS]


@pytest.mark.parametrize(
    ("bar", "elected"),
    [((100.0, 101.0, 85.0, 88.0, 1e6), 90.0), ((80.0, 85.0, 75.0, 82.0, 1e6), 80.0)],  # touched; gapped through
)
def test_elected_stop_sells_lower(bar: Bar, elected: float) -> None:
    fills = run(holding(), market(bar, slip=0.0008), 1)
    assert fills["price"].tolist() == [sell_price(round(elected * 0.9992, 4), 100.0, 1e6, COSTS)]


def test_target_does_not_slip_and_a_whole_position_leaves() -> None:
    fills = run(holding(), market((100.0, 121.0, 99.0, 110.0, 1e6), slip=0.0008, sales=0.1), 1)
    assert fills[["price", "quantity"]].tolist() == [(sell_price(120.0, 100.0, 1e6, COSTS), 100.0)]


def test_volume_and_cash_bound_what_is_then_filled_in_part() -> None:
    thin = (100.0, 101.0, 99.0, 100.0, 1000.0)  # 50 shares a session
    assert run(entry(), market(thin, buys=0.5), 1)["quantity"].tolist() == [26.0]
    poor = entry()
    poor.accounts[0]["cash"] = 4_080.0  # 40 shares at the limit of 102
    assert run(poor, market(QUIET, buys=0.5), 1)["quantity"].tolist() == [21.0]


def test_without_a_bar_nothing_is_drawn() -> None:
    gone = (NAN, NAN, NAN, NAN, NAN)
    assert len(run(entry(), market(gone, QUIET), 1)) == 0
    books = leaving()
    prices = market(gone, QUIET)
    assert len(run(books, prices, 1)) == 0
    assert run(books, prices, 2)["quantity"].tolist() == [100.0]


def test_costs_of_a_partial_fill_are_those_of_its_shares() -> None:
    """The whole order meets the market, so that its impact is in the price; what was not bought is not charged."""
    fills = run(entry(), market(QUIET, buys=0.5), 1)
    assert fills["price"].tolist() == [pytest.approx(100.0 * USUAL)]
    told = float(sum(fills[name][0] for name in ("spread", "slippage", "impact")))
    assert told == pytest.approx(51.0 * 100.0 * (USUAL - 1.0), abs=0.011)
