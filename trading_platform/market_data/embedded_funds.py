"""Funds for the embedded market: bonds, gold, real estate and others, and the index itself, so that all sleeves trade.

They are laid beside the stocks, whose bars stay as they are. What a fund earns is stated in `FUNDS` and nowhere else:
its part of the market's return, a drift of its own, and a slow drift that trend followers can find. That drift is an
autoregression with a half-life of four months; whoever knew it would earn a Sharpe ratio of 0.6 a year by a fund with
`trend` 0.04, and a year's trend, which lags it, finds less than half of that. So with the drifts, which pay for bearing
risk: about what the history of such funds says, and no more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import STOCK, Floats, MarketPanel
from trading_platform.market_data.market_model import MarketModel
from trading_platform.market_data.market_paths import (
    MarketPath,
    Purpose,
    StockPaths,
    autoregression,
    bridge_extremes,
    relative_volatility,
    round_price,
    stream,
    unit_t,
)

HALF_LIFE = 84.0  # sessions, of the slow drift
DOLLAR_VOLUME = 5e8
TAIL = 6.0


class Fund(NamedTuple):
    """An embedded fund: part of the market's return, own log drift and volatility a year, and the size of its trends.

    `trend` is the expected daily return, in own daily volatilities, per standard deviation of the slow drift.
    """

    ticker: str
    asset_class: str
    beta: float
    drift: float
    volatility: float
    trend: float


FUNDS = (
    Fund("BONDLO", "government_bonds", -0.12, 0.036, 0.10, 0.04),
    Fund("BONDSH", "government_bonds", -0.05, 0.024, 0.04, 0.03),
    Fund("BULION", "gold", 0.0, 0.035, 0.15, 0.04),
    Fund("COMMOD", "commodities", 0.25, 0.0, 0.14, 0.04),
    Fund("CREDIT", "credit", 0.15, 0.022, 0.035, 0.02),
    Fund("EMERGE", "equity_em", 0.95, 0.005, 0.12, 0.02),
    Fund("EUROPA", "equity_intl", 0.85, 0.0, 0.08, 0.02),
    Fund("REALTY", "real_estate", 0.75, 0.01, 0.12, 0.02),
)


def with_funds(panel: MarketPanel, model: MarketModel, seed: int, market: MarketPath, benchmark: str) -> MarketPanel:
    """Return the panel with a column for each fund and one for the `benchmark`, which may be traded; no hash yet.

    Parameters
    ----------
    panel
        Stocks alone, with the benchmark's closes.
    model, seed, market
        What the stocks were drawn from.
    benchmark
        The ticker of the index.
    """
    index = _bars(model, seed, market, np.log(panel.benchmark), market.volatility, len(FUNDS))
    paths = [_fund(model, seed, market, place, fund) for place, fund in enumerate(FUNDS)]
    paths.append(index._replace(close=panel.benchmark))
    names = (*panel.tickers, *(fund.ticker for fund in FUNDS), benchmark)
    classes = (*(STOCK,) * panel.n_tickers, *(fund.asset_class for fund in FUNDS), "equity_us")
    sectors = (*panel.sectors, *classes[panel.n_tickers :])
    order = sorted(range(len(names)), key=lambda column: names[column])

    def joined(field: str) -> Floats:
        stocks: Floats = getattr(panel, field)
        columns = [getattr(path, field)[:, None] for path in paths]
        return np.ascontiguousarray(np.concatenate([stocks, *columns], axis=1)[:, order])

    return replace(
        panel,
        tickers=tuple(names[column] for column in order),
        open=joined("open"),
        high=joined("high"),
        low=joined("low"),
        close=joined("close"),
        volume=joined("volume"),
        sectors=tuple(sectors[column] for column in order),
        asset_classes=tuple(classes[column] for column in order),
        benchmark_ticker=benchmark,
    )


def _fund(model: MarketModel, seed: int, market: MarketPath, place: int, fund: Fund) -> StockPaths:
    """Draw the bars of one fund, (T,) each."""
    n_sessions = len(market.returns)
    random = stream(seed, Purpose.FUND, place)
    memory = 0.5 ** (1.0 / HALF_LIFE)
    slow = math.sqrt(1.0 - memory**2) * autoregression(random.standard_normal((n_sessions, 1)), memory)[:, 0]
    daily = fund.volatility / math.sqrt(ANNUAL_SESSIONS) * relative_volatility(model, market)
    # today's return leans with the drift of the day before
    lean = fund.trend * np.concatenate([[0.0], slow[:-1]])
    own = fund.drift / ANNUAL_SESSIONS + daily * (unit_t(random, TAIL, n_sessions) + lean)
    returns = fund.beta * market.returns + own
    volatility = np.hypot(fund.beta * market.volatility, daily)
    return _bars(model, seed, market, math.log(50.0) + np.cumsum(returns), volatility, place)


def _bars(
    model: MarketModel, seed: int, market: MarketPath, close: Floats, volatility: Floats, place: int
) -> StockPaths:
    """Draw what lies round the log closes (T,) of a fund of daily `volatility` (T,)."""
    random = stream(seed, Purpose.FUND_DAY, place)
    returns = np.diff(close, prepend=close[0])
    share = model.overnight_share
    gap = share * returns + math.sqrt(share * (1.0 - share)) * volatility * random.standard_normal(len(close))
    opened = close - returns + gap
    high, low = bridge_extremes(opened, close, (1.0 - share) * volatility**2, random.random((len(close), 2)))
    moved = np.abs(market.returns) / market.volatility
    shares = np.exp(np.log(DOLLAR_VOLUME) - close + 0.1 * moved + 0.2 * random.standard_normal(len(close)))
    return StockPaths(
        open=round_price(np.exp(opened)),
        high=round_price(np.exp(high)),
        low=round_price(np.exp(low)),
        close=round_price(np.exp(close)),
        volume=np.maximum(np.round(shares), 100.0),
    )
