"""Block bootstrap: block lengths and spreads against `arch`, index statistics, verdicts, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.types import Floats
from trading_platform.evaluation import bootstrap
from trading_platform.evaluation.bootstrap import (
    BlockLength,
    bootstrap_sharpes,
    circular_block_indices,
    optimal_block_length,
    sharpe_difference,
    sharpe_interval,
    stationary_indices,
)
from trading_platform.evaluation.sharpe_tests import ledoit_wolf


def autoregressive(n_values: int, slope: float, seed: int) -> Floats:
    noise = np.random.default_rng(seed).normal(size=n_values)
    values = noise.copy()
    for t in range(1, n_values):
        values[t] = slope * values[t - 1] + noise[t]
    return values


def books(n_sessions: int, gain: float, seed: int) -> tuple[Floats, Floats]:
    """Challenger and base with correlation 0.9 and an expected Sharpe gain."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(2, n_sessions))
    base = 0.01 * (common + 0.5 / math.sqrt(252))
    challenger = 0.01 * (0.9 * common + math.sqrt(0.19) * own + (0.5 + gain) / math.sqrt(252))
    return challenger, base


def test_block_lengths_equal_those_of_arch() -> None:
    arch = pytest.importorskip("arch.bootstrap", reason="arch is a development dependency")
    equal = []
    for n_values in (126, 504, 1000, 4000):
        for slope in (-0.3, 0.0, 0.3, 0.7):
            for seed in range(10):
                values = autoregressive(n_values, slope, seed)
                # arch does not stop at blocks of one session
                theirs = np.maximum(1.0, arch.optimal_block_length(values).to_numpy()[0])
                ours = optimal_block_length(values)
                equal.append(np.allclose((ours.stationary, ours.circular), theirs, rtol=1e-9))
    # arch divides each autocovariance by the variance of its own overlap, we by the whole one as the paper does: where
    # an autocorrelation lies just at the significance bound, the cut differs
    assert len(equal) == 160
    assert np.mean(equal) >= 0.95


def test_block_length_grows_with_memory() -> None:
    lengths = [optimal_block_length(autoregressive(4000, slope, 7)).stationary for slope in (0.0, 0.3, 0.7)]
    assert lengths[0] < lengths[1] < lengths[2]


def test_block_length_of_a_constant_series_is_one_and_of_an_unknown_one_unknown() -> None:
    assert optimal_block_length(np.full(100, 1 / 3)) == BlockLength(1.0, 1.0)
    unknown = optimal_block_length(np.array([math.nan] + [0.01] * 20))
    assert math.isnan(unknown.stationary)
    assert math.isnan(unknown.circular)
    with pytest.raises(ValueError, match="at least 10 values, got 9"):
        optimal_block_length(np.arange(9.0))


def test_stationary_indices_have_geometric_blocks_and_uniform_rows() -> None:
    rows = stationary_indices(100, 8.0, 2_000, np.random.default_rng(0))
    assert rows.shape == (2_000, 100)
    continues = (rows[:, 1:] == (rows[:, :-1] + 1) % 100).mean()
    # a jump lands on the next row by chance once in a hundred
    assert continues == pytest.approx(1 - 1 / 8 * 0.99, abs=0.003)
    counts = np.bincount(rows.ravel(), minlength=100)
    assert counts.min() > 1_700
    assert counts.max() < 2_300


def test_stationary_indices_with_blocks_of_one_are_independent_draws() -> None:
    rows = stationary_indices(50, 1.0, 4_000, np.random.default_rng(0))
    assert (rows[:, 1:] == (rows[:, :-1] + 1) % 50).mean() == pytest.approx(1 / 50, abs=0.002)


def test_circular_indices_are_whole_blocks_that_wrap() -> None:
    rows = circular_block_indices(10, 4, 500, np.random.default_rng(1))
    assert rows.shape == (500, 10)
    for start, stop in ((0, 4), (4, 8), (8, 10)):
        block = rows[:, start:stop]
        assert (np.diff(block, axis=1) % 10 == 1).all()
    assert (rows.min(), rows.max()) == (0, 9)
    assert (rows[:, 1] < rows[:, 0]).any()


def test_circular_indices_take_another_length_and_reproduce_from_a_seed() -> None:
    first = circular_block_indices(10, 3, 2, np.random.default_rng(5), length=25)
    assert first.shape == (2, 25)
    assert np.array_equal(first, circular_block_indices(10, 3, 2, np.random.default_rng(5), length=25))


@pytest.mark.parametrize("block_length", [0.0, 0.99, -3.0, math.nan, math.inf])
def test_impossible_block_lengths_are_refused(block_length: float) -> None:
    with pytest.raises(FixConfigError, match="block length"):
        stationary_indices(10, block_length, 1, np.random.default_rng(0))
    with pytest.raises(FixConfigError, match="block length"):
        bootstrap_sharpes(np.ones((10, 1)), block_length, 1, np.random.default_rng(0))


def test_bootstrap_sharpes_are_sharpe_ratios_of_the_resampled_rows() -> None:
    returns = np.random.default_rng(2).normal(0.0005, 0.01, (60, 3))
    expected_rows = stationary_indices(60, 5.0, 40, np.random.default_rng(3))
    sharpes = bootstrap_sharpes(returns, 5.0, 40, np.random.default_rng(3))
    for resample in range(40):
        for book in range(3):
            direct = sharpe_ratio(np.ascontiguousarray(returns[expected_rows[resample], book]))
            assert sharpes[resample, book] == pytest.approx(direct, rel=1e-9)


