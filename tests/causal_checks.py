"""Three ways to catch a figure that knows what it may not: of the future, or of a past longer than it declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from trading_platform.core.types import Floats, MarketPanel

Compute = Callable[[MarketPanel], Floats]


def as_table(values: object, rows: int) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(rows, -1)


def perturbed_after(panel: MarketPanel, t: int, seed: int) -> MarketPanel:
    """Return the panel with every number after row `t` replaced by another plausible one, some by none."""
    rng = np.random.default_rng(seed)
    later = panel.n_sessions - t - 1

    def moved(values: Floats) -> Floats:
        changed = values.copy()
        noise = np.exp(0.2 * rng.standard_normal(values[t + 1 :].shape))
        noise[rng.random(noise.shape) < 0.1] = np.nan
        changed[t + 1 :] = values[t + 1 :] * noise
        return changed

    split = None if panel.split_ratio is None else panel.split_ratio.copy()
    if split is not None:
        split[t + 1 :] = rng.choice([1.0, 2.0], (later, panel.n_tickers))
    return replace(
        panel,
        open=moved(panel.open),
        high=moved(panel.high),
        low=moved(panel.low),
        close=moved(panel.close),
        volume=moved(panel.volume),
        vix=moved(panel.vix),
        benchmark=moved(panel.benchmark),
        split_ratio=split,
    )


def faults_of(compute: Compute, panel: MarketPanel, lookback: int, rows: Sequence[int]) -> list[str]:
    """Return what moved, as lines; nothing for a causal `compute` that declares its `lookback` rightly.

    Equality is to the last bit (any NaN equals any other).
    """
    whole = as_table(compute(panel), panel.n_sessions)
    found = []

    def compare(way: str, t: int, values: object, n_rows: int) -> None:
        if not np.array_equal(as_table(values, n_rows)[min(t, n_rows - 1)], whole[t], equal_nan=True):
            found.append(f"{way} at row {t}")

    for t in rows:
        compare("truncate the future", t, compute(panel.rows(0, t + 1)), t + 1)
        compare("perturb the future", t, compute(perturbed_after(panel, t, seed=t)), panel.n_sessions)
        if t + 1 >= lookback:
            compare("shorten the past", t, compute(panel.rows(t + 1 - lookback, t + 1)), lookback)
    return found
