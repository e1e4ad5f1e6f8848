"""A synthetic market has no memory of its future: more tickers or later sessions leave what was there unchanged."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from trading_platform.market_data.market_model import NO_STRUCTURE, REALISTIC, REGIME_EDGES, MarketModel
from trading_platform.market_data.synthetic import SyntheticMarketData

FIELDS = ("open", "high", "low", "close", "volume")
models = st.sampled_from([REALISTIC, REGIME_EDGES, NO_STRUCTURE])
seeds = st.integers(0, 2**32)
start = date(2010, 1, 4)


@settings(deadline=None, max_examples=30)
@given(seeds, models, st.integers(1, 12), st.integers(5, 60), st.integers(1, 60))
def test_later_sessions_leave_the_earlier_ones_unchanged(
    seed: int, model: MarketModel, n_tickers: int, days: int, more: int
) -> None:
    short = SyntheticMarketData(seed, n_tickers=n_tickers, start=start, end=start + timedelta(days), model=model)
    long = SyntheticMarketData(seed, n_tickers=n_tickers, start=start, end=start + timedelta(days + more), model=model)
    before, after = short.history(), long.history()

    event("more sessions" if after.n_sessions > before.n_sessions else "as many")
    for name in (*FIELDS, "vix", "benchmark"):
        np.testing.assert_array_equal(getattr(after, name)[: before.n_sessions], getattr(before, name))
    np.testing.assert_array_equal(long.true_regimes()[: before.n_sessions], short.true_regimes())


@settings(deadline=None, max_examples=30)
@given(seeds, models, st.integers(1, 12), st.integers(1, 30))
def test_more_tickers_leave_the_first_ones_unchanged(seed: int, model: MarketModel, few: int, more: int) -> None:
    small = SyntheticMarketData(seed, n_tickers=few, n_sessions=30, model=model).history()
    large = SyntheticMarketData(seed, n_tickers=few + more, n_sessions=30, model=model).history()

    columns = [large.tickers.index(ticker) for ticker in small.tickers]
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(large, name)[:, columns], getattr(small, name))
    assert tuple(large.sectors[column] for column in columns) == small.sectors
    np.testing.assert_array_equal(large.vix, small.vix)


@settings(deadline=None, max_examples=40)
@given(seeds, models, st.integers(1, 30), st.integers(2, 300))
def test_bars_are_always_possible(seed: int, model: MarketModel, n_tickers: int, n_sessions: int) -> None:
    panel = SyntheticMarketData(seed, n_tickers=n_tickers, n_sessions=n_sessions, model=model).history()

    assert np.all(panel.low > 0.0)
    assert np.all(panel.low <= np.minimum(panel.open, panel.close))
    assert np.all(panel.high >= np.maximum(panel.open, panel.close))
    assert np.all(panel.volume >= 100.0)
    assert np.all((panel.vix > 7.0) & (panel.vix < 110.0))
    assert np.all(panel.benchmark > 0.0)
    assert all(np.isfinite(getattr(panel, name)).all() for name in (*FIELDS, "vix", "benchmark"))
