"""Look before it leaves: a broker in front of the broker, which holds entries until their owner has agreed.

The engine decides and stages as always; only what would leave for an account waits here. An entry that goes is approved
anew by the risk rules of that moment, in the order of the decision. Exits pass at once. All that is remembered is in
the database: held orders are rows of status ``held``, answers are rows of ``commands``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from trading_platform.brokers.venue import Broker, PendingOrder, RiskDoor
from trading_platform.core.compiled import direct
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market
from trading_platform.core.plan import Book, withdraw_entry
from trading_platform.core.ports import BrokerOrder, SavedBook, TradingCalendar
from trading_platform.core.types import ApprovedOrder, Denial, Ints, OrderStatus, Settlement, Side
from trading_platform.storage import models as m
from trading_platform.storage.consents import (
    NOT_SENT,
    VETO,
    VETOED,
    Answer,
    HeldEntry,
    answer_for,
    answers_to,
    held_entries,
    mark_leaving,
)
from trading_platform.storage.order_rows import approved_signal
from trading_platform.storage.repository import Repository

log = logging.getLogger("trading_platform.consent")


class Consent(StrEnum):
    """`[engine] consent`: who must have spoken before an entry leaves."""

    NONE = "none"
    VETO = "veto"
    ASK = "ask"


class Terms(NamedTuple):
    """When entries leave: how consent is asked for, and how long before the open "in time" ends."""

    consent: Consent
    before_open: timedelta


class HeldOrder(StrEnum):
    """What becomes of a held entry at a look."""

    WAIT = "wait"
    GO = "go"
    STAY = "stay"


def next_step(consent: Consent, answer: Answer | None, *, is_late: bool) -> HeldOrder:
    """Return what becomes of an entry; `is_late` once the time to answer is over."""
    if answer is not None:
        return HeldOrder.STAY if answer.kind == VETO else HeldOrder.GO
    if not is_late:
        return HeldOrder.WAIT
    return HeldOrder.GO if consent is Consent.VETO else HeldOrder.STAY


class ConsentRisk(RiskDoor, Protocol):
    """The side of `RiskManager` that is needed to hold an approved entry."""

    def take_back(self, order: ApprovedOrder) -> None:
        """Take back an approval that is not sent now."""
        ...


class ConsentBroker:
    """A `Broker` that sends entries on only with consent.

    Parameters
    ----------
    broker
        Who takes what may leave.
    door
        `RiskManager`.
    terms
        The settings.
    repository
        Rows of the run; what is held goes with the book of the same commit.
    calendar
        When the next open is.
    tickers
        Names of columns.
    journaled
        True where `broker` writes orders down by itself.
    """

    def __init__(
        self,
        broker: Broker,
        door: ConsentRisk,
        terms: Terms,
        repository: Repository,
        calendar: TradingCalendar,
        tickers: Sequence[str],
        *,
        journaled: bool,
    ) -> None:
        self._broker = broker
        self._door = door
        self._terms = terms
        self._repository = repository
        self._calendar = calendar
        self._columns = {ticker: i for i, ticker in enumerate(tickers)}
        self._journaled = journaled
        self._held: list[HeldEntry] = []
        self._withdraw = direct(withdraw_entry)

    @property
    def record(self) -> Record:
        """The account record (`core.ledger.ACCOUNT`)."""
        return self._broker.record

    @property
    def slots(self) -> Records:
        """Positions and pending entries, (S,) of `core.ledger.SLOT`."""
        return self._broker.slots

    @property
    def lots(self) -> Records:
        """The strategies' parts of them, (S, K) of `core.ledger.LOT`."""
        return self._broker.lots

    @property
    def stopped(self) -> Ints:
        """(N,) days on which tickers were last stopped out."""
        return self._broker.stopped

    @property
    def book(self) -> Book:
        """The broker's own book."""
        return self._broker.book

    # ------------------------------------------------------------ orders

    def place_order(self, order: ApprovedOrder) -> BrokerOrder:
        """Send an exit on; hold an entry, which stays staged in the book so that later ones are sized beside it."""
        intent = order.intent
        if intent.side is not Side.BUY:
            return self._broker.place_order(order)
        self._door.take_back(order)
        words = self._waits_for(intent.decided_session)
        if self._journaled:
            self._repository.add_order(order, OrderStatus.HELD, order.approved_at)
            self._repository.add(m.SignalRow, approved_signal(order))
        self._repository.update_order(
            order.client_order_id, status=OrderStatus.HELD.value, submitted_at=None, message=words
        )
        self._held = [held for held in self._held if held.client_order_id != order.client_order_id]
        self._held.append(HeldEntry(order.client_order_id, intent))
        return BrokerOrder(
            order.client_order_id,
            "",
            intent.ticker,
            intent.side,
            intent.quantity,
            0.0,
            None,
            OrderStatus.HELD,
            intent.limit_price,
            intent.stop_price,
            None,
            message=words,
        )

    # ------------------------------------------------------------ looking

    def settle(self, market: Market, t: int, session: date, opened: datetime, closed: datetime) -> Settlement:
        """Give up what still waits, for its open has passed; then settle."""
        self._give_up(closed)
        return self._broker.settle(market, t, session, opened, closed)

    def watch(self, now: datetime) -> bool:
        """Send what may leave by now, take back what may not, and look at the account; True if anything changed."""
        changed = self._review(now)
        return self._broker.watch(now) or changed

    def is_due(self, now: datetime) -> bool:
        """Return True if entries wait and their time is over: the next look should come now."""
        return any(now >= self._until(held.intent.decided_session) for held in self._held)

    def snapshot(self, session: date) -> SavedBook:
        """Return the book after `session` as text."""
        return self._broker.snapshot(session)

    def restore(self, saved: SavedBook, open_orders: Sequence[PendingOrder]) -> None:
        """Continue from a saved book, the orders that were at work then, and the entries that waited."""
        self._broker.restore(saved, open_orders)
        self._held = held_entries(self._repository.engine, self._repository.run_id)

    # ------------------------------------------------------------ what is held

    def _until(self, session: date) -> datetime:
        return self._opens(session) - self._terms.before_open

    def _opens(self, session: date) -> datetime:
        return self._calendar.open_at(self._calendar.next_session(session))

    def _waits_for(self, session: date) -> str:
        until = f"{self._until(session):%Y-%m-%d %H:%M} UTC"
        if self._terms.consent is Consent.ASK:
            return f"waits for a yes to {until}"
        return f"goes at {until} unless vetoed"

    def _review(self, now: datetime) -> bool:
        """Decide what becomes of each held entry; return True if any is not held any more."""
        if not self._held:
            return False
        session = self._held[0].intent.decided_session
        if now >= self._opens(session):
            return self._give_up(now)
        answers = answers_to(self._repository.engine, self._repository.run_id, session)
        going, waiting, before = list[HeldEntry](), list[HeldEntry](), len(self._held)
        is_late = now >= self._until(session)
        for held in self._held:
            answer = answer_for(held.intent.ticker, answers)
            match next_step(self._terms.consent, answer, is_late=is_late):
                case HeldOrder.WAIT:
                    waiting.append(held)
                case HeldOrder.GO:
                    going.append(held)
                case HeldOrder.STAY:
                    self._end(held, now, OrderStatus.CANCELED, _why_it_stays(answer))
        if going:
            self._send(going, now)
        self._held = waiting
        return len(waiting) < before

    def _send(self, going: Sequence[HeldEntry], now: datetime) -> None:
        """Send entries as if they were decided now: each is approved beside those that went before it."""
        staged = [self._unstage(held) for held in going]
        self._mirror()
        for held, (s, rows) in zip(going, staged, strict=True):
            order = self._door.approve(held.intent)
            if isinstance(order, Denial):
                self._end(held, now, OrderStatus.REJECTED, f"{NOT_SENT} {order.message}")
                continue
            if rows is not None:
                self.slots[s], self.lots[s] = rows
            if self._journaled:
                mark_leaving(self._repository.engine, self._repository.run_id, held.client_order_id)
            self._broker.place_order(order)
            if not self._journaled:
                self._repository.reopen_order(
                    held.client_order_id,
                    status=OrderStatus.SUBMITTED.value,
                    submitted_at=now,
                    message=None,
                    approval_id=order.approval_id,
                )
            log.info("order %s: sent with consent", held.client_order_id)
            self._mirror()

    def _unstage(self, held: HeldEntry) -> tuple[int, tuple[Record, Records] | None]:
        """Take what an entry has staged out of the book; return its slot and its rows, for when it goes after all."""
        column = self._columns.get(held.intent.ticker, -1)
        for s, slot in enumerate(self.slots):
            if slot["ticker"] == column >= 0 and slot["pending"] > 0.0:
                rows = slot.copy(), self.lots[s].copy()
                self._withdraw(self.book, s)
                return s, rows
        return -1, None  # the account's book holds what the broker has, and nothing else

    def _give_up(self, now: datetime) -> bool:
        for held in self._held:
            self._end(held, now, OrderStatus.CANCELED, f"{NOT_SENT} its open passed without an answer")
        ended, self._held = bool(self._held), []
        return ended

    def _end(self, held: HeldEntry, now: datetime, status: OrderStatus, why: str) -> None:
        self._unstage(held)
        self._mirror()
        self._repository.reopen_order(held.client_order_id, status=status.value, message=why, closed_at=now)
        log.warning("order %s: %s", held.client_order_id, why)

    def _mirror(self) -> None:
        self._door.mirror(self.record, self.slots, self.lots, self.stopped)


def _why_it_stays(answer: Answer | None) -> str:
    if answer is None:
        return f"{NOT_SENT} nobody said yes in time"
    return f"{VETOED} {answer.actor}: {answer.reason}"
