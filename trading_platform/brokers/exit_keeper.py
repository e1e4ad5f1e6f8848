"""Exits as standing wishes: an exit that cannot leave now is tried again at every look, until it has been filled.

What is to leave stands in the lots of the book, which is saved with it: so the wish survives a restart, and ends when
the shares are sold or a later decision withdraws it. Here it is sent: what would refuse it is looked at before its stop
is given up, and a stop that was given up for nothing is set again at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import date
from itertools import count
from typing import Protocol

from trading_platform.brokers.alpaca_broker import own_answer
from trading_platform.brokers.alpaca_resizer import Room
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.pending_entries import PROTECTIVE, is_protective
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE
from trading_platform.brokers.reconciliation.waiting_exits import WaitingExit, waiting_row
from trading_platform.brokers.sale_check import SaleCheck
from trading_platform.brokers.venue import RiskGate
from trading_platform.core.errors import BrokerUnreachableError
from trading_platform.core.intents import largest_part, lot_orders, order_id
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.ports import BrokerOrder, DifferenceRow, OrderJournal, TradingCalendar
from trading_platform.core.types import ApprovedOrder, Denial, OrderIntent, OrderStatus, Side

log = logging.getLogger("trading_platform.exits")

PENDING = "the cancellation of its stop is pending at the broker, until the next open at the latest"
RESIZING = "the change of its stop is pending at the broker, until the next open at the latest"
AWAITED = "an order of it has traded shares of which the account's history has no entry yet"


class SaleRoad(Protocol):
    """The broker's side of a sale."""

    def check_sale(self, ticker: str, price: float) -> SaleCheck:
        """Return what would refuse a sale of `ticker`, whose last known price in dollars is given."""
        ...

    def release(self, ticker: str, *, is_patient: bool) -> bool:
        """Cancel what holds the shares of `ticker`; return True when nothing does any more."""
        ...

    def resize(self, ticker: str, shares: float, *, is_patient: bool) -> Room:
        """Let the resting stop of `ticker` protect `shares` and no others."""
        ...


