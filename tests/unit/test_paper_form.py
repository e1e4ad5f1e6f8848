"""The paper form to the last digit: one lag, costs on what is traded, cash that earns, opposite wishes that cancel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trading_platform.core.types import STOCK, Floats, MarketPanel
from trading_platform.evaluation.paper_form import (
    combined_targets,
    equal_allocation,
    nightly_interest,
    paper_book,
    paper_form,
    total_returns,
)


def market(opens: list[list[float]], closes: list[list[float]], **changes: Any) -> MarketPanel:
    """Return a panel of weekdays from Thursday 2020-01-02 on, rows are sessions."""
    open_, close = np.array(opens, dtype=np.float64), np.array(closes, dtype=np.float64)
    n_sessions, n_tickers = close.shape
    panel = MarketPanel(
        sessions=np.busday_offset("2020-01-02", np.arange(n_sessions), roll="forward").astype("datetime64[D]"),
        tickers=tuple(f"T{i}" for i in range(n_tickers)),
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        volume=np.full(close.shape, 1e6),
        vix=np.full(n_sessions, 15.0),
        benchmark=close[:, 0].copy(),
        sectors=("Energy",) * n_tickers,
        source="made up",
        data_hash="made-up",
        asset_classes=(STOCK,) * n_tickers,
    )
    return replace(panel, **changes)


def held(*rows: list[float]) -> Floats:
    return np.array(rows, dtype=np.float64)


def test_weight_decided_at_a_close_is_bought_at_the_next_open() -> None:
    panel = market([[10.0], [11.0], [12.0]], [[10.0], [12.0], [13.0]])
    book = paper_book(panel, held([0.5], [0.5], [0.5]), cost_bps=0.0, band=1.0)
    # half the equity was worth 0.5 at the close of 10 and costs 0.55 at the open of 11: as many shares as were decided
    assert book.returns.tolist() == pytest.approx([0.0, 0.05, (0.45 + 0.05 * 13.0) / 1.05 - 1.0])
    assert book.exposure[1] == pytest.approx(0.6 / 1.05)
    assert book.turnover.tolist() == pytest.approx([0.0, 0.55, 0.0])


def test_return_of_the_day_of_the_decision_is_not_earned() -> None:
    panel = market([[10.0], [10.0], [20.0]], [[10.0], [20.0], [20.0]])
    assert paper_book(panel, held([0.0], [1.0], [1.0]), 0.0).returns.tolist() == [0.0, 0.0, 0.0]
    assert paper_book(panel, held([1.0], [1.0], [1.0]), 0.0).returns[1] == pytest.approx(1.0)


def test_cost_is_taken_from_what_is_traded() -> None:
    panel = market([[10.0]] * 4, [[10.0]] * 4)
    book = paper_book(panel, held([0.5], [0.5], [0.0], [0.0]), cost_bps=10.0)
    assert book.costs.tolist() == pytest.approx([0.0, 0.0005, 0.0, 0.0005 / 0.9995])
    assert float(np.prod(1.0 + book.returns)) == pytest.approx(0.999)


def test_cash_earns_the_rate_of_the_close_before_over_calendar_days() -> None:
    panel = market([[10.0]] * 3, [[10.0]] * 3, cash_rate=np.array([3.65, np.nan, 7.3]))
    # Thursday to Friday one day; Friday to Monday three, at the rate last known
    assert nightly_interest(panel).tolist() == pytest.approx([0.0, 0.0001, 0.0003])
    book = paper_book(panel, np.zeros((3, 1)), cost_bps=10.0)
    assert book.returns.tolist() == pytest.approx([0.0, 0.0001, 0.0003])


def test_position_that_drifted_less_than_the_band_is_left_alone() -> None:
    panel = market([[10.0], [10.0], [11.0], [20.0]], [[10.0], [11.0], [11.0], [20.0]])
    book = paper_book(panel, np.full((4, 1), 0.5), cost_bps=10.0, band=0.2)
    assert book.turnover[1] == pytest.approx(0.5)
    assert book.turnover[2] == 0.0  # 0.55 of 1.05 is within a fifth of a half
    tight = paper_book(panel, np.full((4, 1), 0.5), cost_bps=10.0, band=0.01)
    assert tight.turnover[2] > 0.0


def test_what_is_not_wanted_is_sold_whole_whatever_the_band() -> None:
    panel = market([[10.0]] * 4, [[10.0]] * 4)
    book = paper_book(panel, held([0.01], [0.0], [0.0], [0.0]), cost_bps=0.0, band=0.9)
    assert book.exposure.tolist() == pytest.approx([0.0, 0.01, 0.0, 0.0])


def test_opposite_wishes_cancel_before_they_cost() -> None:
    panel = market([[10.0]] * 3, [[10.0]] * 3)
    first, second = held([1.0], [0.0], [0.0]), held([0.0], [1.0], [1.0])
    form = paper_form(panel, (first, second), np.array([0.5, 0.5]), cost_bps=10.0)
    assert form.book.turnover.tolist() == pytest.approx([0.0, 0.5, 0.0])
    assert form.strategies[0].turnover.tolist() == pytest.approx([0.0, 1.0, 1.0 / 0.999])


def test_allocation_may_move_over_time() -> None:
    targets = (held([1.0, 0.0], [1.0, 0.0]), held([0.0, 1.0], [0.0, 1.0]))
    moving = combined_targets(targets, np.array([[0.5, 0.5], [0.2, 0.8]]))
    assert moving.tolist() == [[0.5, 0.5], [0.2, 0.8]]


def test_strategies_that_stand_aside_leave_their_capital_to_the_others() -> None:
    assert equal_allocation(["", "needs gold", "", ""]).tolist() == pytest.approx([1 / 3, 0.0, 1 / 3, 1 / 3])
    assert equal_allocation(["needs gold"]).tolist() == [0.0]


def test_split_is_no_return_and_a_dividend_is_one() -> None:
    split = market([[10.0], [10.0], [5.0]], [[10.0], [10.0], [5.0]], split_ratio=held([1.0], [1.0], [2.0]))
    assert paper_book(split, np.ones((3, 1)), 0.0).returns.tolist() == [0.0, 0.0, 0.0]
    paid = market([[10.0], [10.0], [9.0]], [[10.0], [10.0], [9.0]], dividend=held([0.0], [0.0], [1.0]))
    assert paper_book(paid, np.ones((3, 1)), 0.0).returns.tolist() == pytest.approx([0.0, 0.0, 0.0])
    both = replace(split, dividend=held([0.0], [0.0], [0.5]))
    assert paper_book(both, np.ones((3, 1)), 0.0).returns[2] == pytest.approx(0.1)


def test_position_in_a_halt_is_kept_at_its_last_price_and_traded_after_it() -> None:
    nan = np.nan
    panel = market([[10.0], [10.0], [nan], [12.0], [12.0]], [[10.0], [10.0], [nan], [12.0], [12.0]])
    book = paper_book(panel, held([1.0], [0.0], [0.0], [0.0], [0.0]), cost_bps=0.0)
    assert book.exposure.tolist() == pytest.approx([0.0, 1.0, 1.0, 0.0, 0.0])
    assert book.returns[3] == pytest.approx(0.2)


def test_ticker_that_ended_is_settled_at_its_last_price_without_cost() -> None:
    prices = [[10.0], [10.0]] + [[np.nan]] * 8
    book = paper_book(market(prices, prices), held([1.0], *[[0.0]] * 9), cost_bps=10.0)
    assert book.exposure[7] == 0.0
    assert book.exposure[6] > 0.0
    assert float(np.prod(1.0 + book.returns)) == pytest.approx(0.999)


def test_nothing_is_traded_before_the_start() -> None:
    panel = market([[10.0], [10.0], [10.0], [10.0]], [[11.0], [12.0], [13.0], [14.0]])
    book = paper_book(panel, np.ones((4, 1)), cost_bps=0.0, start=2)
    assert book.returns[:2].tolist() == [0.0, 0.0]
    assert book.exposure[2] > 0.0


def test_total_returns_bridge_a_halt_and_are_unknown_before_a_listing() -> None:
    nan = np.nan
    prices = [[nan, 10.0], [10.0, nan], [11.0, 12.0]]
    daily = total_returns(market(prices, prices))
    np.testing.assert_allclose(daily, [[nan, nan], [nan, 0.0], [0.1, 0.2]])
