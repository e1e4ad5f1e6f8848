"""Read one run from the database as it stood at a session's close. Plain SQL, whole cents, one snapshot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from itertools import starmap
from typing import Any

from trading_platform.core.costs import CostConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.order_reasons import STRATEGYS_OWN
from trading_platform.reporting.facts import (
    AllocationFacts,
    Day,
    DifferenceLine,
    Event,
    FillLine,
    History,
    Holding,
    Ledger,
    OrderLine,
    Part,
    RegimeFacts,
    RoundTrip,
    RunFacts,
    StrategyRecord,
)
from trading_platform.reporting.own_costs import read_own_costs
from trading_platform.storage.newest_run import MODES, NEWEST_FIRST
from trading_platform.storage.overdue_exits import EXITS, OverdueExit, overdue_exits
from trading_platform.storage.reader import Reader, as_date, as_instant
from trading_platform.storage.replay_days import REPLAY_DAYS, replay_days
from trading_platform.storage.stopped_strategies import STOPS, stopped_strategies

RECENT_TRADES = 50  # enough to count any sensible losing streak


def find_run(reader: Reader, wanted: int | None = None, modes: Sequence[str] = MODES) -> RunFacts | None:
    """Return run `wanted`, or the newest run of the first of `modes` that has any, or None.

    Raises
    ------
    FixConfigError
        There is no run `wanted`; the message lists those that exist.
    """
    if wanted is not None:
        found = reader.rows(RUN, id=wanted)
        if not found:
            known = [f"{row[0]} ({row[1]})" for row in reader.rows("SELECT id, mode FROM runs ORDER BY id DESC")[:10]]
            raise FixConfigError(f"--run {wanted}: no such run in {reader.where}; it has {', '.join(known) or 'none'}")
        return _run(found[0])
    for mode in modes:
        found = reader.rows(NEWEST_RUN, mode=mode)
        if found:
            return _run(found[0])
    return None


def read_ledger(reader: Reader, run: RunFacts, until: date | None = None, trading: date | None = None) -> Ledger:
    """Return what was known about `run` at the close of its last session on or before `until` (None: the newest).

    Parameters
    ----------
    trading
        A session that is under way and not booked yet: its executions are read instead of the booked session's.
    """
    newest = _newest_session(reader, run.id)
    is_latest = until is None or newest is None or until >= newest
    days = read_days(reader, run.id, until or date.max)
    booked = days[-1].session if days else None  # decisions are made at the last booked close
    previous = days[-2].session if len(days) > 1 else None
    shown = trading or booked or date.min
    limit = date.max if is_latest else shown
    allocations = _allocations(reader, run.id, booked or date.min)
    return Ledger(
        run=run,
        days=days,
        is_latest=is_latest,
        holdings=_holdings(reader, run.id, booked),
        previous_holdings=_holdings(reader, run.id, booked if trading else previous),
        fills=_fills(reader, run.id, shown),
        closed=_closed(reader, run.id, shown),
        results=_results(reader, run.id, limit),
        records=_records(reader, run.id, limit),
        events=_events(reader, run.id, limit),
        allocation=allocations[0] if allocations else None,
        previous_allocation=allocations[1] if len(allocations) > 1 else None,
        regime=_regime(reader, run.id, booked or date.min),
        denials=_denials(reader, run.id, booked or date.min),
        orders=_orders(reader, run.id, booked or date.min),
        differences=_differences(reader, run.id, days[-1] if days and not is_latest else None),
        warnings=tuple(str(row[0]) for row in reader.rows(WARNINGS, run=run.id)),
        heartbeat=_heartbeat(reader, run.id) if is_latest else None,
        risk_state=_risk_state(reader, run.id) if is_latest else None,
        own_costs=read_own_costs(reader, run, shown),
        exits=_exits(reader, run.id, newest) if is_latest else (),
        beat_note=_beat_note(reader, run.id) if is_latest else "",
        replay=replay_days(reader.rows(REPLAY_DAYS, run=run.id, session=booked or date.min)),
        stopped=stopped_strategies(reader.rows(STOPS, run=run.id)) if is_latest else (),
    )


def read_history(reader: Reader, run_id: int, until: date | None = None) -> History:
    """Return regimes and allocations of all sessions up to `until` (None: the newest)."""
    limit = until or date.max
    regimes = reader.rows(REGIMES, run=run_id, until=limit)
    allocations = reader.rows(ALL_ALLOCATIONS, run=run_id, until=limit)
    return History(
        tuple((as_date(day), str(regime)) for day, regime in regimes),
        tuple((as_date(day), _numbers(weights)) for day, weights in allocations),
    )


def _run(row: Sequence[Any]) -> RunFacts:
    config = _object(row[9])
    return RunFacts(
        id=row[0],
        mode=row[1],
        source=row[2],
        account=row[3],
        status=row[4],
        started_at=as_instant(row[5]),
        capital=row[6],
        config_fingerprint=row[7],
        code_version=row[8],
        risk=_object(config.get("risk")),
        strategies=tuple(str(name) for name in _list(row[10])),
        sectors=_texts(row[11]),
        cost_bps=_cost_bps(_object(config.get("costs"))),
    )


def stored_risk(config: str) -> dict[str, object]:
    """Return the risk limits of a run's stored settings, as far as they were stored."""
    return _object(_object(config).get("risk"))


