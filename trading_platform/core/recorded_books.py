"""The portfolio that an allocation holds at every close of a market, kept small, so that episodes can start from any.

Most lots of most books are empty, and few books are halted: what is kept are the lots that are there, and the shadows
of halted books.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.ledger import LOT, Records, clear_lot, owns
from trading_platform.core.risk.rules import UNTIL_RECOVERY
from trading_platform.core.simulate import Books
from trading_platform.core.types import Ints


class Side(NamedTuple):
    """Books of n rows: accounts (n,), slots (n, S), stopped (n, N), and the lots that are there.

    Row i has lots[start[i] : start[i + 1]], at the slots and strategies of `place` (m, 2).
    """

    accounts: Records
    slots: Records
    stopped: Ints
    start: Ints
    place: Ints
    lots: Records


class RecordedBooks(NamedTuple):
    """Portfolios at T closes; `shadow_of` (T,) is the row of `shadows` of a halted one, else -1."""

    own: Side
    shadows: Side
    shadow_of: Ints

    @property
    def accounts(self) -> Records:
        """(T,) account records."""
        return self.own.accounts

    def begin(self, books: Books, which: Ints, rows: Ints) -> None:
        """Make portfolios `which` (n,) of `books` those recorded at `rows` (n,); their total drawdown begins anew."""
        _put(self.own, rows, which, books.accounts, books.slots, books.lots, books.stopped)
        books.accounts["total_peak"][which] = books.accounts["peak_equity"][which]
        shadows = self.shadow_of[rows]
        halted = shadows >= 0  # of the others nobody looks at the shadow
        if halted.any():
            _put(
                self.shadows,
                shadows[halted],
                which[halted],
                books.shadows,
                books.shadow_slots,
                books.shadow_lots,
                books.shadow_stopped,
            )


class BookRecorder:
    """Collects the state of one portfolio, close by close."""

    def __init__(self) -> None:
        self._own: list[tuple[Records, Records, Records, Ints]] = []
        self._shadows: list[tuple[Records, Records, Records, Ints]] = []
        self._shadow_of: list[int] = []

    def note(self, books: Books) -> None:
        """Keep the first portfolio of `books` as it stands."""
        self._own.append(_taken(books.accounts, books.slots, books.lots, books.stopped))
        is_halted = bool(books.accounts["halted"][0] == UNTIL_RECOVERY)
        self._shadow_of.append(len(self._shadows) if is_halted else -1)
        if is_halted:
            parts = books.shadows, books.shadow_slots, books.shadow_lots, books.shadow_stopped
            self._shadows.append(_taken(*parts))

    def finish(self, books: Books) -> RecordedBooks:
        """Return everything noted; `books` tells the shapes."""
        n_slots, n_tickers = books.slots.shape[1], books.stopped.shape[1]
        own, shadows = (_side(rows, n_slots, n_tickers, books) for rows in (self._own, self._shadows))
        return RecordedBooks(own, shadows, np.array(self._shadow_of, dtype=np.int64))


def _taken(accounts: Records, slots: Records, lots: Records, stopped: Ints) -> tuple[Records, Records, Records, Ints]:
    return accounts[0].copy(), slots[0].copy(), _present(lots[0], slots[0]), stopped[0].copy()


def _present(lots: Records, slots: Records) -> Records:
    """Return (place, lot) of the lots of one book that are there."""
    owners = slots["owners"]
    places = [(s, k) for s in np.flatnonzero(owners).tolist() for k in range(lots.shape[1]) if owners[s] >> k & 1]
    found = np.zeros(len(places), dtype=[("s", np.int64), ("k", np.int64), ("lot", LOT)])
    for n, (s, k) in enumerate(places):
        found[n] = s, k, lots[s, k]
    return found


def _side(rows: list[tuple[Records, Records, Records, Ints]], n_slots: int, n_tickers: int, books: Books) -> Side:
    accounts = np.array([row[0] for row in rows], dtype=books.accounts.dtype)
    slots = np.array([row[1] for row in rows], dtype=books.slots.dtype).reshape(len(rows), n_slots)
    stopped = np.array([row[3] for row in rows], dtype=np.int64).reshape(len(rows), n_tickers)
    start = np.concatenate(([0], np.cumsum([len(row[2]) for row in rows]))).astype(np.int64)
    kind = [("s", np.int64), ("k", np.int64), ("lot", LOT)]
    found = np.concatenate([row[2] for row in rows]) if rows else np.zeros(0, dtype=kind)
    place = np.stack([found["s"], found["k"]], axis=1).astype(np.int64)
    return Side(accounts, slots, stopped, start, place, np.ascontiguousarray(found["lot"]))


def _put(side: Side, rows: Ints, which: Ints, accounts: Records, slots: Records, lots: Records, stopped: Ints) -> None:
    """Write recorded `rows` into books `which`; their lots are cleared first."""
    stopped[which, : side.stopped.shape[1]] = side.stopped[rows]
    put_books(side.accounts, side.slots, side.start, side.place, side.lots, rows, which, accounts, slots, lots)


@lean
def put_books(
    from_accounts: Records,
    from_slots: Records,
    start: Ints,
    place: Ints,
    from_lots: Records,
    rows: Ints,
    which: Ints,
    accounts: Records,
    slots: Records,
    lots: Records,
) -> None:
    """Copy recorded accounts, slots and lots at `rows` (n,) into books `which` (n,)."""
    for i in range(len(rows)):
        row, e = rows[i], which[i]
        for s in range(slots.shape[1]):
            if slots[e, s]["owners"] != 0:
                for k in range(lots.shape[2]):
                    if owns(slots[e, s], k):
                        clear_lot(slots[e, s], lots[e, s, k], k)
            slots[e, s] = from_slots[row, s]
        accounts[e] = from_accounts[row]
        for n in range(start[row], start[row + 1]):
            lots[e, place[n, 0], place[n, 1]] = from_lots[n]


def as_words(records: Records) -> Ints:
    """Return a view of contiguous `records` (n, ...) as words (n, m), which numpy copies at once and not by field."""
    words: Ints = records.view(np.int64).reshape(len(records), -1)
    return words
