"""The state of every rule as one JSON-ready document; percent where the key says so, null where unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trading_platform.core.risk.book import RiskBook
from trading_platform.core.risk.caps import NOISE, cap_numbers
from trading_platform.core.risk.caps import vix_scale as vix_scale_of
from trading_platform.core.risk.denial_codes import CAPS, N_CAPS, DenialCode, Measures
from trading_platform.core.risk.limits import HALT_RELEASES, SECONDS_PER_HOUR, Limits
from trading_platform.core.risk.memory import RiskMemory
from trading_platform.core.risk.messages import market_age
from trading_platform.core.risk.rules import (
    STOPPED_BY_SECOND,
    STOPPED_BY_TOTAL,
    daily_loss_of,
    drawdown_of,
    pair_correlation,
)
from trading_platform.core.risk.rules import slot_value as slot_value_of
from trading_platform.core.risk.sizing import kelly_fraction
from trading_platform.core.types import UNKNOWN_SECTOR

Row = dict[str, Any]

OPERATOR = "ends when an operator resumes"
NEXT_READING = "ends with the next good reading"


def risk_report(
    memory: RiskMemory,
    book: RiskBook,
    limits: Limits,
    gate: tuple[DenialCode, str],
    quarantine: Mapping[str, str],
    unreconciled: str | None,
) -> Row:
    """Return the report of an account.

    Parameters
    ----------
    memory, book, limits
        Of the `RiskManager` that is reported; `gate` is its answer to "may new risk be taken now".
    quarantine, unreconciled
        Tickers that are refused and why; what is unexplained about the whole account.
    """
    account, slots = book.account, book.slots
    equity = float(account["equity"])
    used = [slot for slot in slots if slot["ticker"] >= 0 or slot["quantity"] != 0.0 or slot["pending"] > 0.0]
    exposure = _share(sum(float(slot_value_of(slot)) for slot in used), equity)
    drawdown = float(drawdown_of(account["accepted_equity"], account["peak_equity"]))
    total = float(drawdown_of(account["accepted_equity"], account["total_peak"]))
    vix, vix_age, price_age = _market_facts(book)
    sectors, pairs = _sectors(book, equity), _correlations(book, limits)
    report: Row = {
        "can_trade": gate[0] == DenialCode.OK,
        "reason": gate[1],
        "equity": equity,
        "cash": float(account["cash"]),
        "drawdown_pct": 100.0 * drawdown,
        "lifetime_drawdown_pct": 100.0 * float(account["lifetime_drawdown"]),
        "peak_equity": float(account["peak_equity"]),
        "lifetime_peak": float(account["lifetime_peak"]),
        "total_drawdown_pct": 100.0 * total,
        "daily_loss_pct": 100.0 * float(daily_loss_of(account)),
        "exposure_pct": 100.0 * exposure,
        "positions_count": len(used),
        "positions": [_position(slot, name, equity) for slot, name in _named(book)],
        "circuit_breaker": _breaker(account, book, limits),
        "halts": _halts(memory, book, limits, drawdown, gate, unreconciled),
        "quarantine": dict(quarantine),
        "vix": vix,
        "vix_age_sessions": vix_age,
        "vix_scale": float(vix_scale_of(vix, limits)) if vix > 0.0 else math.nan,
        "price_age_sessions": price_age,
        "sectors": sectors,
        "correlations": pairs,
        "kelly": _kelly(account, limits),
        "headroom": _headroom(book, limits, drawdown, exposure, sectors, pairs),
        "halts_so_far": int(account["halts"]),
        "session": memory.session,
        "config_fingerprint": memory.config_fingerprint,
    }
    cleaned: Row = _clean(report)
    return cleaned


def _market_facts(book: RiskBook) -> tuple[float, float, float]:
    """Return VIX, its age and that of the newest bars in sessions; NaN where unknown."""
    if book.view is None:
        return math.nan, math.nan, math.nan
    market, t, age = book.view.market, book.view.t, market_age(book.view)
    return float(market.vix[t]), float(market.vix_age[t]) + age, age


def _named(book: RiskBook) -> list[tuple[Any, str]]:
    """Return the used slots with their tickers."""
    outside = {s: ticker for ticker, s in book.outside.items()}
    found = []
    for s, slot in enumerate(book.slots):
        if s in outside:
            found.append((slot, outside[s]))
        elif slot["ticker"] >= 0 and book.view is not None:
            found.append((slot, book.view.tickers[slot["ticker"]]))
    return found


def _position(slot: Any, ticker: str, equity: float) -> Row:
    value = float(slot_value_of(slot))
    return {
        "ticker": ticker,
        "quantity": float(slot["quantity"]),
        "pending": float(slot["pending"]),
        "price": float(slot["price"]) if slot["price"] > 0.0 else math.nan,
        "value": value,
        "pct": 100.0 * _share(value, equity),
    }


def _sectors(book: RiskBook, equity: float) -> list[Row]:
    """Return every sector with positions or pending entries, the largest first."""
    values: dict[str, float] = {}
    counts: dict[str, int] = {}
    for slot, _ in _named(book):
        inside = book.view is not None and slot["ticker"] >= 0
        name = book.view.sectors[slot["ticker"]] if book.view is not None and inside else UNKNOWN_SECTOR
        values[name] = values.get(name, 0.0) + float(slot_value_of(slot))
        counts[name] = counts.get(name, 0) + 1
    order = sorted(values, key=lambda name: (-values[name], name))
    return [
        {"sector": name, "value": values[name], "pct": 100.0 * _share(values[name], equity), "positions": counts[name]}
        for name in order
    ]


def _correlations(book: RiskBook, limits: Limits) -> list[Row]:
    """Return the correlation of every pair held, the highest first, those that cannot be measured before all."""
    if book.view is None:
        return []
    market, t, names = book.view.market, book.view.t, book.view.tickers
    held = sorted(int(slot["ticker"]) for slot in book.slots if slot["ticker"] >= 0)
    pairs = [
        {"a": names[i], "b": names[j], "correlation": float(pair_correlation(market, t, i, j, limits))}
        for n, i in enumerate(held)
        for j in held[n + 1 :]
    ]
    return sorted(pairs, key=lambda pair: -pair["correlation"] if pair["correlation"] <= 2.0 else -9.0)


def _breaker(account: Any, book: RiskBook, limits: Limits) -> Row:
    hours = _pause_hours(account, book)
    return {
        "active": not hours <= 0.0,
        "loss_streak": int(account["loss_streak"]),
        "limit": limits.loss_streak,
        "pause_hours_left": hours,
    }


def _pause_hours(account: Any, book: RiskBook) -> float:
    """Return the exchange hours left of a pause; NaN while it waits for a market to tell the time."""
    if account["pause_until"] == 0.0:
        return 0.0
    if book.view is None:
        return math.nan
    return max(0.0, float(account["pause_until"] - book.view.clock) / SECONDS_PER_HOUR)


def _halts(
    memory: RiskMemory,
    book: RiskBook,
    limits: Limits,
    drawdown: float,
    gate: tuple[DenialCode, str],
    unreconciled: str | None,
) -> list[Row]:
    """Return everything that keeps new risk out now, with what ends it."""
    account, found = book.account, []

    def add(kind: str, code: DenialCode, reason: str, since: str | None, releases_when: str) -> None:
        row = {"kind": kind, "code": code.value, "reason": reason, "since": since, "releases_when": releases_when}
        found.append(row)

    if memory.fault is not None:
        add("state_invalid", DenialCode.RISK_STATE_INVALID, memory.fault, memory.fault_since, OPERATOR)
    if memory.manual_halt is not None:
        add("manual_halt", DenialCode.MANUAL_HALT, memory.manual_halt, memory.manual_halt_since, OPERATOR)
    if unreconciled is not None:
        add("reconciliation", DenialCode.RECONCILIATION, unreconciled, None, "ends when the accounts agree")
    if account["halted"] == STOPPED_BY_TOTAL:
        reason = (
            f"drawdown {drawdown_of(account['accepted_equity'], account['total_peak']):.2%} of the highest equity ever"
        )
        add("halt", DenialCode.TOTAL_DRAWDOWN, reason, memory.halted_since, OPERATOR)
    elif account["halted"] == STOPPED_BY_SECOND:
        reason = f"drawdown {drawdown:.2%} of peak equity, the second halt within a year"
        add("halt", DenialCode.SECOND_HALT, reason, memory.halted_since, OPERATOR)
    elif account["halted"] != 0:
        reason = f"drawdown {drawdown:.2%} of peak equity"
        add("halt", DenialCode.DRAWDOWN_HALT, reason, memory.halted_since, _release(limits))
    elif gate[0] is DenialCode.TOTAL_DRAWDOWN:
        reason = gate[1].partition(": ")[2]
        add("breach", gate[0], reason, None, "ends with the next reading, or becomes a halt")
    elif not drawdown <= limits.max_drawdown + NOISE and account["peak_equity"] > 0.0:
        reason = f"drawdown {drawdown:.2%} on a first reading"
        add("breach", DenialCode.DRAWDOWN_BREACH, reason, None, "ends with the next reading, or becomes a halt")
    if not account["equity"] > 0.0 or account["suspect_equity"] != 0.0:
        reason = "equity is unknown" if not account["equity"] > 0.0 else "equity jumped and was not confirmed"
        add("equity_suspect", DenialCode.EQUITY_UNKNOWN, reason, None, NEXT_READING)
    loss = float(daily_loss_of(account))
    if account["daily_halted"] != 0 or loss > limits.max_daily_loss + NOISE or gate[0] is DenialCode.DAILY_LOSS_LIMIT:
        words = "an unknown part" if math.isnan(loss) else f"{loss:.2%}"
        reason = f"lost {words} since the previous close"
        add("daily_loss", DenialCode.DAILY_LOSS_LIMIT, reason, memory.daily_since, "ends with the next session")
    if not (hours := _pause_hours(account, book)) <= 0.0:
        reason, left = f"{limits.loss_streak} losing trades in a row", f"ends after {hours:.1f} h of open exchange"
        add("pause", DenialCode.LOSS_STREAK_PAUSE, reason, memory.pause_since, left)
    if gate[0] in (DenialCode.VIX_UNKNOWN, DenialCode.PRICE_UNKNOWN):
        add("data", gate[0], gate[1].partition(": ")[2], None, "ends when the data are there")
    return found


def _release(limits: Limits) -> str:
    what = HALT_RELEASES[limits.halt_release]
    if what == "manual":
        return OPERATOR
    return (
        f"ends when {'the shadow book' if what == 'shadow' else 'equity'} recovers to -{limits.recovery_drawdown:.2%}"
    )


def _kelly(account: Any, limits: Limits) -> Row:
    """Return the decayed trade statistics that sizes are shrunk from, and the fraction they give with the prior."""
    trades, wins = float(account["kelly_trades"]), float(account["kelly_wins"])
    full = float(kelly_fraction(account, limits))
    return {
        "trades": trades,
        "win_rate": wins / trades if trades > 0.0 else math.nan,
        "mean_win_pct": 100.0 * float(account["kelly_gain"]) / wins if wins > 0.0 else math.nan,
        "mean_loss_pct": 100.0 * float(account["kelly_loss"]) / (trades - wins) if trades > wins else math.nan,
        "full_fraction_pct": 100.0 * full,
        "used_fraction_pct": 100.0 * max(limits.kelly_fraction * full, limits.min_kelly_scale * limits.max_position),
    }


def _headroom(
    book: RiskBook, limits: Limits, drawdown: float, exposure: float, sectors: list[Row], pairs: list[Row]
) -> list[Row]:
    """Return every rule's observed value, limit and what is left before it refuses new risk, in the rule's unit."""
    account = book.account
    vix_age = _market_facts(book)[1]
    recovering = limits.recovery_drawdown if account["halted"] != 0 else limits.max_drawdown
    rows: list[tuple[str, DenialCode, str, float, float]] = [
        ("drawdown", DenialCode.DRAWDOWN_HALT, "%", 100.0 * drawdown, 100.0 * recovering),
        (
            "total_drawdown",
            DenialCode.TOTAL_DRAWDOWN,
            "%",
            100.0 * float(drawdown_of(account["accepted_equity"], account["total_peak"])),
            100.0 * limits.max_total_drawdown,
        ),
        (
            "daily_loss",
            DenialCode.DAILY_LOSS_LIMIT,
            "%",
            100.0 * float(daily_loss_of(account)),
            100.0 * limits.max_daily_loss,
        ),
        *_cap_rows(book, limits, exposure, sectors, pairs),
        (
            "loss_streak",
            DenialCode.LOSS_STREAK_PAUSE,
            "trades",
            float(account["loss_streak"]),
            float(limits.loss_streak),
        ),
        ("vix_age", DenialCode.VIX_UNKNOWN, "sessions", vix_age, limits.max_vix_age),
    ]
    return [
        {"rule": rule, "code": code.value, "unit": unit, "observed": seen, "limit": limit, "headroom": limit - seen}
        for rule, code, unit, seen, limit in rows
    ]


def _cap_rows(
    book: RiskBook, limits: Limits, exposure: float, sectors: list[Row], pairs: list[Row]
) -> list[tuple[str, DenialCode, str, float, float]]:
    """Return each cap at the book as it stands: the largest position, the largest sector, the closest pair."""
    equity, cash = float(book.account["equity"]), float(book.account["cash"])
    named = _named(book)
    largest = _largest([float(slot_value_of(slot)) for slot, _ in named])
    reserved = sum((float(slot["pending"] * slot["limit_price"]) for slot, _ in named), 0.0)
    correlation = pairs[0]["correlation"] if pairs else math.nan
    sector, vix = _largest([row["value"] for row in sectors]), _market_facts(book)[0]
    seen = Measures(
        exposure * equity,
        sector,
        largest,
        reserved,
        len(named) - 1,
        is_new=True,
        correlation=correlation,
        correlated=-1,
    )
    rows = []
    for cap in range(N_CAPS):
        room = cap_numbers(cap, equity, cash, vix, seen, limits)
        if CAPS[cap].is_share:
            share = 100.0 * _share(float(room.used), equity), 100.0 * _share(float(room.limit), equity)
            rows.append((CAPS[cap].name, CAPS[cap].code, "%", *share))
        else:
            unit = "$" if CAPS[cap].unit == "dollars" else CAPS[cap].unit
            rows.append((CAPS[cap].name, CAPS[cap].code, unit, float(room.used), float(room.limit)))
    return rows


def _largest(values: list[float]) -> float:
    """Return the largest value, 0 of none, NaN if one of them is unknown."""
    return math.nan if any(math.isnan(value) for value in values) else max(values, default=0.0)


def _share(dollars: float, equity: float) -> float:
    return dollars / equity if equity > 0.0 else math.nan


def _clean(value: Any) -> Any:
    """Return `value` with null for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
