"""Invariants of the performance figures."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trading_platform.core import metrics
from trading_platform.core.types import Floats

daily = arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.5, 0.5, width=32))


@given(daily)
def test_worst_drawdown_equals_the_quadratic_definition(returns: Floats) -> None:
    equity = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    depth = max(1.0 - equity[j] / equity[i] for i in range(len(equity)) for j in range(i, len(equity)))
    worst = metrics.worst_drawdown(returns)
    event("fell" if depth > 0 else "never fell")
    assert math.isclose(worst.depth, depth, rel_tol=1e-9, abs_tol=1e-12)
    if worst.depth > 0:
        event("recovered" if worst.recovery < len(returns) else "under water")
        # rows are one behind equity, which starts with the initial capital
        assert math.isclose(1.0 - equity[worst.trough + 1] / equity[worst.peak + 1], worst.depth, rel_tol=1e-9)
        assert (equity[worst.peak + 2 : worst.recovery + 1] < equity[worst.peak + 1] * (1 + 1e-9)).all()
        if worst.recovery < len(returns):
            assert equity[worst.recovery + 1] >= equity[worst.peak + 1] * (1 - 1e-9)


@given(daily, st.floats(0.1, 10.0))
def test_sharpe_ratio_ignores_leverage(returns: Floats, leverage: float) -> None:
    before, after = metrics.sharpe_ratio(returns), metrics.sharpe_ratio(returns * leverage)
    event("defined" if math.isfinite(before) else "no volatility")
    if math.isfinite(before) and math.isfinite(after):
        assert math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-6)


@given(daily, st.floats(1e-4, 0.1))
def test_shrunken_sharpe_increments_telescope_and_are_finite(returns: Floats, prior: float) -> None:
    running = [
        metrics.shrunken_sharpe(float(returns[:t].sum()), float((returns[:t] ** 2).sum()), float(t), prior)
        for t in range(len(returns) + 1)
    ]
    assert all(math.isfinite(value) for value in running)
    increments = [b - a for a, b in pairwise(running)]
    assert math.isclose(sum(increments), running[-1], rel_tol=1e-9, abs_tol=1e-9)
    # v >= n0 s0^2/(t + n0) bounds the ratio by |m| over that
    t = len(returns)
    bound = abs(returns.sum()) / (t + 5) / math.sqrt(5 * prior**2 / (t + 5)) * math.sqrt(252)
    assert abs(running[-1]) <= bound * (1 + 1e-6) + 1e-9
