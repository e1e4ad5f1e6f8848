"""The gate before the order rules: may new risk be taken at all; and the judgement of one entry, gate and rules."""

from __future__ import annotations

import math

from trading_platform.core.compiled import lean, plain
from trading_platform.core.decide import check_order
from trading_platform.core.explain import denied
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market
from trading_platform.core.readings import account_numbers
from trading_platform.core.risk_book import RiskBook
from trading_platform.core.risk_messages import describe, market_age
from trading_platform.core.risk_rules import OK, Limits, Verdict, entry_gate
from trading_platform.core.types import DENIAL_CODES, Denial, DenialCode

CLOCK_NOISE = 1e-6  # sessions, a fortieth of a second; float noise of the exchange clock
PASS = (DenialCode.OK, "OK")
_entry_gate = plain(entry_gate)


def market_gate(book: RiskBook, limits: Limits, max_age: int) -> tuple[DenialCode, str]:
    """Return (OK, "OK") if account and market let new risk in, else the code and its numbers.

    `max_age` is the age in sessions that the newest bars may have.
    """
    view = book.view
    if view is None:
        return DenialCode.VIX_UNKNOWN, "VIX_UNKNOWN: no market has been shown"
    market, t, age = view.market, view.t, market_age(view)
    account, vix, vix_age = account_numbers(book.account), float(market.vix[t]), float(market.vix_age[t])
    verdict = _entry_gate(account, view.clock, vix, vix_age + age, limits)
    if verdict.code != OK:
        return DENIAL_CODES[verdict.code], describe(verdict, limits)
    return _data_gate(book, age, max_age)


def judge_entry(
    book: RiskBook, ticker: str, quantity: float, price: float, limits: Limits, max_age: int
) -> Denial | None:
    """Return why a buy of `quantity` shares at the worst `price` may not leave, or None if it may."""
    view = book.view
    if view is None or ticker not in view.columns:
        code, words = market_gate(book, limits, max_age)
        if code == DenialCode.OK:
            code, words = DenialCode.PRICE_UNKNOWN, f"PRICE_UNKNOWN: {ticker} is not in the market shown"
        return Denial(code, ticker, math.nan, math.nan, words)
    column, age = view.columns[ticker], market_age(view)
    quantity, price = float(quantity), float(price)  # compiled rules tell an int from a float
    gate, verdict = check_now(
        book.account, book.slots, view.market, view.t, view.clock, age, column, quantity, price, limits
    )
    if gate.code != OK:
        words = describe(gate, limits)
        return Denial(DENIAL_CODES[gate.code], ticker, float(gate.observed), float(gate.limit), words)
    code, words = _data_gate(book, age, max_age)
    if code != DenialCode.OK:
        return Denial(code, ticker, math.nan, math.nan, words)
    return None if verdict.code == OK else denied(verdict, book.account, book.slots, view, ticker, price, limits)


@lean
def check_now(
    account: Record,
    slots: Records,
    market: Market,
    t: int,
    clock: float,
    age: float,
    ticker: int,
    quantity: float,
    price: float,
    limits: Limits,
) -> tuple[Verdict, Verdict]:
    """Return (the gate's verdict at the exchange `clock`, the order rules' verdict) in one compiled call.

    `age` is that of the newest bars in sessions, which is what VIX has aged since row `t`. The second verdict means
    something only if the first is OK.
    """
    gate = entry_gate(account, clock, market.vix[t], market.vix_age[t] + age, limits)
    if gate.code != OK:
        return gate, gate
    return gate, check_order(account, slots, market, t, ticker, quantity, price, limits)


def _data_gate(book: RiskBook, age: float, max_age: int) -> tuple[DenialCode, str]:
    """Return whether prices are new enough, and whether everything held can be measured.

    Bars newer than the clock mean that one of the two is wrong.
    """
    prefix = f"{DenialCode.PRICE_UNKNOWN}:"
    if not -CLOCK_NOISE <= age <= max_age + CLOCK_NOISE:
        return DenialCode.PRICE_UNKNOWN, f"{prefix} the newest bars are {age:.1f} sessions old > {max_age}"
    for ticker in book.outside:
        return DenialCode.PRICE_UNKNOWN, f"{prefix} {ticker} is held but not in the market shown; add it"
    for ticker, words in book.problems.items():
        return DenialCode.PRICE_UNKNOWN, f"{prefix} {ticker} {words}"
    return PASS
