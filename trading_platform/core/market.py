"""Market arrays in the form the kernel reads: one cache line a bar, each ticker contiguous in time.

Built once from a `MarketPanel`; every row t uses bars up to and including t. Thousands of episodes at random sessions
are bound by memory, not by arithmetic. A book mostly holds tomorrow what it holds today, so the line that is read next
lies beside the one read last; with the tickers of a session side by side an environment took a fifth longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.candidates import list_candidates
from trading_platform.core.compiled import lean
from trading_platform.core.costs import NO_PROTECTION, Protection
from trading_platform.core.types import (
    EVENT_KINDS,
    CorporateEvent,
    EventKind,
    Floats,
    Ints,
    MarketPanel,
    StrategySignals,
)
from trading_platform.core.windows import TILE, fill_universe, fill_windows

OPEN, HIGH, LOW, CLOSE, VOLUME, VOLATILITY, MARKET_CORRELATION, NORM = range(8)
EXITS, WANTS = range(2)
VOLATILITY_WINDOW = 20
PIECE = 64  # sessions that are transposed together
MOST_STRATEGIES = 32  # bits of a flag


class Market(NamedTuple):
    """Bars and risk inputs. T sessions, N tickers.

    Attributes
    ----------
    bars : (N, T, 8) open, high, low, close, volume, daily volatility over 20 sessions, then over the correlation
        window: correlation with the equal-weight universe, and the norm of the returns (root of the sum of squared
        deviations), 0 where the window has a gap or does not move. NaN = unknown.
    returns : (N, T) close-to-close returns, one ticker's history contiguous.
    return_mean : (N, T) their mean over the correlation window.
    sector : (N,) sector number.
    vix, vix_age : (T,) last known VIX and its age in sessions (NaN / inf when there never was one).
    clock : (T,) exchange seconds at the close. day : (T,) days since 1970-01-01.
    split, dividend : (T, N), or (0, 0) when there are no corporate actions.
    rate : (T,) yield of cash in percent a year as last known at each close; 0 where it never was.
    event_start : (T + 1,) corporate events of row t are events[event_start[t] : event_start[t + 1]].
    events : (M, 5) kind (`core.types.EVENT_KINDS`), column, other column (-1 = none), ratio, cash.
    draws : (N, T, 4) what chance does to fills (`core.realistic_fills`); (0, 0, 0) where fills are exact.
    """

    bars: Floats
    returns: Floats
    return_mean: Floats
    sector: Ints
    vix: Floats
    vix_age: Floats
    clock: Floats
    day: Ints
    split: Floats
    dividend: Floats
    rate: Floats
    event_start: Ints
    events: Floats
    draws: Floats


class Signals(NamedTuple):
    """What strategies want per session, strongest first, ties by ticker; and exit flags.

    Attributes
    ----------
    start : (T, K + 1) candidates of strategy k at session t are [start[t, k], start[t, k + 1]): what one decision
        reads of all strategies lies together.
    ticker : (M,) column of each candidate. strength : (M,) in (0, 1]: of a signal, or the weight of a target.
    flags : (N, T, 2) bits: EXITS, bit k set = strategy k wants out; WANTS, bit k set = strategy k has the ticker in its
        list. They lie together, for one decision reads both.
    is_target : (K,) 1 where strengths are target weights, 0 where they are signals; target_bits : (1,) as bits.
    protection : (K, 7) the fields of `core.costs.Protection`.
    """

    start: Ints
    ticker: NDArray[np.int32]
    strength: Floats
    flags: NDArray[np.uint32]
    is_target: Ints
    target_bits: Ints
    protection: Floats


def forward_adjusted(panel: MarketPanel) -> MarketPanel:
    """Return the panel with splits, dividends and spin-offs folded in from the first session on.

    Only later prices are scaled, so nothing that happens later moves an earlier price. A price that fell because value
    was handed out has not fallen.
    """
    ratio = _split_ratios(panel)
    value = _handed_out(panel)
    if ratio is None and value is None:
        return panel
    shares = np.ones_like(panel.close) if ratio is None else np.cumprod(ratio, axis=0)
    factor = shares
    if value is not None:
        before = np.full_like(panel.close, np.nan)
        before[1:] = panel.close[:-1] if ratio is None else panel.close[:-1] / ratio[1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = 1.0 - np.where(value > 0.0, value / before, 0.0)
            growth = np.where((kept > 0.0) & np.isfinite(kept), 1.0 / kept, 1.0)
        factor = shares * np.cumprod(growth, axis=0)
    return replace(
        panel,
        open=panel.open * factor,
        high=panel.high * factor,
        low=panel.low * factor,
        close=panel.close * factor,
        volume=panel.volume / shares,
        split_ratio=None,
        dividend=None,
        events=(),
    )


def _split_ratios(panel: MarketPanel) -> Floats | None:
    """Return shares per share at each open, (T, N), 1 = no split; None if there is none."""
    events = [event for event in panel.events if event.kind is EventKind.SPLIT]
    if panel.split_ratio is None and not events:
        return None
    given = np.ones_like(panel.close) if panel.split_ratio is None else panel.split_ratio
    ratio = np.where(np.isfinite(given), given, 1.0)
    for event, t, column in _placed(panel, events):
        if ratio[t, column] == 1.0:  # told in both places it is one event
            ratio[t, column] = event.ratio
    return ratio


def _dividends(panel: MarketPanel) -> Floats | None:
    """Return cash dividends, dollars a share on the ex-date, (T, N); None if there are none."""
    events = [event for event in panel.events if event.kind is EventKind.SPECIAL_DIVIDEND]
    if panel.dividend is None and not events:
        return None
    given = np.zeros_like(panel.close) if panel.dividend is None else panel.dividend
    paid = np.where(np.isfinite(given), given, 0.0)
    for event, t, column in _placed(panel, events):
        if paid[t, column] == 0.0:
            paid[t, column] = event.cash
    return paid


def _handed_out(panel: MarketPanel) -> Floats | None:
    """Return what a share was paid at each open in cash and new shares, dollars, (T, N); None if nothing ever."""
    paid = _dividends(panel)
    events = [event for event in panel.events if event.kind is EventKind.SPIN_OFF]
    if not events:
        return paid
    value = np.zeros_like(panel.close) if paid is None else paid
    columns = {ticker: i for i, ticker in enumerate(panel.tickers)}
    for event, t, column in _placed(panel, events):
        worth = event.ratio * panel.open[t, columns[event.other]] if event.other in columns else np.nan
        value[t, column] += worth if np.isfinite(worth) else 0.0
    return value


def _placed(panel: MarketPanel, events: Sequence[CorporateEvent]) -> Iterator[tuple[CorporateEvent, int, int]]:
    """Yield events with the row at which they hold (the first session on or after their date) and their column."""
    columns = {ticker: i for i, ticker in enumerate(panel.tickers)}
    for event in events:
        t = int(np.searchsorted(panel.sessions, np.datetime64(event.session, "D")))
        if event.ticker in columns and t < panel.n_sessions:
            yield event, t, columns[event.ticker]


IN_THE_BOOK = (EventKind.CASH_MERGER, EventKind.STOCK_MERGER, EventKind.SPIN_OFF, EventKind.DELISTING)


def _event_rows(panel: MarketPanel) -> tuple[Ints, Floats]:
    """Return (event_start, events) of `Market`: what books have to follow beside splits and dividends."""
    columns = {ticker: i for i, ticker in enumerate(panel.tickers)}
    wanted = [event for event in panel.events if event.kind in IN_THE_BOOK]
    rows = sorted(
        (
            (t, float(EVENT_KINDS.index(event.kind)), column, columns.get(event.other, -1), event.ratio, event.cash)
            for event, t, column in _placed(panel, wanted)
        ),
        key=lambda row: row[:3],
    )
    counts = np.bincount([row[0] for row in rows], minlength=panel.n_sessions) if rows else np.zeros(panel.n_sessions)
    start = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return start, np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 5)


def build_market(panel: MarketPanel, clock: Floats, correlation_window: int) -> Market:
    """Build the kernel's arrays from `panel`; `clock` is the exchange clock at each close, (T,) seconds.

    Fills are exact; `core.realistic_fills.with_fills` gives the market another book of fills.
    """
    n_sessions, n_tickers = panel.close.shape
    bars = np.empty((n_tickers, n_sessions, 8))
    returns = np.full((n_sessions, n_tickers), np.nan)
    adjusted = forward_adjusted(panel).close
    returns[1:] = adjusted[1:] / adjusted[:-1] - 1.0
    _fill_bars(
        _plain(panel.open), _plain(panel.high), _plain(panel.low), _plain(panel.close), _plain(panel.volume), bars
    )
    universe, unread, work = np.zeros((3, n_sessions)), np.empty((1, n_sessions, 3)), np.empty((3, TILE))
    inside = panel.universe
    fill_universe(returns if inside.all() else np.ascontiguousarray(returns[:, inside]), universe[0])
    fill_windows(
        universe[0][:, None],
        correlation_window,
        VOLATILITY_WINDOW,
        universe,
        universe[1:2],
        unread[:, :, 0],
        unread[:, :, 1],
        unread[:, :, 2],
        work,
    )
    universe[2] = unread[0, :, 0]
    mean = np.empty((n_tickers, n_sessions))
    fill_windows(
        returns,
        correlation_window,
        VOLATILITY_WINDOW,
        universe,
        mean,
        bars[:, :, NORM],
        bars[:, :, VOLATILITY],
        bars[:, :, MARKET_CORRELATION],
        work,
    )
    vix, vix_age = _last_known(panel.vix)
    rate = np.zeros(n_sessions) if panel.cash_rate is None else _last_known(panel.cash_rate)[0]
    splits, dividends, no_actions = _split_ratios(panel), _dividends(panel), np.empty((0, 0))
    event_start, events = _event_rows(panel)
    return Market(
        bars=bars,
        returns=np.ascontiguousarray(returns.T),
        return_mean=mean,
        sector=np.unique(np.array(panel.sectors), return_inverse=True)[1].astype(np.int64),
        vix=vix,
        vix_age=vix_age,
        clock=np.ascontiguousarray(clock, dtype=np.float64),
        day=panel.sessions.astype("datetime64[D]").astype(np.int64),
        split=no_actions if splits is None else splits,
        dividend=no_actions if dividends is None else dividends,
        rate=np.where(np.isfinite(rate), rate, 0.0),
        event_start=event_start,
        events=events,
        draws=np.empty((0, 0, 0)),
    )


def _plain(values: Floats) -> Floats:
    """Return `values` as the one kind of array that the loops are compiled for."""
    return np.ascontiguousarray(values, dtype=np.float64)


@lean
def _fill_bars(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats, bars: Floats) -> None:
    """Fill prices and volume of `bars` (N, T, 8) from arrays (T, N), piece by piece for the cache's sake."""
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


