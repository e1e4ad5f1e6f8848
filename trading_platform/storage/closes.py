"""The account and its positions at each session's close: collected as records, made into rows at the commit.

They are most of what is written. Sums, shares and unknown values are formed for all sessions of a commit at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from math import isfinite, nan
from typing import NamedTuple

import numpy as np

from trading_platform.core.ledger import ACCOUNT, LOT, SLOT, Record, Records
from trading_platform.core.types import Bools, Floats, Flows

EPOCH = date(1970, 1, 1).toordinal()
REMEMBERED = 1024  # dates

Columns = list[Sequence[object]]


class Day(NamedTuple):
    """What a session's close says besides the book. Dollars; `universe_return` a fraction; NaN = unknown."""

    session: date
    at: datetime
    previous_equity: float
    flows: Flows
    vix: float
    benchmark: float
    universe_return: float
    cash_rate: float


UNKNOWN_USE = (nan,) * 5  # nothing was decided


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
        self._lots: list[Records] = []
        self._unused: list[tuple[float, ...]] = []

    def add(self, day: Day, account: Record, slots: Records, lots: Records, risk: Record) -> None:
        """Collect a close: the broker's `account`, `slots` (S,) and `lots` (S, K), and RiskManager's account record."""
        self._days.append(day)
        self._unused.append(UNKNOWN_USE)
        self._lots.append(shared_lots(slots, lots))
        self._accounts.append(account.tobytes())
        self._risks.append(risk.tobytes())
        self._slots.append(slots.tobytes())

    def not_invested(self, because: tuple[float, ...]) -> None:
        """Say of the newest close what the decision left in cash: no signal, slots, caps, size, halts; dollars."""
        self._unused[-1] = because

    def equity_columns(self) -> Columns:
        """Return the columns of table `equity`, a value a session."""
        account, risk = _records(self._accounts), _records(self._risks)
        slots, held = self._positions()
        value = _cents(np.where(held, slots["value"], 0.0).sum(axis=1))
        cost = _cents(np.where(held, slots["cost"], 0.0).sum(axis=1))
        equity, peak = account["equity"], risk["peak_equity"]
        sessions, instants, previous, moved, *readings, rates = zip(*self._days, strict=True)
        flows = Flows(*zip(*moved, strict=True))  # type: ignore[arg-type]  # a column of each
        with np.errstate(divide="ignore", invalid="ignore"):
            drawdown = np.fmax(0.0, 1.0 - equity / peak)
            exposure = np.where(equity > 0.0, value / equity, 0.0)
        return [
            [self._run_id] * len(self),
            sessions,
            instants,
            account["cash"].tolist(),
            value.tolist(),
            equity.tolist(),
            previous,
            flows.realized,
            (value - cost).tolist(),
            flows.fees,
            flows.dividends,
            flows.cash_flow,
            peak.tolist(),
            drawdown.tolist(),
            risk["lifetime_drawdown"].tolist(),
            exposure.tolist(),
            held.sum(axis=1).tolist(),
            (risk["halted"] != 0).tolist(),
            *(_known(values) for values in readings),
            flows.interest,
            flows.commission,
            flows.spread,
            flows.slippage,
            flows.impact,
            _known(rates),
            *(_known(values) for values in zip(*self._unused, strict=True)),
        ]

    def lot_columns(self) -> Columns:
        """Return the columns of table `lots`, a value a lot of a shared position and session; columns may be empty."""
        counts = [len(lots) for lots in self._lots]
        rows = np.concatenate(self._lots) if sum(counts) else self._lots[0]
        days = np.repeat(np.arange(len(self)), counts)
        order = np.lexsort((rows["k"], rows["ticker"], days))
        rows, days = rows[order], days[order]
        lots = rows["lot"]
        return [
            [self._run_id] * len(rows),
            [self._days[n].session for n in days.tolist()],
            [self._tickers[i] for i in rows["ticker"].tolist()],
            [self._strategies[k] for k in rows["k"].tolist()],
            lots["quantity"].tolist(),
            lots["cost"].tolist(),
            rows["value"].tolist(),
            [price or None for price in lots["stop"].tolist()],
            [price or None for price in lots["target"].tolist()],
            lots["dividends"].tolist(),
            [_date(day) for day in lots["entry_day"].tolist()],
        ]

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


SHARED = np.dtype([("ticker", np.int64), ("k", np.int64), ("value", np.float64), ("lot", LOT)])


def shared_lots(slots: Records, lots: Records) -> Records:
    """Return the lots of positions that are not all their first owner's, of SHARED, (n,); their values add up.

    `slots` (S,), `lots` (S, K).

    The first owner may be one that is only buying yet: the shares that are there are another's then.
    """
    owners = slots["owners"]
    found = []
    for s in np.flatnonzero((owners & (owners - 1)) != 0).tolist():
        held = [k for k in range(lots.shape[1]) if owners[s] >> k & 1 and lots[s, k]["quantity"] > 0.0]
        if held in ([], [int(slots[s]["strategy"])]):
            continue
        left = float(slots[s]["value"])
        for k in held:
            share = lots[s, k]["quantity"] * slots[s]["price"]
            value = left if k == held[-1] else float(np.rint(share * 100.0) / 100.0)
            left = float(np.rint((left - value) * 100.0) / 100.0)
            found.append((slots[s]["ticker"], k, value, lots[s, k]))
    return np.array(found, dtype=SHARED)


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
