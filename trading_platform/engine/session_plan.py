"""The engine's hand on the decision core: one book, one session's signals and weights, the core's own steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trading_platform.core.candidate_queue import CandidateQueue
from trading_platform.core.compiled import as_rows, direct, plain
from trading_platform.core.entries import Candidate, entry_price
from trading_platform.core.leaving import send_away
from trading_platform.core.market import CLOSE, Market, Signals
from trading_platform.core.plan import (
    Book,
    RuleRows,
    growing_slot,
    growth,
    place_entry,
    plan_flatten,
    plan_lots,
    raw_wishes,
    slot_for_entry,
    slot_to_leave,
    withdraw_entry,
    withdraw_exit,
)
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats
from trading_platform.core.unused_capital import unused_capital

_entry_price, _send_away = plain(entry_price), plain(send_away)


class SessionPlan:
    """What is decided at one close, step by step; orders stand in the book until the broker has taken or refused them.

    Parameters
    ----------
    book
        The broker's own book; every step changes it in place.
    rules
        Limits, exits and sizing.
    n_strategies
        K.
    """

    def __init__(self, book: Book, rules: Rules, n_strategies: int) -> None:
        self.book = book
        self._limits = rules.limits
        self._rules = RuleRows(as_rows(rules.limits), as_rows(rules.exits), as_rows(rules.sizing))
        self._queue = CandidateQueue(n_strategies)
        self._strengths, self._fixed = np.zeros(n_strategies), np.zeros(n_strategies)
        self._plan_lots, self._flatten = direct(plan_lots), direct(plan_flatten)
        self._growing, self._growth = direct(growing_slot), direct(growth)
        self._raw_wishes, self._place_entry = direct(raw_wishes), direct(place_entry)
        self._withdraw_entry, self._withdraw_exit = direct(withdraw_entry), direct(withdraw_exit)
        self._slot_for_entry, self._slot_to_leave = direct(slot_for_entry), direct(slot_to_leave)
        self._unused = direct(unused_capital)

    def begin(self, market: Market, signals: Signals, t: int, weights: Floats) -> None:
        """Take the session to be decided: its row, and the split of capital (K,)."""
        self._market, self._signals, self._t, self._weights = market, signals, t, weights

    def review_lots(self) -> None:
        """Decide who leaves and who is trimmed."""
        self._plan_lots(self._market, self.book, self._signals, self._t, self._weights, self._rules)

    def flatten(self, reason: int, column: int = -1) -> None:
        """Let the position in a ticker, or every position, leave at the next open."""
        self._flatten(self.book, reason, column)

    def pause(self, paused: Sequence[bool]) -> None:
        """Let strategies (K,) take nothing new at this close; what they hold goes on."""
        if any(paused):
            self._weights = np.where(paused, 0.0, self._weights)

    def growing(self) -> Iterator[int]:
        """Yield the slots of positions of which more may be wanted."""
        s = -1
        while True:
            s = self._growing(self._market, self.book, self._signals, self._t, self._weights, self._rules, s + 1)
            if s < 0:
                return
            yield s

    def wishes(self, s: int, ticker: int) -> tuple[list[float], list[float]]:
        """Return what each strategy says of column `ticker`, in slot `s`: raw strengths, and shares that lots keep."""
        self._raw_wishes(
            self._market, self.book, self._signals, self._t, self._weights, s, ticker, self._strengths, self._fixed
        )
        return self._strengths.tolist(), self._fixed.tolist()

    def is_target(self, k: int) -> bool:
        """Return True if strategy `k` says target weights."""
        return bool(self._signals.is_target[k])

    def limit_price(self, ticker: int) -> float:
        """Return the worst price at which column `ticker` is bought."""
        return float(_entry_price(float(self._market.bars[ticker, self._t, CLOSE]), self._limits))

    def growth_shares(self, s: int, dollars: float, limit_price: float) -> float:
        """Return the shares that strategies buy of the position in slot `s`, which may grow by `dollars`."""
        return float(
            self._growth(
                self._market,
                self.book,
                self._signals,
                self._t,
                self._weights,
                self._rules,
                s,
                float(dollars),
                limit_price,
            )
        )

    def enter(self, s: int, ticker: int, quantity: float, limit_price: float) -> None:
        """Put a buy into slot `s`, divided among the strategies that want it."""
        self._place_entry(
            self._market,
            self.book,
            self._signals,
            self._t,
            self._weights,
            self._rules,
            s,
            ticker,
            quantity,
            limit_price,
        )

    def withdraw_entry(self, s: int) -> None:
        """Take back what slot `s` was to buy."""
        self._withdraw_entry(self.book, s)

    def withdraw_exit(self, s: int) -> None:
        """Take back what slot `s` was to sell."""
        self._withdraw_exit(self.book, s)

    def candidates(self, most: int) -> Iterator[Candidate]:
        """Yield candidates, strongest first, each ticker once."""
        book = self.book
        return self._queue.strongest(
            self._signals, self._t, self._weights, book.slots, book.stopped, self._market.day, self._rules.limits, most
        )

    def slot_for_entry(self) -> int:
        """Return the slot that a new position would take, -1 if the book is full."""
        return int(self._slot_for_entry(self.book, self._rules))

    def make_room(self, rival: int) -> int:
        """Let the weakest position leave if much more is wanted of column `rival`; return its slot, or -1."""
        s = self._slot_to_leave(self._market, self.book, self._signals, self._t, self._weights, self._rules, rival)
        if s >= 0:
            _send_away(self.book.slots, self.book.lots, s)
        return int(s)

    def unused(self, *, is_open: bool) -> tuple[float, ...]:
        """Return what the decision left in cash, dollars by cause, in the order of `core.unused_capital.Unused`."""
        full = self.slot_for_entry() < 0
        found = self._unused(self._signals, self.book, self._t, self._weights, self._rules, is_open, full)
        return tuple(round(value, 2) for value in found)
