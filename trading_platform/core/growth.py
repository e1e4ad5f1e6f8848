"""Positions that grow: what they lack to what is wanted of them by now, within every cap, and who gets which shares.

Shapes: `slots` (S,), `lots` (S, K), those of one slot (K,); `stopped` (N,), `weights` (K,), `day` (T,). Money is
dollars, a wish a fraction of equity.
"""

from __future__ import annotations

from trading_platform.core.booking import asked_shares, net_order
from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Exits, Sizing
from trading_platform.core.entries import Entry, capped_dollars, entry_price
from trading_platform.core.fills import protective_prices, round_shares
from trading_platform.core.ledger import SHARE_NOISE, Record, Records, owns, settle_levels, sum_wishes, want
from trading_platform.core.market import CLOSE, VOLATILITY, WANTS, Market, Signals
from trading_platform.core.reasons import NO_REASON
from trading_platform.core.risk.caps import OK, RuleVerdict, vix_scale
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import check_entry, market_verdict, measure_entry, slot_value
from trading_platform.core.risk.sizing import kelly_bound, volatility_bound
from trading_platform.core.types import Floats, Ints
from trading_platform.core.wishes import (
    ROUNDING,
    concerned,
    cools,
    lacking_share,
    protection_of,
    short_of,
    strength_of,
    total_wish,
    wants_it,
    wish_of_lot,
)


@inlined
def grow_positions(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    exits: Exits,
    limits: Limits,
    sizing: Sizing,
) -> None:
    """Let every position grow to what is wanted of it by now, within every cap."""
    most = position_bound(account, market.vix[t], limits)
    for s in range(len(slots)):
        slot = slots[s]
        if not (slot["quantity"] > 0.0) or not has_room(account, slot, market, t, most, limits, sizing):
            continue
        wants, owners = signals.flags[slot["ticker"], t, WANTS], slot["owners"]
        if (wants & ~owners) == 0 and (wants & signals.target_bits[0]) == 0:
            continue
        if may_grow(account, slot, lots[s], stopped, market.day, signals, t, weights, sizing):
            entry = review_growth(account, slots, lots, stopped, s, market, signals, t, weights, most, limits, sizing)
            if entry.verdict.code == OK and entry.quantity > 0.0:
                shares, price = entry.quantity, entry.limit_price
                lacking = lacking_share(
                    account, slot, lots[s], stopped, market.day, signals, t, weights, limits.max_position
                )
                share_out(
                    account, slots, lots, stopped, s, shares, price, lacking, market, signals, t, weights, exits, limits
                )


@lean
def has_room(
    account: Record, slot: Record, market: Market, t: int, most: float, limits: Limits, sizing: Sizing
) -> bool:
    """Return True if the position in `slot` is further than the band below the largest that it may be.

    `most` is `position_bound`. Shares that some sell count as room, since others may take them over.
    """
    share = min(most, volatility_bound(market.bars[slot["ticker"], t, VOLATILITY], limits))
    staying = slot["value"] - slot["selling"] * slot["price"]
    return bool(staying < (1.0 - sizing.band) * share * account["equity"])


@lean
def position_bound(account: Record, vix: float, limits: Limits) -> float:
    """Return the largest share of equity that any position may have now: the caps and the Kelly bound."""
    return min(limits.max_position * vix_scale(vix, limits), kelly_bound(account, limits))


@lean
def may_grow(
    account: Record,
    slot: Record,
    lots: Records,
    stopped: Ints,
    day: Ints,
    signals: Signals,
    t: int,
    weights: Floats,
    sizing: Sizing,
) -> bool:
    """Return True if a strategy wants more of the position in `slot` than it has.

    It is quick and may be wrong in favour of a look; `review_growth` knows.
    """
    ticker, equity = slot["ticker"], account["equity"]
    for k in range(len(lots)):
        if not (weights[k] > 0.0) or not wants_it(signals, k, t, ticker):
            continue
        held = owns(slot, k) and lots[k]["quantity"] > 0.0
        if held and lots[k]["exit_reason"] != NO_REASON:
            continue
        if signals.is_target[k] != 0:
            if (
                lots[k]["quantity"] * slot["price"]
                < (1.0 - sizing.band) * strength_of(signals, k, t, ticker) * weights[k] * equity
            ):
                return True
        elif not held and not cools(signals, k, stopped, day, ticker, t):
            return True
    return False


