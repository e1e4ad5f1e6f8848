"""Where a gain comes from: books made by hand whose parts are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.types import Floats
from trading_platform.evaluation.decomposition import effective_universes, gain_parts, rolled_weights


def sleeves(n_sessions: int = 2000) -> Floats:
    """Two sleeves that take turns: one earns in even quarters, the other in odd ones."""
    rng = np.random.default_rng(1)
    turn = (np.arange(n_sessions) // 63) % 2
    returns = 0.01 * rng.standard_normal((n_sessions, 2))
    returns[np.arange(n_sessions), turn] += 0.002
    return returns


def test_the_parts_add_up_twice() -> None:
    returns = sleeves()
    policy, average, equal = returns @ [0.7, 0.3], returns @ [0.6, 0.4], returns.mean(axis=1)
    parts = gain_parts(policy, average, equal)
    gain = sharpe_ratio(policy) - sharpe_ratio(equal)
    assert parts.tilt + parts.timing == pytest.approx(gain)
    assert parts.mean + parts.risk == pytest.approx(gain)
    assert math.isnan(parts.rolled)


def test_timing_is_found_and_rolled_dates_do_not_have_it() -> None:
    returns = sleeves()
    n = len(returns)
    turn = (np.arange(1, n + 1) // 63) % 2  # decided at the close before
    weights = np.full((n, 2), 0.3)
    weights[np.arange(n), turn] = 0.7
    rows = range(1, n)
    books = [(w[:-1] * returns[1:]).sum(axis=1) for w in [weights, *rolled_weights(weights, rows, 19)]]
    average = returns[1:] @ weights[:-1].mean(axis=0)
    parts = gain_parts(books[0], average, returns[1:].mean(axis=1), books[1:])
    assert parts.timing > 0.5
    assert abs(parts.tilt) < 0.1
    assert parts.rolled == pytest.approx(1 / 20)
    still = gain_parts(average, average, returns[1:].mean(axis=1), [average] * 19)
    assert (still.timing, still.rolled) == (0.0, 1.0)  # the control: no timing is found where there is none


def test_rolled_weights_keep_the_average_and_what_lies_outside() -> None:
    weights = np.arange(20.0).reshape(10, 2)
    rows = range(3, 9)
    moved = rolled_weights(weights, rows, 2)
    assert len(moved) == 2
    for one in moved:
        np.testing.assert_allclose(one[2:8].mean(axis=0), weights[2:8].mean(axis=0))
        np.testing.assert_array_equal(one[[0, 1, 8, 9]], weights[[0, 1, 8, 9]])
        assert not np.array_equal(one, weights)


def test_less_of_the_same_book_has_neither_mean_nor_risk_beyond_each_other() -> None:
    equal = sleeves().mean(axis=1)
    parts = gain_parts(0.5 * equal, equal, equal)
    assert parts.mean == pytest.approx(-0.5 * sharpe_ratio(equal))
    assert parts.mean + parts.risk == pytest.approx(0.0)


def test_universes_that_move_together_count_as_few() -> None:
    rng = np.random.default_rng(2)
    base = np.tile(0.01 * rng.standard_normal(4000), (20, 1))
    shared, lone = rng.standard_normal(4000), rng.standard_normal((20, 4000))
    together = base + 0.001 * (math.sqrt(0.6) * shared + math.sqrt(0.4) * lone)
    assert effective_universes(together, base) == pytest.approx(20 / (1 + 19 * 0.6), abs=0.1)
    assert effective_universes(base + 0.001 * lone, base) == pytest.approx(20.0, abs=3.0)
    assert effective_universes(together[:1], base[:1]) == 1.0
    assert math.isnan(effective_universes(base, base))
