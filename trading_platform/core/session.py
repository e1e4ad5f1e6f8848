"""What happens to one book in one session, up to its close: corporate actions, fills, stops, marks.

The paper broker runs these very functions on its book; the kernel runs them on thousands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Costs, Exits
from trading_platform.core.decide import DELISTED, ENTRY, STOP_LOSS, TAKE_PROFIT
from trading_platform.core.fills import (
    DELISTED_AFTER_SESSIONS,
    DELISTING_HAIRCUT,
    buy_price,
    commission,
    fill_quantity,
    round_cents,
    round_shares,
    sell_fees,
    sell_price,
    triggered_exit,
)
from trading_platform.core.ledger import (
    FILL,
    Record,
    Records,
    clear_slot,
    mark_slot,
    post_buy,
    post_dividend,
    post_sell,
    post_split,
    total_equity,
    trade_profit,
)
from trading_platform.core.market import CLOSE, HIGH, LOW, OPEN, VOLUME, Market
from trading_platform.core.risk.rules import Limits, record_trade, start_session
from trading_platform.core.types import Ints

BUY, SELL = 1, -1


class Rules(NamedTuple):
    """Everything that governs a book."""

    limits: Limits
    exits: Exits
    costs: Costs


class FillLog(NamedTuple):
    """Where fills are written: `rows` (capacity,) of dtype FILL and `used` (1,). A capacity of 0 records nothing."""

    rows: Records
    used: Ints


def new_fill_log(capacity: int) -> FillLog:
    """Return an empty log."""
    return FillLog(np.zeros(capacity, dtype=FILL), np.zeros(1, dtype=np.int64))


@lean
def buy(
    account: Record,
    slots: Records,
    s: int,
    quantity: float,
    quote: float,
    volume: float,
    day: int,
    costs: Costs,
    log: FillLog,
) -> bool:
    """Fill up to `quantity` shares of a pending entry at `quote` plus costs, if its limit allows; drop the rest."""
    slot = slots[s]
    price = buy_price(quote, quantity, volume, costs)
    if not (price <= slot["limit_price"]):
        return False
    slot["pending"] = 0.0
    fees = commission(quantity, costs)
    amount = post_buy(account, slot, quantity, price, fees, day)
    log_fill(log, day, s, slot, BUY, ENTRY, quantity, price, amount, fees, 0.0)
    return True


@lean
def sell(
    account: Record,
    slots: Records,
    s: int,
    quantity: float,
    price: float,
    fees: float,
    reason: int,
    day: int,
    clock: float,
    limits: Limits,
    log: FillLog,
) -> bool:
    """Book a sale; when it ends the round trip, count the trade and empty the slot. Return True if a pause starts."""
    slot = slots[s]
    amount, realized = post_sell(account, slot, quantity, price, fees)
    log_fill(log, day, s, slot, SELL, reason, quantity, price, amount, fees, realized)
    if slot["quantity"] > 0.0:
        slot["exit_reason"] = reason
        return False
    paused = record_trade(account, trade_profit(slot), slot["bought_amount"], clock, limits)
    clear_slot(slot)
    return paused


@lean
def log_fill(
    log: FillLog,
    day: int,
    s: int,
    slot: Record,
    side: int,
    reason: int,
    quantity: float,
    price: float,
    amount: float,
    fees: float,
    realized: float,
) -> None:
    """Append a fill to the log, with the round trip's totals in case it is the last."""
    n = log.used[0]
    if n < len(log.rows):
        row = log.rows[n]
        row["day"] = day
        row["slot"] = s
        row["ticker"] = slot["ticker"]
        row["strategy"] = slot["strategy"]
        row["side"] = side
        row["reason"] = reason
        row["quantity"] = quantity
        row["price"] = price
        row["amount"] = amount
        row["fees"] = fees
        row["realized"] = realized
        row["closed"] = 1 if side == SELL and slot["quantity"] == 0.0 else 0
        row["trade_cost"] = slot["bought_amount"]
        row["trade_proceeds"] = slot["sold_amount"]
        row["trade_fees"] = slot["fees"]
        row["trade_dividends"] = slot["dividends"]
        row["trade_quantity"] = slot["bought"]
        row["entry_day"] = slot["entry_day"]
    log.used[0] = n + 1


@inlined
def apply_corporate_actions(account: Record, slots: Records, market: Market, t: int) -> None:
    """Book splits and dividends of the session's open on every slot."""
    if len(market.split) > 0:
        for s in range(len(slots)):
            if slots[s]["ticker"] >= 0:
                ratio = market.split[t, slots[s]["ticker"]]
                if ratio > 0.0 and ratio != 1.0:
                    post_split(slots[s], ratio)
    if len(market.dividend) > 0:
        for s in range(len(slots)):
            if slots[s]["quantity"] > 0.0:
                dividend = market.dividend[t, slots[s]["ticker"]]
                if dividend > 0.0:
                    post_dividend(account, slots[s], dividend)


