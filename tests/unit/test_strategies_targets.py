"""What each target strategy holds on small markets, and how a book with places, bands and half-years is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trading_platform.core.types import STOCK, Floats, MarketPanel
from trading_platform.core.weeks import first_of_week
from trading_platform.strategies.asset_trend import AssetTrend
from trading_platform.strategies.base import TargetStrategy, prepare_targets
from trading_platform.strategies.holding import best, between_decisions, first_of_month, held_names
from trading_platform.strategies.long_bonds import LongBonds
from trading_platform.strategies.low_correlation import LowCorrelation
from trading_platform.strategies.managed_market import ManagedMarket
from trading_platform.strategies.panic_losers import PanicLosers
from trading_platform.strategies.quiet_stocks import QuietStocks
from trading_platform.strategies.real_assets import RealAssets
from trading_platform.strategies.steady_winners import SteadyWinners
from trading_platform.strategies.winners import Winners

T = 320  # a year of history, and three months to act in


def market(daily: Floats, classes: tuple[str, ...], first: str = "2015-01-01", **changes: Any) -> MarketPanel:
    """Return a panel of weekdays with these daily returns (T, N); the last column is the benchmark."""
    close: Floats = np.asarray(100.0 * np.cumprod(1.0 + daily, axis=0))
    n_sessions, n_tickers = close.shape
    tickers = tuple(f"T{i:02d}" for i in range(n_tickers))
    panel = MarketPanel(
        sessions=np.busday_offset(first, np.arange(n_sessions), roll="forward").astype("datetime64[D]"),
        tickers=tickers,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.full(close.shape, 1e6),
        vix=np.full(n_sessions, 15.0),
        benchmark=close[:, -1].copy(),
        sectors=tuple(f"Sector {i}" for i in range(n_tickers)),
        source="made up",
        data_hash="made-up",
        asset_classes=classes,
        benchmark_ticker=tickers[-1],
    )
    return replace(panel, **changes)


def wobble(means: list[float], sizes: list[float], seed: int = 0) -> Floats:
    """Return daily returns (T, N) with exactly these means and, roughly, these deviations."""
    noise = np.random.default_rng(seed).standard_normal((T, len(means)))
    noise -= noise.mean(axis=0)
    return np.asarray(np.array(means) + np.array(sizes) * noise)


def alternating(means: list[float], sizes: list[float]) -> Floats:
    """Return daily returns (T, N) that are `sizes` above and below `means` by turns, exactly."""
    return np.asarray(np.array(means) + np.array(sizes) * np.where(np.arange(T) % 2 == 0, 1.0, -1.0)[:, None])


def stocks(n: int) -> tuple[str, ...]:
    return (STOCK,) * n + ("equity_us",)


def wanted(strategy: TargetStrategy, panel: MarketPanel, t: int = -1) -> dict[int, float]:
    """Return column -> weight at row t, the largest first."""
    weights = prepare_targets(panel, [strategy])[0][t]
    return {int(i): round(float(weights[i]), 2) for i in np.argsort(-weights, kind="stable") if weights[i] > 0.0}


# ---------------------------------------------------------------- stock sleeves

MEANS = [0.0002 * (i + 1) for i in range(10)]


def test_winners_holds_the_strongest_of_the_calmer_half() -> None:
    sizes = [0.004, 0.02] * 5  # the even ones are calm
    panel = market(wobble([*MEANS, 0.0005], [*sizes, 0.005]), stocks(10))
    assert list(wanted(Winners(), panel)) == [8, 6, 4]


def test_winners_holds_nothing_after_a_year_in_which_the_market_fell() -> None:
    panel = market(wobble([*MEANS, -0.001], [0.004] * 11), stocks(10))
    assert wanted(Winners(), panel) == {}
    assert wanted(SteadyWinners(), panel) == {}


def test_winners_holds_no_stock_that_fell() -> None:
    panel = market(wobble([-0.001] * 9 + [0.001, 0.0005], [0.002] * 11), stocks(10))
    assert list(wanted(Winners(calm_share=1.0), panel)) == [9]


def test_winners_prefers_another_sector() -> None:
    daily = wobble([*MEANS, 0.0005], [0.002] * 11)
    one = ("Energy",) * 3 + ("Banks",) * 7 + ("equity_us",)
    panel = market(daily, stocks(10), sectors=one)
    assert list(wanted(Winners(calm_share=1.0, stay_share=1.0), panel)) == [9, 2, 8]
    unknown = market(daily, stocks(10), sectors=("Unknown",) * 11)
    assert list(wanted(Winners(calm_share=1.0, stay_share=1.0), unknown)) == [9, 8, 7]


def test_winners_knows_neither_funds_nor_strangers() -> None:
    daily = wobble([*MEANS, 0.0005], [0.002] * 11)
    classes = (STOCK,) * 9 + ("gold", "equity_us")
    member = np.ones((T, 11), dtype=np.bool_)
    member[:, 8] = False
    panel = market(daily, classes, member=member)
    assert list(wanted(Winners(calm_share=1.0), panel)) == [7, 6, 5]


def test_name_that_is_no_member_any_more_is_left_at_once() -> None:
    daily = wobble([*MEANS, 0.0005], [0.002] * 11)
    member = np.ones((T, 11), dtype=np.bool_)
    member[-1, 9] = False
    weights = prepare_targets(market(daily, stocks(10), member=member), [Winners(calm_share=1.0)])[0]
    assert weights[-2, 9] > 0.0 == weights[-1, 9]


def test_name_in_a_short_halt_is_kept_and_one_that_ended_is_not() -> None:
    panel = market(wobble([*MEANS, 0.0005], [0.002] * 11), stocks(10))
    close = panel.close.copy()
    close[-8:, 9] = np.nan
    weights = prepare_targets(replace(panel, close=close), [Winners(calm_share=1.0)])[0]
    assert (weights[-8:, 9] > 0.0).tolist() == [True] * 5 + [False] * 3


def test_steady_winners_holds_what_the_market_does_not_explain() -> None:
    daily = wobble([0.0] * 10 + [0.002], [0.004] * 10 + [0.01])
    daily[:, :5] += 1.5 * daily[:, -1:]  # these rose most, with the market
    daily[:, 5:8] += 0.001
    assert set(wanted(SteadyWinners(calm_share=1.0), market(daily, stocks(10)))) == {5, 6, 7}
    assert set(wanted(Winners(calm_share=1.0), market(daily, stocks(10)))) <= {0, 1, 2, 3, 4}


def test_quiet_stocks_holds_the_calmest_but_none_that_stands_still() -> None:
    sizes = [0.0, *(0.002 * i for i in range(1, 10))]
    panel = market(wobble([0.0] * 11, [*sizes, 0.01]), stocks(10))
    assert list(wanted(QuietStocks(), panel)) == [1, 2, 3]


def test_low_correlation_holds_what_moves_with_the_market_least() -> None:
    daily = wobble([0.0] * 11, [0.01] * 11)
    daily[:, 3:10] += daily[:, -1:]
    assert set(wanted(LowCorrelation(calm_share=1.0), market(daily, stocks(10)))) == {0, 1, 2}


def test_panic_losers_waits_for_fear_and_leaves_with_it() -> None:
    daily = wobble([0.0] * 11, [0.01] * 11)
    vix = np.full(T, 15.0)
    vix[260:300] = 30.0
    weights = prepare_targets(market(daily, stocks(10), vix=vix), [PanicLosers()])[0]
    assert not weights[:260].any()
    assert (weights[270:295] > 0.0).sum(axis=1).tolist() == [2] * 25
    assert not weights[306:].any()


def test_panic_losers_buys_what_fell_most_for_its_volatility() -> None:
    daily = wobble([0.0] * 11, [0.01] * 10 + [0.005])
    monday = int(first_of_week(market(daily, stocks(10)).sessions)[-1])
    daily[monday - 4 : monday + 1, 4] = -0.02
    daily[monday - 4 : monday + 1, 7] = -0.03
    panel = market(daily, stocks(10), vix=np.where(np.arange(T) >= monday, 30.0, 15.0))
    assert list(wanted(PanicLosers(), panel)) == [7, 4]


# ---------------------------------------------------------------- asset classes

CLASSES = ("government_bonds", "government_bonds", "gold", "real_estate", "commodities", "equity_us")


def test_asset_trend_holds_rising_groups_by_their_trend_for_risk() -> None:
    daily = alternating([0.0004, 0.0002, -0.0005, 0.0006, 0.0001, 0.0005], [0.005] * 6)
    assert list(wanted(AssetTrend(), market(daily, CLASSES))) == [3, 5, 0]


def test_asset_trend_needs_more_than_bills_earn() -> None:
    daily = alternating([0.0001] * 6, [0.004] * 6)
    assert len(wanted(AssetTrend(), market(daily, CLASSES))) == 3
    assert wanted(AssetTrend(), market(daily, CLASSES, cash_rate=np.full(T, 5.0))) == {}


def test_asset_trend_leaves_calm_funds_cash_and_currencies_alone() -> None:
    daily = alternating([0.0005] * 6, [0.002, 0.002, 0.005, 0.005, 0.005, 0.005])
    classes = ("government_bonds", "credit", "cash", "currency", "gold", "equity_us")
    assert set(wanted(AssetTrend(), market(daily, classes))) == {4, 5}
    assert "has 3" not in AssetTrend().stands_aside(market(daily, classes))
    assert AssetTrend().stands_aside(market(daily, (*classes[:4], STOCK, "equity_us"))) == (
        "needs funds of 3 groups of asset classes, has 2"
    )


def test_long_bonds_holds_the_fund_that_moves_most() -> None:
    panel = market(alternating([0.0] * 6, [0.002, 0.006, 0.01, 0.01, 0.01, 0.01]), CLASSES)
    assert wanted(LongBonds(), panel) == {1: 0.5}


def test_real_assets_bears_the_same_risk_in_both() -> None:
    panel = market(alternating([0.0] * 6, [0.01, 0.01, 0.005, 0.02, 0.01, 0.01]), CLASSES)
    weights = prepare_targets(panel, [RealAssets()])[0][-1]
    assert weights[2] == 0.5
    assert weights[3] == pytest.approx(0.125, rel=0.01)
    alone = market(alternating([0.0] * 3, [0.01] * 3), ("stock", "real_estate", "equity_us"))
    assert wanted(RealAssets(), alone) == {1: 0.5}


def test_managed_market_shrinks_with_variance_and_is_never_more_than_whole() -> None:
    daily = np.zeros((T, 2))
    signs = np.where(np.arange(T) % 2 == 0, 1.0, -1.0)
    daily[:, 1] = 0.32 / np.sqrt(252.0) * signs  # twice the usual volatility
    weights = prepare_targets(market(daily, (STOCK, "equity_us")), [ManagedMarket()])[0]
    assert weights[-1, 1] == pytest.approx(0.125, rel=0.06)
    daily[:, 1] /= 4.0
    weights = prepare_targets(market(daily, (STOCK, "equity_us")), [ManagedMarket()])[0]
    assert (weights[-1, 0], weights[-1, 1]) == (0.0, 0.5)


# ---------------------------------------------------------------- how a book is kept

# Months of 2020 from May to August: half-years end in between.
DAYS = np.array(["2020-05-01", "2020-06-01", "2020-07-01", "2020-08-03"], dtype="datetime64[D]")
ALONE = np.full(4, -1)


def book(score: list[list[float]], stay_places: int, n_names: int = 1, **changes: Any) -> list[list[float]]:
    """Return the weights of a book that decides on each of `DAYS`."""
    values = np.array(score)
    kept = best(values, np.full((len(values), 1), stay_places))
    arguments: dict[str, Any] = {
        "groups": ALONE,
        "days": np.arange(len(values)),
        "sessions": DAYS[: len(values)],
        "one_per_group": False,
        **changes,
    }
    rows: list[list[float]] = held_names(values, kept, kept, n_names=n_names, **arguments).round(2).tolist()
    return rows


def test_name_stays_inside_the_band_and_leaves_outside_of_it() -> None:
    inside = book([[4.0, 3.0, 2.0, 1.0], [3.0, 4.0, 2.0, 1.0]], stay_places=2)
    assert [row.index(max(row)) for row in inside] == [0, 0]
    outside = book([[4.0, 3.0, 2.0, 1.0], [2.0, 4.0, 3.0, 1.0]], stay_places=2)
    assert [row.index(max(row)) for row in outside] == [0, 1]


def test_half_year_begins_from_nothing() -> None:
    rows = [[4.0, 3.0, 2.0, 1.0]] + [[3.0, 4.0, 2.0, 1.0]] * 3
    assert [row.index(max(row)) for row in book(rows, stay_places=2)] == [0, 0, 1, 1]


def test_name_keeps_its_place_and_a_new_one_takes_the_largest_free() -> None:
    first, second = book([[4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 4.0]], stay_places=3, n_names=3)
    assert sorted(first, reverse=True) == first
    assert second[0] == 0.0
    assert second[1:3] == first[1:3]
    assert second[3] >= first[0]
    assert sum(first) <= 1.0


def test_group_is_held_once_where_that_is_asked() -> None:
    groups = np.array([0, 0, 1, -1])
    strict = book([[4.0, 3.0, 2.0, 1.0]], stay_places=4, n_names=4, groups=groups, one_per_group=True)
    assert [weight > 0.0 for weight in strict[0]] == [True, False, True, True]
    preferred = book([[4.0, 3.0, 2.0, 1.0]], stay_places=4, n_names=3, groups=groups)
    assert [weight > 0.0 for weight in preferred[0]] == [True, False, True, True]
    filled = book([[4.0, 3.0, 2.0, 1.0]], stay_places=4, n_names=4, groups=groups)
    assert all(weight > 0.0 for weight in filled[0])


def test_unknown_score_is_not_held() -> None:
    rows = book([[4.0, np.nan, np.nan, np.nan], [np.nan, 1.0, np.nan, np.nan]], stay_places=4, n_names=2)
    assert [[weight > 0.0 for weight in row] for row in rows] == [
        [True, False, False, False],
        [False, True, False, False],
    ]


def test_decision_days_are_the_first_of_their_week_and_month() -> None:
    days = np.array(["2020-05-28", "2020-05-29", "2020-06-01", "2020-06-02", "2020-06-09"], dtype="datetime64[D]")
    assert first_of_week(days).tolist() == [2, 4]  # the Monday, and a Tuesday after a holiday
    assert first_of_month(days).tolist() == [2]


def test_nothing_is_decided_before_the_first_decision_day() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert between_decisions(values, np.array([1, 3])).tolist() == [0.0, 2.0, 2.0, 4.0]
