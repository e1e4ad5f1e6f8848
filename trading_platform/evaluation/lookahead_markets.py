"""Markets that agree with a given one up to a row: what a causal decision may not tell apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trading_platform.core.types import Floats, MarketPanel

# Change of one session's open, 5 basis points: small enough for every limit price, large beside rounding.
OPEN_MOVE = 1.0005


def other_future(panel: MarketPanel, first: int, rng: np.random.Generator) -> MarketPanel:
    """Return `panel` with everything from row `first` on replaced: prices, volume, VIX, splits, bars that vanish."""
    shape = (max(0, panel.n_sessions - first), panel.n_tickers)
    path = np.exp(np.cumsum(rng.normal(0.0, 0.05, shape), axis=0))
    path[rng.random(shape) < 0.03] = np.nan
    level = np.exp(rng.normal(0.0, 0.4, shape[0]))
    wick = np.exp(np.abs(rng.normal(0.0, 0.02, shape)))
    traded = np.where(np.isfinite(path), np.exp(rng.normal(0.0, 0.5, shape)), np.nan)
    splits, dividends = panel.split_ratio, panel.dividend
    if splits is not None:
        splits = _replaced(splits, first, rng.choice([1.0, 2.0], shape, p=[0.97, 0.03]))
    if dividends is not None:
        dividends = _replaced(dividends, first, rng.choice([0.0, 0.5], shape, p=[0.97, 0.03]))
    extra = {name: _replaced(values, first, _drawn(values, shape, rng)) for name, values in panel.extra.items()}
    refused = panel.no_new_risk
    if refused is not None:
        refused = np.concatenate([refused[:first], rng.random(shape) < 0.3])
    return replace(
        panel,
        open=_scaled(panel.open, first, path * np.exp(rng.normal(0.0, 0.01, shape))),
        high=_scaled(panel.high, first, path * wick),
        low=_scaled(panel.low, first, path / wick),
        close=_scaled(panel.close, first, path),
        volume=_scaled(panel.volume, first, traded),
        vix=_scaled(panel.vix, first, level),
        benchmark=_scaled(panel.benchmark, first, level),
        split_ratio=splits,
        dividend=dividends,
        extra=extra,
        no_new_risk=refused,
        data_hash=f"{panel.data_hash}|other future",
    )


def other_close(panel: MarketPanel, t: int, rng: np.random.Generator) -> MarketPanel:
    """Return `panel` with another future after row `t`, and in row `t` another close between low and high."""
    other = other_future(panel, t + 1, rng)
    close = other.close.copy()
    share = rng.random(panel.n_tickers)
    close[t] = np.where(np.isfinite(close[t]), panel.low[t] + share * (panel.high[t] - panel.low[t]), np.nan)
    vix, benchmark = other.vix.copy(), other.benchmark.copy()
    vix[t] *= np.exp(rng.normal(0.0, 0.4))
    benchmark[t] *= np.exp(rng.normal(0.0, 0.1))
    return replace(other, close=close, vix=vix, benchmark=benchmark)


def other_open(panel: MarketPanel, t: int) -> MarketPanel:
    """Return `panel` with the opens of row `t` moved by `OPEN_MOVE`, inside bars that make room for them."""
    open_, high = panel.open.copy(), panel.high.copy()
    open_[t] *= OPEN_MOVE
    high[t] = np.maximum(high[t], open_[t])
    return replace(panel, open=open_, high=high)


def _scaled(values: Floats, first: int, scale: Floats) -> Floats:
    changed = values.copy()
    changed[first:] *= scale
    return changed


def _replaced(values: Floats, first: int, others: Floats) -> Floats:
    changed = values.copy()
    changed[first:] = others
    return changed


def _drawn(values: Floats, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return values (shape) such as `values` has, in another order."""
    known = values[np.isfinite(values)]
    drawn: Floats = rng.choice(known, shape) if len(known) else np.full(shape, np.nan)
    return drawn


def panel_bytes(panel: MarketPanel) -> list[bytes]:
    """Return the bars as bytes, to see whether somebody wrote into them."""
    names = ("open", "high", "low", "close", "volume", "vix", "benchmark")
    own = [values.tobytes() for values in panel.extra.values()]
    return [*(getattr(panel, name).tobytes() for name in names), *own]
