"""What no row of ours can say: quantities below zero, prices that are no numbers, words of no list; and its cure.

Pure: a row in, what is wrong with it out. A fault is *put right* where the row itself says what is meant or the field
may be empty, *set aside* where the engine gets on without the row (the broker, or an operator, tells it anew), and
*left* where only a backup helps.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeGuard

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderStatus, Side
from trading_platform.storage.newest_run import MODES
from trading_platform.storage.operator_requests import KINDS

# More shares, or dollars a share, than anything that is traded; Berkshire's A share is below 1e6 dollars.
MOST_SHARES, HIGHEST_PRICE = 1e12, 1e8
MOST_CENTS = 10**15  # ten trillion dollars
MOST_IN_A_BOOK = 1e15  # dollars or shares in a saved book or in the risk memory
RUN_STATUSES = ("running", "finished", "interrupted")

Row = Mapping[str, Any]


class Cure(StrEnum):
    """What is done about a fault."""

    PUT_RIGHT = "put right"
    SET_ASIDE = "set aside"
    LEFT = "left"


class Fault(NamedTuple):
    """One wrong value of a row, in words; `right` holds the values that put it right, by column."""

    column: str
    problem: str
    cure: Cure
    right: dict[str, Any] = {}  # noqa: RUF012 - never written to


# ---------------------------------------------------------------- tables


def _order(row: Row) -> Iterator[Fault]:
    if row["side"] not in tuple(Side):
        yield Fault("side", f"is {row['side']!r}, neither buy nor sell", Cure.SET_ASIDE)
    if not is_shares(row["quantity"]) or not row["quantity"] > 0.0:
        yield Fault("quantity", f"is {row['quantity']!r} shares", Cure.SET_ASIDE)
    if not is_shares(row["filled_quantity"]):
        yield Fault("filled_quantity", f"is {row['filled_quantity']!r} shares", Cure.SET_ASIDE)
    if row["status"] not in tuple(OrderStatus):
        words = f"is {row['status']!r}, which no order can be; the broker is asked"
        yield Fault("status", words, Cure.PUT_RIGHT, {"status": OrderStatus.UNCERTAIN.value})
    if row["reason"] not in tuple(OrderReason):
        right = OrderReason.ENTRY if row["side"] == Side.BUY else OrderReason.SIGNAL_EXIT
        yield Fault("reason", f"is {row['reason']!r}, which is none", Cure.PUT_RIGHT, {"reason": right.value})
    for column in ("limit_price", "stop_price", "target_price"):
        if row[column] is not None and not is_price(row[column]):
            yield Fault(column, f"is {row[column]!r} dollars", Cure.PUT_RIGHT, {column: None})
    if row["parts"] is not None and not is_json(row["parts"]):
        yield Fault("parts", "is no JSON", Cure.PUT_RIGHT, {"parts": None})


def _fill(row: Row) -> Iterator[Fault]:
    known = is_shares(row["quantity"]) and row["quantity"] > 0.0 and is_price(row["price"])
    if row["side"] not in tuple(Side) or row["reason"] not in tuple(OrderReason):
        yield Fault("side", f"is {row['side']!r} for {row['reason']!r}: no fill of ours", Cure.SET_ASIDE)
    elif not known:
        words = f"is {row['quantity']!r} shares at {row['price']!r} dollars"
        yield Fault("quantity", words, Cure.SET_ASIDE)
    elif not is_cents(row["amount"]):
        right = round(row["quantity"] * row["price"] * 100.0)
        yield Fault("amount", f"is {row['amount']!r} cents", Cure.PUT_RIGHT, {"amount": right})
    for column in ("fees", "realized_pnl", "spread", "slippage", "impact"):
        if not is_cents(row[column]):
            yield Fault(column, f"is {row[column]!r} cents", Cure.PUT_RIGHT, {column: 0})


def _command(row: Row) -> Iterator[Fault]:
    if row["kind"] not in KINDS and row["handled_at"] is None:
        yield Fault("kind", f"is {row['kind']!r}, which no engine can obey", Cure.SET_ASIDE)


def _run(row: Row) -> Iterator[Fault]:
    if row["status"] not in RUN_STATUSES:
        words = f"is {row['status']!r}, which no run can be"
        yield Fault("status", words, Cure.PUT_RIGHT, {"status": "interrupted"})
    if row["mode"] not in MODES:
        yield Fault("mode", f"is {row['mode']!r}, which no run can be", Cure.LEFT)
    if not is_cents(row["capital"]) or not row["capital"] > 0:
        yield Fault("capital", f"is {row['capital']!r} cents", Cure.LEFT)
    for column in ("config", "strategies", "sectors"):
        if not is_json(row[column]):
            yield Fault(column, "is no JSON", Cure.LEFT)


def _book(row: Row) -> Iterator[Fault]:
    if hashlib.sha256((row["account"] + row["slots"]).encode()).hexdigest() != row["checksum"]:
        yield Fault("checksum", "does not match: the book was changed by something else", Cure.LEFT)
        return
    for column in ("account", "slots"):
        if not is_json(row[column]):
            yield Fault(column, "is no JSON", Cure.LEFT)
        elif (value := _absurd(json.loads(row[column]))) is not None:
            yield Fault(column, f"holds {value:g}", Cure.LEFT)


def _memory(row: Row) -> Iterator[Fault]:
    if not is_json(row["payload"]):
        yield Fault("payload", "is no JSON", Cure.SET_ASIDE)
    elif (value := _absurd(json.loads(row["payload"]))) is not None:
        yield Fault("payload", f"holds {value:g}", Cure.SET_ASIDE)


CHECKS = {
    "runs": _run,
    "orders": _order,
    "fills": _fill,
    "commands": _command,
    "paper_books": _book,
    "risk_states": _memory,
}


# ---------------------------------------------------------------- values


def is_number(value: object) -> TypeGuard[float]:
    """Return True for a finite number; a text that looks like one is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_shares(value: object) -> TypeGuard[float]:
    """Return True for a number of shares that may be."""
    return is_number(value) and 0.0 <= value < MOST_SHARES


def is_price(value: object) -> TypeGuard[float]:
    """Return True for dollars a share that may be."""
    return is_number(value) and 0.0 < value < HIGHEST_PRICE


def is_cents(value: object) -> TypeGuard[float]:
    """Return True for an amount of money that may be, in cents."""
    return is_number(value) and abs(value) < MOST_CENTS


def is_json(text: object) -> bool:
    """Return True for text that is JSON."""
    try:
        json.loads(str(text))
    except (ValueError, RecursionError):
        return False
    return True


def _absurd(value: object) -> float | None:
    """Return the first number in a JSON value that is no amount of anything, None if there is none."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return next((found for found in map(_absurd, inside) if found is not None), None)
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) < MOST_IN_A_BOOK:
        return float(value)
    return None
