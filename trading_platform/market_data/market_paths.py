"""A market made of random numbers that behaves like the real one where it matters to a trader.

A hidden Markov chain of regimes sets drift and volatility of a market factor; sector factors and each stock's own
noise come on top. Every volatility follows an EGARCH(1,1) recursion (Nelson 1991), which clusters it and lets losses
raise it more than gains (the leverage effect); shocks are Student t. Each stock's expected return leans with its slow
past (momentum) and against its fast past (reversal), by an amount that depends on the regime: the only edges there are.

Every stream of random numbers belongs to one purpose and one ticker and is drawn in time order. So more tickers, or
more sessions at the end, leave everything that was there before unchanged.

`tests/unit/test_market_data_stylised_facts.py` holds the result beside the real data of 2000-2017.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats, Ints
from trading_platform.market_data.market_model import MarketModel

N_REGIMES = 3
# Mean of |z| for a standard normal; close enough for unit-variance t shocks, and only a centring constant.
MEAN_ABS = math.sqrt(2.0 / math.pi)
# A shock beyond this moves the price, not the volatility recursion, which would otherwise run away.
SHOCK_CAP = 4.0
# The largest daily moves of large caps in 2000-2017 were 13 to 15 of their standard deviations (AAPL 2000-09-29).
SHOCK_LIMIT = 15.0
CHUNK = 256
# Part of every random stream. This edition's market with the default seed is an ordinary one (9 % a year, largest
# drawdown 24 %) whose last year, the one that newcomers see traded, visits all three regimes.
EDITION = 2360
# However calm the market, options cost something; however wild, traders expect an end. VIX closed in 9.14..82.69.
VIX_FLOOR, VIX_SATURATION = 7.0, 2.1


class MarketPath(NamedTuple):
    """What all stocks share, (T,) each: regime number, log return, daily volatility, VIX."""

    regimes: Ints
    returns: Floats
    volatility: Floats
    vix: Floats


class StockPaths(NamedTuple):
    """Bars of all stocks, (T, N) each: dollars a share, and shares."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Purpose:
    """Numbers the purposes that have a random stream of their own."""

    REGIME, MARKET, VIX, OVERNIGHT, VOLUME, SECTOR, TRAITS, SHOCK, NOISE, RANGE, FUND, FUND_DAY = range(12)


def generate_market(model: MarketModel, seed: int, n_sessions: int) -> MarketPath:
    """Draw the regimes, the market factor and VIX."""
    regimes = _draw_regimes(model, stream(seed, Purpose.REGIME).random(n_sessions))
    shocks = unit_t(stream(seed, Purpose.MARKET), model.market_tail, n_sessions)
    drift = np.array(model.drift)[regimes] / ANNUAL_SESSIONS
    goal = np.log(np.array(model.volatility) / math.sqrt(ANNUAL_SESSIONS))
    typical = _typical_log_volatility(model)
    returns, volatility, expected = np.empty(n_sessions), np.empty(n_sessions), np.empty(n_sessions)
    level, excess, last = float(goal[regimes[0]]), 0.0, 0.0
    for t in range(n_sessions):
        # a new regime's volatility arrives over about a week, not overnight
        level += 0.2 * (float(goal[regimes[t]]) - level)
        z = float(shocks[t]) - model.market_reversal * last
        volatility[t] = math.exp(level + excess)
        returns[t] = drift[t] + volatility[t] * z
        last = min(max(z, -SHOCK_CAP), SHOCK_CAP)
        excess = model.persistence * excess + model.clustering * (abs(last) - MEAN_ABS) - model.leverage * last
        expected[t] = level + excess
    vix = _vix(model, expected - typical, typical, stream(seed, Purpose.VIX).standard_normal(n_sessions))
    return MarketPath(regimes, returns, volatility, vix)


def generate_stocks(model: MarketModel, seed: int, market: MarketPath, stocks: Ints, sectors: Ints) -> StockPaths:
    """Draw the bars of `stocks` (N,), the numbers of their random streams; `sectors` (N,) numbers each one's sector."""
    shape = (len(market.returns), len(stocks))
    paths = StockPaths(*(np.empty(shape) for _ in StockPaths._fields))
    factors = np.stack(
        [_sector_factor(model, seed, market, sector) for sector in range(int(sectors.max()) + 1)], axis=1
    )
    # chunks bound the memory of the many intermediate arrays
    for first in range(0, len(stocks), CHUNK):
        columns = slice(first, first + CHUNK)
        chunk = _stock_chunk(model, seed, market, factors[:, sectors[columns]], stocks[columns])
        for out, values in zip(paths, chunk, strict=True):
            out[:, columns] = values
    return paths


def index_level(market: MarketPath, start: float = 100.0) -> Floats:
    """Return closes of the market factor as an index fund would show them, (T,) dollars."""
    return np.round(start * np.exp(np.cumsum(market.returns)), 2)


