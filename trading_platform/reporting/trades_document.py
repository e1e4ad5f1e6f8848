"""The parts of the report about trades: executions, orders for the next open, what was closed, and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from trading_platform.reporting.facts import FillLine, Ledger
from trading_platform.reporting.json_values import money, number, percent


class ExecutionPart(TypedDict):
    """An execution; dollars and shares, also of each strategy behind it."""

    ticker: str
    side: str
    qty: float | None
    price: float | None
    strategy: str
    strategies: dict[str, float]
    amount: float
    fees: float
    realized_pnl: float
    reason: str


class OrderPart(TypedDict):
    """An order that was decided for the next open."""

    ticker: str
    side: str
    qty: float | None
    limit_price: float | None
    strategy: str
    reason: str
    status: str | None


class ClosedPart(TypedDict):
    """A round trip that ended; profit in dollars, net of fees, and in percent."""

    ticker: str
    strategy: str
    qty: float | None
    pnl: float
    return_pct: float | None
    dividends: float
    entry_session: str
    exit_session: str
    exit_reason: str


class RecordPart(TypedDict):
    """What a strategy has closed since the start."""

    strategy: str
    trades: int
    win_rate_pct: float | None
    pnl: float


def executions(fills: Iterable[FillLine]) -> list[ExecutionPart]:
    """Return executions with the strategies behind each: parts of one order at one price are one execution."""
    found: dict[tuple[str, str, str, float], list[FillLine]] = {}
    for fill in fills:
        found.setdefault((fill.order, fill.ticker, fill.side, fill.price), []).append(fill)
    return [_execution(parts) for parts in found.values()]


def orders_part(ledger: Ledger) -> list[OrderPart]:
    """Return the orders for the next open; what became of them is told of the newest session only."""
    return [
        {
            "ticker": order.ticker,
            "side": order.side,
            "qty": number(order.quantity, 9),
            "limit_price": number(order.limit_price),
            "strategy": order.strategy,
            "reason": order.reason,
            "status": order.status if ledger.is_latest else None,
        }
        for order in ledger.orders
    ]


def closed_part(ledger: Ledger) -> list[ClosedPart]:
    """Return the round trips that ended in the session."""
    return [
        {
            "ticker": trip.ticker,
            "strategy": trip.strategy,
            "qty": number(trip.quantity, 9),
            "pnl": money(trip.pnl),
            "return_pct": percent(trip.return_fraction),
            "dividends": money(trip.dividends),
            "entry_session": str(trip.entry_session),
            "exit_session": str(trip.exit_session),
            "exit_reason": trip.exit_reason,
        }
        for trip in ledger.closed
    ]


def records_part(ledger: Ledger) -> list[RecordPart]:
    """Return what each strategy has closed since the start."""
    return [
        {
            "strategy": record.strategy,
            "trades": record.trades,
            "win_rate_pct": percent(record.wins / record.trades) if record.trades else None,
            "pnl": money(record.pnl),
        }
        for record in ledger.records
    ]


def _execution(parts: Sequence[FillLine]) -> ExecutionPart:
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
        "strategies": {name: round(quantity, 9) for name, quantity in shares.items()},
        "amount": money(sum(part.amount for part in parts)),
        "fees": money(sum(part.fees for part in parts)),
        "realized_pnl": money(sum(part.realized for part in parts)),
        "reason": largest.reason,
    }
