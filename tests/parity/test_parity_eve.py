"""On the ex-date of a 30 % special dividend the engine at the local Alpaca trades as the replay does, to the cent.

The market is the case of a user whose five positions and three fresh entries were stopped out at that open.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from parity_markets import market_of, signals_of
from parity_world import Case, assert_same, engine, kernel, stored_trail
from sqlalchemy import select
from test_parity_alpaca import CALM, EXITS, RISK, START, STOP, AlpacaDesk, alpaca_desk, count

from trading_platform.core.costs import CostConfig
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.market_data.files import FilesMarketData
from trading_platform.storage import models as m

FOLDER = Path(__file__).parents[3] / "shared/cases/market/54_live_special_dividend"
EX_DATE = date(2022, 2, 1)
BEFORE = 25  # sessions of trading before the ex-date
AFTER = 2  # and from it on: later two stops rest in one ticker, which Alpaca fills apart
CAPITAL = 100_000.0

needs_cases = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/cases is not there")


def case_of(seed: int) -> Case:
    panel = FilesMarketData(FOLDER).history()
    panel = replace(panel, volume=np.full(panel.volume.shape, 5e7))  # no order meets the cap on volume
    signals = signals_of(np.random.default_rng(seed), panel.close.shape)
    return Case(panel, signals, np.full(len(signals), 1.0 / len(signals)), RISK, EXITS, CostConfig(), CAPITAL)


@needs_cases
@pytest.mark.parametrize("seed", [8, 15, 20])
def test_special_dividend_of_the_next_session_is_followed_as_in_the_replay(seed: int, tmp_path: Path) -> None:
    case = case_of(seed)
    ex = case.world.sessions.index(EX_DATE)
    start, stop = ex - BEFORE, ex + AFTER
    paper = engine(case, tmp_path, start, stop)
    assert_same(kernel(case, start, stop)[0], paper)
    with alpaca_desk(case, tmp_path, start) as desk:
        desk.trade(range(start, ex))
        sides = check_eve(desk)
        assert sides["sell"] >= 1
        assert sides["buy"] >= 2
        desk.trade(range(ex, stop))
        assert_same(stored_trail(desk.database, desk.run_id), paper)
    assert len([trade for trade in paper.trades if trade[0] == EX_DATE and trade[6] == "entry"]) >= 3


@needs_cases
def test_engine_that_dies_on_the_eve_follows_once(tmp_path: Path) -> None:
    case = case_of(8)
    ex = case.world.sessions.index(EX_DATE)
    start, stop = ex - BEFORE, ex + AFTER
    paper = engine(case, tmp_path, start, stop)
    with alpaca_desk(case, tmp_path, start) as desk:
        desk.trade(range(start, ex - 1))
        desk.trade(range(ex - 1, ex), killed=frozenset({ex - 1}))
        desk.restart()
        desk.trade(range(ex, stop), killed=frozenset({ex}))
        assert_same(stored_trail(desk.database, desk.run_id), paper)


@needs_cases
def test_engine_that_is_told_nothing_is_stopped_out_at_that_open(tmp_path: Path) -> None:
    case = case_of(8)
    ex = case.world.sessions.index(EX_DATE)
    with alpaca_desk(case, tmp_path, ex - BEFORE) as desk:
        desk.tells_actions = False
        desk.trade(range(ex - BEFORE, ex + 1))
        trades = [trade for trade in stored_trail(desk.database, desk.run_id).trades if trade[0] == EX_DATE]
    assert len([trade for trade in trades if trade[6] == "stop_loss"]) >= 4


def check_eve(desk: AlpacaDesk) -> Counter[str]:
    """Count the working orders of the eve by side; what they would buy or stop at is a price of the ex-date."""
    sides: Counter[str] = Counter()
    for order in desk.server.exchange.working():
        close = desk.server.market.price(order.symbol)
        assert close is not None
        bought_at = order.limit_price if order.side.value == "buy" else None
        for price in (order.stop_price, bought_at):
            assert price is None or price < 0.75 * close
        sides[order.side.value] += 1
    return sides


# ---------------------------------------------------------------- splits


def swinging_case(ratio: float) -> Case:
    """Two strategies of target weights that trade with each other, and a split every few sessions, on the eve of which
    one of them wants more.
    """
    panel = with_splits(market_of(np.random.default_rng(5), 4, CALM, STOP + 1), ratio)
    assert panel.split_ratio is not None
    t = np.arange(panel.n_sessions)[:, None]
    eves = np.roll(panel.split_ratio > 1.0, -1, axis=0)
    weights = [0.08 + 0.10 * (eves | np.roll(eves, 1, axis=0)), 0.08 + 0.03 * np.cos(t / 3.0 + np.arange(4))]
    signals = tuple(
        StrategySignals(w.astype(np.float64), np.zeros(w.shape, dtype=np.bool_), is_target=True) for w in weights
    )
    return Case(panel, signals, np.array([0.5, 0.5]), RISK, EXITS, CostConfig(), CAPITAL)


def with_splits(panel: MarketPanel, ratio: float) -> MarketPanel:
    """Return a panel of much traded tickers that split by `ratio` in turn, one every four sessions."""
    split = np.ones(panel.close.shape)
    for n, row in enumerate(range(START + 4, STOP, 4)):
        split[row, n % len(panel.tickers)] = ratio
    shares = np.cumprod(split, axis=0)
    volume = np.full(shares.shape, 5e7)
    bars = {name: getattr(panel, name) / shares for name in ("open", "high", "low", "close")}
    return replace(panel, **bars, volume=volume, split_ratio=split)


@pytest.mark.parametrize("ratio", [2.0, 3.0])
def test_growth_on_the_eve_of_a_split_is_withdrawn_in_the_replay_as_at_alpaca(ratio: float, tmp_path: Path) -> None:
    case = swinging_case(ratio)
    paper = engine(case, tmp_path, START, STOP)
    assert_same(kernel(case, START, STOP)[0], paper)
    with alpaca_desk(case, tmp_path) as desk:
        desk.trade(range(START, STOP))
        assert_same(stored_trail(desk.database, desk.run_id), paper)
        assert count(desk.database, m.Difference, m.Difference.resolved_at.is_(None)) == 0
        with desk.database.connect() as connection:
            words = connection.execute(select(m.Order.message).where(m.Order.status == "rejected")).scalars().all()
    assert len([text for text in words if "positions grow on after it" in str(text)]) >= 3
