"""Why money is not invested: what a decision leaves in cash, by cause, in dollars that add up to it.

Shapes: `slots` (S,), `lots` (S, K), `weights` (K,).
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.entries import is_held
from trading_platform.core.ledger import Records, owns
from trading_platform.core.market import Signals
from trading_platform.core.plan import Book, RuleRows
from trading_platform.core.reasons import NO_REASON, REBALANCE
from trading_platform.core.risk.limits import Limits
from trading_platform.core.types import Floats
from trading_platform.core.wishes import wish_for


class Unused(NamedTuple):
    """Dollars in cash after a decision: nobody wanted them, no slot, a cap, the size's bounds, no new risk at all."""

    no_signal: float
    slots: float
    caps: float
    size: float
    halts: float


@lean
def unused_capital(
    signals: Signals, book: Book, t: int, weights: Floats, rules: RuleRows, is_open: bool, is_full: bool
) -> Unused:
    """Return what the decision at row `t` left in cash, by cause; see `unused_in`."""
    limits, equity = rules.limits[0], book.accounts[0]["equity"]
    return unused_in(equity, book.slots, book.lots, signals, t, weights, limits, is_open, is_full)


@lean
def unused_in(
    equity: float,
    slots: Records,
    lots: Records,
    signals: Signals,
    t: int,
    weights: Floats,
    limits: Limits,
    is_open: bool,
    is_full: bool,
) -> Unused:
    """Return what the decision at row `t` left in cash, by cause.

    `is_open` says whether new risk could be taken, `is_full` whether every slot is taken. What strategies do not want
    comes first; of the rest, wishes without a position count for slots or caps, and positions smaller than wished for
    caps or size.
    """
    left, wanted, full, caps, size = equity, 0.0, 0.0, 0.0, 0.0
    for s in range(len(slots)):
        slot = slots[s]
        if slot["ticker"] < 0:
            continue
        placed = slot["value"] + (slot["pending"] - slot["selling"]) * slot["price"]
        left -= placed
        wish = 0.0
        for k in range(lots.shape[1]):
            reason = lots[s, k]["exit_reason"]
            if owns(slot, k) and reason in (NO_REASON, REBALANCE):  # who leaves wants nothing
                wish += max(lots[s, k]["wish"] * equity, 0.0)
        wanted += max(wish, placed)
        caps += max(0.0, wish - max(placed, limits.max_position * equity))
        size += max(0.0, min(wish, limits.max_position * equity) - placed)
    for k in range(len(weights)):
        if not (weights[k] > 0.0):
            continue
        for n in range(signals.start[t, k], signals.start[t, k + 1]):
            if is_held(slots, signals.ticker[n]):
                continue
            share = wish_for(signals.is_target[k], signals.strength[n], weights[k], len(weights), limits.max_position)
            wish = share * equity
            wanted += wish
            if is_full:
                full += wish
            else:
                caps += wish
    left = max(0.0, left)
    no_signal = min(left, max(0.0, equity - wanted))
    rest = left - no_signal
    if not is_open:
        return Unused(no_signal, 0.0, 0.0, 0.0, rest)
    known = full + caps + size
    scale = rest / known if known > rest else 1.0
    return Unused(no_signal, full * scale, caps * scale, rest - (full + caps) * scale, 0.0)
