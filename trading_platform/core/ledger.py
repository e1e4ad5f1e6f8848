"""The book: one account record, its position slots, the lots in them, and the few functions that change them.

A book is an `ACCOUNT` record, `S` `SLOT` records (S = the allowed number of positions) and (S, K) `LOT` records. A
slot is the netted position in one ticker: empty (`ticker` < 0), a pending entry (`pending` > 0, `quantity` 0), or a
position. A lot is the part of it that belongs to strategy k; bit k of the slot's `owners` is set while the lot is
there. What the slot says of shares and money is the sum over its lots. The kernel holds (E,) accounts, (E, S) slots and
(E, S, K) lots for E portfolios; the paper broker holds one of each. Both call the same functions.

Money is posted in whole cents, so equity = cash + sum of slot values holds exactly, and so do the sums over lots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import lean
from trading_platform.core.day_count import DAYS_A_YEAR
from trading_platform.core.fills import round_cents, to_tick

Records = NDArray[np.void]
Record = Any  # np.void in plain Python, a numba record when compiled

SHARE_NOISE = 1e-9  # shares; float noise of fractional quantities
SMALLEST_TICK = 0.0001  # dollars
PEAKS = ("peak_equity", "lifetime_peak", "total_peak")

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
        ("halted", np.int64),  # 0 no, 1 until recovery, more: until an operator resumes (`core.risk.rules`)
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
        ("fees", np.float64),  # commission and regulatory fees
        ("commission", np.float64),  # the commission among them
        ("spread", np.float64),  # what fills cost beside fees, by cause
        ("slippage", np.float64),
        ("impact", np.float64),
        ("dividends", np.float64),
        ("interest", np.float64),
        ("cash_flow", np.float64),
        ("traded", np.float64),  # dollars bought and sold
        ("trades", np.int64),
        ("wins", np.int64),
        ("halts", np.int64),
        ("halted_sessions", np.int64),
        (
            "total_peak",
            np.float64,
        ),  # what the total drawdown is measured from: the lifetime peak until an operator resumes
        ("total_breach_readings", np.int64),
        ("halt_age", np.int64),  # sessions begun since the last drawdown halt began
        ("day", np.int64),  # of the last close, days since 1970-01-01; 0 before the first: no night to pay interest for
    ]
)

# What every session reads stands first: a book is bound by memory.
SLOT = np.dtype(
    [
        ("ticker", np.int64),
        ("quantity", np.float64),
        ("owners", np.int64),  # bit k: strategy k has a lot
        ("stop", np.float64),  # that rest at the broker, for all shares: the widest of the lots'
        ("target", np.float64),
        ("price", np.float64),  # last mark
        ("value", np.float64),  # quantity x price in whole cents
        ("pending", np.float64),  # shares to be bought at the next open, at most at `limit_price`
        ("selling", np.float64),  # shares to be sold at the next open, and until they are sold
        ("crossing", np.float64),  # shares that strategies sell to each other at the next open
        ("held", np.int64),  # session closes the position has lived through
        ("missing", np.int64),  # sessions in a row without a bar
        ("strategy", np.int64),  # the largest owner
        ("watched", np.int64),  # 1 if a lot must be looked at whatever happens: something stands, or has no capital
        ("wish", np.float64),  # share of equity that all owners together want, as last decided
        ("limit_price", np.float64),
        ("exit_reason", np.int64),  # OrderReason number of what is being sold; 0 = nothing
        ("cost", np.float64),  # cost basis of the shares held, fees excluded
        ("dividends", np.float64),  # received by the lots that are there
        ("entry_day", np.int64),  # session of the first fill, days since 1970-01-01
    ]
)

LOT = np.dtype(
    [
        ("quantity", np.float64),
        ("delta", np.float64),  # shares to trade at the next open: bought above 0, sold below
        ("exit_reason", np.int64),  # OrderReason number of a pending sale; 0 = none
        ("stop", np.float64),  # 0 = none of its own
        ("target", np.float64),
        ("wish", np.float64),  # share of equity that the strategy wants, as last decided
        ("since", np.int64),  # closes that the position had lived through when the lot was opened
        ("unfunded", np.int64),  # closes in a row at which the strategy had no capital
        ("peak", np.float64),  # highest close since entry
        ("cost", np.float64),  # cost basis of the shares held, fees excluded
        ("bought", np.float64),  # shares bought over the round trip
        ("bought_amount", np.float64),
        ("sold_amount", np.float64),
        ("fees", np.float64),
        ("market_costs", np.float64),  # spread, slippage and impact, dollars
        ("dividends", np.float64),
        ("entry_day", np.int64),
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
        ("commission", np.float64),  # part of the fees
        ("spread", np.float64),  # dollars lost to it, likewise below; all in `price` already
        ("slippage", np.float64),
        ("impact", np.float64),
        ("realized", np.float64),
        ("kind", np.int64),  # `core.fill_log`: of an order, crossed, protective, settled
        ("closed", np.int64),  # 1 if this fill ended the lot's round trip
        ("trade_cost", np.float64),  # the round trip's totals, when closed
        ("trade_proceeds", np.float64),
        ("trade_fees", np.float64),
        ("trade_market_costs", np.float64),
        ("trade_dividends", np.float64),
        ("trade_quantity", np.float64),
        ("entry_day", np.int64),
    ]
)


class Charge(NamedTuple):
    """What a fill costs, dollars: fees are paid beside the amount, the rest is in the price."""

    commission: float
    regulatory: float
    spread: float
    slippage: float
    impact: float


def new_books(n_books: int, n_slots: int, n_strategies: int, capital: float) -> tuple[Records, Records, Records]:
    """Return (accounts (n_books,), slots (n_books, n_slots), lots (n_books, n_slots, n_strategies)), all in cash."""
    accounts = np.zeros(n_books, dtype=ACCOUNT)
    for name in ("cash", "equity", "accepted_equity", "previous_equity", *PEAKS):
        accounts[name] = round_cents(capital)
    slots = np.zeros((n_books, n_slots), dtype=SLOT)
    slots["ticker"] = -1
    return accounts, slots, np.zeros((n_books, n_slots, n_strategies), dtype=LOT)


@lean
def clear_slot(slot: Record) -> None:
    """Make `slot` empty; its lots must be empty already."""
    slot["ticker"] = -1
    slot["strategy"] = 0
    slot["owners"] = 0
    slot["quantity"] = 0.0
    slot["pending"] = 0.0
    slot["selling"] = 0.0
    slot["crossing"] = 0.0
    slot["wish"] = 0.0
    slot["watched"] = 0
    slot["limit_price"] = 0.0
    slot["stop"] = 0.0
    slot["target"] = 0.0
    slot["price"] = 0.0
    slot["value"] = 0.0
    slot["cost"] = 0.0
    slot["dividends"] = 0.0
    slot["exit_reason"] = 0
    slot["entry_day"] = 0
    slot["held"] = 0
    slot["missing"] = 0


@lean
def clear_lot(slot: Record, lot: Record, k: int) -> None:
    """Make the lot of strategy `k` in `slot` empty."""
    slot["owners"] &= ~(1 << k)
    slot["dividends"] = round_cents(slot["dividends"] - lot["dividends"])
    lot["quantity"] = 0.0
    lot["delta"] = 0.0
    lot["wish"] = 0.0
    lot["stop"] = 0.0
    lot["target"] = 0.0
    lot["peak"] = 0.0
    lot["cost"] = 0.0
    lot["bought"] = 0.0
    lot["bought_amount"] = 0.0
    lot["sold_amount"] = 0.0
    lot["fees"] = 0.0
    lot["market_costs"] = 0.0
    lot["dividends"] = 0.0
    lot["exit_reason"] = 0
    lot["entry_day"] = 0
    lot["since"] = 0
    lot["unfunded"] = 0


@lean
def owns(slot: Record, k: int) -> bool:
    """Return True if strategy `k` has a lot in `slot`, or is buying one."""
    return bool((slot["owners"] >> k) & 1)


@lean
def reserve(slot: Record, ticker: int, quantity: float, limit_price: float, price: float) -> None:
    """Put an entry of `quantity` shares into an empty `slot`; its lots say for whom."""
    clear_slot(slot)
    slot["ticker"] = ticker
    slot["pending"] = quantity
    slot["limit_price"] = limit_price
    slot["price"] = price


@lean
def want(slot: Record, lot: Record, k: int, quantity: float, stop: float, target: float) -> None:
    """Let strategy `k` buy `quantity` shares of `slot` at the next open; a lot that is there keeps stop and target."""
    lot["delta"] = quantity
    if not owns(slot, k):
        slot["owners"] |= 1 << k
        lot["stop"] = stop
        lot["target"] = target


@lean
def post_buy(
    account: Record, slot: Record, lot: Record, quantity: float, price: float, amount: float, charge: Charge, day: int
) -> None:
    """Book a buy of `quantity` shares for `amount` dollars before fees (whole cents) into a lot and its slot."""
    fees = round_cents(charge.commission + charge.regulatory)
    if lot["bought"] == 0.0:
        lot["entry_day"] = day
        lot["since"] = slot["held"]
        lot["peak"] = price
    if slot["quantity"] == 0.0:
        slot["entry_day"] = day
    lot["quantity"] += quantity
    lot["bought"] += quantity
    lot["cost"] = round_cents(lot["cost"] + amount)
    lot["bought_amount"] = round_cents(lot["bought_amount"] + amount)
    slot["quantity"] += quantity
    slot["cost"] = round_cents(slot["cost"] + amount)
    account["cash"] = round_cents(account["cash"] - amount - fees)
    account["traded"] += amount
    post_charge(account, lot, charge)
    mark_slot(slot, price)


@lean
def post_sell(
    account: Record, slot: Record, lot: Record, quantity: float, price: float, amount: float, charge: Charge
) -> float:
    """Book a sale of `quantity` <= the lot's shares for `amount` dollars; return the profit gross of fees, dollars."""
    fees = round_cents(charge.commission + charge.regulatory)
    remaining = lot["quantity"] - quantity
    if remaining < SHARE_NOISE:  # float noise of fractional shares is not a position
        remaining = 0.0
    cost_sold = lot["cost"] if remaining == 0.0 else round_cents(lot["cost"] * quantity / lot["quantity"])
    realized = round_cents(amount - cost_sold)
    left = slot["quantity"] - quantity
    slot["quantity"] = left if left >= SHARE_NOISE else 0.0
    slot["cost"] = round_cents(slot["cost"] - cost_sold)
    lot["quantity"] = remaining
    lot["cost"] = round_cents(lot["cost"] - cost_sold)
    lot["sold_amount"] = round_cents(lot["sold_amount"] + amount)
    account["cash"] = round_cents(account["cash"] + amount - fees)
    account["realized_pnl"] = round_cents(account["realized_pnl"] + realized)
    account["traded"] += amount
    post_charge(account, lot, charge)
    mark_slot(slot, price)
    return realized


