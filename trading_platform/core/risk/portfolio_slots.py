"""How an account as a person or a broker shows it becomes the slots that the rules measure.

Nothing is guessed. A holding that cannot be valued makes equity NaN; one that cannot be measured (not in the market, a
pending order without a price, a quantity that is no number) is a problem that keeps new risk out.

Shapes: `slots` (S,), records of `core.ledger.SLOT`; quantities are shares, prices dollars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from trading_platform.core.compiled import plain
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import SHARE_NOISE, Records, clear_slot, reserve
from trading_platform.core.types import Holding, Portfolio

ABSURD = 1e15  # dollars or shares; more than all the money there is
EMPTY = -1  # the column of an empty slot
_clear, _reserve = plain(clear_slot), plain(reserve)  # a few assignments: not worth a compiled call


class ShownBook(NamedTuple):
    """`equity` in dollars (NaN = unknown); `outside` ticker -> slot of holdings that the market does not have."""

    equity: float
    outside: dict[str, int]
    problems: dict[str, str]


def merged(portfolio: Portfolio) -> list[Holding]:
    """Return one holding a ticker: a position and pending orders may be listed apart."""
    found: dict[str, Holding] = {}
    for item in portfolio.holdings:
        first = found.get(item.ticker)
        if first is not None:
            pending = first.pending + item.pending
            worst = max(first.limit_price, item.limit_price)
            if any(part.pending > 0.0 and not part.limit_price > 0.0 for part in (first, item)):
                worst = math.nan
            price = first.price if first.quantity != 0.0 or not item.price > 0.0 else item.price
            item = Holding(
                item.ticker, first.quantity + item.quantity, price, pending, worst, first.selling + item.selling
            )
        found[item.ticker] = item
    return list(found.values())


def place_holdings(holdings: list[Holding], cash: float, columns: Mapping[str, int], slots: Records) -> ShownBook:
    """Fill empty `slots` (at least as many as holdings) and return the equity and what stands in the way of it."""
    outside: dict[str, int] = {}
    problems: dict[str, str] = {}
    equity = cash if abs(cash) < ABSURD else math.nan
    if math.isnan(equity):
        problems["cash"] = f"was shown as {cash:g}"
    for s, item in enumerate(holdings):
        slot = slots[s]
        slot["ticker"] = columns.get(item.ticker, -1)
        if slot["ticker"] < 0:
            outside[item.ticker] = s
        slot["quantity"], slot["pending"] = item.quantity, item.pending
        slot["limit_price"], slot["price"] = item.limit_price, item.price
        value = 0.0 if item.quantity == 0.0 else item.quantity * item.price
        known = item.quantity == 0.0 or (item.price > 0.0 and abs(value) < ABSURD)
        slot["value"] = round_cents(value) if known else math.nan
        if not known:
            problems[item.ticker] = f"is held at a price of {item.price:g}"
        equity += slot["value"]
        if not 0.0 <= item.pending < ABSURD or (item.pending > 0.0 and not 0.0 < item.limit_price < ABSURD):
            problems[item.ticker] = f"has a pending order of {item.pending:g} shares at an unknown worst price"
        if not abs(item.quantity) < ABSURD:
            problems[item.ticker] = f"is held in a quantity of {item.quantity:g}"
    return ShownBook(round_cents(float(equity)) if abs(equity) < ABSURD else math.nan, outside, problems)


def move_columns(slots: Records, outside: dict[str, int], old: Mapping[int, str], new: Mapping[str, int]) -> None:
    """Renumber the slots of a book for a market with other columns; `outside` gains and loses tickers."""
    places = dict(outside)
    places |= {old[int(slot["ticker"])]: s for s, slot in enumerate(slots) if slot["ticker"] >= 0}
    outside.clear()
    for ticker, s in places.items():
        slots[s]["ticker"] = new.get(ticker, -1)
        if ticker not in new:
            outside[ticker] = s


def slot_of(slots: Records, column: int) -> int | None:
    """Return the first slot that holds `column` or has it pending (-1: the first empty one); None if there is none."""
    columns: list[int] = slots["ticker"].tolist()
    return columns.index(column) if column in columns else None


def add_pending(slots: Records, column: int, quantity: float, worst: float) -> None:
    """Count an approved entry of `quantity` shares at the worst price `worst` as pending."""
    if (s := slot_of(slots, column)) is not None:
        slot = slots[s]
        pending = slot["pending"] + quantity
        slot["limit_price"] = (slot["pending"] * slot["limit_price"] + quantity * worst) / pending
        slot["pending"] = pending
    elif (s := slot_of(slots, EMPTY)) is not None:
        _reserve(slots[s], column, quantity, worst, worst)


def drop_pending(slots: Records, column: int, quantity: float) -> None:
    """Stop counting an entry that was approved and will not be sent."""
    for slot in slots:
        if slot["ticker"] == column:
            slot["pending"] = max(0.0, slot["pending"] - quantity)
            if slot["pending"] <= SHARE_NOISE and slot["quantity"] == 0.0:
                _clear(slot)
