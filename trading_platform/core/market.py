"""Market arrays in the form the kernel reads: one cache line a bar, each ticker contiguous in time.

Built once from a `MarketPanel`; every row t uses bars up to and including t.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import lean
from trading_platform.core.types import Bools, Floats, Ints, MarketPanel, StrategySignals

OPEN, HIGH, LOW, CLOSE, VOLUME, VOLATILITY, MARKET_CORRELATION, RETURN = range(8)
VOLATILITY_WINDOW = 20


class Market(NamedTuple):
    """Bars and risk inputs. T sessions, N tickers.

    Attributes
    ----------
    bars : (N, T, 8) open, high, low, close, volume, daily volatility over 20 sessions, correlation with the
        equal-weight universe over the correlation window, close-to-close return. NaN = unknown.
    returns : (N, T) close-to-close returns, one ticker's history contiguous.
    return_mean, return_norm : (N, T) mean and root of the sum of squared deviations over the correlation window;
        the norm is 0 where the window has a gap or does not move.
    sector : (N,) sector number.
    vix, vix_age : (T,) last known VIX and its age in sessions (NaN / inf when there never was one).
    clock : (T,) exchange seconds at the close. day : (T,) days since 1970-01-01.
    split, dividend : (T, N), or (0, 0) when there are no corporate actions.
    """

    bars: Floats
    returns: Floats
    return_mean: Floats
    return_norm: Floats
    sector: Ints
    vix: Floats
    vix_age: Floats
    clock: Floats
    day: Ints
    split: Floats
    dividend: Floats


class Signals(NamedTuple):
    """Entry candidates per strategy and session, strongest first, ties by ticker; and exit flags.

    Attributes
    ----------
    start : (K, T + 1) candidates of strategy k at session t are [start[k, t], start[k, t + 1]).
    ticker : (M,) column of each candidate. strength : (M,) in (0, 1].
    exits : (N, T) bit k set = strategy k wants out.
    """

    start: Ints
    ticker: NDArray[np.int32]
    strength: Floats
    exits: NDArray[np.uint32]


def forward_adjusted(panel: MarketPanel) -> MarketPanel:
    """Return the panel with splits folded in from the first session on: no later split moves an earlier price."""
    if panel.split_ratio is None:
        return panel
    ratio = np.where(np.isfinite(panel.split_ratio), panel.split_ratio, 1.0)
    factor = np.cumprod(ratio, axis=0)
    return MarketPanel(
        sessions=panel.sessions,
        tickers=panel.tickers,
        open=panel.open * factor,
        high=panel.high * factor,
        low=panel.low * factor,
        close=panel.close * factor,
        volume=panel.volume / factor,
        vix=panel.vix,
        benchmark=panel.benchmark,
        sectors=panel.sectors,
        source=panel.source,
        data_hash=panel.data_hash,
        warnings=panel.warnings,
    )


def build_market(panel: MarketPanel, clock: Floats, correlation_window: int) -> Market:
    """Build the kernel's arrays from `panel`; `clock` is the exchange clock at each close, (T,) seconds."""
    n_sessions, n_tickers = panel.close.shape
    adjusted = forward_adjusted(panel)
    returns = np.full((n_sessions, n_tickers), np.nan)
    returns[1:] = adjusted.close[1:] / adjusted.close[:-1] - 1.0
    bars = np.empty((n_tickers, n_sessions, 8))
    for index, values in ((OPEN, panel.open), (HIGH, panel.high), (LOW, panel.low), (CLOSE, panel.close)):
        bars[:, :, index] = values.T
    bars[:, :, VOLUME] = panel.volume.T
    bars[:, :, RETURN] = returns.T
    by_ticker = np.ascontiguousarray(returns.T)
    mean = np.full((n_tickers, n_sessions), np.nan)
    norm = np.zeros((n_tickers, n_sessions))
    universe, work = np.empty(n_sessions), np.empty((4, n_sessions))
    _fill_windows(by_ticker, correlation_window, VOLATILITY_WINDOW, mean, norm, bars, universe, work)
    vix, vix_age = _last_known(panel.vix)
    no_actions = np.empty((0, 0))
    return Market(
        bars=bars,
        returns=by_ticker,
        return_mean=mean,
        return_norm=norm,
        sector=np.unique(np.array(panel.sectors), return_inverse=True)[1].astype(np.int64),
        vix=vix,
        vix_age=vix_age,
        clock=np.ascontiguousarray(clock, dtype=np.float64),
        day=panel.sessions.astype("datetime64[D]").astype(np.int64),
        split=no_actions if panel.split_ratio is None else panel.split_ratio,
        dividend=no_actions if panel.dividend is None else panel.dividend,
    )