@lean
def post_charge(account: Record, lot: Record, charge: Charge) -> None:
    """Add what a fill cost to the sums of account and lot."""
    fees = round_cents(charge.commission + charge.regulatory)
    market = round_cents(charge.spread + charge.slippage + charge.impact)
    lot["fees"] = round_cents(lot["fees"] + fees)
    lot["market_costs"] = round_cents(lot["market_costs"] + market)
    account["fees"] = round_cents(account["fees"] + fees)
    account["commission"] = round_cents(account["commission"] + charge.commission)
    account["spread"] = round_cents(account["spread"] + charge.spread)
    account["slippage"] = round_cents(account["slippage"] + charge.slippage)
    account["impact"] = round_cents(account["impact"] + charge.impact)


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
def trade_profit(lot: Record) -> float:
    """Return the net profit of the lot's finished round trip: proceeds - cost - fees + dividends, dollars."""
    return round_cents(lot["sold_amount"] - lot["bought_amount"] - lot["fees"] + lot["dividends"])


@lean
def post_interest(account: Record, rate: float, days: int) -> float:
    """Credit a night's interest on cash: `rate` percent a year over calendar `days`; return the amount, dollars."""
    if not (account["cash"] > 0.0) or not (rate > 0.0):
        return 0.0
    amount = round_cents(account["cash"] * rate / 100.0 * days / DAYS_A_YEAR)
    account["cash"] = round_cents(account["cash"] + amount)
    account["interest"] = round_cents(account["interest"] + amount)
    return amount


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
        account["total_peak"] *= scale


