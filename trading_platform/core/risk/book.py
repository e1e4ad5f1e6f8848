"""The book that risk is measured on: RiskManager's own copy of cash, positions and pending entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import as_rows, direct
from trading_platform.core.ledger import SLOT, Record, Records
from trading_platform.core.recorded_books import as_words
from trading_platform.core.risk.caps import RuleVerdict
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.portfolio_slots import (
    add_pending,
    drop_pending,
    merged,
    move_columns,
    place_holdings,
    slot_of,
)
from trading_platform.core.simulate import SPARE_SLOTS, Books, open_books
from trading_platform.core.types import ApprovedOrder, Ints, Portfolio, Side
from trading_platform.core.view import MarketView

Rule = TypeVar("Rule", bound=Callable[..., Any])

EMPTY_SLOT = open_books(1, 1, 0, 0, 0.0).slots[0, 0]
SLOT_BYTES = np.dtype(f"V{SLOT.itemsize}")  # copied as a whole: ten times faster than field by field


class RiskBook:
    """Slots numbered as the columns of the market shown last.

    Parameters
    ----------
    limits, capital
        What governs the account, and dollars before anything has been shown.

    Attributes
    ----------
    limits, limit_rows : the limits, and the same for compiled code (`core.compiled.as_rows`).
    books : one portfolio in the kernel's form. view : the market, None before one was shown.
    account, slots : views of it, `core.ledger.ACCOUNT` and (S,) of `core.ledger.SLOT`, pending entries included.
    outside : ticker -> slot of what is held but not in that market. problems : ticker -> why it cannot be measured.
    kept_verdict : what the account rules found last, after all that it depends on; None before it was asked.
    """

    def __init__(self, limits: Limits, capital: float) -> None:
        self.limits = limits
        self.limit_rows: Records = as_rows(limits)
        self._open(open_books(1, limits.max_positions, 0, 0, capital))
        self.view: MarketView | None = None
        self.outside: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        self.kept_verdict: tuple[bytes, MarketView, tuple[float, RuleVerdict]] | None = None
        self._direct: dict[Any, Any] = {}

    def _open(self, books: Books) -> None:
        self.books = books
        self.account: Record = books.accounts[0]
        self.slots: Records = books.slots[0]
        self._cash = books.accounts["cash"]
        self._bytes = self.slots.view(SLOT_BYTES)
        self._mirrored: tuple[Records, NDArray[np.void]] | None = None  # a broker's slots, and their bytes

    def direct(self, rule: Rule) -> Rule:
        """Return a compiled `rule` as this book calls it (`core.compiled.direct`)."""
        known: Rule | None = self._direct.get(rule)
        if known is None:
            known = self._direct[rule] = direct(rule)
        return known

    def show_market(self, view: MarketView) -> None:
        """Take a market; slots are renumbered if its columns differ."""
        old, self.view = self.view, view
        if old is None or (view.tickers is not old.tickers and tuple(view.tickers) != tuple(old.tickers)):
            names = {} if old is None else dict(enumerate(old.tickers))
            move_columns(self.slots, self.outside, names, view.columns)

    def mirror(self, account: Record, slots: Records, lots: Records, stopped: Ints) -> None:
        """Copy cash, positions (S,), lots (S, K) and stop-outs (N,) of a broker's book, numbered as the market.

        Raises
        ------
        ValueError
            No market was shown before.
        """
        if self.view is None:
            raise ValueError("show_market() before mirror(): the columns of a book mean nothing without their market")
        if self._mirrored is None or self._mirrored[0] is not slots:
            self._resize(len(slots), lots.shape[1], len(stopped))
            self._mirrored = slots, slots.view(SLOT_BYTES)
        self._cash[0] = account["cash"]
        self._bytes[:] = self._mirrored[1]
        as_words(self.books.lots[0])[:] = as_words(lots)
        self.books.stopped[0] = stopped
        self.outside, self.problems = {}, {}

    def place(self, portfolio: Portfolio) -> float:
        """Take cash and holdings as shown; return the equity in dollars, NaN if it cannot be told."""
        holdings = merged(portfolio)
        n_slots = max(len(holdings), self.limits.max_positions + SPARE_SLOTS)
        self._resize(n_slots, self.books.lots.shape[2], self.books.stopped.shape[1])
        self.slots[:] = EMPTY_SLOT
        columns = {} if self.view is None else self.view.columns
        equity, self.outside, self.problems = place_holdings(holdings, portfolio.cash, columns, self.slots)
        self.account["cash"] = portfolio.cash
        return equity

    def closable(self, ticker: str, side: str) -> float:
        """Return the shares that an order of `side` would close: those held for a sell, those short for a buy."""
        s = self._slot_of(ticker)
        held = 0.0 if s is None else float(self.slots["quantity"][s])
        return max(0.0, held if side == Side.SELL else -held)

    def _slot_of(self, ticker: str) -> int | None:
        if ticker in self.outside:
            return self.outside[ticker]
        column = None if self.view is None else self.view.columns.get(ticker)
        return None if column is None else slot_of(self.slots, column)

    def count(self, orders: Iterable[ApprovedOrder]) -> None:
        """Count approved entries as pending; one that a market shown since does not have keeps new risk out."""
        for order in orders:
            intent = order.intent
            column = None if self.view is None else self.view.columns.get(intent.ticker)
            if column is None:
                self.problems[intent.ticker] = "was approved to be bought but is not in the market shown; add it"
            elif intent.limit_price is not None:
                add_pending(self.slots, column, intent.quantity, intent.limit_price)

    def discount(self, order: ApprovedOrder | None) -> None:
        """Stop counting an entry that will not be sent, if there is one."""
        column = None if self.view is None or order is None else self.view.columns.get(order.intent.ticker)
        if column is not None and order is not None:
            drop_pending(self.slots, column, order.intent.quantity)

    def _resize(self, n_slots: int, n_strategies: int, n_tickers: int) -> None:
        """Make room for more positions than are allowed (an account may hold them before we see it), and for lots."""
        old = self.books
        if (n_slots, n_strategies, n_tickers) == (len(self.slots), old.lots.shape[2], old.stopped.shape[1]):
            return
        self._open(open_books(1, n_slots - SPARE_SLOTS, n_strategies, n_tickers, 0.0))
        self.books.accounts[:], self.books.shadows[:] = old.accounts, old.shadows
        if (n_strategies, n_tickers) == (old.lots.shape[2], old.stopped.shape[1]):
            kept = min(n_slots, old.shadow_slots.shape[1])
            self.books.shadow_slots[:, :kept] = old.shadow_slots[:, :kept]
            self.books.shadow_lots[:, :kept] = old.shadow_lots[:, :kept]
            self.books.shadow_stopped[:] = old.shadow_stopped