def _cost_bps(costs: dict[str, object]) -> float:
    """Return half spread and slippage of a run's settings; the defaults where they were not stored."""
    defaults = CostConfig()
    given = {name: costs.get(name) for name in ("half_spread_bps", "slippage_bps")}
    return sum(
        float(value) if isinstance(value, int | float) else float(getattr(defaults, name))
        for name, value in given.items()
    )


def _newest_session(reader: Reader, run: int) -> date | None:
    value = reader.rows("SELECT max(session) FROM equity WHERE run_id = :run", run=run)[0][0]
    return None if value is None else as_date(value)


def read_days(reader: Reader, run: int, until: date) -> tuple[Day, ...]:
    """Return every booked session up to `until`, oldest first."""
    rows = reader.rows(DAYS, run=run, until=until)
    return tuple(Day._make((as_date(r[0]), as_instant(r[1]), *r[2:16], bool(r[16]), *r[17:])) for r in rows)


def _holdings(reader: Reader, run: int, session: date | None) -> tuple[Holding, ...]:
    if session is None:
        return ()
    parts: dict[str, list[Part]] = {}
    for ticker, *part in reader.rows(LOTS, run=run, session=session):
        parts.setdefault(ticker, []).append(Part(*part))
    rows = reader.rows(HOLDINGS, run=run, session=session)
    return tuple(Holding._make((*row[:10], as_date(row[10]), tuple(parts.get(row[0], ())))) for row in rows)


def _fills(reader: Reader, run: int, session: date) -> tuple[FillLine, ...]:
    return tuple(starmap(FillLine, reader.rows(FILLS, run=run, session=session)))


def _closed(reader: Reader, run: int, session: date) -> tuple[RoundTrip, ...]:
    rows = reader.rows(CLOSED, run=run, session=session)
    return tuple(RoundTrip(r[0], r[1], as_date(r[2]), as_date(r[3]), *r[4:]) for r in rows)


def _results(reader: Reader, run: int, until: date) -> tuple[int, ...]:
    return tuple(row[0] for row in reader.rows(RESULTS, run=run, until=until, n=RECENT_TRADES))


def _records(reader: Reader, run: int, until: date) -> tuple[StrategyRecord, ...]:
    return tuple(
        StrategyRecord(row[0], int(row[1]), int(row[2]), int(row[3]))
        for row in reader.rows(RECORDS, run=run, until=until)
    )


def _events(reader: Reader, run: int, until: date) -> tuple[Event, ...]:
    rows = reader.rows(EVENTS, run=run, until=until)
    return tuple(Event(as_instant(row[0]), as_date(row[1]), *row[2:]) for row in rows)


def _allocations(reader: Reader, run: int, session: date) -> list[AllocationFacts]:
    return [
        AllocationFacts(as_date(day), _numbers(weights), source, reason, model_id, _numbers(influences) or None)
        for day, weights, source, reason, model_id, influences in reader.rows(ALLOCATIONS, run=run, session=session)
    ]


def _regime(reader: Reader, run: int, session: date) -> RegimeFacts | None:
    found = reader.rows(REGIME, run=run, session=session)
    return RegimeFacts(*found[0]) if found else None


def _denials(reader: Reader, run: int, session: date) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in reader.rows(DENIALS, run=run, session=session)}


def _orders(reader: Reader, run: int, session: date) -> tuple[OrderLine, ...]:
    return tuple(starmap(OrderLine, reader.rows(ORDERS, run=run, session=session)))


def _differences(reader: Reader, run: int, past: Day | None) -> tuple[DifferenceLine, ...]:
    """Return what is unexplained now, or what was at the close of a `past` day."""
    lines = []
    for found_at, resolved_at, *rest in reader.rows(DIFFERENCES, run=run):
        found, resolved = as_instant(found_at), None if resolved_at is None else as_instant(resolved_at)
        if resolved is None if past is None else found <= past.as_of and (resolved is None or resolved > past.as_of):
            lines.append(DifferenceLine(found, *rest))
    return tuple(lines)


def _heartbeat(reader: Reader, run: int) -> Any:
    found = reader.rows("SELECT at FROM heartbeats WHERE run_id = :run", run=run)
    return as_instant(found[0][0]) if found else None


def _exits(reader: Reader, run: int, session: date | None) -> tuple[OverdueExit, ...]:
    return () if session is None else overdue_exits(reader.rows(EXITS, run=run, session=session))


