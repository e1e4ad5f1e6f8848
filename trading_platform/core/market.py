"""Market arrays in the form the kernel reads: one cache line a bar, each ticker contiguous in time.

Built once from a `MarketPanel`; every row t uses bars up to and including t. Thousands of episodes at random sessions
are bound by memory, not by arithmetic. A book mostly holds tomorrow what it holds today, so the line that is read next
lies beside the one read last; with the tickers of a session side by side an environment took a fifth longer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.candidates import list_candidates
from trading_platform.core.compiled import lean
from trading_platform.core.types import Floats, Ints, MarketPanel, StrategySignals
from trading_platform.core.windows import TILE, fill_universe, fill_windows

OPEN, HIGH, LOW, CLOSE, VOLUME, VOLATILITY, MARKET_CORRELATION, RETURN = range(8)
VOLATILITY_WINDOW = 20
PIECE = 64  # sessions that are transposed together


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
    return replace(
        panel,
        open=panel.open * factor,
        high=panel.high * factor,
        low=panel.low * factor,
        close=panel.close * factor,
        volume=panel.volume / factor,
        split_ratio=None,
        dividend=None,
    )


def build_market(panel: MarketPanel, clock: Floats, correlation_window: int) -> Market:
    """Build the kernel's arrays from `panel`; `clock` is the exchange clock at each close, (T,) seconds."""
    n_sessions, n_tickers = panel.close.shape
    bars = np.empty((n_tickers, n_sessions, 8))
    returns = np.full((n_sessions, n_tickers), np.nan)
    adjusted = forward_adjusted(panel).close
    returns[1:] = adjusted[1:] / adjusted[:-1] - 1.0
    _fill_bars(
        _plain(panel.open), _plain(panel.high), _plain(panel.low), _plain(panel.close), _plain(panel.volume),
        returns, bars,
    )  # fmt: skip
    universe, unread, work = np.zeros((3, n_sessions)), np.empty((1, n_sessions, 2)), np.empty((3, TILE))
    fill_universe(returns, universe[0])
    fill_windows(
        universe[0][:, None], correlation_window, VOLATILITY_WINDOW, universe, universe[1:2], universe[2:],
        unread[:, :, 0], unread[:, :, 1], work,
    )  # fmt: skip
    mean, norm = np.empty((n_tickers, n_sessions)), np.empty((n_tickers, n_sessions))
    fill_windows(
        returns, correlation_window, VOLATILITY_WINDOW, universe, mean, norm,
        bars[:, :, VOLATILITY], bars[:, :, MARKET_CORRELATION], work,
    )  # fmt: skip
    vix, vix_age = _last_known(panel.vix)
    no_actions = np.empty((0, 0))
    return Market(
        bars=bars,
        returns=np.ascontiguousarray(returns.T),
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


def _plain(values: Floats) -> Floats:
    """Return `values` as the one kind of array that the loops are compiled for."""
    return np.ascontiguousarray(values, dtype=np.float64)


@lean
def _fill_bars(
    open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats, returns: Floats, bars: Floats
) -> None:
    """Fill prices, volume and return of `bars` (N, T, 8) from arrays (T, N), piece by piece for the cache's sake."""
    n_sessions, n_tickers = close.shape
    for left in range(0, n_tickers, TILE):
        for first in range(0, n_sessions, PIECE):
            for i in range(left, min(left + TILE, n_tickers)):
                own = bars[i]
                for t in range(first, min(first + PIECE, n_sessions)):
                    own[t, OPEN] = open_[t, i]
                    own[t, HIGH] = high[t, i]
                    own[t, LOW] = low[t, i]
                    own[t, CLOSE] = close[t, i]
                    own[t, VOLUME] = volume[t, i]
                    own[t, RETURN] = returns[t, i]


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
    strengths = [_plain(item.strength) for item in signals]
    counts = np.array([np.count_nonzero(strength > 0.0, axis=1) for strength in strengths])  # NaN is not positive
    ends = counts.cumsum().reshape(counts.shape)
    start = (
        np.column_stack([ends[:, :1] - counts[:, :1], ends]) if n_sessions else np.zeros((len(signals), 1), np.int64)
    )
    total = int(counts.sum())
    tickers, sorted_strengths = np.empty(total, dtype=np.int32), np.empty(total)
    exits = np.zeros((n_sessions, n_tickers), dtype=np.uint32)
    spare = np.empty(n_tickers, dtype=np.int32), np.empty(n_tickers)
    for k, item in enumerate(signals):
        leaves = np.ascontiguousarray(item.exit, dtype=np.bool_)
        list_candidates(strengths[k], leaves, k, start[k], tickers, sorted_strengths, exits, *spare)
    return Signals(start, tickers, sorted_strengths, np.ascontiguousarray(exits.T))
