"""What a change of strategies would trade: decided and filled on a copy of the book at last prices, by its own rules.

The copy decides as the engine would, and fills at once at the close, with costs. What a first round sells makes room
for what the next one buys, as the sessions after the change will.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import plain
from trading_platform.core.fill_log import CROSSED, new_fill_log
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import mark_slot, total_equity
from trading_platform.core.market import CLOSE, OPEN, Market, Signals
from trading_platform.core.plan import Book
from trading_platform.core.session import Rules, fill_at_open
from trading_platform.core.simulate import N_CODES, decide_session, new_scratch
from trading_platform.core.types import Floats

# A round fills the free places of the book; the second one those that the first has emptied.
MOST_ROUNDS = 4
CAUSES = ("commission", "spread", "slippage", "impact")
# One book, a few rounds: Python is quicker than having these steps compiled by themselves.
_decide, _fill = plain(decide_session), plain(fill_at_open)
_mark, _equity, _round = plain(mark_slot), plain(total_equity), plain(round_cents)


class Change(NamedTuple):
    """One strategy's trade: its number, the column, shares (sold below 0), dollars, True if another took them over."""

    strategy: int
    ticker: int
    quantity: float
    price: float
    amount: float
    crossed: bool


class Rehearsal(NamedTuple):
    """Trades in their order, dollars by cause of costs, and the book as it would be."""

    changes: tuple[Change, ...]
    costs: dict[str, float]
    book: Book


def rehearse(market: Market, signals: Signals, book: Book, t: int, weights: Floats, rules: Rules) -> Rehearsal:
    """Return what `weights` (K,) would trade at the prices of row `t`'s close; `book` is left as it is."""
    copy = Book(book.accounts.copy(), book.slots.copy(), book.lots.copy(), book.stopped.copy())
    bars = market.bars.copy()
    bars[:, t, OPEN] = bars[:, t, CLOSE]
    at_close = market._replace(bars=bars, draws=np.empty((0, 0, 0)))
    account = copy.accounts[0]
    before = {name: float(account[name]) for name in ("fees", *CAUSES)}
    scratch, denials = new_scratch(len(weights), rules.limits.max_reviews), np.zeros(N_CODES, dtype=np.int64)
    log, changes = new_fill_log(8 * copy.lots.size), []
    for _ in range(MOST_ROUNDS):
        _decide(account, copy.slots, copy.lots, copy.stopped, at_close, signals, t, weights, rules, scratch, denials)
        log.used[0] = 0
        _fill(account, copy.slots, copy.lots, copy.stopped, at_close, t, rules, log)
        for slot in copy.slots:
            if slot["ticker"] >= 0:
                _mark(slot, float(bars[slot["ticker"], t, CLOSE]))
        account["equity"] = _equity(account, copy.slots)
        rows = log.rows[: log.used[0]]
        changes += [
            Change(
                int(row["strategy"]),
                int(row["ticker"]),
                float(row["side"] * row["quantity"]),
                float(row["price"]),
                float(row["amount"]),
                bool(row["kind"] == CROSSED),
            )
            for row in rows
        ]
        if not len(rows):
            break
    spent = {name: float(_round(float(account[name]) - before[name])) for name in before}
    costs = {name: spent[name] for name in CAUSES} | {"regulatory": _round(spent["fees"] - spent["commission"])}
    return Rehearsal(tuple(changes), costs | {"total": _round(sum(costs.values()))}, copy)
