"""The decision at a session's close: who leaves, who is looked at, who comes in and how large.

Pure steps over one book. The kernel calls them in a compiled loop; the engine calls `next_candidate` and
`exit_reason` from Python and hands each candidate to `RiskManager`, which calls `review_entry`.
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Exits
from trading_platform.core.fills import down_to_tick, protective_prices, round_shares
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import CLOSE, VOLATILITY, Market, Signals
from trading_platform.core.risk.rules import (
    MAX_POSITIONS,
    OK,
    Limits,
    Measures,
    Verdict,
    check_entry,
    entry_headroom,
    market_verdict,
    measure_entry,
)
from trading_platform.core.risk.sizing import entry_dollars
from trading_platform.core.types import ORDER_REASONS, Floats, Ints, OrderReason

NO_REASON = ORDER_REASONS.index(OrderReason.NONE)
ENTRY = ORDER_REASONS.index(OrderReason.ENTRY)
SIGNAL_EXIT = ORDER_REASONS.index(OrderReason.SIGNAL_EXIT)
STOP_LOSS = ORDER_REASONS.index(OrderReason.STOP_LOSS)
TAKE_PROFIT = ORDER_REASONS.index(OrderReason.TAKE_PROFIT)
MAX_HOLDING = ORDER_REASONS.index(OrderReason.MAX_HOLDING)
DELISTED = ORDER_REASONS.index(OrderReason.DELISTED)


class Candidate(NamedTuple):
    """The next ticker to look at; `strategy` is -1 when there is none left."""

    strategy: int
    ticker: int
    strength: float  # of the signal, in (0, 1], before the allocation weighs it


class Entry(NamedTuple):
    """A reviewed entry: the verdict and, if it is OK, the order."""

    verdict: Verdict
    quantity: float
    limit_price: float
    stop: float
    target: float


@lean
def weighted_strength(strength: float, weight: float, n_strategies: int) -> float:
    """Return a signal's strength under an allocation, at most 1: unchanged at equal weight, 0 at weight 0."""
    return min(1.0, strength * weight * n_strategies)


@lean
def exit_reason(slot: Record, exits_at: int, max_holding: int) -> int:
    """Return why the position in `slot` should be closed at the next open; 0 = keep it. A pending exit stays pending.

    `exits_at` holds the exit flags of the slot's ticker at this session, bit k for strategy k.
    """
    if not (slot["quantity"] > 0.0):
        return NO_REASON
    if slot["exit_reason"] != NO_REASON:
        reason: int = slot["exit_reason"]
        return reason
    if (exits_at >> slot["strategy"]) & 1:
        return SIGNAL_EXIT
    if slot["held"] >= max_holding:
        return MAX_HOLDING
    return NO_REASON


@inlined
def start_candidates(signals: Signals, t: int, heads: Ints) -> None:
    """Point `heads` (K,) at the strongest candidate of each strategy at row `t`."""
    for k in range(len(heads)):
        heads[k] = signals.start[k, t]


@inlined
def next_candidate(signals: Signals, t: int, weights: Floats, slots: Records, heads: Ints) -> Candidate:
    """Take the strongest remaining candidate off the strategies' lists; ties go to the first ticker, then strategy.

    Strategies with weight 0 are skipped, and so are tickers that the book already holds or has pending.
    """
    n_strategies = len(weights)
    while True:
        best = -1
        best_weighted = 0.0
        best_strength = 0.0
        best_ticker = 0
        for k in range(n_strategies):
            if not (weights[k] > 0.0) or heads[k] >= signals.start[k, t + 1]:
                continue
            ticker = signals.ticker[heads[k]]
            strength = signals.strength[heads[k]]
            weighted = strength * weights[k]
            if best < 0 or weighted > best_weighted or (weighted == best_weighted and ticker < best_ticker):
                best, best_weighted, best_strength, best_ticker = k, weighted, strength, ticker
        if best < 0:
            return Candidate(-1, -1, 0.0)
        heads[best] += 1
        if not is_held(slots, best_ticker):
            return Candidate(best, best_ticker, best_strength)


@inlined
def first_candidate(signals: Signals, t: int, weights: Floats, slots: Records, heads: Ints) -> Candidate:
    """Point `heads` (K,) at the beginning of the lists, and take the strongest candidate: both in one call."""
    start_candidates(signals, t, heads)
    return next_candidate(signals, t, weights, slots, heads)