@lean
def _fill_windows(
    returns: Floats, window: int, short: int, mean: Floats, norm: Floats, bars: Floats, universe: Floats, work: Floats
) -> None:
    """Fill `mean`, `norm`, and the volatility and market-correlation fields of `bars`; `work` is (4, T).

    Each window is summed afresh, so that a value does not depend on how much history came before it. Loops run over
    the sessions inside and over the window outside: one sum after the other, but eight sessions at once.
    """
    n_tickers, n_sessions = returns.shape
    market_mean, market_norm, total, count = work[0], work[1], work[2], work[3]
    total[:] = 0.0
    count[:] = 0.0
    for i in range(n_tickers):
        for t in range(n_sessions):
            if not math.isnan(returns[i, t]):
                total[t] += returns[i, t]
                count[t] += 1.0
    for t in range(n_sessions):
        universe[t] = total[t] / count[t] if count[t] > 0.0 else math.nan
    window_moments(universe, window, market_mean, market_norm)
    for i in range(n_tickers):
        window_moments(returns[i], short, total, count)
        for t in range(n_sessions):
            bars[i, t, VOLATILITY] = count[t] / math.sqrt(short - 1.0) if count[t] > 0.0 else math.nan
        window_moments(returns[i], window, mean[i], norm[i])
        total[:] = 0.0
        ends = slice(window - 1, n_sessions)  # slices that start at 0: the compiler then knows all indices are positive
        sums, own_means, market_means = total[ends], mean[i, ends], market_mean[ends]
        for k in range(window):
            own, others = returns[i, k:], universe[k:]
            for j in range(len(sums)):
                sums[j] += (own[j] - own_means[j]) * (others[j] - market_means[j])
        for t in range(n_sessions):
            product = norm[i, t] * market_norm[t]
            bars[i, t, MARKET_CORRELATION] = total[t] / product if product > 0.0 else math.nan


@lean
def window_moments(values: Floats, window: int, mean: Floats, norm: Floats) -> None:
    """Fill mean and root of the summed squared deviations of the `window` values ending at each row; all are (T,).

    NaN and 0 where the window has a gap, is not full yet, or does not move.
    """
    n = len(values)
    mean[:] = 0.0
    norm[:] = 0.0
    means, squares = mean[window - 1 :], norm[window - 1 :]
    for k in range(window):
        shifted = values[k:]
        for j in range(len(means)):
            means[j] += shifted[j]
    for j in range(len(means)):
        means[j] /= window
    for k in range(window):
        shifted = values[k:]
        for j in range(len(means)):
            deviation = shifted[j] - means[j]
            squares[j] += deviation * deviation
    for t in range(n):
        if norm[t] > 1e-18:  # constant prices: rounding noise is not movement
            norm[t] = math.sqrt(norm[t])
        else:
            mean[t] = math.nan
            norm[t] = 0.0


def _last_known(values: Floats) -> tuple[Floats, Floats]:
    """Return (last finite value so far, its age in rows)."""
    known = np.where(np.isfinite(values), np.arange(len(values)), -1)
    last = np.maximum.accumulate(known) if len(values) else known
    age = np.where(last >= 0, np.arange(len(values)) - last, np.inf)
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan), age.astype(np.float64)


def build_signals(signals: list[StrategySignals] | tuple[StrategySignals, ...]) -> Signals:
    """Sort the entry candidates of K strategies into the kernel's lists."""
    if not 0 < len(signals) <= 32:
        raise ValueError(f"between 1 and 32 strategies can be traded together, got {len(signals)}")
    n_sessions, n_tickers = signals[0].strength.shape
    start = np.zeros((len(signals), n_sessions + 1), dtype=np.int64)
    tickers: list[NDArray[np.int32]] = []
    strengths: list[Floats] = []
    exits = np.zeros((n_tickers, n_sessions), dtype=np.uint32)
    offset = 0
    for k, item in enumerate(signals):
        positive: Bools = item.strength > 0.0  # NaN is not positive
        rows, columns = np.nonzero(positive)
        strength = np.minimum(item.strength[rows, columns], 1.0)
        order = np.lexsort((columns, -strength, rows))
        tickers.append(columns[order].astype(np.int32))
        strengths.append(strength[order])
        start[k, 1:] = np.cumsum(positive.sum(axis=1))
        start[k] += offset
        offset += len(rows)
        exits |= item.exit.T.astype(np.uint32) << np.uint32(k)
    return Signals(start, np.concatenate(tickers), np.concatenate(strengths), exits)
