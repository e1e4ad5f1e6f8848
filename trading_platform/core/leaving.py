"""Positions that leave or shrink: exits, trims, trailing stops, and who makes room for something better.

Shapes: `slots` (S,), `lots` (S, K), those of one slot (K,); `stopped` (N,), `weights` (K,), `day` (T,).
"""

from __future__ import annotations

from trading_platform.core.booking import ask_all_out, net_order, tidy_slot
from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Sizing
from trading_platform.core.fills import round_shares, to_tick
from trading_platform.core.ledger import SHARE_NOISE, Record, Records, settle_levels
from trading_platform.core.market import CLOSE, EXITS, Market, Signals
from trading_platform.core.reasons import (
    MAX_HOLDING,
    NO_REASON,
    REBALANCE,
    REPLACED,
    SIGNAL_EXIT,
    STOP_LOSS,
    TAKE_PROFIT,
    UNFUNDED,
)
from trading_platform.core.risk.limits import Limits
from trading_platform.core.types import Floats, Ints
from trading_platform.core.wishes import HOLDING, ROUNDING, TRAILING, strength_of, total_wish, wants_it


@lean
def exit_reason(
    slot: Record, lot: Record, k: int, exits_at: int, close: float, max_holding: float, weight: float, sizing: Sizing
) -> int:
    """Return why the lot of strategy `k` should be closed at the next open; 0 = keep it. A pending exit stays pending.

    `exits_at` holds the exit flags of the slot's ticker at this session, bit k for strategy k. A stop that is tighter
    than the one at the broker, which stands for other lots too, is looked at here, at the close.
    """
    if lot["exit_reason"] != NO_REASON and lot["exit_reason"] != REBALANCE:
        reason: int = lot["exit_reason"]
        return reason
    if (exits_at >> k) & 1:
        return SIGNAL_EXIT
    if max_holding > 0.0 and slot["held"] - lot["since"] >= max_holding:
        return MAX_HOLDING
    if lot["stop"] > slot["stop"] and close <= lot["stop"]:
        return STOP_LOSS
    if lot["target"] > 0.0 and lot["target"] != slot["target"] and close >= lot["target"]:
        return TAKE_PROFIT
    if max_holding < 0.0 or (not (weight > 0.0) and lot["unfunded"] >= sizing.unfunded):
        return UNFUNDED
    return NO_REASON


@inlined
def review_lots(
    account: Record,
    slots: Records,
    lots: Records,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    limits: Limits,
    sizing: Sizing,
) -> None:
    """Decide for every lot whether it leaves or is trimmed, and let trailing stops follow.

    Reductions of an earlier close that were not filled are decided anew; exits stand.
    """
    equity = account["equity"]
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["quantity"] > 0.0):
            continue
        ticker, owners = slot["ticker"], slot["owners"]
        close, exits_at = market.bars[ticker, t, CLOSE], signals.flags[ticker, t, EXITS]
        if nothing_to_review(slot, exits_at, signals, weights):
            continue
        changed = slot["selling"] > 0.0 or slot["pending"] > 0.0 or slot["crossing"] > 0.0
        wish, watched = 0.0, 0
        for k in range(lots.shape[1]):
            if not ((owners >> k) & 1):
                continue
            lot, weight = lots[s, k], weights[k]
            if not (lot["quantity"] > 0.0):
                continue
            lot["unfunded"] = 0 if weight > 0.0 else lot["unfunded"] + 1
            if signals.protection[k, TRAILING] > 0.0:
                changed = follow_peak(lot, close, signals.protection[k, TRAILING]) or changed
            reason = exit_reason(slot, lot, k, exits_at, close, signals.protection[k, HOLDING], weight, sizing)
            if reason != NO_REASON or not (weight > 0.0):
                watched = 1
            changed = changed or reason != NO_REASON
            lot["exit_reason"] = reason
            lot["delta"] = -lot["quantity"] if reason != NO_REASON else 0.0
            if reason == NO_REASON and signals.is_target[k] != 0 and weight > 0.0 and close > 0.0:
                lot["wish"] = strength_of(signals, k, t, ticker) * weight
                changed = trim(lot, close, equity, limits, sizing) or changed
            wish += lot["wish"]
        slot["wish"] = wish
        slot["watched"] = watched
        if changed:
            net_order(slots, lots, s)
            settle_levels(slot, lots[s])


