"""How alike strategies move: correlations of what each brought day by day over the last year, from few rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np

from trading_platform.core.types import Floats
from trading_platform.storage.reader import Reader

YEAR = 252  # sessions


def read_brought(reader: Reader, run_id: int, sessions: Sequence[date]) -> dict[str, Floats]:
    """Return what each strategy had brought by each close of `sessions`, (T,) dollars from a level of its own.

    Held: value less cost, and dividends since entry; booked since the first of `sessions`: realized less fees, and
    dividends of what was closed.
    """
    if not sessions:
        return {}
    rows = {str(session): n for n, session in enumerate(sessions)}
    found: dict[str, Floats] = {}
    asked = {"run": run_id, "since": sessions[0]}
    _add(found, rows, reader.rows(HELD, **asked))
    booked: dict[str, Floats] = {}
    for query in (BOOKED, PAID):
        _add(booked, rows, reader.rows(query, **asked))
    for name, amounts in booked.items():
        found[name] = found.get(name, np.zeros(len(rows))) + np.cumsum(amounts)
    return {name: found[name] / 100.0 for name in sorted(found)}


def _add(found: dict[str, Floats], rows: dict[str, int], lines: Iterable[Sequence[Any]]) -> None:
    for session, strategy, cents in lines:
        row = rows.get(str(session)[:10])
        if row is not None:
            found.setdefault(str(strategy), np.zeros(len(rows)))[row] += float(cents or 0.0)


# A position that several share is its lots; any other is all its strategy's.
HELD = """
SELECT session, strategy, SUM(value - cost + dividends) FROM (
    SELECT session, strategy, value, cost, dividends FROM lots WHERE run_id = :run AND session >= :since
    UNION ALL
    SELECT p.session, p.strategy, p.value, p.cost, p.dividends FROM positions p
    WHERE p.run_id = :run AND p.session >= :since AND NOT EXISTS (
        SELECT 1 FROM lots l WHERE l.run_id = p.run_id AND l.session = p.session AND l.ticker = p.ticker)
) AS parts GROUP BY session, strategy"""
BOOKED = """
SELECT session, strategy, SUM(realized_pnl - fees) FROM fills WHERE run_id = :run AND session >= :since
GROUP BY session, strategy"""
PAID = """
SELECT exit_session, strategy, SUM(dividends) FROM trades WHERE run_id = :run AND exit_session >= :since
GROUP BY exit_session, strategy"""
