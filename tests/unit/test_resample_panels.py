"""Resampled histories: joint moves stay, levels do not jump, and nothing is made up where there was no bar."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernel_world import random_panel
from trading_platform.core.errors import FixConfigError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.resample import (
    ResampleOptions,
    block_rows,
    rearranged,
    resample_market,
    sample_universe,
    scale_volatility,
)

N = 300


def test_blocks_are_consecutive_circular_and_never_hold_row_zero() -> None:
    rows = block_rows(N, 25, np.random.default_rng(0))
    assert len(rows) == N
    assert rows[0] == 0
    assert rows[1:].min() >= 1
    assert rows.max() < N
    steps = np.diff(rows[1:])
    inside = np.delete(steps, np.arange(24, N - 2, 25))
    assert set(inside.tolist()) <= {1, 2 - N}  # next row, or round the corner to row 1


def test_every_row_is_drawn_equally_often() -> None:
    rng = np.random.default_rng(1)
    counts = np.bincount(np.concatenate([block_rows(51, 10, rng)[1:] for _ in range(2000)]), minlength=51)[1:]
    assert abs(counts / 2000 - 1.0).max() < 0.15  # five standard errors


def test_identity_rows_give_the_same_panel() -> None:
    panel = random_panel(1, N)
    same = rearranged(panel, np.arange(N))
    for name in ("open", "high", "low", "close", "volume", "vix", "benchmark"):
        assert getattr(same, name) == pytest.approx(getattr(panel, name), rel=1e-12)


def test_returns_within_and_over_sessions_are_those_of_the_source() -> None:
    panel = random_panel(1, N)
    rows = block_rows(N, 20, np.random.default_rng(2))
    new = rearranged(panel, rows)
    source = rows[1:]
    for name in ("open", "high", "low", "close"):
        moves = getattr(new, name)[1:] / new.close[:-1]
        assert moves == pytest.approx(getattr(panel, name)[source] / panel.close[source - 1], rel=1e-12)
    assert new.volume * new.close == pytest.approx((panel.volume * panel.close)[rows], rel=1e-9)
    assert new.vix.tobytes() == panel.vix[rows].tobytes()
    assert new.benchmark[1:] / new.benchmark[:-1] == pytest.approx(
        panel.benchmark[source] / panel.benchmark[source - 1]
    )


def test_missing_bars_stay_missing_and_prices_go_on_behind_them() -> None:
    panel = random_panel(5, N, faults=True)
    adjusted = forward_adjusted(panel)
    rows = block_rows(N, 20, np.random.default_rng(3))
    new = rearranged(panel, rows)
    assert np.array_equal(np.isnan(new.close), np.isnan(panel.close[rows]))
    assert np.array_equal(np.isnan(new.volume), np.isnan(panel.volume[rows]))
    largest = np.nanmax(np.abs(np.diff(np.log(adjusted.close), axis=0)))
    for i in range(panel.n_tickers):
        known = new.close[np.isfinite(new.close[:, i]), i]
        # across a gap several sessions' moves may come together, but no level of another time
        assert np.abs(np.diff(np.log(known))).max() < 3.0 * largest


def test_universe_keeps_order_and_at_least_ten() -> None:
    panel = random_panel(1, 30, 40)
    part = sample_universe(panel, 0.5, np.random.default_rng(0))
    assert part.n_tickers == 20
    assert list(part.tickers) == sorted(part.tickers)
    i = panel.tickers.index(part.tickers[3])
    assert part.close[:, 3].tobytes() == np.ascontiguousarray(panel.close[:, i]).tobytes()
    assert sample_universe(panel, 0.01, np.random.default_rng(0)).n_tickers == 10


def test_volatility_is_scaled_and_bars_stay_bars() -> None:
    panel = random_panel(1, N)
    new = scale_volatility(panel, 1.5)
    assert np.diff(np.log(new.close), axis=0) == pytest.approx(1.5 * np.diff(np.log(panel.close), axis=0))
    assert np.log(new.high / new.low) == pytest.approx(1.5 * np.log(panel.high / panel.low))
    assert new.vix == pytest.approx(1.5 * panel.vix)
    assert (new.high >= np.maximum(new.open, new.close) * (1 - 1e-12)).all()


def test_resample_is_reproducible_and_leaves_the_source_alone() -> None:
    panel = random_panel(1, N, faults=True)
    before = panel.close.copy()
    regimes = np.random.default_rng(0).dirichlet(np.ones(3), N)
    options = ResampleOptions(30, 0.9, 0.3)
    first, labels = resample_market(panel, regimes, options, np.random.default_rng(7))
    again, _ = resample_market(panel, regimes, options, np.random.default_rng(7))
    other, _ = resample_market(panel, regimes, options, np.random.default_rng(8))
    assert first.close.tobytes() == again.close.tobytes()
    assert first.close.tobytes() != other.close.tobytes()
    assert panel.close.tobytes() == before.tobytes()
    assert not np.shares_memory(first.close, panel.close)
    assert labels.shape == regimes.shape
    assert first.n_tickers == 11


def test_block_length_zero_keeps_history() -> None:
    panel = random_panel(1, N)
    new, _ = resample_market(panel, np.zeros((N, 3)), ResampleOptions(0), np.random.default_rng(0))
    assert new.close.tobytes() == panel.close.tobytes()


@pytest.mark.parametrize(
    "options", [{"block_sessions": -1}, {"universe_share": 0.0}, {"universe_share": 1.1}, {"volatility_jitter": -0.1}]
)
def test_bad_option_is_named(options: dict[str, float]) -> None:
    with pytest.raises(FixConfigError, match=next(iter(options))):
        ResampleOptions(**options)  # type: ignore[arg-type] # the point of the test


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_volatility_factor_is_named(factor: float) -> None:
    with pytest.raises(FixConfigError, match="volatility factor"):
        scale_volatility(random_panel(1, 10), factor)
