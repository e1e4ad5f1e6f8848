"""What no row of results can say: of a close, a round trip, a position, a lot; and what the row itself puts right.

Nothing trades by these rows; reports, pages and `status` read them, and one absurd number spoils every sum it is in. A
value that follows from its neighbours in the row is put right from them, one that may be empty is emptied, a cost that
is no amount counts as none. A row of which less is known is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from trading_platform.storage.row_faults import Cure, Fault, Row, is_cents, is_number, is_price, is_shares

MOST_OF_EQUITY = 1e6  # times: of an exposure or a return; a return of an account in options of ours is far below
CENTS = 100.0
Values = Mapping[str, float]
Rule = Callable[[Row], float | None]


def equity_faults(row: Row) -> Iterator[Fault]:
    """Yield what is wrong with an account at a close: equity is cash and positions together, to the cent."""
    known = {name: row[name] for name in ("cash", "positions_value", "equity") if is_cents(row[name])}
    if len(known) == 3 and known["equity"] != known["cash"] + known["positions_value"]:
        right = known["cash"] + known["positions_value"]
        yield Fault("equity", f"is {row['equity']} cents, and cash and positions are {right}", *_put("equity", right))
    yield from _of_the_others(row, is_cents, "cents", SUMS_OF_EQUITY)
    for name in ("previous_equity", "realized_pnl", "unrealized_pnl", "cash_flow", "peak_equity"):
        if not is_cents(row[name]):
            yield Fault(name, f"is {row[name]!r} cents", Cure.SET_ASIDE)
    for name in ("fees", "dividends", "interest", "commission", "spread", "slippage", "impact"):
        if not is_cents(row[name]):
            yield Fault(name, f"is {row[name]!r} cents", *_put(name, 0))
    for name in ("drawdown", "lifetime_drawdown"):
        if not (is_number(row[name]) and 0.0 <= row[name] <= 1.0):
            right_drawdown = _drawdown(row)
            cure = (Cure.SET_ASIDE,) if right_drawdown is None else _put(name, right_drawdown)
            yield Fault(name, f"is {row[name]!r}, no part of the peak", *cure)
    if not (is_number(row["gross_exposure"]) and 0.0 <= row["gross_exposure"] < MOST_OF_EQUITY):
        exposure = _quotient(row, "positions_value", "equity")
        cure = (Cure.SET_ASIDE,) if exposure is None else _put("gross_exposure", exposure)
        yield Fault("gross_exposure", f"is {row['gross_exposure']!r} times equity", *cure)
    if not (isinstance(row["n_positions"], int) and 0 <= row["n_positions"] < MOST_OF_EQUITY):
        yield Fault("n_positions", f"is {row['n_positions']!r}", Cure.SET_ASIDE)
    yield from _emptied(row, ("vix", "benchmark_close"), lambda value: is_number(value) and 0.0 < value < 1e8)
    yield from _emptied(row, ("universe_return", "cash_rate"), lambda value: is_number(value) and abs(value) < 1e4)
    unused = ("unused_no_signal", "unused_slots", "unused_caps", "unused_size", "unused_halts")
    yield from _emptied(row, unused, is_cents)


def trade_faults(row: Row) -> Iterator[Fault]:
    """Yield what is wrong with a round trip: its profit is what it brought less what it cost."""
    yield from _of_the_others(row, is_cents, "cents", SUMS_OF_TRADE)
    if not (is_shares(row["quantity"]) and row["quantity"] > 0.0):
        bought = _shares(row)
        cure = (Cure.SET_ASIDE,) if bought is None else _put("quantity", bought)
        yield Fault("quantity", f"is {row['quantity']!r} shares", *cure)
    for name, money in (("entry_price", "cost"), ("exit_price", "proceeds")):
        if not is_price(row[name]):
            price = _price(row, money)
            cure = (Cure.SET_ASIDE,) if price is None else _put(name, price)
            yield Fault(name, f"is {row[name]!r} dollars", *cure)
    if not (is_number(row["return_fraction"]) and abs(row["return_fraction"]) < MOST_OF_EQUITY):
        fraction = _quotient(row, "pnl", "cost")
        cure = (Cure.SET_ASIDE,) if fraction is None else _put("return_fraction", fraction)
        yield Fault("return_fraction", f"is {row['return_fraction']!r}", *cure)
    if not is_cents(row["market_costs"]):
        yield Fault("market_costs", f"is {row['market_costs']!r} cents", *_put("market_costs", 0))


def position_faults(row: Row) -> Iterator[Fault]:
    """Yield what is wrong with a position at a close: its value is shares times price."""
    if not (is_shares(row["quantity"]) and row["quantity"] > 0.0):
        held = _over(row["value"], row["price"])
        cure = (Cure.SET_ASIDE,) if held is None else _put("quantity", held)
        yield Fault("quantity", f"is {row['quantity']!r} shares", *cure)
    for name, money in (("entry_price", "cost"), ("price", "value")):
        if not is_price(row[name]):
            price = _price(row, money)
            cure = (Cure.SET_ASIDE,) if price is None else _put(name, price)
            yield Fault(name, f"is {row[name]!r} dollars", *cure)
        if not (is_cents(row[money]) and row[money] >= 0.0):
            amount = _amount(row, name)
            cure = (Cure.SET_ASIDE,) if amount is None else _put(money, amount)
            yield Fault(money, f"is {row[money]!r} cents", *cure)
    yield from _levels(row)


def lot_faults(row: Row) -> Iterator[Fault]:
    """Yield what is wrong with a strategy's part of a position: without it the other parts say nothing either."""
    if not (is_shares(row["quantity"]) and row["quantity"] > 0.0):
        yield Fault("quantity", f"is {row['quantity']!r} shares", Cure.SET_ASIDE)
    for name in ("cost", "value"):
        if not (is_cents(row[name]) and row[name] >= 0.0):
            yield Fault(name, f"is {row[name]!r} cents", Cure.SET_ASIDE)
    yield from _levels(row)


