"""The results of a run, read from its database, so that a run finished in two sittings reports the same as in one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, select

from trading_platform.core import metrics
from trading_platform.core.types import Floats, RiskEventKind
from trading_platform.storage import models as m


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What one strategy's own round trips brought; dollars, fractions."""

    trades: int
    win_rate: float | None
    pnl: float
    average_return: float | None


@dataclass(frozen=True, slots=True)
class RunResults:
    """Totals of a run. Returns and drawdown are fractions, money is dollars, None = not defined."""

    run_id: int
    first_session: str
    last_session: str
    sessions: int
    orders: int
    fills: int
    trades: int
    denials: dict[str, int]
    halts: list[dict[str, Any]]
    final_equity: float
    total_return: float
    annual_return: float | None
    sharpe: float | None
    max_drawdown: float
    avg_exposure: float
    fees: float
    benchmark_return: float | None
    universe_return: float | None
    strategies: dict[str, StrategyResult]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def run_results(engine: Engine, run_id: int) -> RunResults:
    """Return the results of a run that has traded at least one session."""
    with engine.connect() as connection:
        equity_rows = connection.execute(
            select(
                m.EquityRow.session,
                m.EquityRow.equity,
                m.EquityRow.gross_exposure,
                m.EquityRow.benchmark_close,
                m.EquityRow.universe_return,
                m.EquityRow.fees,
            )
            .where(m.EquityRow.run_id == run_id)
            .order_by(m.EquityRow.session)
        ).all()
        capital = float(connection.execute(select(m.Run.capital).where(m.Run.id == run_id)).scalar_one())
        orders = connection.execute(select(func.count()).where(m.Order.run_id == run_id)).scalar_one()
        fills = connection.execute(select(func.count()).where(m.FillRow.run_id == run_id)).scalar_one()
        denials = connection.execute(
            select(m.SignalRow.code, func.count())
            .where(m.SignalRow.run_id == run_id, m.SignalRow.verdict == "denied")
            .group_by(m.SignalRow.code)
        ).all()
        events = connection.execute(
            select(m.RiskEvent.session, m.RiskEvent.kind, m.RiskEvent.message)
            .where(
                m.RiskEvent.run_id == run_id,
                m.RiskEvent.kind.in_((RiskEventKind.HALT.value, RiskEventKind.RELEASE.value)),
            )
            .order_by(m.RiskEvent.id)
        ).all()
        trades = connection.execute(
            select(m.Trade.strategy, m.Trade.pnl, m.Trade.return_fraction).where(m.Trade.run_id == run_id)
        ).all()
    equity = np.array([row.equity for row in equity_rows], dtype=np.float64)
    returns = np.diff(np.concatenate(([capital], equity))) / np.concatenate(([capital], equity[:-1]))
    return RunResults(
        run_id=run_id,
        first_session=equity_rows[0].session.isoformat(),
        last_session=equity_rows[-1].session.isoformat(),
        sessions=len(equity_rows),
        orders=int(orders),
        fills=int(fills),
        trades=len(trades),
        denials={str(code): int(n) for code, n in sorted(denials)},
        halts=[{"session": row.session.isoformat(), "kind": row.kind, "message": row.message} for row in events],
        final_equity=float(equity[-1]),
        total_return=float(equity[-1] / capital - 1.0),
        annual_return=_finite(metrics.annual_return(returns)),
        sharpe=_finite(metrics.sharpe_ratio(returns)),
        max_drawdown=float(metrics.max_drawdown(returns)),
        avg_exposure=float(np.mean([row.gross_exposure for row in equity_rows])),
        fees=round(sum(row.fees for row in equity_rows), 2),
        benchmark_return=_total([row.benchmark_close for row in equity_rows]),
        universe_return=_compound([row.universe_return for row in equity_rows]),
        strategies=_by_strategy([(row.strategy, row.pnl, row.return_fraction) for row in trades]),
    )


def equity_curve(engine: Engine, run_id: int) -> Floats:
    """Return the equity at each close, (T,) dollars."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(m.EquityRow.equity).where(m.EquityRow.run_id == run_id).order_by(m.EquityRow.session)
        )
        return np.array([row[0] for row in rows], dtype=np.float64)


def _by_strategy(trades: list[tuple[str, float, float]]) -> dict[str, StrategyResult]:
    results = {}
    for name in sorted({strategy for strategy, _, _ in trades}):
        pnl = [p for strategy, p, _ in trades if strategy == name]
        returns = [r for strategy, _, r in trades if strategy == name]
        wins = sum(p > 0.0 for p in pnl)
        results[name] = StrategyResult(len(pnl), wins / len(pnl), round(sum(pnl), 2), sum(returns) / len(returns))
    return results


def _total(closes: list[float | None]) -> float | None:
    """Return last / first - 1 of the known closes."""
    known = [close for close in closes if close is not None]
    return known[-1] / known[0] - 1.0 if len(known) > 1 else None


def _compound(returns: list[float | None]) -> float | None:
    """Return the compounded return after the first session, on which nothing could be held yet."""
    known = [r for r in returns[1:] if r is not None]
    return float(np.prod([1.0 + r for r in known]) - 1.0) if known else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
