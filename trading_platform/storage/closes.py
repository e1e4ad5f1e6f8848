"""The account and its positions at each session's close: collected as records, made into rows at the commit.

They are most of what is written. Sums, shares and unknown values are formed for all sessions of a commit at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

import numpy as np

from trading_platform.core.ledger import ACCOUNT, SLOT, Record, Records
from trading_platform.core.types import Bools, Floats

EPOCH = date(1970, 1, 1).toordinal()
REMEMBERED = 1024  # dates

Columns = list[Sequence[object]]


class Day(NamedTuple):
    """What a session's close says besides the book. Dollars; `universe_return` a fraction; NaN = unknown."""

    session: date
    at: datetime
    previous_equity: float
    realized: float
    fees: float
    dividends: float
    cash_flow: float
    vix: float
    benchmark: float
    universe_return: float


class Closes:
    """The closes of one run since its last commit.

    Parameters
    ----------
    run_id
        The run that every row belongs to.
    tickers, strategies
        Names of columns and strategy numbers in slot records.
    """

    def __init__(self, run_id: int, tickers: Sequence[str], strategies: Sequence[str]) -> None:
        self._run_id = run_id
        self._tickers = tickers
        self._strategies = strategies
        self.clear()

    def __len__(self) -> int:
        return len(self._days)

    def clear(self) -> None:
        """Forget everything: it has been written."""
        self._days: list[Day] = []
        self._accounts: list[bytes] = []
        self._risks: list[bytes] = []
        self._slots: list[bytes] = []

    def add(self, day: Day, account: Record, slots: Records, risk: Record) -> None:
        """Collect a close: the broker's `account` and `slots` (S,), and the account record that RiskManager keeps."""
        self._days.append(day)
        self._accounts.append(account.tobytes())
        self._risks.append(risk.tobytes())
        self._slots.append(slots.tobytes())

    def equity_columns(self) -> Columns:
        """Return the columns of table `equity`, a value a session."""
        account, risk = _records(self._accounts), _records(self._risks)
        slots, held = self._positions()
        value = _cents(np.where(held, slots["value"], 0.0).sum(axis=1))
        cost = _cents(np.where(held, slots["cost"], 0.0).sum(axis=1))
        equity, peak = account["equity"], risk["peak_equity"]
        sessions, instants, previous, realized, fees, dividends, flows, *readings = zip(*self._days, strict=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawdown = np.fmax(0.0, 1.0 - equity / peak)
            exposure = np.where(equity > 0.0, value / equity, 0.0)
        return [
            [self._run_id] * len(self), sessions, instants, account["cash"].tolist(), value.tolist(), equity.tolist(),
            previous, realized, (value - cost).tolist(), fees, dividends, flows,
            peak.tolist(), drawdown.tolist(), risk["lifetime_drawdown"].tolist(), exposure.tolist(),
            held.sum(axis=1).tolist(), (risk["halted"] != 0).tolist(),
            *(_known(values) for values in readings),
        ]  # fmt: skip

    def position_columns(self) -> Columns:
        """Return the columns of table `positions`, a value a position and session; columns may be empty.

        They are in the order of the primary key, so that the database only appends.
        """
        slots, held = self._positions()
        session = np.nonzero(held)[0]
        order = np.lexsort((slots["ticker"][held], session))
        rows, session = slots[held][order], session[order]
        return [
            [self._run_id] * len(rows),
            [self._days[n].session for n in session.tolist()],
            [self._tickers[i] for i in rows["ticker"].tolist()],
            [self._strategies[i] for i in rows["strategy"].tolist()],
            rows["quantity"].tolist(),
            (rows["cost"] / rows["quantity"]).tolist(),
            rows["price"].tolist(),
            rows["cost"].tolist(),
            rows["value"].tolist(),
            [price or None for price in rows["stop"].tolist()],
            [price or None for price in rows["target"].tolist()],
            rows["dividends"].tolist(),
            [_date(days) for days in rows["entry_day"].tolist()],
        ]

    def _positions(self) -> tuple[Records, Bools]:
        """Return all slots, (sessions, S), and which of them hold a position."""
        slots = np.frombuffer(b"".join(self._slots), dtype=SLOT).reshape(len(self), -1)
        return slots, slots["quantity"] > 0.0


def _records(texts: Sequence[bytes]) -> Records:
    return np.frombuffer(b"".join(texts), dtype=ACCOUNT)


def _cents(dollars: Floats) -> Floats:
    rounded: Floats = np.rint(dollars * 100.0) / 100.0
    return rounded


@lru_cache(maxsize=REMEMBERED)
def _date(days: int) -> date:
    """Return the date `days` after 1970-01-01, the same object each time: a position says it at every close."""
    return date.fromordinal(EPOCH + days)


def _known(values: Sequence[float]) -> list[float | None]:
    """Return plain floats, None for NaN and infinities: the database holds facts."""
    return [value if isfinite(value) else None for value in np.array(values, dtype=np.float64).tolist()]
