"""What one reading of the account's equity changes: daily loss, drawdown halt, release; as events."""

from __future__ import annotations

import math
from typing import Any

from trading_platform.core import risk_rules as rules
from trading_platform.core.compiled import plain
from trading_platform.core.ledger import ACCOUNT, Record, post_cash_flow
from trading_platform.core.risk_rules import Limits
from trading_platform.core.types import DenialCode, RiskEvent, RiskEventKind

# fields of the account that a reading may change, so that it can be taken back and read again
READING_FIELDS = [
    "equity", "previous_equity", "peak_equity", "lifetime_peak", "lifetime_drawdown", "accepted_equity",
    "suspect_equity", "breach_readings", "halted", "release_readings", "daily_breach_readings", "daily_halted",
    "cash_flow", "halts", "halted_sessions",
]  # fmt: skip

ACCOUNT_FIELDS = ACCOUNT.names or ()
_accept_equity = plain(rules.accept_equity)
_daily_loss_of = plain(rules.daily_loss_of)
_update_daily_loss = plain(rules.update_daily_loss)
_update_drawdown = plain(rules.update_drawdown)


def first_reading(account: Record, equity: float) -> None:
    """Begin an account that has never been read at `equity` dollars: peaks and day start are this reading."""
    for name in ("equity", "accepted_equity", "previous_equity", "peak_equity", "lifetime_peak"):
        account[name] = equity


def take_reading(
    account: Record, equity: float, shadow_equity: float, cash_flow: float, limits: Limits, *, halt_counts: bool
) -> list[RiskEvent]:
    """Take a reading in dollars and return what changed.

    Parameters
    ----------
    equity, shadow_equity
        Of the account, and of the halted book's shadow (NaN when there is none).
    cash_flow
        Deposit (positive) or withdrawal that `equity` contains for the first time. One that is no number makes the
        reading unknown.
    halt_counts
        False when this session's reading was already counted towards the release of a halt.
    """
    events: list[RiskEvent] = []
    equity, cash_flow = float(equity), float(cash_flow)  # compiled rules tell an int from a float
    if not abs(cash_flow) < 1e15:
        equity, cash_flow = math.nan, 0.0
    if cash_flow != 0.0:
        cash = account["cash"]  # the cash shown holds the flow already
        post_cash_flow(account, cash_flow)
        account["cash"] = cash
        events.append(event(RiskEventKind.CASH_FLOW, DenialCode.OK, cash_flow, 0.0, "cash flow"))
    if not account["peak_equity"] > 0.0 and 0.0 < equity < 1e15:
        first_reading(account, equity)
    if not equity < 1e15:
        equity = math.nan
    numbers = account_numbers(account)
    before = dict(numbers)
    events += _apply_rules(numbers, equity, float(shadow_equity), limits, halt_counts=halt_counts)
    for name, value in numbers.items():
        if value is not before[name]:
            account[name] = value
    return events


def account_numbers(account: Record) -> dict[str, Any]:
    """Return the fields of the account as plain numbers, which Python reads ten times faster than a record's."""
    return dict(zip(ACCOUNT_FIELDS, account.tolist(), strict=True))


def _apply_rules(
    account: dict[str, Any], equity: float, shadow_equity: float, limits: Limits, *, halt_counts: bool
) -> list[RiskEvent]:
    """Put a plain reading into the `account_numbers` and return what changed."""
    if not _accept_equity(account, equity, limits):
        words = f"equity reading {equity:,.2f} is not believed until a second one confirms it"
        expected = account["accepted_equity"]
        return [event(RiskEventKind.EQUITY_SUSPECT, DenialCode.EQUITY_UNKNOWN, equity, expected, words)]
    events: list[RiskEvent] = []
    if _update_daily_loss(account, limits):
        loss, limit = _daily_loss_of(account), limits.max_daily_loss
        words = f"lost {loss:.2%} since the previous close, limit {limit:.2%}"
        events.append(event(RiskEventKind.DAILY_LOSS, DenialCode.DAILY_LOSS_LIMIT, loss, limit, words))
    if account["halted"] != 0 and not halt_counts:
        return events
    drawdown = rules.drawdown_of(account["accepted_equity"], account["peak_equity"])
    match _update_drawdown(account, shadow_equity, limits):
        case rules.FIRST_BREACH:
            events.append(_drawdown(RiskEventKind.BREACH, drawdown, limits, "first reading beyond the limit"))
        case rules.HALTED:
            events.append(_drawdown(RiskEventKind.HALT, drawdown, limits, "halted until recovery"))
        case rules.RELEASED:
            events.append(_drawdown(RiskEventKind.RELEASE, drawdown, limits, "recovered; reference peak rebased"))
    return events


def _drawdown(kind: RiskEventKind, drawdown: float, limits: Limits, words: str) -> RiskEvent:
    message = f"drawdown {drawdown:.2%} of peak equity, limit {limits.max_drawdown:.2%}: {words}"
    return event(kind, DenialCode.DRAWDOWN_HALT, drawdown, limits.max_drawdown, message)


def event(
    kind: RiskEventKind, code: DenialCode, observed: float, limit: float, message: str, actor: str = "engine"
) -> RiskEvent:
    """Return a risk event with plain numbers."""
    return RiskEvent(kind, code, float(observed), float(limit), message, actor)
