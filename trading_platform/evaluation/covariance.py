"""Covariance that can be trusted on little data, and the long-only weights that follow from it.

For a handful of strategies cyclic coordinate descent solves both problems here to rounding in a few dozen sweeps:
each step minimises exactly along one weight, so the objective falls, and a negative answer is cut to zero.
"""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.types import Floats

# A daily standard deviation under 1e-8 is a book that does not trade (cash): it has no risk to balance.
FLAT_VARIANCE = 1e-16
TOLERANCE = 1e-13
MOST_SWEEPS = 10_000


def ledoit_wolf_covariance(returns: Floats) -> Floats:
    """Return the covariance of returns (T, K), shrunk towards a multiple of the identity, (K, K).

    The shrinkage that minimises the expected squared error is estimated from the data. Biased (1 / T) moments, as in
    the paper. NaN in, NaN out.

    Source: Ledoit & Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    n_sessions, n_books = returns.shape
    centred = returns - returns.mean(axis=0)
    sample: Floats = centred.T @ centred / n_sessions
    average = float(np.trace(sample)) / n_books
    target = average * np.eye(n_books)
    distance = float(((sample - target) ** 2).sum())
    if distance == 0.0:
        return sample
    # Mean over sessions of || x x' - sample ||^2, over T: how much of the distance is noise.
    sizes = (centred**2).sum(axis=1)
    noise = (float(sizes @ sizes) / n_sessions - float((sample**2).sum())) / n_sessions
    shrinkage = min(1.0, max(0.0, noise / distance))
    shrunken: Floats = (1.0 - shrinkage) * sample + shrinkage * target
    return shrunken


def minimum_variance_weights(covariance: Floats) -> Floats:
    """Return long-only weights (K,), summing to 1, of least variance; positive definite `covariance` (K, K)."""
    solution = _positive_quadratic(np.ascontiguousarray(covariance), np.ones(len(covariance)))
    return _normalised(solution)


def tangency_weights(covariance: Floats, means: Floats) -> Floats:
    """Return long-only weights (K,), summing to 1, of the highest Sharpe ratio for known `means` (K,).

    When no mean is positive, everything goes to the largest one.
    """
    if not (means > 0.0).any():
        weights = np.zeros(len(means))
        weights[int(means.argmax())] = 1.0
        return weights
    # Means of a day are tiny beside 1, and the tolerance is absolute: scale them; weights do not change.
    return _normalised(_positive_quadratic(np.ascontiguousarray(covariance), means / means.max()))


def equal_risk_weights(covariance: Floats) -> Floats:
    """Return weights (K,), summing to 1, under which every book contributes the same risk.

    Source: Maillard, Roncalli & Teiletche (2010), "The Properties of Equally Weighted Risk Contribution Portfolios";
    solved as Griveau-Billion, Richard & Roncalli (2013) propose.
    """
    return _normalised(_equal_risk(np.ascontiguousarray(covariance)))


def _normalised(solution: Floats) -> Floats:
    total = float(solution.sum())
    if not (total > 0.0 and math.isfinite(total)):
        return np.full(len(solution), math.nan)
    weights: Floats = solution / total
    return weights


@compiled
def _positive_quadratic(covariance: Floats, linear: Floats) -> Floats:
    """Minimise y' S y / 2 - b' y over y >= 0, for S scaled to unit mean variance; the scale of y is arbitrary."""
    n_books = len(linear)
    scale = np.trace(covariance) / n_books
    solution = np.zeros(n_books)
    for _ in range(MOST_SWEEPS):
        moved = 0.0
        for book in range(n_books):
            slope = linear[book]
            for other in range(n_books):
                if other != book:
                    slope -= covariance[book, other] / scale * solution[other]
            value = max(0.0, slope / (covariance[book, book] / scale))
            moved = max(moved, abs(value - solution[book]))
            solution[book] = value
        if moved <= TOLERANCE:
            break
    return solution


@compiled
def _equal_risk(covariance: Floats) -> Floats:
    """Minimise y' S y / 2 - sum(log y) / K over y > 0: at the optimum y_i (S y)_i is the same for all."""
    n_books = len(covariance)
    scale = np.trace(covariance) / n_books
    solution = np.ones(n_books)
    for _ in range(MOST_SWEEPS):
        moved = 0.0
        for book in range(n_books):
            own = covariance[book, book] / scale
            cross = 0.0
            for other in range(n_books):
                if other != book:
                    cross += covariance[book, other] / scale * solution[other]
            value = (-cross + math.sqrt(cross * cross + 4.0 * own / n_books)) / (2.0 * own)
            moved = max(moved, abs(value - solution[book]))
            solution[book] = value
        if moved <= TOLERANCE:
            break
    return solution
