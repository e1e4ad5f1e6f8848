"""The risk rules, each a small pure function over numbers and book records.

`RiskManager` calls them one order at a time, the simulation kernel in a compiled loop; nobody else decides about risk.
A limit is the largest allowed value. Every comparison is written ``not (observed <= limit)`` so that NaN refuses.
Existing positions and pending entries count in every cap, pending ones at their worst price.

Codes are the positions of `DenialCode` members, so that compiled code can carry them.

Shapes: `slots` (S,), records of `core.ledger.SLOT`; the market's are told by `core.market.Market`.
"""

from __future__ import annotations

from trading_platform.core.compiled import lean
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import CLOSE, NORM, VOLATILITY, Market
from trading_platform.core.risk.caps import BELOW_MINIMUM, HALF_CENT, INVALID_ORDER, NOISE, OK, RuleVerdict, broken_cap
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode, Measures
from trading_platform.core.risk.limits import RELEASE_MANUAL, RELEASE_SHADOW, Limits

EQUITY_UNKNOWN = DENIAL_CODES.index(DenialCode.EQUITY_UNKNOWN)
DRAWDOWN_HALT = DENIAL_CODES.index(DenialCode.DRAWDOWN_HALT)
TOTAL_DRAWDOWN = DENIAL_CODES.index(DenialCode.TOTAL_DRAWDOWN)
SECOND_HALT = DENIAL_CODES.index(DenialCode.SECOND_HALT)
DRAWDOWN_BREACH = DENIAL_CODES.index(DenialCode.DRAWDOWN_BREACH)
DAILY_LOSS_LIMIT = DENIAL_CODES.index(DenialCode.DAILY_LOSS_LIMIT)
LOSS_STREAK_PAUSE = DENIAL_CODES.index(DenialCode.LOSS_STREAK_PAUSE)
VIX_UNKNOWN = DENIAL_CODES.index(DenialCode.VIX_UNKNOWN)
PRICE_UNKNOWN = DENIAL_CODES.index(DenialCode.PRICE_UNKNOWN)
VOLATILITY_UNKNOWN = DENIAL_CODES.index(DenialCode.VOLATILITY_UNKNOWN)
MAX_POSITIONS = DENIAL_CODES.index(DenialCode.MAX_POSITIONS)

# Of two US large caps of different sectors, in calm years.
USUAL_CORRELATION = 0.3
NO_EVENT, FIRST_BREACH, HALTED, RELEASED, STOPPED = range(5)
# Values of the account's `halted`; from STOPPED_BY_TOTAL on only an operator resumes.
UNTIL_RECOVERY, STOPPED_BY_TOTAL, STOPPED_BY_SECOND = 1, 2, 3


# ---------------------------------------------------------------- account rules


@lean
def drawdown_of(equity: float, peak: float) -> float:
    """Return the fraction lost from `peak`, >= 0; NaN if either is unusable."""
    if not (peak > 0.0) or not (equity > -1e300):
        return float("nan")
    return max(0.0, 1.0 - equity / peak)


@lean
def daily_loss_of(account: Record) -> float:
    """Return the fraction lost since the previous close, >= 0, net of cash flows; NaN if unusable."""
    return drawdown_of(account["equity"], account["previous_equity"])


@lean
def start_session(account: Record) -> None:
    """Begin a session: the day's loss is measured from the equity of the previous close."""
    account["previous_equity"] = account["accepted_equity"]
    account["daily_breach_readings"] = 0
    account["daily_halted"] = 0
    account["halt_age"] += 1


@lean
def accept_equity(account: Record, equity: float, limits: Limits) -> bool:
    """Take an equity reading; return False while it is not to be believed.

    A reading that is not a positive number, or that jumps by more than `max_equity_jump` from the last accepted one,
    moves no peak, no halt and no release; a second reading that agrees with the jump makes it real. A rise above the
    peak by more than `max_drawdown` of the last reading waits as well: the fall back from it would be a halt.
    """
    account["equity"] = equity
    if not (equity > 0.0) or not (equity < 1e300):
        account["suspect_equity"] = -1.0
        return False
    accepted = account["accepted_equity"]
    suspect = account["suspect_equity"]
    from_accepted = abs(equity / accepted - 1.0) if accepted > 0.0 else float("inf")
    from_suspect = abs(equity / suspect - 1.0) if suspect > 0.0 else float("inf")
    jump = limits.max_equity_jump
    allowed = min(jump, limits.max_drawdown) if equity > account["peak_equity"] else jump
    if not (from_accepted <= allowed + NOISE) and not (from_suspect <= jump + NOISE):
        account["suspect_equity"] = equity
        return False
    account["suspect_equity"] = 0.0
    account["accepted_equity"] = equity
    account["peak_equity"] = max(account["peak_equity"], equity)
    account["lifetime_peak"] = max(account["lifetime_peak"], equity)
    account["total_peak"] = max(account["total_peak"], equity)
    account["lifetime_drawdown"] = max(account["lifetime_drawdown"], drawdown_of(equity, account["lifetime_peak"]))
    return True


