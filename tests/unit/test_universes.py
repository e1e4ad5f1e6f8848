"""Random universes: the same draw for everybody, funds always in, followers where a stock ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.strategy_markets import FUNDS, mixed_panel
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.universes import draw_universe, draw_universes, equal_weight_returns

N_STOCKS = 12


def ending(rows: dict[int, int], begins: dict[int, int] | None = None) -> MarketPanel:
    """Return a panel in which the stock in each column has no bar from the row on (or before it)."""
    panel = mixed_panel(3, 300, N_STOCKS)
    close = panel.close.copy()
    for column, row in rows.items():
        close[row:, column] = np.nan
    for column, row in (begins or {}).items():
        close[:row, column] = np.nan
    return replace(panel, close=close)


def test_draw_depends_on_seed_and_number_alone() -> None:
    panel = mixed_panel(3, 300, N_STOCKS)
    first, second = draw_universes(panel, 2, 5, seed=7)
    assert draw_universe(panel, 1, 5, seed=7).panel.tickers == second.panel.tickers
    assert first.panel.tickers != second.panel.tickers
    assert draw_universe(panel, 0, 5, seed=8).panel.tickers != first.panel.tickers


def test_funds_and_benchmark_belong_to_every_universe() -> None:
    panel = mixed_panel(3, 300, N_STOCKS)
    for universe in draw_universes(panel, 10, 5, seed=0):
        assert universe.panel.tickers[-len(FUNDS) :] == panel.tickers[-len(FUNDS) :]
        assert universe.panel.benchmark_ticker == panel.benchmark_ticker
        assert int(universe.panel.is_stock.sum()) == 5
        assert universe.panel.member is not None
        assert universe.panel.member.all()


def test_stock_that_ends_is_followed_by_one_alive_then() -> None:
    panel = ending(dict.fromkeys(range(6), 100), begins={11: 150})
    for universe in draw_universes(panel, 20, 5, seed=0):
        member = universe.panel.member
        assert member is not None
        stocks = universe.panel.is_stock
        assert (member[:, stocks].sum(axis=1) == 5).all()
        known = np.isfinite(universe.panel.close)
        assert not (member & ~known)[:, stocks].any()
        for begin, end, ticker in universe.members:
            column = panel.tickers.index(ticker)
            assert (begin, end) == ((0, 99) if column < 6 else (begin, 299))
            assert column != 11 or begin >= 150


def test_stock_without_successor_leaves_its_place_empty() -> None:
    panel = ending({0: 100})
    (universe,) = draw_universes(panel, 1, N_STOCKS, seed=0)
    assert universe.panel.member is not None
    assert universe.panel.member[:, universe.panel.is_stock].sum(axis=1).tolist() == [12] * 100 + [11] * 200


def test_halt_of_two_weeks_is_no_end() -> None:
    panel = mixed_panel(3, 300, N_STOCKS)
    close = panel.close.copy()
    close[100:110, :N_STOCKS] = np.nan
    (universe,) = draw_universes(replace(panel, close=close), 1, 5, seed=0)
    assert [spell[:2] for spell in universe.members] == [(0, 299)] * 5
    close[100:130, :N_STOCKS] = np.nan
    (universe,) = draw_universes(replace(panel, close=close), 1, 5, seed=0)
    assert {spell[:2] for spell in universe.members} == {(0, 99)}


def test_stock_that_is_no_member_at_the_start_is_not_drawn() -> None:
    panel = mixed_panel(3, 300, N_STOCKS)
    member = np.ones(panel.close.shape, dtype=np.bool_)
    member[:, :6] = False
    for universe in draw_universes(replace(panel, member=member), 10, 5, seed=0):
        assert not set(universe.panel.tickers) & set(panel.tickers[:6])


def test_draw_is_from_stocks_with_bars_at_the_start() -> None:
    panel = ending({}, begins=dict.fromkeys(range(6), 50))
    early = {spell[2] for u in draw_universes(panel, 10, 5, seed=0, start=49) for spell in u.members}
    late = {spell[2] for u in draw_universes(panel, 10, 5, seed=0, start=50) for spell in u.members}
    assert not early & set(panel.tickers[:6])
    assert late & set(panel.tickers[:6])


@pytest.mark.parametrize(
    ("universes", "size", "message"),
    [(20, 13, "only 12 stocks have bars on 2010-01-04"), (0, 5, "at least 1"), (2, 0, "at least 1")],
)
def test_draw_that_cannot_be_made_is_refused(universes: int, size: int, message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        draw_universes(mixed_panel(3, 300, N_STOCKS), universes, size, seed=0)


def test_equal_weight_is_the_mean_of_the_members_of_the_day_before() -> None:
    panel = mixed_panel(3, 4, 2)
    daily = np.zeros(panel.close.shape)
    daily[:, 0], daily[:, 1], daily[:, 2:] = 0.02, 0.04, 0.5
    member = np.ones(panel.close.shape, dtype=np.bool_)
    member[1:, 1] = False
    returns = equal_weight_returns(replace(panel, member=member), daily)
    assert returns.tolist() == pytest.approx([0.0, 0.03, 0.02, 0.02])
