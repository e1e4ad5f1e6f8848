"""What one reading of the account's equity changes: daily loss, drawdown halt, release; as events."""

from __future__ import annotations

import math

from trading_platform.core.compiled import direct, lean
from trading_platform.core.ledger import PEAKS, Record, Records, post_cash_flow
from trading_platform.core.risk import rules
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.risk.limits import Limits
from trading_platform.core.types import RiskEvent, RiskEventKind

# fields of the account that a reading may change, so that it can be taken back and read again
READING_FIELDS = [
    "equity",
    "previous_equity",
    "peak_equity",
    "lifetime_peak",
    "lifetime_drawdown",
    "accepted_equity",
    "suspect_equity",
    "breach_readings",
    "halted",
    "release_readings",
    "daily_breach_readings",
    "daily_halted",
    "cash_flow",
    "halts",
    "halted_sessions",
    "total_peak",
    "total_breach_readings",
    "halt_age",
]


def first_reading(account: Record, equity: float) -> None:
    """Begin an account that has never been read at `equity` dollars: peaks and day start are this reading."""
    for name in ("equity", "accepted_equity", "previous_equity", *PEAKS):
        account[name] = equity


def take_reading(
    accounts: Records, equity: float, shadow_equity: float, cash_flow: float, limit_rows: Records, *, halt_counts: bool
) -> list[RiskEvent]:
    """Take a reading in dollars and return what changed.

    Parameters
    ----------
    accounts
        (1,) of `core.ledger.ACCOUNT`.
    equity, shadow_equity
        Of the account, and of the halted book's shadow (NaN when there is none).
    cash_flow
        Deposit (positive) or withdrawal that `equity` contains for the first time. One that is no number makes the
        reading unknown.
    limit_rows
        (1,) as `core.compiled.as_rows` makes of the limits.
    halt_counts
        False when this session's reading was already counted towards the release of a halt.
    """
    events: list[RiskEvent] = []
    account = accounts[0]
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
    shadow_equity = float(shadow_equity)
    accepted, latched, change, drawdown = _apply(accounts, equity, shadow_equity, limit_rows, halt_counts)
    if not accepted:
        words = f"equity reading {equity:,.2f} is not believed until a second one confirms it"
        expected = account["accepted_equity"]
        return [*events, event(RiskEventKind.EQUITY_SUSPECT, DenialCode.EQUITY_UNKNOWN, equity, expected, words)]
    limits = limit_rows[0]
    if latched or is_first_daily_breach(account):
        loss, limit = rules.daily_loss_of(account), limits.max_daily_loss
        words = f"lost {loss:.2%} since the previous close, limit {limit:.2%}: no new risk "
        words += "for the rest of the session" if latched else "while it stands"
        events.append(event(RiskEventKind.DAILY_LOSS, DenialCode.DAILY_LOSS_LIMIT, loss, limit, words))
    match change:
        case rules.FIRST_BREACH:
            events.append(_drawdown(RiskEventKind.BREACH, drawdown, limits, "first reading beyond the limit"))
        case rules.HALTED:
            events.append(_drawdown(RiskEventKind.HALT, drawdown, limits, "halted until recovery"))
        case rules.RELEASED:
            events.append(_drawdown(RiskEventKind.RELEASE, drawdown, limits, "recovered; reference peak rebased"))
        case rules.STOPPED:
            events.append(_stop(account, drawdown, limits))
    return events


def is_first_daily_breach(account: Record) -> bool:
    """Return True if the reading just taken is the first beyond the daily loss, which refuses and does not yet last."""
    return bool(account["daily_breach_readings"] == 1 and account["daily_halted"] == 0)


@lean
def apply_reading(
    accounts: Records, equity: float, shadow_equity: float, limit_rows: Records, halt_counts: bool
) -> tuple[bool, bool, int, float]:
    """Put a reading into `accounts` (1,) by the rules, as `core.simulate.process_session` does.

    Returns whether it was believed, whether it latched the daily halt, the drawdown event, and the drawdown that was
    judged. A halted account counts the reading towards its release only where `halt_counts`.
    """
    account, limits = accounts[0], limit_rows[0]
    if not rules.accept_equity(account, equity, limits):
        return False, False, rules.NO_EVENT, 0.0
    latched = rules.update_daily_loss(account, limits)
    drawdown = rules.drawdown_of(account["accepted_equity"], account["peak_equity"])
    change = rules.NO_EVENT
    if account["halted"] == 0 or halt_counts:
        change = rules.update_drawdown(account, shadow_equity, limits)
    return True, latched, change, drawdown


@lean
def begin_session(accounts: Records) -> None:
    """Begin a session of the account in `accounts` (1,): `core.risk.rules.start_session`."""
    rules.start_session(accounts[0])


@lean
def count_result(accounts: Records, pnl: float, cost: float, clock: float, limit_rows: Records) -> bool:
    """Count a round trip of the account in `accounts` (1,): `core.risk.rules.record_trade`."""
    return rules.record_trade(accounts[0], pnl, cost, clock, limit_rows[0])


_apply = direct(apply_reading)


def _drawdown(kind: RiskEventKind, drawdown: float, limits: Limits, words: str) -> RiskEvent:
    message = f"drawdown {drawdown:.2%} of peak equity, limit {limits.max_drawdown:.2%}: {words}"
    return event(kind, DenialCode.DRAWDOWN_HALT, drawdown, limits.max_drawdown, message)


def _stop(account: Record, drawdown: float, limits: Limits) -> RiskEvent:
    """Return the halt that only an operator ends."""
    ends = "halted until an operator resumes"
    if account["halted"] == rules.STOPPED_BY_SECOND:
        words = f"drawdown {drawdown:.2%} of peak equity, the second halt within a year: {ends}"
        return event(RiskEventKind.HALT, DenialCode.SECOND_HALT, drawdown, limits.max_drawdown, words)
    total, limit = rules.drawdown_of(account["accepted_equity"], account["total_peak"]), limits.max_total_drawdown
    words = f"drawdown {total:.2%} of the highest equity ever, limit {limit:.2%}: {ends}"
    return event(RiskEventKind.HALT, DenialCode.TOTAL_DRAWDOWN, total, limit, words)


def event(
    kind: RiskEventKind, code: DenialCode, observed: float, limit: float, message: str, actor: str = "engine"
) -> RiskEvent:
    """Return a risk event with plain numbers."""
    return RiskEvent(kind, code, float(observed), float(limit), message, actor)
