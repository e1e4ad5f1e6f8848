"""What limits trading: headroom of every rule, sectors, and the halts in force with what releases them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from trading_platform.core.risk.limits import total_drawdown_pct
from trading_platform.reporting.day_view import DayView
from trading_platform.reporting.facts import Event, Ledger

UNKNOWN_SECTOR = "Unknown"
SESSION_HOURS = 6.5
# Kinds of core.types.RiskEventKind that stop new risk: until something ends them, or for a while.
LASTING = ("halt", "manual_halt", "state_invalid")
PASSING = ("daily_loss", "pause", "breach", "equity_suspect")
OPERATOR = "ends when an operator resumes"
# Codes of core.risk.denial_codes whose drawdown halt recovers by nothing but an operator's word.
TOTAL_DRAWDOWN = "TOTAL_DRAWDOWN"
FOR_OPERATOR = (TOTAL_DRAWDOWN, "SECOND_HALT")
ENDS = {
    "halt": ("breach",),
    "release": ("halt",),
    "resume": ("halt", "manual_halt", "state_invalid", "pause", "breach", "equity_suspect"),
}


class Headroom(NamedTuple):
    """A rule's observed value and limit in `unit`; None where unknown. Negative headroom is a breach."""

    rule: str
    unit: str
    observed: float | None
    limit: float | None
    note: str

    @property
    def headroom(self) -> float | None:
        """What is left before the rule refuses new risk."""
        return None if self.observed is None or self.limit is None else self.limit - self.observed


class Halt(NamedTuple):
    """Something that keeps new positions out. `since` is None where it is not recorded."""

    kind: str
    code: str
    since: date | None
    at: datetime | None
    reason: str
    release: str


class SectorShare(NamedTuple):
    """A sector's part of equity, a fraction (None without equity), and its number of positions."""

    sector: str
    value: int
    share: float | None
    positions: int


def sector_shares(view: DayView, sectors: Mapping[str, str]) -> tuple[SectorShare, ...]:
    """Return sectors of the positions held, largest first; tickers without one share a bucket."""
    values: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    for holding in view.holdings:
        sector = sectors.get(holding.ticker) or UNKNOWN_SECTOR
        values[sector] += abs(holding.value or 0)
        counts[sector] += 1
    equity = view.equity if view.equity and view.equity > 0 else None
    shares = (SectorShare(s, v, v / equity if equity else None, counts[s]) for s, v in values.items())
    return tuple(sorted(shares, key=lambda share: (-share.value, share.sector)))


def loss_streak(results: Sequence[int]) -> int:
    """Return how many of the newest round trips lost in a row (newest first); break-even ones do not count."""
    streak = 0
    for pnl in results:
        if pnl > 0:
            break
        streak += pnl < 0
    return streak


def headroom(view: DayView, ledger: Ledger | None, sectors: Sequence[SectorShare]) -> tuple[Headroom, ...]:
    """Return every rule with a limit, in the order in which they matter. Limits come from the run's stored settings."""
    limits = {} if ledger is None else ledger.run.risk
    day = None if ledger is None else ledger.day
    weights = {h.ticker: abs(h.value) / view.equity for h in view.holdings if h.value is not None and view.equity}
    largest = max(weights, key=lambda ticker: weights[ticker]) if weights else ""
    loss = view.profit_fraction
    top = sectors[0] if sectors else None

    def rule(name: str, unit: str, observed: float | None, field: str, note: str = "") -> Headroom:
        value = limits.get(field)
        limit = float(value) if isinstance(value, int | float) else None
        return Headroom(name, unit, observed, limit, note)

    return (
        rule("drawdown", "%", _percent(view.drawdown), "max_drawdown_pct", "from peak equity"),
        Headroom(
            "total_drawdown",
            "%",
            _percent(_total_drawdown(view, ledger)),
            _total_limit(limits),
            "from the highest equity ever",
        ),
        rule("daily_loss", "%", None if loss is None else max(0.0, -100.0 * loss), "max_daily_loss_pct"),
        rule("exposure", "%", _percent(view.exposure), "max_exposure_pct", "of equity"),
        rule("positions", "count", float(len(view.holdings)) if view.equity is not None else None, "max_positions"),
        rule(
            "position",
            "%",
            _percent(max(weights.values(), default=0.0)) if view.equity else None,
            "max_position_pct",
            largest,
        ),
        rule(
            "sector",
            "%",
            _percent(top.share if top else 0.0) if view.equity else None,
            "max_sector_pct",
            top.sector if top else "",
        ),
        rule(
            "loss_streak",
            "trades",
            None if ledger is None else float(loss_streak(ledger.results)),
            "consecutive_loss_limit",
            "pauses entries when reached",
        ),
        rule("vix", "points", None if day is None else day.vix, "vix_threshold", "sizes shrink above"),
        rule("correlation", "", None, "max_correlation", "measured when an order is checked"),
    )


