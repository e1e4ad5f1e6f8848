"""Everything about one run that its page shows, read from the database in one snapshot. Plain SQL, whole cents.

Sessions are numbered: row n is the n-th booked close of the run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from trading_platform.core.types import Floats, Ints
from trading_platform.reporting.facts import Day, History
from trading_platform.reporting.ledger_view import read_days, read_history
from trading_platform.storage.reader import Reader, as_date


class RunRow(NamedTuple):
    """The run itself; `capital` is dollars, `config` every setting by table."""

    id: int
    mode: str
    source: str
    name: str | None
    status: str
    capital: float
    fingerprint: str
    data_hash: str
    code_version: str
    seed: int | None
    tag: str | None
    note: str | None
    strategies: tuple[str, ...]
    config: dict[str, Any]

    def settings(self, table: str) -> dict[str, Any]:
        """Return the settings of one table; none where it was not stored."""
        found = self.config.get(table)
        return found if isinstance(found, dict) else {}


class TradeLine(NamedTuple):
    """A closed round trip; money in cents, `gain` a fraction of its cost; market costs are in the prices."""

    ticker: str
    strategy: str
    entry: int
    exit: int
    quantity: float
    entry_price: float
    exit_price: float
    pnl: int
    gain: float
    fees: int
    market_costs: int
    reason: str


class FillMark(NamedTuple):
    """One strategy's part of an execution; `booked` is what it realized less fees, cents."""

    ticker: str
    row: int
    side: str
    price: float
    quantity: float
    strategy: str
    reason: str
    booked: int


class Levels(NamedTuple):
    """Every position at every close, one place in each column, by session: (M,) rows, money in cents.

    `stops` rested below the position, dollars, NaN where there was none; `prices` are dollars a share.
    """

    tickers: tuple[str, ...]
    rows: Ints
    stops: Floats
    prices: Floats
    values: Ints
    unrealized: Ints


class StrategyLife(NamedTuple):
    """What one strategy held and booked at each close, (T,) cents.

    `value` and `unrealized` (value less cost) are levels, as are `dividends`, received since entry of what is held.
    `booked` is the session's own: realized less fees, and dividends of what was closed.
    """

    value: Ints
    unrealized: Ints
    dividends: Ints
    booked: Ints


class DenialLine(NamedTuple):
    """A code of refusal: how often, first and last."""

    code: str
    times: int
    first: date
    last: date


class EventLine(NamedTuple):
    """A halt, a release, a pause, an operator's word."""

    session: date
    kind: str
    message: str


class RunRecord(NamedTuple):
    """One run as its page needs it. `why` are sources and reasons of allocations, in the order of their first day."""

    run: RunRow
    days: tuple[Day, ...]
    history: History
    why: tuple[tuple[str, str], ...]
    trades: tuple[TradeLine, ...]
    fills: tuple[FillMark, ...]
    levels: Levels
    lives: dict[str, StrategyLife]
    denials: tuple[DenialLine, ...]
    events: tuple[EventLine, ...]


def read_record(reader: Reader, run_id: int) -> RunRecord | None:
    """Return the record of a run; None where there is no such run."""
    run = read_run(reader, run_id)
    if run is None:
        return None
    rows = {key: n for n, (key,) in enumerate(reader.rows(SESSIONS, run=run_id))}
    fills = tuple(FillMark(r[0], rows[r[1]], *r[2:]) for r in reader.rows(FILLS, run=run_id) if r[1] in rows)
    held = [row for row in reader.rows(HELD, run=run_id) if row[1] in rows]
    return RunRecord(
        run=run,
        days=read_days(reader, run_id, date.max),
        history=read_history(reader, run_id),
        why=read_why(reader, run_id),
        trades=tuple(
            TradeLine(r[0], r[1], rows.get(r[2], 0), rows[r[3]], *r[4:])
            for r in reader.rows(TRADES, run=run_id)
            if r[3] in rows
        ),
        fills=fills,
        levels=_levels(held, rows),
        lives=_lives(reader, run_id, held, rows, fills),
        denials=tuple(
            DenialLine(r[0], int(r[1]), as_date(r[2]), as_date(r[3])) for r in reader.rows(DENIALS, run=run_id)
        ),
        events=tuple(EventLine(as_date(r[0]), r[1], r[2]) for r in reader.rows(EVENTS, run=run_id)),
    )


def read_why(reader: Reader, run_id: int) -> tuple[tuple[str, str], ...]:
    """Return sources and reasons of a run's allocations, in the order of their first day."""
    return tuple((str(row[0]), str(row[1])) for row in reader.rows(WHY, run=run_id))


