"""Allocations that need no neural network: what a learned allocator has to beat, at the same costs.

A baseline turns the daily returns of K strategies' shadow books into weights. Row t of the weights uses rows up to
and including t, and earns the returns of row t + 1. Every row is non-negative and sums to 1. Until a baseline has
seen enough it answers equal weight; what counts as enough is in its parameters.

This module holds equal weight and the baselines that look at risk only; those that learn from returns are in
:mod:`trading_platform.evaluation.learning_baselines`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trading_platform.core.action_map import SUM_NOISE
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Bools, Floats
from trading_platform.evaluation.covariance import (
    FLAT_VARIANCE,
    equal_risk_weights,
    ledoit_wolf_covariance,
    minimum_variance_weights,
)

# The weights must sum to 1 to this precision.


class Baseline(Protocol):
    """A causal rule that splits capital between strategies."""

    @property
    def name(self) -> str:
        """Short stable name for tables."""
        ...

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K) for the sessions after each row.

        Parameters
        ----------
        returns
            Daily returns of the strategies' shadow books, (T, K); NaN while a book has no history.
        regime_probabilities
            Filtered probabilities of bull, bear and consolidation, (T, 3); NaN while unknown.

        Raises
        ------
        ValueError
            Shapes that do not fit, or a return at or below -100 %.
        """
        ...


@dataclass(frozen=True, slots=True)
class EqualWeight:
    """1/K, rebalanced every session: the reference of every comparison (DeMiguel, Garlappi & Uppal 2009)."""

    name: str = "equal_weight"

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return 1/K in every row, (T, K)."""
        check_inputs(returns, regime_probabilities)
        return equal_rows(returns)


@dataclass(frozen=True, slots=True)
class DriftingEqualWeight:
    """Start at 1/K and never rebalance. A session with a NaN moves nothing."""

    name: str = "equal_weight_drifting"

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K) that follow each book's growth; `check_inputs` says what is refused."""
        known = check_inputs(returns, regime_probabilities)
        growth = np.cumsum(np.log1p(np.where(known[:, None], returns, 0.0)), axis=0)
        # Relative to the largest, so that decades of growth cannot overflow.
        values = np.exp(growth - growth.max(axis=1, keepdims=True))
        return normalised_rows(values)


@dataclass(frozen=True, slots=True)
class InverseVolatility:
    """Weights inverse to each book's standard deviation over the last `lookback` sessions, set every few sessions.

    A book without volatility (cash) gets nothing, since it has no risk to balance.
    """

    name: str = "inverse_volatility"
    lookback: int = 63
    rebalance_every: int = 5

    def __post_init__(self) -> None:
        require(self.name, lookback=(self.lookback, 2, math.inf), rebalance_every=(self.rebalance_every, 1, math.inf))

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K) proportional to 1 / volatility."""
        check_inputs(returns, regime_probabilities)
        return rolling_rows(returns, self.lookback, self.rebalance_every, _inverse_volatility)


@dataclass(frozen=True, slots=True)
class RiskParity:
    """Equal risk contributions under the Ledoit-Wolf covariance of the last `lookback` sessions."""

    name: str = "risk_parity"
    lookback: int = 252
    rebalance_every: int = 5

    def __post_init__(self) -> None:
        require(self.name, lookback=(self.lookback, 2, math.inf), rebalance_every=(self.rebalance_every, 1, math.inf))

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K) under which every book carries the same share of risk."""
        check_inputs(returns, regime_probabilities)
        return rolling_rows(
            returns,
            self.lookback,
            self.rebalance_every,
            lambda window: equal_risk_weights(ledoit_wolf_covariance(window)),
        )


