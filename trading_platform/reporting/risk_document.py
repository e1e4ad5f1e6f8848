"""The parts of the report about permission and reasons: risk, regime, allocation, reconciliation, the engine."""

from __future__ import annotations

from typing import TypedDict

from trading_platform.core.alert_states import OWNERS_THINGS
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.facts import AllocationFacts, Ledger
from trading_platform.reporting.json_values import day_text, instant_text, money, number, percent
from trading_platform.reporting.states import UNPROTECTED


class RiskStatusPart(TypedDict):
    """Where the limits stand; percent of equity."""

    drawdown_pct: float | None
    total_drawdown_pct: float | None
    daily_loss_pct: float | None
    exposure_pct: float | None
    positions_count: int
    circuit_breaker: bool
    halted: bool
    lifetime_drawdown_pct: float | None
    vix: float | None


class RegimePart(TypedDict):
    """The regime's probabilities."""

    bull: float | None
    bear: float | None
    consolidation: float | None


class AllocationPart(TypedDict):
    """Who split the capital, when and why; `change` in fractions of capital, `influences` in shares of the move."""

    session: str
    source: str
    reason: str
    model_id: str | None
    model_created_at: str | None
    model_age_days: int | None
    previous_session: str | None
    change: dict[str, float] | None
    influences: dict[str, float] | None


class RulePart(TypedDict):
    """What is used of a limit, in its own unit."""

    rule: str
    unit: str
    observed: float | None
    limit: float | None
    headroom: float | None
    note: str


class SectorPart(TypedDict):
    """What is held of a sector; dollars, percent of equity."""

    sector: str
    value: float
    pct: float | None
    positions: int


class HaltPart(TypedDict):
    """What keeps new positions out, and what ends it."""

    kind: str
    code: str
    since: str | None
    at: str | None
    reason: str
    release: str


class EventPart(TypedDict):
    """A change of what may be traded."""

    at: str
    kind: str
    code: str
    message: str
    actor: str


class RiskPart(TypedDict):
    """Headroom, sectors, halts and the day's events."""

    headroom: list[RulePart]
    sectors: list[SectorPart]
    halts: list[HaltPart]
    events_today: list[EventPart]


class DifferencePart(TypedDict):
    """A difference between our book and the broker's that nothing explains."""

    found_at: str
    kind: str
    ticker: str | None
    ours: str
    theirs: str
    action: str


class DataPart(TypedDict):
    """Gaps and doubts in the data."""

    warnings: list[str]
    sessions_not_booked: int


class EnginePart(TypedDict):
    """The engine's signs of life."""

    status: str | None
    heartbeat_at: str | None
    heartbeat_age_seconds: float | None


def risk_status_part(evidence: Evidence) -> RiskStatusPart:
    """Return where the limits stand."""
    view = evidence.view
    known = {rule.rule: rule.observed for rule in evidence.headroom}
    halted = {halt.kind for halt in evidence.halts}
    return {
        "drawdown_pct": number(known.get("drawdown"), 4),
        "total_drawdown_pct": number(known.get("total_drawdown"), 4),
        "daily_loss_pct": number(known.get("daily_loss"), 4),
        "exposure_pct": number(known.get("exposure"), 4),
        "positions_count": len(view.holdings),
        "circuit_breaker": "pause" in halted,
        "halted": bool(halted),
        "lifetime_drawdown_pct": None if view.booked is None else percent(view.booked.lifetime_drawdown),
        "vix": None if view.booked is None else number(view.booked.vix, 4),
    }


def regime_part(ledger: Ledger | None) -> RegimePart | None:
    """Return the regime's probabilities."""
    if ledger is None or ledger.regime is None:
        return None
    regime = ledger.regime
    return {
        "bull": number(regime.bull, 4),
        "bear": number(regime.bear, 4),
        "consolidation": number(regime.consolidation, 4),
    }


def allocation_part(evidence: Evidence) -> AllocationPart | None:
    """Return how the allocation came about."""
    ledger, model = evidence.ledger, evidence.model
    if ledger is None or ledger.allocation is None:
        return None
    now, before = ledger.allocation, ledger.previous_allocation
    return {
        "session": str(now.session),
        "source": now.source,
        "reason": now.reason,
        "model_id": now.model_id,
        "model_created_at": None if model is None else model.created_at,
        "model_age_days": None if model is None else model.age_days,
        "previous_session": None if before is None else str(before.session),
        "change": _change(now, before),
        "influences": now.influences,
    }


def _change(now: AllocationFacts, before: AllocationFacts | None) -> dict[str, float] | None:
    if before is None:
        return None
    names = sorted({*now.weights, *before.weights})
    return {name: round(now.weights.get(name, 0.0) - before.weights.get(name, 0.0), 6) for name in names}


def risk_part(evidence: Evidence) -> RiskPart:
    """Return headroom, sectors, halts and the day's events."""
    ledger = evidence.ledger
    events = [] if ledger is None else [e for e in ledger.events if e.session == evidence.view.session]
    return {
        "headroom": [
            {
                "rule": rule.rule,
                "unit": rule.unit,
                "observed": number(rule.observed, 4),
                "limit": number(rule.limit, 4),
                "headroom": number(rule.headroom, 4),
                "note": rule.note,
            }
            for rule in evidence.headroom
        ],
        "sectors": [
            {"sector": s.sector, "value": money(s.value), "pct": percent(s.share), "positions": s.positions}
            for s in evidence.sectors
        ],
        "halts": [
            {
                "kind": halt.kind,
                "code": halt.code,
                "since": day_text(halt.since),
                "at": None if halt.at is None else instant_text(halt.at),
                "reason": halt.reason,
                "release": halt.release,
            }
            for halt in evidence.halts
        ],
        "events_today": [
            {"at": instant_text(e.at), "kind": e.kind, "code": e.code, "message": e.message, "actor": e.actor}
            for e in events
        ],
    }


def difference_part(ledger: Ledger) -> list[DifferencePart]:
    """Return what reconciliation could not explain."""
    return [
        {
            "found_at": instant_text(line.found_at),
            "kind": line.kind,
            "ticker": line.ticker,
            "ours": line.ours,
            "theirs": line.theirs,
            "action": line.action,
        }
        for line in ledger.differences
        if line.kind not in (UNPROTECTED, OWNERS_THINGS)
    ]


def data_part(evidence: Evidence) -> DataPart:
    """Return gaps and doubts in the data."""
    ledger = evidence.ledger
    return {
        "warnings": [] if ledger is None else list(ledger.warnings),
        "sessions_not_booked": evidence.missing,
    }


def engine_part(evidence: Evidence) -> EnginePart:
    """Return the engine's signs of life."""
    ledger = evidence.ledger
    beat = None if ledger is None else ledger.heartbeat
    age = None if beat is None else max(0.0, (evidence.now - beat).total_seconds())
    return {
        "status": None if ledger is None else ledger.run.status,
        "heartbeat_at": None if beat is None else instant_text(beat),
        "heartbeat_age_seconds": number(age, 0),
    }
