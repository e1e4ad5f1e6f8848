"""The results of a run, read from its database, so that a run finished in two sittings reports the same as in one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, func, select, text

from trading_platform.core.realistic_fills import EXACT
from trading_platform.core.types import Floats, MarketPanel, RiskEventKind
from trading_platform.evaluation.critique_inputs import Objection
from trading_platform.reporting.allocation_results import AllocationUse, allocation_use
from trading_platform.reporting.risk_view import FOR_OPERATOR
from trading_platform.reporting.run_critique import run_critique
from trading_platform.reporting.run_figures import UNUSED, Close, daily_returns, figures, known, not_invested_because
from trading_platform.reporting.strategy_results import (
    AccountShare,
    StrategyResult,
    Totals,
    account_share,
    strategy_results,
)
from trading_platform.storage import models as m
from trading_platform.storage.stopped_strategies import STOPS, stopped_strategies

SCHEMA_VERSION = 2  # 2: `sharpe` is over bills, a strategy's `pnl` its contribution to the account
HALTS = (
    RiskEventKind.HALT.value,
    RiskEventKind.RELEASE.value,
    RiskEventKind.MANUAL_HALT.value,
    RiskEventKind.RESUME.value,
    RiskEventKind.STATE_INVALID.value,
)


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading cost, dollars, by cause. Commission and regulatory fees are paid, the rest is in the prices."""

    commission: float
    spread: float
    slippage: float
    impact: float
    regulatory: float
    total: float


@dataclass(frozen=True, slots=True)
class RunResults:
    """Totals of a run. Returns, drawdown and exposure are fractions, money is dollars, None = not defined.

    `sharpe` and `excess_return` are over bills, `beta`, `alpha` and `alpha_t` those of one factor, the benchmark over
    bills. `strategies` (by contribution) and `account` add up to the change of equity less deposits (`cash_flow`).
    `allocation` says who split the capital, in how many sessions, and why not the model.
    `fill_model` is the book of fills, "exact" or "realistic", which is drawn from `seed`.
    """

    schema_version: int
    run_id: int
    market: str
    first_session: str
    last_session: str
    sessions: int
    orders: int
    fills: int
    fill_model: str
    seed: int | None
    trades: int
    denials: dict[str, int]
    halts: list[dict[str, Any]]
    stopped_strategies: list[dict[str, str]]
    final_equity: float
    total_return: float
    annual_return: float | None
    excess_return: float | None
    sharpe: float | None
    sharpe_plain: float | None
    beta: float | None
    alpha: float | None
    alpha_t: float | None
    volatility: float | None
    benchmark_volatility: float | None
    benchmark_annual_return: float | None
    bills_return: float
    max_drawdown: float
    avg_exposure: float
    avg_exposure_calm: float | None
    fees: float
    costs: Costs
    interest: float
    dividends: float
    cash_flow: float
    not_invested_because: dict[str, float | None]
    benchmark_return: float | None
    universe_return: float | None
    strategies: dict[str, StrategyResult]
    account: AccountShare
    allocation: AllocationUse
    critique: tuple[Objection, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            **asdict(self),
            "strategies": {name: result._asdict() for name, result in self.strategies.items()},
            "account": self.account._asdict(),
            "allocation": self.allocation.to_dict(),
            "critique": [
                {
                    "code": finding.code.value,
                    "observed": known(finding.observed),
                    "threshold": known(finding.threshold),
                    "message": finding.message,
                }
                for finding in self.critique
            ],
        }


def run_results(engine: Engine, run_id: int, panel: MarketPanel | None = None) -> RunResults:
    """Return the results of a run that has traded at least one session; `panel` lets the critique see its bars."""
    with engine.connect() as connection:
        return _read(connection, run_id, panel)


