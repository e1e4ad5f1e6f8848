"""Markets to train on: the loaded one, and universes drawn from it, so that a policy cannot learn tickers by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.market_features import market_features
from trading_platform.core.ports import TradingCalendar
from trading_platform.core.prepare import PreparedMarket, prepare_market
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.regime.hmm import RegimePath
from trading_platform.strategies.base import Strategy, prepare_signals


def rules_at_cost(rules: Rules, cost_bps: float) -> Rules:
    """Return `rules` with half-spread and slippage of `cost_bps` basis points together; impact and fees stay."""
    return rules._replace(costs=rules.costs._replace(spread_and_slippage=cost_bps * BASIS_POINT))


def training_world(
    panel: MarketPanel,
    strategies: Sequence[Strategy],
    rules: Rules,
    calendar: TradingCalendar,
    regimes: RegimePath,
    capital: float,
) -> PreparedMarket:
    """Prepare the loaded market; `rules` carry the costs."""
    probabilities = np.where(regimes.known[:, None], regimes.probabilities, np.nan)
    return _prepared(panel, strategies, rules, calendar, probabilities, market_features(panel), capital)


def drawn_universes(
    panel: MarketPanel,
    strategies: Sequence[Strategy],
    rules: Rules,
    calendar: TradingCalendar,
    whole: PreparedMarket,
    share: float,
    count: int,
    seed: int,
) -> list[PreparedMarket]:
    """Return `count` markets of a random `share` of the tickers each, as of row 0 of `whole` on.

    Regimes and market features are those of the whole market: they describe the weather, which is the same for all.
    """
    rng = np.random.default_rng(seed)
    n_drawn = max(2, round(share * panel.n_tickers))
    features = whole.exogenous[:, -10:]
    worlds = []
    for _ in range(count):
        columns = np.sort(rng.choice(panel.n_tickers, n_drawn, replace=False))
        part = panel.columns(columns.tolist())
        worlds.append(_prepared(part, strategies, rules, calendar, whole.regimes, features, whole.capital))
    return worlds


def shrunken_base(world: PreparedMarket, stop: int, sharpness: float, prior_sessions: float = 252.0) -> Floats:
    """Return weights (K,) that prefer strategies whose own books did well on all sessions before row `stop`.

    w_k is proportional to exp(sharpness x S_k), S_k the annualised Sharpe ratio of the strategy's shadow book with
    `prior_sessions` sessions of zero return added. Static: a belief to start from, which an action of 0.5 answers.
    """
    returns = world.strategy_returns[world.first : stop]
    returns = returns[np.isfinite(returns).all(axis=1)]
    n_strategies = world.n_strategies
    if len(returns) < 2:
        return np.full(n_strategies, 1.0 / n_strategies)
    deviation = returns.std(axis=0)
    trades = deviation > 0.0
    sharpe = np.where(trades, returns.sum(axis=0) / (len(returns) + prior_sessions), 0.0)
    sharpe = sharpe / np.where(trades, deviation, 1.0) * np.sqrt(252.0)
    weights = np.exp(sharpness * (sharpe - sharpe.max()))
    normalised: Floats = weights / weights.sum()
    return normalised


def at_base(world: PreparedMarket, base: Floats) -> PreparedMarket:
    """Return `world` with another base allocation: its warm books and the returns that rewards are measured against."""
    from trading_platform.core.prepare import record_books

    warm = record_books(world.market, world.signals, base, world.rules, world.capital)
    equity = warm.accounts["equity"]
    base_returns = np.zeros(len(equity))
    base_returns[1:] = equity[1:] / equity[:-1] - 1.0
    return replace(world, warm=warm, base=base, base_returns=base_returns)


def _prepared(
    panel: MarketPanel,
    strategies: Sequence[Strategy],
    rules: Rules,
    calendar: TradingCalendar,
    regimes: Floats,
    features: Floats,
    capital: float,
) -> PreparedMarket:
    return prepare_market(
        panel,
        calendar.exchange_seconds(panel.sessions.tolist()),
        [strategy.name for strategy in strategies],
        prepare_signals(panel, strategies),
        regimes,
        features,
        rules,
        max(strategy.lookback for strategy in strategies),
        capital,
    )
