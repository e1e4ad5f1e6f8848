"""A running account goes over to other strategies: written down as an operator's word, with who said it and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, insert, select, update

from trading_platform.core.risk.memory import checksum
from trading_platform.core.saved_books import renumbered
from trading_platform.storage import models as m
from trading_platform.storage.operator_requests import command_row


def change_strategies(
    engine: Engine, run_id: int, before: Sequence[str], after: Sequence[str], reason: str, now: datetime
) -> None:
    """Let run `run_id` go from the strategies `before` to `after`, in one transaction.

    It trades both from then on, those that are new behind the others, so that no number in its book changes: whoever
    is not in `after` is leaving (`operator_requests.Standing`).

    Raises
    ------
    FixConfigError
        No reason is given.
    """
    added = [name for name in after if name not in before]
    words = [("upgrade", None), *(("join", name) for name in after)]
    words += [("leave", name) for name in before if name not in after]
    told = f"from {', '.join(before)} to {', '.join(after)}"
    row = {**command_row(run_id, reason, now), "handled_at": now, "result": told}
    with engine.begin() as connection:
        rows = [{**row, "kind": kind, "subject": subject} for kind, subject in words]
        connection.execute(insert(m.Command), rows)
        names = json.dumps([*before, *added])
        connection.execute(update(m.Run).where(m.Run.id == run_id).values(strategies=names))


def is_halted(engine: Engine, run_id: int) -> bool:
    """Return True while a drawdown halt lasts, as the run's last commit has it: its shadow goes by fixed numbers."""
    query = select(m.RiskStateRow.payload).where(m.RiskStateRow.run_id == run_id)
    with engine.connect() as connection:
        payload = connection.execute(query).scalar()
    return payload is not None and json.loads(payload).get("halted_since") is not None


def renumber_paper_book(engine: Engine, run_id: int, before: Sequence[str], now: Sequence[str]) -> None:
    """Number the strategies in a paper account's book as `now`; a book that is damaged is left as evidence."""
    book = m.PaperBook
    with engine.begin() as connection:
        row = connection.execute(
            select(book.account, book.slots, book.checksum).where(book.run_id == run_id)
        ).one_or_none()
        if row is None or checksum(row.account + row.slots) != row.checksum:
            return
        slots = renumbered(row.slots, before, now)
        values = {"slots": slots, "checksum": checksum(row.account + slots)}
        connection.execute(update(book).where(book.run_id == run_id).values(**values))