@dataclass(frozen=True, slots=True)
class MinimumVariance:
    """Least variance, long only, under the Ledoit-Wolf covariance of the last `lookback` sessions."""

    name: str = "minimum_variance"
    lookback: int = 252
    rebalance_every: int = 5

    def __post_init__(self) -> None:
        require(self.name, lookback=(self.lookback, 2, math.inf), rebalance_every=(self.rebalance_every, 1, math.inf))

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return the long-only weights (T, K) of least variance."""
        check_inputs(returns, regime_probabilities)
        return rolling_rows(
            returns,
            self.lookback,
            self.rebalance_every,
            lambda window: minimum_variance_weights(ledoit_wolf_covariance(window)),
        )


def require(baseline: str, **parameters: tuple[float, float, float]) -> None:
    """Check parameters given as name = (value, least, largest).

    Raises
    ------
    FixConfigError
        One is outside; the message names all of them.
    """
    problems = [
        f"{name} must be in [{least:g}, {largest:g}], was {value}"
        for name, (value, least, largest) in parameters.items()
        if not (least <= value <= largest)
    ]
    if problems:
        raise FixConfigError(f"baseline {baseline}: " + "; ".join(problems))


def check_inputs(returns: Floats, regime_probabilities: Floats) -> Bools:
    """Check what every baseline is given, and return which rows of `returns` are fully known, (T,).

    Raises
    ------
    ValueError
        `returns` are no fractions (T, K) above -1 (NaN = no history), or `regime_probabilities` are not (T, 3).
    """
    if returns.ndim != 2 or returns.shape[1] < 1:
        raise ValueError(f"returns must be (T, K), was {returns.shape}")
    if regime_probabilities.shape != (len(returns), 3):
        raise ValueError(f"regime_probabilities must be ({len(returns)}, 3), was {regime_probabilities.shape}")
    if (returns <= -1.0).any() or np.isinf(returns).any():
        raise ValueError("returns must be finite fractions above -1, or NaN where a book has no history")
    return known_rows(returns)


def known_rows(values: Floats) -> Bools:
    """Return which rows of (T, N) values are finite throughout, (T,)."""
    return np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)


def equal_rows(returns: Floats) -> Floats:
    """Return equal weights shaped like `returns`, (T, K)."""
    return np.full(returns.shape, 1.0 / returns.shape[1])


def normalised_rows(scores: Floats) -> Floats:
    """Return non-negative scores (T, K) scaled so that every row sums to 1; equal weight where nothing is positive."""
    totals = scores.sum(axis=1, keepdims=True)
    usable = np.isfinite(totals) & (totals > 0.0)
    return np.where(usable, scores / np.where(usable, totals, 1.0), 1.0 / scores.shape[1])


def rolling_rows(returns: Floats, lookback: int, rebalance_every: int, rule: Callable[[Floats], Floats]) -> Floats:
    """Return weights (T, K): those of `rule` on the last `lookback` rows, set every `rebalance_every`-th session.

    `returns` are fractions a session, (T, K). `rule` sees the books that traded in the window, (lookback, k); the
    others get 0. Equal weight where the window is short, has a NaN, or has no book that traded.
    """
    rows = equal_rows(returns)
    current = rows[0].copy() if len(rows) else None
    for t in range(len(returns)):
        if t % rebalance_every == 0:
            current = _window_weights(returns[max(0, t + 1 - lookback) : t + 1], lookback, rule)
        rows[t] = current
    return rows


def _window_weights(window: Floats, lookback: int, rule: Callable[[Floats], Floats]) -> Floats:
    n_books = window.shape[1]
    equal = np.full(n_books, 1.0 / n_books)
    if len(window) < lookback or np.isnan(window).any():
        return equal
    trades = window.var(axis=0) > FLAT_VARIANCE
    if not trades.any():
        return equal
    weights = np.zeros(n_books)
    weights[trades] = rule(window[:, trades])
    return weights if abs(weights.sum() - 1.0) <= SUM_NOISE else equal


def _inverse_volatility(window: Floats) -> Floats:
    inverse = 1.0 / window.std(axis=0)
    weights: Floats = inverse / inverse.sum()
    return weights
