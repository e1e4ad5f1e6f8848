"""Markets made for trouble: gaps, halts, zero volume, delistings, splits, dividends, a VIX that goes missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from parity_world import Case, session_days

from risk_config import RiskConfig
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.realistic_fills import EXACT, REALISTIC
from trading_platform.core.types import Bools, Floats, MarketPanel, StrategySignals

N_STRATEGIES = 3
# Enough for volatility (20 returns) and correlation (8) to be known, and then for two months of trading.
N_SESSIONS = 90
WINDOW = 8


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a market; every flag stands for something that real data have."""

    gaps: bool
    halted: bool
    zero_volume: bool
    thin: bool
    delisted: bool
    splits: bool
    dividends: bool
    vix_missing: bool


def rules_of(draw: Any) -> tuple[RiskConfig, ExitConfig, CostConfig]:
    """Draw limits that bind in different places."""
    drawdown = draw(st.sampled_from([0.3, 1.0, 4.0, 30.0]))
    risk = RiskConfig(
        max_drawdown_pct=drawdown,
        recovery_drawdown_pct=drawdown / 2.0,
        halt_release=draw(st.sampled_from(["shadow", "shadow", "equity"])),
        max_daily_loss_pct=draw(st.sampled_from([50.0, 2.0, 0.3])),
        max_position_pct=draw(st.sampled_from([20.0, 20.0, 5.0])),
        max_sector_pct=draw(st.sampled_from([60.0, 20.0])),
        max_exposure_pct=draw(st.sampled_from([40.0, 100.0])),
        max_correlation=draw(st.sampled_from([0.3, 0.8, 1.0])),
        correlation_window=WINDOW,
        consecutive_loss_limit=draw(st.sampled_from([1, 3])),
        pause_hours=draw(st.sampled_from([4, 20])),
        confirmation_readings=draw(st.sampled_from([1, 2])),
        max_equity_jump_pct=draw(st.sampled_from([1.0, 15.0])),
        max_positions=draw(st.sampled_from([2, 6])),
        vix_threshold=draw(st.sampled_from([15.0, 25.0])),
        kelly_prior_payoff=draw(st.sampled_from([3.0, 1.2])),  # the first asks for more than any cap allows
        position_volatility_pct=draw(st.sampled_from([60.0, 60.0, 1.25])),
        min_order_dollars=draw(st.sampled_from([100.0, 100.0, 100.0, 4_000.0])),
        share_step=draw(st.sampled_from([1.0, 0.0001])),
        max_reviews=draw(st.sampled_from([3, 25])),
        entry_collar_pct=draw(st.sampled_from([0.0, 2.0, 10.0])),
    )
    exits = ExitConfig(
        stop_loss_volatilities=draw(st.sampled_from([1.0, 4.0])),
        take_profit_volatilities=draw(st.sampled_from([1.0, 8.0])),
        max_holding_sessions=draw(st.sampled_from([1, 3, 60])),
    )
    costs = CostConfig(
        commission_per_share=draw(st.sampled_from([0.0, 0.005])),
        min_commission=draw(st.sampled_from([0.0, 1.0])),
        max_participation_pct=draw(st.sampled_from([1.0, 10.0])),
    )
    return risk, exits, costs