def _last_known(values: Floats) -> tuple[Floats, Floats]:
    """Return (last finite value so far, its age in rows)."""
    known = np.where(np.isfinite(values), np.arange(len(values)), -1)
    last = np.maximum.accumulate(known) if len(values) else known
    age = np.where(last >= 0, np.arange(len(values)) - last, np.inf)
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan), age.astype(np.float64)


def build_signals(signals: Sequence[StrategySignals], default: Protection = NO_PROTECTION) -> Signals:
    """Sort what K strategies want into the kernel's lists; `default` protects those that say nothing of their own.

    Raises
    ------
    ValueError
        No strategy, or more than the bits of a slot's `owners`.
    """
    if not 0 < len(signals) <= MOST_STRATEGIES:
        raise ValueError(f"between 1 and {MOST_STRATEGIES} strategies can be traded together, got {len(signals)}")
    n_sessions, n_tickers = signals[0].strength.shape
    strengths = [_plain(item.strength) for item in signals]
    counts = np.stack([np.count_nonzero(strength > 0.0, axis=1) for strength in strengths], axis=1)  # NaN is not
    ends = counts.cumsum().reshape(counts.shape)
    start = np.column_stack([ends[:, :1] - counts[:, :1], ends]).astype(np.int64)
    total = int(counts.sum())
    tickers, sorted_strengths = np.empty(total, dtype=np.int32), np.empty(total)
    exits = np.zeros((n_sessions, n_tickers), dtype=np.uint32)
    wants = np.zeros((n_sessions, n_tickers), dtype=np.uint32)
    spare = np.empty(n_tickers, dtype=np.int32), np.empty(n_tickers)
    for k, item in enumerate(signals):
        leaves = np.ascontiguousarray(item.exit, dtype=np.bool_)
        list_candidates(strengths[k], leaves, k, start, tickers, sorted_strengths, exits, wants, *spare)
    return Signals(
        start,
        tickers,
        sorted_strengths,
        np.stack([exits.T, wants.T], axis=2),
        np.array([int(item.is_target) for item in signals], dtype=np.int64),
        np.array([sum(1 << k for k, item in enumerate(signals) if item.is_target)], dtype=np.int64),
        np.array([_protection(item, default) for item in signals], dtype=np.float64),
    )


def _protection(item: StrategySignals, default: Protection) -> Protection:
    if item.protection is not None:
        return item.protection
    return NO_PROTECTION if item.is_target else default
