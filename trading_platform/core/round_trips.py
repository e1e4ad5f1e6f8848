"""What the kernel's fill log says, for people and the database: one reading for every broker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import Record
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.types import ClosedTrade, Flows

EPOCH = date(1970, 1, 1)


class LoggedFill(NamedTuple):
    """A row of the fill log as plain numbers; the fields of `core.ledger.FILL`, in their order."""

    day: int
    book: int
    slot: int
    ticker: int
    strategy: int
    side: int
    reason: int
    quantity: float
    price: float
    amount: float
    fees: float
    commission: float
    spread: float
    slippage: float
    impact: float
    realized: float
    kind: int
    closed: int
    trade_cost: float
    trade_proceeds: float
    trade_fees: float
    trade_market_costs: float
    trade_dividends: float
    trade_quantity: float
    entry_day: int


def account_flows(before: Record, after: Record) -> Flows:
    """Return what moved an account's money between two states of its record, dollars."""
    return Flows(
        realized=_moved("realized_pnl", before, after),
        **{name: _moved(name, before, after) for name in Flows._fields if name != "realized"},
    )


def _moved(name: str, before: Record, after: Record) -> float:
    return float(round_cents(float(after[name]) - float(before[name])))


def round_trip(
    made: LoggedFill, tickers: Sequence[str], strategies: Sequence[str], session: date
) -> ClosedTrade | None:
    """Return the round trip, in dollars, that a fill of `session` ended; None if it did not end one."""
    if not made.closed:
        return None
    pnl = made.trade_proceeds - made.trade_cost - made.trade_fees + made.trade_dividends
    return ClosedTrade(
        ticker=tickers[made.ticker],
        strategy=strategies[made.strategy],
        entry_session=EPOCH + timedelta(days=made.entry_day),
        exit_session=session,
        quantity=made.trade_quantity,
        exit_price=made.trade_proceeds / made.trade_quantity if made.trade_quantity > 0.0 else 0.0,
        cost=made.trade_cost,
        proceeds=made.trade_proceeds,
        fees=made.trade_fees,
        dividends=made.trade_dividends,
        pnl=round_cents(pnl),
        reason=ORDER_REASONS[made.reason],
        market_costs=made.trade_market_costs,
    )
