"""Books that are handed to `evaluate` in tests, and what is asked of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.evaluate import BookRun, EvaluateSettings
from trading_platform.evaluation.paper_form import combined_targets, equal_allocation, paper_book, total_returns
from trading_platform.evaluation.universes import equal_weight_returns
from trading_platform.strategies.base import AnyStrategy, TargetStrategy, prepare_targets
from trading_platform.strategies.managed_market import ManagedMarket
from trading_platform.strategies.real_assets import RealAssets

SLEEVES: tuple[AnyStrategy, ...] = (ManagedMarket(), RealAssets(window=40))
ASKED = EvaluateSettings(start=date(2010, 6, 1), universes=3, universe_size=6, seed=5, n_trials=4)


def on_paper(panel: MarketPanel, start: int, seed: int) -> BookRun:
    """Return the paper form as if a machine had traded it."""
    works = [item for item in SLEEVES if isinstance(item, TargetStrategy)]
    allocation = equal_allocation([item.stands_aside(panel) for item in works])
    weights = combined_targets(prepare_targets(panel, works), allocation)
    book = paper_book(panel, weights, 10.0, start)
    return BookRun(
        returns=book.returns[start:],
        exposure=book.exposure[start:],
        halted=np.zeros(panel.n_sessions - start, dtype=np.bool_),
        costs={"total": 100.0 + seed},
        fills={"managed_market": 7},
        profit={"managed_market": 50.0},
    )


def equal_weight(panel: MarketPanel, start: int, seed: int) -> BookRun:
    """Return the equal-weight universe, traded."""
    returns = equal_weight_returns(panel, total_returns(panel), start)[start:]
    return BookRun(returns, np.ones(len(returns)), np.zeros(len(returns), dtype=np.bool_))


def told(panel: MarketPanel, start: int, seed: int) -> BookRun:
    """Return the equal-weight universe with what a machine would tell of it."""
    run = equal_weight(panel, start, seed)
    equity = np.linspace(100_000.0, 200_000.0, len(run.returns))
    unused = equity[:, None] * np.array([0.3, 0.1, 0.05, 0.03, 0.02])
    return replace(run, unused=unused, equity=equity, lifted={"halts": run.returns * 0.9, "caps": run.returns})
