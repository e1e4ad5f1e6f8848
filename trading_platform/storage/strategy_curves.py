"""What each strategy had brought by each close of a run, from its rows: for its own drawdown stop after a start."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, func, select, text

from trading_platform.storage import models as m

# A position that several share is its lots; any other is all its strategy's. Cents.
LEVELS = text("""
SELECT strategy, session, SUM(value - cost + dividends) FROM (
    SELECT session, strategy, value, cost, dividends FROM lots WHERE run_id = :run
    UNION ALL
    SELECT p.session, p.strategy, p.value, p.cost, p.dividends FROM positions p WHERE p.run_id = :run AND NOT EXISTS (
        SELECT 1 FROM lots l WHERE l.run_id = p.run_id AND l.session = p.session AND l.ticker = p.ticker)
) AS parts GROUP BY strategy, session""")
BOOKED = text("""
SELECT strategy, session, SUM(cents) FROM (
    SELECT strategy, session, realized_pnl - fees AS cents FROM fills WHERE run_id = :run
    UNION ALL
    SELECT strategy, exit_session, dividends FROM trades WHERE run_id = :run
) AS parts GROUP BY strategy, session ORDER BY session""")


class Brought(NamedTuple):
    """A strategy's own: `booked` so far, and the highest that it had brought since `unpause`, dollars."""

    booked: float
    peak: float


def brought(engine: Engine, run_id: int, names: frozenset[str]) -> dict[str, Brought]:
    """Return what the strategies `names` have brought: realized + dividends - fees, and the peak with what is held.

    A peak counts from the last close before the strategy was last unpaused; -inf where no close is booked.
    """
    with engine.connect() as connection:
        closes = connection.execute(
            select(m.EquityRow.session, m.EquityRow.as_of)
            .where(m.EquityRow.run_id == run_id)
            .order_by(m.EquityRow.session)
        ).all()
        held = {(row[0], str(row[1])): int(row[2]) for row in connection.execute(LEVELS, {"run": run_id})}
        booked = [(str(row[0]), str(row[1]), int(row[2])) for row in connection.execute(BOOKED, {"run": run_id})]
        last_words = connection.execute(
            select(m.Command.subject, func.max(m.Command.handled_at))
            .where(m.Command.run_id == run_id, m.Command.kind == "unpause", m.Command.handled_at.is_not(None))
            .group_by(m.Command.subject)
        )
        unpaused: dict[str, datetime] = {str(name): at for name, at in last_words if at is not None}
    found = {}
    for name in names:
        own = [(session, cents) for strategy, session, cents in booked if strategy == name]
        since, sums, n, peak = unpaused.get(name), 0, 0, float("-inf")
        for session, at in closes:
            while n < len(own) and own[n][0] <= str(session):
                sums, n = sums + own[n][1], n + 1
            level = (sums + held.get((name, str(session)), 0)) / 100.0
            peak = level if since is not None and at <= since else max(peak, level)
        found[name] = Brought(sum(cents for _, cents in own) / 100.0, peak)
    return found
