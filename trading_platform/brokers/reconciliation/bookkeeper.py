"""What a reading of the account tells, put into our books: history by its ids, orders, and what is adopted unexplained.

An entry of history is booked once, whatever is read again; its id is remembered for as long as it may be read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from trading_platform.alpaca.orders import root_id
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.activity_fields import SHARES, UNDONE
from trading_platform.brokers.reconciliation.day_entries import CashOut
from trading_platform.brokers.reconciliation.differences import DifferenceKind
from trading_platform.brokers.reconciliation.owner_shares import CarvedBook
from trading_platform.brokers.reconciliation.reconcile import Reconciliation
from trading_platform.brokers.reconciliation.saved_account import Memory
from trading_platform.brokers.reconciliation.two_books import (
    Action,
    AdoptCash,
    AdoptPosition,
    CloseOrder,
    PostCash,
    PostExchange,
    PostFill,
    PostForeignFill,
    PostShares,
    PostUndone,
    UpdateOrder,
)
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, Checkpoint, Clock, JournalOrder, OrderJournal
from trading_platform.core.types import Fill, OrderStatus, Side
from trading_platform.machine.clocks import session_of

log = logging.getLogger("trading_platform.venue")

# History is read again from so long before the last settlement: activities may be entered late.
HISTORY_OVERLAP = timedelta(days=7)
DATE_SLACK = timedelta(days=3)  # some entries carry a date only


class Journal(OrderJournal, Protocol):
    """The order journal, which can also end an order without the broker's word."""

    def close(self, client_order_id: str, status: OrderStatus, message: str) -> None:
        """Write down that an order came to its end, and why."""
        ...


@dataclass(frozen=True, slots=True)
class AccountLook:
    """One look at the account: the comparison, and the owner's part."""

    result: Reconciliation
    carved: CarvedBook

    @property
    def awaited(self) -> frozenset[str]:
        """Tickers of which orders have traded shares that history does not tell yet."""
        found = (d.ticker for d in self.result.differences if d.kind is DifferenceKind.AWAITED_FILL)
        return frozenset(ticker for ticker in found if ticker is not None)


