"""What every rule says of an order: observed value, limit, headroom; and the largest order that would pass.

Shapes: `accounts` and `limit_rows` (1,), as `core.compiled.as_rows` gives them; `slots` (S,).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.entries import size_entry
from trading_platform.core.fills import round_shares
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market
from trading_platform.core.risk.book import RiskBook
from trading_platform.core.risk.caps import (
    CAP_IS_SHARE,
    HALF_CENT,
    INVALID_ORDER,
    NOISE,
    OK,
    SMALLEST_PRICE,
    RuleVerdict,
    cap_numbers,
    cap_room,
    cap_slack,
)
from trading_platform.core.risk.denial_codes import CAPS, DENIAL_CODES, N_CAPS, DenialCode
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.messages import describe, market_age
from trading_platform.core.risk.rules import check_account, daily_loss_of, drawdown_of, market_verdict, measure_entry
from trading_platform.core.types import Denial, Explanation, RuleCheck
from trading_platform.core.view import MarketView


class Largest(NamedTuple):
    """The largest order that passes (shares, 0 = none), the code that binds it, the column that it moves most with."""

    quantity: float
    binding: int
    correlated: int


def denied(book: RiskBook, view: MarketView, verdict: RuleVerdict, ticker: str, price: float) -> Denial:
    """Return the denial of a buy at the worst `price` that an order rule refused."""
    largest = largest_entry(book, view, view.columns[ticker], price)
    code, other = DENIAL_CODES[verdict.code], ""
    if code in (DenialCode.CORRELATION_LIMIT, DenialCode.CORRELATION_UNKNOWN):
        other = view.tickers[largest.correlated]
    words = describe(verdict, book.limits, ticker, other)
    return Denial(code, ticker, float(verdict.observed), float(verdict.limit), words, largest.quantity)


def explain_entry(
    book: RiskBook, view: MarketView, ticker: str, quantity: float, price: float, denial: Denial | None, *, closed: bool
) -> Explanation:
    """Return every rule's view of a buy judged as `denial`; `closed` = no size would pass whatever they say."""
    column, quantity, price = view.columns[ticker], float(quantity), float(price)
    checks = account_checks(book.account, view, book.limits)
    checks += order_checks(book.account, book.slots, view, column, quantity, price, book.limits)
    largest = largest_entry(book, view, column, price)
    binding = DENIAL_CODES[largest.binding]
    if denial is None:
        return Explanation(True, "OK", binding, largest.quantity, tuple(checks))
    if denial.code is DenialCode.PRICE_OFF_MARKET:  # at such a price no quantity means anything
        checks.append(_check(denial.code, denial.observed, denial.limit))
        closed = True
    return Explanation(False, denial.message, denial.code, 0.0 if closed else largest.quantity, tuple(checks))


def sensible_dollars(book: RiskBook, view: MarketView, ticker: str, strength: float, equity: float) -> float:
    """Return the notional that a new position should have in dollars; 0 where no size could pass the order rules."""
    rows, column = (book.books.accounts, book.slots), view.columns[ticker]
    passable = book.direct(passable_dollars)
    return float(passable(view.market, *rows, view.t, column, float(strength), float(equity), book.limit_rows))


@lean
def passable_dollars(
    market: Market,
    accounts: Records,
    slots: Records,
    t: int,
    ticker: int,
    strength: float,
    equity: float,
    limit_rows: Records,
) -> float:
    """Return `sensible_dollars` of column `ticker` at row `t`, in one compiled call."""
    if market_verdict(market, t, ticker).code != OK or not (equity > 0.0):
        return 0.0
    return size_entry(accounts[0], slots, market, t, ticker, strength, equity, limit_rows[0])


def account_checks(account: Record, view: MarketView, limits: Limits) -> list[RuleCheck]:
    """Return the rules that look at the account and the market as a whole."""
    age = float(view.market.vix_age[view.t]) + market_age(view)
    pause = max(0.0, (account["pause_until"] - view.clock) / 3600.0)
    drawdown = drawdown_of(account["accepted_equity"], account["peak_equity"])
    total = drawdown_of(account["accepted_equity"], account["total_peak"])
    return [
        _check(
            DenialCode.DRAWDOWN_HALT, drawdown, limits.recovery_drawdown if account["halted"] else limits.max_drawdown
        ),
        _check(DenialCode.TOTAL_DRAWDOWN, total, limits.max_total_drawdown),
        _check(DenialCode.DAILY_LOSS_LIMIT, daily_loss_of(account), limits.max_daily_loss),
        _check(DenialCode.LOSS_STREAK_PAUSE, pause, 0.0),
        _check(DenialCode.VIX_UNKNOWN, age, limits.max_vix_age),
    ]


def order_checks(
    account: Record, slots: Records, view: MarketView, ticker: int, quantity: float, price: float, limits: Limits
) -> list[RuleCheck]:
    """Return the rules that look at a buy of `quantity` shares at the worst `price` dollars."""
    measures = measure_entry(slots, view.market, view.t, ticker, limits)
    equity, cash, vix = float(account["equity"]), float(account["cash"]), float(view.market.vix[view.t])
    checks = []
    for cap in range(N_CAPS):
        room = cap_numbers(cap, equity, cash, vix, measures, limits)
        used, slack = room.used + room.per_dollar * quantity * price, cap_slack(cap)
        scale = equity if CAP_IS_SHARE[cap] else 1.0
        checks.append(_check(CAPS[cap].code, _part(used, scale), _part(room.limit, scale), _part(slack, scale)))
    data = market_verdict(view.market, view.t, ticker)
    if data.code != OK:
        checks.insert(0, RuleCheck(DENIAL_CODES[data.code], data.observed, data.limit, math.nan, passed=False))
    return checks


def largest_entry(book: RiskBook, view: MarketView, column: int, price: float) -> Largest:
    """Return the largest buy of `column` at the worst `price` that would pass now."""
    market, t, accounts = view.market, view.t, book.books.accounts
    age = float(market.vix_age[t]) + market_age(view)
    largest = book.direct(largest_passable)
    return Largest._make(
        largest(market, accounts, book.slots, t, column, float(price), float(view.clock), age, book.limit_rows)
    )


@lean
def largest_passable(
    market: Market,
    accounts: Records,
    slots: Records,
    t: int,
    ticker: int,
    price: float,
    clock: float,
    vix_age: float,
    limit_rows: Records,
) -> Largest:
    """Return `largest_entry` of column `ticker` at row `t`, in one compiled call."""
    account, limits, vix = accounts[0], limit_rows[0], market.vix[t]
    measures = measure_entry(slots, market, t, ticker, limits)
    gate = check_account(account, clock, vix, vix_age, limits)
    data = market_verdict(market, t, ticker)
    if gate.code != OK:
        return Largest(0.0, gate.code, measures.correlated)
    if data.code != OK:
        return Largest(0.0, data.code, measures.correlated)
    if not (SMALLEST_PRICE <= price < math.inf):
        return Largest(0.0, INVALID_ORDER, measures.correlated)
    room, binding = cap_room(account["equity"], account["cash"], vix, measures, limits)
    quantity = round_shares((room + HALF_CENT) / price, limits.share_step)
    passes = quantity * price >= limits.min_order - HALF_CENT
    return Largest(quantity if passes else 0.0, binding, measures.correlated)


def _check(code: DenialCode, observed: float, limit: float, slack: float = NOISE) -> RuleCheck:
    observed, limit = float(observed), float(limit)
    return RuleCheck(code, observed, limit, limit - observed, passed=observed <= limit + slack)


def _part(value: float, scale: float) -> float:
    return value / scale if scale > 0.0 else math.nan
