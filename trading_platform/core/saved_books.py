"""A book as text, exact to the last bit of every float, and back; books of earlier versions are read as well.

Records are written with the names of their fields, so that a field that is added later starts at 0 in an older book. A
book of the first version had no lots: each position belonged to the one strategy that its slot named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trading_platform.core.booking import LONG_AGO
from trading_platform.core.compiled import plain
from trading_platform.core.ledger import ACCOUNT, LOT, SLOT, Records, settle_levels
from trading_platform.core.reasons import NO_REASON
from trading_platform.core.types import Ints

# Fields of the first version, whose rows carry no names.
FIRST_ACCOUNT = (
    "cash",
    "equity",
    "previous_equity",
    "peak_equity",
    "lifetime_peak",
    "lifetime_drawdown",
    "accepted_equity",
    "suspect_equity",
    "breach_readings",
    "halted",
    "release_readings",
    "daily_breach_readings",
    "daily_halted",
    "loss_streak",
    "pause_until",
    "kelly_trades",
    "kelly_wins",
    "kelly_gain",
    "kelly_loss",
    "realized_pnl",
    "fees",
    "dividends",
    "cash_flow",
    "traded",
    "trades",
    "wins",
    "halts",
    "halted_sessions",
)
FIRST_SLOT = (
    "ticker",
    "strategy",
    "quantity",
    "pending",
    "limit_price",
    "stop",
    "target",
    "price",
    "value",
    "cost",
    "bought",
    "bought_amount",
    "sold_amount",
    "fees",
    "dividends",
    "exit_reason",
    "entry_day",
    "held",
    "missing",
)

_settle_levels = plain(settle_levels)


class BadBookError(ValueError):
    """A text is no book of this shape."""


def account_text(account: Records) -> str:
    """Return an account (1,) as JSON."""
    return json.dumps(_named(account))


def slots_text(slots: Records, lots: Records, stopped: Ints, **more: object) -> str:
    """Return slots (S,), the lots (S, K) in them and days of stop-outs (N,) as JSON, with `more` beside them."""
    present = [(s, k) for s in range(len(slots)) for k in range(lots.shape[1]) if int(slots["owners"][s]) >> k & 1]
    places = tuple(np.array(present, dtype=np.int64).reshape(-1, 2).T)
    recent = {str(i): int(stopped[i]) for i in np.flatnonzero(stopped > LONG_AGO).tolist()}
    return json.dumps(
        {"slots": _named(slots), "places": present, "lots": _named(lots[places]), "stopped": recent, **more}
    )


def read_account(text: str) -> Records:
    """Return the account (1,) in `text`.

    Raises
    ------
    BadBookError
        It is unreadable.
    """
    try:
        outer = json.loads(text)
        if isinstance(outer, list):
            return _records({"names": FIRST_ACCOUNT, "rows": [outer]}, ACCOUNT)
        return _records(outer, ACCOUNT)
    except (ValueError, KeyError, TypeError) as error:
        raise BadBookError(f"a stored account is unreadable ({error})") from error


def read_slots(text: str, slots: Records, lots: Records, stopped: Ints) -> Mapping[str, Any]:
    """Write the book in `text` into slots (S,), lots (S, K) and stopped (N,); return everything that stands beside it.

    Raises
    ------
    BadBookError
        It is unreadable, or holds more than there is room for.
    """
    try:
        outer: dict[str, Any] = json.loads(text)
        first = isinstance(outer["slots"], list)
        found = _records({"names": FIRST_SLOT, "rows": outer["slots"]} if first else outer["slots"], SLOT)
        if len(found) > len(slots) and (found["ticker"][len(slots) :] >= 0).any():
            raise BadBookError(f"a stored book has {len(found)} slots, the configuration allows {len(slots)}")
        slots[:] = np.zeros(1, dtype=SLOT)[0]
        slots["ticker"] = -1
        lots[:] = np.zeros(1, dtype=LOT)[0]
        stopped[:] = LONG_AGO
        kept = min(len(found), len(slots))
        slots[:kept] = found[:kept]
        if first:
            _make_lots(outer["slots"][:kept], slots, lots)
            return outer
        for (s, k), lot in zip(outer["places"], _records(outer["lots"], LOT), strict=True):
            lots[s, k] = lot
        for i, day in outer["stopped"].items():
            stopped[int(i)] = day
        return outer
    except BadBookError:
        raise
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadBookError(f"a stored book is unreadable ({error})") from error


def owners_in(text: str, strategies: Sequence[str]) -> frozenset[str]:
    """Return the strategies that hold, buy or sell something in the book in `text`, numbered as `strategies`.

    A book that names its strategies itself is read by its own names, and so is the one that it was in the morning, from
    which its day may be booked anew.
    """
    outer = json.loads(text)
    names = outer.get("strategies", strategies)
    if isinstance(outer["slots"], list):
        rows = (dict(zip(FIRST_SLOT, row, strict=True)) for row in outer["slots"])
        return frozenset(names[int(row["strategy"])] for row in rows if row["ticker"] >= 0)
    morning = outer.get("morning") or {"places": []}
    return frozenset(names[k] for _, k in (*outer["places"], *morning["places"]))


def renumbered(text: str, before: Sequence[str], now: Sequence[str]) -> str:
    """Return the book in `text`, whose strategies are numbered as `before`, with those of `now`.

    Whoever owns something must be in both (`owners_in`).
    """
    outer = json.loads(text)
    number = {k: list(now).index(name) for k, name in enumerate(before) if name in now}
    first = isinstance(outer["slots"], list)
    names = FIRST_SLOT if first else outer["slots"]["names"]
    rows = outer["slots"] if first else outer["slots"]["rows"]
    places = {name: list(names).index(name) for name in names}
    for row in rows:
        row[places["strategy"]] = number.get(int(row[places["strategy"]]), 0)
        if not first:
            owners = int(row[places["owners"]])
            row[places["owners"]] = sum(1 << number[k] for k in range(len(before)) if owners >> k & 1)
    if not first:
        outer["places"] = [[s, number[k]] for s, k in outer["places"]]
    return json.dumps(outer)


def _make_lots(rows: Sequence[Sequence[float]], slots: Records, lots: Records) -> None:
    """Give every position of a book of the first version to its strategy, as one lot."""
    for s, row in enumerate(rows):
        was = dict(zip(FIRST_SLOT, row, strict=True))
        if was["ticker"] < 0:
            continue
        k = int(was["strategy"])
        lot = lots[s, k]
        for name in ("quantity", "stop", "target", "cost", "bought", "bought_amount", "sold_amount", "fees"):
            lot[name] = was[name]
        for name in ("dividends", "exit_reason", "entry_day"):
            lot[name] = was[name]
        lot["peak"] = was["price"]
        leaving = was["exit_reason"] != NO_REASON
        lot["delta"] = -was["quantity"] if leaving else was["pending"]
        slots[s]["owners"] = 1 << k
        slots[s]["selling"] = was["quantity"] if leaving else 0.0
        _settle_levels(slots[s], lots[s])


def _named(records: Records) -> dict[str, Any]:
    """Return records as the names of their fields and a row each; what is not finite is a text."""
    rows = [[_plain(value) for value in row] for row in np.atleast_1d(records).tolist()]
    return {"names": list(records.dtype.names or ()), "rows": rows}


def _records(table: Mapping[str, Any], dtype: np.dtype[np.void]) -> Records:
    names, rows = table["names"], table["rows"]
    records = np.zeros(len(rows), dtype=dtype)
    for n, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            if name in (dtype.names or ()):
                records[n][name] = float(value) if isinstance(value, str) else value
    return records


def _plain(value: float) -> float | str:
    return value if isinstance(value, int) or math.isfinite(value) else str(value)
