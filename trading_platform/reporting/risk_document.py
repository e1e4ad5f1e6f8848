"""The parts of the report about permission and reasons: risk, regime, allocation, reconciliation, the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trading_platform.core.alert_states import OWNERS_THINGS
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.facts import AllocationFacts, Ledger
from trading_platform.reporting.json_values import day_text, instant_text, money, number, percent
from trading_platform.reporting.states import UNPROTECTED

Part = dict[str, Any]


def risk_status_part(evidence: Evidence) -> Part:
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


def regime_part(ledger: Ledger | None) -> Part | None:
    """Return the regime's probabilities."""
    if ledger is None or ledger.regime is None:
        return None
    regime = ledger.regime
    return {
        "bull": number(regime.bull, 4),
        "bear": number(regime.bear, 4),
        "consolidation": number(regime.consolidation, 4),
    }


def allocation_part(evidence: Evidence) -> Part | None:
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


def risk_part(evidence: Evidence) -> Part:
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


def difference_part(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Return what reconciliation could not explain."""
    return [
        {**line._asdict(), "found_at": instant_text(line.found_at)}
        for line in ledger.differences
        if line.kind not in (UNPROTECTED, OWNERS_THINGS)
    ]


def data_part(evidence: Evidence) -> Part:
    """Return gaps and doubts in the data."""
    ledger = evidence.ledger
    return {
        "warnings": [] if ledger is None else list(ledger.warnings),
        "sessions_not_booked": evidence.missing,
    }


def engine_part(evidence: Evidence) -> Part:
    """Return the engine's signs of life."""
    ledger = evidence.ledger
    beat = None if ledger is None else ledger.heartbeat
    age = None if beat is None else max(0.0, (evidence.now - beat).total_seconds())
    return {
        "status": None if ledger is None else ledger.run.status,
        "heartbeat_at": None if beat is None else instant_text(beat),
        "heartbeat_age_seconds": number(age, 0),
    }