@lean
def update_drawdown(account: Record, shadow_equity: float, limits: Limits) -> int:
    """Update the drawdown halt from an accepted reading; return NO_EVENT, FIRST_BREACH, HALTED, RELEASED or STOPPED.

    Halts when drawdown > `max_drawdown` on `confirmation_readings` readings in a row. Releases when the drawdown of the
    shadow book (the same decisions continued on paper since the halt) or of the account itself is back at
    `recovery_drawdown`, again on as many readings; then the reference peak is rebased so that the drawdown reads
    `recovery_drawdown` at most. `shadow_equity` is ignored unless halted.

    The reference peak forgets, so that halt after halt could follow. The total drawdown does not: beyond
    `max_total_drawdown` of the highest equity ever, on as many readings, only an operator resumes (STOPPED). So it is,
    where `second_halt_asks`, at a halt within a year of the one before.
    """
    if total_drawdown_stops(account, limits):
        return STOPPED
    drawdown = drawdown_of(account["accepted_equity"], account["peak_equity"])
    if account["halted"] == 0:
        if drawdown <= limits.max_drawdown + NOISE:
            account["breach_readings"] = 0
            return NO_EVENT
        account["breach_readings"] += 1
        if account["breach_readings"] < limits.confirmation_readings:
            return FIRST_BREACH
        is_second = account["halts"] > 0 and account["halt_age"] <= ANNUAL_SESSIONS
        if is_second and limits.second_halt_asks != 0:
            begin_halt(account, STOPPED_BY_SECOND)
            return STOPPED
        begin_halt(account, UNTIL_RECOVERY)
        return HALTED
    account["halted_sessions"] += 1
    if is_for_operator(account, limits):
        return NO_EVENT
    recovery = limits.recovery_drawdown + NOISE
    recovered = drawdown <= recovery
    if limits.halt_release == RELEASE_SHADOW:
        recovered = recovered or drawdown_of(shadow_equity, account["peak_equity"]) <= recovery
    if not recovered:
        account["release_readings"] = 0
        return NO_EVENT
    account["release_readings"] += 1
    if account["release_readings"] < limits.confirmation_readings:
        return NO_EVENT
    release(account, limits)
    return RELEASED


@lean
def is_within_total(account: Record, limits: Limits) -> bool:
    """Return True unless the total drawdown is beyond its limit, or unknown."""
    least: float = account["total_peak"] * (1.0 - limits.max_total_drawdown - NOISE)
    return bool(account["accepted_equity"] >= least)


@lean
def total_drawdown_stops(account: Record, limits: Limits) -> bool:
    """Return True on the reading that confirms a total drawdown beyond its limit; the account is stopped then."""
    if is_within_total(account, limits):
        account["total_breach_readings"] = 0
        return False
    if account["halted"] == STOPPED_BY_TOTAL:
        return False
    account["total_breach_readings"] += 1
    if account["total_breach_readings"] < limits.confirmation_readings:
        return False
    begin_halt(account, STOPPED_BY_TOTAL)
    return True


@lean
def begin_halt(account: Record, kind: int) -> None:
    """Halt the account: UNTIL_RECOVERY, STOPPED_BY_TOTAL or STOPPED_BY_SECOND."""
    account["halted"] = kind
    account["halts"] += 1
    account["halt_age"] = 0
    account["breach_readings"] = 0
    account["total_breach_readings"] = 0
    account["release_readings"] = 0


@lean
def is_for_operator(account: Record, limits: Limits) -> bool:
    """Return True if the account is halted and only an operator can resume."""
    if account["halted"] == 0:
        return False
    return bool(account["halted"] > UNTIL_RECOVERY or limits.halt_release == RELEASE_MANUAL)


