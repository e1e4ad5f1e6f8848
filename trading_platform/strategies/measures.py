"""What several strategies rank by: who may be ranked, the market, and a stock's part in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.indicators import last_known, returns, rolling_product, rolling_sum
from trading_platform.core.market_features import row_mean
from trading_platform.core.types import Bools, Floats, MarketPanel
from trading_platform.strategies.holding import MAX_GAP, known_close

FEWEST_STOCKS = 5  # a rank among fewer is no rank


class MarketFit(NamedTuple):
    """Least squares of each ticker on the market over a window, (T, N): slope, correlation, daily residual risk."""

    beta: Floats
    correlation: Floats
    residual_volatility: Floats


def stock_columns(panel: MarketPanel) -> Bools:
    """Return which columns are stocks and not the benchmark, (N,)."""
    return panel.is_stock & ~benchmark_column(panel)


def benchmark_column(panel: MarketPanel) -> Bools:
    """Return which column is the benchmark, (N,); none where it is not one of the tickers."""
    return np.array([ticker == panel.benchmark_ticker for ticker in panel.tickers], dtype=np.bool_)


def class_columns(panel: MarketPanel, asset_class: str) -> Bools:
    """Return which columns are funds of `asset_class`, (N,)."""
    return np.array([kind == asset_class for kind in panel.classes], dtype=np.bool_)


def too_few_stocks(panel: MarketPanel) -> str:
    """Return why a strategy that ranks stocks stands aside, "" where there are enough."""
    count = int(stock_columns(panel).sum())
    return "" if count >= FEWEST_STOCKS else f"needs {FEWEST_STOCKS} stocks to rank, has {count}"


def ranked_columns(panel: MarketPanel) -> Bools:
    """Return what an entry-and-exit strategy ranks, (N,): stocks if there are any, else all but the benchmark."""
    stocks = stock_columns(panel)
    return stocks if stocks.any() else ~benchmark_column(panel)


def only_ranked(values: Floats, panel: MarketPanel) -> Floats:
    """Return `values` (T, N) with NaN where a ticker is not ranked or no member; itself where all are."""
    columns = ranked_columns(panel)
    if panel.member is None:
        return values if columns.all() else np.where(columns, values, np.nan)
    return np.where(columns & panel.member, values, np.nan)


def market_returns(panel: MarketPanel) -> Floats:
    """Return the benchmark's daily returns, (T,); those of the equal-weight stocks where it is unknown."""
    own = returns(last_known(panel.benchmark, MAX_GAP))
    daily = returns(known_close(panel))
    stand_in = row_mean(np.where(stock_columns(panel), daily, np.nan))
    return np.where(np.isfinite(own), own, stand_in)


def market_rose(panel: MarketPanel, window: int) -> Bools:
    """Return where the market has risen over the last `window` sessions, (T,); not where that is unknown.

    The benchmark, or an index of the equal-weight stocks where it is unknown (`market_returns`).
    """
    with np.errstate(invalid="ignore"):
        rose: Bools = rolling_product(1.0 + market_returns(panel), window) > 1.0
    return rose


def market_fit(daily: Floats, market: Floats, window: int) -> MarketFit:
    """Fit each column of `daily` (T, N) to `market` (T,) over the last `window` rows; NaN where either is unknown."""
    own, other = market[:, None], daily
    sum_own, sum_other = rolling_sum(own, window), rolling_sum(other, window)
    own_squares = rolling_sum(own * own, window) - sum_own * sum_own / window
    other_squares = rolling_sum(other * other, window) - sum_other * sum_other / window
    products = rolling_sum(own * other, window) - sum_own * sum_other / window
    moved = (own_squares > 0.0) & (other_squares > 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        beta = np.where(moved, products / own_squares, np.nan)
        correlation = np.where(moved, products / np.sqrt(own_squares * other_squares), np.nan)
        residual = np.maximum(other_squares - beta * products, 0.0) / (window - 2)
        return MarketFit(beta, correlation, np.sqrt(residual))
