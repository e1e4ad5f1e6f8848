"""How many positions an account holds now: the book that was saved last knows it, rows of the last close do not yet."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, select

from trading_platform.storage import models as m


def positions_held(connection: Connection, run_id: int) -> int:
    """Return the number of positions in a run's saved book; where it has none that can be read, that of its last close.

    A book of the first version names no fields: its account is read from the last close as well.
    """
    slots = connection.execute(select(m.PaperBook.slots).where(m.PaperBook.run_id == run_id)).scalar()
    held = None if slots is None else _in_book(slots)
    if held is not None:
        return held
    last = select(m.Run.last_session).where(m.Run.id == run_id).scalar_subquery()
    closed = select(func.count()).where(m.PositionRow.run_id == run_id, m.PositionRow.session == last)
    return int(connection.execute(closed).scalar_one())


def held_by_runs(connection: Connection) -> dict[int, int]:
    """Return `positions_held` of every run, in two queries."""
    books = {int(row[0]): row[1] for row in connection.execute(select(m.PaperBook.run_id, m.PaperBook.slots))}
    closed = (
        select(func.count())
        .where(m.PositionRow.run_id == m.Run.id, m.PositionRow.session == m.Run.last_session)
        .scalar_subquery()
    )
    held = {int(run_id): int(count) for run_id, count in connection.execute(select(m.Run.id, closed))}
    found = {run_id: _in_book(slots) for run_id, slots in books.items()}
    return held | {run_id: count for run_id, count in found.items() if count is not None}


def _in_book(text: str) -> int | None:
    try:
        table = json.loads(text)["slots"]
        ticker, quantity = (table["names"].index(name) for name in ("ticker", "quantity"))
        return sum(1 for row in table["rows"] if row[ticker] >= 0 and row[quantity] != 0.0)
    except (ValueError, KeyError, TypeError, IndexError):
        return None
