"""What a book of daily returns is worth: over bills, against the market, and how well that is known.

Every Sharpe ratio is over bills unless it is called plain. Alpha and beta are those of one factor, the benchmark over
bills, by least squares on daily returns; the standard error of alpha is Newey & West's (1987) with Bartlett weights up
to lag floor(4 (T / 100)^(2/9)), the rule of Newey & West (1994). Universes share their years, so the bootstrap draws
blocks of sessions and takes all universes' returns of them together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import annual_return, max_drawdown, sharpe_ratio, volatility
from trading_platform.core.types import Bools, Floats
from trading_platform.evaluation.bootstrap import (
    circular_bootstrap_sharpes,
    optimal_block_length,
    percentile_interval,
)

CONFIDENCE = 0.95
RESAMPLES = 2_000
# Blocks of at least a month: momentum of the market's regimes is longer than daily autocorrelations show.
SHORTEST_BLOCK = 21
FEWEST_SESSIONS = 60  # below it a regression or an interval says nothing
CALM_VIX = 25.0


@dataclass(frozen=True, slots=True)
class BookFigures:
    """Figures of one book; ratios annualised, the others fractions (a year where they are a return). NaN = unknown.

    Attributes
    ----------
    sharpe, sharpe_plain
        Over bills, and of the returns as they are.
    annual_return, excess_return
        Geometric, and its difference to what bills returned.
    beta, alpha, alpha_t
        On the benchmark, both over bills; alpha arithmetic a year, its t value by Newey & West.
    max_drawdown
        Deepest fall from a peak, positive.
    """

    sharpe: float
    sharpe_plain: float
    annual_return: float
    excess_return: float
    volatility: float
    beta: float
    alpha: float
    alpha_t: float
    max_drawdown: float


class OneFactor(NamedTuple):
    """Regression of a book on the market: alpha a session, beta, and alpha's t value."""

    alpha: float
    beta: float
    alpha_t: float


class SharpeSummary(NamedTuple):
    """Sharpe ratios over universes: mean, deviation between them, and the bootstrap interval of the mean."""

    mean: float
    sd: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Return JSON-ready values; None where unknown."""
        return {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}


def book_figures(returns: Floats, bills: Floats, benchmark: Floats) -> BookFigures:
    """Return the figures of daily `returns`, (T,), beside those of `bills` and the `benchmark` on the same sessions."""
    excess = returns - bills
    factor = one_factor(excess, benchmark - bills)
    return BookFigures(
        sharpe=sharpe_ratio(excess),
        sharpe_plain=sharpe_ratio(returns),
        annual_return=annual_return(returns),
        excess_return=annual_return(returns) - annual_return(bills),
        volatility=volatility(returns),
        beta=factor.beta,
        alpha=factor.alpha * ANNUAL_SESSIONS,
        alpha_t=factor.alpha_t,
        max_drawdown=max_drawdown(returns),
    )


def one_factor(excess: Floats, market: Floats) -> OneFactor:
    """Regress `excess` on `market`, (T,), both over bills; see the module for the standard error.

    NaN below `FEWEST_SESSIONS`, with a NaN, or where the market does not move; t is NaN where nothing is left over.
    """
    n_sessions = len(excess)
    if n_sessions < FEWEST_SESSIONS or not np.isfinite(excess).all() or not (np.ptp(market) > 0.0):
        return OneFactor(math.nan, math.nan, math.nan)
    design = np.column_stack([np.ones(n_sessions), market])
    inverse = np.linalg.inv(design.T @ design)
    alpha, beta = (float(value) for value in inverse @ (design.T @ excess))
    residual = excess - alpha - beta * market
    covariance = inverse @ _long_run(design * residual[:, None], newey_west_lag(n_sessions)) @ inverse
    # Small-sample factor for two estimated numbers, as in White's HC1.
    error = math.sqrt(max(float(covariance[0, 0]), 0.0) * n_sessions / (n_sessions - 2))
    noise = 1e-12 * (abs(alpha) + float(np.abs(excess).max()))
    return OneFactor(alpha, beta, alpha / error if error > noise else math.nan)


def newey_west_lag(n_sessions: int) -> int:
    """Return the lag up to which autocovariances count: floor(4 (T / 100)^(2/9)), Newey & West (1994)."""
    return int(4.0 * (n_sessions / 100.0) ** (2.0 / 9.0))


def exposure_means(exposure: Floats, vix: Floats, halted: Bools) -> tuple[float, float]:
    """Return the mean exposure over all sessions, and over calm ones: VIX known and <= 25, and the book not halted.

    `exposure` is a fraction of equity, `vix` in points, NaN = unknown; all three (T,).
    """
    calm = (vix <= CALM_VIX) & ~halted
    return _mean(exposure), _mean(exposure[calm])


def same_beta(benchmark: Floats, bills: Floats, beta: float) -> Floats:
    """Return the daily returns (T,) of `beta` in the benchmark and the rest in bills, set anew each day."""
    mix: Floats = beta * benchmark + (1.0 - beta) * bills
    return mix


def sixty_forty(benchmark: Floats, bonds: Floats, bills: Floats) -> Floats:
    """Return daily returns (T,) of 60 % benchmark, 40 % bonds, set anew each day; bills stand in for unknown bonds."""
    mix: Floats = 0.6 * benchmark + 0.4 * np.where(np.isfinite(bonds), bonds, bills)
    return mix


def block_length(excess: Floats) -> int:
    """Return the sessions of a block for books (T, U): the median of what they and their squares ask for."""
    moving = [column for column in excess.T if np.isfinite(column).all() and np.ptp(column) > 0.0]
    asked = [max(optimal_block_length(part).circular for part in (column, column**2)) for column in moving]
    return min(max(SHORTEST_BLOCK, math.ceil(float(np.median(asked))) if asked else 1), len(excess))


def sharpe_summary(excess: Floats, rng: np.random.Generator, n_resamples: int = RESAMPLES) -> SharpeSummary:
    """Return the Sharpe ratios of the universes' returns over bills (T, U), their mean with its bootstrap interval."""
    ratios = np.array([sharpe_ratio(np.ascontiguousarray(column)) for column in excess.T])
    low, high = _interval(excess, None, rng, n_resamples)
    return SharpeSummary(_mean(ratios), _deviation(ratios), low, high)


