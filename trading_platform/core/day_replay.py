"""One day of an account as the kernel would have it: the decision at a close, and the session after it.

The kernel's own steps run on a copy of the account's book, in plain Python: once a day nothing has to be compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import as_rows, plain
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.ledger import Record
from trading_platform.core.market import Market, Signals
from trading_platform.core.plan import Book
from trading_platform.core.round_trips import LoggedFill, account_flows
from trading_platform.core.session import Rules, settle_book
from trading_platform.core.simulate import N_CODES, decide_session, new_scratch
from trading_platform.core.types import Floats, Flows

_decide, _settle = plain(decide_session), plain(settle_book)


class PlayedDay(NamedTuple):
    """A session as the kernel has run it: the book at its close, the fills, and what moved money beside them."""

    book: Book
    fills: tuple[LoggedFill, ...]
    flows: Flows


def copy_of(book: Book) -> Book:
    """Return a book that changes by itself."""
    return Book(book.accounts.copy(), book.slots.copy(), book.lots.copy(), book.stopped.copy())


def decide_day(
    book: Book, account: Record, market: Market, signals: Signals, t: int, weights: Floats, rules: Rules
) -> Book:
    """Return `book` with what the kernel decides at the close of row `t` under `weights` (K,).

    `account` is the record that the risk rules read; the book's own has the money. Both stay as they are.
    """
    decided, known = copy_of(book), book.accounts.copy()
    known[0] = account
    scratch = new_scratch(len(weights), rules.limits.max_reviews)
    denials = np.zeros(N_CODES, dtype=np.int64)
    with np.errstate(all="ignore"):
        _decide(
            known[0], decided.slots, decided.lots, decided.stopped, market, signals, t, weights, rules, scratch, denials
        )
    return decided


def play_day(decided: Book, market: Market, t: int, rules: Rules) -> PlayedDay:
    """Return session `t` as the kernel runs it from a book that has been decided for it; the book stays as it is."""
    book, n_strategies = copy_of(decided), decided.lots.shape[1]
    before, log = book.accounts[0].copy(), new_fill_log(4 * len(book.slots) * (n_strategies + 1))
    rows = as_rows(rules.limits), as_rows(rules.exits), as_rows(rules.costs)
    with np.errstate(all="ignore"):
        _settle(market, book.accounts, book.slots, book.lots, book.stopped, t, *rows, log)
    fills = tuple(LoggedFill._make(row) for row in log.rows[: log.used[0]].tolist())
    return PlayedDay(book, fills, account_flows(before, book.accounts[0]))
