"""The decision at a session's close: who leaves, who is trimmed, who is looked at, who comes in and how large.

Pure steps over one book. The kernel calls them in a compiled loop; the engine calls the same steps from Python and
hands each size and order to `RiskManager`, which calls the rules of `core.risk`.

A strategy's *wish* for a ticker is a share of the account's equity. All wishes for a ticker are added before it is
sized (`docs/decisions/0001-lots-targets-and-netting.md`).
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.booking import ask_all_out, asked_shares, net_order
from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Exits, Protection, Sizing
from trading_platform.core.fills import down_to_tick, protective_prices, round_shares, to_tick
from trading_platform.core.ledger import SHARE_NOISE, Record, Records, owns, settle_levels, sum_wishes, want
from trading_platform.core.market import CLOSE, VOLATILITY, Market, Signals
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
from trading_platform.core.risk.caps import OK, Measures, Verdict, cap_room, vix_scale
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import check_entry, market_verdict, measure_entry
from trading_platform.core.risk.sizing import entry_dollars, kelly_bound, volatility_bound, worth_a_slot
from trading_platform.core.types import Floats, Ints


class Candidate(NamedTuple):
    """The next ticker to look at; `strategy` is -1 when there is none left."""

    strategy: int
    ticker: int
    wish: float  # share of equity that no strategy's wish for the ticker exceeds


class RawWish(NamedTuple):
    """What a strategy says of a ticker before the allocation weighs it; one of the two is 0."""

    kept: float  # share of equity that a lot of a signal has and keeps
    strength: float  # of a signal that wants to enter, or the target weight


class Entry(NamedTuple):
    """A reviewed entry: the verdict and, if it is OK, the shares to buy and the worst price."""

    verdict: Verdict
    quantity: float
    limit_price: float


# ---------------------------------------------------------------- wishes


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
    return bool((signals.wants[ticker, t] >> k) & 1)


@lean
def concerned(signals: Signals, slot: Record, t: int, ticker: int) -> int:
    """Return as bits the strategies that may want `ticker`, which is or will be in `slot`; the others want nothing."""
    bits: int = signals.wants[ticker, t] | slot["owners"]
    return bits


@lean
def cools(signals: Signals, k: int, stopped: Ints, day: Ints, ticker: int, t: int) -> bool:
    """Return True while strategy `k` does not buy back a ticker that was stopped out on day stopped[ticker].

    `day` (T,) are the days of the sessions: rows are not remembered, since a live market is loaded anew each session.
    """
    first = t - int(signals.protection[k, COOLING])
    return first < t and (first < 0 or stopped[ticker] > day[first])


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


# ---------------------------------------------------------------- lots that are there


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
        close, exits_at = market.bars[ticker, t, CLOSE], signals.exits[ticker, t]
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
        wants, owners = signals.wants[slot["ticker"], t], slot["owners"]
        if (wants & ~owners) == 0 and (wants & signals.target_bits[0]) == 0:
            continue
        if may_grow(account, slot, lots[s], stopped, market.day, signals, t, weights, sizing):
            entry = review_growth(account, slots, lots, stopped, s, market, signals, t, weights, limits, sizing)
            if entry.verdict.code == OK and entry.quantity > 0.0:
                share_out(
                    account,
                    slots,
                    lots,
                    stopped,
                    s,
                    entry.quantity,
                    entry.limit_price,
                    market,
                    signals,
                    t,
                    weights,
                    exits,
                    limits,
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
        held = lots[k]["quantity"] > 0.0 and owns(slot, k)
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
    limits: Limits,
    sizing: Sizing,
) -> Entry:
    """Size what the position in slot `s` lacks to what is wanted of it, and check what is left after netting."""
    slot = slots[s]
    ticker = slot["ticker"]
    wish = total_wish(account, slot, lots[s], stopped, market.day, signals, t, ticker, weights, limits.max_position)
    measures = measure_entry(slots, market, t, ticker, limits)
    equity, strength = account["equity"], wish / limits.max_position
    dollars = capped_dollars(account, equity, strength, market, t, ticker, measures, limits)
    limit_price = entry_price(market.bars[ticker, t, CLOSE], limits)
    lacking = lacking_share(account, slot, lots[s], stopped, market.day, signals, t, weights, limits.max_position)
    data = market_verdict(market, t, ticker)
    if data.code != OK:
        lacking = 0.0
    quantity = growth_shares(slot, lots[s], dollars, lacking * equity, limit_price, limits, sizing)
    net = quantity - asked_shares(slot, lots[s]).sold
    if not (net > SHARE_NOISE):
        return Entry(Verdict(OK, 0.0, 0.0), quantity, limit_price)
    verdict = check_entry(net, limit_price, equity, account["cash"], market.vix[t], measures, data, limits)
    return Entry(verdict, quantity, limit_price)


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
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    exits: Exits,
    limits: Limits,
) -> None:
    """Divide a buy of `quantity` shares of slot `s` among the strategies that lack something, by what each lacks."""
    slot = slots[s]
    ticker = slot["ticker"]
    lacking = lacking_share(account, slot, lots[s], stopped, market.day, signals, t, weights, limits.max_position)
    close, volatility = market.bars[ticker, t, CLOSE], market.bars[ticker, t, VOLATILITY]
    done, given, bits, most = 0.0, 0.0, concerned(signals, slot, t, ticker), limits.max_position
    for k in range(len(weights)):
        if not ((bits >> k) & 1):
            continue
        missing = lack(account, slot, lots[s], stopped, market.day, k, signals, t, ticker, weights, most)
        if not (missing > 0.0):
            continue
        done += missing
        upto = quantity if not (done < lacking) else round_shares(quantity * done / lacking, limits.share_step)
        if upto - given > SHARE_NOISE:
            stop, target = protective_prices(close, volatility, protection_of(signals, k), exits.disaster_stop)
            want(slot, lots[s, k], k, upto - given, stop, target)
            lots[s, k]["exit_reason"] = NO_REASON
            lots[s, k]["wish"] = wish_of_lot(
                account, slot, lots[s], stopped, market.day, k, signals, t, ticker, weights, most
            )
            given = upto
    slot["limit_price"] = limit_price
    sum_wishes(slot, lots[s])
    net_order(slots, lots, s)
    settle_levels(slot, lots[s])


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
    if owns(slot, k) and lots[k]["quantity"] > 0.0 and slot["ticker"] == ticker:
        wish -= lots[k]["quantity"] * slot["price"] / account["equity"]
    return max(0.0, wish)


# ---------------------------------------------------------------- new positions


@inlined
def start_candidates(signals: Signals, t: int, heads: Ints) -> None:
    """Point `heads` (K,) at the strongest candidate of each strategy at row `t`."""
    for k in range(len(heads)):
        heads[k] = signals.start[t, k]


@inlined
def next_candidate(
    signals: Signals,
    t: int,
    weights: Floats,
    slots: Records,
    stopped: Ints,
    day: Ints,
    heads: Ints,
    seen: Ints,
    n_seen: int,
    limits: Limits,
) -> Candidate:
    """Take the strongest remaining candidate off the strategies' lists; ties go to the first ticker, then strategy.

    Strategies with weight 0 are skipped, and so are tickers that the book already holds or has pending, that cool, or
    that are among the first `n_seen` of `seen`: they have been looked at. Between two calls only the last of these
    changes what may be taken, so a head that points at another ticker still stands.
    """
    n_strategies = len(weights)
    last = seen[n_seen - 1] if n_seen > 0 else -1
    best, best_wish, best_ticker = -1, 0.0, -1
    for k in range(n_strategies):
        if not (weights[k] > 0.0):
            continue
        n, stop = heads[k], signals.start[t, k + 1]
        if n < stop and (n_seen == 0 or signals.ticker[n] == last):
            while n < stop and passed_over(signals, k, slots, stopped, day, seen, n_seen, signals.ticker[n], t):
                n += 1
            heads[k] = n
        if n >= stop:
            continue
        ticker, wish = signals.ticker[n], signals.strength[n] * weights[k]
        if signals.is_target[k] == 0:
            wish *= n_strategies * limits.max_position
        if best < 0 or wish > best_wish or (wish == best_wish and ticker < best_ticker):
            best, best_wish, best_ticker = k, wish, ticker
    return Candidate(best, best_ticker, best_wish)


@lean
def passed_over(
    signals: Signals, k: int, slots: Records, stopped: Ints, day: Ints, seen: Ints, n_seen: int, ticker: int, t: int
) -> bool:
    """Return True if strategy `k` gets no new position in `ticker`: it is held, was looked at, or cools."""
    if is_held(slots, ticker):
        return True
    for n in range(n_seen):
        if seen[n] == ticker:
            return True
    return cools(signals, k, stopped, day, ticker, t)


@lean
def is_held(slots: Records, ticker: int) -> bool:
    """Return True if a slot holds `ticker` or has it pending."""
    for s in range(len(slots)):  # noqa: SIM110 - a generator does not compile
        if slots[s]["ticker"] == ticker:
            return True
    return False


@lean
def free_slot(slots: Records, limits: Limits) -> int:
    """Return the first empty slot, or -1 if the book holds as many positions as are allowed."""
    free, used = -1, 0
    for s in range(len(slots)):
        if slots[s]["ticker"] >= 0:
            used += 1
        elif free < 0:
            free = s
    return free if used < limits.max_positions else -1


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
    """Return the dollars by which a position should grow, from nothing or from what it is, within bounds and caps."""
    room, _ = cap_room(equity, account["cash"], market.vix[t], measures, limits)
    volatility = market.bars[ticker, t, VOLATILITY]
    wanted = entry_dollars(account, equity, strength, volatility, measures, limits) - measures.position
    return max(0.0, min(room, wanted))


@lean
def size_entry(
    account: Record, slots: Records, market: Market, t: int, ticker: int, strength: float, equity: float, limits: Limits
) -> float:
    """Return the dollars that a candidate should get at row `t`; 0 when nothing sensible can be said.

    `strength` is the share of a whole slot that is wanted. A new position that is not worth its slot gets nothing.
    """
    measures = measure_entry(slots, market, t, ticker, limits)
    dollars = capped_dollars(account, equity, strength, market, t, ticker, measures, limits)
    if measures.is_new and not (dollars >= worth_a_slot(equity, market.vix[t], limits)):
        return 0.0
    return dollars


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
    account: Record, slots: Records, market: Market, t: int, ticker: int, wish: float, limits: Limits
) -> Entry:
    """Size a candidate of which strategies want the share `wish` of equity, and check the order.

    The same as `size_entry`, then `check_order`, measuring the book once.
    """
    measures = measure_entry(slots, market, t, ticker, limits)
    equity = account["equity"]
    limit_price = entry_price(market.bars[ticker, t, CLOSE], limits)
    data = market_verdict(market, t, ticker)
    quantity = 0.0
    if data.code == OK:
        strength = wish / limits.max_position
        dollars = capped_dollars(account, equity, strength, market, t, ticker, measures, limits)
        if dollars >= worth_a_slot(equity, market.vix[t], limits):
            quantity = round_shares(dollars / limit_price, limits.share_step)
    verdict = check_entry(quantity, limit_price, equity, account["cash"], market.vix[t], measures, data, limits)
    return Entry(verdict, quantity, limit_price)


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
    """Return the slot that should make room for ticker `rival`, of which much more is wanted; -1 if none should.

    While anything is leaving anyway, nothing is sent away.
    """
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
    if weakest < 0:
        return -1
    offered = total_wish(
        account, slots[weakest], lots[weakest], stopped, day, signals, t, rival, weights, limits.max_position
    )
    return weakest if offered > least * (1.0 + sizing.replace_margin) else -1


@lean
def may_replace(slots: Records, best_wish: float, n_strategies: int, sizing: Sizing) -> bool:
    """Return False if no position can be weak enough to make room for a ticker.

    None of the strategies wants more than `best_wish` of it.
    """
    for s in range(len(slots)):
        if slots[s]["quantity"] > 0.0 and slots[s]["wish"] * (1.0 + sizing.replace_margin) < best_wish * n_strategies:
            return True
    return False


@lean
def send_away(slots: Records, lots: Records, s: int) -> None:
    """Let the position in slot `s` leave at the next open to make room."""
    ask_all_out(slots, lots, s, REPLACED)
    net_order(slots, lots, s)