class Bookkeeper:
    """Books readings.

    Parameters
    ----------
    book, journal
        Our book; the durable record of our orders.
    memory
        Where the account's history begins for us, and what of it is booked; kept up to date.
    clock
        The time, of what is adopted.
    checkpoint
        Called with ``after_fill`` when history is booked.
    """

    def __init__(
        self, book: AccountBook, journal: Journal, memory: Memory, clock: Clock, checkpoint: Checkpoint
    ) -> None:
        self.memory = memory
        self._book = book
        self._journal = journal
        self._clock = clock
        self._checkpoint = checkpoint

    def take_in(self, reading: AccountLook, horizon: datetime, *, is_watch: bool) -> bool:
        """Book history up to `horizon` and bring orders up to date; return True if the book has changed.

        Entries after `horizon` belong to a later session and wait. What is unexplained is adopted only when nothing
        waits, since the comparison was made with everything booked, and only between settlements (`is_watch`): two
        looks within a moment confirm nothing.
        """
        result, booked = reading.result, dict[str, datetime]()
        orders = {row.client_order_id: row for row in self._journal.open_orders()}
        waits = self._book_moves(reading.carved, horizon, booked) or not is_watch
        for action in _with_cash_outs(result.actions):
            waits |= not self._book_entry(action, orders, horizon, booked)
        if booked:
            self._checkpoint("after_fill")
        rounding = any(d.kind is DifferenceKind.CASH_ROUNDING for d in result.differences)
        adopted = False
        for action in result.actions:
            match action:
                case UpdateOrder(order):
                    self._journal.record_order(order)
                    _tell_end(order)
                case CloseOrder(client_order_id, status, message):
                    self._journal.close(client_order_id, status, message)
                case AdoptCash(amount) if not waits:
                    self._book.adopt_cash(amount, is_rounding=rounding)
                    adopted = True
                case AdoptPosition(ticker, quantity) if not waits:
                    at = self._clock.now()
                    self._book.adopt_position(ticker, quantity, f"{ticker}-{at:%Y%m%d%H%M%S}", at)
                    adopted = True
        previous = result.differences if is_watch else self.memory.previous
        self.memory = Memory(self.memory.since, {**self.memory.booked, **booked}, previous)
        return bool(booked) or adopted

    def forget(self, closed: datetime) -> None:
        """Let history begin later, `closed` being settled, and drop the ids of what is not read any more."""
        since = max(self.memory.since, closed - HISTORY_OVERLAP)
        booked = {key: at for key, at in self.memory.booked.items() if at > since - DATE_SLACK}
        self.memory = Memory(since, booked, self.memory.previous)
        self._book.forget_actions(booked)

    def _taken_back(self, fill: Fill) -> tuple[Fill, JournalOrder | None]:
        """Return what takes a busted trade back, as of now, and the order that it is booked by."""
        now = self._clock.now()
        row = self._journal.find_order(fill.client_order_id.removesuffix(UNDONE))
        if row is not None and not row.parts:  # a leg's levels stand with its parent
            root = self._journal.find_order(root_id(row.client_order_id)) or row
            row = replace(row, stop_price=root.stop_price, target_price=root.target_price)
        words = fill.side, fill.quantity, fill.ticker, fill.price
        log.warning("the broker has cancelled a trade, taken back: %s %g %s at %g", *words)
        return fill._replace(filled_at=now, session=session_of(now)), order_back(row, fill)

    def _book_moves(self, carved: CarvedBook, horizon: datetime, booked: dict[str, datetime]) -> bool:
        """Book what the owner did; return True if something waits."""
        for move in carved.moves:
            if move.at <= horizon:
                self._book.move_manual(move.ticker, move.quantity, move.cash)
                booked[move.entry_id] = move.at
        return any(move.at > horizon for move in carved.moves)

    def _book_entry(
        self, action: Action | CashOut, orders: dict[str, JournalOrder], horizon: datetime, booked: dict[str, datetime]
    ) -> bool:
        """Book one entry of history unless it is later than `horizon`; return False if it waits."""
        match action:
            case PostFill(fill) if fill.filled_at <= horizon:
                order = orders.get(fill.client_order_id) or self._journal.find_order(fill.client_order_id)
                if fill.fill_id.endswith(UNDONE):
                    fill, order = self._taken_back(fill)
                self._book.book_fill(fill, order)
                booked[fill.fill_id] = fill.filled_at
                words = fill.client_order_id, fill.side, fill.quantity, fill.ticker, fill.price, fill.reason
                log.info("order %s: %s %g %s at %g, %s", *words)
            case PostForeignFill(foreign) if foreign.at <= horizon:
                self._book.book_foreign(foreign)
                booked[foreign.fill_id] = foreign.at
            case PostCash(flow) if flow.at <= horizon:
                self._book.book_cash(flow)
                booked[flow.flow_id] = flow.at
            case CashOut(change, flow) if change.at <= horizon:
                self._book.book_cash_out(change, flow)
                booked |= {change.change_id: change.at, flow.flow_id: flow.at}
            case PostShares(change) if change.at <= horizon:
                self._book.book_shares(change)
                booked[change.change_id] = change.at
            case PostExchange(exchange) if exchange.at <= horizon:
                self._book.book_exchange(exchange)
                booked[exchange.exchange_id] = exchange.at
            case PostUndone(undone) if undone.at <= horizon:
                moved = ", ".join(f"{quantity:+g} {ticker}" for ticker, quantity in undone.moved)
                log.warning("the broker has cancelled a corporate action, taken back: %s, %+.2f", moved, undone.cash)
                self._book.book_undone(replace(undone, at=self._clock.now()))
                booked[undone.action_id + UNDONE] = undone.at
            case PostFill() | PostForeignFill() | PostCash() | PostShares() | PostExchange() | PostUndone() | CashOut():
                return False
        return True


def order_back(row: JournalOrder | None, fill: Fill) -> JournalOrder | None:
    """Return an order by which a busted sale comes back to those who had sold, with the stop and target that they had;
    None of a busted buy, whose shares go whosever they are by now.
    """
    if row is None or fill.side is Side.SELL:
        return None
    sold = -sum(part.quantity for part in row.parts if part.quantity < 0.0)
    parts = tuple(
        part._replace(quantity=-part.quantity * fill.quantity / sold) for part in row.parts if part.quantity < 0.0
    )
    return replace(
        row,
        client_order_id=fill.client_order_id,
        side=Side.BUY,
        quantity=fill.quantity,
        filled_quantity=0.0,
        reason=OrderReason.NONE,
        limit_price=fill.price,
        parts=parts,
    )


def _with_cash_outs(actions: Sequence[Action]) -> list[Action | CashOut]:
    """Return the actions with money and shares of one entry of history put together."""
    flows = {f"{action.flow.flow_id}{SHARES}": action.flow for action in actions if isinstance(action, PostCash)}
    outs = {
        action.change.change_id: CashOut(action.change, flows[action.change.change_id])
        for action in actions
        if isinstance(action, PostShares) and action.change.change_id in flows and action.change.quantity < 0.0
    }
    paid = {out.flow.flow_id for out in outs.values()}
    kept = [action for action in actions if not (isinstance(action, PostCash) and action.flow.flow_id in paid)]
    return [outs.get(a.change.change_id, a) if isinstance(a, PostShares) else a for a in kept]


def _tell_end(order: BrokerOrder) -> None:
    """Log an order of our own that ended without all of its shares; the legs of a group end every day."""
    if order.status.is_open or order.status is OrderStatus.FILLED or order.parent_id is not None:
        return
    level = logging.WARNING if order.status is OrderStatus.REJECTED else logging.INFO
    words = order.status, order.filled_quantity, order.quantity, order.message
    log.log(level, "order %s: %s, %g of %g filled, %s", order.client_order_id, *words)
