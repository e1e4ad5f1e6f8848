"""Baselines that learn which strategy earns: online portfolios, bandits, regime tables; and the oracle for controls.

The rules of :mod:`trading_platform.evaluation.baselines` hold, with one exception: the oracle looks ahead, and is
there only to say how much there was to gain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats
from trading_platform.evaluation.baselines import (
    Baseline,
    DriftingEqualWeight,
    EqualWeight,
    InverseVolatility,
    MinimumVariance,
    RiskParity,
    check_inputs,
    equal_rows,
    known_rows,
    normalised_rows,
    require,
)
from trading_platform.evaluation.covariance import FLAT_VARIANCE

# Parameters that must be positive are at least this.
SMALLEST = 1e-12


class ScoreMap(StrEnum):
    """How scores become weights."""

    SOFTMAX = "softmax"
    POSITIVE = "positive"


@dataclass(frozen=True, slots=True)
class ExponentiatedGradient:
    """Multiply each weight by exp(rate x its relative growth), then give a small share back to everyone.

    The paper's rate 0.05 barely leaves 1/K on daily returns of similar books; the regret-optimal rate for relative
    moves of about 3 % over four years is 2. A share of 1/252 expects the best book to change once a year. A session
    with a NaN moves nothing.

    Sources: Helmbold, Schapire, Singer & Warmuth (1998), "On-Line Portfolio Selection Using Multiplicative Updates";
    Herbster & Warmuth (1998), "Tracking the Best Expert" (fixed share).
    """

    name: str = "exponentiated_gradient"
    rate: float = 2.0
    share: float = 1.0 / ANNUAL_SESSIONS

    def __post_init__(self) -> None:
        require(self.name, rate=(self.rate, 0.0, 100.0), share=(self.share, 0.0, 1.0))

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return the weights (T, K) after each session's update."""
        known = check_inputs(returns, regime_probabilities)
        rows = equal_rows(returns)
        current = np.full(returns.shape[1], 1.0 / returns.shape[1])
        for t in range(len(returns)):
            if known[t]:
                growth = 1.0 + returns[t]
                grown = current * np.exp(self.rate * (growth / (current @ growth) - 1.0))
                current = (1.0 - self.share) * grown / grown.sum() + self.share / len(grown)
            rows[t] = current
        return rows


@dataclass(frozen=True, slots=True)
class DiscountedThompson:
    """Weigh each book by the probability that it has the best Sharpe ratio, sampled from discounted evidence.

    All books are seen every session, so all posteriors learn. With discounted count n, the daily ratio of a book is
    normal around its discounted mean over its discounted deviation, with standard error 1 / sqrt(n); a book
    without volatility has ratio 0. `draws` = 1 is the classical one-hot rule. The Generator is made from `seed` in
    every call, so that equal inputs give equal weights.

    Source: Raj & Kalyani (2017), "Taming Non-stationary Bandits: A Bayesian Approach".
    """

    name: str = "discounted_thompson"
    discount: float = 0.99
    draws: int = 32
    warm_up: int = 21
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            self.name,
            discount=(self.discount, SMALLEST, 1.0),
            draws=(self.draws, 1, 1e4),
            warm_up=(self.warm_up, 1, math.inf),
        )

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return the share of draws that each book wins, (T, K)."""
        check_inputs(returns, regime_probabilities)
        rng = np.random.default_rng(self.seed)
        return thompson_weights(returns, self.discount, self.draws, self.warm_up, rng)


@dataclass(frozen=True, slots=True)
class RegimeTable:
    """Remember each book's mean return after each regime, shrunk to its overall mean, and lean on the likely regime.

    Row s of the probabilities is paired with row s + 1 of the returns, as weights are. The mean of a regime has
    `prior_sessions` pseudo-sessions at the overall mean. Scores are annualised means over volatility; softmax of
    `sharpness` x score, or the positive part of the score. Equal weight while the regime is unknown.
    """

    name: str = "regime_table"
    prior_sessions: float = 252.0
    sharpness: float = 1.0
    mapping: ScoreMap = ScoreMap.SOFTMAX
    warm_up: int = 126

    def __post_init__(self) -> None:
        # Without any prior a regime never seen has no mean at all.
        require(
            self.name,
            prior_sessions=(self.prior_sessions, SMALLEST, math.inf),
            sharpness=(self.sharpness, 0.0, 1e3),
            warm_up=(self.warm_up, 1, math.inf),
        )

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K) by the expected score under each row's regime probabilities."""
        known = check_inputs(returns, regime_probabilities)
        n_sessions, n_books = returns.shape
        clear = known_rows(regime_probabilities)
        scores = np.full((n_sessions, n_books), math.nan)
        total, squares, count = np.zeros(n_books), np.zeros(n_books), 0
        table, mass = np.zeros((3, n_books)), np.zeros((3, 1))
        for t in range(n_sessions):
            if known[t]:
                total, squares, count = total + returns[t], squares + returns[t] ** 2, count + 1
                if t > 0 and clear[t - 1]:
                    table += regime_probabilities[t - 1][:, None] * returns[t]
                    mass += regime_probabilities[t - 1][:, None]
            if count >= self.warm_up and clear[t]:
                mean = total / count
                shrunken = (table + self.prior_sessions * mean) / (mass + self.prior_sessions)
                deviation = np.sqrt(np.maximum(squares / count - mean**2, FLAT_VARIANCE))
                scores[t] = regime_probabilities[t] @ shrunken / deviation * math.sqrt(ANNUAL_SESSIONS)
        return _score_rows(scores, self.mapping, self.sharpness)