def equity_curve(engine: Engine, run_id: int) -> Floats:
    """Return the equity at each close, (T,) dollars."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(m.EquityRow.equity).where(m.EquityRow.run_id == run_id).order_by(m.EquityRow.session)
        )
        return np.array([row[0] for row in rows], dtype=np.float64)


def _read(connection: Connection, run_id: int, panel: MarketPanel | None) -> RunResults:
    run = connection.execute(
        select(m.Run.capital, m.Run.source, m.Run.strategies, m.Run.config, m.Run.seed).where(m.Run.id == run_id)
    ).one()
    closes = _closes(connection, run_id)
    equity = [close.equity for close in closes]
    sums = _sums(connection, run_id)
    by_figure = figures(closes, run.capital)
    events = _events(connection, run_id)
    strategies = strategy_results(connection, run_id, json.loads(run.strategies), float(np.mean(equity)), len(closes))
    totals = Totals(
        sums["realized_pnl"], _unrealized(connection, run_id), *(sums[n] for n in ("dividends", "fees", "interest"))
    )
    return RunResults(
        schema_version=SCHEMA_VERSION,
        run_id=run_id,
        market=run.source,
        first_session=closes[0].session.isoformat(),
        last_session=closes[-1].session.isoformat(),
        sessions=len(closes),
        orders=_count(connection, m.Order, run_id),
        fills=_count(connection, m.FillRow, run_id),
        fill_model=json.loads(run.config).get("engine", {}).get("fills", EXACT),
        seed=run.seed,
        trades=_count(connection, m.Trade, run_id),
        denials=_denials(connection, run_id),
        halts=events,
        stopped_strategies=_stops(connection, run_id),
        final_equity=equity[-1],
        total_return=equity[-1] / run.capital - 1.0,
        **by_figure._asdict(),
        fees=sums["fees"],
        costs=_costs(sums),
        interest=sums["interest"],
        dividends=sums["dividends"],
        cash_flow=sums["cash_flow"],
        not_invested_because=not_invested_because(closes),
        benchmark_return=_total([close.benchmark for close in closes]),
        universe_return=_compound([close.universe_return for close in closes]),
        strategies=dict(sorted(strategies.items(), key=lambda item: (-item[1].pnl, item[0]))),
        account=account_share(totals, strategies),
        allocation=allocation_use(connection, run_id),
        critique=run_critique(
            connection,
            run_id,
            daily_returns(closes, run.capital),
            [close.session for close in closes],
            panel,
            stopped_for_good=_is_stopped(closes, events, run.config),
        ),
    )


def _closes(connection: Connection, run_id: int) -> list[Close]:
    e = m.EquityRow
    query = select(
        e.session,
        e.equity,
        e.cash_flow,
        e.gross_exposure,
        e.halted,
        e.vix,
        e.benchmark_close,
        e.universe_return,
        e.cash_rate,
        *(getattr(e, f"unused_{name}") for name in UNUSED),
    )
    rows = connection.execute(query.where(e.run_id == run_id).order_by(e.session))
    return [Close._make((*row[:9], tuple(row[9:]))) for row in rows]


def _sums(connection: Connection, run_id: int) -> dict[str, float]:
    """Return the account's flows over the run, dollars."""
    names = ("realized_pnl", "fees", "commission", "spread", "slippage", "impact", "dividends", "interest", "cash_flow")
    query = select(*(func.sum(getattr(m.EquityRow, name)) for name in names)).where(m.EquityRow.run_id == run_id)
    return {name: round(value, 2) for name, value in zip(names, connection.execute(query).one(), strict=True)}


def _unrealized(connection: Connection, run_id: int) -> float:
    e = m.EquityRow
    query = select(e.unrealized_pnl).where(e.run_id == run_id).order_by(e.session.desc()).limit(1)
    return float(connection.execute(query).scalar_one())


def _costs(sums: dict[str, float]) -> Costs:
    spread, slippage, impact = (sums[name] for name in ("spread", "slippage", "impact"))
    regulatory = round(sums["fees"] - sums["commission"], 2)
    total = round(sums["fees"] + spread + slippage + impact, 2)
    return Costs(sums["commission"], spread, slippage, impact, regulatory, total)


def _count(connection: Connection, table: type[m.Base], run_id: int) -> int:
    column = table.__table__.c.run_id
    return int(connection.execute(select(func.count()).where(column == run_id)).scalar_one())


def _denials(connection: Connection, run_id: int) -> dict[str, int]:
    rows = connection.execute(
        select(m.SignalRow.code, func.count())
        .where(m.SignalRow.run_id == run_id, m.SignalRow.verdict == "denied")
        .group_by(m.SignalRow.code)
    )
    return {str(code): int(n) for code, n in sorted((code, n) for code, n in rows)}


def _events(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    e = m.RiskEvent
    query = select(e.session, e.kind, e.code, e.message).where(e.run_id == run_id, e.kind.in_(HALTS)).order_by(e.id)
    return [
        {"session": row.session.isoformat(), "kind": row.kind, "code": row.code, "message": row.message}
        for row in connection.execute(query)
    ]


def _stops(connection: Connection, run_id: int) -> list[dict[str, str]]:
    """Return the strategies that a drawdown stop of their own keeps out at the run's end."""
    return [
        {"strategy": stop.strategy, "session": stop.since.date().isoformat(), "message": stop.reason}
        for stop in stopped_strategies(connection.execute(text(STOPS), {"run": run_id}))
    ]


def _is_stopped(closes: Sequence[Close], halts: Sequence[dict[str, Any]], config: str) -> bool:
    """Tell whether the run ended in a halt that nobody but an operator could have ended."""
    if not closes[-1].halted or not halts:
        return False
    if halts[-1]["code"] in FOR_OPERATOR:
        return True
    if halts[-1]["kind"] != RiskEventKind.HALT.value:
        return bool(halts[-1]["kind"] in (RiskEventKind.MANUAL_HALT.value, RiskEventKind.STATE_INVALID.value))
    release = json.loads(config).get("risk", {}).get("halt_release", "shadow")
    # An account in cash does not recover by itself, so that a release by its own equity never comes.
    return release == "manual" or (release == "equity" and closes[-1].exposure == 0.0)


def _total(closes: list[float | None]) -> float | None:
    """Return last / first - 1 of the known closes."""
    known_closes = [close for close in closes if close is not None]
    return known_closes[-1] / known_closes[0] - 1.0 if len(known_closes) > 1 else None


def _compound(returns: list[float | None]) -> float | None:
    """Return the compounded return after the first session, on which nothing could be held yet."""
    known_returns = [r for r in returns[1:] if r is not None]
    return float(np.prod([1.0 + r for r in known_returns]) - 1.0) if known_returns else None
