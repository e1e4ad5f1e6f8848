"""The log of fills that a book leaves behind: one row a lot and execution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import FILL, Charge, Record, Records
from trading_platform.core.types import Ints

# What an execution belongs to: the order that waited for the open, strategies that sold to each other, the stop or
# target at the broker, a corporate event.
OF_ORDER, CROSSED, PROTECTIVE, SETTLED = range(4)


class FillLog(NamedTuple):
    """Where fills are written: `rows` (capacity,) of dtype FILL and `used` (1,). A capacity of 0 records nothing."""

    rows: Records
    used: Ints


def new_fill_log(capacity: int) -> FillLog:
    """Return an empty log; a row means nothing before it is written."""
    return FillLog(np.empty(capacity, dtype=FILL), np.zeros(1, dtype=np.int64))


@lean
def log_fill(
    log: FillLog,
    day: int,
    s: int,
    slot: Record,
    lot: Record,
    strategy: int,
    side: int,
    reason: int,
    quantity: float,
    price: float,
    amount: float,
    charge: Charge,
    realized: float,
    kind: int,
) -> None:
    """Append a fill to the log, with the lot's totals in case it ends the round trip. The lot has been posted."""
    n = log.used[0]
    if n < len(log.rows):
        row = log.rows[n]
        row["day"] = day
        row["book"] = 0
        row["slot"] = s
        row["ticker"] = slot["ticker"]
        row["strategy"] = strategy
        row["side"] = side
        row["reason"] = reason
        row["quantity"] = quantity
        row["price"] = price
        row["amount"] = amount
        row["fees"] = round_cents(charge.commission + charge.regulatory)
        row["commission"] = charge.commission
        row["spread"] = charge.spread
        row["slippage"] = charge.slippage
        row["impact"] = charge.impact
        row["realized"] = realized
        row["kind"] = kind
        row["closed"] = 1 if side < 0 and lot["quantity"] == 0.0 else 0
        row["trade_cost"] = lot["bought_amount"]
        row["trade_proceeds"] = lot["sold_amount"]
        row["trade_fees"] = lot["fees"]
        row["trade_market_costs"] = lot["market_costs"]
        row["trade_dividends"] = lot["dividends"]
        row["trade_quantity"] = lot["bought"]
        row["entry_day"] = lot["entry_day"]
    log.used[0] = n + 1
