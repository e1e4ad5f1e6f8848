"""Markets to train on: costs, histories drawn from the loaded one, and allocations to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.prepare import PreparedMarket, record_books
from trading_platform.core.resample import ResampleOptions, resample_market
from trading_platform.core.served_policy import equal_shares, shares_of_working
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.evaluation.covariance import FLAT_VARIANCE, ledoit_wolf_covariance, minimum_variance_weights
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.prepared import prepare_panel


def rules_at_cost(rules: Rules, cost_bps: float) -> Rules:
    """Return `rules` with half-spread and slippage of `cost_bps` basis points together; impact and fees stay."""
    half = cost_bps * BASIS_POINT / 2.0
    return rules._replace(costs=rules.costs._replace(half_spread=half, slippage=half))


def drawn_markets(
    panel: MarketPanel,
    strategies: Sequence[AnyStrategy],
    clock: Floats,
    whole: PreparedMarket,
    options: ResampleOptions,
    count: int,
    seed: int,
) -> list[PreparedMarket]:
    """Return `count` other histories of the market that `whole` was prepared from; see `core.resample`."""
    rng = np.random.default_rng(seed)
    worlds = []
    for _ in range(count):
        other, regimes = resample_market(panel, whole.regimes, options, rng)
        worlds.append(prepare_panel(other, clock, strategies, regimes, whole.rules, whole.capital))
    return worlds


def shrunken_base(world: PreparedMarket, stop: int, sharpness: float, prior_sessions: float = 252.0) -> Floats:
    """Return weights (K,) that prefer strategies whose own books did well on all sessions before row `stop`.

    w_k is proportional to exp(sharpness x S_k), S_k the annualised Sharpe ratio of the strategy's shadow book with
    `prior_sessions` sessions of zero return added. Static: a belief to start from, which an action of 0.5 answers.
    """
    returns = world.strategy_returns[world.first : stop]
    returns = returns[np.isfinite(returns).all(axis=1)]
    if len(returns) < 2:
        return equal_shares(world.works)
    deviation = returns.std(axis=0)
    trades = deviation > 0.0
    sharpe = np.where(trades, returns.sum(axis=0) / (len(returns) + prior_sessions), 0.0)
    sharpe = sharpe / np.where(trades, deviation, 1.0) * np.sqrt(ANNUAL_SESSIONS)
    weights = np.exp(sharpness * (sharpe - sharpe.max()))
    normalised: Floats = weights / weights.sum()
    return normalised


def minimum_variance_base(world: PreparedMarket, stop: int, prior_sessions: float) -> Floats:
    """Return weights (K,) between equal weight and those of least variance, from all sessions before row `stop`.

    The share of the latter is n / (n + `prior_sessions`) after n sessions of the strategies' shadow books: a covariance
    has to earn its say (Tu & Zhou 2011, "Markowitz meets Talmud", mix with 1/N likewise). Returns are not looked at,
    because years of them say too little about which strategy is best. A book that never traded counts as equal weight.
    """
    returns = world.strategy_returns[world.first : stop]
    returns = returns[np.isfinite(returns).all(axis=1)]
    equal = equal_shares(world.works)
    trades = returns.var(axis=0) > FLAT_VARIANCE if len(returns) >= 2 else np.zeros(world.n_strategies, dtype=bool)
    if not trades.any():
        return equal
    least = equal.copy()
    least[trades] = minimum_variance_weights(ledoit_wolf_covariance(returns[:, trades])) * equal[trades].sum()
    share = len(returns) / (len(returns) + prior_sessions)
    mixed: Floats = (1.0 - share) * equal + share * least
    return mixed if np.isfinite(mixed).all() else equal


def at_base(world: PreparedMarket, base: Floats) -> PreparedMarket:
    """Return `world` with another `base` (K,): its warm books and the returns that rewards are measured against.

    What `base` gives to sleeves that stand aside there goes to the others.
    """
    base = shares_of_working(base, world.works)
    warm = record_books(world.market, world.signals, base, world.rules, world.capital)
    equity = warm.accounts["equity"]
    base_returns = np.zeros(len(equity))
    base_returns[1:] = equity[1:] / equity[:-1] - 1.0
    return replace(world, warm=warm, base=base, base_returns=base_returns)
