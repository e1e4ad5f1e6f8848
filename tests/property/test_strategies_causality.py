"""Strategies and features know the last `lookback` sessions and nothing else, on any market."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.causal_checks import Compute, faults_of
from tests.kernel_world import random_panel
from tests.strategy_markets import exactly_adjustable
from trading_platform.core.market import forward_adjusted
from trading_platform.core.market_features import LOOKBACK, market_features
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import Strategy, prepare_signals
from trading_platform.strategies.registry import STRATEGIES

EVERY = [pytest.param(cls(), id=name) for name, cls in STRATEGIES.items()]
SOON = settings(max_examples=40, deadline=None)


def table_of(strategy: Strategy) -> Compute:
    """Return what computes strengths beside exits, (T, 2 N)."""

    def compute(panel: MarketPanel) -> Floats:
        signals = prepare_signals(panel, [strategy])[0]
        return np.hstack([signals.strength, signals.exit.astype(np.float64)])

    return compute


def features_of(panel: MarketPanel) -> Floats:
    return market_features(forward_adjusted(panel))


@pytest.mark.parametrize("strategy", EVERY)
@SOON
@given(seed=st.integers(0, 10_000), row=st.integers(255, 418), faults=st.booleans())
def test_strategy_knows_its_lookback_and_nothing_else(strategy: Strategy, seed: int, row: int, faults: bool) -> None:
    panel = exactly_adjustable(random_panel(seed, 420, 23, faults=faults))
    compute = table_of(strategy)
    event(f"{strategy.name}: something is said {bool(compute(panel)[row].any())}")
    assert faults_of(compute, panel, strategy.lookback, [row]) == []


@SOON
@given(seed=st.integers(0, 10_000), row=st.integers(LOOKBACK, 418), faults=st.booleans(), benchmark=st.booleans())
def test_features_know_their_lookback_and_nothing_else(seed: int, row: int, faults: bool, benchmark: bool) -> None:
    panel = exactly_adjustable(random_panel(seed, 420, 23, faults=faults))
    if not benchmark:
        panel = replace(panel, benchmark=np.full_like(panel.benchmark, np.nan))
    event(f"features known: {int(np.isfinite(features_of(panel)[row]).sum())}")
    assert faults_of(features_of, panel, LOOKBACK, [row]) == []


# ---------------------------------------------------------------- seeded faults: the checks can fail


@dataclass(frozen=True)
class Seeded:
    figure: Callable[[Floats], Floats]
    lookback: int
    caught: str


def _whole_mean(close: Floats) -> Floats:
    return np.asarray(close / np.nanmean(close, axis=0))


def _running_mean(close: Floats) -> Floats:
    return np.asarray(np.nancumsum(close, axis=0) / np.arange(1, len(close) + 1)[:, None])


def _running_difference(close: Floats) -> Floats:
    total = np.nancumsum(close, axis=0)
    result = np.full_like(close, np.nan)
    result[20:] = total[20:] - total[:-20]  # the right sum, with the rounding of everything before
    return result


def _tomorrow(close: Floats) -> Floats:
    return np.vstack([close[1:], np.full((1, close.shape[1]), np.nan)])


def _momentum(close: Floats) -> Floats:
    result = np.full_like(close, np.nan)
    result[20:] = close[20:] / close[:-20]
    return result


@pytest.mark.parametrize(
    "fault",
    [
        Seeded(_tomorrow, 1, "perturb the future"),
        Seeded(_tomorrow, 1, "truncate the future"),
        Seeded(_whole_mean, 420, "truncate the future"),
        Seeded(_running_mean, 50, "shorten the past"),
        Seeded(_running_difference, 21, "shorten the past"),
        Seeded(_momentum, 20, "shorten the past"),
    ],
    ids=lambda fault: f"{fault.figure.__name__} {fault.caught}",
)
def test_seeded_fault_is_caught(fault: Seeded) -> None:
    panel = random_panel(3, 420, 5)
    found = faults_of(lambda market: fault.figure(market.close), panel, fault.lookback, [300])
    assert f"{fault.caught} at row 300" in found


def test_right_figure_with_the_right_lookback_is_let_through() -> None:
    assert faults_of(lambda market: _momentum(market.close), random_panel(3, 420, 5), 21, [300]) == []
