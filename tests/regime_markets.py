"""Markets whose regime is known, for tests of the model that has to find it."""

from __future__ import annotations

import numpy as np

from trading_platform.core.types import Ints, MarketPanel
from trading_platform.regime.config import RegimeConfig

BULL, BEAR, CONSOLIDATION = range(3)  # in the order of the model's labels
DRIFT = np.array([0.0012, -0.0020, 0.0001])
VOLATILITY = np.array([0.006, 0.022, 0.011])
VIX = np.array([13.0, 33.0, 20.0])

# Short, for properties that have to try many.
QUICK = RegimeConfig(fit_window=126, trend_window=50, feature_window=10, refit_months=1)


def switching_market(
    seed: int, n_sessions: int = 420, n_tickers: int = 4, stay: float = 0.985
) -> tuple[MarketPanel, Ints]:
    """Return a market of three regimes, and the regime of each session (T,)."""
    rng = np.random.default_rng(seed)
    state = np.zeros(n_sessions, dtype=np.int64)
    for t in range(1, n_sessions):
        state[t] = state[t - 1] if rng.random() < stay else (state[t - 1] + rng.integers(1, 3)) % 3
    common = DRIFT[state] + VOLATILITY[state] * rng.standard_normal(n_sessions)
    daily = common[:, None] + 0.004 * rng.standard_normal((n_sessions, n_tickers))
    close = 80.0 * np.exp(daily.cumsum(axis=0))
    panel = MarketPanel(
        sessions=np.busday_offset("2010-01-04", np.arange(n_sessions), roll="forward").astype("datetime64[D]"),
        tickers=tuple(f"T{i:02d}" for i in range(n_tickers)),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.full(close.shape, 1e6),
        vix=VIX[state] * np.exp(0.08 * rng.standard_normal(n_sessions)),
        benchmark=close.mean(axis=1),
        sectors=("Energy",) * n_tickers,
        source=f"switching {seed}",
        data_hash=f"switching-{seed}-{n_sessions}-{n_tickers}",
    )
    return panel, state
