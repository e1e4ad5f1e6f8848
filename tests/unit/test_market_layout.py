"""How bars and signals become the kernel's arrays: against plain formulas, and whatever the shape of the tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from risk_config import RiskConfig
from tests.kernel_world import clock_of, random_panel
from trading_platform.core.booking import LONG_AGO
from trading_platform.core.candidate_queue import CandidateQueue
from trading_platform.core.candidates import RUN
from trading_platform.core.compiled import as_rows
from trading_platform.core.ledger import new_books
from trading_platform.core.market import (
    CLOSE,
    EXITS,
    MARKET_CORRELATION,
    NORM,
    OPEN,
    VOLATILITY,
    VOLUME,
    build_market,
    build_signals,
)
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.types import StrategySignals
from trading_platform.core.windows import TILE, fill_windows

WINDOW = 25


def test_figures_of_a_market_are_what_numpy_says() -> None:
    panel = random_panel(4, 90, faults=True)
    market = build_market(panel, clock_of(panel), WINDOW)
    returns = market.returns
    universe = np.full(90, np.nan)
    universe[1:] = np.nanmean(returns[:, 1:], axis=0)
    known = 0
    for i in range(panel.n_tickers):
        assert market.bars[i, :, OPEN].tobytes() == panel.open[:, i].tobytes()
        assert market.bars[i, :, CLOSE].tobytes() == panel.close[:, i].tobytes()
        assert market.bars[i, :, VOLUME].tobytes() == panel.volume[:, i].tobytes()
        for t in range(90):
            near, window = returns[i, max(0, t - 19) : t + 1], returns[i, max(0, t + 1 - WINDOW) : t + 1]
            whole = t >= WINDOW and bool(np.isfinite(window).all())
            known += whole
            volatility = np.std(near, ddof=1) if t >= 20 and np.isfinite(near).all() else np.nan
            np.testing.assert_allclose(market.bars[i, t, VOLATILITY], volatility, rtol=1e-12)
            np.testing.assert_allclose(
                market.return_mean[i, t], window.mean() if whole else np.nan, rtol=1e-9, atol=1e-15
            )
            np.testing.assert_allclose(
                market.bars[i, t, NORM], window.std() * np.sqrt(WINDOW) if whole else 0.0, rtol=1e-12
            )
            together = np.corrcoef(window, universe[t + 1 - WINDOW : t + 1])[0, 1] if whole else np.nan
            np.testing.assert_allclose(market.bars[i, t, MARKET_CORRELATION], together, rtol=1e-9, atol=1e-12)
    assert 500 < known < 90 * panel.n_tickers  # gaps were met


def test_a_figure_depends_on_its_own_ticker_wherever_that_stands() -> None:
    returns = np.random.default_rng(2).normal(0.0, 0.01, (40, TILE + 3))
    universe = np.random.default_rng(3).normal(0.0, 0.01, (3, 40))

    def figures(columns: slice) -> np.ndarray:
        mine = np.ascontiguousarray(returns[:, columns])
        out = np.empty((3, mine.shape[1], 40, 2))
        mean = np.empty((mine.shape[1], 40))
        norm, near, together = out[:, :, :, 0]
        fill_windows(mine, 30, 20, universe, mean, norm, near, together, np.empty((3, TILE)))
        return np.stack([mean, norm, near, together])

    everything = figures(slice(0, TILE + 3))
    assert figures(slice(TILE - 1, TILE + 2)).tobytes() == everything[:, TILE - 1 : TILE + 2].tobytes()


def test_constant_prices_do_not_move() -> None:
    returns, universe = np.full((40, 1), 0.1 + 0.2), np.ones((3, 40))
    mean, out = np.empty((1, 40)), np.empty((3, 1, 40, 2))
    norm, near, together = out[:, :, :, 0]
    fill_windows(returns, 30, 20, universe, mean, norm, near, together, np.empty((3, TILE)))
    assert not norm.any()
    assert np.isnan(mean).all() and np.isnan(near).all() and np.isnan(together).all()


# ---------------------------------------------------------------- lists of candidates


@settings(deadline=None)  # the first example compiles
@given(st.integers(1, 6 * RUN), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_candidates_come_strongest_first_and_ties_by_ticker(n_tickers: int, seed: int, fullness: float) -> None:
    rng = np.random.default_rng(seed)
    strength = rng.choice([0.25, 0.5, 0.75, 1.0, 1.5, rng.random()], (5, n_tickers))
    strength[rng.random(strength.shape) > fullness] = rng.choice([0.0, -1.0, np.nan])
    leave = rng.random(strength.shape) < 0.3
    signals = build_signals((StrategySignals(strength, leave), StrategySignals(strength[:, ::-1], ~leave)))
    longest = 0
    for k, table in enumerate((strength, strength[:, ::-1])):
        for t in range(5):
            expected = sorted(
                (-min(value, 1.0), column) for column, value in enumerate(table[t].tolist()) if value > 0.0
            )
            mine = slice(signals.start[t, k], signals.start[t, k + 1])
            found = [
                (-s, c) for s, c in zip(signals.strength[mine].tolist(), signals.ticker[mine].tolist(), strict=True)
            ]
            assert found == expected
            longest = max(longest, len(found))
    event(f"merged {longest > RUN}, more than once {longest > 2 * RUN}")
    assert signals.flags[:, :, EXITS].tolist() == (leave.T + 2 * ~leave.T).tolist()


@settings(deadline=None)  # the first example compiles
@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(1, 8))
def test_candidates_come_by_falling_wish_each_once_and_nothing_that_is_held(seed: int, n_held: int, most: int) -> None:
    """A signal's wish is its part of a slot, a target's its weight; ties go to the first ticker, then strategy."""
    rng = np.random.default_rng(seed)
    tables = [np.where(rng.random((9, 8)) < 0.4, rng.integers(1, 5, (9, 8)) / 4.0, 0.0) for _ in range(2)]
    signals = build_signals(
        [StrategySignals(tables[0], tables[0] > 2.0), StrategySignals(tables[1], tables[1] > 2.0, is_target=True)]
    )
    weights = np.where(rng.random(2) < 0.3, 0.0, 0.5)
    limits = limits_of(RiskConfig().to_dict())
    slots, stopped, day = new_books(1, 5, 2, 1e5)[1][0], np.full(8, LONG_AGO), np.arange(9)
    slots["ticker"][:n_held] = rng.permutation(8)[:n_held]
    queue = CandidateQueue(2)
    found = list(queue.strongest(signals, 8, weights, slots, stopped, day, as_rows(limits), most))
    wishes = [
        (-tables[k][8, i] * weights[k] * (1.0 if k else 2 * limits.max_position), i, k)
        for k in range(2)
        for i in range(8)
        if tables[k][8, i] > 0.0 and weights[k] > 0.0 and i not in slots["ticker"][:n_held]
    ]
    expected: list[tuple[int, int]] = []
    for _, i, k in sorted(wishes):
        if i not in [ticker for ticker, _ in expected]:
            expected.append((i, k))
    assert [(candidate.ticker, candidate.strategy) for candidate in found] == expected[:most]
    event(f"candidates: {min(len(found), 3)}, weights 0: {int((weights == 0.0).sum())}")


@pytest.mark.parametrize("order", ["C", "F"])
def test_tables_in_any_memory_order_give_the_same_arrays(order: str) -> None:
    panel = random_panel(1, 60)
    wanted = build_market(panel, clock_of(panel), WINDOW)
    turned = {name: np.array(getattr(panel, name), order=order) for name in ("open", "high", "low", "close", "volume")}  # type: ignore[call-overload]
    for name, values in turned.items():
        object.__setattr__(panel, name, values)
    assert build_market(panel, clock_of(panel), WINDOW).bars.tobytes() == wanted.bars.tobytes()
