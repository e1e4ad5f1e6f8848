"""The words of a verdict: a stable code, then its numbers: ``CORRELATION_LIMIT: A~B 0.91 > 0.80 (30 sessions)``."""

from __future__ import annotations

import math

from trading_platform.core.risk.caps import RuleVerdict
from trading_platform.core.risk.denial_codes import CAPS, DENIAL_CODES, DenialCode
from trading_platform.core.risk.limits import Limits
from trading_platform.core.types import Denial
from trading_platform.core.view import SESSION_SECONDS, MarketView

_SHARES = {
    DenialCode.DRAWDOWN_BREACH: "drawdown",
    DenialCode.DAILY_LOSS_LIMIT: "loss since previous close",
    **{cap.code: cap.subject for cap in CAPS if cap.is_share},
}
_COUNTS = {cap.code: cap.subject for cap in CAPS if not cap.is_share}


def describe(verdict: RuleVerdict, limits: Limits, ticker: str = "", other: str = "") -> str:
    """Return the message of `verdict`; `other` is the ticker it correlates with."""
    code = DENIAL_CODES[verdict.code]
    observed, limit = verdict.observed, verdict.limit
    prefix = f"{code}: {ticker}".rstrip()
    if code in _SHARES:
        return f"{prefix} {_SHARES[code]} {observed:.2%} > {limit:.2%} of equity"
    match code:
        case DenialCode.OK:
            return "OK"
        case DenialCode.CORRELATION_LIMIT:
            return f"{prefix}~{other} {observed:.2f} > {limit:.2f} ({limits.correlation_window} sessions)"
        case DenialCode.CORRELATION_UNKNOWN:
            return f"{prefix}~{other} fewer than {limits.correlation_window} moving returns in common"
        case DenialCode.DRAWDOWN_HALT:
            return f"{prefix} halted at drawdown {observed:.2%}, until recovery to {limit:.2%}"
        case DenialCode.TOTAL_DRAWDOWN:
            words = f"total drawdown {observed:.2%} of the highest equity ever, limit {limit:.2%}"
            return f"{prefix} {words}: an operator must resume"
        case DenialCode.SECOND_HALT:
            return f"{prefix} halted at drawdown {observed:.2%}, the second within a year: an operator must resume"
        case DenialCode.LOSS_STREAK_PAUSE:
            return f"{prefix} {limits.loss_streak} losing trades in a row, {observed:.1f} exchange hours left"
        case DenialCode.VIX_UNKNOWN:
            return f"{prefix} VIX is unknown or {observed:g} sessions old > {limit:g}"
        case DenialCode.INSUFFICIENT_CASH:
            return f"{prefix} needs ${observed:,.2f} > ${limit:,.2f} in cash"
        case DenialCode.BELOW_MINIMUM:
            return f"{prefix} ${observed:,.2f} < ${limit:,.2f}"
        case _ if code in _COUNTS:
            return f"{prefix} {observed:g} {_COUNTS[code]} > {limit:g}"
        case _:
            return f"{prefix} {code.meaning} (was {observed:g})"


def deny(
    code: DenialCode,
    ticker: str,
    words: str,
    observed: float = math.nan,
    limit: float = math.nan,
    largest_quantity: float = 0.0,
) -> Denial:
    """Return a denial whose message is the code, the ticker and `words`."""
    return Denial(code, ticker, observed, limit, f"{f'{code}: {ticker}'.rstrip()} {words}", largest_quantity)


def market_age(view: MarketView) -> float:
    """Return the age of the newest bars in sessions of open exchange: 0 in a replay, up to 1 in the next session."""
    return float(view.clock - view.market.clock[view.t]) / SESSION_SECONDS