def test_bootstrap_sharpes_of_a_long_series_are_drawn_in_chunks_that_do_not_show() -> None:
    returns = np.random.default_rng(2).normal(0.0005, 0.01, (60_000, 1))
    assert 40 * len(returns) > 2 * bootstrap.CHUNK
    rows = stationary_indices(len(returns), 5.0, 40, np.random.default_rng(3))
    direct = [sharpe_ratio(np.ascontiguousarray(returns[drawn, 0])) for drawn in rows]
    sharpes = bootstrap_sharpes(returns, 5.0, 40, np.random.default_rng(3))
    assert sharpes[:, 0].tolist() == pytest.approx(direct, rel=1e-9)


def test_bootstrap_spread_of_a_difference_equals_that_of_arch() -> None:
    arch = pytest.importorskip("arch.bootstrap", reason="arch is a development dependency")
    challenger, base = books(504, 0.5, 1)
    block = 6.0
    theirs = arch.StationaryBootstrap(block, challenger, base, seed=4).apply(
        lambda a, b: np.array([sharpe_ratio(a) - sharpe_ratio(b)]), 3_000
    )
    both = bootstrap_sharpes(np.column_stack((challenger, base)), block, 3_000, np.random.default_rng(4))
    ours = both[:, 0] - both[:, 1]
    # each of two standard deviations from 3,000 draws is known to 1.3 %
    assert ours.std() == pytest.approx(theirs.std(), rel=0.06)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * ours.std() / math.sqrt(1_500))


def test_a_clear_gain_is_found_and_its_interval_holds_the_truth() -> None:
    challenger, base = books(2520, 1.0, 3)
    found = sharpe_difference(challenger, base, np.random.default_rng(0), n_resamples=2_000)
    assert found.difference == pytest.approx(sharpe_ratio(challenger) - sharpe_ratio(base))
    assert found.low < 1.0 < found.high
    assert found.low > 0
    assert found.p_value < 0.001
    assert found.standard_error == pytest.approx(ledoit_wolf(challenger, base).standard_error, rel=0.1)
    assert found.probability_positive == 1.0


def test_swapping_the_books_mirrors_the_verdict() -> None:
    challenger, base = books(504, 0.3, 5)
    forth = sharpe_difference(challenger, base, np.random.default_rng(1), n_resamples=1_000)
    back = sharpe_difference(base, challenger, np.random.default_rng(1), n_resamples=1_000)
    assert back.difference == pytest.approx(-forth.difference)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))
    assert back.p_value == pytest.approx(forth.p_value)
    assert back.probability_positive == pytest.approx(1 - forth.probability_positive)


def test_a_book_against_itself_has_no_gain_and_no_confidence() -> None:
    challenger, _ = books(252, 0.5, 5)
    same = sharpe_difference(challenger, challenger.copy(), np.random.default_rng(1), n_resamples=200)
    assert (same.difference, same.low, same.high, same.p_value, same.probability_positive) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize("broken", ["nan", "constant", "short"])
def test_unknown_differences_are_nan_throughout(broken: str) -> None:
    challenger, base = books(252, 0.5, 5)
    match broken:
        case "nan":
            challenger[100] = math.nan
        case "constant":
            base[:] = 0.001
        case _:
            challenger, base = challenger[:9], base[:9]
    found = sharpe_difference(challenger, base, np.random.default_rng(1), n_resamples=200)
    figures = (found.difference, found.low, found.high, found.p_value, found.probability_positive)
    assert all(math.isnan(value) for value in figures)


def test_resamples_without_volatility_count_against_the_challenger() -> None:
    # three trading days in forty: many resamples hold none of them
    challenger = np.zeros(40)
    challenger[[5, 6, 7]] = 0.01, 0.02, 0.01
    base = np.random.default_rng(0).normal(-0.01, 0.01, 40)
    found = sharpe_difference(challenger, base, np.random.default_rng(1), n_resamples=500, block_length=3.0)
    assert found.difference > 0
    assert found.probability_positive < 0.99
    assert math.isnan(found.low)


def test_paired_series_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="same sessions"):
        sharpe_difference(np.zeros(20), np.zeros(21), np.random.default_rng(0))


def test_sharpe_interval_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        returns = rng.normal(0.8 / math.sqrt(252), 1.0, 504)
        interval = sharpe_interval(returns, rng, n_resamples=400, confidence=0.9)
        covered += interval.low <= 0.8 <= interval.high
    # 90 % of 200 with a standard deviation of 4.2
    assert 165 <= covered <= 195


def test_sharpe_interval_of_an_unknown_series_is_unknown() -> None:
    interval = sharpe_interval(np.full(30, 0.001), np.random.default_rng(0))
    assert math.isnan(interval.sharpe)
    assert math.isnan(interval.low)


def test_one_seed_gives_one_verdict() -> None:
    challenger, base = books(252, 0.5, 9)
    first = sharpe_difference(challenger, base, np.random.default_rng(7), n_resamples=300)
    assert first == sharpe_difference(challenger, base, np.random.default_rng(7), n_resamples=300)


def test_compiled_and_plain_python_agree_to_the_bit() -> None:
    rows_plain = getattr(bootstrap._stationary_rows, "py_func", bootstrap._stationary_rows)
    sharpes_plain = getattr(bootstrap._resampled_sharpes, "py_func", bootstrap._resampled_sharpes)
    rng = np.random.default_rng(8)
    uniforms, returns = rng.random((5, 40)), rng.normal(size=(40, 2))
    rows = bootstrap._stationary_rows(uniforms, 0.2)
    assert np.array_equal(rows, rows_plain(uniforms, 0.2))
    assert np.array_equal(bootstrap._resampled_sharpes(returns, rows), sharpes_plain(returns, rows))
