"""What a corporate event does to a book: shares become cash, other shares, or more tickers; nothing is lost on the way.

Splits and dividends are booked by `core.session`. Here are the events that move a position to another ticker or end it.
Money that a holder is paid for a part of his shares lowers the basis of what he keeps.

Shapes: `slots` (S,), `lots` (S, K), `stopped` (N,), a day for each ticker; K strategies, N tickers.
Where one slot is at hand, its `lots` are (K,).
"""

from __future__ import annotations

from trading_platform.core.booking import SELL, settle_slot, tidy_slot, withdraw_growth
from trading_platform.core.compiled import lean
from trading_platform.core.costs import Exits
from trading_platform.core.fill_log import SETTLED, FillLog, log_fill
from trading_platform.core.fills import part_of, round_cents, round_shares, to_tick
from trading_platform.core.ledger import (
    SHARE_NOISE,
    Charge,
    Record,
    Records,
    clear_lot,
    clear_slot,
    lower_prices,
    lowered,
    mark_slot,
    owns,
    post_sell,
    reserve,
)
from trading_platform.core.market import OPEN, Market
from trading_platform.core.reasons import DELISTED, MERGER
from trading_platform.core.risk.limits import Limits
from trading_platform.core.types import EVENT_KINDS, EventKind, Ints

KIND, COLUMN, OTHER, RATIO, CASH = range(5)  # fields of `Market.events`
CASH_MERGER = float(EVENT_KINDS.index(EventKind.CASH_MERGER))
STOCK_MERGER = float(EVENT_KINDS.index(EventKind.STOCK_MERGER))
SPIN_OFF = float(EVENT_KINDS.index(EventKind.SPIN_OFF))


@lean
def follow_events(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    market: Market,
    t: int,
    limits: Limits,
    exits: Exits,
    log: FillLog,
) -> None:
    """Book the events of row `t`'s open on every slot that they concern.

    Entries in a ticker that ends or parts are withdrawn: on the eve nobody knows what its shares will be worth.
    """
    for n in range(market.event_start[t], market.event_start[t + 1]):
        event = market.events[n]
        column, other = int(event[COLUMN]), int(event[OTHER])
        for s in range(len(slots)):
            if slots[s]["ticker"] != column:
                continue
            withdraw_growth(slots, lots, s)
            if not (slots[s]["quantity"] > 0.0):
                continue
            if event[KIND] == SPIN_OFF:
                spin_off(account, slots, lots, s, other, event[RATIO], market, t, limits, exits, log)
            elif event[KIND] == STOCK_MERGER and other >= 0:
                become(account, slots, lots, s, other, event[RATIO], event[CASH], market, t, limits, log)
            else:
                last = slots[s]["price"]
                paid = event[CASH] if event[CASH] >= 0.0 else last
                reason = MERGER if event[KIND] == CASH_MERGER or event[KIND] == STOCK_MERGER else DELISTED
                price = last if event[KIND] == STOCK_MERGER else paid
                settle_slot(account, slots, lots, stopped, s, price, reason, market, t, limits, log)
            break


@lean
def become(
    account: Record,
    slots: Records,
    lots: Records,
    s: int,
    other: int,
    ratio: float,
    cash: float,
    market: Market,
    t: int,
    limits: Limits,
    log: FillLog,
) -> None:
    """Turn the shares of slot `s` into `ratio` shares of column `other` and `cash` dollars each.

    Strategy, sessions held and basis go along, the basis less the cash; stops and targets are scaled. Fractions of a
    share are paid out at the other ticker's open.
    """
    slot = slots[s]
    pay_back(account, slot, lots[s], round_cents(slot["quantity"] * cash))
    price = market.bars[other, t, OPEN]
    if not (price > 0.0):
        price = lowered(slot["price"], cash, 1.0 / ratio)
    slot["quantity"] = 0.0
    slot["selling"] = 0.0
    slot["exit_reason"] = 0
    for k in range(lots.shape[1]):
        if owns(slot, k):
            lot = lots[s, k]
            lot["quantity"] *= ratio
            lot["bought"] *= ratio
            lot["delta"] = 0.0
            lot["exit_reason"] = 0
            lot["stop"] = lowered(lot["stop"], cash, 1.0 / ratio)
            lot["target"] = lowered(lot["target"], cash, 1.0 / ratio)
            lot["peak"] = lowered(lot["peak"], cash, 1.0 / ratio)
            slot["quantity"] += lot["quantity"]
    slot["ticker"] = other
    mark_slot(slot, price)
    for home in range(len(slots)):
        if home != s and slots[home]["ticker"] == other:
            join(slots, lots, s, home)
            pay_fractions(account, slots, lots, home, price, market, t, limits, log)
            return
    pay_fractions(account, slots, lots, s, price, market, t, limits, log)


@lean
def join(slots: Records, lots: Records, s: int, home: int) -> None:
    """Move the lots of slot `s` into slot `home`, which is in the same ticker, and empty `s`."""
    slot = slots[home]
    for k in range(lots.shape[1]):
        if not owns(slots[s], k):
            continue
        moved, kept = lots[s, k], lots[home, k]
        if kept["quantity"] == 0.0:
            kept["entry_day"], kept["peak"] = moved["entry_day"], moved["peak"]
            kept["since"] = slot["held"] - (slots[s]["held"] - moved["since"])
            kept["stop"], kept["target"], kept["wish"] = moved["stop"], moved["target"], moved["wish"]
        slot["owners"] |= 1 << k
        kept["quantity"] += moved["quantity"]
        kept["bought"] += moved["bought"]
        kept["cost"] = round_cents(kept["cost"] + moved["cost"])
        kept["bought_amount"] = round_cents(kept["bought_amount"] + moved["bought_amount"])
        kept["sold_amount"] = round_cents(kept["sold_amount"] + moved["sold_amount"])
        kept["fees"] = round_cents(kept["fees"] + moved["fees"])
        kept["market_costs"] = round_cents(kept["market_costs"] + moved["market_costs"])
        kept["dividends"] = round_cents(kept["dividends"] + moved["dividends"])
        slot["dividends"] = round_cents(slot["dividends"] + moved["dividends"])
        clear_lot(slots[s], moved, k)
    if slot["quantity"] == 0.0:
        slot["entry_day"], slot["held"] = slots[s]["entry_day"], slots[s]["held"]
    slot["quantity"] += slots[s]["quantity"]
    slot["cost"] = round_cents(slot["cost"] + slots[s]["cost"])
    mark_slot(slot, slots[s]["price"])
    clear_slot(slots[s])


