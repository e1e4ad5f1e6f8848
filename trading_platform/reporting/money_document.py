"""The parts of the report about money: what trading cost, what cash earned, what was left in cash, whose fills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trading_platform.reporting.facts import Day, FillLine, Holding
from trading_platform.reporting.json_values import money, number

Part = dict[str, Any]
CAUSES = ("commission", "spread", "slippage", "impact")
UNUSED = ("no_signal", "slots", "caps", "size", "halts")


def costs_part(days: Sequence[Day], booked: Day | None) -> Part:
    """Return costs by cause of the reported session (null while it is under way) and since the start."""
    return {"day": None if booked is None else _costs((booked,)), "since_start": _costs(days)}


def interest_part(days: Sequence[Day], booked: Day | None) -> Part:
    """Return what cash earned on the reported session (null while it is under way) and since the start."""
    day = None if booked is None else money(booked.interest)
    return {"day": day, "since_start": money(sum(day.interest for day in days))}


def not_invested_part(booked: Day | None) -> Part | None:
    """Return what the decision at the close left in cash, by cause; None where nothing was decided."""
    if booked is None:
        return None
    values = {name: getattr(booked, f"unused_{name}") for name in UNUSED}
    return None if None in values.values() else {name: money(value) for name, value in values.items()}


def executions(fills: Iterable[FillLine]) -> list[Part]:
    """Return executions with the strategies behind each: parts of one order at one price are one execution."""

    found: dict[tuple[str, str, str, float], list[FillLine]] = {}
    for fill in fills:
        found.setdefault((fill.order, fill.ticker, fill.side, fill.price), []).append(fill)
    return [_execution(parts) for parts in found.values()]


def strategies_of(holding: Holding) -> dict[str, float | None]:
    """Return the shares of each strategy in a position; nothing where only the broker knows it."""
    if holding.parts:
        return {part.strategy: number(part.quantity, 9) for part in holding.parts}
    return {} if holding.strategy is None else {holding.strategy: number(holding.quantity, 9)}


def _execution(parts: Sequence[FillLine]) -> Part:
    largest = max(parts, key=lambda part: part.quantity)
    shares: dict[str, float] = {}
    for part in parts:
        shares[part.strategy] = shares.get(part.strategy, 0.0) + part.quantity
    return {
        "ticker": largest.ticker,
        "side": largest.side,
        "qty": number(sum(part.quantity for part in parts), 9),
        "price": number(largest.price),
        "strategy": largest.strategy,
        "strategies": {name: number(quantity, 9) for name, quantity in shares.items()},
        "amount": money(sum(part.amount for part in parts)),
        "fees": money(sum(part.fees for part in parts)),
        "realized_pnl": money(sum(part.realized for part in parts)),
        "reason": largest.reason,
    }


def _costs(days: Sequence[Day]) -> Part:
    fees = sum(day.fees for day in days)
    causes = {name: sum(getattr(day, name) for day in days) for name in CAUSES}
    regulatory = fees - causes["commission"]
    return {
        **{name: money(value) for name, value in causes.items()},
        "regulatory": money(regulatory),
        "total": money(sum(causes.values()) + regulatory),
    }
