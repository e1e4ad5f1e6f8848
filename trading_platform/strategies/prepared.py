"""From a panel, strategies and regimes to everything that the environment, backtests and training need. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trading_platform.core.costs import default_protection
from trading_platform.core.market import build_market, build_signals, forward_adjusted
from trading_platform.core.market_features import market_features
from trading_platform.core.prepare import PreparedMarket, prepare_market
from trading_platform.core.published_rules import rule_offsets
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.base import AnyStrategy, family_of, prepare_signals, works_on


def prepare_panel(
    panel: MarketPanel,
    clock: Floats,
    strategies: Sequence[AnyStrategy],
    regimes: Floats,
    rules: Rules,
    capital: float = 100_000.0,
    base: Floats | None = None,
) -> PreparedMarket:
    """Prepare a market from its bars: signals and market features are computed here. See `prepare_market`.

    `clock` (T,) has exchange hours, `regimes` (T, 3) probabilities, `base` (K,) the weights to start from.
    """
    adjusted = forward_adjusted(panel)
    features = market_features(adjusted)
    return prepare_market(
        panel=panel,
        market=build_market(panel, clock, rules.limits.correlation_window),
        signals=build_signals(prepare_signals(panel, strategies), default_protection(rules.exits)),
        strategy_names=[strategy.name for strategy in strategies],
        regimes=regimes,
        features=features,
        offsets=rule_offsets(adjusted, features, [family_of(strategy) for strategy in strategies]),
        adjusted=adjusted,
        rules=rules,
        lookback=max(strategy.lookback for strategy in strategies),
        capital=capital,
        base=base,
        works=np.array([works_on(strategy, panel) for strategy in strategies]),
    )