def sharpe_gain(excess: Floats, base: Floats, rng: np.random.Generator, n_resamples: int = RESAMPLES) -> SharpeSummary:
    """Return the Sharpe ratios of `excess` less those of `base`, both (T, U), paired by universe and by session."""
    gains = np.array([_ratio(book) - _ratio(other) for book, other in zip(excess.T, base.T, strict=True)])
    low, high = _interval(excess, base, rng, n_resamples)
    return SharpeSummary(_mean(gains), _deviation(gains), low, high)


def mean_pairwise_correlation(returns: Sequence[Floats], market: Floats | None = None) -> float:
    """Return the mean correlation of all pairs of daily returns (T,), after regression on `market` if it is given.

    Series that never move are left out; NaN for fewer than two others.
    """
    moving = [series for series in returns if np.ptp(series) > 0.0]
    if market is not None:
        moving = [_residual(series, market) for series in moving]
    if len(moving) < 2:
        return math.nan
    table: Floats = np.asarray(np.corrcoef(np.stack(moving)))
    return float(table[np.triu_indices(len(moving), 1)].mean())


def _interval(excess: Floats, base: Floats | None, rng: np.random.Generator, n_resamples: int) -> tuple[float, float]:
    if len(excess) < FEWEST_SESSIONS:
        return math.nan, math.nan
    n_books = excess.shape[1]
    books = excess if base is None else np.hstack([excess, base])
    resampled = circular_bootstrap_sharpes(books, block_length(books), n_resamples, rng)
    means = resampled[:, :n_books] if base is None else resampled[:, :n_books] - resampled[:, n_books:]
    return percentile_interval(means.mean(axis=1), CONFIDENCE)


def _long_run(scores: Floats, lags: int) -> Floats:
    """Return the sum of the autocovariance matrices of `scores` (T, P) with Bartlett weights, times T."""
    total: Floats = scores.T @ scores
    for lag in range(1, lags + 1):
        product = scores[lag:].T @ scores[:-lag]
        total = total + (1.0 - lag / (lags + 1.0)) * (product + product.T)
    return total


def _residual(series: Floats, market: Floats) -> Floats:
    centred = market - market.mean()
    slope = float(centred @ series) / float(centred @ centred)
    residual: Floats = series - slope * market
    return residual


def _ratio(column: Floats) -> float:
    return sharpe_ratio(np.ascontiguousarray(column))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _deviation(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