@lean
def review_growth(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    s: int,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    most: float,
    limits: Limits,
    sizing: Sizing,
) -> Entry:
    """Size what the position in slot `s` lacks to what is wanted of it, and check what is left after netting.

    `most` is `position_bound`.
    """
    slot = slots[s]
    ticker, sold = slot["ticker"], asked_shares(slot, lots[s]).sold
    wish = total_wish(account, slot, lots[s], stopped, market.day, signals, t, ticker, weights, limits.max_position)
    equity, data = account["equity"], market_verdict(market, t, ticker)
    if sold == 0.0 and stays_in_band(slot, equity * min(wish, most), sizing):
        return Entry(data, 0.0, 0.0)
    measures = measure_entry(slots, market, t, ticker, limits)
    dollars = capped_dollars(account, equity, wish / limits.max_position, market, t, ticker, measures, limits)
    limit_price = entry_price(market.bars[ticker, t, CLOSE], limits)
    lacking = 0.0  # asked for only where strategies can take over from each other
    if sold > 0.0 and data.code == OK:
        lacking = lacking_share(account, slot, lots[s], stopped, market.day, signals, t, weights, limits.max_position)
    quantity = growth_shares(slot, lots[s], dollars, lacking * equity, limit_price, limits, sizing)
    net = quantity - sold
    if not (net > SHARE_NOISE):
        return Entry(RuleVerdict(OK, 0.0, 0.0), quantity, limit_price)
    verdict = check_entry(net, limit_price, equity, account["cash"], market.vix[t], measures, data, limits)
    return Entry(verdict, quantity, limit_price)


@lean
def stays_in_band(slot: Record, largest: float, sizing: Sizing) -> bool:
    """Return True if the position in `slot` does not grow even to `largest` dollars: it would stay inside the band.

    Correlations and other caps, which take long to measure, can only lower what it may grow to.
    """
    gain = largest - slot_value(slot)
    return bool(gain * (1.0 + ROUNDING) < sizing.band * (slot["value"] + gain))


@lean
def growth_shares(
    slot: Record, lots: Records, dollars: float, lacking: float, limit_price: float, limits: Limits, sizing: Sizing
) -> float:
    """Return the shares that strategies buy of a position that may grow by `dollars`; inside the band it does not grow.

    What some lots sell, others that are `lacking` dollars may take over: the position does not grow by it. What is left
    after netting is an order worth sending, or nothing: then strategies trade with each other only.
    """
    grows = dollars if dollars > 0.0 and not (dollars < sizing.band * (slot["value"] + dollars)) else 0.0
    sold = asked_shares(slot, lots).sold
    wanted = grows if sold == 0.0 else min(grows + sold * limit_price, lacking)
    if not (wanted > 0.0):
        return 0.0
    quantity = round_shares(wanted / limit_price, limits.share_step)
    net = quantity - sold
    if net > SHARE_NOISE and net * limit_price < limits.min_order:
        return sold
    if net <= SHARE_NOISE and quantity * limit_price < limits.min_order:
        return 0.0
    return quantity


@lean
def share_out(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    s: int,
    quantity: float,
    limit_price: float,
    lacking: float,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    exits: Exits,
    limits: Limits,
) -> None:
    """Divide a buy of `quantity` shares of slot `s` among the strategies that lack something, by what each lacks.

    `lacking` is `lacking_share`; in a new slot, where nobody has anything, it is the `total_wish`.
    """
    slot = slots[s]
    ticker = slot["ticker"]
    close, volatility = market.bars[ticker, t, CLOSE], market.bars[ticker, t, VOLATILITY]
    done, given, bits, most = 0.0, 0.0, concerned(signals, slot, t, ticker), limits.max_position
    for k in range(len(weights)):
        if not ((bits >> k) & 1):
            continue
        wish = wish_of_lot(account, slot, lots[s], stopped, market.day, k, signals, t, ticker, weights, most)
        missing = short_of(account, slot, lots[s], k, ticker, wish)
        if not (missing > 0.0):
            continue
        done += missing
        upto = quantity if not (done < lacking) else round_shares(quantity * done / lacking, limits.share_step)
        if upto - given > SHARE_NOISE:
            stop, target = protective_prices(close, volatility, protection_of(signals, k), exits.disaster_stop)
            want(slot, lots[s, k], k, upto - given, stop, target)
            lots[s, k]["exit_reason"] = NO_REASON
            lots[s, k]["wish"] = wish
            given = upto
    slot["limit_price"] = limit_price
    sum_wishes(slot, lots[s])
    net_order(slots, lots, s)
    settle_levels(slot, lots[s])
