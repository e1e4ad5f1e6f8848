"""The state of one run as JSON values, for `status`: account, risk, orders, commands, heartbeat, differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Engine, Select, bindparam, func, select, text

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderStatus
from trading_platform.storage import models as m
from trading_platform.storage.consents import orders_ahead
from trading_platform.storage.operator_requests import said_so_far
from trading_platform.storage.overdue_exits import EXITS, overdue_exits
from trading_platform.storage.positions_held import positions_held
from trading_platform.storage.replay_days import REPLAY_DAYS, replay_days, replay_summary
from trading_platform.storage.run_state import RiskState, RunState
from trading_platform.storage.stopped_strategies import STOPS, stopped_strategies

PROTECTING = frozenset({OrderReason.STOP_LOSS.value, OrderReason.TAKE_PROFIT.value})
UNUSED = ("no_signal", "slots", "caps", "size", "halts")  # columns unused_... of a close
OPEN = tuple(status.value for status in OrderStatus if status.is_open)
ASKED: BindParameter[Any] = bindparam("runs", expanding=True)


def _newest(model: Any, column: str) -> Select[Any]:
    """Return the query of each asked run's row with the largest `column`: found in the index, run by run."""
    table, again = model.__table__, model.__table__.alias()
    last = select(func.max(again.c[column])).where(again.c.run_id == m.Run.id).scalar_subquery()
    return (
        select(table)
        .join_from(m.Run, table, (table.c.run_id == m.Run.id) & (table.c[column] == last))
        .where(m.Run.id.in_(ASKED))
    )


RUNS = select(m.Run.id.label("run_id"), m.Run.__table__).where(m.Run.id.in_(ASKED))
NEWEST = {
    m.EquityRow: _newest(m.EquityRow, "session"),
    m.RegimeRow: _newest(m.RegimeRow, "session"),
    m.Allocation: _newest(m.Allocation, "session"),
    m.RiskStateRow: _newest(m.RiskStateRow, "saved_at"),
    m.Heartbeat: _newest(m.Heartbeat, "at"),
}
COMMANDS = (
    select(m.Command.run_id, m.Command.kind, m.Command.subject, m.Command.actor, m.Command.reason, m.Command.handled_at)
    .where(m.Command.run_id.in_(ASKED))
    .order_by(m.Command.id)
)
POSITIONS = (
    select(m.PositionRow.__table__)
    .join_from(m.Run, m.PositionRow, m.PositionRow.run_id == m.Run.id)
    .where(m.Run.id.in_(ASKED), m.PositionRow.session == m.Run.last_session)
    .order_by(m.PositionRow.ticker)
)
ORDERS = (
    select(
        m.Order.run_id,
        m.Order.client_order_id,
        m.Order.status,
        m.Order.quantity,
        m.Order.ticker,
        m.Order.side,
        m.Order.reason,
        m.Order.limit_price,
        m.Order.stop_price,
    )
    .where(m.Order.run_id.in_(ASKED), m.Order.status.in_(OPEN))
    .order_by(m.Order.id)
)
AHEAD = (
    select(m.Order.__table__)
    .join_from(m.Run, m.Order, (m.Order.run_id == m.Run.id) & (m.Order.decided_session == m.Run.last_session))
    .where(m.Run.id.in_(ASKED))
    .order_by(m.Order.id)
)
DIFFERENCES = select(
    m.Difference.run_id,
    m.Difference.found_at,
    m.Difference.kind,
    m.Difference.ticker,
    m.Difference.ours,
    m.Difference.theirs,
).where(m.Difference.run_id.in_(ASKED), m.Difference.resolved_at.is_(None))
_RANKED = (
    select(
        m.RiskEvent.run_id,
        m.RiskEvent.session,
        m.RiskEvent.kind,
        m.RiskEvent.message,
        m.RiskEvent.actor,
        m.RiskEvent.id,
        func.row_number().over(partition_by=m.RiskEvent.run_id, order_by=m.RiskEvent.id.desc()).label("place"),
    )
    .where(m.RiskEvent.run_id.in_(ASKED))
    .subquery()
)
EVENTS = (
    select(_RANKED.c.run_id, _RANKED.c.session, _RANKED.c.kind, _RANKED.c.message, _RANKED.c.actor)
    .where(_RANKED.c.place <= 5)
    .order_by(_RANKED.c.id.desc())
)
EXITS_OF_RUNS = text(
    EXITS.replace("SELECT o.ticker", "SELECT o.run_id, o.ticker", 1)
    .replace("= :session", "= (SELECT last_session FROM runs WHERE runs.id = o.run_id)")
    .replace("= :run", "IN :runs")
).bindparams(ASKED)
REPLAY_DAYS_OF_RUNS = text(
    REPLAY_DAYS.replace("SELECT session", "SELECT run_id, session", 1)
    .replace("<= :session", "<= (SELECT last_session FROM runs WHERE runs.id = run_id)")
    .replace("= :run", "IN :runs")
).bindparams(ASKED)
STOPS_OF_RUNS = text(STOPS.replace("SELECT kind", "SELECT run_id, kind", 1).replace("= :run", "IN :runs")).bindparams(
    ASKED
)


def run_status(engine: Engine, run_id: int, now: datetime | None = None) -> RunState:
    """Return the state of a run; `now` tells the age of the heartbeat, without it that is unknown."""
    return run_statuses(engine, [run_id], now)[run_id]


