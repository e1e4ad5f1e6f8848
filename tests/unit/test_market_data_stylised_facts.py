"""The synthetic market beside the real one.

Each fact is measured the same way on both. `REAL` holds what 119 US large caps, SPY and VIX measured over 2000-2017
(4,528 sessions), so that the comparison works without the data; where the data are present they are measured again.
Six-year windows of the real data differ from these by half or more (volatility 0.22-0.39, market kurtosis 2-14), and
the bands allow for that much. The market without structure must fall outside them: the bands can fail.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trading_platform.core.types import Floats, Ints, MarketPanel
from trading_platform.market_data.files import FilesMarketData
from trading_platform.market_data.market_model import NO_STRUCTURE, REALISTIC, REGIME_EDGES, MarketModel
from trading_platform.market_data.synthetic import SyntheticMarketData

SHARED = Path(__file__).parents[3] / "shared" / "market-data"
YEAR = 252

# fact: (real value, lowest and highest value allowed in the synthetic market)
FACTS: dict[str, tuple[float, float, float]] = {
    "stock volatility a year, median": (0.348, 0.25, 0.45),
    "stock excess kurtosis, median": (10.96, 5.0, 20.0),
    "stock |return| autocorrelation, lags 1-10": (0.218, 0.15, 0.32),
    "stock |return| autocorrelation, lags 40-60": (0.141, 0.04, 0.22),
    "stock return autocorrelation, lag 1": (-0.026, -0.07, 0.02),
    "stock leverage effect": (-0.063, -0.12, -0.03),
    "stock moves beyond 10 % a year": (1.68, 0.6, 3.0),
    "volume against |return|": (0.335, 0.22, 0.45),
    "volume deviation from its mean, log": (0.424, 0.30, 0.55),
    "volume autocorrelation, lag 1": (0.469, 0.35, 0.60),
    "volume shared between stocks": (0.221, 0.12, 0.35),
    "pairwise correlation": (0.307, 0.22, 0.42),
    "pairwise correlation in a sector, excess": (0.122, 0.06, 0.20),
    "beta, standard deviation": (0.334, 0.20, 0.45),
    "overnight share of variance": (0.252, 0.18, 0.33),
    "overnight gaps, pairwise correlation": (0.306, 0.20, 0.42),
    "range volatility over close-to-close": (0.886, 0.80, 0.97),
    "market volatility a year": (0.190, 0.13, 0.25),
    "market excess kurtosis": (7.84, 3.0, 22.0),
    "market |return| autocorrelation, lags 1-10": (0.304, 0.18, 0.42),
    "market leverage effect": (-0.151, -0.25, -0.06),
    "market Sharpe ratio": (0.372, 0.2, 0.9),
    "VIX median": (17.7, 14.0, 21.0),
    "VIX lowest": (9.14, 8.0, 12.0),
    "VIX highest": (80.9, 45.0, 95.0),
    "VIX autocorrelation, lag 1": (0.984, 0.96, 0.995),
    "VIX daily log change, deviation": (0.067, 0.05, 0.085),
    "VIX change against market return": (-0.739, -0.88, -0.60),
    "VIX against realised volatility": (0.887, 0.75, 0.95),
    "VIX over realised volatility": (1.309, 1.15, 1.50),
}


def correlation(x: Floats, y: Floats) -> Floats:
    """Correlation down the first axis."""
    dx, dy = x - x.mean(axis=0), y - y.mean(axis=0)
    out: Floats = (dx * dy).mean(axis=0) / np.sqrt((dx**2).mean(axis=0) * (dy**2).mean(axis=0))
    return out


def autocorrelation(x: Floats, lags: range) -> Floats:
    out: Floats = np.mean([correlation(x[lag:], x[:-lag]) for lag in lags], axis=0)
    return out


def kurtosis(x: Floats) -> Floats:
    z = x - x.mean(axis=0)
    out: Floats = (z**4).mean(axis=0) / (z**2).mean(axis=0) ** 2 - 3.0
    return out


def moving_mean(x: Floats, length: int) -> Floats:
    """Mean of rows t .. t + length - 1."""
    total = np.cumsum(np.concatenate([np.zeros_like(x[:1]), x]), axis=0)
    out: Floats = (total[length:] - total[:-length]) / length
    return out


def leverage_effect(returns: Floats) -> Floats:
    """Correlation of a return with the mean |return| of the following five sessions."""
    return correlation(returns[:-5], moving_mean(np.abs(returns), 5)[1:])


def pairs(x: Floats) -> Floats:
    """Correlations of all pairs of columns."""
    matrix: Floats = np.atleast_2d(np.corrcoef(x.T))
    return matrix[np.triu_indices_from(matrix, 1)]


def measure(panel: MarketPanel) -> dict[str, float]:
    close, vix = panel.close, np.log(panel.vix)
    returns, market = np.diff(np.log(close), axis=0), np.diff(np.log(panel.benchmark))
    size, gap = np.abs(returns), np.log(panel.open[1:] / close[:-1])
    volume = np.log(np.maximum(panel.volume, 1.0))
    surprise = volume[20:] - moving_mean(volume, 20)[:-1]
    sector = np.array(panel.sectors)
    same = (sector[:, None] == sector)[np.triu_indices(len(sector), 1)]
    correlations = pairs(returns)
    betas = correlation(returns, market[:, None]) * returns.std(axis=0) / market.std()
    ranges = np.sqrt((np.log(panel.high / panel.low) ** 2).mean(axis=0) / (4.0 * np.log(2.0)))
    realised = 100.0 * np.sqrt(YEAR * moving_mean(market**2, 21))
    values = [
        np.median(returns.std(axis=0)) * YEAR**0.5,
        np.median(kurtosis(returns)),
        np.median(autocorrelation(size, range(1, 11))),
        np.median(autocorrelation(size, range(40, 61, 4))),
        np.median(correlation(returns[1:], returns[:-1])),
        np.median(leverage_effect(returns)),
        (size > 0.10).mean() * YEAR,
        np.median(correlation(surprise, size[19:])),
        np.median(surprise.std(axis=0)),
        np.median(correlation(surprise[1:], surprise[:-1])),
        pairs(surprise).mean(),
        correlations.mean(),
        correlations[same].mean() - correlations[~same].mean(),
        betas.std(),
        np.median(gap.var(axis=0) / returns.var(axis=0)),
        pairs(gap).mean(),
        np.median(ranges / returns.std(axis=0)),
        market.std() * YEAR**0.5,
        kurtosis(market),
        autocorrelation(np.abs(market), range(1, 11)),
        leverage_effect(market),
        sharpe(np.expm1(market)),
        np.median(panel.vix),
        panel.vix.min(),
        panel.vix.max(),
        correlation(vix[1:], vix[:-1]),
        np.diff(vix).std(),
        correlation(np.diff(vix), market),
        correlation(vix[21:], np.log(realised)),
        np.median(panel.vix[21:] / realised),
    ]
    return {name: float(value) for name, value in zip(FACTS, values, strict=True)}


def sharpe(returns: Floats) -> float:
    return float(returns.mean() / returns.std() * YEAR**0.5)


def markets(model: MarketModel, seeds: range, n_sessions: int) -> list[SyntheticMarketData]:
    return [SyntheticMarketData(seed, n_tickers=66, n_sessions=n_sessions, model=model) for seed in seeds]


@cache
def measured(model: MarketModel) -> dict[str, float]:
    """Median of each fact over a few synthetic markets as long as the real history."""
    found = [measure(market.history()) for market in markets(model, range(1, 6), 4528)]
    return {name: float(np.median([facts[name] for facts in found])) for name in FACTS}


@pytest.mark.parametrize("fact", FACTS)
def test_synthetic_market_lies_within_the_band_around_the_real_one(fact: str) -> None:
    real, low, high = FACTS[fact]

    assert low < real < high
    assert low < measured(REALISTIC)[fact] < high


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real history is not beside the repository")
def test_written_facts_are_those_of_the_real_data() -> None:
    found = measure(FilesMarketData(SHARED).history())

    for name, (real, _, _) in FACTS.items():
        assert found[name] == pytest.approx(real, rel=0.02, abs=0.002), name


def test_market_without_structure_falls_outside_the_bands() -> None:
    facts = measured(NO_STRUCTURE)

    outside = {name for name, (_, low, high) in FACTS.items() if not low < facts[name] < high}

    assert outside >= {
        "stock |return| autocorrelation, lags 1-10",
        "stock leverage effect",
        "beta, standard deviation",
        "market |return| autocorrelation, lags 1-10",
        "market leverage effect",
        "VIX highest",
        "VIX change against market return",
    }


# Three plain books, long the fifth of all stocks that score highest, 5 bp a side: what a strategy could find.
BOOKS = ("momentum", "reversal", "low volatility")


def book_returns(panel: MarketPanel) -> Floats:
    """Daily returns of BOOKS (T, 3), decided at a close and held from there."""
    price = np.log(panel.close)
    returns = np.concatenate([np.zeros_like(price[:1]), np.expm1(np.diff(price, axis=0))])
    scores = {name: np.zeros_like(price) for name in BOOKS}
    scores["momentum"][63:] = price[63:] - price[:-63]
    scores["reversal"][5:] = price[:-5] - price[5:]
    scores["low volatility"][60:] = -moving_mean(returns**2, 60)[1:]
    holding = {"momentum": 10, "reversal": 5, "low volatility": 20}
    books = []
    for name in BOOKS:
        rank = np.argsort(np.argsort(-scores[name], axis=1, kind="stable"), axis=1)
        chosen = (rank < price.shape[1] // 5) / (price.shape[1] // 5)
        weights = np.zeros_like(price)
        weights[holding[name] - 1 :] = moving_mean(chosen, holding[name])
        turnover = np.abs(np.diff(weights, axis=0)).sum(axis=1)
        books.append(np.concatenate([[0.0], (weights[:-1] * returns[1:]).sum(axis=1) - 5e-4 * turnover]))
    return np.stack(books, axis=1)[252:]


@cache
def books_and_regimes(model: MarketModel) -> tuple[Floats, Ints]:
    found = markets(model, range(1, 7), 3000)
    books = np.concatenate([book_returns(market.history()) for market in found])
    return books, np.concatenate([market.true_regimes()[252:] for market in found])


def test_realistic_market_pays_simple_books_as_the_real_one_did_and_no_more() -> None:
    books, _ = books_and_regimes(REALISTIC)

    for name, book in zip(BOOKS, books.T, strict=True):
        assert 0.2 < sharpe(book) < 1.1, name  # measured on the real data: 0.70, 0.86, 0.90


def test_regime_edges_decide_which_book_earns() -> None:
    books, regimes = books_and_regimes(REGIME_EDGES)
    table = np.array([[sharpe(book[regimes == regime]) for book in books.T] for regime in range(3)])

    bull, bear, consolidation = table
    assert [BOOKS[best] for best in table.argmax(axis=1)] == ["momentum", "low volatility", "reversal"]
    assert bull[0] > 2.0 > 0.0 > bull[1]
    assert consolidation[1] > 1.0 > 0.0 > consolidation[0]
    assert bear[2] > max(bear[0], bear[1])


def gain_of_switching(model: MarketModel) -> float:
    """Sharpe ratio gained over equal weight by the book that was best in each regime in the other half of the data."""
    books, regimes = books_and_regimes(model)
    half = len(books) // 2
    chosen = np.empty(len(books))
    for own, other in ((slice(None, half), slice(half, None)), (slice(half, None), slice(None, half))):
        for regime in range(3):
            learnt = books[other][regimes[other] == regime]
            best = int(np.argmax(learnt.mean(axis=0) / learnt.std(axis=0)))
            chosen[own][regimes[own] == regime] = books[own][regimes[own] == regime][:, best]
    return sharpe(chosen) - sharpe(books.mean(axis=1))


def test_knowing_the_regime_pays_where_there_are_edges_and_not_where_there_are_none() -> None:
    assert gain_of_switching(REGIME_EDGES) > 0.7
    assert abs(gain_of_switching(NO_STRUCTURE)) < 0.2


def test_without_structure_past_returns_predict_nothing() -> None:
    returns = np.concatenate(
        [np.diff(np.log(market.history().close), axis=0) for market in markets(NO_STRUCTURE, range(1, 4), 2000)]
    )
    own = returns - returns.mean(axis=1, keepdims=True)

    for length in (1, 5, 60):
        past = moving_mean(own, length)[:-1]
        # 6,000 x 66 products of independent numbers: the correlation's standard error is 0.0016
        assert abs(correlation(past.ravel(), own[length:].ravel())) < 0.006


def test_reversal_coefficient_is_what_past_returns_predict() -> None:
    model = replace(NO_STRUCTURE, reversal=(0.05, 0.05, 0.05), sector_volatility=0.001)
    returns = np.diff(
        np.log(SyntheticMarketData(3, n_tickers=66, n_sessions=4000, model=model).history().close), axis=0
    )
    own = returns - returns.mean(axis=1, keepdims=True)

    # the best forecast is the exponential mean itself; its correlation with the next return is the coefficient
    mean, means = np.zeros(66), []
    for row in own[:-1]:
        mean = mean + (row - mean) / model.fast_sessions
        means.append(mean)
    found = correlation(np.array(means).ravel(), own[1:].ravel())

    assert -0.06 < found < -0.04