class ExitKeeper:
    """Sends exits, and keeps those that cannot leave yet.

    Parameters
    ----------
    book, gate, journal
        Our book, `RiskManager`, and the durable record of our orders.
    road
        What the broker says of a sale.
    place
        How an approved order leaves.
    protect
        Sets the stop of a ticker's position anew.
    calendar
        Sessions, for the age of an exit.

    Attributes
    ----------
    waits
        Ticker -> the exit that could not leave so far; saved with the book.
    awaited
        Tickers of which executions are awaited, as the last reading found: what an exit would sell may be gone.
    """

    def __init__(
        self,
        book: AccountBook,
        gate: RiskGate,
        journal: OrderJournal,
        road: SaleRoad,
        place: Callable[[ApprovedOrder], BrokerOrder],
        protect: Callable[[str, date], None],
        calendar: TradingCalendar,
    ) -> None:
        self._book = book
        self._gate = gate
        self._journal = journal
        self._road = road
        self._place = place
        self._protect = protect
        self._calendar = calendar
        self._spent: set[str] = set()  # ids whose approvals are spent, whether or not the journal has an order of them
        self.waits: dict[str, WaitingExit] = {}
        self.awaited: Collection[str] = ()

    def leave(self, order: ApprovedOrder) -> BrokerOrder:
        """Send an exit that was decided now; one that cannot leave yet is answered as an intent, and waits."""
        known = self._journal.find_order(order.client_order_id)
        if known is not None and known.broker_order_id is not None and known.status.is_open:
            return self._place(order)  # decided again after a crash: it is there already
        sent = self._send(order.intent, order, is_patient=True)
        waits = f"waits: {self.waits[order.intent.ticker].why}" if sent is None else ""
        return sent or own_answer(order, OrderStatus.INTENT, waits)

    def try_again(self, session: date, *, is_open: bool) -> frozenset[str]:
        """Send every exit that is wished and not at work at the broker; return the tickers sent.

        Parameters
        ----------
        session
            The last one settled: whose decision the exits are.
        is_open
            Whether the exchange is open: a cancellation is then worth some seconds' wait.
        """
        self.forget_the_gone()
        at_work = self._at_work()
        sent = set()
        for s, slot in enumerate(self._book.slots):
            if not slot["selling"] > 0.0 or not slot["quantity"] > 0.0:
                continue
            ticker = self._book.tickers[slot["ticker"]]
            if ticker in at_work:
                continue
            if ORDER_REASONS[slot["exit_reason"]] in PROTECTIVE and self._sells(ticker):
                continue  # the rest of a stop that has begun to fill
            parts = lot_orders(slot, self._book.lots[s], self._book.strategies)
            intent = OrderIntent(
                ticker,
                Side.SELL,
                float(slot["selling"]),
                None,
                None,
                None,
                largest_part(parts),
                ORDER_REASONS[slot["exit_reason"]],
                0.0,
                session,
                tuple(parts),
            )
            answer = self._send(intent, None, is_patient=is_open or ticker not in self.waits)
            if answer is not None:
                sent.add(ticker)
        return frozenset(sent)

    def forget_the_gone(self) -> None:
        """Forget exits that have left, or that a decision has withdrawn."""
        wished = {self._book.tickers[slot["ticker"]] for slot in self._book.slots if slot["selling"] > 0.0}
        self.waits = {ticker: waiting for ticker, waiting in self.waits.items() if ticker in wished}

    def waiting(self) -> Mapping[str, WaitingExit]:
        """Return the exits that wait and are not at work at the broker now."""
        at_work = self._at_work()
        return {ticker: waiting for ticker, waiting in self.waits.items() if ticker not in at_work}

    def is_due(self) -> bool:
        """Return True if an exit waits for nothing but shares that are about to be free."""
        return any(waiting.why in (PENDING, RESIZING) for waiting in self.waiting().values())

    def rows(self, today: date) -> list[DifferenceRow]:
        """Return a line for every exit that waits."""
        self.forget_the_gone()
        shares = {ticker: position.leaving for ticker, position in self._book.positions().items()}
        return [
            waiting_row(waiting, shares.get(ticker, 0.0), today, self._calendar)
            for ticker, waiting in sorted(self.waiting().items())
        ]

    # ------------------------------------------------------------ inside

    def _send(self, intent: OrderIntent, order: ApprovedOrder | None, *, is_patient: bool) -> BrokerOrder | None:
        """Send an exit; return None if it cannot leave now, else what the broker says."""
        check, why = self._clear_the_way(intent, is_patient=is_patient)
        if why:
            if order is not None:  # else its shares stay promised, and no stop could be set for them
                self._gate.consume(order)
                self._spent.add(order.client_order_id)
            self._note(intent, why)
            return None
        if order is None or check.limit_price is not None:
            verdict = self._approve(intent._replace(limit_price=check.limit_price))
            if isinstance(verdict, Denial):
                self._note(intent, verdict.message)
                self._cover(intent)
                return None
            order = verdict
        self._spent.add(order.client_order_id)
        answer = self._place(order)
        if not answer.status.is_open and answer.filled_quantity < intent.quantity - SHARE_TOLERANCE:
            self._note(intent, f"{answer.status}: {answer.message}")
            self._cover(intent)
        return answer

    def _cover(self, intent: OrderIntent) -> None:
        """Set the stop anew that was given up, or made smaller, for an exit that does not leave."""
        held = self._book.quantity(intent.ticker)
        with contextlib.suppress(BrokerUnreachableError):  # then the next look finds what is missing
            if (
                held - intent.quantity > SHARE_TOLERANCE
                and self._road.resize(intent.ticker, held, is_patient=True) is Room.MADE
            ):
                return
        self._protect(intent.ticker, intent.decided_session)

    def _clear_the_way(self, intent: OrderIntent, *, is_patient: bool) -> tuple[SaleCheck, str]:
        """Give up the stop for a sale that nothing would refuse; return why it cannot leave now, or "".

        A reduction leaves the stop of the rest where it is, if the broker changes its shares.
        """
        ticker = intent.ticker
        stays = self._book.quantity(ticker) - intent.quantity
        if ticker in self.awaited:
            return SaleCheck(), AWAITED
        try:
            check = self._road.check_sale(ticker, self._last_price(ticker))
            if check.refusal:
                return check, check.refusal
            room = Room.IMPOSSIBLE
            if stays > SHARE_TOLERANCE:
                room = self._road.resize(ticker, stays, is_patient=is_patient)
            if room is Room.IMPOSSIBLE:
                return check, "" if self._road.release(ticker, is_patient=is_patient) else PENDING
            return check, "" if room is Room.MADE else RESIZING
        except BrokerUnreachableError as error:
            return SaleCheck(), f"the broker cannot be asked: {error}"

    def _approve(self, intent: OrderIntent) -> ApprovedOrder | Denial:
        self._gate.mirror(self._book.record, self._book.slots, self._book.lots, self._book.book.stopped)
        attempt = next(n for n in count() if self._is_free(order_id(intent, n)))
        return self._gate.approve(intent, attempt)

    def _is_free(self, client_order_id: str) -> bool:
        """Return True if no order was made under the id: an intent cut off by a crash goes out under its own."""
        if client_order_id in self._spent:
            return False
        row = self._journal.find_order(client_order_id)
        return row is None or (row.status is OrderStatus.INTENT and row.broker_order_id is None)

    def _note(self, intent: OrderIntent, why: str) -> None:
        ticker, before = intent.ticker, self.waits.get(intent.ticker)
        due = self._calendar.next_session(intent.decided_session) if before is None else before.due
        waiting = WaitingExit(ticker, due, 1, why) if before is None else before.again(why)
        self.waits = {**self.waits, ticker: waiting}
        if before is None or before.why != why:
            log.warning("exit of %g %s waits, due at the open of %s: %s", intent.quantity, ticker, due, why)

    def _at_work(self) -> frozenset[str]:
        """Return the tickers of which an exit is at the broker, or may be."""
        return frozenset(
            row.ticker
            for row in self._journal.open_orders()
            if row.side is Side.SELL
            and not is_protective(row.reason, row)
            and not (row.status is OrderStatus.INTENT and row.broker_order_id is None)
        )

    def _sells(self, ticker: str) -> bool:
        return any(row.ticker == ticker and row.side is Side.SELL for row in self._journal.open_orders())

    def _last_price(self, ticker: str) -> float:
        s = self._book.slot_of(ticker)
        return 0.0 if s < 0 else float(self._book.slots[s]["price"])
