"""Resampled figures of books: defined as the plain ones, paired, and honest about what they do not know."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading_platform.core.types import Floats
from trading_platform.evaluation import resampled_figures as module
from trading_platform.evaluation.book_statistics import book_figures
from trading_platform.evaluation.resampled_figures import FigureSamples, interval_of, resampled_figures

SESSIONS = 300


def market_of(seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0.0004, 0.01, SESSIONS)


BILLS = np.full(SESSIONS, 0.00004)


def samples(books: Floats, market: Floats, seed: int = 3, count: int = 400) -> FigureSamples:
    found = resampled_figures(books, BILLS, market, np.random.default_rng(seed), count)
    assert found is not None
    return found


def test_rows_in_their_own_order_give_the_figures_of_the_book() -> None:
    market = market_of()
    book = 0.3 * market + np.random.default_rng(2).normal(0.0002, 0.004, SESSIONS)
    starts = np.zeros((1, 1), dtype=np.int64)
    found = module._resample(book[:, None], BILLS, market, starts, SESSIONS)[0, 0]
    plain = book_figures(book, BILLS, market)
    wanted = (plain.annual_return, plain.excess_return, plain.sharpe, plain.volatility, plain.max_drawdown, plain.beta)
    assert found.tolist() == pytest.approx(wanted, rel=1e-9)


def test_books_are_resampled_together_so_that_a_book_never_differs_from_itself() -> None:
    market = market_of()
    found = samples(np.column_stack((market, market, 2.0 * market)), market)
    assert np.array_equal(found.sharpe[:, 0], found.sharpe[:, 1])
    assert not np.array_equal(found.sharpe[:, 0], found.sharpe[:, 2])  # a control: another book does differ
    assert found.beta[:, 0] == pytest.approx(1.0, abs=1e-9)


def test_interval_holds_the_observed_ratio_and_grows_with_confidence() -> None:
    market = market_of()
    found = samples(market[:, None], market).sharpe[:, 0]
    narrow, wide = interval_of(found, 0.5), interval_of(found, 0.95)
    assert wide.low < narrow.low < book_figures(market, BILLS, market).sharpe < narrow.high < wide.high


def test_a_market_that_is_not_known_leaves_only_beta_unknown() -> None:
    market = market_of()
    gap = market.copy()
    gap[5] = math.nan
    found = samples(market[:, None], gap)
    assert np.isnan(found.beta).any()
    assert math.isnan(interval_of(found.beta[:, 0]).low)
    assert np.isfinite(found.sharpe).all()


def test_too_few_sessions_or_unknown_returns_have_no_samples() -> None:
    market = market_of()
    rng = np.random.default_rng(0)
    assert resampled_figures(market[:59, None], BILLS[:59], market[:59], rng) is None
    assert resampled_figures(market[:60, None], BILLS[:60], market[:60], rng) is not None
    market[7] = math.nan
    assert resampled_figures(market[:, None], BILLS, market, rng) is None


def test_a_book_in_cash_has_no_ratio_and_no_fall() -> None:
    market = market_of()
    found = samples(BILLS[:, None], market)
    assert np.isnan(found.sharpe).all()
    assert found.max_drawdown.max() == 0.0
    assert found.excess_return == pytest.approx(0.0, abs=1e-12)


def test_a_lost_account_stays_lost() -> None:
    market = market_of()
    ruin = market.copy()
    ruin[100] = -1.5
    found = samples(ruin[:, None], market)
    assert found.max_drawdown.max() == 1.0
    assert found.annual_return.min() == -1.0
