"""The book: one account record and its position slots, and the few functions that change them.

A book is an `ACCOUNT` record and `S` `SLOT` records (S = the allowed number of positions). A slot is empty
(`ticker` < 0), a pending entry (`pending` > 0, `quantity` 0), or a position. The kernel holds (E,) accounts and
(E, S) slots for E portfolios; the paper broker holds one of each. Both call the same functions.

Money is posted in whole cents, so equity = cash + sum of slot values holds exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import lean
from trading_platform.core.fills import round_cents

Records = NDArray[np.void]
Record = Any  # np.void in plain Python, a numba record when compiled

ACCOUNT = np.dtype(
    [
        ("cash", np.float64),
        ("equity", np.float64),
        ("previous_equity", np.float64),  # accepted equity at the previous session's close, net of cash flows
        ("peak_equity", np.float64),  # reference peak: rebased when a halt is released
        ("lifetime_peak", np.float64),
        ("lifetime_drawdown", np.float64),
        ("accepted_equity", np.float64),  # last plausible reading
        ("suspect_equity", np.float64),  # a reading that jumped and waits for a second one; 0 = none
        ("breach_readings", np.int64),
        ("halted", np.int64),
        ("release_readings", np.int64),
        ("daily_breach_readings", np.int64),
        ("daily_halted", np.int64),
        ("loss_streak", np.int64),
        ("pause_until", np.float64),  # exchange clock, seconds
        ("kelly_trades", np.float64),  # decayed sums of trade results
        ("kelly_wins", np.float64),
        ("kelly_gain", np.float64),
        ("kelly_loss", np.float64),
        ("realized_pnl", np.float64),
        ("fees", np.float64),
        ("dividends", np.float64),
        ("cash_flow", np.float64),
        ("traded", np.float64),  # dollars bought and sold
        ("trades", np.int64),
        ("wins", np.int64),
        ("halts", np.int64),
        ("halted_sessions", np.int64),
    ]
)

SLOT = np.dtype(
    [
        ("ticker", np.int64),
        ("strategy", np.int64),
        ("quantity", np.float64),
        ("pending", np.float64),  # shares of the entry order not yet filled
        ("limit_price", np.float64),
        ("stop", np.float64),
        ("target", np.float64),
        ("price", np.float64),  # last mark
        ("value", np.float64),  # quantity x price in whole cents
        ("cost", np.float64),  # cost basis of the shares held, fees excluded
        ("bought", np.float64),  # shares bought over the round trip
        ("bought_amount", np.float64),
        ("sold_amount", np.float64),
        ("fees", np.float64),
        ("dividends", np.float64),
        ("exit_reason", np.int64),  # OrderReason number of a pending exit; 0 = none
        ("entry_day", np.int64),  # session of the first fill, days since 1970-01-01
        ("held", np.int64),  # session closes the position has lived through
        ("missing", np.int64),  # sessions in a row without a bar
    ]
)

FILL = np.dtype(
    [
        ("day", np.int64),  # session, days since 1970-01-01
        ("book", np.int64),
        ("slot", np.int64),
        ("ticker", np.int64),
        ("strategy", np.int64),
        ("side", np.int64),  # +1 buy, -1 sell
        ("reason", np.int64),
        ("quantity", np.float64),
        ("price", np.float64),
        ("amount", np.float64),
        ("fees", np.float64),
        ("realized", np.float64),
        ("closed", np.int64),  # 1 if this fill ended the round trip
        ("trade_cost", np.float64),  # the round trip's totals, when closed
        ("trade_proceeds", np.float64),
        ("trade_fees", np.float64),
        ("trade_dividends", np.float64),
        ("trade_quantity", np.float64),
        ("entry_day", np.int64),
    ]
)


def new_books(n_books: int, n_slots: int, capital: float) -> tuple[Records, Records]:
    """Return (accounts (n_books,), slots (n_books, n_slots)) holding `capital` dollars in cash each."""
    accounts = np.zeros(n_books, dtype=ACCOUNT)
    for name in ("cash", "equity", "accepted_equity", "previous_equity", "peak_equity", "lifetime_peak"):
        accounts[name] = round_cents(capital)
    slots = np.zeros((n_books, n_slots), dtype=SLOT)
    slots["ticker"] = -1
    return accounts, slots


@lean
def clear_slot(slot: Record) -> None:
    """Make `slot` empty."""
    slot["ticker"] = -1
    slot["strategy"] = 0
    slot["quantity"] = 0.0
    slot["pending"] = 0.0
    slot["limit_price"] = 0.0
    slot["stop"] = 0.0
    slot["target"] = 0.0
    slot["price"] = 0.0
    slot["value"] = 0.0
    slot["cost"] = 0.0
    slot["bought"] = 0.0
    slot["bought_amount"] = 0.0
    slot["sold_amount"] = 0.0
    slot["fees"] = 0.0
    slot["dividends"] = 0.0
    slot["exit_reason"] = 0
    slot["entry_day"] = 0
    slot["held"] = 0
    slot["missing"] = 0


@lean
def reserve(
    slot: Record,
    ticker: int,
    strategy: int,
    quantity: float,
    limit_price: float,
    stop: float,
    target: float,
    price: float,
) -> None:
    """Put a pending entry into an empty `slot`."""
    clear_slot(slot)
    slot["ticker"] = ticker
    slot["strategy"] = strategy
    slot["pending"] = quantity
    slot["limit_price"] = limit_price
    slot["stop"] = stop
    slot["target"] = target
    slot["price"] = price


@lean
def reserve_slot(
    slots: Records,
    s: int,
    ticker: int,
    strategy: int,
    quantity: float,
    limit_price: float,
    stop: float,
    target: float,
    price: float,
) -> None:
    """Put a pending entry into the empty slot `s`: `reserve` for callers outside compiled code."""
    reserve(slots[s], ticker, strategy, quantity, limit_price, stop, target, price)


@lean
def post_buy(account: Record, slot: Record, quantity: float, price: float, fees: float, day: int) -> float:
    """Book a buy of `quantity` shares at `price`; return the amount paid before fees, dollars."""
    amount = round_cents(quantity * price)
    if slot["bought"] == 0.0:
        slot["entry_day"] = day
    slot["quantity"] += quantity
    slot["bought"] += quantity
    slot["cost"] = round_cents(slot["cost"] + amount)
    slot["bought_amount"] = round_cents(slot["bought_amount"] + amount)
    slot["fees"] = round_cents(slot["fees"] + fees)
    account["cash"] = round_cents(account["cash"] - amount - fees)
    account["fees"] = round_cents(account["fees"] + fees)
    account["traded"] += amount
    mark_slot(slot, price)
    return amount


@lean
def post_sell(account: Record, slot: Record, quantity: float, price: float, fees: float) -> tuple[float, float]:
    """Book a sell of `quantity` <= held shares; return (amount before fees, realized profit gross of fees), dollars."""
    amount = round_cents(quantity * price)
    remaining = slot["quantity"] - quantity
    if remaining < 1e-9:  # float noise of fractional shares is not a position
        remaining = 0.0
    cost_sold = slot["cost"] if remaining == 0.0 else round_cents(slot["cost"] * quantity / slot["quantity"])
    realized = round_cents(amount - cost_sold)
    slot["quantity"] = remaining
    slot["cost"] = round_cents(slot["cost"] - cost_sold)
    slot["sold_amount"] = round_cents(slot["sold_amount"] + amount)
    slot["fees"] = round_cents(slot["fees"] + fees)
    account["cash"] = round_cents(account["cash"] + amount - fees)
    account["realized_pnl"] = round_cents(account["realized_pnl"] + realized)
    account["fees"] = round_cents(account["fees"] + fees)
    account["traded"] += amount
    mark_slot(slot, price)
    return amount, realized


@lean
def mark_slot(slot: Record, price: float) -> None:
    """Value the slot's shares at `price`; an unknown price keeps the last one."""
    if price > 0.0:
        slot["price"] = price
    slot["value"] = round_cents(slot["quantity"] * slot["price"])


