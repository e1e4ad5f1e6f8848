"""What an operator does from outside: look at a run, and leave a wish that its engine obeys, now or next started."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, bindparam, insert, select

from trading_platform.core.errors import FixConfigError
from trading_platform.storage import models as m

KINDS = ("halt", "resume", "flatten")
OPEN_WISHES = (  # built once: every scan of a live engine asks
    select(m.Command.id, m.Command.kind, m.Command.actor, m.Command.reason)
    .where(m.Command.run_id == bindparam("run"), m.Command.handled_at.is_(None))
    .order_by(m.Command.id)
)


@dataclass(frozen=True, slots=True)
class Wish:
    """An operator's command that has not been handled."""

    command_id: int
    kind: str
    actor: str
    reason: str


def operator_name() -> str:
    """Return the login name of whoever runs this process, for the records."""
    try:
        return getpass.getuser()[:64]
    except OSError:  # a container without a passwd entry
        return "unknown"


def newest_run(engine: Engine) -> int:
    """Return the id of the newest run.

    Raises
    ------
    FixConfigError
        The database holds no run.
    """
    with engine.connect() as connection:
        run_id = connection.execute(select(m.Run.id).order_by(m.Run.id.desc()).limit(1)).scalar()
    if run_id is None:
        raise FixConfigError("the database holds no run yet; start the engine once, or name another with --db")
    return int(run_id)


def leave_wish(engine: Engine, kind: str, reason: str, now: datetime) -> int:
    """Store a command for the newest run; return the run's id."""
    if not reason.strip():
        raise FixConfigError("--reason must say why; it is recorded")
    run_id = newest_run(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(m.Command).values(
                run_id=run_id, requested_at=now, kind=kind, actor=operator_name(), reason=reason.strip()
            )
        )
    return run_id


def open_wishes(engine: Engine, run_id: int) -> list[Wish]:
    """Return unhandled commands, oldest first."""
    with engine.connect() as connection:
        return [Wish(*row) for row in connection.execute(OPEN_WISHES, {"run": run_id})]


def is_flattening(engine: Engine, run_id: int) -> bool:
    """Return True if a flatten was obeyed and no resume since: it holds until then, also over a restart."""
    with engine.connect() as connection:
        newest = connection.execute(
            select(m.Command.kind)
            .where(m.Command.run_id == run_id, m.Command.handled_at.is_not(None))
            .where(m.Command.kind.in_(("flatten", "resume")))
            .order_by(m.Command.id.desc())
            .limit(1)
        ).scalar()
    return newest == "flatten"


def run_status(engine: Engine, now: datetime | None = None) -> dict[str, Any]:
    """Return the state of the newest run as JSON values: account, risk, orders, wishes, heartbeat, differences."""
    run_id = newest_run(engine)
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
            select(m.Order.client_order_id, m.Order.status, m.Order.quantity)
            .where(
                m.Order.run_id == run_id, m.Order.status.in_(("intent", "submitted", "partially_filled", "uncertain"))
            )
            .order_by(m.Order.id)
        ).all()
        differences = connection.execute(
            select(m.Difference.kind, m.Difference.ticker, m.Difference.ours, m.Difference.theirs).where(
                m.Difference.run_id == run_id, m.Difference.resolved_at.is_(None)
            )
        ).all()
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
        return {
            "run": {
                key: _plain(run[key]) for key in ("id", "mode", "source", "status", "first_session", "last_session")
            },
            "equity": one(m.EquityRow, m.EquityRow.session.desc()),
            "regime": one(m.RegimeRow, m.RegimeRow.session.desc()),
            "allocation": one(m.Allocation, m.Allocation.session.desc()),
            "positions": [_row(row) for row in positions],
            "open_orders": [_row(row) for row in orders],
            "risk": None if risk_row is None else _risk(risk_row),
            "recent_events": [_row(row) for row in events],
            "differences": [_row(row) for row in differences],
            "waiting_commands": [f"{w.kind} by {w.actor}: {w.reason}" for w in open_wishes(engine, run_id)],
            "heartbeat": beat,
        }


def _risk(row: Mapping[str, Any]) -> dict[str, Any]:
    memory = json.loads(str(row["payload"]))
    keys = ("manual_halt", "manual_halt_since", "fault", "halted_since")
    return {"saved_at": row["saved_at"], **{key: memory.get(key) for key in keys}}


def _row(row: Any) -> dict[str, Any]:
    return {key: _plain(value) for key, value in row._mapping.items()}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
