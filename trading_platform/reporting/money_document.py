"""The parts of the report about money: what trading cost, what cash earned, what was left in cash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from trading_platform.reporting.facts import Day
from trading_platform.reporting.json_values import money

CAUSES = ("commission", "spread", "slippage", "impact")
UNUSED = ("no_signal", "slots", "caps", "size", "halts")


class CostsPart(TypedDict):
    """Dollars by cause, and in `total`; of the session, null while it is under way."""

    day: dict[str, float] | None
    since_start: dict[str, float]


class InterestPart(TypedDict):
    """Dollars that cash has earned; of the session, null while it is under way."""

    day: float | None
    since_start: float


def costs_part(days: Sequence[Day], booked: Day | None) -> CostsPart:
    """Return costs by cause of the reported session (null while it is under way) and since the start."""
    return {"day": None if booked is None else _costs((booked,)), "since_start": _costs(days)}


def interest_part(days: Sequence[Day], booked: Day | None) -> InterestPart:
    """Return what cash earned on the reported session (null while it is under way) and since the start."""
    day = None if booked is None else money(booked.interest)
    return {"day": day, "since_start": money(sum(day.interest for day in days))}


def not_invested_part(booked: Day | None) -> dict[str, float] | None:
    """Return what the decision at the close left in cash, by cause; None where nothing was decided."""
    if booked is None:
        return None
    values = {name: getattr(booked, f"unused_{name}") for name in UNUSED}
    return None if None in values.values() else {name: money(value) for name, value in values.items()}


def _costs(days: Sequence[Day]) -> dict[str, float]:
    fees = sum(day.fees for day in days)
    causes = {name: sum(getattr(day, name) for day in days) for name in CAUSES}
    regulatory = fees - causes["commission"]
    return {
        **{name: money(value) for name, value in causes.items()},
        "regulatory": money(regulatory),
        "total": money(sum(causes.values()) + regulatory),
    }
