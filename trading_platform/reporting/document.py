"""The report as one JSON object: dollars to the cent, percent where a key says ``_pct``, null where unknown."""

from __future__ import annotations

from typing import TypedDict

from trading_platform.reporting.account_document import (
    AttributionPart,
    BridgePart,
    PositionPart,
    attribution_part,
    bridge_part,
    positions_part,
)
from trading_platform.reporting.alerts import build_alerts, report_states
from trading_platform.reporting.day_view import DayView
from trading_platform.reporting.evidence import Evidence, close_time
from trading_platform.reporting.facts import Ledger, RunFacts
from trading_platform.reporting.json_values import day_text, instant_text, money, percent
from trading_platform.reporting.market_words import benchmark_name, market_words, money_words
from trading_platform.reporting.money_document import (
    CostsPart,
    InterestPart,
    costs_part,
    interest_part,
    not_invested_part,
)
from trading_platform.reporting.own_costs import OwnCostsPart, own_costs_part
from trading_platform.reporting.performance_document import PerformancePart, performance_part
from trading_platform.reporting.risk_document import (
    AllocationPart,
    DataPart,
    DifferencePart,
    EnginePart,
    RegimePart,
    RiskPart,
    RiskStatusPart,
    allocation_part,
    data_part,
    difference_part,
    engine_part,
    regime_part,
    risk_part,
    risk_status_part,
)
from trading_platform.reporting.states import StatePart
from trading_platform.reporting.trades_document import (
    ClosedPart,
    ExecutionPart,
    OrderPart,
    RecordPart,
    closed_part,
    executions,
    orders_part,
    records_part,
)
from trading_platform.storage.replay_days import ReplaySummary, replay_summary

SCHEMA_VERSION = 2  # 2: interest in the bridge, a trade is a whole execution, `sharpe` is over bills


class SessionPart(TypedDict):
    """The exchange's day."""

    date: str | None
    asked: str
    is_session: bool | None
    market_open: bool | None
    booked: bool
    close: str | None
    half_day: bool | None


class RunPart(TypedDict):
    """The run of the database that is reported; its capital in dollars."""

    id: int
    mode: str
    simulated: bool
    market_data: str
    market: str
    benchmark: str
    money: str
    account: str | None
    status: str
    started_at: str
    capital: float
    config_fingerprint: str
    code_version: str


class AccountPart(TypedDict):
    """The account at ``as_of``, dollars."""

    equity: float | None
    cash: float | None
    buying_power: float | None


class Report(TypedDict):
    """The report; every key is described in report.schema.json, and a test holds the two together."""

    schema_version: int
    generated_at: str
    date: str
    as_of: str
    source: str
    session: SessionPart
    run: RunPart | None
    account: AccountPart
    daily_pnl: float | None
    daily_pnl_pct: float | None
    total_pnl: float | None
    total_pnl_pct: float | None
    positions: list[PositionPart]
    trades_today: list[ExecutionPart]
    risk_status: RiskStatusPart
    regime: str | None
    regime_probabilities: RegimePart | None
    rl_allocations: dict[str, float]
    allocation: AllocationPart | None
    alerts: list[str]
    states: list[StatePart]
    bridge: BridgePart | None
    interest: InterestPart
    costs: CostsPart
    own_costs: OwnCostsPart | None
    replay_check: ReplaySummary | None
    not_invested_because: dict[str, float] | None
    attribution: AttributionPart | None
    performance: PerformancePart
    risk: RiskPart
    orders_for_next_open: list[OrderPart]
    closed_trades_today: list[ClosedPart]
    strategy_records: list[RecordPart]
    denials_today: dict[str, int]
    reconciliation: list[DifferencePart]
    data: DataPart
    engine: EnginePart


class WholeReport(Report):
    """The report with its ``summary``."""

    summary: str


def build_document(evidence: Evidence) -> Report:
    """Return the report without its ``summary``; every key is described in report.schema.json."""
    ledger, view = evidence.ledger, evidence.view
    run = None if ledger is None else ledger.run
    days = () if ledger is None else ledger.days
    total, paid_in = _total(view, ledger)
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
        "total_pnl": money(total),
        "total_pnl_pct": None if total is None or paid_in is None else percent(total / paid_in),
        "positions": positions_part(view, ledger),
        "trades_today": [] if ledger is None else executions(ledger.fills),
        "risk_status": risk_status_part(evidence),
        "regime": None if ledger is None or ledger.regime is None else ledger.regime.regime,
        "regime_probabilities": regime_part(ledger),
        "rl_allocations": {} if ledger is None or ledger.allocation is None else ledger.allocation.weights,
        "allocation": allocation_part(evidence),
        "alerts": build_alerts(evidence),
        "states": [state.as_json() for state in report_states(evidence)],
        "bridge": bridge_part(view),
        "interest": interest_part(days, view.booked),
        "costs": costs_part(days, view.booked),
        "own_costs": own_costs_part(None if ledger is None else ledger.own_costs),
        "replay_check": None if ledger is None else replay_summary(ledger.replay),
        "not_invested_because": not_invested_part(view.booked),
        "attribution": attribution_part(view),
        "performance": performance_part(view, ledger, evidence.since),
        "risk": risk_part(evidence),
        "orders_for_next_open": [] if ledger is None or view.booked is None else orders_part(ledger),
        "closed_trades_today": [] if ledger is None else closed_part(ledger),
        "strategy_records": [] if ledger is None else records_part(ledger),
        "denials_today": {} if ledger is None else ledger.denials,
        "reconciliation": [] if ledger is None else difference_part(ledger),
        "data": data_part(evidence),
        "engine": engine_part(evidence),
    }


def _session(evidence: Evidence) -> SessionPart:
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


def _run(run: RunFacts) -> RunPart:
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


def _total(view: DayView, ledger: Ledger | None) -> tuple[int | None, int | None]:
    """Return cents: what equity gained beyond capital and cash flows, and all money paid in, None if it was none."""
    if ledger is None or view.bridge is None:
        return None, None
    total = view.bridge.end - ledger.run.capital - sum(day.cash_flow for day in ledger.days)
    paid_in = ledger.run.capital + sum(max(day.cash_flow, 0) for day in ledger.days)
    return total, paid_in if paid_in > 0 else None
