"""Stops while no database can be written: the one order that may leave without being written down first.

A position whose stop has ended (the leg of a day order, say) would stand bare until somebody makes room on a disk. A
stop can only reduce, and its id follows from position and session, with an attempt number that nothing else uses. So
whoever reads the account later knows what it is, and writes it down then (`runtime.restored`).

An entry may fill meanwhile, of which our book has not heard. What it has bought is put into the book of the last life,
which nobody saves: the next one reads the account again. What an entry has not bought in time is cancelled, as ever.
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
from trading_platform.brokers.venue import ENTRY_LIFE, RiskDoor
from trading_platform.core.fills import round_cents
from trading_platform.core.intents import read_order_id
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, BrokerPosition, Clock, JournalOrder, TradingCalendar
from trading_platform.core.types import ApprovedOrder, Denial, Fill, OrderIntent, OrderStatus, Side
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
    calendar, clock
        Sessions, and the time; its day in New York is in the ids.
    prefix
        Our client order ids begin so.
    """

    def __init__(
        self,
        broker: AlpacaBroker,
        door: RiskDoor,
        book: AccountBook,
        calendar: TradingCalendar,
        clock: Clock,
        prefix: str,
    ) -> None:
        self._broker, self._door, self._book, self._prefix = broker, door, book, prefix
        self._calendar, self._clock = calendar, clock
        self._now = clock.now()
        self._tries: Counter[str] = Counter()

    def keep(self) -> None:
        """Look at the account, and give a stop to what has none. What is too odd to judge is left alone.

        Raises
        ------
        TradingPlatformError
            The account cannot be read.
        """
        self._now = self._clock.now()
        holdings = self._broker.positions()
        at_work = self._bought(holdings)
        sold, covered = defaultdict[str, float](float), defaultdict[str, float](float)
        for order in self._broker.open_orders():
            if order.side is Side.SELL:
                left = order.quantity - order.filled_quantity
                sold[order.ticker] += left  # the owner's, too: they hold their shares
                covered[order.ticker] += left if order.client_order_id.startswith(self._prefix) else 0.0
        ours, prices = self._book.positions(), self._book.marks()
        for held in holdings:
            position = ours.get(held.ticker)
            if position is None or held.ticker in at_work or self._tries[held.ticker] >= TRIES:
                continue
            left = min(position.quantity - covered[held.ticker], held.quantity - sold[held.ticker])
            shares = int(left + SHARE_TOLERANCE)
            if shares >= 1 and is_plain(position, held, prices.get(held.ticker, 0.0)):
                self._protect(position, float(shares))

    def _bought(self, holdings: Sequence[BrokerPosition]) -> set[str]:
        """Book what entries have bought since the last look; return the tickers of those that are still at work."""
        at_work = set[str]()
        held = {position.ticker: position for position in holdings}
        for ticker, row in list(self._book.entries.buys.items()):
            order = self._broker.find_order(row.client_order_id)
            if order is None:
                continue
            if ticker in held:
                self._book_bought(row, order, held[ticker])
            if order.status.is_open:
                at_work.add(ticker)  # a stop would be refused beside it
                self._end(order)
        return at_work

    def _book_bought(self, row: JournalOrder, order: BrokerOrder, held: BrokerPosition) -> None:
        known = self._book.quantity(row.ticker) + self._book.manual.get(row.ticker, 0.0)
        shares = min(order.filled_quantity, held.quantity - known)
        price = order.filled_average_price or held.entry_price
        if not (shares > SHARE_TOLERANCE and price > 0.0):
            return
        amount, day, reason = round_cents(shares * price), session_of(self._now), OrderReason.ENTRY
        name, buys, strategy = row.client_order_id, Side.BUY, row.strategy
        self._book.book_fill(
            Fill(name, row.ticker, buys, shares, price, amount, 0.0, self._now, day, strategy, reason), row
        )
        log.warning("%s has bought %g %s while nothing could be written down", name, shares, row.ticker)

    def _end(self, order: BrokerOrder) -> None:
        """Cancel an entry whose time is over; the legs of one that has filled in part sleep as long as it works."""
        day = session_of(self._now)
        if self._calendar.is_session(day) and self._now >= self._calendar.open_at(day) + ENTRY_LIFE:
            self._broker.cancel_order(order.client_order_id)

    def _protect(self, position: OurPosition, shares: float) -> None:
        attempt = FIRST_ATTEMPT + self._tries[position.ticker]
        self._tries[position.ticker] += 1
        session = session_of(self._now)
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
