"""The steps of a decision as the engine calls them from Python: one compiled call each, rules handed over as rows.

They are the very steps of `core.simulate.decide_session`; between them the engine asks `RiskManager`.

Shapes: as `Book` and `RuleRows` have them; `weights` (K,) is the allocation of K strategies.
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.booking import ask_all_out, drop_buys, net_order, tidy_slot
from trading_platform.core.compiled import lean
from trading_platform.core.entries import free_slot
from trading_platform.core.growth import growth_shares, has_room, may_grow, position_bound, share_out
from trading_platform.core.leaving import review_lots, weakest_slot
from trading_platform.core.ledger import Records, owns, reserve, settle_levels
from trading_platform.core.market import CLOSE, Market, Signals
from trading_platform.core.reasons import NO_REASON
from trading_platform.core.risk.caps import OK
from trading_platform.core.risk.rules import market_verdict
from trading_platform.core.types import Floats, Ints
from trading_platform.core.wishes import lacking_share, raw_wish


class Book(NamedTuple):
    """One portfolio as arrays: accounts (1,), slots (S,), lots (S, K), stopped (N,)."""

    accounts: Records
    slots: Records
    lots: Records
    stopped: Ints


class RuleRows(NamedTuple):
    """Limits, exits and sizing, each as `core.compiled.as_rows` gives it."""

    limits: Records
    exits: Records
    sizing: Records


@lean
def plan_lots(market: Market, book: Book, signals: Signals, t: int, weights: Floats, rules: RuleRows) -> None:
    """Decide who leaves and who is trimmed (`core.leaving.review_lots`); the orders are in the slots."""
    limits, sizing = rules.limits[0], rules.sizing[0]
    review_lots(book.accounts[0], book.slots, book.lots, market, signals, t, weights, limits, sizing)


@lean
def plan_flatten(book: Book, reason: int, column: int) -> None:
    """Let the position in ticker `column` (-1: every position) leave at the next open, for `reason`."""
    for s in range(len(book.slots)):
        if book.slots[s]["quantity"] > 0.0 and (column < 0 or book.slots[s]["ticker"] == column):
            ask_all_out(book.slots, book.lots, s, reason)
            net_order(book.slots, book.lots, s)


@lean
def growing_slot(
    market: Market, book: Book, signals: Signals, t: int, weights: Floats, rules: RuleRows, first: int
) -> int:
    """Return the first slot from `first` on of whose position more may be wanted, -1 if there is none."""
    account, sizing, limits = book.accounts[0], rules.sizing[0], rules.limits[0]
    most = position_bound(account, market.vix[t], limits)
    for s in range(first, len(book.slots)):
        slot = book.slots[s]
        if not (slot["quantity"] > 0.0) or not has_room(account, slot, market, t, most, limits, sizing):
            continue
        if may_grow(account, slot, book.lots[s], book.stopped, market.day, signals, t, weights, sizing):
            return s
    return -1


@lean
def raw_wishes(
    market: Market,
    book: Book,
    signals: Signals,
    t: int,
    weights: Floats,
    s: int,
    ticker: int,
    strengths: Floats,
    fixed: Floats,
) -> None:
    """Write what each strategy says of `ticker`, which is or will be in slot `s`, into `strengths` and `fixed` (K,).

    `strengths` are signals or target weights before the allocation weighs them; `fixed` is the share of equity that a
    lot of a signal keeps.
    """
    slot, lots = book.slots[s], book.lots[s]
    for k in range(len(weights)):
        raw = raw_wish(book.accounts[0], slot, lots, book.stopped, market.day, k, signals, t, ticker, weights)
        strengths[k], fixed[k] = raw.strength, raw.kept


@lean
def growth(
    market: Market,
    book: Book,
    signals: Signals,
    t: int,
    weights: Floats,
    rules: RuleRows,
    s: int,
    dollars: float,
    limit_price: float,
) -> float:
    """Return the shares that strategies buy of the position in slot `s`, which may grow by `dollars`."""
    account, slot, limits = book.accounts[0], book.slots[s], rules.limits[0]
    most = limits.max_position
    lacking = lacking_share(account, slot, book.lots[s], book.stopped, market.day, signals, t, weights, most)
    if market_verdict(market, t, slot["ticker"]).code != OK:
        lacking = 0.0
    lacking *= account["equity"]
    return growth_shares(slot, book.lots[s], dollars, lacking, limit_price, limits, rules.sizing[0])


@lean
def place_entry(
    market: Market,
    book: Book,
    signals: Signals,
    t: int,
    weights: Floats,
    rules: RuleRows,
    s: int,
    ticker: int,
    quantity: float,
    limit_price: float,
) -> None:
    """Put a buy of `quantity` shares into slot `s`, empty or holding `ticker`, divided among those who want it."""
    account, slot, limits = book.accounts[0], book.slots[s], rules.limits[0]
    if slot["ticker"] < 0:
        reserve(slot, ticker, quantity, limit_price, market.bars[ticker, t, CLOSE])
    most = limits.max_position
    lacking = lacking_share(account, slot, book.lots[s], book.stopped, market.day, signals, t, weights, most)
    share_out(
        account,
        book.slots,
        book.lots,
        book.stopped,
        s,
        quantity,
        limit_price,
        lacking,
        market,
        signals,
        t,
        weights,
        rules.exits[0],
        limits,
    )


@lean
def withdraw_entry(book: Book, s: int) -> None:
    """Take back what slot `s` was to buy: it was refused."""
    drop_buys(book.slots, book.lots, s)
    tidy_slot(book.slots, book.lots, s)


@lean
def withdraw_exit(book: Book, s: int) -> None:
    """Take back what slot `s` was to sell."""
    for k in range(book.lots.shape[1]):
        if owns(book.slots[s], k) and book.lots[s, k]["delta"] < 0.0:
            book.lots[s, k]["delta"] = 0.0
            book.lots[s, k]["exit_reason"] = NO_REASON
    net_order(book.slots, book.lots, s)
    settle_levels(book.slots[s], book.lots[s])


@lean
def slot_for_entry(book: Book, rules: RuleRows) -> int:
    """Return the slot that a new position would take, -1 if the book is full."""
    return free_slot(book.slots, rules.limits[0])


@lean
def slot_to_leave(
    market: Market, book: Book, signals: Signals, t: int, weights: Floats, rules: RuleRows, rival: int
) -> int:
    """Return the slot whose position should make room for ticker `rival`, -1 if none should."""
    if market_verdict(market, t, rival).code != OK:
        return -1
    return weakest_slot(
        book.accounts[0],
        book.slots,
        book.lots,
        book.stopped,
        market.day,
        signals,
        t,
        weights,
        rival,
        rules.limits[0],
        rules.sizing[0],
    )
