"""The gate before the order rules: may new risk be taken at all; and the judgement of one entry, gate and rules."""

from __future__ import annotations

import math

from trading_platform.core.compiled import lean
from trading_platform.core.entries import check_order
from trading_platform.core.ledger import Records
from trading_platform.core.market import CLOSE, Market
from trading_platform.core.risk.book import RiskBook
from trading_platform.core.risk.caps import OK, RuleVerdict
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.risk.explain import denied
from trading_platform.core.risk.limits import Limits
from trading_platform.core.risk.messages import deny, describe, market_age
from trading_platform.core.risk.rules import check_account
from trading_platform.core.types import Denial
from trading_platform.core.view import MarketView

CENT = 0.01
CLOCK_NOISE = 1e-6  # sessions, a fortieth of a second; float noise of the exchange clock
PASS = (DenialCode.OK, "OK")


def account_refusal(book: RiskBook, max_age: int) -> tuple[DenialCode, str]:
    """Return (OK, "OK") if account and market let new risk in, else the code and its numbers.

    `max_age` is the age in sessions that the newest bars may have.
    """
    view = book.view
    if view is None:
        return DenialCode.VIX_UNKNOWN, "VIX_UNKNOWN: no market has been shown"
    age, verdict = _account_checked(book, view)
    if verdict.code != OK:
        return DENIAL_CODES[verdict.code], describe(verdict, book.limits)
    return _data_gate(book, age, max_age)


def judge_entry(book: RiskBook, ticker: str, quantity: float, price: float, max_age: int) -> Denial | None:
    """Return why a buy of `quantity` shares at the worst `price` may not leave, or None if it may."""
    view, limits = book.view, book.limits
    if view is None or ticker not in view.columns:
        code, words = account_refusal(book, max_age)
        if code == DenialCode.OK:
            code, words = DenialCode.PRICE_UNKNOWN, f"PRICE_UNKNOWN: {ticker} is not in the market shown"
        return Denial(code, ticker, math.nan, math.nan, words)
    age, gate = _account_checked(book, view)
    if gate.code != OK:
        words = describe(gate, limits)
        return Denial(DENIAL_CODES[gate.code], ticker, float(gate.observed), float(gate.limit), words)
    code, words = _data_gate(book, age, max_age)
    if code != DenialCode.OK:
        return Denial(code, ticker, math.nan, math.nan, words)
    rows, column = (book.books.accounts, book.slots), view.columns[ticker]
    if (denial := off_market(view, ticker, price, limits)) is not None:
        return denial
    quantity, price = float(quantity), float(price)  # compiled rules tell an int from a float
    verdict = book.direct(order_verdict)(view.market, *rows, view.t, column, quantity, price, book.limit_rows)
    return None if verdict.code == OK else denied(book, view, verdict, ticker, price)


def off_market(view: MarketView, ticker: str, price: float, limits: Limits) -> Denial | None:
    """Return the denial of a `price` that is too far from the last close shown; what is unknown others refuse.

    At 0.01 instead of 100 dollars every cap holds, and nothing of it is true. A cent more is a tick of small prices.
    """
    last = float(view.market.bars[view.columns[ticker], view.t, CLOSE])
    if not last > 0.0 or not 0.0 < price < math.inf or abs(price - last) <= limits.price_collar * last + CENT:
        return None
    off = price / last - 1.0
    words = f"price {price:,.2f} is {off:+.1%} from {last:,.2f}, the last one shown; at most {limits.price_collar:.0%}"
    return deny(DenialCode.PRICE_OFF_MARKET, ticker, words, abs(off), limits.price_collar)


def _account_checked(book: RiskBook, view: MarketView) -> tuple[float, RuleVerdict]:
    """Return the age of the newest bars in sessions and the verdict of the account rules.

    A scan asks three times an order. The book keeps the answer, with all that it depends on, byte for byte.
    """
    account, known = book.account.tobytes(), book.kept_verdict
    if known is not None and known[0] == account and known[1] is view:
        return known[2]
    market, t, age = view.market, view.t, market_age(view)
    vix, vix_age = float(market.vix[t]), float(market.vix_age[t]) + age
    accounts, clock = book.books.accounts, float(view.clock)
    answer = age, book.direct(account_verdict)(accounts, clock, vix, vix_age, book.limit_rows)
    book.kept_verdict = account, view, answer
    return answer


@lean
def account_verdict(accounts: Records, clock: float, vix: float, vix_age: float, limits: Records) -> RuleVerdict:
    """Return what the account rules (`core.risk.rules.check_account`) say of `accounts` (1,) under `limits` (1,)."""
    return check_account(accounts[0], clock, vix, vix_age, limits[0])


@lean
def order_verdict(
    market: Market,
    accounts: Records,
    slots: Records,
    t: int,
    ticker: int,
    quantity: float,
    price: float,
    limits: Records,
) -> RuleVerdict:
    """Return what the order rules (`core.entries.check_order`) say on the book of `accounts` (1,) and `slots` (S,)."""
    return check_order(accounts[0], slots, market, t, ticker, quantity, price, limits[0])


def _data_gate(book: RiskBook, age: float, max_age: int) -> tuple[DenialCode, str]:
    """Return whether prices are new enough, and whether everything held can be measured.

    Bars newer than the clock mean that one of the two is wrong.
    """
    is_timely = -CLOCK_NOISE <= age <= max_age + CLOCK_NOISE
    if is_timely and not book.outside and not book.problems:
        return PASS
    prefix = f"{DenialCode.PRICE_UNKNOWN}:"
    if not is_timely:
        return DenialCode.PRICE_UNKNOWN, f"{prefix} the newest bars are {age:.1f} sessions old > {max_age}"
    for ticker in book.outside:
        return DenialCode.PRICE_UNKNOWN, f"{prefix} {ticker} is held but not in the market shown; add it"
    ticker, words = next(iter(book.problems.items()))
    return DenialCode.PRICE_UNKNOWN, f"{prefix} {ticker} {words}"
