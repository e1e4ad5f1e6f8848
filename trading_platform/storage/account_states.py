"""The states of an account that its database holds, each with its beginning: halts, rejected exits, differences.

For whoever tells them: the alerts of the moment, and what shows an account by state. What only a running engine knows
(an account that cannot be read, a stop that is missing) it tells itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from trading_platform.core.alert_states import (
    EXIT_WAITS,
    LATE_EXIT,
    NO_COVER,
    OWNERS_THINGS,
    STOP_LACKS,
    UNREADABLE,
    AlertKind,
    AlertState,
)
from trading_platform.core.types import OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.replay_checks import replay_states
from trading_platform.storage.stopped_strategies import STOPS, stopped_strategies


def account_states(engine: Engine, run_id: int) -> list[AlertState]:
    """Return what is so with a run's account now, as the last commit has it."""
    with engine.connect() as connection:
        found = [
            *_halts(connection, run_id),
            *_stopped_strategies(connection, run_id),
            *_rejected_exits(connection, run_id),
            *_differences(connection, run_id),
            *replay_states(connection, run_id),
        ]
    return list({(state.kind, state.subject): state for state in reversed(found)}.values())[::-1]  # the first of each


def _halts(connection: Connection, run_id: int) -> Iterator[AlertState]:
    """Yield what keeps new positions out, from the risk manager's memory."""
    row = connection.execute(
        select(m.RiskStateRow.payload, m.RiskStateRow.saved_at).where(m.RiskStateRow.run_id == run_id)
    ).first()
    if row is None:
        return
    memory: Mapping[str, Any] = json.loads(row.payload)
    account: Mapping[str, Any] = memory.get("account") or {}
    saved: datetime = row.saved_at

    def state(subject: str, since: object, words: str) -> AlertState:
        return AlertState(AlertKind.HALT, subject, _instant(since, saved), words)

    if memory.get("fault"):
        words = f"HALTED, the risk memory cannot be used: {memory['fault']}; ends when an operator resumes"
        yield state("risk memory", memory.get("fault_since"), words)
    if memory.get("manual_halt"):
        words = f"HALTED by an operator: {memory['manual_halt']}; ends with `resume`"
        yield state("operator", memory.get("manual_halt_since"), words)
    if account.get("halted"):
        words = "HALTED, the drawdown has reached its limit; what is held may be closed"
        yield state("drawdown", memory.get("halted_since"), words)
    if account.get("daily_halted"):
        words = "NO NEW POSITIONS until the next session, the day's loss has reached its limit"
        yield state("daily loss", memory.get("daily_since"), words)
    elif account.get("daily_breach_readings"):
        words = "NO NEW POSITIONS while it stands, the day's loss is beyond its limit"
        yield state(f"daily loss {memory.get('session') or ''}".strip(), saved, words)  # each day is one of its own
    if account.get("breach_readings") and not account.get("halted"):
        words = "NO NEW POSITIONS, the drawdown is beyond its limit at one reading; one more halts"
        yield state("drawdown at one reading", saved, words)
    if account.get("suspect_equity"):
        words = (
            f"NO NEW POSITIONS, an equity reading of ${account.get('equity') or math.nan:,.2f} waits for a second one"
        )
        yield state("equity reading", saved, words)
    until, clock = account.get("pause_until"), memory.get("clock")
    if memory.get("pause_since") and (until is None or (clock is not None and until > clock)):
        words = "NO NEW POSITIONS for some hours, after losing trades in a row"
        yield state("losing trades", memory.get("pause_since"), words)


def _stopped_strategies(connection: Connection, run_id: int) -> Iterator[AlertState]:
    """Yield the strategies that their own drawdown stops keep out."""
    for stop in stopped_strategies(connection.execute(text(STOPS), {"run": run_id})):
        yield AlertState(AlertKind.HALT, f"strategy {stop.strategy}", stop.since, stop.words())


def _rejected_exits(connection: Connection, run_id: int) -> Iterator[AlertState]:
    """Yield the positions whose newest sale was refused by the broker."""
    last = select(m.Run.last_session).where(m.Run.id == run_id).scalar_subquery()
    held = select(m.PositionRow.ticker).where(m.PositionRow.run_id == run_id, m.PositionRow.session == last)
    newest = (
        select(func.max(m.Order.id))
        .where(m.Order.run_id == run_id, m.Order.side == Side.SELL.value, m.Order.ticker.in_(held))
        .group_by(m.Order.ticker)
    )
    refused = select(m.Order).where(m.Order.id.in_(newest), m.Order.status == OrderStatus.REJECTED.value)
    for row in connection.execute(refused.with_only_columns(*m.Order.__table__.c)):
        why = f": {row.message}" if row.message else ""
        words = f"The sale of {row.quantity:g} {row.ticker} ({row.reason}) was REJECTED{why}"
        yield AlertState(AlertKind.REJECTED_EXIT, row.ticker, row.closed_at or row.decided_at, words)


def _differences(connection: Connection, run_id: int) -> Iterator[AlertState]:
    """Yield what the broker's books and ours differ in, exits that are overdue, and stops that cannot be set.

    A stop that is merely missing is told by the running engine, which sets it.
    """
    table = m.Difference
    columns = table.kind, table.ticker, table.ours, table.theirs, table.found_at
    open_ones = select(*columns).where(table.run_id == run_id, table.resolved_at.is_(None))
    for row in connection.execute(open_ones.order_by(table.ticker, table.found_at)):
        subject, where = row.ticker or "the account", f"in {row.ticker}" if row.ticker else "at all"
        if row.kind == EXIT_WAITS:
            if LATE_EXIT in row.ours:
                yield AlertState(AlertKind.REJECTED_EXIT, subject, row.found_at, f"{subject}: {row.ours}; {row.theirs}")
        elif row.kind == NO_COVER:
            words = f"{subject} has no stop: {row.ours}; {row.theirs}"
            yield AlertState(AlertKind.UNPROTECTED, subject, row.found_at, words)
        elif row.kind == UNREADABLE:
            risk = f", no new risk {where}" if row.ticker else ""
            words = f"Left alone, nobody understands it{risk}: {row.theirs}"
            yield AlertState(AlertKind.QUARANTINE, subject, row.found_at, words)
        elif row.kind == OWNERS_THINGS:
            continue
        elif row.kind not in STOP_LACKS:
            words = f"No new risk {where}, {row.kind.replace('_', ' ')}: ours {row.ours}, the broker's {row.theirs}"
            yield AlertState(AlertKind.QUARANTINE, subject, row.found_at, words)


def _instant(value: object, otherwise: datetime) -> datetime:
    """Return a stored instant or day; what is not known began no later than it was saved."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return otherwise
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
