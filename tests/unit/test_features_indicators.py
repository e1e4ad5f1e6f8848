"""Rolling figures and ranks: values by hand, against plain recomputation, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trading_platform.core import indicators
from trading_platform.core.indicators import (
    cross_rank,
    fine_rank,
    lag,
    last_known,
    rate_of_change,
    returns,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_product,
    rolling_std,
    rolling_sum,
    rolling_volatility,
)
from trading_platform.core.types import Floats

NAN = np.nan
Rolling = Callable[[Floats, int], Floats]

# figure, plain recomputation of one window
FIGURES: list[tuple[Rolling, Callable[[Floats], Floats]]] = [
    (rolling_sum, lambda window: window.sum(axis=0)),
    (rolling_mean, lambda window: window.mean(axis=0)),
    (rolling_product, lambda window: window.prod(axis=0)),
    (rolling_max, lambda window: window.max(axis=0)),
    (rolling_min, lambda window: window.min(axis=0)),
    (rolling_std, lambda window: window.std(axis=0, ddof=1)),
]


def column(*values: float) -> Floats:
    return np.array(values)[:, None]


def random_walk(rows: int, columns: int, seed: int = 1) -> Floats:
    return np.asarray(np.exp(0.02 * np.random.default_rng(seed).standard_normal((rows, columns)).cumsum(axis=0)))


@pytest.mark.parametrize(
    ("figure", "window", "expected"),
    [
        (rolling_sum, 3, [NAN, NAN, 6.0, 9.0, 8.0]),
        (rolling_sum, 1, [1.0, 2.0, 3.0, 4.0, 1.0]),
        (rolling_mean, 2, [NAN, 1.5, 2.5, 3.5, 2.5]),
        (rolling_product, 2, [NAN, 2.0, 6.0, 12.0, 4.0]),
        (rolling_max, 3, [NAN, NAN, 3.0, 4.0, 4.0]),
        (rolling_min, 3, [NAN, NAN, 1.0, 2.0, 1.0]),
        (rolling_std, 2, [NAN, 0.5**0.5, 0.5**0.5, 0.5**0.5, 4.5**0.5]),
    ],
)
def test_rolling_figure_is_what_a_person_computes(figure: Rolling, window: int, expected: list[float]) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 1.0])
    np.testing.assert_allclose(figure(values, window), expected, rtol=1e-15)
    np.testing.assert_allclose(figure(values[:, None], window)[:, 0], expected, rtol=1e-15)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 7, 8, 20, 63, 64, 126, 200, 252, 255])
@pytest.mark.parametrize(("figure", "plain"), FIGURES, ids=lambda value: getattr(value, "__name__", ""))
def test_rolling_figure_equals_recomputing_each_window(
    figure: Rolling, plain: Callable[[Floats], Floats], window: int
) -> None:
    window = max(window, 2) if figure is rolling_std else window
    values = 0.01 * np.random.default_rng(3).standard_normal((400, 7)) + (1.0 if figure is rolling_product else 0.0)
    rolled = figure(values, window)
    assert np.isnan(rolled[: window - 1]).all()
    expected = np.array([plain(values[t - window + 1 : t + 1]) for t in range(window - 1, len(values))])
    np.testing.assert_allclose(rolled[window - 1 :], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("figure", [figure for figure, _ in FIGURES], ids=lambda figure: figure.__name__)
def test_unknown_value_makes_every_window_that_holds_it_unknown_and_no_other(figure: Rolling) -> None:
    values = random_walk(60, 2)
    values[30, 0] = NAN
    rolled = figure(values, 8)
    assert np.flatnonzero(np.isnan(rolled[:, 0])).tolist() == [*range(7), *range(30, 38)]
    np.testing.assert_array_equal(rolled[:, 1], figure(values[:, 1], 8))


def test_wide_and_long_table_is_worked_on_in_blocks_that_do_not_show() -> None:
    values = random_walk(2_600, 83)
    assert values.size > 3 * indicators.BLOCK
    for figure, _ in FIGURES:
        alone = np.column_stack([figure(values[:, i].copy(), 50) for i in range(83)])
        np.testing.assert_array_equal(figure(values, 50), alone)
    np.testing.assert_array_equal(
        cross_rank(values), np.concatenate([cross_rank(values[t : t + 1]) for t in range(len(values))])
    )


@pytest.mark.parametrize("figure", [figure for figure, _ in FIGURES])
def test_window_longer_than_the_history_is_all_unknown(figure: Rolling) -> None:
    assert np.isnan(figure(random_walk(5, 2), 6)).all()
    assert figure(np.empty((0, 3)), 6).shape == (0, 3)


@pytest.mark.parametrize("figure", [figure for figure, _ in FIGURES])
def test_window_below_one_is_refused(figure: Rolling) -> None:
    with pytest.raises(ValueError, match="window must be >= "):
        figure(random_walk(5, 2), 0)


def test_deviation_of_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="window must be >= 2"):
        rolling_std(random_walk(5, 2), 1)


def test_rolling_figures_leave_their_input_alone() -> None:
    values = random_walk(40, 3)
    before = values.copy()
    for figure, _ in FIGURES:
        figure(values, 4)
    lag(values, 0)[:] = 0.0
    np.testing.assert_array_equal(values, before)


def test_running_sum_would_fail_where_rolling_sum_does_not() -> None:
    """The reason for this module: the bits of a running sum depend on where it was started."""
    values = random_walk(300, 5)
    running = values.cumsum(axis=0)
    shorter = values[100:].cumsum(axis=0)
    assert not np.array_equal((running[250] - running[230]), (shorter[150] - shorter[130]))
    np.testing.assert_array_equal(rolling_sum(values, 20)[250], rolling_sum(values[231:], 20)[19])


def test_lag_moves_into_the_future_only() -> None:
    values = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(lag(values, 0), values)
    np.testing.assert_array_equal(lag(values, 1), [NAN, 1.0, 2.0])
    np.testing.assert_array_equal(lag(values, 3), [NAN] * 3)
    np.testing.assert_array_equal(lag(values, 9), [NAN] * 3)
    with pytest.raises(ValueError, match="looks ahead"):
        lag(values, -1)


def test_last_known_value_stands_in_until_it_is_too_old() -> None:
    values = np.array([NAN, 1.0, NAN, NAN, NAN, 5.0, NAN])
    np.testing.assert_array_equal(last_known(values, 2), [NAN, 1.0, 1.0, 1.0, NAN, 5.0, 5.0])
    np.testing.assert_array_equal(last_known(values, 0), values)


def test_returns_are_unknown_beside_a_missing_bar() -> None:
    close = column(100.0, 110.0, NAN, 121.0, 60.5)
    np.testing.assert_allclose(returns(close), column(NAN, 0.1, NAN, NAN, -0.5))
    np.testing.assert_allclose(rate_of_change(close, 3), column(NAN, NAN, NAN, 0.21, 60.5 / 110.0 - 1.0))


def test_volatility_of_what_does_not_move_is_unknown() -> None:
    moving, still = random_walk(30, 1), np.full((30, 1), 25.0)
    volatility = rolling_volatility(returns(np.hstack([moving, still])), 20)
    assert np.isfinite(volatility[20:, 0]).all()
    assert np.isnan(volatility[:, 1]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 1.0, 2.0, 4.0], [0.75, 0.25, 0.5, 1.0]),
        ([-3.0, -1.0, 2.0, 0.0], [0.25, 0.5, 1.0, 0.75]),
        ([5.0, NAN, 7.0, NAN], [0.5, NAN, 1.0, NAN]),
        ([np.inf, 1.0, 2.0, -np.inf], [NAN, 0.5, 1.0, NAN]),
        ([NAN, NAN, NAN, NAN], [NAN, NAN, NAN, NAN]),
        ([1.0, 1.0, 0.0, 1.0], [1.0, 0.75, 0.25, 0.5]),  # ties by column
        ([0.0, -0.0, 0.0, -1.0], [1.0, 0.75, 0.5, 0.25]),  # a negative zero is a zero
        ([0.3, 0.1 + 0.2, 0.1, 0.2], [1.0, 0.75, 0.25, 0.5]),  # 0.1 + 0.2 > 0.3 by rounding only
        ([1.0, 1.0 + 1e-9, 0.0, 0.5], [0.75, 1.0, 0.25, 0.5]),  # a difference that is none of rounding
        ([1e-300, -1e-300, 1e300, -1e300], [0.75, 0.5, 1.0, 0.25]),
    ],
)
def test_rank_is_the_fraction_of_the_known_at_or_below(values: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(cross_rank(np.array([values])), [expected])


def test_rank_equals_a_stable_sort() -> None:
    rng = np.random.default_rng(4)
    values = rng.standard_normal((500, 61)).round(1)  # rounding makes ties
    values[rng.random(values.shape) < 0.2] = NAN
    known = np.isfinite(values)
    order = np.argsort(np.where(known, -values, np.inf), axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(61)[None, :], axis=1)
    expected = np.where(known, 1.0 - places / known.sum(axis=1, keepdims=True), NAN)
    np.testing.assert_array_equal(cross_rank(values), expected)


def test_too_many_columns_to_rank_are_refused() -> None:
    with pytest.raises(ValueError, match="65535 columns"):
        cross_rank(np.zeros((1, 65_536)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # place of each, and the part of it: the gap above over the gaps above and below
        ([4.0, 3.0, 1.0, 0.0], [1 - (0 + 2 / 3) / 4, 1 - (1 + 1 / 3) / 4, 1 - (2 + 2 / 3) / 4, 1 - (3 + 1 / 3) / 4]),
        ([-2.0, NAN, 5.0, -3.0], [1 - (1 + 7 / 8) / 3, NAN, 1 - (0 + 1 / 8) / 3, 1 - (2 + 1 / 8) / 3]),
        ([1.0, 1.0, 0.0], [2 / 3, 2 / 3, 1 - (2 + 1.0) / 3]),  # both have lost the first place and keep the second
        ([1.0, 0.0], [0.75, 0.25]),
        ([3.0, NAN], [0.5, NAN]),
        ([7.0, 7.0, 7.0], [1 - 0.5 / 3, 1 - 1.5 / 3, 1 - 2.5 / 3]),
        ([], []),
        ([NAN, NAN], [NAN, NAN]),
    ],
)
def test_fine_rank_says_where_in_its_place_a_value_lies(values: list[float], expected: list[float]) -> None:
    rank, fine = fine_rank(np.array([values], dtype=float).reshape(1, -1))
    np.testing.assert_allclose(fine, np.array([expected]).reshape(1, -1), atol=1e-9)
    np.testing.assert_array_equal(rank, cross_rank(np.array([values], dtype=float).reshape(1, -1)))


def test_fine_rank_does_not_jump_where_values_change_places() -> None:
    moving = np.linspace(-1.5, 6.5, 80_001)
    values = np.column_stack([moving, *(np.full(len(moving), fixed) for fixed in (0.0, 1.0, 2.0, 4.0, 5.0))])
    rank, fine = fine_rank(values)
    assert len(np.unique(rank[:, 0])) == 6
    assert np.abs(np.diff(fine, axis=0)).max() < 1e-4  # ranks jump by 1/6
    assert (np.diff(fine[:, 0]) > -1e-9).all()


def test_fine_rank_orders_like_the_rank_within_one_place() -> None:
    rank, fine = fine_rank(np.random.default_rng(5).standard_normal((50, 30)))
    assert ((fine <= rank) & (fine >= rank - 1 / 30 - 1e-12)).all()
    assert len(np.unique(fine)) == fine.size
