"""Looks at an account: both books compared, what makes no sense asked for again, another engine noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime

from trading_platform.alpaca.failures import AlpacaRefusalError
from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.eve_events import EveOfExDates
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.bookkeeper import AccountLook
from trading_platform.brokers.reconciliation.owner_shares import carve_out
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.brokers.reconciliation.second_engine import SecondEngine
from trading_platform.brokers.reconciliation.sense import NO_DOUBTS, Doubts, believed, doubts_of
from trading_platform.brokers.reconciliation.two_books import OurBook, TheirBook
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.ports import Clock, OrderJournal

ASKED = 2  # times, before an answer that makes no sense is left aside


class AccountLooks:
    """Looks at the account; changes nothing.

    Parameters
    ----------
    broker, journal, book
        The account; the durable record of our orders; our book.
    eve
        What is wanted on the eve of an ex-date.
    clock
        The time.
    prefix
        Our client order ids begin so.

    Attributes
    ----------
    at
        When the account was last read, None before.
    doubts
        What of the last answer was not believed.
    rival
        Another engine on the account. rivalry : why that keeps new risk out, None if it does not.
    """

    def __init__(
        self,
        broker: AlpacaBroker,
        journal: OrderJournal,
        book: AccountBook,
        eve: EveOfExDates,
        clock: Clock,
        prefix: str,
    ) -> None:
        self._broker = broker
        self._journal = journal
        self._book = book
        self._eve = eve
        self._clock = clock
        self._prefix = prefix
        self.rival = SecondEngine(lambda: broker.reader.own_orders(prefix), journal.find_order, prefix, clock.now)
        self.rivalry: str | None = None
        self.doubts: Doubts = NO_DOUBTS
        self.at: datetime | None = None

    def take(self, memory: Memory, session: date | None) -> AccountLook:
        """Read the broker's side since what `memory` has, and compare; `session` is the last one settled, if any.

        Raises
        ------
        BrokerUnreachableError
            The account could not be read.
        """
        ours, cash = self._book.positions(), float(self._book.record["cash"])
        held = {ticker: position.quantity for ticker, position in ours.items()}
        orders = {row.client_order_id: row for row in self._journal.open_orders()}
        wanted, known = self._eve.wanted(ours, session), frozenset(self._book.tickers)
        mine = OurBook(cash, wanted, orders, frozenset(memory.booked), known)
        carved = carve_out(
            self._believed(mine, held, memory.since), self._book.manual, held, memory.booked, self._book.undoable()
        )
        mine = replace(mine, cash=cash + carved.cash)
        now = self._clock.now()
        result = reconcile(mine, carved.theirs, now, self._prefix, memory.previous)
        self.at = now
        return AccountLook(result, carved)

    def _believed(self, mine: OurBook, held: Mapping[str, float], since: datetime) -> TheirBook:
        """Return the broker's side as far as it makes sense; what does not is asked for again first."""
        try:
            for _ in range(ASKED):
                theirs = self._broker.book_since(since)
                self.doubts = doubts_of(theirs, mine, self._book.marks())
                if not self.doubts.any:
                    break
        except AlpacaRefusalError as error:
            raise BrokerUnreachableError(f"Alpaca refuses to show the account: {error}") from error
        self.rivalry = self.rival.look(theirs.orders, self._broker.strange_orders)
        both = {ticker: held.get(ticker, 0.0) + self._book.manual.get(ticker, 0.0) for ticker in self.doubts.tickers}
        return believed(theirs, mine, both, self.doubts)