@lean
def resume(account: Record, limits: Limits) -> None:
    """End the drawdown halt on an operator's word: what was stopped for the total drawdown begins from a new peak."""
    begins_anew = account["halted"] == STOPPED_BY_TOTAL or not is_within_total(account, limits)
    release(account, limits)
    account["total_breach_readings"] = 0
    if begins_anew:
        account["total_peak"] = account["peak_equity"]


@lean
def release(account: Record, limits: Limits) -> None:
    """End the drawdown halt and rebase the reference peak; lifetime peak and lifetime drawdown are kept."""
    account["halted"] = 0
    account["breach_readings"] = 0
    account["release_readings"] = 0
    account["peak_equity"] = min(account["peak_equity"], account["accepted_equity"] / (1.0 - limits.recovery_drawdown))


@lean
def update_daily_loss(account: Record, limits: Limits) -> bool:
    """Latch the daily halt once the loss is confirmed; return True on the reading that latches it."""
    if daily_loss_of(account) <= limits.max_daily_loss + NOISE:
        account["daily_breach_readings"] = 0
        return False
    account["daily_breach_readings"] += 1
    if account["daily_halted"] != 0 or account["daily_breach_readings"] < limits.confirmation_readings:
        return False
    account["daily_halted"] = 1
    return True


@lean
def record_trade(account: Record, profit: float, cost: float, clock: float, limits: Limits) -> bool:
    """Count a closed round trip; return True if it starts a pause.

    A break-even trade neither extends nor resets the streak. The pause runs on the exchange clock; the count restarts.
    """
    keep = 1.0 - 1.0 / limits.kelly_memory
    account["kelly_trades"] = account["kelly_trades"] * keep + 1.0
    account["kelly_wins"] *= keep
    account["kelly_gain"] *= keep
    account["kelly_loss"] *= keep
    account["trades"] += 1
    result = profit / cost if cost > 0.0 else 0.0
    if profit > 0.0:
        account["wins"] += 1
        account["kelly_wins"] += 1.0
        account["kelly_gain"] += result
        account["loss_streak"] = 0
    elif profit < 0.0:
        account["kelly_loss"] -= result
        account["loss_streak"] += 1
    if account["loss_streak"] < limits.loss_streak:
        return False
    account["loss_streak"] = 0
    account["pause_until"] = clock + limits.pause_seconds
    return True


@lean
def check_account(account: Record, clock: float, vix: float, vix_age: float, limits: Limits) -> RuleVerdict:
    """Return whether any new risk may be taken now: the rules that look at the account and the market as a whole."""
    if not (account["equity"] > 0.0) or account["suspect_equity"] != 0.0:
        return RuleVerdict(EQUITY_UNKNOWN, account["equity"], 0.0)
    drawdown = drawdown_of(account["accepted_equity"], account["peak_equity"])
    total = drawdown_of(account["accepted_equity"], account["total_peak"])
    if account["halted"] == STOPPED_BY_TOTAL:
        return RuleVerdict(TOTAL_DRAWDOWN, total, limits.max_total_drawdown)
    if account["halted"] == STOPPED_BY_SECOND:
        return RuleVerdict(SECOND_HALT, drawdown, limits.max_drawdown)
    if account["halted"] != 0:
        return RuleVerdict(DRAWDOWN_HALT, drawdown, limits.recovery_drawdown)
    if not (drawdown <= limits.max_drawdown + NOISE):
        return RuleVerdict(DRAWDOWN_BREACH, drawdown, limits.max_drawdown)
    if not is_within_total(account, limits):
        return RuleVerdict(TOTAL_DRAWDOWN, total, limits.max_total_drawdown)
    daily_loss = daily_loss_of(account)
    if account["daily_halted"] != 0 or not (daily_loss <= limits.max_daily_loss + NOISE):
        return RuleVerdict(DAILY_LOSS_LIMIT, daily_loss, limits.max_daily_loss)
    if not (clock >= account["pause_until"]):
        return RuleVerdict(LOSS_STREAK_PAUSE, (account["pause_until"] - clock) / 3600.0, 0.0)
    if not (vix > 0.0) or not (vix_age <= limits.max_vix_age):
        return RuleVerdict(VIX_UNKNOWN, vix_age, limits.max_vix_age)
    return RuleVerdict(OK, 0.0, 0.0)


# ---------------------------------------------------------------- order rules