def read_run(reader: Reader, run_id: int) -> RunRow | None:
    """Return the run itself; None where there is no such run."""
    for row in reader.rows(RUN, id=run_id):
        return RunRow._make((*row[:5], row[5] / 100, *row[6:12], _names(row[12]), _object(row[13])))
    return None


def _levels(held: Sequence[Sequence[Any]], rows: Mapping[object, int]) -> Levels:
    columns = list(zip(*held, strict=True))[:6] if held else [()] * 6
    tickers, sessions, stops, prices, values, unrealized = columns
    return Levels(
        tuple(map(str, tickers)),
        np.array([rows[session] for session in sessions], dtype=np.int64),
        np.array([math.nan if stop is None else stop for stop in stops], dtype=np.float64),
        np.array(prices, dtype=np.float64),
        np.array(values, dtype=np.int64),
        np.array(unrealized, dtype=np.int64),
    )


def _lives(
    reader: Reader,
    run_id: int,
    held: Sequence[Sequence[Any]],
    rows: Mapping[object, int],
    fills: Sequence[FillMark],
) -> dict[str, StrategyLife]:
    """Return the life of every strategy that held or traded anything, by name.

    A position that several share is its lots; any other is all its strategy's.
    """
    lives: dict[str, StrategyLife] = {}

    def life(name: str) -> StrategyLife:
        if name not in lives:
            lives[name] = StrategyLife(*(np.zeros(len(rows), dtype=np.int64) for _ in StrategyLife._fields))
        return lives[name]

    lots = [lot for lot in reader.rows(LOTS, run=run_id) if lot[1] in rows]
    shared = {lot[:2] for lot in lots}
    parts = [*(lot[1:] for lot in lots), *((line[1], *line[4:]) for line in held if line[:2] not in shared)]
    if parts:
        sessions, *amounts, names = zip(*parts, strict=True)
        owners = sorted(set(names))
        first = {name: n * len(rows) for n, name in enumerate(owners)}
        at = np.array([first[name] + rows[session] for name, session in zip(names, sessions, strict=True)])
        for n, cents in enumerate(amounts):
            # sums of whole cents: floats below 2**53 are exact
            sums = np.bincount(at, np.array(cents, dtype=np.float64), len(owners) * len(rows))
            for name, own in zip(owners, sums.reshape(len(owners), -1), strict=True):
                life(name)[n][:] = own
    for fill in fills:
        life(fill.strategy).booked[fill.row] += fill.booked
    for session, strategy, dividends in reader.rows(PAID, run=run_id):
        if session in rows:
            life(strategy).booked[rows[session]] += int(dividends)
    return dict(sorted(lives.items()))


def _names(text: str) -> tuple[str, ...]:
    value = json.loads(text)
    return tuple(str(name) for name in value) if isinstance(value, list) else ()


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


RUN = """
SELECT id, mode, source, name, status, capital, config_fingerprint, data_hash, code_version, seed, tag, note,
       strategies, config FROM runs WHERE id = :id"""
SESSIONS = "SELECT session FROM equity WHERE run_id = :run ORDER BY session"
WHY = """
SELECT source, reason, min(session) FROM rl_allocations WHERE run_id = :run GROUP BY source, reason
ORDER BY min(session)"""
TRADES = """
SELECT ticker, strategy, entry_session, exit_session, quantity, entry_price, exit_price, pnl, return_fraction, fees,
       market_costs, exit_reason FROM trades WHERE run_id = :run ORDER BY id"""
FILLS = """
SELECT ticker, session, side, price, quantity, strategy, reason, realized_pnl - fees
FROM fills WHERE run_id = :run ORDER BY id"""
HELD = """
SELECT ticker, session, stop_price, price, value, value - cost, dividends, strategy FROM positions WHERE run_id = :run
ORDER BY session, ticker"""
LOTS = """
SELECT ticker, session, value, value - cost, dividends, strategy FROM lots WHERE run_id = :run"""
PAID = """
SELECT exit_session, strategy, SUM(dividends) FROM trades WHERE run_id = :run GROUP BY exit_session, strategy"""
DENIALS = """
SELECT code, count(*), min(session), max(session) FROM signals WHERE run_id = :run AND verdict = 'denied'
GROUP BY code ORDER BY count(*) DESC, code"""
EVENTS = "SELECT session, kind, message FROM risk_events WHERE run_id = :run ORDER BY at, id"