def market_of(rng: np.random.Generator, n_tickers: int, trouble: Trouble, n_sessions: int = N_SESSIONS) -> MarketPanel:
    """Return raw bars with the trouble asked for."""
    shape = (n_sessions, n_tickers)
    common = rng.normal(0.0, 0.012, (n_sessions, 1))
    returns = common * rng.uniform(0.0, 1.5, n_tickers) + rng.normal(0.0, 0.02, shape)
    overnight = rng.normal(0.0, 0.004, shape)
    if trouble.gaps:
        overnight += np.where(rng.random(shape) < 0.05, rng.normal(0.0, 0.15, shape), 0.0)
    close = rng.choice([5.0, 50.0, 400.0, 1_500.0], n_tickers) * np.exp(np.cumsum(returns + overnight, axis=0))
    open_ = close / np.exp(returns)
    high = np.maximum(open_, close) * (1.0 + rng.exponential(0.006, shape))
    low = np.minimum(open_, close) * (1.0 - np.minimum(rng.exponential(0.006, shape), 0.5))
    volume = np.round(rng.lognormal(7.0 if trouble.thin else 14.0, 1.0, shape))
    if trouble.zero_volume:
        volume[rng.random(shape) < 0.05] = 0.0
    split = dividend = None
    if trouble.splits:
        split = np.where(rng.random(shape) < 0.02, rng.choice([2.0, 3.0, 0.1], shape), 1.0)
        shares = np.cumprod(split, axis=0)
        open_, high, low, close = open_ / shares, high / shares, low / shares, close / shares
    if trouble.dividends:
        dividend = np.where(rng.random(shape) < 0.02, np.round(close * 0.02, 2), 0.0)
    missing = np.zeros(shape, dtype=bool)
    if trouble.halted:
        missing |= _stretches(rng, shape, 2, 6)
    if trouble.delisted:
        missing[rng.integers(30, n_sessions) :, rng.integers(n_tickers)] = True
    vix = rng.uniform(10.0, 30.0, n_sessions)
    if trouble.vix_missing:
        at = int(rng.integers(20, n_sessions))
        vix[at : at + int(rng.integers(1, 9))] = np.nan
    open_, high, low, close, volume = (np.where(missing, np.nan, bars) for bars in (open_, high, low, close, volume))
    return MarketPanel(
        sessions=session_days(n_sessions),
        tickers=tuple(f"T{i:02d}" for i in range(n_tickers)),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vix=vix,
        benchmark=np.full(n_sessions, np.nan),
        sectors=tuple(f"S{i % 3}" for i in range(n_tickers)),
        source="trouble",
        data_hash="",
        split_ratio=split,
        dividend=dividend,
    )


def signals_of(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[StrategySignals, ...]:
    """Return signals that know nothing, with many ties and with wishes for tickers that have no bar."""
    signals = []
    for _ in range(N_STRATEGIES):
        strength = np.where(rng.random(shape) < 0.25, np.ceil(rng.random(shape) * 4.0) / 4.0, 0.0)
        signals.append(StrategySignals(strength, rng.random(shape) < 0.1))
    return tuple(signals)


def scripted_weights(rng: np.random.Generator, n_sessions: int, n_strategies: int) -> Floats:
    """Return allocations that change every few sessions, with weights of 0 among them, (T, K)."""
    rows = rng.dirichlet(np.full(n_strategies, 0.5), n_sessions)
    rows[rng.random(rows.shape) < 0.2] = 0.0
    empty = rows.sum(axis=1) == 0.0
    rows[empty] = 1.0
    rows /= rows.sum(axis=1, keepdims=True)
    held = np.maximum.accumulate(np.where(rng.random(n_sessions) < 0.3, np.arange(n_sessions), 0))
    result: Floats = rows[held]
    return result


def _stretches(rng: np.random.Generator, shape: tuple[int, int], count: int, longest: int) -> Bools:
    """Return True in `count` random stretches of at most `longest` sessions of one ticker each."""
    flags = np.zeros(shape, dtype=bool)
    for _ in range(count):
        first, column = int(rng.integers(1, shape[0])), int(rng.integers(shape[1]))
        flags[first : first + int(rng.integers(1, longest + 1)), column] = True
    return flags


@st.composite
def cases(draw: Any) -> Case:
    """Return a market in trouble, with signals, rules and a script."""
    trouble = Trouble(**{name: draw(st.booleans()) for name in Trouble.__dataclass_fields__})
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    panel = market_of(rng, draw(st.integers(2, 9)), trouble)
    risk, exits, costs = rules_of(draw)
    weights = scripted_weights(rng, panel.n_sessions, N_STRATEGIES) if draw(st.booleans()) else np.full(3, 1.0 / 3.0)
    capital = draw(st.sampled_from([100_000.0, 1_000_000.0, 2_000.0]))
    fills, seed = draw(st.sampled_from([EXACT, REALISTIC])), draw(st.integers(0, 2**32 - 1))
    signals = signals_of(rng, panel.close.shape)
    return Case(panel, signals, weights, risk, exits, costs, capital, fills=fills, seed=seed)
