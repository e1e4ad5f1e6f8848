"""What is asked of the broker after a look at the account: cancellations, the exits that wait, stops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import date

from trading_platform.brokers.alpaca_broker import AlpacaBroker
from trading_platform.brokers.exit_keeper import ExitKeeper
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.bookkeeper import AccountLook
from trading_platform.brokers.reconciliation.differences import DifferenceKind
from trading_platform.brokers.reconciliation.protection import is_whole
from trading_platform.brokers.reconciliation.second_engine import SecondEngine
from trading_platform.brokers.reconciliation.two_books import CancelOrder, Protect
from trading_platform.brokers.stop_keeper import Moment, StopKeeper
from trading_platform.brokers.venue import ENTRY_LIFE, Refuser, RiskDoor
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.ports import Clock, DifferenceRow, JournalOrder, OrderJournal, TradingCalendar
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import Side
from trading_platform.machine.clocks import session_of

log = logging.getLogger("trading_platform.venue")


class AccountRequests:
    """Asks the broker for what a look calls for, and knows what it was refused.

    Parameters
    ----------
    broker, journal, book
        The account; the durable record of our orders; our book.
    door
        Knows whether an operator has halted the account.
    stops
        Places and watches stops.
    rival
        Another engine, whose orders are left alone.
    calendar, clock
        Sessions, and the time.
    match_orders
        Brings the book's pending orders to what the journal has open.
    refuses
        Tells which entries operators want no more.

    Attributes
    ----------
    idle
        Our orders at the broker whose sells cannot trade now, as the last look found (`protection.idle_roots`).
    awaited
        Tickers of which executions are awaited, as the last look found.
    doubted
        Tickers of which the last look did not believe what it was told.
    """

    def __init__(
        self,
        broker: AlpacaBroker,
        journal: OrderJournal,
        book: AccountBook,
        door: RiskDoor,
        stops: StopKeeper,
        rival: SecondEngine,
        calendar: TradingCalendar,
        clock: Clock,
        match_orders: Callable[[], None],
        refuses: Refuser,
    ) -> None:
        self._broker = broker
        self._journal = journal
        self._book = book
        self._door = door
        self._stops = stops
        self._rival = rival
        self._calendar = calendar
        self._clock = clock
        self._match_orders = match_orders
        self._refuses = refuses
        self._bare: dict[str, str] = {}  # ticker -> why its position has no stop
        self.idle: Collection[str] = ()
        self.awaited: Collection[str] = ()
        self.doubted: Collection[str] = ()

    def cancel(self, client_order_ids: Iterable[str]) -> None:
        """Cancel orders of ours; what the broker does not answer is asked for again by whoever asked."""
        for client_order_id in client_order_ids:
            try:
                self._broker.cancel_order(client_order_id)
            except BrokerUnreachableError as error:  # the next look cancels again
                log.warning("cancel %s: %s", client_order_id, error)

    def carry_out(self, reading: AccountLook, session: date, exits: ExitKeeper) -> bool:
        """Do what the reading asks for: cancel, send the exits that wait, protect, and look after the stops that the
        broker does not hold. Return True if the account should be looked at once more.
        """
        self._bare = {}
        is_open = self.is_open()
        cancels = [action for action in reading.result.actions if isinstance(action, CancelOrder)]
        cancels += self._not_wanted(is_open=is_open)
        for cancel in cancels:
            self._ask(cancel, session)
        is_decided = self._clock.now() < self._calendar.open_at(self._calendar.next_session(session))
        # Between a close and its settlement exits are about to be decided anew.
        sent = exits.try_again(session, is_open=is_open) if is_open or is_decided else frozenset()
        if sent:
            self._match_orders()
        for action in reading.result.actions:
            if isinstance(action, Protect) and action.ticker not in sent:  # what is left of it: at the next reading
                self._ask(action, session)
        if is_open:
            self._match_orders()  # shares that a refused stop was to sell may be sold
            self._bare |= self._stops.watch(self.moment(session))
        return bool(cancels or sent)

    def cover_again(self, ticker: str, session: date) -> None:
        """Set the stop of a position anew that was given up for an exit, which was refused."""
        position = self._book.positions().get(ticker)
        if position is None or position.stop_price is None or not is_whole(position.quantity):
            return
        if ticker in self.awaited:  # nobody knows what there is to protect
            return
        self._match_orders()  # the shares of the refused order are free again
        self._ask(Protect(ticker, float(round(position.quantity)), position.stop_price, position.target_price), session)

    def bare_rows(self) -> list[DifferenceRow]:
        """Return a line for every position whose stop neither rests at the broker nor can be watched now."""
        bare = self._stops.uncovered(self.idle)
        rows = []
        for ticker, why in sorted(self._bare.items()):
            if ticker in bare:
                ours = f"{bare[ticker].quantity:g} shares, stop {bare[ticker].stop_price}"
                theirs, action = f"no stop that can trade: {why}", "tried again at every look"
                rows.append(DifferenceRow(DifferenceKind.NO_COVER.value, ticker, ours, theirs, action, stands=True))
        return rows

    def moment(self, session: date) -> Moment:
        """Return what a look at the stops has to know, `session` being the last one settled."""
        now = self._clock.now()
        return Moment(session, self._calendar.open_at(session_of(now)), now, self.idle)

    def is_open(self) -> bool:
        """Return True while the exchange is open."""
        now = self._clock.now()
        day = session_of(now)
        is_session = self._calendar.is_session(day)
        return is_session and self._calendar.open_at(day) <= now < self._calendar.close_at(day)

    def _ask(self, action: CancelOrder | Protect, session: date) -> None:
        """Ask the broker for something; what it does not answer is asked for again at the next look."""
        try:
            match action:
                case CancelOrder(client_order_id) if not self._rival.is_anothers(client_order_id):
                    self._broker.cancel_order(client_order_id)
                case Protect(ticker, quantity, stop, target):
                    self._note_bare(ticker, self._stops.protect(ticker, quantity, stop, target, session))
        except BrokerUnreachableError as error:
            log.warning("%s: %s", type(action).__name__, error)

    def _not_wanted(self, *, is_open: bool) -> list[CancelOrder]:
        """Return the entries at the broker that shall buy no more: an operator has halted the account, closes the
        ticker or has paused all strategies that it is for, or their time is over (`ENTRY_LIFE`).

        One that has filled, and of which history does not tell yet, or tells what is not believed, is over already:
        what works of it are its stops.
        """
        now = self._clock.now()
        is_halted = self._door.can_trade()[1].startswith(DenialCode.MANUAL_HALT)
        is_over = is_open and now >= self._calendar.open_at(session_of(now)) + ENTRY_LIFE
        unclear = {*self.awaited, *self.doubted}
        return [
            CancelOrder(row.client_order_id)
            for row in self._journal.open_orders()
            if row.side is Side.BUY and row.broker_order_id is not None and row.ticker not in unclear
            if is_halted or is_over or self._refuses(row.ticker, _strategies_of(row))
        ]

    def _note_bare(self, ticker: str, why: str) -> None:
        if why:
            self._bare[ticker] = why


def _strategies_of(row: JournalOrder) -> frozenset[str]:
    """Return the strategies that an entry buys for."""
    return frozenset(part.strategy for part in row.parts if part.quantity > 0.0) or frozenset({row.strategy})