@lean
def any_candidate(signals: Signals, t: int, weights: Floats, slots: Records, heads: Ints) -> bool:
    """Return True if `next_candidate` would find one; nothing is taken off the lists."""
    for k in range(len(weights)):
        if not (weights[k] > 0.0):
            continue
        if signals.start[k, t + 1] - heads[k] > len(slots):  # a list names a ticker once: the book cannot hold them all
            return True
        for n in range(heads[k], signals.start[k, t + 1]):
            if not is_held(slots, signals.ticker[n]):
                return True
    return False


@lean
def is_held(slots: Records, ticker: int) -> bool:
    """Return True if a slot holds `ticker` or has it pending."""
    for s in range(len(slots)):  # noqa: SIM110 - a generator does not compile
        if slots[s]["ticker"] == ticker:
            return True
    return False


@lean
def free_slot(slots: Records) -> int:
    """Return the first empty slot, or -1."""
    for s in range(len(slots)):
        if slots[s]["ticker"] < 0:
            return s
    return -1


@lean
def entry_price(price: float, limits: Limits) -> float:
    """Return the limit price of an entry decided at `price`, in ticks: the worst to pay, on which caps hold."""
    return down_to_tick(price * (1.0 + limits.entry_collar))


@lean
def capped_dollars(
    account: Record,
    equity: float,
    strength: float,
    market: Market,
    t: int,
    ticker: int,
    measures: Measures,
    limits: Limits,
) -> float:
    """Return the notional of a new position in dollars: the wish of the sizing rules, within every cap."""
    vix = market.vix[t]
    room, _ = entry_headroom(equity, account["cash"], vix, measures, limits)
    volatility = market.bars[ticker, t, VOLATILITY]
    return min(room, entry_dollars(account, equity, strength, volatility, vix, measures, limits))


@lean
def size_entry(
    account: Record, slots: Records, market: Market, t: int, ticker: int, strength: float, equity: float, limits: Limits
) -> float:
    """Return the notional in dollars that a candidate should get at row `t`; 0 when nothing sensible can be said."""
    measures = measure_entry(slots, market, t, ticker, limits)
    return capped_dollars(account, equity, strength, market, t, ticker, measures, limits)


@lean
def check_order(
    account: Record, slots: Records, market: Market, t: int, ticker: int, quantity: float, price: float, limits: Limits
) -> Verdict:
    """Check a buy of `quantity` shares at the worst `price` against every order rule at row `t`."""
    measures = measure_entry(slots, market, t, ticker, limits)
    data = market_verdict(market, t, ticker)
    return check_entry(quantity, price, account["equity"], account["cash"], market.vix[t], measures, data, limits)


@inlined
def review_entry(
    account: Record, slots: Records, market: Market, t: int, ticker: int, strength: float, exits: Exits, limits: Limits
) -> Entry:
    """Size a candidate and check the order: `size_entry`, then `check_order`, measuring the book once."""
    if free_slot(slots) < 0:
        return Entry(Verdict(MAX_POSITIONS, len(slots) + 1.0, float(limits.max_positions)), 0.0, 0.0, 0.0, 0.0)
    measures = measure_entry(slots, market, t, ticker, limits)
    equity = account["equity"]
    price = market.bars[ticker, t, CLOSE]
    limit_price = entry_price(price, limits)
    data = market_verdict(market, t, ticker)
    quantity = 0.0
    if data.code == OK:
        dollars = capped_dollars(account, equity, strength, market, t, ticker, measures, limits)
        quantity = round_shares(dollars / limit_price, limits.share_step)
    verdict = check_entry(quantity, limit_price, equity, account["cash"], market.vix[t], measures, data, limits)
    stop, target = protective_prices(price, market.bars[ticker, t, VOLATILITY], exits)
    return Entry(verdict, quantity, limit_price, stop, target)


@lean
def plan_exits(signals: Signals, slots: Records, t: int, max_holding: int, reasons: Ints) -> None:
    """Write into `reasons` (S,) why each slot's position should be closed at the next open; 0 = keep."""
    for s in range(len(slots)):
        reasons[s] = NO_REASON
        if slots[s]["quantity"] > 0.0:
            reasons[s] = exit_reason(slots[s], signals.exits[slots[s]["ticker"], t], max_holding)
