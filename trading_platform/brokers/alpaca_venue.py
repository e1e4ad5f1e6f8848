"""An account at Alpaca as the engine's venue: our book in the kernel's records, kept equal to the broker's.

Every look at the account is one `reconcile`: what the history explains is booked, orders are brought up to date, what
nothing explains keeps new risk out (`RiskManager.quarantine`), and wishes to the broker (cancel, protect) are carried
out. The book is saved with the engine's commit. After a crash the history since is read again and booked by its ids:
nothing is lost, nothing counts twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Protocol

from trading_platform.alpaca.failures import AlpacaRefusalError
from trading_platform.brokers.alpaca_broker import PREFIX, AlpacaBroker, own_answer
from trading_platform.brokers.paper import PendingOrder
from trading_platform.brokers.reconciliation.account_book import AccountBook, Opens
from trading_platform.brokers.reconciliation.bookkeeper import Bookkeeper, Journal, Reading
from trading_platform.brokers.reconciliation.difference_words import cash_words, difference_rows, reasons_of
from trading_platform.brokers.reconciliation.owner_shares import carve_out
from trading_platform.brokers.reconciliation.pending_entries import is_protective
from trading_platform.brokers.reconciliation.reconcile import reconcile
from trading_platform.brokers.reconciliation.saved_account import Memory, load, save
from trading_platform.brokers.reconciliation.sense import NO_DOUBTS, believed, doubts_of
from trading_platform.brokers.reconciliation.two_books import Action, CancelOrder, OurBook, Protect, TheirBook
from trading_platform.brokers.stop_keeper import Prices, StopKeeper
from trading_platform.brokers.venue import RiskGate
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import CLOSE, OPEN, Market
from trading_platform.core.plan import Book
from trading_platform.core.ports import (
    BrokerOrder,
    Checkpoint,
    Clock,
    DifferenceRow,
    JournalOrder,
    SavedBook,
    TradingCalendar,
    no_checkpoint,
)
from trading_platform.core.types import (
    ApprovedOrder,
    Ints,
    OrderIntent,
    OrderStatus,
    Settlement,
    Side,
)
from trading_platform.machine.clocks import session_of

log = logging.getLogger("trading_platform.venue")

ASKED = 2  # times, before an answer that makes no sense is left aside
LOOKS = 3  # at the account in one go, where what was found made us change something


class Differences(Protocol):
    """Where differences are shown from."""

    def note(self, found: Iterable[DifferenceRow], session: date, now: datetime) -> None:
        """Write down what a reading found."""
        ...


class AlpacaVenue:
    """An account at Alpaca.

    Parameters
    ----------
    broker, journal, differences
        The account; the durable record of our orders; where differences are written.
    gate
        `RiskManager`.
    book
        Our book.
    memory
        Where the account's history begins for us.
    calendar, clock
        Sessions, and the time.
    prices
        Latest prices, for stops that Alpaca does not hold.
    prefix
        Our client order ids begin so.
    checkpoint
        Called with the name of each step: ``after_fill`` (history is booked), ``before_book`` (before the commit).
    compare_clocks
        Returns why this machine's time cannot be trusted, or None (`SkewGuard.compare`). Asked at each settlement, at
        the first look of each day, and at every look while it cannot; meanwhile there is no new risk.
    """

    def __init__(
        self,
        broker: AlpacaBroker,
        journal: Journal,
        differences: Differences,
        gate: RiskGate,
        book: AccountBook,
        memory: Memory,
        calendar: TradingCalendar,
        clock: Clock,
        prices: Prices,
        prefix: str = PREFIX,
        checkpoint: Checkpoint = no_checkpoint,
        compare_clocks: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._compare_clocks = compare_clocks
        self._compared: date | None = None
        self._clock_trouble: str | None = None
        self._broker = broker
        self._journal = journal
        self._differences = differences
        self._gate = gate
        self._book = book
        self._calendar = calendar
        self._clock = clock
        self._prefix = prefix
        self._checkpoint = checkpoint
        self._keeper = Bookkeeper(book, journal, memory, clock, checkpoint)
        self._stops = StopKeeper(book, gate, journal, self.place_order, prices)
        self._session: date | None = None
        self._told: list[DifferenceRow] = []
        self._doubts = NO_DOUBTS
        self.reconciled_at: datetime | None = None

    # ------------------------------------------------------------ the book

    @property
    def record(self) -> Record:
        """The account record (`core.ledger.ACCOUNT`)."""
        return self._book.record

    @property
    def slots(self) -> Records:
        """Positions and pending entries, (S,) of `core.ledger.SLOT`."""
        return self._book.slots

    @property
    def lots(self) -> Records:
        """The strategies' parts of them, (S, K) of `core.ledger.LOT`."""
        return self._book.lots

    @property
    def stopped(self) -> Ints:
        """(N,) days on which tickers were last stopped out."""
        return self._book.book.stopped

    @property
    def book(self) -> Book:
        """All of it in the kernel's form. Decisions are staged in it; orders say what of them leaves."""
        return self._book.book

    def snapshot(self, session: date) -> SavedBook:
        """Return the book as it stands, `session` being the last one settled."""
        self._checkpoint("before_book")
        return save(self._book, self._keeper.memory, session)

    def restore(self, saved: SavedBook, open_orders: Sequence[PendingOrder] = ()) -> None:
        """Continue from a saved book; the next look tells what became of orders since, whatever was known then."""
        self._keeper.memory = load(self._book, saved)
        self._session = saved.session

    # ------------------------------------------------------------ orders

    def place_order(self, order: ApprovedOrder) -> BrokerOrder:
        """Send an approved order; one whose fate is unclear stays in the book until a reading tells."""
        intent = order.intent
        known = self._journal.find_order(order.client_order_id)
        if known is not None and not _is_same(known, intent):
            words = f"decided again as {intent.side} {intent.quantity:g}; the first decision stands"
            log.warning("order %s: %s", order.client_order_id, words)
            return own_answer(order, OrderStatus.REJECTED, words)
        if intent.side is Side.BUY:
            if intent.limit_price is None:
                raise ValueError(f"entry {order.client_order_id} has no limit price: its worst cost is unknown")
            self._book.entries.stage(row_of(order))
        elif not is_protective(intent.reason, row_of(order)):
            self._book.entries.stage(row_of(order))
        try:
            answer = self._broker.place_order(order)
        except BrokerUnreachableError as error:
            answer = own_answer(order, OrderStatus.UNCERTAIN, str(error))
        is_fine = answer.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)
        log.log(
            logging.INFO if is_fine else logging.WARNING, "order %s: %s %g %s: %s %s",
            order.client_order_id, intent.side, intent.quantity, intent.ticker, answer.status, answer.message,
        )  # fmt: skip
        if intent.side is Side.BUY and not answer.status.is_open and answer.filled_quantity == 0.0:
            self._match_orders()
        return answer

    # ------------------------------------------------------------ looking

    def settle(self, market: Market, t: int, session: date, opened: datetime, closed: datetime) -> Settlement:
        """Book what happened up to the close of session `t`, mark at it, and return all that is new.

        Raises
        ------
        BrokerUnreachableError
            The account could not be read; nothing has changed.
        """
        self._check_clocks()
        reading = self._read()
        self._take_in(reading, closed, is_watch=False)
        self._book.rebook(Opens(session, opened, market.bars[:, t, OPEN]))
        self._match_orders()
        equity = self._book.close_session(session, market.bars[:, t, CLOSE])
        news, flows = self._book.take_news()
        self._session = session
        self._keeper.forget(closed)
        return Settlement(equity, news.fills, {}, {}, flows)

    def watch(self, now: datetime) -> bool:
        """Look at the account: book news, do what reconciliation asks for. Return True if the book has changed.

        An account that cannot be read takes no new risk until it can.
        """
        if self._session is None:
            return False
        try:
            if self._clock_trouble is not None or self._compared != session_of(now):
                self._check_clocks()
            changed = self._look(self._session)
        except BrokerUnreachableError as error:
            log.warning("the account cannot be read, no new risk until it can: %s", error)
            self._gate.quarantine({}, f"the account cannot be read: {error}")
            return False
        self._gate.mirror(*self._parts())
        return changed

    def _look(self, session: date) -> bool:
        """Look at the account, and once more when stops were cancelled, so that others take their place at once."""
        horizon = self._calendar.close_at(self._calendar.next_session(session))
        changed = False
        for _ in range(LOOKS):
            reading = self._read()
            changed |= self._take_in(reading, horizon, is_watch=True)
            self._carry_out(reading.result.actions, session)
            if not any(isinstance(action, CancelOrder) for action in reading.result.actions):
                break
        return changed

    def _parts(self) -> tuple[Record, Records, Records, Ints]:
        return self.record, self.slots, self.lots, self.stopped

    # ------------------------------------------------------------ one reading

    def _check_clocks(self) -> None:
        self._clock_trouble = self._compare_clocks()
        self._compared = session_of(self._clock.now())

    def _read(self) -> Reading:
        """Read the broker's side and compare. Changes nothing."""
        memory = self._keeper.memory
        ours, cash = self._book.positions(), float(self._book.record["cash"])
        held = {ticker: position.quantity for ticker, position in ours.items()}
        orders = {row.client_order_id: row for row in self._journal.open_orders()}
        mine = OurBook(cash, ours, orders, frozenset(memory.booked))
        carved = carve_out(self._believed(mine, held), self._book.manual, held, memory.booked)
        mine = replace(mine, cash=cash + carved.cash)
        now = self._clock.now()
        result = reconcile(mine, carved.theirs, now, self._prefix, memory.previous)
        self.reconciled_at = now
        return Reading(result, carved)

    def _believed(self, mine: OurBook, held: Mapping[str, float]) -> TheirBook:
        """Return the broker's side as far as it makes sense; what does not is asked for again first."""
        try:
            for _ in range(ASKED):
                theirs = self._broker.book_since(self._keeper.memory.since)
                self._doubts = doubts_of(theirs, mine, self._book.marks())
                if not self._doubts.any:
                    break
        except AlpacaRefusalError as error:
            raise BrokerUnreachableError(f"Alpaca refuses to show the account: {error}") from error
        both = {ticker: held.get(ticker, 0.0) + self._book.manual.get(ticker, 0.0) for ticker in self._doubts.tickers}
        return believed(theirs, mine, both, self._doubts)

    def _take_in(self, reading: Reading, horizon: datetime, *, is_watch: bool) -> bool:
        """Book a reading up to `horizon`, tell the risk manager, and return True if the book has changed."""
        changed = self._keeper.take_in(reading, horizon, is_watch=is_watch)
        self._match_orders()
        self._tell(reading)
        return changed

    def _match_orders(self) -> None:
        """Let pending entries and waiting exits be those that the journal has open.

        An intent that the broker does not have is none: decided again, it goes out under the same id.
        """
        entries, exits, selling = dict[str, JournalOrder](), list[JournalOrder](), dict[str, float]()
        for row in self._journal.open_orders():
            if row.status is OrderStatus.INTENT and row.broker_order_id is None:
                continue
            left = row.quantity - row.filled_quantity
            if row.side is Side.BUY:
                entries[row.ticker] = row
            elif not is_protective(row.reason, row):
                exits.append(row)
                selling[row.ticker] = selling.get(row.ticker, 0.0) + left
        self._book.entries.match(entries, exits)
        self._gate.show_selling(selling)

    def _tell(self, reading: Reading) -> None:
        """Tell risk manager and operators what is unexplained."""
        found = [*reading.result.differences, *reading.carved.differences(), *self._doubts.differences()]
        quarantine = {*reading.result.quarantine, *reading.carved.manual, *self._doubts.tickers}
        self._gate.quarantine(reasons_of(found, quarantine), self._clock_trouble or cash_words(found))
        told, now = difference_rows(found, quarantine), self._clock.now()
        self._differences.note(told, self._session or now.date(), now)
        for row in told:
            if row not in self._told:
                words = row.kind, row.ticker, row.ours, row.theirs, row.action
                log.warning("%s %s: ours %s, the broker's %s; %s", *words)
        self._told = told

    # ------------------------------------------------------------ wishes

    def _carry_out(self, actions: Sequence[Action], session: date) -> None:
        """Cancel and protect as reconciliation asks, and look after the stops that the broker does not hold."""
        for action in actions:
            try:
                match action:
                    case CancelOrder(client_order_id):
                        self._broker.cancel_order(client_order_id)
                    case Protect(ticker, quantity, stop, target):
                        self._stops.protect(ticker, quantity, stop, target, session)
            except BrokerUnreachableError as error:  # asked for again at the next look
                log.warning("%s: %s", type(action).__name__, error)
        if self._is_open():
            self._match_orders()  # shares that a refused stop was to sell may be sold
            self._stops.watch(session)

    def _is_open(self) -> bool:
        now = self._clock.now()
        day = session_of(now)
        is_session = self._calendar.is_session(day)
        return is_session and self._calendar.open_at(day) <= now < self._calendar.close_at(day)


def _is_same(known: JournalOrder, intent: OrderIntent) -> bool:
    return (known.ticker, known.side, known.quantity) == (intent.ticker, intent.side, intent.quantity)


def row_of(order: ApprovedOrder) -> JournalOrder:
    """Return an order as the journal has it before it is sent."""
    intent = order.intent
    return JournalOrder(
        order.client_order_id, None, intent.ticker, intent.side, intent.quantity, 0.0, OrderStatus.INTENT,
        intent.strategy, intent.reason, order.approved_at, intent.stop_price, intent.target_price, intent.limit_price,
        intent.parts,
    )  # fmt: skip
