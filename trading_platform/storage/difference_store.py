"""Differences between our book and the broker's, as `status` and the report show them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from sqlalchemy import Engine, insert, select, update

from trading_platform.core.ports import DifferenceRow
from trading_platform.storage import models as m


class DifferenceStore:
    """Differences of one run; every call has committed when it returns."""

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id

    def note(self, found: Iterable[DifferenceRow], session: date, now: datetime) -> None:
        """Write down what a reading found, and that what it no longer found is resolved."""
        rows = list(found)
        table = m.Difference.__table__
        mine = (m.Difference.run_id == self._run_id, m.Difference.resolved_at.is_(None))
        with self._engine.begin() as connection:
            standing = {
                (row.kind, row.ticker): row.id
                for row in connection.execute(select(table.c.id, table.c.kind, table.c.ticker).where(*mine))
            }
            kept = {(row.kind, row.ticker) for row in rows if row.stands}
            gone = [key for name, key in standing.items() if name not in kept]
            if gone:
                connection.execute(update(m.Difference).where(m.Difference.id.in_(gone)).values(resolved_at=now))
            for row in rows:
                values = {"ours": row.ours, "theirs": row.theirs, "action": row.action}
                if row.stands and (row.kind, row.ticker) in standing:
                    key = standing[row.kind, row.ticker]
                    connection.execute(update(m.Difference).where(m.Difference.id == key).values(**values))
                    continue
                new = {
                    "run_id": self._run_id, "found_at": now, "session": session, "kind": row.kind,
                    "ticker": row.ticker, "resolved_at": None if row.stands else now, **values,
                }  # fmt: skip
                connection.execute(insert(m.Difference).values(**new))
                if row.stands:
                    standing[row.kind, row.ticker] = -1  # a second one of the kind is one line