@lean
def pair_correlation(market: Market, t: int, i: int, j: int, limits: Limits) -> float:
    """Return the correlation of daily returns of columns i and j over the window ending at t; NaN if unmeasurable."""
    norm = market.bars[i, t, NORM] * market.bars[j, t, NORM]
    if not (norm > 0.0):
        return float("nan")
    mean = market.return_mean[j, t]  # deviations of one of the two are enough: those of the other add nothing
    window = limits.correlation_window
    x, y = market.returns[i, t - window + 1 : t + 1], market.returns[j, t - window + 1 : t + 1]
    last = window - window % 4
    a, b, c, e = 0.0, 0.0, 0.0, 0.0  # four sums side by side: an addition waits for the one before it
    for d in range(0, last, 4):
        a += x[d] * (y[d] - mean)
        b += x[d + 1] * (y[d + 1] - mean)
        c += x[d + 2] * (y[d + 2] - mean)
        e += x[d + 3] * (y[d + 3] - mean)
    total = (a + b) + (c + e)
    for d in range(last, window):
        total += x[d] * (y[d] - mean)
    return float(total / norm)


@lean
def unknown_correlation(market: Market, t: int, held: int, ticker: int) -> float:
    """Return what stands for an unmeasurable correlation: NaN, which refuses, where the candidate is at fault.

    A holding without a measure counts as moving like its own sector, and elsewhere as usual (`USUAL_CORRELATION`): one
    unknown number of one holding must not refuse everything else.
    """
    if not (market.bars[ticker, t, NORM] > 0.0):
        return float("nan")
    return 1.0 if market.sector[held] == market.sector[ticker] else USUAL_CORRELATION


@lean
def slot_value(slot: Record) -> float:
    """Return what a slot counts for in every cap: shares held or short at the mark, pending at the worst price."""
    value: float = abs(slot["value"]) + slot["pending"] * slot["limit_price"]
    return value


@lean
def measure_entry(slots: Records, market: Market, t: int, ticker: int, limits: Limits) -> Measures:
    """Measure the book from the view of a candidate `ticker` at row `t`."""
    gross = 0.0
    sector = 0.0
    position = 0.0
    reserved = 0.0
    positions = 0
    is_new = True
    correlation = -1.0
    correlated = -1
    for s in range(len(slots)):
        held = slots[s]["ticker"]
        if held < 0:
            continue
        value = slot_value(slots[s])
        gross += value
        reserved += slots[s]["pending"] * slots[s]["limit_price"]
        positions += 1
        if market.sector[held] == market.sector[ticker]:
            sector += value
        if held == ticker:
            position += value
            is_new = False
            continue
        pair = pair_correlation(market, t, held, ticker, limits)
        if not (pair <= 2.0):
            pair = unknown_correlation(market, t, held, ticker)
        if pair > correlation or not (pair <= 2.0):  # NaN enters, and once in, stays
            correlation = pair
            correlated = held
    return Measures(gross, sector, position, reserved, positions, is_new, correlation, correlated)


@lean
def check_entry(
    quantity: float,
    price: float,
    equity: float,
    cash: float,
    vix: float,
    measures: Measures,
    data: RuleVerdict,
    limits: Limits,
) -> RuleVerdict:
    """Check a buy of `quantity` shares at the worst `price` against every order rule; return the first that objects.

    `data` is `market_verdict` of the ticker. An order below the smallest sensible size is refused with the cap that an
    order of that size would break, else with BELOW_MINIMUM.
    """
    if not (quantity >= 0.0) or not (quantity < 1e300) or not (price > 0.0) or not (price < 1e300):
        return RuleVerdict(INVALID_ORDER, quantity, 0.0)
    if data.code != OK:
        return data
    notional = quantity * price
    broken = broken_cap(max(notional, limits.min_order), equity, cash, vix, measures, limits)
    if broken.code != OK:
        return broken
    if not (notional >= limits.min_order - HALF_CENT):
        return RuleVerdict(BELOW_MINIMUM, notional, limits.min_order)
    return RuleVerdict(OK, notional / equity, limits.max_position)


@lean
def market_verdict(market: Market, t: int, ticker: int) -> RuleVerdict:
    """Return whether the ticker's own data suffice for new risk at row `t`."""
    price = market.bars[ticker, t, CLOSE]
    if not (price > 0.0):
        return RuleVerdict(PRICE_UNKNOWN, price, 0.0)
    volatility = market.bars[ticker, t, VOLATILITY]
    if not (volatility > 0.0):
        return RuleVerdict(VOLATILITY_UNKNOWN, volatility, 0.0)
    return RuleVerdict(OK, price, 0.0)
