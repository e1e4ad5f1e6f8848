"""Features that theory names: known answers, what is unknown, and that nothing looks ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kernel_world import random_panel
from trading_platform.core.theory_features import (
    HALF_YEAR,
    MAX_RATE_AGE,
    QUARTER,
    TWO_YEARS,
    YEAR,
    relative_volatility,
    theory_features,
    theory_lookback,
    universe_beta,
)

N = 700
MOMENTUM, VOLATILITY, BETA = range(3)


def books(n: int = N, k: int = 3) -> np.ndarray:
    return 0.002 * np.random.default_rng(1).standard_normal((n, k)) * np.arange(1, k + 1)


def test_two_year_return_and_bill_rate_are_what_they_say() -> None:
    rate = np.full(N, 3.5)
    panel = replace(random_panel(2, N), cash_rate=rate)
    shared = theory_features(panel, books()).shared
    assert shared[600, 0] == pytest.approx(panel.benchmark[600] / panel.benchmark[600 - TWO_YEARS] - 1.0)
    assert np.isnan(shared[TWO_YEARS - 1, 0])
    assert (shared[:, 1] == 3.5).all()


def test_bill_rate_outlives_a_gap_of_some_days_and_no_more() -> None:
    rate = np.full(N, 3.5)
    rate[100:] = np.nan
    shared = theory_features(replace(random_panel(2, N), cash_rate=rate), books()).shared
    assert shared[99 + MAX_RATE_AGE, 1] == 3.5
    assert np.isnan(shared[100 + MAX_RATE_AGE, 1])
    assert np.isnan(theory_features(random_panel(2, N), books()).shared[:, 1]).all()


def test_without_a_benchmark_the_universe_stands_in() -> None:
    panel = random_panel(2, N)
    daily = panel.close[1:] / panel.close[:-1] - 1.0
    blind = replace(panel, benchmark=np.full(N, np.nan))
    expected = np.prod(1.0 + daily.mean(axis=1)[600 - TWO_YEARS : 600]) - 1.0
    assert theory_features(blind, books()).shared[600, 0] == pytest.approx(expected)


def test_own_momentum_is_the_compounded_year() -> None:
    returns = books()
    own = theory_features(random_panel(2, N), returns).own
    assert own[400, 1, MOMENTUM] == pytest.approx(np.prod(1.0 + returns[401 - YEAR : 401, 1]) - 1.0)
    assert np.isnan(own[YEAR - 2, :, MOMENTUM]).all()


def test_relative_volatility_is_the_log_of_the_share_in_the_mean() -> None:
    returns = books()
    deviation = returns[300 - QUARTER + 1 : 301].std(axis=0, ddof=1)
    assert relative_volatility(returns)[300] == pytest.approx(np.log(deviation / deviation.mean()))


def test_a_book_that_never_moved_has_no_relative_volatility_and_does_not_count_for_others() -> None:
    returns = books()
    returns[:, 2] = 0.0
    ratio = relative_volatility(returns)[300]
    assert np.isnan(ratio[2])
    deviation = returns[300 - QUARTER + 1 : 301, :2].std(axis=0, ddof=1)
    assert ratio[:2] == pytest.approx(np.log(deviation / deviation.mean()))


def test_beta_is_that_of_a_regression() -> None:
    rng = np.random.default_rng(3)
    universe = 0.01 * rng.standard_normal(N)
    returns = np.column_stack([0.5 * universe, -0.2 * universe + 0.003 * rng.standard_normal(N)])
    beta = universe_beta(returns, universe)
    window = slice(400 - HALF_YEAR + 1, 401)
    assert beta[400, 0] == pytest.approx(0.5)
    assert beta[400, 1] == pytest.approx(np.polyfit(universe[window], returns[window, 1], 1)[0])
    assert np.isnan(universe_beta(returns, np.zeros(N))).all()


@pytest.mark.parametrize("faults", [False, True])
def test_nothing_looks_ahead_and_nothing_older_is_remembered(faults: bool) -> None:
    panel, returns = replace(random_panel(5, N, faults=faults), cash_rate=np.linspace(1.0, 5.0, N)), books()
    whole = theory_features(panel, returns)
    cut = theory_features(panel.rows(0, 640), returns[:640])
    for part, kept in zip(whole, cut, strict=True):
        assert part[:640].tobytes() == kept.tobytes()
    start = 100
    late = theory_features(panel.rows(start, N), returns[start:])
    rows = theory_lookback(0)
    for part, kept in zip(whole, late, strict=True):
        assert np.isfinite(kept[rows:]).any()
        assert np.ascontiguousarray(part[start + rows :]).tobytes() == np.ascontiguousarray(kept[rows:]).tobytes()
