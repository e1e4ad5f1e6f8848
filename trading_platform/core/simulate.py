"""The simulation kernel: one or many books through many sessions, in a compiled loop of the engine's own rules.

A session runs: corporate actions, pending sells then buys at the open, stops and targets, close, risk; then the
decision for the next open. `process_session` and `decide_session` are those halves for one book; the paper broker
and the engine use the same parts, and `tests/parity` holds them equal to the cent.

While a book is halted by drawdown, its *shadow* (the same decisions continued on paper from the halt on) runs beside
it and decides when the halt ends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import inlined, lean
from trading_platform.core.costs import Costs
from trading_platform.core.decide import (
    any_candidate,
    exit_reason,
    free_slot,
    next_candidate,
    review_entry,
    start_candidates,
    weighted_strength,
)
from trading_platform.core.ledger import Record, Records, new_books, reserve
from trading_platform.core.market import CLOSE, Market, Signals
from trading_platform.core.risk.rules import (
    HALTED,
    MAX_POSITIONS,
    NO_EVENT,
    OK,
    accept_equity,
    entry_gate,
    update_daily_loss,
    update_drawdown,
)
from trading_platform.core.session import FillLog, Rules, new_fill_log, trade_session
from trading_platform.core.types import DENIAL_CODES, Floats, Ints

N_CODES = len(DENIAL_CODES)


class Books(NamedTuple):
    """E portfolios: accounts (E,), slots (E, S), and the shadows that decide when a drawdown halt ends."""

    accounts: Records
    slots: Records
    shadows: Records
    shadow_slots: Records


def open_books(n_books: int, n_slots: int, capital: float) -> Books:
    """Return `n_books` empty portfolios holding `capital` dollars each."""
    accounts, slots = new_books(n_books, n_slots, capital)
    return Books(accounts, slots, accounts.copy(), slots.copy())


@inlined
def process_session(
    books: Books, e: int, market: Market, t: int, rules: Rules, log: FillLog, shadow_log: FillLog
) -> int:
    """Run session `t` for book `e` and, while it is halted, for its shadow; return the drawdown event."""
    account, shadow = books.accounts[e], books.shadows[e]
    equity = trade_session(account, books.slots[e], market, t, rules, log)
    accepted = accept_equity(account, equity, rules.limits)
    if account["halted"] != 0:
        trade_shadow(shadow, books.shadow_slots[e], market, t, rules, shadow_log)
    if not accepted:
        return NO_EVENT
    update_daily_loss(account, rules.limits)
    event = update_drawdown(account, shadow["accepted_equity"], rules.limits)
    if event == HALTED:
        start_shadow(books, e)
    return event


@lean
def trade_shadow(shadow: Record, slots: Records, market: Market, t: int, rules: Rules, log: FillLog) -> None:
    """Run session `t` for a shadow: every rule but the drawdown halt, which it is there to end."""
    equity = trade_session(shadow, slots, market, t, rules, log)
    if accept_equity(shadow, equity, rules.limits):
        shadow["peak_equity"] = equity
        update_daily_loss(shadow, rules.limits)


@lean
def start_shadow(books: Books, e: int) -> None:
    """Copy book `e`, which has just been halted, into its shadow, which trades on."""
    books.shadows[e] = books.accounts[e]
    for s in range(books.slots.shape[1]):
        books.shadow_slots[e, s] = books.slots[e, s]
    shadow = books.shadows[e]
    shadow["halted"] = 0
    shadow["peak_equity"] = shadow["accepted_equity"]


# ---------------------------------------------------------------- decisions of one session


@inlined
def decide_session(
    account: Record,
    slots: Records,
    market: Market,
    signals: Signals,
    t: int,
    weights: Floats,
    rules: Rules,
    heads: Ints,
    denials: Ints,
) -> None:
    """Decide at the close of session `t` for the next open: exits, then entries strongest first.

    `denials` (N_CODES,) counts refusals by code; a closed gate counts once a session.
    """
    for s in range(len(slots)):
        if slots[s]["quantity"] > 0.0:
            slots[s]["exit_reason"] = exit_reason(
                slots[s], signals.exits[slots[s]["ticker"], t], rules.exits.max_holding
            )
    gate = entry_gate(account, market.clock[t], market.vix[t], market.vix_age[t], rules.limits)
    if gate.code != OK:
        denials[gate.code] += 1
        return
    start_candidates(signals, t, heads)
    for _ in range(rules.limits.max_reviews):
        if free_slot(slots) < 0:  # the verdict on any candidate is known, and a full book is the common case
            denials[MAX_POSITIONS] += 1 if any_candidate(signals, t, weights, slots, heads) else 0
            return
        candidate = next_candidate(signals, t, weights, slots, heads)
        if candidate.strategy < 0:
            return
        strength = weighted_strength(candidate.strength, weights[candidate.strategy], len(weights))
        entry = review_entry(account, slots, market, t, candidate.ticker, strength, rules.exits, rules.limits)
        denials[entry.verdict.code] += 1
        if entry.verdict.code == MAX_POSITIONS:
            return
        if entry.verdict.code == OK:
            reserve(
                slots[free_slot(slots)],
                candidate.ticker,
                candidate.strategy,
                entry.quantity,
                entry.limit_price,
                entry.stop,
                entry.target,
                market.bars[candidate.ticker, t, CLOSE],
            )


def new_scratch(n_strategies: int) -> Ints:
    """Return the working space of `decide_books`, (n_strategies + N_CODES,)."""
    return np.zeros(n_strategies + N_CODES, dtype=np.int64)


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
    """Decide at the close of session `t` for book `e` and, while it is halted, for its shadow.

    `scratch` is `new_scratch` of the strategies, for the lists' heads and for refusals that nobody counts.
    """
    heads = scratch[: len(weights)]
    account, slots, refused = books.accounts[e], books.slots[e], denials
    for _ in range(2 if account["halted"] != 0 else 1):  # one body for both: it is compiled into whoever calls
        decide_session(account, slots, market, signals, t, weights, rules, heads, refused)
        account, slots, refused = books.shadows[e], books.shadow_slots[e], scratch[len(weights) :]


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
) -> None:
    """Run each book e through sessions [start[e], stop[e]) under `weights` (E or 1, T or 1, K), decided at each close.

    `days` (E, T) receives one DAY row a session at its own row, `denials` (E, N_CODES) the refusals.
    """
    scratch = new_scratch(weights.shape[2])
    _run_books(books, market, signals, start, stop, weights, rules, log, new_fill_log(0), days, denials, scratch)


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
    day["halted"] = account["halted"]
    day["event"] = event


@lean
def scaled_costs(costs: Costs, scale: float) -> Costs:
    """Return `costs` with spread, slippage and impact multiplied by `scale`; fees are what they are."""
    return Costs(
        costs.spread_and_slippage * scale,
        costs.impact * scale,
        costs.commission_per_share,
        costs.min_commission,
        costs.sec_fee,
        costs.taf_per_share,
        costs.taf_max,
        costs.max_participation,
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
        scaled = Rules(rules.limits, rules.exits, scaled_costs(rules.costs, cost_scale[e]))
        decide_books(books, e, market, signals, rows[e], weights[e], scaled, scratch, denials[e])
        process_session(books, e, market, rows[e] + 1, scaled, no_log, no_log)


class Backtest(NamedTuple):
    """What a kernel backtest gives: `days` (n,) of DAY for the sessions run, `fills` of FILL, `denials` by code."""

    days: Records
    fills: Records
    denials: Ints
    books: Books


def backtest(
    market: Market, signals: Signals, weights: Floats, rules: Rules, capital: float, start: int, stop: int
) -> Backtest:
    """Run one book from row `start` to `stop` (exclusive).

    `weights` is (K,) for a constant allocation or (T, K) for one row a session, decided at that session's close.
    """
    n_slots = rules.limits.max_positions
    books = open_books(1, n_slots, capital)
    log = new_fill_log((stop - start) * n_slots * 4 + 1)
    days = np.zeros((1, len(market.day)), dtype=DAY)
    denials = np.zeros((1, N_CODES), dtype=np.int64)
    rows = np.ascontiguousarray(np.atleast_2d(weights)[None], dtype=np.float64)
    bounds = np.array([start], dtype=np.int64), np.array([stop], dtype=np.int64)
    run_books(books, market, signals, *bounds, rows, rules, log, days, denials)
    return Backtest(days[0, start:stop].copy(), log.rows[: log.used[0]].copy(), denials[0], books)