def stream(seed: int, purpose: int, item: int | np.int64 = 0) -> np.random.Generator:
    """Return the random numbers of one purpose and one item, drawn in time order."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(EDITION, purpose, int(item)))))


def unit_t(random: np.random.Generator, tail: float, size: int) -> Floats:
    """Return Student t shocks of unit variance, (size,)."""
    shocks = random.standard_t(tail, size) * math.sqrt((tail - 2.0) / tail)
    return np.clip(shocks, -SHOCK_LIMIT, SHOCK_LIMIT)


def _vix(model: MarketModel, log_excess: Floats, typical: float, shocks: Floats) -> Floats:
    response = VIX_SATURATION * np.tanh(model.vix_response * log_excess / VIX_SATURATION)
    noise = model.vix_noise * autoregression(shocks, 0.9)
    base = 100.0 * math.sqrt(ANNUAL_SESSIONS) * math.exp(typical) * model.vix_premium
    return np.round(VIX_FLOOR + base * np.exp(response + noise), 2)


def _draw_regimes(model: MarketModel, uniform: Floats) -> Ints:
    stay = 1.0 - 1.0 / np.array(model.mean_duration)
    row = stay[:, None] * np.eye(N_REGIMES) + (1.0 - stay[:, None]) * np.array(model.next_regime)
    edges = np.cumsum(row, axis=1)
    regimes = np.empty(len(uniform), dtype=np.int64)
    state = 0
    for t, u in enumerate(uniform):
        regimes[t] = state = min(int(np.searchsorted(edges[state], u, side="right")), N_REGIMES - 1)
    return regimes


def _typical_log_volatility(model: MarketModel) -> float:
    """Return the log of daily volatility, averaged over the time spent in each regime."""
    visits = np.linalg.matrix_power(0.5 * (np.eye(N_REGIMES) + np.array(model.next_regime)), 256)[0]
    share = visits * np.array(model.mean_duration)
    return float(np.log(np.array(model.volatility) / math.sqrt(ANNUAL_SESSIONS)) @ share / share.sum())


def relative_volatility(model: MarketModel, market: MarketPath) -> Floats:
    """Return by how much other volatilities than the market's are above their usual height, (T,)."""
    return np.exp(model.shared_volatility * (np.log(market.volatility) - _typical_log_volatility(model)))


def autoregression(shocks: Floats, memory: float) -> Floats:
    """Return y[t] = memory y[t-1] + shocks[t] along the first axis."""
    out = np.empty_like(shocks)
    state = np.zeros_like(shocks[0])
    for t in range(len(shocks)):
        state = memory * state + shocks[t]
        out[t] = state
    return out


def _sector_factor(model: MarketModel, seed: int, market: MarketPath, sector: int) -> Floats:
    shocks = unit_t(stream(seed, Purpose.SECTOR, sector), model.market_tail, len(market.returns))
    daily = model.sector_volatility / math.sqrt(ANNUAL_SESSIONS)
    return daily * relative_volatility(model, market) * shocks


class _Traits(NamedTuple):
    """What makes a stock this stock, (n,) each."""

    beta: Floats
    own_volatility: Floats
    calm: Floats
    first_price: Floats
    dollar_volume: Floats


def _draw_traits(model: MarketModel, seed: int, stocks: Ints) -> _Traits:
    draws = np.stack([stream(seed, Purpose.TRAITS, i).standard_normal(4) for i in stocks])
    daily = model.own_volatility / math.sqrt(ANNUAL_SESSIONS)
    # volatile stocks tend to have high betas
    wild = 0.6 * draws[:, 1] + 0.5 * draws[:, 0]
    return _Traits(
        beta=np.clip(1.0 + model.beta_spread * draws[:, 0], 0.3, 2.0),
        own_volatility=daily * np.exp(model.own_volatility_spread * wild),
        calm=-wild / math.hypot(0.6, 0.5),
        first_price=60.0 * np.exp(0.6 * draws[:, 2]),
        dollar_volume=2e8 * np.exp(0.9 * draws[:, 3]),
    )


def _stock_chunk(model: MarketModel, seed: int, market: MarketPath, factors: Floats, stocks: Ints) -> StockPaths:
    n_sessions = len(market.returns)
    traits = _draw_traits(model, seed, stocks)
    shocks = np.stack([unit_t(stream(seed, Purpose.SHOCK, i), model.own_tail, n_sessions) for i in stocks], axis=1)
    noise = np.stack([stream(seed, Purpose.NOISE, i).standard_normal((n_sessions, 3)) for i in stocks], axis=2)
    uniform = np.stack([stream(seed, Purpose.RANGE, i).random((n_sessions, 2)) for i in stocks], axis=2)
    own, own_volatility = _own_returns(model, market, traits, shocks)
    returns = _total_returns(model, market, traits, factors, own, own_volatility)
    variance = (
        (traits.beta * market.volatility[:, None]) ** 2
        + (model.sector_volatility**2 / ANNUAL_SESSIONS) * relative_volatility(model, market)[:, None] ** 2
        + own_volatility**2
    )
    close = np.log(traits.first_price) + np.cumsum(returns, axis=0)
    gap = _overnight(model, seed, market, traits, returns, variance, noise[:, 0])
    opened = close - returns + gap
    high, low = bridge_extremes(opened, close, (1.0 - model.overnight_share) * variance, uniform)
    shares = _volume(seed, market, traits, close, returns / np.sqrt(variance), noise[:, 1:])
    return StockPaths(
        open=round_price(np.exp(opened)),
        high=round_price(np.exp(high)),
        low=round_price(np.exp(low)),
        close=round_price(np.exp(close)),
        volume=shares,
    )


