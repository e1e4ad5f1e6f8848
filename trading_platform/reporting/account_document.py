"""The parts of the report about the account: what it holds, where its equity came from, and who earned it."""

from __future__ import annotations

from typing import TypedDict

from trading_platform.reporting.bridge import Share
from trading_platform.reporting.day_view import DayView
from trading_platform.reporting.facts import Holding, Ledger
from trading_platform.reporting.json_values import day_text, money, number, percent


class PositionPart(TypedDict):
    """An open position; dollars, shares, percent."""

    ticker: str
    qty: float | None
    entry: float | None
    current: float | None
    pnl: float | None
    pnl_pct: float | None
    value: float | None
    cost: float
    weight_pct: float | None
    day_pnl: float | None
    strategy: str | None
    strategies: dict[str, float]
    sector: str | None
    stop: float | None
    target: float | None
    dividends: float
    entry_session: str | None
    sessions_held: int | None


class BridgePart(TypedDict):
    """From the equity of the previous close to this one, dollars."""

    start_equity: float
    realized: float
    unrealized_change: float
    fees: float
    dividends: float
    interest: float
    cash_flow: float
    residual: float
    equity_change: float
    end_equity: float


class SharePart(TypedDict):
    """What a strategy or a ticker has earned, dollars."""

    name: str
    pnl: float
    realized: float
    unrealized_change: float
    fees: float
    dividends: float
    interest: float


class AttributionPart(TypedDict):
    """Who earned the day, the most first."""

    strategies: list[SharePart]
    tickers: list[SharePart]


def positions_part(view: DayView, ledger: Ledger | None) -> list[PositionPart]:
    """Return open positions, the largest first."""
    largest = sorted(view.holdings, key=lambda h: (-abs(h.value if h.value is not None else h.cost), h.ticker))
    return [_position(holding, view, ledger) for holding in largest]


def strategies_of(holding: Holding) -> dict[str, float]:
    """Return the shares of each strategy in a position; nothing where only the broker knows it."""
    if holding.parts:
        return {part.strategy: round(part.quantity, 9) for part in holding.parts}
    return {} if holding.strategy is None else {holding.strategy: round(holding.quantity, 9)}


def bridge_part(view: DayView) -> BridgePart | None:
    """Return how equity came from the previous close to this one; None where one of them is not known."""
    if view.bridge is None:
        return None
    bridge = view.bridge
    return {
        "start_equity": money(bridge.start),
        "realized": money(bridge.realized),
        "unrealized_change": money(bridge.unrealized_change),
        "fees": money(-bridge.fees),
        "dividends": money(bridge.dividends),
        "interest": money(bridge.interest),
        "cash_flow": money(bridge.cash_flow),
        "residual": money(bridge.residual),
        "equity_change": money(bridge.end - bridge.start),
        "end_equity": money(bridge.end),
    }


def attribution_part(view: DayView) -> AttributionPart | None:
    """Return who earned the day; None where it cannot be said."""
    if view.attribution is None:
        return None
    return {
        "strategies": [_share(share) for share in view.attribution.strategies],
        "tickers": [_share(share) for share in view.attribution.tickers],
    }


def _position(holding: Holding, view: DayView, ledger: Ledger | None) -> PositionPart:
    gain = holding.unrealized
    weight = holding.value / view.equity if holding.value is not None and view.equity else None
    entered = holding.entry_session
    sessions = None
    if ledger is not None and entered is not None:
        sessions = sum(day.session >= entered for day in ledger.days)
    return {
        "ticker": holding.ticker,
        "qty": number(holding.quantity, 9),
        "entry": number(holding.entry_price),
        "current": number(holding.price),
        "pnl": money(gain),
        "pnl_pct": percent(gain / holding.cost) if gain is not None and holding.cost > 0 else None,
        "value": money(holding.value),
        "cost": money(holding.cost),
        "weight_pct": percent(weight),
        "day_pnl": money(view.day_profits.get(holding.ticker)),
        "strategy": holding.strategy,
        "strategies": strategies_of(holding),
        "sector": None if ledger is None else ledger.run.sectors.get(holding.ticker),
        "stop": number(holding.stop),
        "target": number(holding.target),
        "dividends": money(holding.dividends),
        "entry_session": day_text(entered),
        "sessions_held": sessions,
    }


def _share(share: Share) -> SharePart:
    return {
        "name": share.name,
        "pnl": money(share.pnl),
        "realized": money(share.realized),
        "unrealized_change": money(share.unrealized),
        "fees": money(-share.fees),
        "dividends": money(share.dividends),
        "interest": money(share.interest),
    }
