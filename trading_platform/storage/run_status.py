"""The state of one run as JSON values, for `status`: account, risk, orders, commands, heartbeat, differences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, select, text

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderStatus
from trading_platform.storage import models as m
from trading_platform.storage.consents import next_open
from trading_platform.storage.operator_requests import open_wishes, standing_orders
from trading_platform.storage.overdue_exits import EXITS, overdue_exits
from trading_platform.storage.positions_held import positions_held
from trading_platform.storage.replay_days import REPLAY_DAYS, replay_days, replay_summary
from trading_platform.storage.stopped_strategies import STOPS, stopped_strategies

PROTECTING = frozenset({OrderReason.STOP_LOSS.value, OrderReason.TAKE_PROFIT.value})
UNUSED = ("no_signal", "slots", "caps", "size", "halts")  # columns unused_... of a close
OPEN = tuple(status.value for status in OrderStatus if status.is_open)


def run_status(engine: Engine, run_id: int, now: datetime | None = None) -> dict[str, Any]:
    """Return the state of a run; `now` tells the age of the heartbeat, without it that is unknown."""
    standing = standing_orders(engine, run_id)
    waiting = [
        " ".join(filter(None, (wish.kind, wish.subject, f"by {wish.actor}: {wish.reason}")))
        for wish in open_wishes(engine, run_id)
    ]
    ahead = next_open(engine, run_id)
    with engine.connect() as connection:

        def one(model: type[m.Base], *order: Any) -> dict[str, Any] | None:
            table = model.__table__
            query = select(table).where(table.c.run_id == run_id).order_by(*order).limit(1)
            row = connection.execute(query).first()
            return None if row is None else {key: _plain(value) for key, value in row._mapping.items()}

        run = connection.execute(select(m.Run.__table__).where(m.Run.id == run_id)).one()._mapping
        positions = connection.execute(
            select(m.PositionRow.__table__)
            .where(m.PositionRow.run_id == run_id, m.PositionRow.session == run["last_session"])
            .order_by(m.PositionRow.ticker)
        ).all()
        orders = connection.execute(
            select(
                m.Order.client_order_id,
                m.Order.status,
                m.Order.quantity,
                m.Order.ticker,
                m.Order.side,
                m.Order.reason,
                m.Order.limit_price,
                m.Order.stop_price,
            )
            .where(m.Order.run_id == run_id, m.Order.status.in_(OPEN))
            .order_by(m.Order.id)
        ).all()
        differences = connection.execute(
            select(
                m.Difference.found_at,
                m.Difference.kind,
                m.Difference.ticker,
                m.Difference.ours,
                m.Difference.theirs,
            ).where(m.Difference.run_id == run_id, m.Difference.resolved_at.is_(None))
        ).all()
        exits = connection.execute(text(EXITS), {"run": run_id, "session": run["last_session"]}).all()
        compared = connection.execute(text(REPLAY_DAYS), {"run": run_id, "session": run["last_session"]}).all()
        stops = stopped_strategies(connection.execute(text(STOPS), {"run": run_id}))
        events = connection.execute(
            select(m.RiskEvent.session, m.RiskEvent.kind, m.RiskEvent.message, m.RiskEvent.actor)
            .where(m.RiskEvent.run_id == run_id)
            .order_by(m.RiskEvent.id.desc())
            .limit(5)
        ).all()
        risk_row = one(m.RiskStateRow, m.RiskStateRow.saved_at.desc())
        beat = one(m.Heartbeat, m.Heartbeat.at.desc())
        if beat is not None:
            at = datetime.fromisoformat(beat["at"])
            beat["age_seconds"] = None if now is None else round((now - at).total_seconds(), 1)
        equity = one(m.EquityRow, m.EquityRow.session.desc())
        return {
            "run": {
                key: _plain(run[key])
                for key in ("id", "mode", "source", "status", "account", "name", "first_session", "last_session")
            }
            | {"strategies": json.loads(run["strategies"])},
            "equity": equity,
            "not_invested_because": _not_invested(equity),
            "regime": one(m.RegimeRow, m.RegimeRow.session.desc()),
            "allocation": one(m.Allocation, m.Allocation.session.desc()),
            "positions": [_row(row) for row in positions],
            "open_orders": [_row(row) for row in orders],
            "next_open": ahead,
            "risk": None if risk_row is None else _risk(risk_row),
            "recent_events": [_row(row) for row in events],
            "differences": [_row(row) for row in differences],
            "overdue_exits": [line._asdict() | {"decided": str(line.decided)} for line in overdue_exits(exits)],
            "replay_check": replay_summary(replay_days(compared)),
            "waiting_commands": waiting,
            "standing": {
                "flatten": standing.flatten,
                "closing": sorted(standing.closing),
                "paused": sorted(standing.paused),
                "leaving": sorted(standing.leaving),
                "stopped": [
                    {"strategy": stop.strategy, "since": stop.since.isoformat(), "reason": stop.reason}
                    for stop in stops
                ],
            },
            "heartbeat": beat,
        }


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


def _risk(row: Mapping[str, Any]) -> dict[str, Any]:
    memory = json.loads(str(row["payload"]))
    keys = ("manual_halt", "manual_halt_since", "fault", "halted_since")
    return {"saved_at": row["saved_at"], **{key: memory.get(key) for key in keys}}


def _row(row: Any) -> dict[str, Any]:
    return {key: _plain(value) for key, value in row._mapping.items()}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