def _total_drawdown(view: DayView, ledger: Ledger | None) -> float | None:
    """Return the fall from the highest equity of all closes, deposits aside; None where unknown.

    It is told from the closes and events up to the reported one, as the rule counts: an operator's word that ended a
    halt by it begins anew.
    """
    if ledger is None or view.equity is None:
        return None
    recovery = ledger.run.risk.get("recovery_drawdown_pct")
    rebased = 1.0 - (float(recovery) if isinstance(recovery, int | float) else 0.0) / 100.0
    resumed = _resumes_from_total(ledger.events)
    peak = before = 0.0
    for day in ledger.days:
        while resumed and resumed[0] <= day.session:
            resumed.pop(0)
            peak = before / rebased
        if before > 0.0:
            peak *= (before + day.cash_flow) / before
        peak, before = max(peak, float(day.equity)), float(day.equity)
    return max(0.0, 1.0 - view.equity / peak) if peak > 0.0 else None


def _resumes_from_total(events: Sequence[Event]) -> list[date]:
    """Return the days on which an operator ended a halt by the total drawdown, oldest first."""
    days, stopped = [], False
    for event in events:
        if event.code == TOTAL_DRAWDOWN:
            stopped = True
        elif event.kind == "resume":
            days += [event.session] if stopped else []
            stopped = False
    return days


def _total_limit(limits: Mapping[str, object]) -> float | None:
    """Return the limit of that fall, percent; None for a run without risk limits."""
    told = {"max_total_drawdown_pct": None, **limits}
    return total_drawdown_pct(told) if isinstance(limits.get("max_drawdown_pct"), int | float) else None


def active_halts(ledger: Ledger | None) -> tuple[Halt, ...]:
    """Return the halts in force at the reported close (the newest report: now), from the stored events."""
    if ledger is None:
        return ()
    active: dict[str, Event] = {}
    for event in ledger.events:
        if event.kind in LASTING:
            if event.code in FOR_OPERATOR:  # a halt that would have recovered has become one that does not
                active.pop(event.kind, None)
            active.setdefault(event.kind, event)
        elif event.kind in PASSING:
            active[event.kind] = event
        for ended in ENDS.get(event.kind, ()):
            active.pop(ended, None)
    day = ledger.day
    if day is not None and not day.halted and "halt" in active and active["halt"].session <= day.session:
        del active["halt"]  # the booked flag is the account's own; an event may be missing after a restore
    halts = [_halt(event, ledger) for event in active.values() if event.kind in LASTING or _still_on(event, ledger)]
    return tuple(halts + _unrecorded({halt.kind for halt in halts}, ledger))


def _still_on(event: Event, ledger: Ledger) -> bool:
    """Tell whether a passing halt is on: most end with the next session, a pause after hours of open exchange."""
    later = sum(day.session > event.session for day in ledger.days)
    return later * SESSION_HOURS < _hours(ledger) if event.kind == "pause" else later == 0


def _unrecorded(recorded: set[str], ledger: Ledger) -> list[Halt]:
    """Return halts that the books or the risk memory know and no event explains."""
    state, day = ledger.risk_state or {}, ledger.day
    found = []
    if day is not None and day.halted and not recorded & set(LASTING):
        since = _date(state.get("halted_since"))
        reason = "the account is booked as halted"
        found.append(Halt("halt", "DRAWDOWN_HALT", since, None, reason, _release("halt", ledger)))
    for kind, code, name in (
        ("manual_halt", "MANUAL_HALT", "manual_halt"),
        ("state_invalid", "RISK_STATE_INVALID", "fault"),
    ):
        if state.get(name) and kind not in recorded:
            since = _date(state.get(f"{name}_since"))
            found.append(Halt(kind, code, since, None, str(state[name]), _release(kind, ledger)))
    return found


def _halt(event: Event, ledger: Ledger) -> Halt:
    release = OPERATOR if event.code in FOR_OPERATOR else _release(event.kind, ledger)
    return Halt(event.kind, event.code, event.session, event.at, event.message, release)


def _release(kind: str, ledger: Ledger) -> str:
    recovery = ledger.run.risk.get("recovery_drawdown_pct")
    to = f"to -{recovery:g} %" if isinstance(recovery, int | float) else "to its recovery level"
    match kind, ledger.run.risk.get("halt_release"):
        case "daily_loss", _:
            return "ends with the next session"
        case "breach" | "equity_suspect", _:
            return "ends with the next reading, or becomes a halt"
        case "pause", _:
            return f"ends after {_hours(ledger):g} h of open exchange"
        case "halt", "shadow":
            return f"ends when the shadow book recovers {to}"
        case "halt", "equity":
            return f"ends when equity recovers {to}"
    return OPERATOR


def _hours(ledger: Ledger) -> float:
    hours = ledger.run.risk.get("pause_hours")
    return float(hours) if isinstance(hours, int | float) else SESSION_HOURS


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100.0 * fraction
