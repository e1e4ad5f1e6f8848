"""The report as one JSON object: dollars to the cent, percent where a key says ``_pct``, null where unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from trading_platform.reporting.alerts import build_alerts, report_states
from trading_platform.reporting.bridge import Share
from trading_platform.reporting.day_view import DayView
from trading_platform.reporting.evidence import Evidence, close_time
from trading_platform.reporting.facts import Day, Holding, Ledger, RunFacts
from trading_platform.reporting.json_values import day_text, instant_text, money, number, percent
from trading_platform.reporting.market_words import benchmark_name, market_words, money_words
from trading_platform.reporting.money_document import (
    costs_part,
    executions,
    interest_part,
    not_invested_part,
    strategies_of,
)
from trading_platform.reporting.own_costs import own_costs_part
from trading_platform.reporting.performance import Period, day_return, periods, run_risk
from trading_platform.reporting.risk_document import (
    allocation_part,
    data_part,
    difference_part,
    engine_part,
    regime_part,
    risk_part,
    risk_status_part,
)
from trading_platform.storage.replay_days import replay_summary

SCHEMA_VERSION = 2  # 2: interest in the bridge, a trade is a whole execution, `sharpe` is over bills
Report = dict[str, Any]


def build_document(evidence: Evidence) -> Report:
    """Return the report without its ``summary``; every key is described in report.schema.json."""
    ledger, view = evidence.ledger, evidence.view
    run = None if ledger is None else ledger.run
    days = () if ledger is None else ledger.days
    return {
        "schema_version": SCHEMA_VERSION,
        "generated_at": instant_text(evidence.now),
        "date": str(view.session or evidence.asked or evidence.today),
        "as_of": instant_text(view.as_of),
        "source": view.source,
        "session": _session(evidence),
        "run": None if run is None else _run(run),
        "account": {"equity": money(view.equity), "cash": money(view.cash), "buying_power": money(view.buying_power)},
        "daily_pnl": money(view.profit),
        "daily_pnl_pct": percent(view.profit_fraction),
        **_total(view, ledger),
        "positions": [_position(holding, view, ledger) for holding in _largest(view)],
        "trades_today": [] if ledger is None else executions(ledger.fills),
        "risk_status": risk_status_part(evidence),
        "regime": None if ledger is None or ledger.regime is None else ledger.regime.regime,
        "regime_probabilities": regime_part(ledger),
        "rl_allocations": {} if ledger is None or ledger.allocation is None else ledger.allocation.weights,
        "allocation": allocation_part(evidence),
        "alerts": build_alerts(evidence),
        "states": [state.as_json() for state in report_states(evidence)],
        "bridge": _bridge(view),
        "interest": interest_part(days, view.booked),
        "costs": costs_part(days, view.booked),
        "own_costs": own_costs_part(None if ledger is None else ledger.own_costs),
        "replay_check": None if ledger is None else replay_summary(ledger.replay),
        "not_invested_because": not_invested_part(view.booked),
        "attribution": _attribution(view),
        "performance": _performance(view, ledger, evidence.since),
        "risk": risk_part(evidence),
        "orders_for_next_open": [] if ledger is None or view.booked is None else _orders(ledger),
        "closed_trades_today": [] if ledger is None else _closed(ledger),
        "strategy_records": [] if ledger is None else _records(ledger),
        "denials_today": {} if ledger is None else ledger.denials,
        "reconciliation": [] if ledger is None else difference_part(ledger),
        "data": data_part(evidence),
        "engine": engine_part(evidence),
    }


def _session(evidence: Evidence) -> Report:
    view, snapshot = evidence.view, evidence.snapshot
    closes = None if view.booked is None else close_time(view.booked.as_of)
    return {
        "date": day_text(view.session),
        "asked": str(evidence.asked or evidence.today),
        "is_session": evidence.is_session,
        "market_open": snapshot.is_open if snapshot is not None else (False if view.booked is not None else None),
        "booked": view.booked is not None,
        "close": closes,
        "half_day": None if closes is None else closes != "16:00",
    }


def _run(run: RunFacts) -> Report:
    return {
        "id": run.id,
        "mode": run.mode,
        "simulated": run.is_simulated,
        "market_data": run.source,
        "market": market_words(run.source),
        "benchmark": benchmark_name(run.source),
        "money": money_words(run.mode),
        "account": run.account,
        "status": run.status,
        "started_at": instant_text(run.started_at),
        "capital": money(run.capital),
        "config_fingerprint": run.config_fingerprint,
        "code_version": run.code_version,
    }


def _total(view: DayView, ledger: Ledger | None) -> Report:
    """Total profit: what equity gained beyond capital and cash flows, in percent of all money paid in."""
    if ledger is None or view.bridge is None:
        return {"total_pnl": None, "total_pnl_pct": None}
    total = view.bridge.end - ledger.run.capital - sum(day.cash_flow for day in ledger.days)
    paid_in = ledger.run.capital + sum(max(day.cash_flow, 0) for day in ledger.days)
    return {"total_pnl": money(total), "total_pnl_pct": percent(total / paid_in) if paid_in > 0 else None}


def _largest(view: DayView) -> list[Holding]:
    return sorted(view.holdings, key=lambda h: (-abs(h.value if h.value is not None else h.cost), h.ticker))


def _position(holding: Holding, view: DayView, ledger: Ledger | None) -> Report:
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


def _bridge(view: DayView) -> Report | None:
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


def _attribution(view: DayView) -> Report | None:
    if view.attribution is None:
        return None
    return {
        "strategies": [_share(share) for share in view.attribution.strategies],
        "tickers": [_share(share) for share in view.attribution.tickers],
    }


def _share(share: Share) -> Report:
    return {
        "name": share.name,
        "pnl": money(share.pnl),
        "realized": money(share.realized),
        "unrealized_change": money(share.unrealized),
        "fees": money(-share.fees),
        "dividends": money(share.dividends),
        "interest": money(share.interest),
    }


def _performance(view: DayView, ledger: Ledger | None, since: date | None) -> Report:
    days = () if ledger is None else ledger.days
    if view.booked is None and ledger is not None and ledger.day is not None and view.bridge is not None:
        days = (*days, _unbooked_day(ledger.day, view))
    risk = run_risk(days)
    return {
        "periods": {period.name: _period(period) for period in periods(days, since)},
        "best_day": _extreme(days, worst=False),
        "worst_day": _extreme(days, worst=True),
        "volatility_pct": percent(risk.volatility),
        "sharpe": number(risk.sharpe, 3),
        "sharpe_plain": number(risk.sharpe_plain, 3),
        "sessions": len(days),
        "winning_days_pct": percent(sum(d.profit > 0 for d in days) / len(days)) if days else None,
    }


def _unbooked_day(last: Day, view: DayView) -> Day:
    """Return a session under way as a day whose benchmark and universe are not known yet."""
    equity = view.equity or 0
    return last._replace(
        session=view.session or last.session,
        as_of=view.as_of,
        equity=equity,
        previous_equity=last.equity,
        cash_flow=0,
        benchmark_close=None,
        universe_return=None,
    )


def _period(period: Period) -> Report:
    return {
        "first_session": str(period.first),
        "sessions": period.sessions,
        "pnl": money(period.pnl),
        "return_pct": percent(period.own),
        "spy_return_pct": percent(period.benchmark),
        "equal_weight_return_pct": percent(period.universe),
        "max_drawdown_pct": percent(period.max_drawdown),
    }


def _extreme(days: Sequence[Day], *, worst: bool) -> Report | None:
    known = [(gain, day) for day in days if (gain := day_return(day)) is not None]
    if not known:
        return None
    gain, day = (min if worst else max)(known, key=lambda pair: pair[0])
    return {"date": str(day.session), "pnl": money(day.profit), "pnl_pct": percent(gain)}


def _orders(ledger: Ledger) -> list[Report]:
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


def _closed(ledger: Ledger) -> list[Report]:
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


def _records(ledger: Ledger) -> list[Report]:
    return [
        {
            "strategy": record.strategy,
            "trades": record.trades,
            "win_rate_pct": percent(record.wins / record.trades) if record.trades else None,
            "pnl": money(record.pnl),
        }
        for record in ledger.records
    ]
