"""Known answers of the figures by which a book is judged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.types import Floats
from trading_platform.evaluation.book_statistics import (
    SHORTEST_BLOCK,
    block_length,
    book_figures,
    exposure_means,
    mean_pairwise_correlation,
    newey_west_lag,
    one_factor,
    same_beta,
    sharpe_gain,
    sharpe_summary,
    sixty_forty,
)

N = 1_000


def noise(seed: int, n_columns: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 0.01, (N, n_columns))


def newey_west_by_hand(excess: Floats, market: Floats, lags: int) -> float:
    """Return alpha's t value by the sums as they stand in the paper, row by row."""
    design = np.column_stack([np.ones(len(excess)), market])
    estimate, *_ = np.linalg.lstsq(design, excess, rcond=None)
    residual = excess - design @ estimate
    middle = np.zeros((2, 2))
    for t in range(len(excess)):
        for s in range(len(excess)):
            if abs(t - s) <= lags:
                weight = 1.0 - abs(t - s) / (lags + 1.0)
                middle += weight * residual[t] * residual[s] * np.outer(design[t], design[s])
    bread = np.linalg.inv(design.T @ design)
    variance = (bread @ middle @ bread)[0, 0] * len(excess) / (len(excess) - 2)
    return float(estimate[0] / math.sqrt(variance))


def test_one_factor_finds_the_line_it_was_made_of() -> None:
    market = noise(1)[:, 0]
    rest = noise(2)[:, 0]
    rest -= np.polyval(np.polyfit(market, rest, 1), market)  # nothing of it is explained
    factor = one_factor(0.0003 + 0.4 * market + rest, market)
    assert factor.alpha == pytest.approx(0.0003)
    assert factor.beta == pytest.approx(0.4)


def test_t_of_alpha_is_newey_and_wests() -> None:
    market, rest = noise(1)[:120, 0], noise(2)[:120, 0]
    rest[1:] += 0.5 * rest[:-1]
    excess = 0.0005 + 0.4 * market + rest
    assert one_factor(excess, market).alpha_t == pytest.approx(newey_west_by_hand(excess, market, newey_west_lag(120)))
    assert newey_west_by_hand(excess, market, 0) > 1.1 * one_factor(excess, market).alpha_t  # the lags matter


@pytest.mark.parametrize(("sessions", "lag"), [(100, 4), (252, 4), (1_000, 6), (3_776, 8), (4_276, 9)])
def test_lag_follows_the_length(sessions: int, lag: int) -> None:
    assert newey_west_lag(sessions) == lag


def test_alpha_of_a_scaled_benchmark_has_no_t_value() -> None:
    market = noise(1)[:, 0]
    factor = one_factor(0.3 * market, market)
    assert factor.beta == pytest.approx(0.3)
    assert math.isnan(factor.alpha_t)


@pytest.mark.parametrize("excess", [np.zeros(59), np.full(100, np.nan)])
def test_alpha_of_too_little_is_unknown(excess: Floats) -> None:
    assert all(math.isnan(value) for value in one_factor(excess, noise(1)[: len(excess), 0]))
    assert all(math.isnan(value) for value in one_factor(np.zeros(100), np.zeros(100)))


def test_figures_are_over_bills() -> None:
    market = noise(1)[:, 0]
    bills = np.full(N, 0.0001)
    figures = book_figures(0.5 * market + 0.5 * bills, bills, market)
    assert figures.beta == pytest.approx(0.5)
    assert figures.alpha == pytest.approx(0.0, abs=1e-12)
    assert figures.sharpe == pytest.approx((market.mean() - 0.0001) / market.std(ddof=1) * math.sqrt(252))
    assert figures.sharpe_plain > figures.sharpe
    assert figures.excess_return == pytest.approx(figures.annual_return - (1.0001**252 - 1.0))


def test_bills_earn_nothing_over_bills() -> None:
    bills = np.full(N, 0.0001)
    figures = book_figures(bills, bills, noise(1)[:, 0])
    assert math.isnan(figures.sharpe)
    assert figures.excess_return == 0.0


