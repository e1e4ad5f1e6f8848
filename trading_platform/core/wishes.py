"""What strategies want of a ticker, as shares of the account's equity: the first question of every decision.

A strategy's *wish* for a ticker is a share of the account's equity. All wishes for a ticker are added before it is
sized (`docs/decisions/0001-lots-targets-and-netting.md`).

Shapes: `weights` (K,) is the allocation of K strategies, `stopped` (N,) the day on which each ticker was last stopped
out, `day` (T,) the sessions' days since 1970; `lots` (K,) are those of the slot at hand.
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.costs import Protection
from trading_platform.core.ledger import Record, Records, owns
from trading_platform.core.market import WANTS, Signals
from trading_platform.core.reasons import NO_REASON, REBALANCE
from trading_platform.core.types import Floats, Ints

# Far more than floats lose in a sum: a bound with so much room is a bound however it was summed.
ROUNDING = 1e-9


class RawWish(NamedTuple):
    """What a strategy says of a ticker before the allocation weighs it; one of the two is 0."""

    kept: float  # share of equity that a lot of a signal has and keeps
    strength: float  # of a signal that wants to enter, or the target weight


@lean
def weighted_strength(strength: float, weight: float, n_strategies: int) -> float:
    """Return a signal's strength under an allocation, at most 1: unchanged at equal weight, 0 at weight 0."""
    return min(1.0, strength * weight * n_strategies)


@lean
def wish_for(is_target: int, strength: float, weight: float, n_strategies: int, max_position: float) -> float:
    """Return the share of equity that a strategy with capital `weight` wants: of a target, or of a signal."""
    if is_target != 0:
        return strength * weight
    return weighted_strength(strength, weight, n_strategies) * max_position


@lean
def strength_of(signals: Signals, k: int, t: int, ticker: int) -> float:
    """Return the strength that strategy `k` has for `ticker` at row `t`, 0 if it is not in its list."""
    for n in range(signals.start[t, k], signals.start[t, k + 1]):
        if signals.ticker[n] == ticker:
            strength: float = signals.strength[n]
            return strength
    return 0.0


@lean
def wants_it(signals: Signals, k: int, t: int, ticker: int) -> bool:
    """Return True if strategy `k` has `ticker` in its list of row `t`."""
    return bool((signals.flags[ticker, t, WANTS] >> k) & 1)


@lean
def concerned(signals: Signals, slot: Record, t: int, ticker: int) -> int:
    """Return as bits the strategies that may want `ticker`, which is or will be in `slot`; the others want nothing."""
    bits: int = signals.flags[ticker, t, WANTS] | slot["owners"]
    return bits


STOP_VOLATILITIES, MIN_STOP, MAX_STOP, TARGET_VOLATILITIES, TRAILING, HOLDING, COOLING = range(7)


@lean
def protection_of(signals: Signals, k: int) -> Protection:
    """Return how strategy `k` protects its positions."""
    row = signals.protection[k]
    return Protection(
        row[STOP_VOLATILITIES],
        row[MIN_STOP],
        row[MAX_STOP],
        row[TARGET_VOLATILITIES],
        row[TRAILING],
        int(row[HOLDING]),
        int(row[COOLING]),
    )


@lean
def cools(signals: Signals, k: int, stopped: Ints, day: Ints, ticker: int, t: int) -> bool:
    """Return True while strategy `k` does not buy back a ticker that was stopped out on day stopped[ticker].

    `day` (T,) are the days of the sessions: rows are not remembered, since a live market is loaded anew each session.
    """
    first = t - int(signals.protection[k, COOLING])
    return first < t and (first < 0 or stopped[ticker] > day[first])


@lean
def raw_wish(
    account: Record,
    slot: Record,
    lots: Records,
    stopped: Ints,
    day: Ints,
    k: int,
    signals: Signals,
    t: int,
    ticker: int,
    weights: Floats,
) -> RawWish:
    """Return what strategy `k` says of `ticker`, which is or will be in `slot`: a lot of a signal wants what it has."""
    held = owns(slot, k) and lots[k]["quantity"] > 0.0 and slot["ticker"] == ticker
    if held and lots[k]["exit_reason"] != NO_REASON and lots[k]["exit_reason"] != REBALANCE:
        return RawWish(0.0, 0.0)
    if held and signals.is_target[k] == 0:
        return RawWish(lots[k]["quantity"] * slot["price"] / account["equity"], 0.0)
    if not (weights[k] > 0.0) or not wants_it(signals, k, t, ticker):
        return RawWish(0.0, 0.0)
    if not held and cools(signals, k, stopped, day, ticker, t):
        return RawWish(0.0, 0.0)
    return RawWish(0.0, strength_of(signals, k, t, ticker))


@lean
def wish_of_lot(
    account: Record,
    slot: Record,
    lots: Records,
    stopped: Ints,
    day: Ints,
    k: int,
    signals: Signals,
    t: int,
    ticker: int,
    weights: Floats,
    max_position: float,
) -> float:
    """Return the share of equity that strategy `k` wants in `ticker`, as the allocation weighs it."""
    raw = raw_wish(account, slot, lots, stopped, day, k, signals, t, ticker, weights)
    return raw.kept + wish_for(signals.is_target[k], raw.strength, weights[k], len(weights), max_position)


@lean
def total_wish(
    account: Record,
    slot: Record,
    lots: Records,
    stopped: Ints,
    day: Ints,
    signals: Signals,
    t: int,
    ticker: int,
    weights: Floats,
    max_position: float,
) -> float:
    """Return the share of equity that all strategies together want in `ticker`, the part that is held included."""
    total, bits = 0.0, concerned(signals, slot, t, ticker)
    for k in range(len(weights)):
        if (bits >> k) & 1:
            total += wish_of_lot(account, slot, lots, stopped, day, k, signals, t, ticker, weights, max_position)
    return total


@lean
def lacking_share(
    account: Record,
    slot: Record,
    lots: Records,
    stopped: Ints,
    day: Ints,
    signals: Signals,
    t: int,
    weights: Floats,
    max_position: float,
) -> float:
    """Return the share of equity by which strategies have less of the slot's ticker than they want, added up."""
    lacking, ticker = 0.0, slot["ticker"]
    bits = concerned(signals, slot, t, ticker)
    for k in range(len(weights)):
        if (bits >> k) & 1:
            lacking += lack(account, slot, lots, stopped, day, k, signals, t, ticker, weights, max_position)
    return lacking


@lean
def lack(
    account: Record,
    slot: Record,
    lots: Records,
    stopped: Ints,
    day: Ints,
    k: int,
    signals: Signals,
    t: int,
    ticker: int,
    weights: Floats,
    max_position: float,
) -> float:
    """Return the share of equity by which strategy `k` has less of `ticker` than it wants, >= 0."""
    wish = wish_of_lot(account, slot, lots, stopped, day, k, signals, t, ticker, weights, max_position)
    return short_of(account, slot, lots, k, ticker, wish)


@lean
def short_of(account: Record, slot: Record, lots: Records, k: int, ticker: int, wish: float) -> float:
    """Return the share of equity by which the lot of strategy `k` is smaller than its `wish` for `ticker`, >= 0."""
    if owns(slot, k) and lots[k]["quantity"] > 0.0 and slot["ticker"] == ticker:
        wish -= lots[k]["quantity"] * slot["price"] / account["equity"]
    return max(0.0, wish)
