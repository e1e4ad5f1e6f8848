"""Executions divided among lots: what one netted order at the broker means for each strategy behind it.

Shapes: `slots` (S,), `lots` (S, K), `stopped` (N,), a day for each ticker; K strategies, N tickers.
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.costs import Costs
from trading_platform.core.fill_log import SETTLED, FillLog, log_fill
from trading_platform.core.fills import commission, lost_to_market, part_of, regulatory_fees, round_cents
from trading_platform.core.ledger import (
    SHARE_NOISE,
    Charge,
    Record,
    Records,
    clear_lot,
    clear_slot,
    owns,
    post_buy,
    post_sell,
    settle_levels,
    trade_profit,
)
from trading_platform.core.market import Market
from trading_platform.core.reasons import ENTRY, NO_REASON, STOP_LOSS, is_strategys_own
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import record_trade
from trading_platform.core.types import Ints

BUY, SELL = 1, -1
LONG_AGO = -1_000_000  # the day of a stop-out that never was


class Order(NamedTuple):
    """One execution of a netted order, before it is divided among lots: shares, dollars, `side` BUY or SELL."""

    side: int
    quantity: float
    price: float
    amount: float
    charge: Charge
    kind: int


class Asked(NamedTuple):
    """Shares that the lots of a slot buy and sell, and the reason of the largest sale (0 = none)."""

    bought: float
    sold: float
    reason: int


@lean
def executed(side: int, quantity: float, quote: float, price: float, costs: Costs, kind: int) -> Order:
    """Return the execution of `quantity` shares at `price` against the quoted price `quote`."""
    amount, at_quote = round_cents(quantity * price), round_cents(quantity * quote)
    spread, slippage, impact = lost_to_market(at_quote, round_cents(abs(amount - at_quote)), costs)
    fees = regulatory_fees(quantity, quantity * price, costs) if side == SELL else 0.0
    charge = Charge(commission(quantity, costs), fees, spread, slippage, impact)
    return Order(side, quantity, price, amount, charge, kind)


@lean
def bought_within(order: Order) -> Order:
    """Return a buy whose limit kept its price from rising by all costs, with the costs that it really bore."""
    charge = order.charge
    lost = round_cents(charge.spread + charge.slippage + charge.impact)
    spread = min(charge.spread, lost)
    slippage = min(max(charge.slippage, 0.0), round_cents(lost - spread))
    impact = round_cents(lost - spread - slippage)
    borne = Charge(charge.commission, charge.regulatory, spread, slippage, impact)
    return Order(order.side, order.quantity, order.price, order.amount, borne, order.kind)


@lean
def free_of_cost(side: int, quantity: float, price: float, kind: int) -> Order:
    """Return an execution that costs nothing: a crossing of lots, a settlement of what has ended."""
    return Order(side, quantity, price, round_cents(quantity * price), Charge(0.0, 0.0, 0.0, 0.0, 0.0), kind)


@lean
def charge_part(charge: Charge, before: float, after: float, whole: float) -> Charge:
    """Return the part of an order's costs that shares `before` to `after` of `whole` bear."""
    return Charge(
        part_of(charge.commission, before, after, whole),
        part_of(charge.regulatory, before, after, whole),
        part_of(charge.spread, before, after, whole),
        part_of(charge.slippage, before, after, whole),
        part_of(charge.impact, before, after, whole),
    )


@lean
def book_order(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    s: int,
    order: Order,
    day: int,
    clock: float,
    limits: Limits,
    log: FillLog,
) -> None:
    """Divide an execution among the lots that asked for it, in the order of strategies, and book each part.

    `lots` is (S, K). A lot that a sale empties ends its round trip, which is counted if its strategy ended it.
    """
    slot = slots[s]
    done = 0.0
    for k in range(lots.shape[1]):
        if not owns(slot, k):
            continue
        lot = lots[s, k]
        take = min(lot["delta"] * order.side, order.quantity - done)
        if not (take > SHARE_NOISE):
            continue
        after = done + take
        amount = part_of(order.amount, done, after, order.quantity)
        charge = charge_part(order.charge, done, after, order.quantity)
        done = after
        lot["delta"] -= take * order.side
        if order.side == BUY:
            post_buy(account, slot, lot, take, order.price, amount, charge, day)
            log_fill(log, day, s, slot, lot, k, BUY, ENTRY, take, order.price, amount, charge, 0.0, order.kind)
            continue
        reason = lot["exit_reason"]
        realized = post_sell(account, slot, lot, take, order.price, amount, charge)
        log_fill(log, day, s, slot, lot, k, SELL, reason, take, order.price, amount, charge, realized, order.kind)
        if reason == STOP_LOSS:
            stopped[slot["ticker"]] = day
        if lot["quantity"] == 0.0:
            if is_strategys_own(reason):
                record_trade(account, trade_profit(lot), lot["bought_amount"], clock, limits)
            clear_lot(slot, lot, k)
        elif lot["delta"] > -SHARE_NOISE:
            lot["delta"] = 0.0
            lot["exit_reason"] = 0


