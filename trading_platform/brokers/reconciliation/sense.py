"""Whether the broker's answers make sense; what does not is not believed, and kept out of our book. Pure functions.

Booked once is booked for good: infinite cash, a price of 1e30, a fill of -10 shares would stay in the book. So every
number has bounds. They are wide, since a true answer that is refused leaves a true position without its stop:

| field | bounds | why |
|---|---|---|
| cash, cash flows | finite, below 1e13 dollars | more than any account |
| shares of fills | above 0, below 1e12 | more than any company has issued |
| shares of positions, share changes | finite, below 1e12 either way | a short is negative |
| filled shares of an order | from 0 to what was ordered | a fill beyond the order is none of it |
| prices of fills | above 0, below 1e8 dollars | Berkshire's A share is below 1e6 |
| the same, near the market | within 20 times of the last mark or the order's own limit, where one is known | below |

A 10:1 split, a fall of 60 %, a rise of 300 % are so believed at once; a price of 1e6 is not.

The object of a wrong number is its ticker. For it our own state stands until a look makes sense; with a fill that was
not believed, or cash that was not, cash is unknown, so that nothing is adopted from it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.two_books import (
    SHARE_TOLERANCE,
    ForeignFill,
    OurBook,
    TheirBook,
)
from trading_platform.core.ports import BrokerOrder, BrokerPosition, JournalOrder
from trading_platform.core.types import Fill

MOST_DOLLARS, MOST_SHARES, HIGHEST_PRICE = 1e13, 1e12, 1e8
NEAR_MARKET = 20.0


class Doubts(NamedTuple):
    """What is not believed: why, by ticker; why cash is not, "" if it is; ids of cash flows that are none."""

    tickers: dict[str, str]
    cash: str
    flows: frozenset[str]

    @property
    def any(self) -> bool:
        """True if anything is not believed."""
        return bool(self.tickers or self.cash or self.flows)

    def differences(self) -> list[Difference]:
        """Return a line for every ticker and for cash."""
        kind = DifferenceKind.DISBELIEVED
        lines = [Difference(kind, ticker, "as booked", words) for ticker, words in sorted(self.tickers.items())]
        return lines + ([Difference(kind, None, "as booked", self.cash)] if self.cash else [])


NO_DOUBTS = Doubts({}, "", frozenset())


def doubts_of(theirs: TheirBook, ours: OurBook, marks: Mapping[str, float]) -> Doubts:
    """Return what of `theirs` makes no sense; `marks` are the last prices of tickers held, dollars a share."""
    tickers: dict[str, str] = {}
    for ticker, words in _wrong(theirs, ours, marks):
        tickers.setdefault(ticker, words)
    flows = [flow for flow in theirs.history.cash if not abs(flow.amount) < MOST_DOLLARS]
    cash = ""
    if theirs.cash is not None and not abs(theirs.cash) < MOST_DOLLARS:
        cash = f"cash of {theirs.cash:g} dollars"
    elif flows:
        cash = f"a cash flow of {flows[0].amount:g} dollars"
    return Doubts(tickers, cash, frozenset(flow.flow_id for flow in flows))


def believed(theirs: TheirBook, ours: OurBook, held: Mapping[str, float], doubts: Doubts) -> TheirBook:
    """Return `theirs` with our own state where it is not believed.

    `held` is ticker -> shares that we and the account's owner hold by our books. History of a doubted ticker is left
    out, and asked for again at the next look.
    """
    if not doubts.any:
        return theirs
    history = theirs.history
    fills: list[Fill | ForeignFill] = [*history.fills, *history.foreign]
    lost = any(fill.ticker in doubts.tickers for fill in fills)
    kept = replace(
        history,
        fills=tuple(fill for fill in history.fills if fill.ticker not in doubts.tickers),
        foreign=tuple(fill for fill in history.foreign if fill.ticker not in doubts.tickers),
        shares=tuple(change for change in history.shares if change.ticker not in doubts.tickers),
        cash=tuple(flow for flow in history.cash if flow.flow_id not in doubts.flows),
    )
    return replace(
        theirs,
        cash=None if lost or doubts.cash else theirs.cash,
        positions=_positions(theirs.positions, held, doubts.tickers),
        orders=tuple(_order(order, ours.orders, doubts.tickers) for order in theirs.orders),
        history=kept,
    )


def doubt_of_order(order: BrokerOrder) -> str:
    """Return why the numbers of an order, without its legs, cannot be, "" if they can."""
    if not 0.0 <= order.quantity < MOST_SHARES:
        return f"an order of {order.quantity:g} shares"
    if not 0.0 <= order.filled_quantity <= (order.quantity or MOST_SHARES) + SHARE_TOLERANCE:  # 0: in dollars
        return f"{order.filled_quantity:g} shares filled of {order.quantity:g} ordered"
    return ""


# ---------------------------------------------------------------- what is wrong


def _wrong(theirs: TheirBook, ours: OurBook, marks: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for ticker, position in theirs.positions.items():
        if not abs(position.quantity) < MOST_SHARES:
            yield ticker, f"a position of {position.quantity:g} shares"
    for order in theirs.orders:
        for seen in (order, *order.legs):
            if words := doubt_of_order(seen):
                yield seen.ticker, words
    for change in theirs.history.shares:
        if not abs(change.quantity) < MOST_SHARES:
            yield change.ticker, f"a change of {change.quantity:g} shares"
    fills: list[Fill | ForeignFill] = [*theirs.history.fills, *theirs.history.foreign]
    for fill in fills:
        if fill.fill_id not in ours.booked and (words := _of_fill(fill, ours.orders, marks)):
            yield fill.ticker, words


def _of_fill(fill: Fill | ForeignFill, orders: Mapping[str, JournalOrder], marks: Mapping[str, float]) -> str:
    if not 0.0 < fill.quantity < MOST_SHARES:
        return f"a fill of {fill.quantity:g} shares"
    if not 0.0 < fill.price < HIGHEST_PRICE:
        return f"a fill at {fill.price:g} dollars"
    order = orders.get(fill.client_order_id) if isinstance(fill, Fill) else None
    references = [marks.get(fill.ticker), None if order is None else order.limit_price]
    known = [price for price in references if price is not None and price > 0.0 and math.isfinite(price)]
    if known and not any(1.0 / NEAR_MARKET <= fill.price / price <= NEAR_MARKET for price in known):
        return f"a fill at {fill.price:g} dollars, {known[0]:g} is known"
    return ""


# ---------------------------------------------------------------- what stands instead


def _positions(
    theirs: Mapping[str, BrokerPosition], held: Mapping[str, float], doubted: Collection[str]
) -> dict[str, BrokerPosition]:
    kept = {ticker: position for ticker, position in theirs.items() if ticker not in doubted}
    for ticker in doubted:
        if held.get(ticker, 0.0) != 0.0:
            shown = theirs.get(ticker)
            entry = shown.entry_price if shown is not None and 0.0 < shown.entry_price < HIGHEST_PRICE else 0.0
            kept[ticker] = BrokerPosition(ticker, held[ticker], entry, None)
    return kept


def _order(order: BrokerOrder, known: Mapping[str, JournalOrder], doubted: Collection[str]) -> BrokerOrder:
    """Return an order of a doubted ticker as our journal has it; one that it does not have, with nothing filled."""
    if order.ticker not in doubted:
        return order
    row = known.get(order.client_order_id)
    legs = tuple(_order(leg, known, doubted) for leg in order.legs)
    if row is None:
        quantity = order.quantity if 0.0 <= order.quantity < MOST_SHARES else 0.0
        return order._replace(quantity=quantity, filled_quantity=0.0, legs=legs)
    return order._replace(quantity=row.quantity, filled_quantity=row.filled_quantity, status=row.status, legs=legs)