@dataclass(frozen=True, slots=True)
class BestSoFar:
    """All capital to the book with the highest Sharpe ratio so far: what picking a winner by its record earns."""

    name: str = "best_so_far"
    warm_up: int = 63

    def __post_init__(self) -> None:
        require(self.name, warm_up=(self.warm_up, 1, math.inf))

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K), one 1 in each row; sessions with a NaN are left out of the record."""
        known = check_inputs(returns, regime_probabilities)
        used = np.where(known[:, None], returns, 0.0)
        count = np.maximum(np.cumsum(known), 1)[:, None]
        mean = np.cumsum(used, axis=0) / count
        variance = np.cumsum(used**2, axis=0) / count - mean**2
        trades = variance > FLAT_VARIANCE
        ratio = np.where(trades, mean / np.sqrt(np.where(trades, variance, 1.0)), 0.0)
        best = np.eye(returns.shape[1])[ratio.argmax(axis=1)]
        return np.where(np.cumsum(known)[:, None] >= self.warm_up, best, equal_rows(returns))


def thompson_weights(returns: Floats, discount: float, draws: int, warm_up: int, rng: np.random.Generator) -> Floats:
    """Return discounted Thompson weights (T, K), drawing `draws` x K normal numbers for each row in order."""
    n_sessions, n_books = returns.shape
    noise = rng.standard_normal((n_sessions, draws, n_books))
    rows = equal_rows(returns)
    total, squares, count, seen = np.zeros(n_books), np.zeros(n_books), 0.0, 0
    for t in range(n_sessions):
        if not np.isnan(returns[t]).any():
            total, squares = discount * total + returns[t], discount * squares + returns[t] ** 2
            count, seen = discount * count + 1.0, seen + 1
        if seen >= warm_up:
            mean = total / count
            variance = squares / count - mean**2
            trades = variance > FLAT_VARIANCE
            ratio = np.where(trades, mean / np.sqrt(np.where(trades, variance, 1.0)), 0.0)
            winners = (ratio + noise[t] / math.sqrt(count)).argmax(axis=1)
            rows[t] = np.bincount(winners, minlength=n_books) / draws
    return rows


def default_baselines(seed: int = 0) -> tuple[Baseline, ...]:
    """Return every causal baseline with its default parameters, equal weight first."""
    return (
        EqualWeight(),
        DriftingEqualWeight(),
        InverseVolatility(),
        RiskParity(),
        MinimumVariance(),
        ExponentiatedGradient(),
        DiscountedThompson(seed=seed),
        RegimeTable(),
        BestSoFar(),
    )


def _score_rows(scores: Floats, mapping: ScoreMap, sharpness: float) -> Floats:
    if mapping is ScoreMap.POSITIVE:
        return normalised_rows(np.maximum(scores, 0.0))
    return normalised_rows(np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True))))