@lean
def post_split(slot: Record, lots: Records, ratio: float) -> None:
    """Multiply the shares of `slot` and its `lots` (K,) by `ratio`, divide its prices by it; money does not move.

    Stops, targets and limits are prices of orders, so they stay in ticks.
    """
    slot["quantity"] *= ratio
    slot["pending"] *= ratio
    slot["selling"] *= ratio
    slot["crossing"] *= ratio
    slot["limit_price"] = to_tick(slot["limit_price"] / ratio)
    slot["stop"] = to_tick(slot["stop"] / ratio)
    slot["target"] = to_tick(slot["target"] / ratio)
    slot["price"] /= ratio
    for k in range(len(lots)):
        if owns(slot, k):
            lots[k]["quantity"] *= ratio
            lots[k]["delta"] *= ratio
            lots[k]["bought"] *= ratio
            lots[k]["stop"] = to_tick(lots[k]["stop"] / ratio)
            lots[k]["target"] = to_tick(lots[k]["target"] / ratio)
            lots[k]["peak"] /= ratio


@lean
def post_dividend(account: Record, slot: Record, lots: Records, dollars_a_share: float) -> float:
    """Book a cash dividend on the shares held, each lot its part; return the amount, dollars."""
    amount = round_cents(slot["quantity"] * dollars_a_share)
    left, shares = amount, slot["quantity"]
    for k in range(len(lots)):
        if lots[k]["quantity"] > 0.0 and owns(slot, k):
            shares -= lots[k]["quantity"]
            part = left if shares < SHARE_NOISE else round_cents(lots[k]["quantity"] * dollars_a_share)
            left = round_cents(left - part)
            lots[k]["dividends"] = round_cents(lots[k]["dividends"] + part)
    slot["dividends"] = round_cents(slot["dividends"] + amount)
    account["cash"] = round_cents(account["cash"] + amount)
    account["dividends"] = round_cents(account["dividends"] + amount)
    return amount


