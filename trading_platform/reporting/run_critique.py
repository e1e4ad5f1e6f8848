"""The critique of a finished run: its inputs from the database, and from the market's bars where they are at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, and_, func, select

from trading_platform.core.types import Floats, Ints, MarketPanel
from trading_platform.evaluation.critique import critique
from trading_platform.evaluation.critique_inputs import Backtest, Objection, ObjectionCode
from trading_platform.reporting.run_figures import Returns
from trading_platform.storage import models as m

OF_TRADES = (ObjectionCode.FEW_LUCKY_TRADES, ObjectionCode.TRADES_LIKE_COIN_FLIPS)
SEED = 0  # of the coin-flip test: the same run is always judged the same


class Trip(NamedTuple):
    """A closed round trip as the critique needs it: dollars; stop and target as they rested at the close before."""

    ticker: str
    exit_session: date
    pnl: float
    costs: float
    stop: float
    target: float


def run_critique(
    connection: Connection,
    run_id: int,
    returns: Returns,
    sessions: Sequence[date],
    panel: MarketPanel | None,
    *,
    stopped_for_good: bool,
) -> tuple[Objection, ...]:
    """Return every objection to a run; without `panel`, what needs bars (volume, lows and highs) is not judged."""
    if len(sessions) < 2:
        return ()
    trips = _trips(connection, run_id)
    tickers = tuple(sorted({trip.ticker for trip in trips}))
    lows, highs = _exit_bars(trips, panel)
    backtest = Backtest(
        returns=returns.own[1:],
        benchmark_returns=returns.benchmark[1:],
        trade_profits=_column([trip.pnl for trip in trips]),
        stop_prices=_column([trip.stop for trip in trips]),
        target_prices=_column([trip.target for trip in trips]),
        exit_lows=lows,
        exit_highs=highs,
        fill_volumes=_fill_volumes(connection, run_id, panel),
        bills=returns.bills[1:],
        years=np.array([session.year for session in sessions[1:]], dtype=np.int64),
        trade_tickers=np.array([tickers.index(trip.ticker) for trip in trips], dtype=np.int64),
        tickers=tickers,
        costs=math.fsum(trip.costs for trip in trips),
        unchanged_sessions=None if panel is None else _unchanged(panel, tickers, sessions),
        stopped_for_good=stopped_for_good,
    )
    return tuple(_judged(critique(backtest, np.random.default_rng(SEED)), has_trades=bool(trips)))


def _judged(findings: Sequence[Objection], *, has_trades: bool) -> Iterator[Objection]:
    """Yield findings as people read them: what has no number says so, and nothing is said of trades that never were."""
    for finding in findings:
        if math.isfinite(finding.observed):
            yield finding
        elif has_trades or finding.code not in OF_TRADES:
            words = finding.code.value.replace("_", " ")
            yield replace(finding, message=f"{words}: cannot be judged, for want of data")


def longest_unchanged(closes: Floats) -> int:
    """Return the most sessions in a row, after the first, at one of the same `closes` (T,); unknown ones end a row."""
    moves = np.flatnonzero(np.diff(closes) != 0.0)  # an unknown one moves: NaN is unequal to everything
    edges = np.concatenate(([-1], moves, [max(len(closes) - 1, 0)]))
    return int(np.diff(edges).max()) - 1


def _trips(connection: Connection, run_id: int) -> list[Trip]:
    """Return the round trips; a lot of its own in a shared position knows its own stop and target."""
    t, p, lot, e = m.Trade, m.PositionRow, m.LotRow, m.EquityRow
    eve = (
        select(func.max(e.session)).where(e.run_id == run_id, e.session < t.exit_session).correlate(t).scalar_subquery()
    )
    held = and_(p.run_id == run_id, p.ticker == t.ticker, p.session == eve)
    own = and_(lot.run_id == run_id, lot.ticker == t.ticker, lot.session == eve, lot.strategy == t.strategy)
    query = (
        select(
            t.ticker,
            t.exit_session,
            t.pnl,
            t.fees,
            t.market_costs,
            p.stop_price,
            p.target_price,
            lot.quantity,
            lot.stop_price,
            lot.target_price,
        )
        .select_from(t)
        .outerjoin(p, held)
        .outerjoin(lot, own)
        .where(t.run_id == run_id)
        .order_by(t.id)
    )
    found = []
    for ticker, session, pnl, fees, market, stop, target, shared, own_stop, own_target in connection.execute(query):
        levels = (stop, target) if shared is None else (own_stop, own_target)
        found.append(Trip(ticker, session, pnl, fees + market, *(math.nan if x is None else x for x in levels)))
    return found


def _exit_bars(trips: Sequence[Trip], panel: MarketPanel | None) -> tuple[Floats, Floats]:
    if panel is None:
        unknown = np.full(len(trips), math.nan)
        return unknown, unknown
    places = _places(panel, [(trip.ticker, trip.exit_session) for trip in trips])
    return _at(panel.low, places), _at(panel.high, places)


def _fill_volumes(connection: Connection, run_id: int, panel: MarketPanel | None) -> Floats:
    if panel is None:
        return np.zeros(0)
    f = m.FillRow
    rows = connection.execute(select(f.ticker, f.session).where(f.run_id == run_id))
    return _at(panel.volume, _places(panel, [(ticker, session) for ticker, session in rows]))


def _places(panel: MarketPanel, bars: Sequence[tuple[str, date]]) -> list[tuple[int, int] | None]:
    """Return row and column of each ticker's bar of a session, None where the panel has none."""
    columns = {name: n for n, name in enumerate(panel.tickers)}
    rows = {session: n for n, session in enumerate(panel.sessions.astype("datetime64[D]").tolist())}
    return [
        (rows[session], columns[ticker]) if session in rows and ticker in columns else None for ticker, session in bars
    ]


def _at(values: Floats, places: Sequence[tuple[int, int] | None]) -> Floats:
    return _column([math.nan if place is None else float(values[place]) for place in places])


def _unchanged(panel: MarketPanel, tickers: Sequence[str], sessions: Sequence[date]) -> Ints:
    columns = {name: n for n, name in enumerate(panel.tickers)}
    first, last = (int(np.searchsorted(panel.sessions, np.datetime64(day, "D"))) for day in (sessions[0], sessions[-1]))
    closes = [panel.close[first : last + 1, columns[name]] if name in columns else np.zeros(0) for name in tickers]
    return np.array([longest_unchanged(series) for series in closes], dtype=np.int64)


def _column(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)