def _own_returns(model: MarketModel, market: MarketPath, traits: _Traits, shocks: Floats) -> tuple[Floats, Floats]:
    """Return each stock's own log returns and their daily volatility, (T, n)."""
    slow_step, fast_step = 1.0 / model.slow_sessions, 1.0 / model.fast_sessions
    # exponential means have variance step / (2 - step); the coefficients speak of standard deviations
    momentum = np.array(model.momentum)[market.regimes] / math.sqrt(slow_step / (2.0 - slow_step))
    reversal = np.array(model.reversal)[market.regimes] / math.sqrt(fast_step / (2.0 - fast_step))
    calm = np.array(model.calm)[market.regimes]
    base = traits.own_volatility * relative_volatility(model, market)[:, None]
    returns, volatility = np.empty_like(shocks), np.empty_like(shocks)
    excess, slow, fast = np.zeros((3, shocks.shape[1]))
    for t in range(len(shocks)):
        volatility[t] = base[t] * np.exp(excess)
        returns[t] = volatility[t] * (shocks[t] + momentum[t] * slow - reversal[t] * fast + calm[t] * traits.calm)
        # the means are taken over shocks, not returns: an expected return that fed itself would explode
        z = np.minimum(np.maximum(shocks[t], -SHOCK_CAP), SHOCK_CAP)
        excess = model.own_persistence * excess + model.own_clustering * (np.abs(z) - MEAN_ABS) - model.own_leverage * z
        slow += slow_step * (z - slow)
        fast += fast_step * (z - fast)
    return returns, volatility


def _total_returns(
    model: MarketModel, market: MarketPath, traits: _Traits, factors: Floats, own: Floats, own_volatility: Floats
) -> Floats:
    """Return log returns whose expected simple return is the market's for beta 1, with a flat premium on beta.

    Without the variance terms an equal-weight portfolio would beat the market by half its stocks' own variance.
    """
    sector_variance = (model.sector_volatility**2 / ANNUAL_SESSIONS) * relative_volatility(model, market) ** 2
    convexity = (traits.beta - traits.beta**2) * market.volatility[:, None] ** 2 - own_volatility**2
    flat = (1.0 - traits.beta) * float(np.mean(model.drift)) / ANNUAL_SESSIONS
    total: Floats = traits.beta * market.returns[:, None] + flat + factors + own
    return total + 0.5 * (convexity - sector_variance[:, None])


def _overnight(
    model: MarketModel, seed: int, market: MarketPath, traits: _Traits, returns: Floats, variance: Floats, noise: Floats
) -> Floats:
    """Split each return: its overnight part given the whole, as in a Brownian motion, with a shared component."""
    share = model.overnight_share
    shared = stream(seed, Purpose.OVERNIGHT).standard_normal(len(returns))
    market_part = traits.beta * market.volatility[:, None]
    own_part = np.sqrt(np.maximum(variance - market_part**2, 0.0))
    return share * returns + math.sqrt(share * (1.0 - share)) * (market_part * shared[:, None] + own_part * noise)


def bridge_extremes(opened: Floats, close: Floats, variance: Floats, uniform: Floats) -> tuple[Floats, Floats]:
    """Draw high and low of a Brownian bridge from open to close (its exact marginal laws), all in logs."""
    move = close - opened
    # 1 - u is in (0, 1], so the logarithm is finite
    up = np.sqrt(move**2 - 2.0 * variance * np.log(1.0 - uniform[:, 0]))
    down = np.sqrt(move**2 - 2.0 * variance * np.log(1.0 - uniform[:, 1]))
    return opened + 0.5 * (move + up), opened + 0.5 * (move - down)


def _volume(seed: int, market: MarketPath, traits: _Traits, close: Floats, moves: Floats, noise: Floats) -> Floats:
    """Draw share volume: steady in dollars, persistent, partly shared, and high when prices move."""
    shared = stream(seed, Purpose.VOLUME).standard_normal(len(close))
    market_move = np.abs(market.returns) / market.volatility
    common = 0.35 * autoregression(0.35 * shared, 0.7) + 0.10 * (market_move - MEAN_ABS)
    own = autoregression(0.18 * noise[:, 0], 0.8) + 0.15 * noise[:, 1]
    size = 0.23 * (np.minimum(np.abs(moves), 6.0) - MEAN_ABS)
    shares = np.exp(np.log(traits.dollar_volume) - close + common[:, None] + own + size)
    return np.maximum(np.round(shares), 100.0)


def round_price(price: Floats) -> Floats:
    """Return prices in the steps the exchanges use (SEC rule 612): a cent, below a dollar a hundredth of one."""
    fine = np.maximum(np.round(price, 4), 1e-4)
    return np.where(price >= 1.0, np.round(price, 2), fine)