@inlined
def fill_at_open(account: Record, slots: Records, market: Market, t: int, rules: Rules, log: FillLog) -> None:
    """Fill pending exits, then pending entries, at the open of session `t`. Entries left unfilled expire."""
    costs, limits = rules.costs, rules.limits
    for s in range(len(slots)):
        slot = slots[s]
        if slot["exit_reason"] == 0 or not (slot["quantity"] > 0.0):
            continue
        quote = market.bars[slot["ticker"], t, OPEN]
        volume = market.bars[slot["ticker"], t, VOLUME]
        quantity = fill_quantity(slot["quantity"], volume, limits.share_step, costs)
        if quote > 0.0 and quantity > 0.0:
            price = sell_price(quote, quantity, volume, costs)
            fees = sell_fees(quantity, quantity * price, costs)
            reason = slot["exit_reason"]
            sell(account, slots, s, quantity, price, fees, reason, market.day[t], market.clock[t], limits, log)
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["pending"] > 0.0):
            continue
        quote = market.bars[slot["ticker"], t, OPEN]
        volume = market.bars[slot["ticker"], t, VOLUME]
        quantity = fill_quantity(slot["pending"], volume, limits.share_step, costs)
        affordable = round_shares(account["cash"] / slot["limit_price"], limits.share_step)
        quantity = min(quantity, affordable)
        filled = False
        if quote > 0.0 and quantity > 0.0:
            filled = buy(account, slots, s, quantity, quote, volume, market.day[t], costs, log)
        if not filled:
            clear_slot(slot)


@inlined
def fill_protective(account: Record, slots: Records, market: Market, t: int, rules: Rules, log: FillLog) -> None:
    """Fill stops and targets that session `t` touched."""
    costs, limits = rules.costs, rules.limits
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["quantity"] > 0.0):
            continue
        bar = market.bars[slot["ticker"], t]
        hit, quote = triggered_exit(bar[OPEN], bar[HIGH], bar[LOW], slot["stop"], slot["target"])
        if hit == 0:
            continue
        reason = STOP_LOSS if hit == 1 else TAKE_PROFIT
        quantity = fill_quantity(slot["quantity"], bar[VOLUME], limits.share_step, costs)
        if not (quantity > 0.0):
            slot["exit_reason"] = reason
            continue
        price = sell_price(quote, quantity, bar[VOLUME], costs)
        fees = sell_fees(quantity, quantity * price, costs)
        sell(account, slots, s, quantity, price, fees, reason, market.day[t], market.clock[t], limits, log)


@inlined
def mark_to_close(account: Record, slots: Records, market: Market, t: int, rules: Rules, log: FillLog) -> float:
    """Mark every position at the close of session `t`, write off delisted ones, and return the equity, dollars."""
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["quantity"] > 0.0):
            continue
        price = market.bars[slot["ticker"], t, CLOSE]
        slot["held"] += 1
        slot["missing"] = 0 if price > 0.0 else slot["missing"] + 1
        mark_slot(slot, price)
        if slot["missing"] >= DELISTED_AFTER_SESSIONS:
            last = slot["price"] * (1.0 - DELISTING_HAIRCUT)
            quantity = slot["quantity"]
            slot["exit_reason"] = DELISTED
            reason = slot["exit_reason"]  # a number like any other: for a constant `sell` would be compiled once more
            sell(account, slots, s, quantity, last, 0.0, reason, market.day[t], market.clock[t], rules.limits, log)
    return total_equity(account, slots)


@inlined
def trade_session(account: Record, slots: Records, market: Market, t: int, rules: Rules, log: FillLog) -> float:
    """Run session `t` up to its close; return the equity there, dollars."""
    start_session(account)
    apply_corporate_actions(account, slots, market, t)
    fill_at_open(account, slots, market, t, rules, log)
    fill_protective(account, slots, market, t, rules, log)
    return mark_to_close(account, slots, market, t, rules, log)


@lean
def settle_book(
    market: Market,
    accounts: Records,
    slots: Records,
    t: int,
    limits: Records,
    exits: Records,
    costs: Records,
    log: FillLog,
) -> tuple[float, float]:
    """Run session `t` for one book, accounts (1,) and slots (S,); return its equity and its dividends, dollars.

    `limits`, `exits` and `costs` are the rules as `core.compiled.as_rows` gives them. The log is begun anew.
    """
    account, rules = accounts[0], Rules(limits[0], exits[0], costs[0])
    log.used[0] = 0
    before = account["dividends"]
    equity = trade_session(account, slots, market, t, rules, log)
    account["equity"] = equity
    account["accepted_equity"] = equity
    return equity, round_cents(account["dividends"] - before)