@lean
def total_equity(account: Record, slots: Records) -> float:
    """Return cash plus the value of all slots, dollars, exact to the cent."""
    equity = account["cash"]
    for s in range(len(slots)):
        equity += slots[s]["value"]
    return round_cents(equity)


@lean
def trade_profit(slot: Record) -> float:
    """Return the net profit of the slot's finished round trip: proceeds - cost - fees + dividends, dollars."""
    return round_cents(slot["sold_amount"] - slot["bought_amount"] - slot["fees"] + slot["dividends"])


@lean
def post_cash_flow(account: Record, amount: float) -> None:
    """Book a deposit (positive) or withdrawal. It is no profit or loss: drawdown and the day's loss keep still."""
    before = account["accepted_equity"]  # not `equity`, which is NaN after a bad reading
    account["cash"] = round_cents(account["cash"] + amount)
    if account["equity"] > 0.0:
        account["equity"] = round_cents(account["equity"] + amount)
    if account["suspect_equity"] > 0.0:
        account["suspect_equity"] += amount
    account["accepted_equity"] = round_cents(before + amount)
    account["cash_flow"] = round_cents(account["cash_flow"] + amount)
    account["previous_equity"] = round_cents(account["previous_equity"] + amount)
    if before > 0.0:
        scale = (before + amount) / before
        account["peak_equity"] *= scale
        account["lifetime_peak"] *= scale


@lean
def post_split(slot: Record, ratio: float) -> None:
    """Multiply the shares of `slot` by `ratio` and divide its prices by it; money does not move."""
    slot["quantity"] *= ratio
    slot["pending"] *= ratio
    slot["bought"] *= ratio
    slot["limit_price"] /= ratio
    slot["stop"] /= ratio
    slot["target"] /= ratio
    slot["price"] /= ratio


@lean
def post_dividend(account: Record, slot: Record, dollars_a_share: float) -> float:
    """Book a cash dividend on the shares held; return the amount, dollars."""
    amount = round_cents(slot["quantity"] * dollars_a_share)
    slot["dividends"] = round_cents(slot["dividends"] + amount)
    account["cash"] = round_cents(account["cash"] + amount)
    account["dividends"] = round_cents(account["dividends"] + amount)
    return amount