@lean
def lower_prices(slot: Record, lots: Records, dollars: float, factor: float) -> None:
    """Bring stops, targets and limits to a price that has fallen by `dollars` and then to `factor` of what was left.

    An ex-date of a special dividend or a spin-off takes value out of the price; who is protected against losses must
    not be sold for it.
    """
    slot["limit_price"] = lowered(slot["limit_price"], dollars, factor)
    slot["stop"] = lowered(slot["stop"], dollars, factor)
    slot["target"] = lowered(slot["target"], dollars, factor)
    for k in range(len(lots)):
        if owns(slot, k):
            lots[k]["stop"] = lowered(lots[k]["stop"], dollars, factor)
            lots[k]["target"] = lowered(lots[k]["target"], dollars, factor)
            lots[k]["peak"] = lowered(lots[k]["peak"], dollars, factor)


@lean
def lowered(price: float, dollars: float, factor: float) -> float:
    """Return a price less `dollars`, times `factor`, in ticks; 0 (no price) stays 0."""
    if not (price > 0.0):
        return price
    return max(SMALLEST_TICK, to_tick((price - dollars) * factor))


@lean
def sum_wishes(slot: Record, lots: Records) -> None:
    """Set what all owners of `slot` together want of it from its lots, (K,)."""
    slot["wish"] = 0.0
    for k in range(len(lots)):
        if owns(slot, k):
            slot["wish"] += lots[k]["wish"]


@lean
def watch_slot(slot: Record, lots: Records) -> None:
    """Let the next close look at `slot` if a lot of it, (K,), is to leave or had no capital."""
    slot["watched"] = 0
    for k in range(len(lots)):
        if owns(slot, k) and (lots[k]["exit_reason"] != 0 or lots[k]["unfunded"] > 0):
            slot["watched"] = 1


@lean
def settle_levels(slot: Record, lots: Records) -> None:
    """Derive the slot's stop, target and largest owner from its lots: the widest of each, no target if a lot has none.

    So a lot alone is protected exactly as it asks, and nobody's stop sells another's shares.
    """
    stop, target, largest, most = 0.0, 0.0, slot["strategy"], -1.0
    bounded = True
    for k in range(len(lots)):
        if not owns(slot, k):
            continue
        size = max(lots[k]["quantity"], lots[k]["quantity"] + lots[k]["delta"])
        if size > most:
            largest, most = k, size
        if lots[k]["stop"] > 0.0 and (stop == 0.0 or lots[k]["stop"] < stop):
            stop = lots[k]["stop"]
        if lots[k]["target"] > 0.0:
            target = max(target, lots[k]["target"])
        else:
            bounded = False
    slot["stop"] = stop
    slot["target"] = target if bounded else 0.0
    slot["strategy"] = largest
