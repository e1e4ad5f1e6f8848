"""More histories from one: circular blocks of sessions, smaller universes, other volatility. For training only.

A policy that sees one history learns that history. The block bootstrap (Politis & Romano 1992, "A circular
block-resampling procedure for stationary data") draws whole sessions, so that tickers, VIX and regimes keep their joint
moves, in blocks of some weeks, so that trends within a block stay. Prices are rebuilt from the ratios to the previous
close, so nothing jumps where two blocks meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Floats, Ints, MarketPanel

# Strategies that rank tickers say nothing about fewer.
MIN_TICKERS = 10


@dataclass(frozen=True, slots=True)
class ResampleOptions:
    """What may differ from history.

    Attributes
    ----------
    block_sessions : length of the blocks, 20 to 40 is sensible; 0 keeps the order of history.
    universe_share : part of the tickers, (0, 1].
    volatility_jitter : log returns and VIX are multiplied by a factor between 1 / (1 + jitter) and 1 + jitter.
    """

    block_sessions: int = 30
    universe_share: float = 1.0
    volatility_jitter: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if not (self.block_sessions >= 0):
            problems.append(f"block_sessions must be >= 0, was {self.block_sessions}")
        if not (0.0 < self.universe_share <= 1.0):
            problems.append(f"universe_share must be in (0, 1], was {self.universe_share}")
        if not (0.0 <= self.volatility_jitter < 10.0):
            problems.append(f"volatility_jitter must be in [0, 10), was {self.volatility_jitter}")
        if problems:
            raise FixConfigError("resampling: " + "; ".join(problems))


def resample_market(
    panel: MarketPanel, regimes: Floats, options: ResampleOptions, rng: np.random.Generator
) -> tuple[MarketPanel, Floats]:
    """Return another history of the same sessions, and its regime probabilities (T, 3), as new arrays."""
    result = panel
    if options.universe_share < 1.0:
        result = sample_universe(result, options.universe_share, rng)
    if options.volatility_jitter > 0.0:
        result = scale_volatility(result, (1.0 + options.volatility_jitter) ** rng.uniform(-1.0, 1.0))
    if options.block_sessions == 0:
        return result, regimes.copy()
    rows = block_rows(panel.n_sessions, options.block_sessions, rng)
    return rearranged(result, rows), regimes[rows]


def block_rows(n_sessions: int, block: int, rng: np.random.Generator) -> Ints:
    """Return the source row of each new row, (T,): row 0 stays, the rest come in circular blocks of `block` rows.

    Row 0 is never drawn: it has no return.
    """
    n = n_sessions - 1
    starts = rng.integers(0, n, -(-n // block))
    drawn = (starts[:, None] + np.arange(block)[None]) % n + 1
    return np.append(0, drawn.reshape(-1)[:n]).astype(np.int64)


def rearranged(panel: MarketPanel, rows: Ints) -> MarketPanel:
    """Return the panel whose session j moves as session rows[j] did; `rows` (T,) starts with 0.

    Splits are folded in first. Volume keeps its dollars, dividends their yield. A ticker without a bar in a source
    session has none in the new one, and goes on from its last known price.
    """
    source = forward_adjusted(panel)
    last = _filled(source.close)
    before = np.vstack([last[:1], last[:-1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = np.where(np.isfinite(last / before), last / before, 1.0)[rows]
        steps[0] = 1.0
        start = _first_known(source.close)
        level = start * np.cumprod(steps, axis=0)
        previous = np.vstack([np.broadcast_to(start, level[:1].shape), level[:-1]])
        scale = previous / np.where(np.isfinite(before), before, _first_known(source.close))[rows]
        benchmark = _moved(source.benchmark, rows)

    def moved(values: Floats) -> Floats:
        return np.ascontiguousarray(values[rows] * scale)

    return MarketPanel(
        sessions=panel.sessions.copy(),
        tickers=panel.tickers,
        open=moved(source.open),
        high=moved(source.high),
        low=moved(source.low),
        close=moved(source.close),
        volume=np.ascontiguousarray(source.volume[rows] / scale),
        vix=panel.vix[rows].copy(),
        benchmark=benchmark,
        sectors=panel.sectors,
        source=f"{panel.source} (resampled)",
        data_hash=panel.data_hash,
        dividend=None if panel.dividend is None else moved(panel.dividend * _split_factor(panel)),
        extra={name: values[rows] for name, values in panel.extra.items()},
        no_new_risk=None if panel.no_new_risk is None else panel.no_new_risk[rows],
    )


def sample_universe(panel: MarketPanel, share: float, rng: np.random.Generator) -> MarketPanel:
    """Return the panel with a random part of its tickers, at least ten or all there are."""
    count = min(panel.n_tickers, max(MIN_TICKERS, round(share * panel.n_tickers)))
    chosen = np.sort(rng.choice(panel.n_tickers, count, replace=False))
    return panel.columns([int(i) for i in chosen])


def scale_volatility(panel: MarketPanel, factor: float) -> MarketPanel:
    """Return the panel with all log returns, overnight and within the session, and VIX multiplied by `factor`.

    Raises
    ------
    FixConfigError
        `factor` is not positive, or not finite.
    """
    if not (0.0 < factor < np.inf):
        raise FixConfigError(f"volatility factor must be positive and finite, was {factor}")
    source = forward_adjusted(panel)
    start = _first_known(source.close)

    def stretched(values: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.ascontiguousarray(start * (values / start) ** factor)

    known = source.benchmark[np.isfinite(source.benchmark)]
    first = known[0] if len(known) else 1.0
    return MarketPanel(
        sessions=panel.sessions.copy(),
        tickers=panel.tickers,
        open=stretched(source.open),
        high=stretched(source.high),
        low=stretched(source.low),
        close=stretched(source.close),
        volume=source.volume.copy(),
        vix=panel.vix * factor,
        benchmark=first * (source.benchmark / first) ** factor,
        sectors=panel.sectors,
        source=f"{panel.source} (volatility x {factor:.3f})",
        data_hash=panel.data_hash,
        dividend=None if panel.dividend is None else panel.dividend * _split_factor(panel),
        extra=panel.extra,
        no_new_risk=panel.no_new_risk,
    )


def _split_factor(panel: MarketPanel) -> Floats:
    """Return the shares that one share of the first session has become, (T, N)."""
    if panel.split_ratio is None:
        return np.ones_like(panel.close)
    ratio = np.where(np.isfinite(panel.split_ratio), panel.split_ratio, 1.0)
    return np.cumprod(ratio, axis=0).astype(np.float64)


def _filled(values: Floats) -> Floats:
    """Return the last known value of each column at each row, (T, N); NaN before the first."""
    rows: Ints = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    last = np.maximum.accumulate(rows, axis=0)
    return values[last, np.arange(values.shape[1])[None]]


def _first_known(values: Floats) -> Floats:
    """Return the first known value of each column, (N,); 1 where there is none."""
    known = np.isfinite(values)
    first = values[np.argmax(known, axis=0), np.arange(values.shape[1])]
    return np.where(known.any(axis=0), first, 1.0)


def _moved(values: Floats, rows: Ints) -> Floats:
    """Return a single series rearranged by its ratios, (T,); NaN where the source has none."""
    column = values[:, None]
    last = _filled(column)
    before = np.vstack([last[:1], last[:-1]])
    steps = np.where(np.isfinite(last / before), last / before, 1.0)[rows]
    steps[0] = 1.0
    level = (_first_known(column) * np.cumprod(steps, axis=0))[:, 0]
    return np.where(np.isfinite(values[rows]), level, np.nan)