@lean
def nothing_to_review(slot: Record, exits_at: int, signals: Signals, weights: Floats) -> bool:
    """Return True if no lot of `slot` can have a reason to change: one signal's lot, which is kept and has capital.

    It is what most positions of signals are at most closes, and their lots need not be read.
    """
    owners, k = slot["owners"], slot["strategy"]
    if owners != 1 << k or (exits_at & owners) != 0 or slot["watched"] != 0 or signals.is_target[k] != 0:
        return False
    holding, trailing = signals.protection[k, HOLDING], signals.protection[k, TRAILING]
    return weights[k] > 0.0 and not (trailing > 0.0) and not (holding > 0.0 and slot["held"] >= holding)


@lean
def follow_peak(lot: Record, close: float, trailing: float) -> bool:
    """Raise a trailing stop to `trailing` below the highest close since entry; return True if it rose."""
    if close > lot["peak"]:
        lot["peak"] = close
    level = to_tick(lot["peak"] * (1.0 - trailing))
    if not (level > lot["stop"]):
        return False
    lot["stop"] = level
    return True


@lean
def trim(lot: Record, close: float, equity: float, limits: Limits, sizing: Sizing) -> bool:
    """Let a lot sell what it has beyond its wish, outside the band; return True if it does."""
    value = lot["quantity"] * close
    over = value - lot["wish"] * equity
    if not (over > sizing.band * value) or not (over >= limits.min_order) or not (lot["wish"] > 0.0):
        return False
    shares = min(round_shares(over / close, limits.share_step), lot["quantity"])
    if not (shares > 0.0):
        return False
    lot["delta"] = -shares
    lot["exit_reason"] = REBALANCE
    return True


@lean
def weakest_slot(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    day: Ints,
    signals: Signals,
    t: int,
    weights: Floats,
    rival: int,
    limits: Limits,
    sizing: Sizing,
) -> int:
    """Return the slot that should make room for ticker `rival`, of which much more is wanted; -1 if none should."""
    weakest = weakest_of(slots)
    if weakest < 0:
        return -1
    offered = total_wish(
        account, slots[weakest], lots[weakest], stopped, day, signals, t, rival, weights, limits.max_position
    )
    return weakest if offered > slots[weakest]["wish"] * (1.0 + sizing.replace_margin) else -1


@lean
def weakest_of(slots: Records) -> int:
    """Return the slot of the position that is wanted least, -1 if there is none or while anything is leaving anyway."""
    weakest, least = -1, 0.0
    for s in range(len(slots)):
        if slots[s]["ticker"] < 0:
            continue
        if slots[s]["selling"] > slots[s]["quantity"] - SHARE_NOISE and slots[s]["quantity"] > 0.0:
            return -1
        if slots[s]["pending"] > 0.0 or slots[s]["selling"] > 0.0:
            continue
        if weakest < 0 or slots[s]["wish"] < least:
            weakest, least = s, slots[s]["wish"]
    return weakest


@lean
def may_replace(
    slots: Records, ticker: int, best_wish: float, signals: Signals, t: int, weights: Floats, sizing: Sizing
) -> bool:
    """Return False if the weakest position cannot be weak enough to make room for `ticker`.

    None of the strategies wants more than `best_wish` of it. It is quick and may be wrong in favour of a look.
    """
    weakest = weakest_of(slots)
    if weakest < 0:
        return False
    asked = slots[weakest]["wish"] * (1.0 + sizing.replace_margin)
    if not (asked < best_wish * len(weights)):
        return False
    wanting = 0
    for k in range(len(weights)):
        if weights[k] > 0.0 and wants_it(signals, k, t, ticker):
            wanting += 1
    return bool(asked < best_wish * wanting * (1.0 + ROUNDING))


@lean
def send_away(slots: Records, lots: Records, s: int) -> None:
    """Let the position in slot `s` leave at the next open to make room.

    A strategy that was to get its first shares of it from another one has none, and no lot any more.
    """
    ask_all_out(slots, lots, s, REPLACED)
    tidy_slot(slots, lots, s)