def test_exposure_of_calm_sessions_leaves_halts_and_fear_out() -> None:
    exposure, vix = np.array([0.4, 0.2, 0.1, 0.3]), np.array([15.0, 30.0, 15.0, np.nan])
    halted = np.array([False, False, True, False])
    assert list(exposure_means(exposure, vix, halted)) == pytest.approx([0.25, 0.4])


def test_same_beta_has_the_benchmarks_ratio() -> None:
    market, bills = noise(1)[:, 0], np.full(N, 0.0001)
    mixed = book_figures(same_beta(market, bills, 0.25), bills, market)
    assert mixed.beta == pytest.approx(0.25)
    assert mixed.sharpe == pytest.approx(book_figures(market, bills, market).sharpe)


def test_sixty_forty_holds_bills_until_bonds_trade() -> None:
    bonds = np.array([np.nan, 0.01])
    assert sixty_forty(np.full(2, 0.1), bonds, np.full(2, 0.001)).tolist() == pytest.approx([0.0604, 0.064])


def test_summary_is_the_mean_over_universes_with_its_deviation() -> None:
    books = 0.0005 + noise(1, 2)
    ratios = [books[:, i].mean() / books[:, i].std(ddof=1) * math.sqrt(252) for i in range(2)]
    summary = sharpe_summary(books, np.random.default_rng(0))
    assert summary.mean == pytest.approx(np.mean(ratios))
    assert summary.sd == pytest.approx(np.std(ratios, ddof=1))
    assert summary.low < summary.mean < summary.high


def test_universes_that_share_their_years_do_not_narrow_the_interval() -> None:
    one = 0.0005 + noise(1)
    alone = sharpe_summary(one, np.random.default_rng(0))
    twenty = sharpe_summary(np.tile(one, 20), np.random.default_rng(0))
    assert (twenty.low, twenty.high) == pytest.approx((alone.low, alone.high))
    independent = sharpe_summary(0.0005 + noise(1, 20), np.random.default_rng(0))
    assert independent.high - independent.low < 0.4 * (alone.high - alone.low)


def test_interval_of_a_single_ratio_is_as_wide_as_theory_says() -> None:
    """Lo (2002): the standard error of an annualised ratio near 0 is 1 / sqrt(years)."""
    summary = sharpe_summary(noise(4), np.random.default_rng(0), n_resamples=4_000)
    assert summary.high - summary.low == pytest.approx(2 * 1.96 / math.sqrt(N / 252), rel=0.15)


def test_gain_is_paired() -> None:
    base = 0.0005 + noise(1, 3)
    same = sharpe_gain(base, base.copy(), np.random.default_rng(0))
    assert same[:2] == (0.0, 0.0)
    assert (same.low, same.high) == (0.0, 0.0)
    better = sharpe_gain(base + 0.0002 + 0.05 * noise(7, 3), base, np.random.default_rng(0))
    assert 0.0 < better.low < better.mean < better.high


def test_blocks_are_a_month_at_least_and_longer_for_what_persists() -> None:
    still = noise(1, 3)
    assert block_length(still) == SHORTEST_BLOCK
    wild = np.where(np.arange(N) // 100 % 2 == 0, 0.3, 3.0)[:, None] * still
    assert block_length(wild) > SHORTEST_BLOCK


def test_correlation_after_the_market_leaves_what_is_shared_out() -> None:
    market = noise(1)[:, 0]
    books = [market + 0.5 * column for column in noise(2, 3).T]
    assert mean_pairwise_correlation(books) == pytest.approx(0.8, abs=0.03)
    assert mean_pairwise_correlation(books, market) == pytest.approx(0.0, abs=0.05)
    assert math.isnan(mean_pairwise_correlation([books[0], np.zeros(N)]))


def test_short_history_has_no_interval() -> None:
    summary = sharpe_summary(noise(1)[:30], np.random.default_rng(0))
    assert math.isfinite(summary.mean)
    assert summary.to_dict()["low"] is None
