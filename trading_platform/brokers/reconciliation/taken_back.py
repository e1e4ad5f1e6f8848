"""Corporate actions that the broker cancels after they were booked: the book becomes what it would be without them.

Money, shares, basis and statistics go back by what the action had changed, so whatever else has happened since stays.
Stops and targets that nothing has moved since are those of before; one that was moved goes along in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trading_platform.brokers.reconciliation.settlement_news import Booked
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE, UndoneAction
from trading_platform.core.booking import tidy_slot
from trading_platform.core.compiled import plain
from trading_platform.core.fills import round_cents, to_tick
from trading_platform.core.ledger import LOT, SHARE_NOISE, SLOT, Record, Records, clear_lot, mark_slot, owns
from trading_platform.core.plan import Book

# Sums of the account that a corporate action moves, and those of a lot: shares first, then dollars.
OF_ACCOUNT = ("cash", "realized_pnl", "fees", "dividends", "cash_flow", "traded")
SHARES_OF_LOT = ("quantity", "bought")
DOLLARS_OF_LOT = ("cost", "bought_amount", "sold_amount", "fees", "market_costs", "dividends")
LEVELS = ("stop", "target", "peak")
EMPTY = -1

_clear_lot, _tidy, _mark, _owns = plain(clear_lot), plain(tidy_slot), plain(mark_slot), plain(owns)
_cents, _tick = plain(round_cents), plain(to_tick)


@dataclass(frozen=True, slots=True)
class BookedAction:
    """A corporate action in our book: what would take it back, the book before and after it, and the sales it told."""

    back: UndoneAction
    before: Book
    after: Book
    sales: tuple[Booked, ...] = ()


def may_go_back(action: BookedAction, book: Book, columns: Mapping[str, int]) -> bool:
    """Return True if the book still has the shares that the action brought, and room for those that it took."""
    free = int((book.slots["ticker"] == EMPTY).sum())
    for ticker, quantity in action.back.moved:
        column = columns.get(ticker, EMPTY)
        s = place_of(book, column)
        if column == EMPTY or (quantity < 0.0 and not _has(action, book, column, s)):
            return False
        if quantity > 0.0 and s < 0:
            free -= 1
        elif quantity < 0.0 and float(book.slots[s]["quantity"]) + quantity <= SHARE_TOLERANCE:
            free += 1
    return free >= 0


def go_back(action: BookedAction, book: Book, columns: Mapping[str, int]) -> None:
    """Change `book` to what it would be without `action`; the caller has asked `may_go_back`."""
    record, before, after = book.accounts[0], action.before, action.after
    for name in OF_ACCOUNT:
        record[name] = _cents(record[name] + before.accounts[0][name] - after.accounts[0][name])
    age, moved = _sessions_since(after, book), {columns[ticker]: quantity for ticker, quantity in action.back.moved}
    held = {int(column) for state in (before, after) for column in state.slots["ticker"] if column != EMPTY}
    gone = [column for column, quantity in moved.items() if quantity < 0.0]
    factors = [_factors(action, book, column) for column in gone]
    changed = [column for column in held if (_lots(before, column) != _lots(after, column)).any()]
    for column in sorted(changed, key=lambda column: (moved.get(column, 0.0), column)):  # what goes makes room
        _restore(action, book, column, age, factors[0] if factors else None)


def place_of(book: Book, column: int) -> int:
    """Return the slot of a column, -1 if there is none."""
    held: list[int] = book.slots["ticker"].tolist()
    return held.index(column) if column != EMPTY and column in held else EMPTY


def _has(action: BookedAction, book: Book, column: int, s: int) -> bool:
    """Return True if every lot of slot `s` still has what the action gave it."""
    if s < 0:
        return False
    came = _lots(action.after, column)["quantity"] - _lots(action.before, column)["quantity"]
    return bool((book.lots[s]["quantity"] + SHARE_TOLERANCE >= came).all())


def _lots(book: Book, column: int) -> Records:
    """Return the lots (K,) of a column, empty ones if the book does not have it."""
    s = place_of(book, column)
    return np.zeros(book.lots.shape[1], dtype=LOT) if s < 0 else book.lots[s]


def _slot(book: Book, column: int) -> Record:
    s = place_of(book, column)
    return np.zeros(1, dtype=SLOT)[0] if s < 0 else book.slots[s]


def _sessions_since(after: Book, book: Book) -> int:
    """Return the closes since the action, as positions that were there then have lived through; 0 without any."""
    ages = [0]
    for slot in after.slots[after.slots["quantity"] > 0.0]:
        s = place_of(book, int(slot["ticker"]))
        if s >= 0 and book.slots[s]["entry_day"] == slot["entry_day"]:
            ages.append(int(book.slots[s]["held"] - slot["held"]))
    return max(ages)


def _factors(action: BookedAction, book: Book, column: int) -> list[dict[str, float]]:
    """Return by lot how far its levels in a column have moved since the action, 1 where they stand."""
    pairs = zip(_lots(book, column), _lots(action.after, column), strict=True)
    return [{name: _ratio(float(now[name]), float(made[name])) for name in LEVELS} for now, made in pairs]


def _ratio(now: float, made: float) -> float:
    return now / made if made > 0.0 and now > 0.0 else 1.0


def _restore(action: BookedAction, book: Book, column: int, age: int, factors: list[dict[str, float]] | None) -> None:
    was, then = _slot(action.before, column), _lots(action.before, column)
    made = _lots(action.after, column)
    s = place_of(book, column)
    if s < 0 and not then["quantity"].sum() > made["quantity"].sum():
        return  # a parent that was sold since has no basis any more
    if s < 0:
        s = book.slots["ticker"].tolist().index(EMPTY)
        book.slots[s], book.lots[s] = was, np.zeros(1, dtype=LOT)[0]
        book.slots[s]["owners"] = 0
        book.slots[s]["held"] += age
    slot, lots = book.slots[s], book.lots[s]
    for k in range(len(lots)):
        _restore_lot(slot, lots, k, then[k], made[k], None if factors is None else factors[k])
    slot["quantity"] = math.fsum(lots["quantity"])
    for name in ("cost", "dividends"):
        slot[name] = _cents(math.fsum(lots[name]))
    _mark(slot, float(slot["price"]))
    _tidy(book.slots, book.lots, s)


def _restore_lot(
    slot: Record, lots: Records, k: int, was: Record, made: Record, factors: Mapping[str, float] | None
) -> None:
    """Take from lot `k` of `lots` (K,) what an action made of it: `was` before, `made` after.

    `factors` are those of what it had become, whose levels may have moved.
    """
    if was == made:
        return
    lot = lots[k]
    if not _owns(slot, k):
        lots[k] = was
        lot["delta"] = min(0.0, float(was["delta"]))  # what was to be bought is not bought any more
        for name, factor in (factors or {}).items():
            if factor != 1.0:
                lot[name] = _tick(float(was[name]) * factor)
        slot["owners"] |= 1 << k
        return
    for name in SHARES_OF_LOT:
        lot[name] += was[name] - made[name]
    for name in DOLLARS_OF_LOT:
        lot[name] = _cents(lot[name] + was[name] - made[name])
    if not lot["quantity"] > SHARE_NOISE:
        _clear_lot(slot, lot, k)
        return
    for name in LEVELS:
        lot[name] = _moved_back(float(lot[name]), float(was[name]), float(made[name]))
    lot["delta"] = max(float(lot["delta"]), -float(lot["quantity"]))


def _moved_back(now: float, was: float, made: float) -> float:
    if now == made or not made > 0.0:
        return was
    return float(_tick(now * was / made))
