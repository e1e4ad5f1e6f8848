"""What every rule says of an order: observed value, limit, headroom; and the largest order that would pass."""

from __future__ import annotations

import math
from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.decide import capped_dollars
from trading_platform.core.fills import round_shares
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market
from trading_platform.core.risk.book import RiskBook
from trading_platform.core.risk.messages import describe, market_age
from trading_platform.core.risk.rules import (
    CORRELATION_LIMIT,
    CORRELATION_UNKNOWN,
    HALF_CENT,
    INVALID_ORDER,
    MAX_POSITIONS,
    NOISE,
    OK,
    Limits,
    Verdict,
    daily_loss_of,
    drawdown_of,
    entry_gate,
    entry_headroom,
    market_verdict,
    measure_entry,
    vix_scale,
)
from trading_platform.core.types import DENIAL_CODES, Denial, DenialCode, Explanation, RuleCheck
from trading_platform.core.view import MarketView

SMALLEST_PRICE = 1e-6  # dollars a share; below it a number of shares is no number


class Largest(NamedTuple):
    """The largest order that passes (shares, 0 = none), the code that binds it, the column that it moves most with."""

    quantity: float
    binding: int
    correlated: int


def denied(book: RiskBook, view: MarketView, verdict: Verdict, ticker: str, price: float) -> Denial:
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
    limits = limit_rows[0]
    measures = measure_entry(slots, market, t, ticker, limits)
    full = not (measures.positions + (1 if measures.is_new else 0) <= limits.max_positions)
    unknown = market_verdict(market, t, ticker).code != OK or not (equity > 0.0)
    if full or unknown or not (measures.correlation <= limits.max_correlation):
        return 0.0
    dollars = capped_dollars(accounts[0], equity, strength, market, t, ticker, measures, limits)
    return dollars if dollars > 0.0 else 0.0


def account_checks(account: Record, view: MarketView, limits: Limits) -> list[RuleCheck]:
    """Return the rules that look at the account and the market as a whole."""
    age = float(view.market.vix_age[view.t]) + market_age(view)
    pause = max(0.0, (account["pause_until"] - view.clock) / 3600.0)
    drawdown = drawdown_of(account["accepted_equity"], account["peak_equity"])
    return [
        _check(
            DenialCode.DRAWDOWN_HALT, drawdown, limits.recovery_drawdown if account["halted"] else limits.max_drawdown
        ),
        _check(DenialCode.DAILY_LOSS_LIMIT, daily_loss_of(account), limits.max_daily_loss),
        _check(DenialCode.LOSS_STREAK_PAUSE, pause, 0.0),
        _check(DenialCode.VIX_UNKNOWN, age, limits.max_vix_age),
    ]


def order_checks(
    account: Record, slots: Records, view: MarketView, ticker: int, quantity: float, price: float, limits: Limits
) -> list[RuleCheck]:
    """Return the rules that look at a buy of `quantity` shares at the worst `price` dollars."""
    measures = measure_entry(slots, view.market, view.t, ticker, limits)
    equity, notional = float(account["equity"]), quantity * price
    cap = limits.max_position * vix_scale(float(view.market.vix[view.t]), limits)
    data = market_verdict(view.market, view.t, ticker)
    slack = HALF_CENT / equity if equity > 0.0 else 0.0
    checks = [
        _check(DenialCode.MAX_POSITIONS, measures.positions + (1 if measures.is_new else 0), limits.max_positions),
        _check(DenialCode.CORRELATION_LIMIT, measures.correlation, limits.max_correlation, 0.0),
        _check(DenialCode.POSITION_LIMIT, _share(measures.position + notional, equity), limits.max_position, slack),
        _check(DenialCode.VIX_LIMIT, _share(measures.position + notional, equity), cap, slack),
        _check(DenialCode.SECTOR_LIMIT, _share(measures.sector + notional, equity), limits.max_sector, slack),
        _check(DenialCode.EXPOSURE_LIMIT, _share(measures.gross + notional, equity), limits.max_exposure, slack),
        _check(DenialCode.INSUFFICIENT_CASH, measures.reserved + notional, float(account["cash"]), HALF_CENT),
    ]
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
    gate = entry_gate(account, clock, vix, vix_age, limits)
    data = market_verdict(market, t, ticker)
    if gate.code != OK:
        return Largest(0.0, gate.code, measures.correlated)
    if data.code != OK:
        return Largest(0.0, data.code, measures.correlated)
    if not (SMALLEST_PRICE <= price < math.inf):
        return Largest(0.0, INVALID_ORDER, measures.correlated)
    if measures.positions + (1 if measures.is_new else 0) > limits.max_positions:
        return Largest(0.0, MAX_POSITIONS, measures.correlated)
    if not (measures.correlation <= limits.max_correlation):
        unknown = math.isnan(measures.correlation)
        return Largest(0.0, CORRELATION_UNKNOWN if unknown else CORRELATION_LIMIT, measures.correlated)
    room, binding = entry_headroom(account["equity"], account["cash"], vix, measures, limits)
    quantity = round_shares((room + HALF_CENT) / price, limits.share_step)
    passes = quantity * price >= limits.min_order - HALF_CENT
    return Largest(quantity if passes else 0.0, binding, measures.correlated)


def _check(code: DenialCode, observed: float, limit: float, slack: float = NOISE) -> RuleCheck:
    observed, limit = float(observed), float(limit)
    return RuleCheck(code, observed, limit, limit - observed, passed=observed <= limit + slack)


def _share(dollars: float, equity: float) -> float:
    return dollars / equity if equity > 0.0 else math.nan