@lean
def tidy_slot(slots: Records, lots: Records, s: int) -> None:
    """Empty a slot without shares or orders; else derive its levels and its order from the lots that are left."""
    slot = slots[s]
    for k in range(lots.shape[1]):
        if owns(slot, k) and lots[s, k]["quantity"] == 0.0 and not (lots[s, k]["delta"] > 0.0):
            clear_lot(slot, lots[s, k], k)
    if slot["owners"] == 0:
        clear_slot(slot)
        return
    net_order(slots, lots, s)
    settle_levels(slot, lots[s])


@lean
def net_order(slots: Records, lots: Records, s: int) -> None:
    """Set the one order of slot `s` from its lots: bought is what is left after strategies have sold to each other."""
    slot = slots[s]
    bought, sold, reason = asked_shares(slot, lots[s])
    slot["pending"] = max(0.0, bought - sold) if bought - sold > SHARE_NOISE else 0.0
    slot["selling"] = max(0.0, sold - bought) if sold - bought > SHARE_NOISE else 0.0
    slot["crossing"] = min(bought, sold)
    slot["exit_reason"] = reason if slot["selling"] > 0.0 else 0


@lean
def asked_shares(slot: Record, lots: Records) -> Asked:
    """Return what the lots of `slot`, (K,) `lots`, buy and sell at the next open, before they trade with each other."""
    bought, sold, reason, most = 0.0, 0.0, NO_REASON, 0.0
    for k in range(len(lots)):
        if not owns(slot, k):
            continue
        delta = lots[k]["delta"]
        if delta > 0.0:
            bought += delta
        elif delta < 0.0:
            sold -= delta
            if -delta > most:
                reason, most = lots[k]["exit_reason"], -delta
    return Asked(bought, sold, reason)


@lean
def ask_all_out(slots: Records, lots: Records, s: int, reason: int) -> None:
    """Let every lot of slot `s` sell all its shares, for `reason`; what was to be bought is not."""
    for k in range(lots.shape[1]):
        if owns(slots[s], k):
            lots[s, k]["delta"] = -lots[s, k]["quantity"]
            lots[s, k]["exit_reason"] = reason


@lean
def settle_slot(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    s: int,
    price: float,
    reason: int,
    market: Market,
    t: int,
    limits: Limits,
    log: FillLog,
) -> None:
    """Turn all shares of slot `s` into cash at `price`, without costs: the ticker has ended."""
    ask_all_out(slots, lots, s, reason)
    if slots[s]["quantity"] > 0.0:
        order = free_of_cost(SELL, slots[s]["quantity"], price, SETTLED)
        book_order(account, slots, lots, stopped, s, order, market.day[t], market.clock[t], limits, log)
    tidy_slot(slots, lots, s)


@lean
def drop_buys(slots: Records, lots: Records, s: int) -> None:
    """Forget what slot `s` was to buy: an entry lives one day."""
    slots[s]["pending"] = 0.0
    for k in range(lots.shape[1]):
        if owns(slots[s], k) and lots[s, k]["delta"] > 0.0:
            lots[s, k]["delta"] = 0.0


@lean
def withdraw_growth(slots: Records, lots: Records, s: int) -> None:
    """Forget what the market was to bring to slot `s`; what its strategies sell to each other stays.

    Those get it who come first in the order of strategies, as in `book_order`.
    """
    left = slots[s]["crossing"]
    for k in range(lots.shape[1]):
        if owns(slots[s], k) and lots[s, k]["delta"] > 0.0:
            lots[s, k]["delta"] = min(lots[s, k]["delta"], left)
            left -= lots[s, k]["delta"]
    tidy_slot(slots, lots, s)
