"""A source that corrects its past changes what is decided next, and nothing of what is recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from parity_markets import Trouble
from parity_world import Desk
from test_parity_alpaca import CALM, START, case_of

CORRECTED = 45


def test_corrected_history_leaves_recorded_trades_and_equity_as_they_were(tmp_path: Path) -> None:
    calm: Trouble = CALM
    case = case_of(2, calm)
    desk = Desk(case, tmp_path, START)
    desk.run(CORRECTED)
    before = desk.trail()
    close = case.panel.close.copy()
    close[30] *= 1.01
    corrected = replace(case, panel=replace(case.panel, close=close, high=case.panel.high * 1.02))
    desk.engine.adopt(corrected.world)
    desk.run(CORRECTED + 5)
    after = desk.trail()
    assert len(before.trades) > 10
    assert after.trades[: len(before.trades)] == before.trades
    assert after.cents[: len(before.cents)] == before.cents
    assert len(after.cents) == len(before.cents) + 5
