"""What each strategy contributed to a run: its share of every position, fill, dividend and cost, exact to the cent.

Sums are formed in whole cents. With what belongs to no strategy (interest, fees and events of the account) the shares
add up to the change of the account's equity less deposits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, select

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.storage import models as m


class StrategyResult(NamedTuple):
    """What one strategy brought; dollars, fractions, None = not defined.

    Attributes
    ----------
    trades, win_rate, average_return
        Closed round trips, the share that won, their mean return on cost.
    pnl
        Contribution to the account: realized + unrealized + dividends - fees.
    realized, unrealized, dividends, fees
        Gross of fees; of what is still held; received; commission and regulatory fees.
    costs
        Fees and what was lost to spread, slippage and impact, which is in the prices and so in `realized` already.
    turnover
        Bought plus sold, in multiples of the account's mean equity a year.
    closed_pnl
        Net profit of the closed round trips alone.
    """

    trades: int
    win_rate: float | None
    pnl: float
    average_return: float | None
    realized: float
    unrealized: float
    dividends: float
    fees: float
    costs: float
    turnover: float | None
    closed_pnl: float


class AccountShare(NamedTuple):
    """What no strategy brought, dollars: interest on cash, and fees, dividends and events that only the account knows.

    ``pnl = interest + realized + unrealized + dividends - fees``
    """

    interest: float
    realized: float
    unrealized: float
    dividends: float
    fees: float
    pnl: float


class Totals(NamedTuple):
    """The account's own sums over a run, dollars; `unrealized` is the level at its last close."""

    realized: float
    unrealized: float
    dividends: float
    fees: float
    interest: float


Sums = Mapping[str, Sequence[float]]


def strategy_results(
    connection: Connection, run_id: int, names: Sequence[str], mean_equity: float, sessions: int
) -> dict[str, StrategyResult]:
    """Return the contribution of each strategy in `names`, and of every other one that traded, by name."""
    fills, trips, open_lots = _fills(connection, run_id), _trips(connection, run_id), _open(connection, run_id)
    scale = mean_equity * sessions / ANNUAL_SESSIONS
    results = {}
    for name in (*names, *sorted({*fills, *trips, *open_lots} - set(names))):
        traded, realized, fees, market = fills.get(name, (0.0, 0.0, 0.0, 0.0))
        count, wins, closed, received, gains = trips.get(name, (0, 0, 0.0, 0.0, 0.0))
        unrealized, held = open_lots.get(name, (0.0, 0.0))
        dividends = _cents(received + held)
        results[name] = StrategyResult(
            trades=int(count),
            win_rate=wins / count if count else None,
            pnl=_cents(realized + unrealized + dividends - fees),
            average_return=gains / count if count else None,
            realized=realized,
            unrealized=unrealized,
            dividends=dividends,
            fees=fees,
            costs=_cents(fees + market),
            turnover=traded / scale if scale > 0.0 else None,
            closed_pnl=closed,
        )
    return results


def account_share(totals: Totals, results: Mapping[str, StrategyResult]) -> AccountShare:
    """Return what `results` leave of the account's `totals`."""
    rest = {
        name: _cents(getattr(totals, name) - sum(getattr(result, name) for result in results.values()))
        for name in ("realized", "unrealized", "dividends", "fees")
    }
    pnl = totals.interest + rest["realized"] + rest["unrealized"] + rest["dividends"] - rest["fees"]
    return AccountShare(interest=totals.interest, **rest, pnl=_cents(pnl))


def _fills(connection: Connection, run_id: int) -> Sums:
    f = m.FillRow
    # A sum of one column keeps its type and comes in dollars; a sum of an expression would come in cents.
    columns = (f.amount, f.realized_pnl, f.fees, f.spread, f.slippage, f.impact)
    query = select(f.strategy, *(func.sum(column) for column in columns))
    rows = connection.execute(query.where(f.run_id == run_id).group_by(f.strategy))
    return {str(name): (amount, realized, fees, sum(market)) for name, amount, realized, fees, *market in rows}


def _trips(connection: Connection, run_id: int) -> Sums:
    t = m.Trade
    query = select(t.strategy, t.pnl, t.dividends, t.return_fraction).where(t.run_id == run_id)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for name, pnl, dividends, gain in connection.execute(query):
        found.setdefault(str(name), []).append((pnl, dividends, gain))
    return {
        name: (
            len(trips),
            sum(pnl > 0.0 for pnl, _, _ in trips),
            _cents(sum(pnl for pnl, _, _ in trips)),
            _cents(sum(dividends for _, dividends, _ in trips)),
            sum(gain for _, _, gain in trips),
        )
        for name, trips in found.items()
    }


def _open(connection: Connection, run_id: int) -> Sums:
    """Return unrealized profit and dividends of what is held at the last close; a shared position is its lots."""
    p, lot = m.PositionRow, m.LotRow
    last = select(func.max(m.EquityRow.session)).where(m.EquityRow.run_id == run_id).scalar_subquery()
    shared = exists().where(and_(lot.run_id == run_id, lot.session == p.session, lot.ticker == p.ticker))
    found: dict[str, list[float]] = {}
    for row in (m.LotRow, m.PositionRow):
        query = select(row.strategy, row.value, row.cost, row.dividends).where(
            row.run_id == run_id, row.session == last
        )
        for name, value, cost, dividends in connection.execute(query if row is lot else query.where(~shared)):
            sums = found.setdefault(str(name), [0.0, 0.0])
            sums[0] = _cents(sums[0] + value - cost)
            sums[1] = _cents(sums[1] + dividends)
    return found


def _cents(dollars: float) -> float:
    """Return dollars without float noise, and no negative zero."""
    return round(dollars, 2) + 0.0
