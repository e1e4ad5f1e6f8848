"""Signals do not depend on the unit of a price: a split that falls out of the loaded history changes no decision."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.strategies.base import Strategy, prepare_signals
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.low_volatility import LowVolatility
from trading_platform.strategies.mean_reversion import MeanReversion
from trading_platform.strategies.momentum import Momentum
from trading_platform.strategies.panic_reversal import PanicReversal
from trading_platform.strategies.turn_of_month import TurnOfMonth

# Every registered strategy with a short memory, so that small markets get past it.
SHORT: tuple[Strategy, ...] = (
    Momentum(formation=40, skip=5, trend=30, entry_rank=0.6, exit_rank=0.4),
    MeanReversion(window=3, entry_rank=0.7),
    Breakout(entry_window=20, exit_window=10, volatility_window=10),
    LowVolatility(window=20, trend=30, entry_rank=0.6, exit_rank=0.4),
    TurnOfMonth(ranking=20),
    PanicReversal(average=20, panic=1.05, calm=0.95, entry_rank=0.6),
)
N_SESSIONS, N_TICKERS = 120, 8


@cache
def market(seed: int, *, gaps: bool) -> MarketPanel:
    panel = SyntheticMarketData(seed=seed, n_tickers=N_TICKERS, n_sessions=N_SESSIONS).history()
    if not gaps:
        return panel
    missing = np.random.default_rng(seed).random(panel.close.shape) < 0.01
    open_, high, low, close, volume = (
        np.where(missing, np.nan, bars) for bars in (panel.open, panel.high, panel.low, panel.close, panel.volume)
    )
    return replace(panel, open=open_, high=high, low=low, close=close, volume=volume)


def rescaled(panel: MarketPanel, scale: np.ndarray) -> MarketPanel:
    return replace(
        panel, open=panel.open * scale, high=panel.high * scale, low=panel.low * scale, close=panel.close * scale
    )


def signals(panel: MarketPanel, strategy: Strategy) -> StrategySignals:
    return prepare_signals(panel, [strategy])[0]


@pytest.mark.parametrize("strategy", SHORT, ids=lambda strategy: strategy.name)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 9),
    gaps=st.booleans(),
    powers=st.lists(st.integers(-8, 8), min_size=N_TICKERS, max_size=N_TICKERS),
)
def test_signals_are_the_same_bits_with_prices_in_powers_of_two(
    strategy: Strategy, seed: int, gaps: bool, powers: list[int]
) -> None:
    panel = market(seed, gaps=gaps)
    plain, scaled = signals(panel, strategy), signals(rescaled(panel, 2.0 ** np.array(powers)), strategy)
    event("entries" if (plain.strength > 0.0).any() else "no entry")
    assert scaled.strength.tobytes() == plain.strength.tobytes()
    assert scaled.exit.tobytes() == plain.exit.tobytes()


@pytest.mark.parametrize("strategy", SHORT, ids=lambda strategy: strategy.name)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 9), gaps=st.booleans(), scale=st.sampled_from([3.7, 1 / 3.0, 0.1]))
def test_signals_are_nearly_the_same_with_prices_in_another_unit(
    strategy: Strategy, seed: int, gaps: bool, scale: float
) -> None:
    panel = market(seed, gaps=gaps)
    plain, scaled = signals(panel, strategy), signals(rescaled(panel, np.full(N_TICKERS, scale)), strategy)
    np.testing.assert_allclose(scaled.strength, plain.strength, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(scaled.exit, plain.exit)


def test_all_strategies_enter_and_leave_on_these_markets() -> None:
    for strategy in SHORT:
        said = [signals(market(seed, gaps=False), strategy) for seed in range(10)]
        assert sum(int((item.strength > 0.0).sum()) for item in said) > 20, strategy.name
        assert sum(int(item.exit.sum()) for item in said) > 20, strategy.name


def test_strategy_that_filters_on_the_price_level_is_noticed() -> None:
    """Negative control: back-adjusted prices make "above 5 dollars" a look-ahead."""
    panel = market(0, gaps=False)
    scaled = rescaled(panel, np.full(N_TICKERS, 2.0**-4))
    plain, other = (np.where(bars.close > 5.0, signals(bars, SHORT[1]).strength, 0.0) for bars in (panel, scaled))
    assert plain.tobytes() != other.tobytes()
