"""Funds beside the embedded stocks: sound bars, stated classes, and stocks that stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

from trading_platform.market_data.embedded_funds import FUNDS
from trading_platform.market_data.synthetic import BENCHMARK, SyntheticMarketData
from trading_platform.strategies.registry import active_strategies, make_strategies


def market(*, funds: bool) -> SyntheticMarketData:
    return SyntheticMarketData(n_tickers=30, n_sessions=600, funds=funds)


def test_funds_leave_the_stocks_as_they_are_and_make_the_index_a_ticker() -> None:
    plain, panel = market(funds=False).history(), market(funds=True).history()

    columns = [panel.tickers.index(name) for name in plain.tickers]
    np.testing.assert_array_equal(panel.close[:, columns], plain.close)
    assert panel.n_tickers == plain.n_tickers + len(FUNDS) + 1
    assert panel.benchmark_ticker == BENCHMARK
    np.testing.assert_array_equal(panel.close[:, panel.tickers.index(BENCHMARK)], panel.benchmark)


@pytest.mark.parametrize("name", [*(fund.ticker for fund in FUNDS), BENCHMARK])
def test_bars_of_each_fund_hold_their_prices_between_low_and_high(name: str) -> None:
    panel = market(funds=True).history()
    column = panel.tickers.index(name)

    opened, close = panel.open[:, column], panel.close[:, column]
    assert (panel.high[:, column] >= np.maximum(opened, close)).all()
    assert (panel.low[:, column] <= np.minimum(opened, close)).all()
    assert (panel.volume[:, column] > 0.0).all()


def test_default_sleeves_all_find_something_to_trade_with_funds_and_some_stand_aside_without() -> None:
    chosen = make_strategies((), {}, {})

    assert len(active_strategies(chosen, market(funds=True).history())[0]) == len(chosen)
    assert len(active_strategies(chosen, market(funds=False).history())[0]) < len(chosen)