def run_statuses(engine: Engine, run_ids: Sequence[int], now: datetime | None = None) -> dict[int, RunState]:
    """Return the state of each run: as many queries for a hundred as for one."""
    with engine.connect() as connection:

        def grouped(query: Any) -> dict[int, list[Mapping[str, Any]]]:
            found: dict[int, list[Mapping[str, Any]]] = {run_id: [] for run_id in run_ids}
            for row in connection.execute(query, {"runs": list(run_ids)}):
                found[row.run_id].append(dict(row._mapping))
            return found

        runs = grouped(RUNS)
        newest = {
            model: {run_id: _plain_row(rows) for run_id, rows in grouped(query).items()}
            for model, query in NEWEST.items()
        }
        commands, positions, orders = grouped(COMMANDS), grouped(POSITIONS), grouped(ORDERS)
        ahead, differences, events = grouped(AHEAD), grouped(DIFFERENCES), grouped(EVENTS)
        exits, compared = grouped(EXITS_OF_RUNS), grouped(REPLAY_DAYS_OF_RUNS)
        stops = grouped(STOPS_OF_RUNS)
    found: dict[int, RunState] = {}
    for run_id in run_ids:
        run, equity = runs[run_id][0], newest[m.EquityRow][run_id]
        risk_row, beat = newest[m.RiskStateRow][run_id], newest[m.Heartbeat][run_id]
        if beat is not None:
            at = datetime.fromisoformat(beat["at"])
            beat["age_seconds"] = None if now is None else round((now - at).total_seconds(), 1)
        standing, waiting = said_so_far(tuple(row.values()) for row in commands[run_id])
        found[run_id] = {
            "run": {
                "id": run["id"],
                "mode": run["mode"],
                "source": run["source"],
                "status": run["status"],
                "account": run["account"],
                "name": run["name"],
                "first_session": _plain(run["first_session"]),
                "last_session": _plain(run["last_session"]),
                "strategies": json.loads(run["strategies"]),
            },
            "equity": equity,
            "not_invested_because": _not_invested(equity),
            "regime": newest[m.RegimeRow][run_id],
            "allocation": newest[m.Allocation][run_id],
            "positions": [_row(row) for row in positions[run_id]],
            "open_orders": [_row(row) for row in orders[run_id]],
            "next_open": orders_ahead(run["last_session"], ahead[run_id]),
            "risk": None if risk_row is None else _risk(risk_row),
            "recent_events": [_row(row) for row in events[run_id]],
            "differences": [_row(row) for row in differences[run_id]],
            "overdue_exits": [
                {
                    "ticker": line.ticker,
                    "decided": str(line.decided),
                    "sessions": line.sessions,
                    "refusals": line.refusals,
                    "reason": line.reason,
                    "why": line.why,
                }
                for line in overdue_exits(tuple(row.values())[1:] for row in exits[run_id])
            ],
            "replay_check": replay_summary(replay_days(tuple(row.values())[1:] for row in compared[run_id])),
            "waiting_commands": waiting,
            "standing": {
                "flatten": standing.flatten,
                "closing": sorted(standing.closing),
                "paused": sorted(standing.paused),
                "leaving": sorted(standing.leaving),
                "stopped": [
                    {"strategy": stop.strategy, "since": stop.since.isoformat(), "reason": stop.reason}
                    for stop in stopped_strategies(tuple(row.values())[1:] for row in stops[run_id])
                ],
            },
            "heartbeat": beat,
        }
    return found


def _not_invested(equity: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return what the newest decision left in cash, dollars by cause; None where nothing was decided."""
    if equity is None:
        return None
    found = {name: equity[f"unused_{name}"] for name in UNUSED}
    return None if None in found.values() else found


class Resting(NamedTuple):
    """What an account leaves at its broker: positions, orders that protect them, and other orders."""

    positions: int
    protecting: int
    others: int

    def words(self) -> str:
        """Return it as the beginning of a sentence."""
        parts = [_count(self.positions, "position"), _count(self.protecting, "protecting order")]
        parts += [_count(self.others, "other order")] if self.others else []
        return f"{', '.join(parts[:-1])} and {parts[-1]} rest"


def resting(engine: Engine, run_id: int) -> Resting:
    """Return what rests at the broker, as the last commit has it."""
    with engine.connect() as connection:
        open_orders = select(m.Order.reason).where(m.Order.run_id == run_id, m.Order.status.in_(OPEN))
        positions = positions_held(connection, run_id)
        reasons = [str(row[0]) for row in connection.execute(open_orders)]
    protecting = sum(reason in PROTECTING for reason in reasons)
    return Resting(positions, protecting, len(reasons) - protecting)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _risk(row: Mapping[str, Any]) -> RiskState:
    memory = json.loads(str(row["payload"]))
    return {
        "saved_at": row["saved_at"],
        "manual_halt": memory.get("manual_halt"),
        "manual_halt_since": memory.get("manual_halt_since"),
        "fault": memory.get("fault"),
        "halted_since": memory.get("halted_since"),
    }


# What a query returns no type checker knows: these two hand rows over as what `RunState` calls them.
def _plain_row(rows: Sequence[Mapping[str, Any]]) -> Any:
    return {key: _plain(value) for key, value in rows[0].items()} if rows else None


def _row(row: Mapping[str, Any]) -> Any:
    return {key: _plain(value) for key, value in row.items() if key != "run_id"}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