RESULT_CHECKS = {"equity": equity_faults, "trades": trade_faults, "positions": position_faults, "lots": lot_faults}


# ---------------------------------------------------------------- what follows from what


SUMS_OF_EQUITY: Mapping[str, tuple[Sequence[str], Callable[[Values], float]]] = {
    "cash": (("equity", "positions_value"), lambda v: v["equity"] - v["positions_value"]),
    "positions_value": (("equity", "cash"), lambda v: v["equity"] - v["cash"]),
    "equity": (("cash", "positions_value"), lambda v: v["cash"] + v["positions_value"]),
}
SUMS_OF_TRADE: Mapping[str, tuple[Sequence[str], Callable[[Values], float]]] = {
    "pnl": (
        ("proceeds", "cost", "fees", "dividends"),
        lambda v: v["proceeds"] - v["cost"] - v["fees"] + v["dividends"],
    ),
    "proceeds": (("pnl", "cost", "fees", "dividends"), lambda v: v["pnl"] + v["cost"] + v["fees"] - v["dividends"]),
    "cost": (("pnl", "proceeds", "fees", "dividends"), lambda v: v["proceeds"] - v["fees"] + v["dividends"] - v["pnl"]),
    "fees": (("pnl", "proceeds", "cost", "dividends"), lambda v: v["proceeds"] - v["cost"] + v["dividends"] - v["pnl"]),
    "dividends": (("pnl", "proceeds", "cost", "fees"), lambda v: v["pnl"] - v["proceeds"] + v["cost"] + v["fees"]),
}


def _of_the_others(
    row: Row,
    is_sound: Callable[[object], bool],
    unit: str,
    sums: Mapping[str, tuple[Sequence[str], Callable[[Values], float]]],
) -> Iterator[Fault]:
    """Yield the values that are wrong; one whose neighbours are all right follows from them."""
    for name, (others, rule) in sums.items():
        if is_sound(row[name]):
            continue
        sound = all(is_sound(row[other]) for other in others)
        cure = _put(name, rule({other: row[other] for other in others})) if sound else (Cure.SET_ASIDE,)
        yield Fault(name, f"is {row[name]!r} {unit}", *cure)


def _levels(row: Row) -> Iterator[Fault]:
    yield from _emptied(row, ("stop_price", "target_price"), is_price)
    if not is_cents(row["dividends"]):
        yield Fault("dividends", f"is {row['dividends']!r} cents", *_put("dividends", 0))


def _emptied(row: Row, names: Sequence[str], is_sound: Callable[[object], bool]) -> Iterator[Fault]:
    for name in names:
        if row[name] is not None and not is_sound(row[name]):
            yield Fault(name, f"is {row[name]!r}", *_put(name, None))


def _put(name: str, value: float | None) -> tuple[Cure, dict[str, float | None]]:
    return Cure.PUT_RIGHT, {name: value}


def _drawdown(row: Row) -> float | None:
    """Return the fall from the peak, in [0, 1]; of the lifetime's it is the least that it can be."""
    part = _quotient(row, "equity", "peak_equity")
    return None if part is None else min(1.0, max(0.0, 1.0 - part))


def _quotient(row: Row, above: str, below: str) -> float | None:
    if not (is_cents(row[above]) and is_cents(row[below]) and row[below] > 0.0):
        return None
    return float(row[above]) / float(row[below])


def _shares(row: Row) -> float | None:
    return _over(row["cost"], row["entry_price"])


def _over(cents: object, price: object) -> float | None:
    """Return the shares that so much money is at a price, to a millionth; None where either is unknown."""
    if not (is_cents(cents) and cents > 0.0 and is_price(price)):
        return None
    return round(cents / CENTS / price, 6)


def _price(row: Row, money: str) -> float | None:
    quantity, cents = row["quantity"], row[money]
    if not (is_shares(quantity) and quantity > 0.0 and is_cents(cents)):
        return None
    price = cents / CENTS / quantity
    return price if is_price(price) else None


def _amount(row: Row, price: str) -> float | None:
    if not (is_shares(row["quantity"]) and is_price(row[price])):
        return None
    return float(round(row["quantity"] * row[price] * CENTS))
