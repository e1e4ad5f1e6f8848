"""Block bootstrap of daily returns: confidence intervals for Sharpe ratios and for paired differences of them.

Returns cluster, so single days may not be shuffled. The stationary bootstrap (Politis & Romano 1994) joins blocks of
geometric length; the circular one (Politis & Romano 1992) blocks of one length, which also serves to resample rows
of market history. Books are resampled with the same rows, so that what moves all of them cancels.

Nothing here holds random state: a Generator is passed in, and the compiled loops get arrays of uniform numbers.
Speed: 5,000 resamples of a pair over 4,000 sessions take 0.2 s on one core with numba.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import ROUNDING, sharpe_ratio
from trading_platform.core.types import Floats, Ints
from trading_platform.evaluation.sharpe_tests import influence

DEFAULT_RESAMPLES = 5_000
# Rows of uniform numbers are drawn in chunks of about this many, so that memory stays at tens of megabytes.
CHUNK = 1_000_000
# Politis & White (2004), section 3: autocorrelations below 2 sqrt(log10(T) / T) count as zero.
SIGNIFICANCE = 2.0
SHORTEST_SERIES = 10


@dataclass(frozen=True, slots=True)
class BlockLength:
    """Optimal expected block length for the stationary, and block length for the circular bootstrap, in sessions."""

    stationary: float
    circular: float


@dataclass(frozen=True, slots=True)
class SharpeInterval:
    """An annualised Sharpe ratio and its percentile interval."""

    sharpe: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SharpeDifference:
    """Paired bootstrap of Sharpe(challenger) - Sharpe(base), annualised.

    `standard_error` is the deviation of the resampled differences, `low` and `high` bound their percentile interval;
    `p_value` is two-sided, against a centred bootstrap distribution; `probability_positive` is the share of resamples
    in which the challenger is strictly better. All NaN when the difference is unknown.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    probability_positive: float
    block_length: float
    n_resamples: int


def optimal_block_length(values: Floats) -> BlockLength:
    """Choose block lengths that minimise the error of the bootstrap's variance of the mean of `values`, (T,).

    Autocovariances enter through a flat-top window up to twice the lag behind which five in a row are insignificant.
    Lengths lie in [1, min(3 sqrt(T), T / 3)]; a constant series needs no blocks and gets 1. NaN in, NaN out.

    Raises
    ------
    ValueError
        Fewer than ten values.

    Sources: Politis & White (2004), "Automatic Block-Length Selection for the Dependent Bootstrap", with the correction
    of Patton, Politis & White (2009). The lag follows the authors' reference code, as `arch` does.
    """
    n_values = len(values)
    if n_values < SHORTEST_SERIES:
        raise ValueError(f"a block length needs at least {SHORTEST_SERIES} values, got {n_values}")
    centred = values - values.mean()
    if math.isnan(float(centred @ centred)):
        return BlockLength(math.nan, math.nan)
    longest = math.ceil(min(3.0 * math.sqrt(n_values), n_values / 3.0))
    run = max(5, int(math.log10(n_values)))
    last_lag = min(math.ceil(math.sqrt(n_values)) + run, n_values - 1)
    covariance = np.array([centred[lag:] @ centred[: n_values - lag] for lag in range(last_lag + 1)]) / n_values
    if not (covariance[0] > ROUNDING**2 * float(values.mean()) ** 2):
        return BlockLength(1.0, 1.0)
    window = _window_lag(covariance / covariance[0], n_values, run)
    lags = np.arange(1, window + 1)
    weights = 2.0 * np.minimum(1.0, 2.0 * (1.0 - lags / window)) * covariance[1 : window + 1]
    slope = float(weights @ lags)
    spectrum = float(covariance[0] + weights.sum())
    if spectrum == 0.0:
        return BlockLength(float(longest), float(longest))
    # b = (2 G^2 / D)^(1/3) T^(1/3), with D = 2 g(0)^2 (stationary) and 4/3 g(0)^2 (circular).
    stationary = (slope**2 / spectrum**2 * n_values) ** (1.0 / 3.0)
    circular = (1.5 * slope**2 / spectrum**2 * n_values) ** (1.0 / 3.0)
    return BlockLength(min(max(1.0, stationary), longest), min(max(1.0, circular), longest))


