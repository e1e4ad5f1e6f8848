"""An account at Alpaca as the engine's venue: our book in the kernel's records, kept equal to the broker's.

Every look at the account is one `reconcile`: what the history explains is booked, orders are brought up to date, what
nothing explains keeps new risk out (`RiskManager.quarantine`), and wishes to the broker (cancel, protect) are carried
out. The book is saved with the engine's commit. After a crash the history since is read again and booked by its ids:
nothing is lost, nothing counts twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Protocol

from trading_platform.brokers.account_looks import AccountLooks
from trading_platform.brokers.account_requests import AccountRequests
from trading_platform.brokers.alpaca_broker import PREFIX, AlpacaBroker, own_answer
from trading_platform.brokers.eve_events import EveOfExDates, ExDateSource
from trading_platform.brokers.exit_keeper import ExitKeeper
from trading_platform.brokers.last_prices import Prices
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.bookkeeper import AccountLook, Bookkeeper, Journal
from trading_platform.brokers.reconciliation.difference_words import (
    cash_words,
    difference_rows,
    reasons_of,
    too_much_words,
)
from trading_platform.brokers.reconciliation.differences import NEEDS_CONFIRMATION, Difference
from trading_platform.brokers.reconciliation.executions import Opens
from trading_platform.brokers.reconciliation.lacking_stops import LackingStops
from trading_platform.brokers.reconciliation.pending_entries import is_protective
from trading_platform.brokers.reconciliation.protection import idle_roots
from trading_platform.brokers.reconciliation.saved_account import Memory, load, save
from trading_platform.brokers.reconciliation.two_books import (
    PostExchange,
    PostShares,
    PostUndone,
)
from trading_platform.brokers.stop_keeper import StopKeeper
from trading_platform.brokers.venue import HISTORY_PATIENCE, PendingOrder, Refuser, RiskDoor, refuses_nothing, row_of
from trading_platform.core.alert_states import AlertKind, AlertState
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
    Denial,
    Ints,
    OrderIntent,
    OrderStatus,
    Settlement,
    Side,
)
from trading_platform.machine.clocks import session_of

log = logging.getLogger("trading_platform.venue")

LOOKS = 3  # at the account in one go, where what was found made us change something
SOONEST_LOOK = timedelta(seconds=20)  # after the last one, where a glance asks for one


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
    door
        `RiskManager`.
    book
        Our book.
    memory
        Where the account's history begins for us.
    calendar, clock
        Sessions, and the time.
    prices
        Last trades, for stops that Alpaca does not hold.
    prefix
        Our client order ids begin so.
    checkpoint
        Called with the name of each step: ``after_fill`` (history is booked), ``before_book`` (before the commit).
    compare_clocks
        Returns why this machine's time cannot be trusted, or None (`SkewGuard.compare`). Asked at each settlement, at
        the first look of each day, where the exchange has opened or closed since the last one, and at every look while
        it cannot; meanwhile there is no new risk, and nothing is done for an evening that may be none.
    ex_dates
        Who tells corporate actions, which orders of the eve follow; None: nobody.
    refuses
        Tells which entries operators want no more; those that wait at the broker are withdrawn.
    """

    def __init__(
        self,
        broker: AlpacaBroker,
        journal: Journal,
        differences: Differences,
        door: RiskDoor,
        book: AccountBook,
        memory: Memory,
        calendar: TradingCalendar,
        clock: Clock,
        prices: Prices,
        prefix: str = PREFIX,
        checkpoint: Checkpoint = no_checkpoint,
        compare_clocks: Callable[[], str | None] = lambda: None,
        ex_dates: ExDateSource | None = None,
        refuses: Refuser = refuses_nothing,
    ) -> None:
        self._compare_clocks = compare_clocks
        self._compared: tuple[date, bool] | None = None
        self._clock_trouble: str | None = None
        self._clock_since: datetime | None = None
        self._broker = broker
        self._journal = journal
        self._differences = differences
        self._door = door
        self._book = book
        self._calendar = calendar
        self._clock = clock
        self._prefix = prefix
        self._checkpoint = checkpoint
        self._keeper = Bookkeeper(book, journal, memory, clock, checkpoint)
        self._eve = EveOfExDates(ex_dates, book, self._keeper, calendar)
        believed = self._eve.priced(prices, lambda: self._session)
        self._stops = StopKeeper(book, door, journal, self.place_order, believed)
        self._looks = AccountLooks(broker, journal, book, self._eve, clock, prefix)
        self._requests = AccountRequests(
            broker, journal, book, door, self._stops, self._looks.rival, calendar, clock, self._match_orders, refuses
        )
        self._exits = ExitKeeper(book, door, journal, broker, self._place, self._requests.cover_again, calendar)
        self._session: date | None = None
        self._told: list[DifferenceRow] = []
        self._lacking = LackingStops()

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

    @property
    def account_book(self) -> AccountBook:
        """The book itself, with the evening of the last settlement, for those who compare."""
        return self._book

    @property
    def reconciled_at(self) -> datetime | None:
        """When the account was last read, None before."""
        return self._looks.at

    def snapshot(self, session: date) -> SavedBook:
        """Return the book as it stands, `session` being the last one settled."""
        self._checkpoint("before_book")
        memory = replace(self._keeper.memory, waits=self._exits.waits, lacking=self._lacking.since)
        return save(self._book, memory, session)

    def restore(self, saved: SavedBook, open_orders: Sequence[PendingOrder] = ()) -> None:
        """Continue from a saved book; the next look tells what became of orders since, whatever was known then."""
        self._keeper.memory = load(self._book, saved)
        self._exits.waits = dict(self._keeper.memory.waits)
        self._lacking.remember(self._keeper.memory.lacking)
        self._session = saved.session

    # ------------------------------------------------------------ orders

    def place_order(self, order: ApprovedOrder) -> BrokerOrder:
        """Send an approved order; one whose fate is unclear stays in the book until a reading tells.

        An exit that cannot leave yet is answered as an intent: it waits, and every look tries it again. An entry on the
        eve of an ex-date is sent on the terms that are right after it, which are approved anew, as what was decided.

        Raises
        ------
        ValueError
            An entry without a limit price.
        """
        terms = self._eve.terms(order.intent)
        if isinstance(terms, str):
            self._door.consume(order)
            return self._withdraw(order, terms)
        if terms != order.intent:
            verdict = self._door.approve(terms, int(order.client_order_id.rpartition("-")[2]), order.intent)
            if isinstance(verdict, Denial):
                return self._withdraw(order, verdict.message)
            order = verdict
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
            return self._exits.leave(order)
        return self._place(order)

    def _place(self, order: ApprovedOrder) -> BrokerOrder:
        intent = order.intent
        try:
            answer = self._broker.place_order(order)
        except BrokerUnreachableError as error:
            answer = own_answer(order, OrderStatus.UNCERTAIN, str(error))
        is_fine = answer.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)
        log.log(
            logging.INFO if is_fine else logging.WARNING,
            "order %s: %s %g %s: %s %s",
            order.client_order_id,
            intent.side,
            intent.quantity,
            intent.ticker,
            answer.status,
            answer.message,
        )
        if intent.side is Side.BUY and not answer.status.is_open and answer.filled_quantity == 0.0:
            self._match_orders()
        return answer

    def _withdraw(self, order: ApprovedOrder, why: str) -> BrokerOrder:
        """Write an entry down that is not sent.

        It keeps its place and its money until the next look, so that the rest of the evening is decided as in a replay,
        where it is withdrawn at the open.
        """
        answer = own_answer(order, OrderStatus.REJECTED, f"withdrawn: {why}")
        self._journal.record_intent(order)
        self._journal.record_order(answer)
        log.warning("order %s: %s", order.client_order_id, answer.message)
        return answer

    # ------------------------------------------------------------ looking

    def settle(self, market: Market, t: int, session: date, opened: datetime, closed: datetime) -> Settlement:
        """Book what happened up to the close of session `t`, mark at it, and return all that is new.

        Raises
        ------
        BrokerUnreachableError
            The account could not be read, or its history lacks executions that orders tell of and that may still come
            (`HISTORY_PATIENCE`); nothing has changed.
        """
        self._check_clocks()
        reading = self._looks.take(self._keeper.memory, self._session)
        self._wait_for_history(reading, closed)
        self._take_in(reading, closed, is_watch=False)
        self._tell(reading)
        self._eve.close(session)
        self._book.rebook(Opens(session, opened, market.bars[:, t, OPEN]))
        self._match_orders()
        equity = self._book.close_session(session, market.bars[:, t, CLOSE])
        news, flows = self._book.take_news()
        self._session = session
        self._keeper.forget(closed)
        self._eve.ask(self._clock.now(), at_once=True)
        return Settlement(equity, news.fills, {}, flows)

    def _wait_for_history(self, reading: AccountLook, closed: datetime) -> None:
        """Refuse to settle a session whose executions are not all told, while there is time to wait for them."""
        awaited = reading.awaited
        if awaited and self._clock.now() < closed + HISTORY_PATIENCE:
            raise BrokerUnreachableError(
                f"the account's history has no entry yet of what orders have traded in {', '.join(sorted(awaited))}; "
                f"it is waited for until {closed + HISTORY_PATIENCE:%H:%M} UTC"
            )

    def watch(self, now: datetime) -> bool:
        """Look at the account: book news, do what reconciliation asks for. Return True if the book has changed.

        An account that cannot be read takes no new risk until it can.
        """
        if self._session is None:
            return False
        try:
            if self._clock_trouble is not None or self._compared != (session_of(now), self._requests.is_open()):
                self._check_clocks()
            before = self._keeper.memory
            if self._clock_trouble is None:
                self._requests.cancel(self._eve.follow(now, self._session, self._journal.open_orders()))
            has_followed = self._keeper.memory is not before
            changed = self._look(self._session) or has_followed
        except BrokerUnreachableError as error:
            log.warning("the account cannot be read, no new risk until it can: %s", error)
            self._door.quarantine({}, f"the account cannot be read: {error}")
            return False
        self._door.mirror(*self._parts())
        return changed

    def _look(self, session: date) -> bool:
        """Look at the account, and once more when stops were cancelled or shares changed: others take their place.

        Return True if there is something to save.
        """
        horizon = self._calendar.close_at(self._calendar.next_session(session))
        changed, waited, lacked = False, self._exits.waits, self._lacking.since
        before = self._keeper.memory.previous  # what is unexplained is confirmed by another look, not by this one
        for _ in range(LOOKS):
            self._keeper.memory = replace(self._keeper.memory, previous=before)
            reading = self._looks.take(self._keeper.memory, self._session)
            changed |= self._take_in(reading, horizon, is_watch=True)
            is_over = not self._requests.carry_out(reading, session, self._exits)
            self._tell(reading)
            actions = reading.result.actions
            if is_over and not any(isinstance(action, PostShares | PostExchange | PostUndone) for action in actions):
                break
        # kept, too: else the next process would confirm by a look of long ago, and never by this one
        is_news = _to_confirm(self._keeper.memory.previous) != _to_confirm(before)
        return changed or is_news or self._exits.waits != waited or self._lacking.since != lacked

    def glance(self, now: datetime) -> bool:
        """Return True if the account should be looked at now, and not at the next turn. Cheap; changes nothing.

        While the exchange is open: a position that the engine watches has reached its stop or target, or an exit waits
        for shares that should be free any moment.
        """
        seen = self._looks.at
        if self._session is None or seen is None or now - seen < SOONEST_LOOK or not self._requests.is_open():
            return False
        return self._exits.is_due() or self._stops.is_reached(self._requests.moment(self._session))

    def _parts(self) -> tuple[Record, Records, Records, Ints]:
        return self.record, self.slots, self.lots, self.stopped

    def states(self) -> list[AlertState]:
        """Return what people should be told of the account; called once a look, at its end."""
        return [*self._lacking.states(), *self._looks.rival.states(), *self._clock_states()]

    def _clock_states(self) -> list[AlertState]:
        if self._clock_trouble is None or self._clock_since is None:
            return []
        words = f"No new risk at all: {self._clock_trouble}"
        return [AlertState(AlertKind.QUARANTINE, "the clock", self._clock_since, words)]

    # ------------------------------------------------------------ what a look found

    def _check_clocks(self) -> None:
        self._clock_trouble = self._compare_clocks()
        now = self._clock.now()
        self._clock_since = None if self._clock_trouble is None else self._clock_since or now
        self._compared = session_of(now), self._requests.is_open()

    def _take_in(self, reading: AccountLook, horizon: datetime, *, is_watch: bool) -> bool:
        """Book a reading up to `horizon`, and return True if the book has changed."""
        changed = self._keeper.take_in(reading, horizon, is_watch=is_watch)
        self._match_orders()
        self._requests.idle = idle_roots(reading.carved.theirs.orders, self._prefix)
        self._exits.awaited = self._requests.awaited = reading.awaited
        self._requests.doubted = self._looks.doubts.tickers.keys()
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
        self._door.show_selling(selling)

    def _tell(self, reading: AccountLook) -> None:
        """Tell risk manager and operators what is unexplained."""
        found = [*reading.result.differences, *reading.carved.differences(), *self._looks.doubts.differences()]
        quarantine = {*reading.result.quarantine, *reading.carved.manual, *self._looks.doubts.tickers}
        unreconciled = self._looks.rivalry or self._clock_trouble or cash_words(found) or self._too_much(found)
        self._door.quarantine(reasons_of(found, quarantine), unreconciled)
        now = self._clock.now()
        self._lacking.note(reading.result.differences, now)
        since = self._lacking.since
        rows = [replace(row, since=since.get(row.ticker or "")) for row in difference_rows(found, quarantine)]
        told = [*rows, *self._exits.rows(session_of(now)), *self._requests.bare_rows()]
        self._differences.note(told, self._session or now.date(), now)
        for row in told:
            if row not in self._told and not row.is_patient:
                words = row.kind, row.ticker, row.ours, row.theirs, row.action
                log.warning("%s %s: ours %s, the broker's %s; %s", *words)
        self._told = told

    def _too_much(self, found: Sequence[Difference]) -> str | None:
        marks = self._book.marks()
        values = {name: held.quantity * marks.get(name, 0.0) for name, held in self._book.positions().items()}
        return too_much_words(found, values, float(self.record["equity"]))


def _to_confirm(found: Iterable[Difference]) -> list[Difference]:
    return [difference for difference in found if difference.kind in NEEDS_CONFIRMATION]


def _is_same(known: JournalOrder, intent: OrderIntent) -> bool:
    return (known.ticker, known.side, known.quantity) == (intent.ticker, intent.side, intent.quantity)
