"""Closed-form tests of Sharpe differences: against Monte Carlo, against each other, and the power they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.metrics import session_volatility, sharpe_ratio
from trading_platform.core.types import Floats
from trading_platform.evaluation.bootstrap import sharpe_difference
from trading_platform.evaluation.sharpe_tests import (
    detection_power,
    effective_sessions,
    influence,
    jobson_korkie_memmel,
    ledoit_wolf,
    long_run_variance,
    matched_difference,
    sessions_to_detect,
)


def pair(n_sessions: int, slope: float, rng: np.random.Generator, gain: float = 0.0) -> tuple[Floats, Floats]:
    """Two books of correlation 0.9; the part in which they differ follows an AR(1) of unit variance."""
    common, own = rng.normal(size=(2, n_sessions))
    own[1:] *= math.sqrt(1 - slope**2)
    for t in range(1, n_sessions):
        own[t] += slope * own[t - 1]
    challenger = 0.9 * common + math.sqrt(0.19) * own + (0.5 + gain) / math.sqrt(252)
    return 0.01 * challenger, 0.01 * (common + 0.5 / math.sqrt(252))


@pytest.mark.parametrize("slope", [0.0, 0.4])
def test_ledoit_wolf_error_equals_the_spread_over_worlds(slope: float) -> None:
    rng = np.random.default_rng(1)
    results = [ledoit_wolf(*pair(504, slope, rng)) for _ in range(600)]
    spread = np.std([r.difference for r in results])
    # the spread is known to 2.9 %, the kernel estimate is biased down by a few percent
    assert np.mean([r.standard_error for r in results]) == pytest.approx(spread, rel=0.10)


def test_jobson_korkie_memmel_misses_the_memory_that_ledoit_wolf_sees() -> None:
    challenger, base = pair(5_000, 0.6, np.random.default_rng(2))
    ratio = ledoit_wolf(challenger, base).standard_error / jobson_korkie_memmel(challenger, base).standard_error
    # AR(1) in the difference: sqrt((1 + 0.6) / (1 - 0.6)) = 2 for that part, 1 for the common one (small here)
    assert 1.6 < ratio < 2.05


def test_both_tests_agree_on_independent_normal_returns() -> None:
    challenger, base = pair(20_000, 0.0, np.random.default_rng(3))
    robust, simple = ledoit_wolf(challenger, base), jobson_korkie_memmel(challenger, base)
    assert robust.difference == simple.difference == sharpe_ratio(challenger) - sharpe_ratio(base)
    assert robust.standard_error == pytest.approx(simple.standard_error, rel=0.02)


def test_memmel_variance_written_out() -> None:
    challenger, base = pair(100, 0.0, np.random.default_rng(4))
    s1, s2 = (sharpe_ratio(x) / math.sqrt(252) for x in (challenger, base))
    r = float(np.corrcoef(challenger, base)[0, 1])
    # Memmel (2003), equation 4
    variance = (2 - 2 * r + 0.5 * (s1**2 + s2**2 - 2 * s1 * s2 * r**2)) / 100
    found = jobson_korkie_memmel(challenger, base)
    assert found.standard_error == pytest.approx(math.sqrt(variance * 252))
    assert found.z == pytest.approx((s1 - s2) / math.sqrt(variance))


def test_rejections_of_a_true_null_are_about_five_percent() -> None:
    rng = np.random.default_rng(5)
    rejected = sum(ledoit_wolf(*pair(252, 0.0, rng)).p_value < 0.05 for _ in range(600))
    # 30 expected, standard deviation 5.3
    assert 14 <= rejected <= 46


def test_influence_sums_to_zero_and_predicts_the_effect_of_one_day() -> None:
    challenger, base = pair(2_000, 0.0, np.random.default_rng(6))
    effect = influence(challenger, base)
    assert effect.mean() == pytest.approx(0.0, abs=1e-12)
    # leaving a day out moves the daily difference by about minus its influence / T
    before = (sharpe_ratio(challenger) - sharpe_ratio(base)) / math.sqrt(252)
    for day in (3, 700, 1999):
        after = (sharpe_ratio(np.delete(challenger, day)) - sharpe_ratio(np.delete(base, day))) / math.sqrt(252)
        assert after - before == pytest.approx(-effect[day] / 2_000, abs=2e-6)


@pytest.mark.parametrize("test", [ledoit_wolf, jobson_korkie_memmel])
def test_unknown_series_have_unknown_tests(test: type) -> None:
    good = np.random.default_rng(0).normal(size=50)
    broken = good.copy()
    broken[7] = math.nan
    for other in (broken, np.full(50, 0.001)):
        assert math.isnan(test(good, other).p_value)
    assert math.isnan(test(good[:2], good[:2]).p_value)


@pytest.mark.parametrize("test", [ledoit_wolf, jobson_korkie_memmel])
def test_a_book_against_itself_is_certainly_equal(test: type) -> None:
    good = np.random.default_rng(0).normal(size=50)
    found = test(good, good.copy())
    assert (found.difference, found.z, found.p_value) == (0.0, 0.0, 1.0)


def test_long_run_variance_of_an_autoregression_is_near_its_closed_form() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=50_000)
    for t in range(1, len(values)):
        values[t] += 0.5 * values[t - 1]
    assert long_run_variance(values) == pytest.approx(1 / (1 - 0.5) ** 2, rel=0.08)
    assert long_run_variance(np.zeros(20)) == 0.0


def test_long_run_variance_written_out() -> None:
    values = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    # products of neighbours sum to -5, of second neighbours to 0, of third ones to 1; variance 1
    first, second, third = -0.5, 0.0, 0.1
    bandwidth = 2.6614 * (4 * 0.5**2 / 1.5**4 * 10) ** 0.2
    one, three = 1 / bandwidth, 3 / bandwidth
    assert one < 0.5 < three < 1 < 4 / bandwidth
    expected = 1 + 2 * (1 - 6 * one**2 + 6 * one**3) * first + 2 * second + 2 * (2 * (1 - three) ** 3) * third
    assert long_run_variance(values) == pytest.approx(expected, rel=1e-12)
    # an offset is no variance
    assert long_run_variance(values + 7.0) == pytest.approx(expected, rel=1e-12)


def test_ledoit_wolf_error_written_out() -> None:
    challenger, base = pair(40, 0.0, np.random.default_rng(14))
    variance = long_run_variance(influence(challenger, base)) / 36 * 252
    assert ledoit_wolf(challenger, base).standard_error == pytest.approx(math.sqrt(variance))


def test_influence_of_a_steep_book_counts_its_variance() -> None:
    # mean 2 and deviation sqrt(1/2) against mean 0 and deviation 1
    steep, flat = np.tile([1.0, 3.0, 2.0, 2.0], 5), np.tile([1.0, -1.0, -1.0, 1.0], 5)
    deviation = math.sqrt(0.5)
    z = np.tile([-1.0, 1.0, 0.0, 0.0], 5) / deviation
    expected = z - 0.5 * (2.0 / deviation) * (z**2 - 1.0) - flat
    np.testing.assert_allclose(influence(steep, flat), expected)


@pytest.mark.parametrize(("test", "least"), [(ledoit_wolf, 10), (jobson_korkie_memmel, 3)])
def test_the_shortest_series_that_can_be_tested(test: type, least: int) -> None:
    challenger, base = pair(least, 0.0, np.random.default_rng(15))
    assert math.isfinite(test(challenger, base).p_value)
    assert math.isnan(test(challenger[1:], base[1:]).p_value)


def test_effective_sessions_follow_the_standard_error() -> None:
    challenger, base = pair(500, 0.0, np.random.default_rng(16))
    independent = math.sqrt(float(np.mean(influence(challenger, base) ** 2)) / 500 * 252)
    assert effective_sessions(challenger, base, independent) == pytest.approx(500)
    # twice the error is a quarter of the sessions; a smaller one is luck, not a bonus
    assert effective_sessions(challenger, base, 2 * independent) == pytest.approx(125)
    assert effective_sessions(challenger, base, 0.5 * independent) == 500
    for unknown in (math.nan, 0.0, -1.0):
        assert math.isnan(effective_sessions(challenger, base, unknown))
    assert math.isnan(effective_sessions(base, base, 0.1))
    assert math.isnan(effective_sessions(np.zeros(500), base, 0.1))


def test_effective_sessions_of_persistent_gains_are_few() -> None:
    # the closed form for AR(1): (1 - a) / (1 + a) of the sessions, for the part that differs
    challenger, base = pair(5_000, 0.6, np.random.default_rng(17))
    error = sharpe_difference(challenger, base, np.random.default_rng(0), n_resamples=1_000).standard_error
    assert effective_sessions(challenger, base, error) / 5_000 == pytest.approx(0.25, abs=0.09)


def test_matched_difference_ignores_leverage_and_carries_the_sharpe_gain() -> None:
    challenger, base = pair(504, 0.0, np.random.default_rng(8), gain=0.7)
    matched = matched_difference(challenger, base)
    np.testing.assert_allclose(matched, matched_difference(3.0 * challenger, base), rtol=1e-12, atol=1e-16)
    gain = sharpe_ratio(challenger) - sharpe_ratio(base)
    assert matched.mean() == pytest.approx(gain / math.sqrt(252) * session_volatility(base))


def test_matched_difference_without_volatility_is_unknown() -> None:
    assert np.isnan(matched_difference(np.zeros(20), np.random.default_rng(0).normal(size=20))).all()


def test_a_difference_of_three_tenths_needs_fourteen_years() -> None:
    assert sessions_to_detect(0.3, correlation=0.9) / 252 == pytest.approx(13.7, abs=0.1)


def test_power_at_the_planned_length_is_the_planned_power() -> None:
    n_sessions = sessions_to_detect(0.5, correlation=0.9, power=0.9)
    assert detection_power(0.5, 0.9, n_sessions) == pytest.approx(0.9, abs=1e-4)
    assert detection_power(0.0, 0.9, 1_000) == pytest.approx(0.05)


def test_power_is_what_simulation_finds() -> None:
    rng = np.random.default_rng(9)
    found = sum(jobson_korkie_memmel(*pair(504, 0.0, rng, gain=0.8)).z > 1.645 for _ in range(400))
    # standard deviation 2.2 percentage points
    assert found / 400 == pytest.approx(detection_power(0.8, 0.9, 504), abs=0.07)
