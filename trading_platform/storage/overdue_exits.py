"""Exits that were decided and have not happened: found again in the journal, so that every process can tell them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from trading_platform.storage.reader import as_date

REFUSED = frozenset({"rejected"})
# An exit that ended without a sale is decided again at the next close; one that is not has been given up.
OPEN = frozenset({"intent", "submitted", "partially_filled", "uncertain"})
LAPSE_SESSIONS = 1

# Sales of positions still held at :session that were decided since their entry, oldest first. What protects a
# position is no exit: where it lacks, reconciliation says so.
EXITS = """
SELECT o.ticker, o.decided_session, o.reason, o.status, o.message,
       (SELECT count(*) FROM equity e WHERE e.run_id = o.run_id AND e.session > o.decided_session)
FROM orders o JOIN positions p ON p.run_id = o.run_id AND p.ticker = o.ticker AND p.session = :session
WHERE o.run_id = :run AND o.side = 'sell' AND o.reason NOT IN ('stop_loss', 'take_profit')
      AND o.decided_session >= p.entry_session
ORDER BY o.id"""


class OverdueExit(NamedTuple):
    """A position that should have been left.

    `decided` is the close at which that was decided first, `sessions` how many have been booked since, `refusals` how
    often the broker refused, `why` its newest word, `reason` the order's own.
    """

    ticker: str
    decided: date
    sessions: int
    refusals: int
    reason: str
    why: str


def overdue_exits(rows: Iterable[Sequence[Any]]) -> tuple[OverdueExit, ...]:
    """Return the exits among the rows of `EXITS` that are overdue or refused, oldest first.

    A sale that was filled ends what was decided before it, and so does a newest exit that was cancelled, or that ended
    and was not decided again.
    """
    wishes: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        if row[3] == "filled":
            wishes.pop(row[0], None)
        else:
            wishes.setdefault(row[0], []).append(row)
    found = [_overdue(ticker, tries) for ticker, tries in wishes.items()]
    return tuple(sorted((line for line in found if line is not None), key=lambda line: (line.decided, line.ticker)))


def _overdue(ticker: str, tries: Sequence[Sequence[Any]]) -> OverdueExit | None:
    first, newest = tries[0], tries[-1]
    if newest[3] == "canceled" or (newest[3] not in OPEN and newest[5] > LAPSE_SESSIONS):
        return None
    refusals = sum(row[3] in REFUSED for row in tries)
    if not refusals and first[5] < 1:  # decided at the newest close: it waits for the next open, as it should
        return None
    why = next((str(row[4]) for row in reversed(tries) if row[4]), "")
    return OverdueExit(ticker, as_date(first[1]), int(first[5]), refusals, str(newest[2]), why)