@lean
def pay_back(account: Record, slot: Record, lots: Records, amount: float) -> None:
    """Pay `amount` dollars for a part of what the shares of `slot` were: first their basis back, then profit."""
    if not (amount > 0.0):
        return
    account["cash"] = round_cents(account["cash"] + amount)
    done = 0.0
    for k in range(len(lots)):
        if not owns(slot, k) or not (lots[k]["quantity"] > 0.0):
            continue
        after = done + lots[k]["quantity"]
        part = part_of(amount, done, after, slot["quantity"])
        done = after
        basis = min(part, lots[k]["cost"])
        lots[k]["cost"] = round_cents(lots[k]["cost"] - basis)
        lots[k]["sold_amount"] = round_cents(lots[k]["sold_amount"] + part)
        slot["cost"] = round_cents(slot["cost"] - basis)
        account["realized_pnl"] = round_cents(account["realized_pnl"] + part - basis)


@lean
def pay_fractions(
    account: Record,
    slots: Records,
    lots: Records,
    s: int,
    price: float,
    market: Market,
    t: int,
    limits: Limits,
    log: FillLog,
) -> None:
    """Sell what no whole number of `share_step` is, lot by lot, at `price` and without costs."""
    for k in range(lots.shape[1]):
        lot = lots[s, k]
        if not owns(slots[s], k) or not (lot["quantity"] > 0.0):
            continue
        fraction = lot["quantity"] - round_shares(lot["quantity"], limits.share_step)
        if fraction > SHARE_NOISE:
            amount, free = round_cents(fraction * price), Charge(0.0, 0.0, 0.0, 0.0, 0.0)
            realized = post_sell(account, slots[s], lot, fraction, price, amount, free)
            log_fill(
                log, market.day[t], s, slots[s], lot, k, SELL, MERGER, fraction, price, amount, free, realized, SETTLED
            )
            if lot["quantity"] == 0.0:
                clear_lot(slots[s], lot, k)
    tidy_slot(slots, lots, s)


@lean
def spin_off(
    account: Record,
    slots: Records,
    lots: Records,
    s: int,
    other: int,
    ratio: float,
    market: Market,
    t: int,
    limits: Limits,
    exits: Exits,
    log: FillLog,
) -> None:
    """Add `ratio` shares of column `other` for each share of slot `s`.

    The basis is split by first prices; stops and targets of the old shares fall by the same part. Without a
    free slot, or a price, the new shares' worth is paid like a dividend.
    """
    slot = slots[s]
    new, old = market.bars[other, t, OPEN] if other >= 0 else 0.0, market.bars[slot["ticker"], t, OPEN]
    if not (new > 0.0) or not (old > 0.0):
        return
    part = ratio * new / (ratio * new + old)
    lower_prices(slot, lots[s], 0.0, 1.0 - part)
    if not (slot["quantity"] > 0.0):
        return
    home = -1
    for i in range(len(slots)):
        if slots[i]["ticker"] == other or (home < 0 and slots[i]["ticker"] < 0):
            home = i
            if slots[i]["ticker"] == other:
                break
    if home < 0:
        pay_back(account, slot, lots[s], round_cents(slot["quantity"] * ratio * new))
        return
    if slots[home]["ticker"] < 0:
        reserve(slots[home], other, 0.0, 0.0, new)
    if slots[home]["quantity"] == 0.0:
        slots[home]["entry_day"] = market.day[t]
    for k in range(lots.shape[1]):
        if not owns(slot, k) or not (lots[s, k]["quantity"] > 0.0):
            continue
        old_lot, new_lot = lots[s, k], lots[home, k]
        shares, basis = old_lot["quantity"] * ratio, round_cents(old_lot["cost"] * part)
        if new_lot["quantity"] == 0.0:
            new_lot["entry_day"], new_lot["peak"] = old_lot["entry_day"], new
            new_lot["since"] = slots[home]["held"] - (slot["held"] - old_lot["since"])
            new_lot["stop"], new_lot["target"] = to_tick(new * (1.0 - exits.disaster_stop)), 0.0
        slots[home]["owners"] |= 1 << k
        new_lot["quantity"] += shares
        new_lot["bought"] += shares
        new_lot["cost"] = round_cents(new_lot["cost"] + basis)
        new_lot["bought_amount"] = round_cents(new_lot["bought_amount"] + basis)
        old_lot["cost"] = round_cents(old_lot["cost"] - basis)
        old_lot["bought_amount"] = round_cents(old_lot["bought_amount"] - basis)
        slots[home]["quantity"] += shares
        slots[home]["cost"] = round_cents(slots[home]["cost"] + basis)
        slot["cost"] = round_cents(slot["cost"] - basis)
    mark_slot(slots[home], new)
    mark_slot(slot, old)
    pay_fractions(account, slots, lots, home, new, market, t, limits, log)
