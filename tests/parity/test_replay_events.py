"""Live against replay on the day of a corporate event, with bars as an account has them: adjusted the evening after.

Until the eve the engine sees the prices that traded; from the event's evening on those before it are adjusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from parity_world import Case
from test_parity_alpaca import CALM, START, case_of
from test_replay_check import Checked, checked

from trading_platform.alpaca_server.corporate import Happening
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.storage import models as m
from trading_platform.storage.replay_checks import CheckState

EX = START + 5
RATIO = 10.0
PAID = 0.3  # of the price
BARS = ("open", "high", "low", "close")


class EventDay:
    """A market in which something happens to every ticker at the open of row `EX`."""

    def __init__(self, *, splits: bool = False, pays: bool = False) -> None:
        self.case = replace(case_of(7, replace(CALM, gaps=True)), capital=2_500_000.0)
        self.base = _scaled(self.case.panel, np.full(self.case.panel.close.shape, 10.0))  # far from the smallest tick
        shape = self.base.close.shape
        self._split = np.where(np.arange(shape[0])[:, None] == EX, RATIO if splits else 1.0, 1.0) * np.ones(shape)
        self._dividend = np.zeros(shape)
        if pays:
            self._dividend[EX] = np.round(PAID * self.base.close[EX - 1], 2)

    @cached_property
    def kept(self) -> Floats:
        """(N,) what the event leaves of a price."""
        left: Floats = (1.0 - self._dividend[EX] / self.base.close[EX - 1]) / self._split[EX]
        return left

    @property
    def traded(self) -> MarketPanel:
        """The prices that trade, with what the broker knows of events."""
        factor = np.where(np.arange(len(self.base.close))[:, None] >= EX, self.kept, 1.0)
        return replace(_scaled(self.base, factor), split_ratio=self._split, dividend=self._dividend)

    @property
    def seen(self) -> Case:
        """What the engine sees until the eve."""
        return replace(self.case, panel=replace(self.traded, split_ratio=None, dividend=None))

    def adjust(self, case: Case) -> None:
        """Let the engine of `case` see from now on what a source of adjusted bars shows after the event."""
        after = replace(case, panel=_scaled(self.base, np.broadcast_to(self.kept, self.base.close.shape)))
        for mine, new in zip(case.world.market, after.world.market, strict=True):
            mine[...] = new
        for name in (*BARS, "volume"):
            getattr(case.panel, name)[...] = getattr(after.panel, name)


def _scaled(panel: MarketPanel, factor: Floats) -> MarketPanel:
    return replace(panel, **{name: getattr(panel, name) * factor for name in BARS}, volume=panel.volume.copy())


@contextmanager
def event_desk(day: EventDay, folder: Path) -> Iterator[Checked]:
    with checked(day.seen, folder, panel=day.traded) as desk:
        desk.walk(range(START, EX))
        assert desk.server.account.positions
        yield desk


def row_of_ex(desk: Checked) -> tuple[m.ReplayCheck, Sequence[m.ReplayCheck]]:
    session: date = desk.case.world.sessions[EX]
    *done, _ = desk.rows()
    assert {row.state for row in done} == {CheckState.DONE}
    return next(row for row in done if row.session == session), done


def assert_differs_by_nothing(desk: Checked) -> None:
    row, done = row_of_ex(desk)
    assert row.items == "[]"
    assert row.live_equity == row.replay_equity
    assert [(other.session, other.items) for other in done if other.items != "[]"] == []


@pytest.mark.parametrize("kind", ["splits", "pays"])
def test_day_of_a_split_or_special_dividend_differs_by_nothing(kind: str, tmp_path: Path) -> None:
    day = EventDay(**{kind: True})
    with event_desk(day, tmp_path) as desk:
        before = {ticker: held.quantity for ticker, held in desk.server.account.positions.items()}
        day.adjust(desk.case)
        desk.walk(range(EX, EX + 2))
        after = {ticker: held.quantity for ticker, held in desk.server.account.positions.items()}
        assert_differs_by_nothing(desk)
    if kind == "splits":
        assert [ticker for ticker in before if after.get(ticker) == RATIO * before[ticker]]


def test_split_that_nobody_announces_is_taken_from_the_account(tmp_path: Path) -> None:
    day = EventDay(splits=True)
    with event_desk(day, tmp_path) as desk:
        desk.announces = False
        desk.restart()
        day.adjust(desk.case)
        desk.walk(range(EX, EX + 2))
        assert_differs_by_nothing(desk)


@pytest.mark.parametrize("kind", ["cash_merger", "stock_merger", "rename"])
def test_day_on_which_shares_become_others_or_money_differs_by_nothing(kind: str, tmp_path: Path) -> None:
    day = EventDay()
    with event_desk(day, tmp_path) as desk:
        held = sorted(desk.server.account.positions)
        other = next(name for name in day.base.tickers if name not in held)
        cash = 123.45 if kind == "cash_merger" else 0.0
        with desk.server.lock:
            event = Happening(desk.case.world.sessions[EX], held[0], kind, "" if cash else other, 1.0, cash)
            desk.server.matching.corporate.events.append(event)
        desk.walk(range(EX, EX + 2))
        assert held[0] not in desk.server.account.positions
        assert_differs_by_nothing(desk)


def test_share_that_a_split_did_not_multiply_is_told(tmp_path: Path) -> None:
    """A negative control: the replay follows what is announced, and not whatever the account was given."""
    day = EventDay(splits=True)
    with event_desk(day, tmp_path) as desk:
        with desk.server.lock:
            next(iter(desk.server.account.positions.values())).quantity -= 1.0
        day.adjust(desk.case)
        desk.walk(range(EX, EX + 1))
        row, _ = row_of_ex(desk)
    assert row.live_equity is not None
    assert row.replay_equity is not None
    assert row.replay_equity - row.live_equity > 100.0
    assert row.items != "[]"
