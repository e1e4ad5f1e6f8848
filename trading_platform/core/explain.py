"""What every rule says of an order: observed value, limit, headroom; and the largest order that would pass."""

from __future__ import annotations

import math

from trading_platform.core.fills import round_shares
from trading_platform.core.ledger import Record, Records
from trading_platform.core.risk_rules import (
    OK,
    Limits,
    daily_loss_of,
    drawdown_of,
    entry_gate,
    entry_headroom,
    market_verdict,
    measure_entry,
    vix_scale,
)
from trading_platform.core.types import DENIAL_CODES, DenialCode, RuleCheck
from trading_platform.core.view import MarketView


def account_checks(account: Record, view: MarketView, limits: Limits) -> list[RuleCheck]:
    """Return the rules that look at the account and the market as a whole."""
    age = float(view.market.vix_age[view.t])
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
    checks = [
        _check(DenialCode.MAX_POSITIONS, measures.positions + (1 if measures.is_new else 0), limits.max_positions),
        _check(DenialCode.CORRELATION_LIMIT, measures.correlation, limits.max_correlation),
        _check(DenialCode.POSITION_LIMIT, _share(measures.position + notional, equity), limits.max_position),
        _check(DenialCode.VIX_LIMIT, _share(measures.position + notional, equity), cap),
        _check(DenialCode.SECTOR_LIMIT, _share(measures.sector + notional, equity), limits.max_sector),
        _check(DenialCode.EXPOSURE_LIMIT, _share(measures.gross + notional, equity), limits.max_exposure),
        _check(DenialCode.INSUFFICIENT_CASH, measures.reserved + notional, float(account["cash"])),
    ]
    if data.code != OK:
        checks.insert(0, RuleCheck(DENIAL_CODES[data.code], data.observed, data.limit, math.nan, passed=False))
    return checks


def largest_entry(
    account: Record, slots: Records, view: MarketView, ticker: int, price: float, limits: Limits
) -> tuple[float, DenialCode]:
    """Return (largest quantity that would pass now, the code that binds it); 0 shares when no size would pass."""
    gate = entry_gate(account, view.clock, view.market.vix[view.t], view.market.vix_age[view.t], limits)
    data = market_verdict(view.market, view.t, ticker)
    measures = measure_entry(slots, view.market, view.t, ticker, limits)
    if gate.code != OK:
        return 0.0, DENIAL_CODES[gate.code]
    if data.code != OK or not price > 0.0:
        return 0.0, DenialCode.PRICE_UNKNOWN if data.code == OK else DENIAL_CODES[data.code]
    if measures.positions + (1 if measures.is_new else 0) > limits.max_positions:
        return 0.0, DenialCode.MAX_POSITIONS
    if not measures.correlation <= limits.max_correlation:
        unknown = math.isnan(measures.correlation)
        return 0.0, DenialCode.CORRELATION_UNKNOWN if unknown else DenialCode.CORRELATION_LIMIT
    vix = float(view.market.vix[view.t])
    room, binding = entry_headroom(account["equity"], account["cash"], vix, measures, limits)
    quantity = round_shares(room / price, limits.share_step)
    return (quantity if quantity * price >= limits.min_order else 0.0), DENIAL_CODES[binding]


def _check(code: DenialCode, observed: float, limit: float) -> RuleCheck:
    observed, limit = float(observed), float(limit)
    # the slack of a ten-millionth is half a cent on the smallest account that can trade at all
    return RuleCheck(code, observed, limit, limit - observed, passed=observed <= limit + 1e-7)


def _share(dollars: float, equity: float) -> float:
    return dollars / equity if equity > 0.0 else math.nan
