"""The simulation kernel: one or many books through many sessions, in a compiled loop of the engine's own rules.

A session runs: corporate actions, pending sells then buys at the open, stops and targets, close, risk; then the
decision for the next open. `process_session` and `decide_session` are those halves for one book; the paper broker
and the engine use the same parts, and `tests/parity` holds them equal to the cent. Nobody can resume here: a book that
waits for an operator goes flat.

While a book is halted by drawdown, its *shadow* (the same decisions continued on paper from the halt on) runs beside
it and decides when the halt ends.

Shapes: `slots` (S,), `lots` (S, K), `stopped` (N,), a day for each ticker; K strategies, N tickers.
`Books` has them for E portfolios; `weights` (K,) is the allocation, `denials` (codes,) counts refusals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.booking import LONG_AGO, ask_all_out, net_order
from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Costs
from trading_platform.core.entries import free_slot, next_candidate, review_entry, start_candidates
from trading_platform.core.fill_log import FillLog, new_fill_log
from trading_platform.core.growth import grow_positions, share_out
from trading_platform.core.leaving import may_replace, review_lots, send_away, weakest_slot
from trading_platform.core.ledger import Record, Records, new_books, reserve
from trading_platform.core.market import CLOSE, Market, Signals
from trading_platform.core.reasons import FLATTEN
from trading_platform.core.risk.caps import OK
from trading_platform.core.risk.denial_codes import DENIAL_CODES
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.rules import (
    HALTED,
    MAX_POSITIONS,
    NO_EVENT,
    UNTIL_RECOVERY,
    accept_equity,
    check_account,
    is_for_operator,
    market_verdict,
    update_daily_loss,
    update_drawdown,
)
from trading_platform.core.session import Rules, trade_session
from trading_platform.core.types import Floats, Ints
from trading_platform.core.unused_capital import Unused, unused_in
from trading_platform.core.wishes import total_wish

N_CODES = len(DENIAL_CODES)
N_CAUSES = len(Unused._fields)
NOTHING_TOLD: Floats = np.zeros((0, 1, N_CAUSES))
SPARE_SLOTS = 2  # beyond the allowed positions: what a spin-off adds is nobody's decision


class Books(NamedTuple):
    """E portfolios, and the shadows that decide when a drawdown halt ends.

    accounts (E,), slots (E, S), lots (E, S, K), and stopped (E, N): the day on which a ticker was last stopped out.
    """

    accounts: Records
    slots: Records
    lots: Records
    stopped: Ints
    shadows: Records
    shadow_slots: Records
    shadow_lots: Records
    shadow_stopped: Ints


def open_books(n_books: int, max_positions: int, n_strategies: int, n_tickers: int, capital: float) -> Books:
    """Return `n_books` empty portfolios holding `capital` dollars each."""
    accounts, slots, lots = new_books(n_books, max_positions + SPARE_SLOTS, n_strategies, capital)
    stopped = np.full((n_books, n_tickers), LONG_AGO, dtype=np.int64)
    return Books(accounts, slots, lots, stopped, accounts.copy(), slots.copy(), lots.copy(), stopped.copy())


@inlined
def process_session(
    books: Books, e: int, market: Market, t: int, rules: Rules, log: FillLog, shadow_log: FillLog
) -> int:
    """Run session `t` for book `e` and, while it is halted, for its shadow; return the drawdown event."""
    account, shadow = books.accounts[e], books.shadows[e]
    equity = trade_session(account, books.slots[e], books.lots[e], books.stopped[e], market, t, rules, log)
    accepted = accept_equity(account, equity, rules.limits)
    if account["halted"] == UNTIL_RECOVERY:
        shadow_slots, shadow_lots = books.shadow_slots[e], books.shadow_lots[e]
        trade_shadow(shadow, shadow_slots, shadow_lots, books.shadow_stopped[e], market, t, rules, shadow_log)
    if not accepted:
        return NO_EVENT
    update_daily_loss(account, rules.limits)
    event = update_drawdown(account, shadow["accepted_equity"], rules.limits)
    if event == HALTED:
        start_shadow(books, e)
    return event


@lean
def trade_shadow(
    shadow: Record, slots: Records, lots: Records, stopped: Ints, market: Market, t: int, rules: Rules, log: FillLog
) -> None:
    """Run session `t` for a shadow: every rule but the drawdown halt, which it is there to end."""
    equity = trade_session(shadow, slots, lots, stopped, market, t, rules, log)
    if accept_equity(shadow, equity, rules.limits):
        shadow["peak_equity"] = equity
        shadow["total_peak"] = equity
        update_daily_loss(shadow, rules.limits)


@lean
def start_shadow(books: Books, e: int) -> None:
    """Copy book `e`, which has just been halted, into its shadow, which trades on."""
    books.shadows[e] = books.accounts[e]
    for s in range(books.slots.shape[1]):
        books.shadow_slots[e, s] = books.slots[e, s]
        for k in range(books.lots.shape[2]):
            books.shadow_lots[e, s, k] = books.lots[e, s, k]
    for i in range(books.stopped.shape[1]):
        books.shadow_stopped[e, i] = books.stopped[e, i]
    shadow = books.shadows[e]
    shadow["halted"] = 0
    shadow["peak_equity"] = shadow["accepted_equity"]
    shadow["total_peak"] = shadow["accepted_equity"]


# ---------------------------------------------------------------- decisions of one session


@inlined
def decide_session(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    rules: Rules,
    scratch: Ints,
    denials: Ints,
) -> None:
    """Decide at the close of session `t` for the next open: exits and trims, growth, then entries strongest first.

    `denials` (N_CODES,) counts refusals by code; a closed gate counts once a session. `scratch` is `new_scratch`.
    """
    limits, n_strategies = rules.limits, len(weights)
    heads, seen = scratch[:n_strategies], scratch[n_strategies + N_CODES :]
    review_lots(account, slots, lots, market, signals, t, weights, limits, rules.sizing)
    gate = check_account(account, market.clock[t], market.vix[t], market.vix_age[t], limits)
    if gate.code != OK:
        denials[gate.code] += 1
        if is_for_operator(account, limits):  # and there is none here
            go_flat(slots, lots)
        return
    grow_positions(account, slots, lots, stopped, market, signals, t, weights, rules.exits, limits, rules.sizing)
    start_candidates(signals, t, heads)
    for n_seen in range(limits.max_reviews):
        candidate = next_candidate(signals, t, weights, slots, stopped, market.day, heads, seen, n_seen, limits)
        if candidate.strategy < 0:
            return
        s, ticker = free_slot(slots, limits), candidate.ticker
        if s < 0:  # the verdict is known, and a full book is the common case
            denials[MAX_POSITIONS] += 1
            if may_replace(slots, ticker, candidate.wish, signals, t, weights, rules.sizing):
                make_room(account, slots, lots, stopped, market, signals, t, weights, rules, ticker)
            return
        seen[n_seen] = ticker
        most = limits.max_position
        wish = total_wish(account, slots[s], lots[s], stopped, market.day, signals, t, ticker, weights, most)
        entry = review_entry(account, slots, market, t, ticker, wish, limits)
        denials[entry.verdict.code] += 1
        if entry.verdict.code == OK:
            reserve(slots[s], ticker, entry.quantity, entry.limit_price, market.bars[ticker, t, CLOSE])
            shares, price = entry.quantity, entry.limit_price
            share_out(
                account, slots, lots, stopped, s, shares, price, wish, market, signals, t, weights, rules.exits, limits
            )


@lean
def go_flat(slots: Records, lots: Records) -> None:
    """Let every position leave at the next open, for good."""
    for s in range(len(slots)):
        if slots[s]["quantity"] > 0.0:
            ask_all_out(slots, lots, s, FLATTEN)
            net_order(slots, lots, s)


@lean
def make_room(
    account: Record,
    slots: Records,
    lots: Records,
    stopped: Ints,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    rules: Rules,
    rival: int,
) -> None:
    """Send the weakest position away if much more is wanted of ticker `rival`, whose data must be known."""
    if market_verdict(market, t, rival).code != OK:
        return
    limits, sizing = rules.limits, rules.sizing
    weakest = weakest_slot(account, slots, lots, stopped, market.day, signals, t, weights, rival, limits, sizing)
    if weakest >= 0:
        send_away(slots, lots, weakest)


def new_scratch(n_strategies: int, max_reviews: int) -> Ints:
    """Return the working space of `decide_session`: heads of lists, refusals that nobody counts, tickers looked at."""
    return np.zeros(n_strategies + N_CODES + max_reviews, dtype=np.int64)


@inlined
def decide_books(
    books: Books,
    e: int,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    rules: Rules,
    scratch: Ints,
    denials: Ints,
) -> None:
    """Decide at the close of session `t` for book `e` and, while it is halted, for its shadow."""
    account, slots, lots, stopped = books.accounts[e], books.slots[e], books.lots[e], books.stopped[e]
    refused = denials
    for _ in range(
        2 if account["halted"] == UNTIL_RECOVERY else 1
    ):  # one body for both: it is compiled into whoever calls
        decide_session(account, slots, lots, stopped, market, signals, t, weights, rules, scratch, refused)
        account, slots = books.shadows[e], books.shadow_slots[e]
        lots, stopped = books.shadow_lots[e], books.shadow_stopped[e]
        refused = scratch[len(weights) : len(weights) + N_CODES]


# ---------------------------------------------------------------- many sessions, many books

DAY = np.dtype(
    [
        ("equity", np.float64),
        ("cash", np.float64),
        ("exposure", np.float64),  # fraction of equity in positions
        ("drawdown", np.float64),  # from the reference peak
        ("positions", np.int64),
        ("halted", np.int64),
        ("event", np.int64),  # update_drawdown's
    ]
)


def run_books(
    books: Books,
    market: Market,
    signals: Signals,
    start: Ints,
    stop: Ints,
    weights: Floats,
    rules: Rules,
    log: FillLog,
    days: Records,
    denials: Ints,
    unused: Floats = NOTHING_TOLD,
) -> None:
    """Run each book e through sessions [start[e], stop[e]) under `weights` (E or 1, T or 1, K), decided at each close.

    `days` (E, T) receives one DAY row a session at its own row, `denials` (E, N_CODES) the refusals, `unused`
    (E, T, 5), where it is given, what each decision left in cash, dollars in the order of `unused_capital.Unused`.
    """
    scratch = new_scratch(weights.shape[2], rules.limits.max_reviews)
    _run_books(
        books, market, signals, start, stop, weights, rules, log, new_fill_log(0), days, denials, unused, scratch
    )


@lean
def _run_books(
    books: Books,
    market: Market,
    signals: Signals,
    start: Ints,
    stop: Ints,
    weights: Floats,
    rules: Rules,
    log: FillLog,
    shadow_log: FillLog,
    days: Records,
    denials: Ints,
    unused: Floats,
    scratch: Ints,
) -> None:
    for e in range(len(books.accounts)):
        of_book = weights[e if weights.shape[0] > 1 else 0]
        for t in range(start[e], stop[e]):
            first = log.used[0]
            event = process_session(books, e, market, t, rules, log, shadow_log)
            for n in range(first, min(log.used[0], len(log.rows))):
                log.rows[n]["book"] = e
            note_day(days[e, t], books.accounts[e], books.slots[e], event)
            row = of_book[t if weights.shape[1] > 1 else 0]
            decide_books(books, e, market, signals, t, row, rules, scratch, denials[e])
            if len(unused) > 0:
                note_unused(unused[e, t], books, e, market, signals, t, row, rules.limits)


@lean
def note_unused(
    left: Floats, books: Books, e: int, market: Market, signals: Signals, t: int, weights: Floats, limits: Limits
) -> None:
    """Write what the decision at row `t` left in the cash of book `e` into `left` (5,), dollars by cause."""
    account, slots = books.accounts[e], books.slots[e]
    gate = check_account(account, market.clock[t], market.vix[t], market.vix_age[t], limits)
    is_open, is_full = gate.code == OK, free_slot(slots, limits) < 0
    found = unused_in(account["equity"], slots, books.lots[e], signals, t, weights, limits, is_open, is_full)
    left[0] = found.no_signal
    left[1] = found.slots
    left[2] = found.caps
    left[3] = found.size
    left[4] = found.halts


@lean
def note_day(day: Record, account: Record, slots: Records, event: int) -> None:
    """Write the state of a book at a close into `day`."""
    held = 0.0
    positions = 0
    for s in range(len(slots)):
        if slots[s]["quantity"] > 0.0:
            held += slots[s]["value"]
            positions += 1
    equity = account["equity"]
    day["equity"] = equity
    day["cash"] = account["cash"]
    day["exposure"] = held / equity if equity > 0.0 else 0.0
    day["drawdown"] = max(0.0, 1.0 - equity / account["peak_equity"])
    day["positions"] = positions
    day["halted"] = 0 if account["halted"] == 0 else 1
    day["event"] = event


@lean
def scaled_costs(costs: Costs, scale: float) -> Costs:
    """Return `costs` with spread, slippage and impact multiplied by `scale`; fees are what they are."""
    return Costs(
        costs.half_spread * scale,
        costs.slippage * scale,
        costs.impact * scale,
        costs.commission_per_share,
        costs.min_commission,
        costs.sec_fee,
        costs.taf_per_share,
        costs.taf_max,
        costs.max_participation,
        costs.delisting_haircut,
        costs.special_dividend,
    )


@lean
def step_books(
    books: Books,
    first: int,
    last: int,
    market: Market,
    signals: Signals,
    rows: Ints,
    weights: Floats,
    rules: Rules,
    cost_scale: Floats,
    denials: Ints,
    scratch: Ints,
    no_log: FillLog,
) -> None:
    """Move books [first, last) one session on: decide at the close of row rows[e], run the next session.

    `rows` is (E,), `weights` (E, K), `denials` (E, N_CODES); `cost_scale` (E,) multiplies spread, slippage and impact;
    `scratch` is `new_scratch` of the strategies and `no_log` a log of capacity 0.
    """
    for e in range(first, last):
        scaled = Rules(rules.limits, rules.exits, scaled_costs(rules.costs, cost_scale[e]), rules.sizing)
        decide_books(books, e, market, signals, rows[e], weights[e], scaled, scratch, denials[e])
        process_session(books, e, market, rows[e] + 1, scaled, no_log, no_log)


def fills_at_most(n_slots: int, n_strategies: int, n_sessions: int) -> int:
    """Return the rows of a fill log that so many sessions of one book do not fill, unless everything trades."""
    return n_sessions * n_slots * 4 + 4 * n_slots * n_strategies + 1


class Backtest(NamedTuple):
    """What a kernel backtest gives: `days` (n,) of DAY for the sessions run, `fills` of FILL, `denials` by code.

    `unused` is (n, 5) dollars left in cash by cause, or (0, 5) where it was not asked for.
    """

    days: Records
    fills: Records
    denials: Ints
    books: Books
    unused: Floats


def backtest(
    market: Market,
    signals: Signals,
    weights: Floats,
    rules: Rules,
    capital: float,
    start: int,
    stop: int,
    *,
    tells_unused: bool = False,
) -> Backtest:
    """Run one book from row `start` to `stop` (exclusive).

    `weights` is (K,) for a constant allocation or (T, K) for one row a session, decided at that session's close.
    `tells_unused` asks for what decisions left in cash.
    """
    n_strategies = weights.shape[-1]
    books = open_books(1, rules.limits.max_positions, n_strategies, len(market.bars), capital)
    log = new_fill_log(fills_at_most(books.slots.shape[1], n_strategies, stop - start))
    days = np.zeros((1, len(market.day)), dtype=DAY)
    denials = np.zeros((1, N_CODES), dtype=np.int64)
    rows = np.ascontiguousarray(np.atleast_2d(weights)[None], dtype=np.float64)
    bounds = np.array([start], dtype=np.int64), np.array([stop], dtype=np.int64)
    unused = np.zeros((1, len(market.day), N_CAUSES)) if tells_unused else NOTHING_TOLD
    run_books(books, market, signals, *bounds, rows, rules, log, days, denials, unused)
    told = unused[0, start:stop].copy() if tells_unused else NOTHING_TOLD[:, 0]
    return Backtest(days[0, start:stop].copy(), log.rows[: log.used[0]].copy(), denials[0], books, told)