def _beat_note(reader: Reader, run: int) -> str:
    found = reader.rows("SELECT note FROM heartbeats WHERE run_id = :run", run=run)
    return str(found[0][0]) if found else ""


def _risk_state(reader: Reader, run: int) -> dict[str, object] | None:
    found = reader.rows("SELECT payload FROM risk_states WHERE run_id = :run", run=run)
    if not found:
        return None
    state = _object(found[0][0])
    return _object(state["payload"]) if isinstance(state.get("payload"), str) else state  # with or without envelope


def _object(text: object) -> dict[str, Any]:
    """Return stored JSON as an object; what is none counts as empty, and the report says what it misses."""
    if isinstance(text, dict):
        return text
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(text: str) -> list[object]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else []


def _texts(text: str) -> dict[str, str]:
    return {str(name): str(value) for name, value in _object(text).items()}


def _numbers(text: str | None) -> dict[str, float]:
    return {str(name): float(value) for name, value in _object(text).items() if isinstance(value, int | float)}


RUN = """
SELECT id, mode, source, account, status, started_at, capital, config_fingerprint, code_version, config, strategies,
       sectors FROM runs WHERE id = :id"""
NEWEST_RUN = RUN.replace("id = :id", f"mode = :mode {NEWEST_FIRST} LIMIT 1")
DAYS = """
SELECT session, as_of, cash, positions_value, equity, previous_equity, realized_pnl, unrealized_pnl, fees, dividends,
       cash_flow, peak_equity, drawdown, lifetime_drawdown, gross_exposure, n_positions, halted, vix, benchmark_close,
       universe_return, interest, commission, spread, slippage, impact, unused_no_signal, unused_slots, unused_caps,
       unused_size, unused_halts, cash_rate FROM equity WHERE run_id = :run AND session <= :until ORDER BY session"""
HOLDINGS = """
SELECT ticker, strategy, quantity, entry_price, price, cost, value, stop_price, target_price, dividends, entry_session
FROM positions WHERE run_id = :run AND session = :session ORDER BY ticker"""
LOTS = """
SELECT ticker, strategy, quantity, cost, value, dividends
FROM lots WHERE run_id = :run AND session = :session ORDER BY ticker, strategy"""
FILLS = """
SELECT ticker, side, quantity, price, amount, fees, realized_pnl, strategy, reason, client_order_id
FROM fills WHERE run_id = :run AND session = :session ORDER BY filled_at, id"""
CLOSED = """
SELECT ticker, strategy, entry_session, exit_session, quantity, pnl, dividends, return_fraction, exit_reason
FROM trades WHERE run_id = :run AND exit_session = :session ORDER BY id"""
RESULTS = """
SELECT pnl FROM trades WHERE run_id = :run AND exit_session <= :until
AND exit_reason IN (OWN) ORDER BY id DESC LIMIT :n""".replace(
    "OWN", ", ".join(f"'{name}'" for name in sorted(STRATEGYS_OWN))
)
RECORDS = """
SELECT strategy, count(*), sum(CASE WHEN pnl > 0 THEN 1 ELSE 0 END), sum(pnl)
FROM trades WHERE run_id = :run AND exit_session <= :until GROUP BY strategy ORDER BY strategy"""
EVENTS = """
SELECT at, session, kind, code, observed, "limit", message, actor
FROM risk_events WHERE run_id = :run AND session <= :until ORDER BY at, id"""
ALLOCATIONS = """
SELECT session, weights, source, reason, model_id, influences
FROM rl_allocations WHERE run_id = :run AND session <= :session ORDER BY session DESC LIMIT 2"""
REGIME = "SELECT regime, bull, bear, consolidation FROM regimes WHERE run_id = :run AND session = :session"
REGIMES = "SELECT session, regime FROM regimes WHERE run_id = :run AND session <= :until ORDER BY session"
ALL_ALLOCATIONS = (
    "SELECT session, weights FROM rl_allocations WHERE run_id = :run AND session <= :until ORDER BY session"
)
DENIALS = """
SELECT code, count(*) FROM signals WHERE run_id = :run AND session = :session AND verdict = 'denied'
GROUP BY code ORDER BY count(*) DESC, code"""
ORDERS = """
SELECT ticker, side, quantity, limit_price, strategy, reason, status, message
FROM orders WHERE run_id = :run AND decided_session = :session
    AND (parts IS NOT NULL OR reason NOT IN ('stop_loss', 'take_profit')) ORDER BY id"""  # those protect, undecided
DIFFERENCES = """
SELECT found_at, resolved_at, kind, ticker, ours, theirs, action FROM differences WHERE run_id = :run ORDER BY id"""
WARNINGS = "SELECT message FROM data_warnings WHERE run_id = :run ORDER BY id"
