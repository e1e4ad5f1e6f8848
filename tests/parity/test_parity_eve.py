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
from parity_markets import signals_of
from parity_world import Case, assert_same, engine, kernel, stored_trail
from test_parity_alpaca import EXITS, RISK, AlpacaDesk, alpaca_desk

from trading_platform.core.costs import CostConfig
from trading_platform.market_data.files import FilesMarketData

FOLDER = Path(__file__).parents[3] / "shared/cases/market/54_live_special_dividend"
EX_DATE = date(2022, 2, 1)
BEFORE = 25  # sessions of trading before the ex-date
AFTER = 2  # and from it on: later two stops rest in one ticker, which Alpaca fills apart
CAPITAL = 100_000.0

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/cases is not there")


def case_of(seed: int) -> Case:
    panel = FilesMarketData(FOLDER).history()
    panel = replace(panel, volume=np.full(panel.volume.shape, 5e7))  # no order meets the cap on volume
    signals = signals_of(np.random.default_rng(seed), panel.close.shape)
    return Case(panel, signals, np.full(len(signals), 1.0 / len(signals)), RISK, EXITS, CostConfig(), CAPITAL)


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
