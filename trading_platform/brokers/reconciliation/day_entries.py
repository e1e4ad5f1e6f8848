"""What has been booked since the last settlement, entry by entry, and the book before it.

At the settlement the session is booked once more from its beginning, in full knowledge: an entry is told when it is
told, but the opening price, at which strategies trade with each other, is known at the end only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, TypeAlias

from trading_platform.brokers.reconciliation.settlement_news import News
from trading_platform.brokers.reconciliation.two_books import (
    CashFlow,
    Exchange,
    ForeignFill,
    ShareChange,
    UndoneAction,
)
from trading_platform.core.ledger import Records
from trading_platform.core.plan import Book
from trading_platform.core.ports import JournalOrder
from trading_platform.core.types import Fill


@dataclass(frozen=True, slots=True)
class FillEntry:
    """An execution of one of our orders, with the order's row where it is known."""

    fill: Fill
    order: JournalOrder | None


@dataclass(frozen=True, slots=True)
class CashOut:
    """Shares that were taken for money without a trade."""

    change: ShareChange
    flow: CashFlow


@dataclass(frozen=True, slots=True)
class AdoptedShares:
    """Shares that came or went (negative) unexplained, or by a transfer; `name` tells it from others."""

    ticker: str
    change: float
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AdoptedCash:
    """Dollars that came unexplained, or by rounding."""

    amount: float
    is_rounding: bool


@dataclass(frozen=True, slots=True)
class ManualMove:
    """Shares of the owner's own that came or went, and the dollars that this brought to the book."""

    ticker: str
    quantity: float
    cash: float


Entry: TypeAlias = (
    FillEntry
    | ForeignFill
    | CashFlow
    | ShareChange
    | Exchange
    | CashOut
    | UndoneAction
    | AdoptedShares
    | AdoptedCash
    | ManualMove
)


class Morning(NamedTuple):
    """The book before the first entry."""

    book: Book
    manual: dict[str, float]
    news: News


class Evening(NamedTuple):
    """The book at the close of `session` with nothing decided yet, and the entries that brought it there."""

    session: date
    book: Book
    entries: tuple[Entry, ...]


def copied(book: Book) -> Book:
    """Return a book that changes by itself."""
    return Book(book.accounts.copy(), book.slots.copy(), book.lots.copy(), book.stopped.copy())


@dataclass(slots=True)
class Day:
    """The entries since the last settlement; `opening` (1,) is the account record at it."""

    opening: Records
    entries: list[Entry] = field(default_factory=list)
    morning: Morning | None = None
