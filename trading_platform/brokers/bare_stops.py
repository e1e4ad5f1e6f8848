"""Stops while no database can be written: the one order that may leave without being written down first.

A position whose stop has ended (the leg of a day order, say) would stand bare until somebody makes room on a disk. A
stop can only reduce, and its id follows from position and session, with an attempt number that nothing else uses. So
whoever reads the account later knows what it is, and writes it down then (`runtime.restored`).
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence

from trading_platform.alpaca.orders import root_id
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.last_prices import split_doubt
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE, OurPosition
from trading_platform.brokers.venue import RiskDoor
from trading_platform.core.intents import read_order_id
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, BrokerPosition, Clock, JournalOrder
from trading_platform.core.types import ApprovedOrder, Denial, OrderIntent, OrderStatus, Side
from trading_platform.machine.clocks import session_of

log = logging.getLogger("trading_platform.bare_stops")

FIRST_ATTEMPT = 900
TRIES = 3  # a ticker: what is refused so often is refused


class BareStops:
    """Keeps a stop for every position of our book that has no sell of ours at the broker.

    Parameters
    ----------
    broker
        The account, over `NoJournal`.
    door
        `RiskManager`: a reduction passes it always, and needs no database.
    book
        Our book, as the last look left it.
    clock
        Time; its day in New York is in the ids.
    prefix
        Our client order ids begin so.
    """

    def __init__(self, broker: AlpacaBroker, door: RiskDoor, book: AccountBook, clock: Clock, prefix: str) -> None:
        self._broker, self._door, self._book, self._clock, self._prefix = broker, door, book, clock, prefix
        self._tries: Counter[str] = Counter()

    def keep(self) -> None:
        """Look at the account, and give a stop to what has none. What is too odd to judge is left alone.

        Raises
        ------
        TradingPlatformError
            The account cannot be read.
        """
        sold, covered = defaultdict[str, float](float), defaultdict[str, float](float)
        for order in self._broker.open_orders():
            if order.side is Side.SELL:
                left = order.quantity - order.filled_quantity
                sold[order.ticker] += left  # the owner's, too: they hold their shares
                covered[order.ticker] += left if order.client_order_id.startswith(self._prefix) else 0.0
        ours, prices = self._book.positions(), self._book.marks()
        for held in self._broker.positions():
            position = ours.get(held.ticker)
            if position is None or self._tries[held.ticker] >= TRIES:
                continue
            left = min(position.quantity - covered[held.ticker], held.quantity - sold[held.ticker])
            shares = int(left + SHARE_TOLERANCE)
            if shares >= 1 and is_plain(position, held, prices.get(held.ticker, 0.0)):
                self._protect(position, float(shares))

    def _protect(self, position: OurPosition, shares: float) -> None:
        attempt = FIRST_ATTEMPT + self._tries[position.ticker]
        self._tries[position.ticker] += 1
        session = session_of(self._clock.now())
        intent = OrderIntent(
            position.ticker,
            Side.SELL,
            shares,
            None,
            position.stop_price,
            None,
            position.strategy,
            OrderReason.STOP_LOSS,
            0.0,
            session,
        )
        self._door.mirror(self._book.record, self._book.slots, self._book.lots, self._book.book.stopped)
        verdict = self._door.approve(intent, attempt)
        if isinstance(verdict, Denial):
            log.warning("%s has no stop: %s", position.ticker, verdict.message)
            return
        answer = self._broker.place_order(verdict)
        said = f"{answer.status} {answer.message}".strip()
        log.warning("%s had no stop; one for %g shares is sent without a database: %s", position.ticker, shares, said)


def is_plain(position: OurPosition, held: BrokerPosition, mark: float) -> bool:
    """Return whether a stop makes sense: whole shares, a level below the price, and no split between the books."""
    stop, price = position.stop_price, held.price
    if stop is None or price is None or position.quantity != int(position.quantity):
        return False
    return stop < price and held.quantity >= position.quantity and not split_doubt(price, mark)


def is_bare_stop(client_order_id: str) -> bool:
    """Return True if an id is one of those that leave without being written down."""
    name = read_order_id(root_id(client_order_id))
    return name is not None and name.reason is OrderReason.STOP_LOSS and name.attempt >= FIRST_ATTEMPT


class NoJournal:
    """What `AlpacaBroker` writes to where nothing can be written; implements `core.ports.OrderJournal`."""

    def record_intent(self, order: ApprovedOrder) -> None:
        """Write nothing down."""

    def record_order(self, order: BrokerOrder) -> None:
        """Write nothing down."""

    def close(self, client_order_id: str, status: OrderStatus, message: str) -> None:
        """Write nothing down."""

    def find_order(self, client_order_id: str) -> JournalOrder | None:
        """Return nothing."""
        return None

    def find_broker_order(self, broker_order_id: str) -> JournalOrder | None:
        """Return nothing."""
        return None

    def open_orders(self) -> Sequence[JournalOrder]:
        """Return nothing."""
        return ()
