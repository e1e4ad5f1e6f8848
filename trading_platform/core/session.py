"""What happens to one book in one session, up to its close: interest, corporate events, fills, stops, marks.

The paper broker runs these very functions on its book; the kernel runs them on thousands.

Shapes: `slots` (S,), `lots` (S, K), `stopped` (N,), a day for each ticker; K strategies, N tickers.
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.booking import (
    BUY,
    SELL,
    ask_all_out,
    book_order,
    bought_within,
    drop_buys,
    executed,
    free_of_cost,
    settle_slot,
    tidy_slot,
    withdraw_growth,
)
from trading_platform.core.compiled import inlined, lean
from trading_platform.core.corporate_events import follow_events
from trading_platform.core.costs import Costs, Exits, Sizing
from trading_platform.core.fill_log import CROSSED, OF_ORDER, PROTECTIVE, FillLog
from trading_platform.core.fills import (
    DELISTED_AFTER_SESSIONS,
    fill_quantity,
    round_shares,
    sell_price,
    triggered_exit,
)
from trading_platform.core.ledger import (
    Record,
    Records,
    lower_prices,
    mark_slot,
    post_dividend,
    post_interest,
    post_split,
    total_equity,
)
from trading_platform.core.market import CLOSE, HIGH, LOW, OPEN, VOLUME, Market
from trading_platform.core.realistic_fills import (
    BUY_PART,
    SELL_PART,
    elected_quote,
    entry_offer,
    filled_part,
    opening_quote,
)
from trading_platform.core.reasons import DELISTED, STOP_LOSS, TAKE_PROFIT
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import start_session
from trading_platform.core.types import Ints


class Rules(NamedTuple):
    """Everything that governs a book."""

    limits: Limits
    exits: Exits
    costs: Costs
    sizing: Sizing = Sizing()


@inlined
def apply_corporate_actions(
    account: Record, slots: Records, lots: Records, market: Market, t: int, costs: Costs
) -> None:
    """Book splits and dividends of the session's open on every slot.

    Growth of a position that splits is withdrawn, as it is at Alpaca: a broker may book the split hours late, and until
    then nobody could tell old shares from new ones.
    """
    if len(market.split) > 0:
        for s in range(len(slots)):
            if slots[s]["ticker"] >= 0:
                ratio = market.split[t, slots[s]["ticker"]]
                if ratio > 0.0 and ratio != 1.0:
                    if slots[s]["quantity"] > 0.0 and slots[s]["pending"] > 0.0:
                        withdraw_growth(slots, lots, s)
                    post_split(slots[s], lots[s], ratio)
    if len(market.dividend) > 0:
        for s in range(len(slots)):
            if slots[s]["ticker"] >= 0:
                dividend = market.dividend[t, slots[s]["ticker"]]
                if not (dividend > 0.0):
                    continue
                if dividend > costs.special_dividend * slots[s]["price"]:
                    lower_prices(slots[s], lots[s], dividend, 1.0)
                if slots[s]["quantity"] > 0.0:
                    post_dividend(account, slots[s], lots[s], dividend)


@inlined
def fill_at_open(
    account: Record, slots: Records, lots: Records, stopped: Ints, market: Market, t: int, rules: Rules, log: FillLog
) -> None:
    """Cross what strategies sell to each other, then fill sales, then buys, at the open of session `t`.

    Buys left unfilled expire; sales stand. What strategies sell to each other changes hands at the official open.
    """
    costs, limits = rules.costs, rules.limits
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["quantity"] > 0.0) or slot["ticker"] < 0:
            continue
        quote = market.bars[slot["ticker"], t, OPEN]
        crosses = slot["crossing"] > 0.0
        if crosses:
            cross_lots(account, slots, lots, stopped, s, quote, market.day[t], market.clock[t], limits, log)
        if slot["selling"] > 0.0:
            volume = market.bars[slot["ticker"], t, VOLUME]
            quantity = fill_quantity(slot["selling"], volume, limits.share_step, costs)
            if quote > 0.0 and quantity > 0.0:
                met = opening_quote(market.draws, slot["ticker"], t, quote)
                price = sell_price(met, quantity, volume, costs)
                done = filled_part(market.draws, slot["ticker"], t, SELL_PART, quantity, limits.share_step)
                order = executed(SELL, done, met, price, costs, OF_ORDER)
                book_order(account, slots, lots, stopped, s, order, market.day[t], market.clock[t], limits, log)
            tidy_slot(slots, lots, s)
        elif crosses:
            tidy_slot(slots, lots, s)
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["pending"] > 0.0):
            continue
        quote = market.bars[slot["ticker"], t, OPEN]
        volume = market.bars[slot["ticker"], t, VOLUME]
        quantity = fill_quantity(slot["pending"], volume, limits.share_step, costs)
        affordable = round_shares(account["cash"] / slot["limit_price"], limits.share_step)
        quantity = min(quantity, affordable)
        if quote > 0.0 and quantity > 0.0:
            limit = slot["limit_price"]
            offer = entry_offer(market.draws, slot["ticker"], t, quote, limit, quantity, volume, costs)
            if offer.price > 0.0:
                done = filled_part(market.draws, slot["ticker"], t, BUY_PART, quantity, limits.share_step)
                order = executed(BUY, done, offer.quote, offer.price, costs, OF_ORDER)
                if len(market.draws) > 0 and offer.price == limit:
                    order = bought_within(order)
                book_order(account, slots, lots, stopped, s, order, market.day[t], market.clock[t], limits, log)
        drop_buys(slots, lots, s)
        tidy_slot(slots, lots, s)


@lean
def cross_lots(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    s: int,
    quote: float,
    day: int,
    clock: float,
    limits: Limits,
    log: FillLog,
) -> float:
    """Let the strategies in slot `s` sell to each other at the opening price `quote`; return the shares asked for.

    Without a price nothing is traded, and what they would have bought is dropped.
    """
    crossed: float = slots[s]["crossing"]
    if crossed > 0.0 and quote > 0.0:
        for side in (SELL, BUY):
            book_order(
                account, slots, lots, stopped, s, free_of_cost(side, crossed, quote, CROSSED), day, clock, limits, log
            )
    elif crossed > 0.0:  # it does not trade today, and an entry lives one day
        drop_buys(slots, lots, s)
    return crossed


@inlined
def fill_protective(
    account: Record, slots: Records, lots: Records, stopped: Ints, market: Market, t: int, rules: Rules, log: FillLog
) -> None:
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
        reason = TAKE_PROFIT
        if hit == 1:
            reason, quote = STOP_LOSS, elected_quote(market.draws, slot["ticker"], t, quote)
        quantity = fill_quantity(slot["quantity"], bar[VOLUME], limits.share_step, costs)
        ask_all_out(slots, lots, s, reason)
        if quantity > 0.0:
            order = executed(SELL, quantity, quote, sell_price(quote, quantity, bar[VOLUME], costs), costs, PROTECTIVE)
            book_order(account, slots, lots, stopped, s, order, market.day[t], market.clock[t], limits, log)
        tidy_slot(slots, lots, s)


@lean
def mark_position(slot: Record, price: float) -> None:
    """Let the position in `slot` live through a session that closed at `price`, NaN: no bar."""
    slot["held"] += 1
    slot["missing"] = 0 if price > 0.0 else slot["missing"] + 1
    mark_slot(slot, price)


@inlined
def mark_to_close(
    account: Record, slots: Records, lots: Records, stopped: Ints, market: Market, t: int, rules: Rules, log: FillLog
) -> float:
    """Mark every position at the close of session `t`, settle ended tickers, and return the equity, dollars."""
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["quantity"] > 0.0):
            continue
        mark_position(slot, market.bars[slot["ticker"], t, CLOSE])
        if slot["missing"] >= DELISTED_AFTER_SESSIONS:
            last = slot["price"] * (1.0 - rules.costs.delisting_haircut)
            settle_slot(account, slots, lots, stopped, s, last, DELISTED, market, t, rules.limits, log)
    return total_equity(account, slots)


@inlined
def trade_session(
    account: Record, slots: Records, lots: Records, stopped: Ints, market: Market, t: int, rules: Rules, log: FillLog
) -> float:
    """Run session `t` up to its close; return the equity there, dollars."""
    start_session(account)
    if t > 0 and account["day"] > 0:
        post_interest(account, market.rate[t - 1], market.day[t] - account["day"])
    account["day"] = market.day[t]
    apply_corporate_actions(account, slots, lots, market, t, rules.costs)
    if market.event_start[t + 1] > market.event_start[t]:
        follow_events(account, slots, lots, stopped, market, t, rules.limits, rules.exits, log)
    fill_at_open(account, slots, lots, stopped, market, t, rules, log)
    fill_protective(account, slots, lots, stopped, market, t, rules, log)
    return mark_to_close(account, slots, lots, stopped, market, t, rules, log)


@lean
def settle_book(
    market: Market,
    accounts: Records,
    slots: Records,
    lots: Records,
    stopped: Ints,
    t: int,
    limits: Records,
    exits: Records,
    costs: Records,
    log: FillLog,
) -> float:
    """Run session `t` for one book, accounts (1,), slots (S,), lots (S, K), stopped (N,); return its equity, dollars.

    `limits`, `exits` and `costs` are the rules as `core.compiled.as_rows` gives them. The log is begun anew.
    """
    account, rules = accounts[0], Rules(limits[0], exits[0], costs[0])
    log.used[0] = 0
    equity = trade_session(account, slots, lots, stopped, market, t, rules, log)
    account["equity"] = equity
    account["accepted_equity"] = equity
    return equity