def stationary_indices(n_values: int, block_length: float, n_resamples: int, rng: np.random.Generator) -> Ints:
    """Return (n_resamples, n_values) row numbers of stationary bootstrap resamples.

    Blocks start anywhere, wrap at the end, and have geometric lengths with mean `block_length` >= 1.

    Raises
    ------
    FixConfigError
        An empty series or a block length below 1.
    """
    _check_sizes(n_values, block_length)
    rows: Ints = _stationary_rows(rng.random((n_resamples, n_values)), 1.0 / block_length)
    return rows


def circular_block_indices(
    n_values: int, block_length: int, n_resamples: int, rng: np.random.Generator, length: int | None = None
) -> Ints:
    """Return (n_resamples, length) row numbers of circular blocks of `block_length` rows; `length` None = `n_values`.

    The last block is cut to fit. To resample a market, take whole rows (all tickers, VIX, regimes) of daily returns.

    Raises
    ------
    FixConfigError
        An empty series or a block length below 1.
    """
    _check_sizes(n_values, block_length)
    length = n_values if length is None else length
    n_blocks = -(-length // block_length)
    starts = rng.integers(0, n_values, size=(n_resamples, n_blocks))
    rows: Ints = (starts[:, :, None] + np.arange(block_length)) % n_values
    return np.ascontiguousarray(rows.reshape(n_resamples, -1)[:, :length])


def bootstrap_sharpes(returns: Floats, block_length: float, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Return annualised Sharpe ratios of jointly resampled books, (n_resamples, K), from daily returns (T, K).

    NaN where a resample has no volatility.

    Raises
    ------
    FixConfigError
        An empty series or a block length below 1.
    """
    n_sessions = len(returns)
    _check_sizes(n_sessions, block_length)
    books = np.ascontiguousarray(returns, dtype=np.float64)
    step = max(1, CHUNK // n_sessions)
    chunks = []
    for start in range(0, n_resamples, step):
        uniforms = rng.random((min(step, n_resamples - start), n_sessions))
        chunks.append(_resampled_sharpes(books, _stationary_rows(uniforms, 1.0 / block_length)))
    return np.concatenate(chunks)


def circular_bootstrap_sharpes(
    returns: Floats, block_length: int, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """Return annualised Sharpe ratios, (n_resamples, K), of books (T, K) resampled together in circular blocks.

    NaN where a resample has no volatility.

    Raises
    ------
    FixConfigError
        An empty series or a block length below 1.
    """
    books = np.ascontiguousarray(returns, dtype=np.float64)
    n_sessions = len(books)
    _check_sizes(n_sessions, block_length)
    step = max(1, CHUNK // n_sessions)
    sizes = [min(step, n_resamples - first) for first in range(0, n_resamples, step)]
    return np.concatenate(
        [_resampled_sharpes(books, circular_block_indices(n_sessions, block_length, size, rng)) for size in sizes]
    )


def sharpe_interval(
    returns: Floats,
    rng: np.random.Generator,
    n_resamples: int = DEFAULT_RESAMPLES,
    confidence: float = 0.95,
    block_length: float | None = None,
) -> SharpeInterval:
    """Return the annualised Sharpe ratio of daily returns (T,) with its bootstrap percentile interval."""
    sharpe = sharpe_ratio(returns)
    block = _block_for(returns, block_length)
    if math.isnan(sharpe) or math.isnan(block):
        return SharpeInterval(sharpe, math.nan, math.nan)
    resampled = bootstrap_sharpes(returns[:, None], block, n_resamples, rng)[:, 0]
    return SharpeInterval(sharpe, *percentile_interval(resampled, confidence))


def sharpe_difference(
    challenger: Floats,
    base: Floats,
    rng: np.random.Generator,
    n_resamples: int = DEFAULT_RESAMPLES,
    confidence: float = 0.95,
    block_length: float | None = None,
) -> SharpeDifference:
    """Bootstrap the difference of two books' Sharpe ratios, session by session paired.

    Parameters
    ----------
    challenger, base
        Daily returns on the same sessions, (T,).
    rng
        Source of the resamples.
    block_length
        Expected block length in sessions; None chooses it from the influence of each session on the difference.

    Raises
    ------
    ValueError
        The series differ in length.
    """
    if challenger.shape != base.shape:
        raise ValueError(f"paired series must have the same sessions, got {challenger.shape} and {base.shape}")
    if len(base) < SHORTEST_SERIES or math.isnan(sharpe_ratio(challenger) - sharpe_ratio(base)):
        return _unknown(n_resamples)
    block = _block_for(influence(challenger, base), block_length)
    resampled = bootstrap_sharpes(np.column_stack((challenger, base)), block, n_resamples, rng)
    difference = sharpe_ratio(challenger) - sharpe_ratio(base)
    return difference_verdict(difference, resampled[:, 0] - resampled[:, 1], block, confidence)


def difference_verdict(difference: float, resampled: Floats, block: float, confidence: float) -> SharpeDifference:
    """Summarise resampled differences (R,) around the observed `difference`.

    A resample without volatility (NaN) counts against the challenger, and as extreme in the p value.
    """
    n_resamples = len(resampled)
    extreme = int(np.count_nonzero(~(np.abs(resampled - difference) < abs(difference))))
    low, high = percentile_interval(resampled, confidence)
    return SharpeDifference(
        difference=difference,
        standard_error=float(resampled.std()),
        low=low,
        high=high,
        # The observed value is one of the draws under the null, so that p is never 0 (Davison & Hinkley 1997, 4.2.5).
        p_value=(1 + extreme) / (1 + n_resamples) if math.isfinite(difference) else math.nan,
        probability_positive=float(np.count_nonzero(resampled > 0.0)) / n_resamples,
        block_length=block,
        n_resamples=n_resamples,
    )


def percentile_interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    """Return the central interval holding `confidence` of the resampled values (R,); NaN if any of them is.

    Raises
    ------
    FixConfigError
        A confidence outside (0, 1).
    """
    if not (0.0 < confidence < 1.0):
        raise FixConfigError(f"confidence must be in (0, 1), was {confidence}")
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return float(low), float(high)


def _window_lag(correlation: Floats, n_values: int, run: int) -> int:
    """Return M: twice the first lag from which `run` autocorrelations in a row are insignificant."""
    last_lag = len(correlation) - 1
    small = np.abs(correlation) < SIGNIFICANCE * math.sqrt(math.log10(n_values) / n_values)
    for lag in range(1, last_lag - run + 1):
        if small[lag : lag + run].all():
            return min(2 * lag, last_lag)
    return last_lag


def _block_for(values: Floats, block_length: float | None) -> float:
    if block_length is not None:
        return block_length
    return optimal_block_length(values).stationary if len(values) >= SHORTEST_SERIES else math.nan


def _check_sizes(n_values: int, block_length: float) -> None:
    if n_values < 1 or not (1.0 <= block_length < math.inf):
        raise FixConfigError(f"bootstrap: needs values and a block length >= 1, got {n_values} and {block_length}")


def _unknown(n_resamples: int) -> SharpeDifference:
    return SharpeDifference(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, n_resamples)


@compiled
def _stationary_rows(uniforms: Floats, restart: float) -> Ints:
    """Walk forward one row a step; with probability `restart` jump anywhere. One uniform number decides both."""
    n_resamples, n_values = uniforms.shape
    rows = np.empty((n_resamples, n_values), np.int64)
    for resample in range(n_resamples):
        row = min(int(uniforms[resample, 0] * n_values), n_values - 1)
        rows[resample, 0] = row
        for step in range(1, n_values):
            uniform = uniforms[resample, step]
            if uniform < restart:
                # Given that it is below `restart`, its ratio to it is uniform again.
                row = min(int(uniform / restart * n_values), n_values - 1)
            else:
                row += 1
                if row == n_values:
                    row = 0
            rows[resample, step] = row
    return rows


@compiled
def _resampled_sharpes(returns: Floats, rows: Ints) -> Floats:
    """Sharpe ratios (R, K) of books (T, K) on resampled rows (R, T), from sums over each resample."""
    n_resamples, n_draws = rows.shape
    n_books = returns.shape[1]
    sharpes = np.empty((n_resamples, n_books))
    total = np.empty(n_books)
    squares = np.empty(n_books)
    scale = math.sqrt(ANNUAL_SESSIONS)
    for resample in range(n_resamples):
        total[:] = 0.0
        squares[:] = 0.0
        for draw in range(n_draws):
            row = rows[resample, draw]
            for book in range(n_books):
                value = returns[row, book]
                total[book] += value
                squares[book] += value * value
        for book in range(n_books):
            mean = total[book] / n_draws
            variance = (squares[book] - total[book] * mean) / (n_draws - 1)
            if variance > ROUNDING * squares[book]:
                sharpes[resample, book] = mean / math.sqrt(variance) * scale
            else:
                sharpes[resample, book] = math.nan
    return sharpes
