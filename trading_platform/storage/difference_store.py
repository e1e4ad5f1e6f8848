"""Differences between our book and the broker's, as `status` and the report show them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Engine, insert, select, update

from trading_platform.core.ports import DifferenceRow
from trading_platform.storage import models as m

# A reading at the close is followed by another at once: what a look mends is given longer than both of them take.
PATIENCE = timedelta(minutes=2)


class DifferenceStore:
    """Differences of one run; every call has committed when it returns."""

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id
        self._first_seen: dict[tuple[str, str | None], datetime] = {}  # of patient ones

    def note(self, found: Iterable[DifferenceRow], session: date, now: datetime) -> None:
        """Write down what a reading found, and that what it no longer found is resolved."""
        table = m.Difference.__table__
        mine = (m.Difference.run_id == self._run_id, m.Difference.resolved_at.is_(None))
        with self._engine.begin() as connection:
            standing = {
                (row.kind, row.ticker): row.id
                for row in connection.execute(select(table.c.id, table.c.kind, table.c.ticker).where(*mine))
            }
            rows, since = self._ripe(list(found), standing.keys(), now)
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
                    "run_id": self._run_id,
                    "found_at": since.get((row.kind, row.ticker), now),
                    "session": session,
                    "kind": row.kind,
                    "ticker": row.ticker,
                    "resolved_at": None if row.stands else now,
                    **values,
                }
                connection.execute(insert(m.Difference).values(**new))
                if row.stands:
                    standing[row.kind, row.ticker] = -1  # a second one of the kind is one line

    def _ripe(
        self, found: Sequence[DifferenceRow], standing: Collection[tuple[str, str | None]], now: datetime
    ) -> tuple[list[DifferenceRow], dict[tuple[str, str | None], datetime]]:
        """Return the lines to write, and when the patient ones among them were seen first."""
        seen = self._first_seen
        self._first_seen = {
            (row.kind, row.ticker): row.since or seen.get((row.kind, row.ticker), now)
            for row in found
            if row.is_patient
        }
        ripe = [
            row
            for row in found
            if not row.is_patient
            or (row.kind, row.ticker) in standing
            or now - self._first_seen[row.kind, row.ticker] >= PATIENCE
        ]
        return ripe, self._first_seen
