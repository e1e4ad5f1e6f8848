"""New positions: which ticker is looked at next, how large its order is, and what the rules say of it.

Pure steps over one book. The kernel calls them in a compiled loop; the engine calls the same steps from Python and
hands each size and order to `RiskManager`, which calls the rules of `core.risk`.

Shapes: `slots` (S,), `weights` (K,), `stopped` (N,), `day` (T,); `heads` (K,) where each strategy's list stands,
`seen` (M,) tickers that were looked at. Money is dollars, a wish a fraction of equity.
"""

from __future__ import annotations

from typing import NamedTuple

from trading_platform.core.compiled import inlined, lean
from trading_platform.core.fills import down_to_tick, round_shares
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import CLOSE, VOLATILITY, Market, Signals
from trading_platform.core.risk.caps import OK, RuleVerdict, cap_room
from trading_platform.core.risk.denial_codes import Measures
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import check_entry, market_verdict, measure_entry
from trading_platform.core.risk.sizing import entry_dollars, worth_a_slot
from trading_platform.core.types import Floats, Ints
from trading_platform.core.wishes import cools

MARK = 31  # the last bit of `held_marks`


class Candidate(NamedTuple):
    """The next ticker to look at; `strategy` is -1 when there is none left."""

    strategy: int
    ticker: int
    wish: float  # share of equity that no strategy's wish for the ticker exceeds


class Entry(NamedTuple):
    """A reviewed entry: the verdict and, if it is OK, the shares to buy and the worst price."""

    verdict: RuleVerdict
    quantity: float
    limit_price: float


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
    marks = held_marks(slots)
    best, best_wish, best_ticker = -1, 0.0, -1
    for k in range(n_strategies):
        if not (weights[k] > 0.0):
            continue
        n, stop = heads[k], signals.start[t, k + 1]
        if n < stop and (n_seen == 0 or signals.ticker[n] == last):
            while n < stop and passed_over(signals, k, slots, marks, stopped, day, seen, n_seen, signals.ticker[n], t):
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
    signals: Signals,
    k: int,
    slots: Records,
    marks: int,
    stopped: Ints,
    day: Ints,
    seen: Ints,
    n_seen: int,
    ticker: int,
    t: int,
) -> bool:
    """Return True if strategy `k` gets no new position in `ticker`: it is held, was looked at, or cools.

    `marks` are `held_marks`.
    """
    if (marks >> (ticker & MARK)) & 1 and is_held(slots, ticker):
        return True
    for n in range(n_seen):
        if seen[n] == ticker:
            return True
    return cools(signals, k, stopped, day, ticker, t)


@lean
def held_marks(slots: Records) -> int:
    """Return a bit for each ticker held or pending, which it shares with others: where none is set, none is held."""
    marks = 0
    for s in range(len(slots)):
        if slots[s]["ticker"] >= 0:
            marks |= 1 << (slots[s]["ticker"] & MARK)
    return marks


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
) -> RuleVerdict:
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
