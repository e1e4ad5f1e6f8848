"""Executions, booked into the slots and lots of our book by the kernel's own functions, and told strategy by strategy.

Whose shares an execution moves stands in the lots, where the decision was staged, or in the order's journal row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType
from typing import NamedTuple

from trading_platform.brokers.reconciliation.lot_parts import Parts, market_parts, position_parts, total
from trading_platform.brokers.reconciliation.pending_entries import (
    PendingEntries,
    as_parts,
    is_decided,
    is_protective,
)
from trading_platform.brokers.reconciliation.settlement_news import News, crossing, part_id
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE
from trading_platform.core.booking import BUY, SELL, Order, ask_all_out, book_order, tidy_slot
from trading_platform.core.compiled import plain
from trading_platform.core.fill_log import OF_ORDER, PROTECTIVE, new_fill_log
from trading_platform.core.fills import round_cents
from trading_platform.core.ledger import SHARE_NOISE, Charge, Record, Records, owns
from trading_platform.core.order_reasons import ORDER_REASONS
from trading_platform.core.plan import Book
from trading_platform.core.ports import JournalOrder
from trading_platform.core.reasons import NO_REASON
from trading_platform.core.risk.limits import Limits
from trading_platform.core.round_trips import EPOCH, LoggedFill, round_trip
from trading_platform.core.session import cross_lots
from trading_platform.core.types import Fill, Floats, Side

_book_order, _cross, _tidy, _ask_all_out = plain(book_order), plain(cross_lots), plain(tidy_slot), plain(ask_all_out)
_owns = plain(owns)

NO_REASONS: Mapping[int, int] = MappingProxyType({})


class Opens(NamedTuple):
    """The open of a session: its instant, and prices (N,), NaN where there are none."""

    session: date
    at: datetime
    prices: Floats


class Executions:
    """Books executions.

    Parameters
    ----------
    book, entries
        Our book in the kernel's form, and the orders in it that may still fill.
    limits
        Of the account.
    tickers, strategies
        Names of columns and strategy numbers.

    Attributes
    ----------
    news
        What has been booked since the last settlement.
    opens
        The opening prices of the session that is being booked, None where they are not known yet.
    """

    def __init__(
        self, book: Book, entries: PendingEntries, limits: Limits, tickers: Sequence[str], strategies: Sequence[str]
    ) -> None:
        self._book = book
        self._account: Record = book.accounts[0]
        self._slots: Records = book.slots
        self._lots: Records = book.lots
        self._entries = entries
        self._limits = limits
        self._tickers = tuple(tickers)
        self._strategies = tuple(strategies)
        self._log = new_fill_log(2 * len(self._strategies))
        self.news = News()
        self.opens: Opens | None = None

    def buy(self, fill: Fill, order: JournalOrder | None) -> None:
        """Book a buy; `order` is its journal row, which says whose it is where the lots do not."""
        s = self._entries.slot_of(fill.ticker)
        if s < 0:
            s = self._entries.open_slot(fill.ticker, fill.price)
        done = self.news.filled(fill.client_order_id)
        if order is not None and not self._slots[s]["quantity"] > 0.0:  # what is saved may be an order that has ended
            self._entries.stage(replace(order, filled_quantity=done))
        self.cross_at_open(s)
        parts = market_parts(self._slots[s], self._lots[s], BUY, fill.quantity)
        if fill.quantity - total(parts) > SHARE_TOLERANCE:
            parts = {} if order is None else as_parts(order, self._entries.numbers, done, fill.quantity)
        missing = fill.quantity - total(parts)
        if missing > SHARE_TOLERANCE:
            k = self._entries.numbers.get(fill.strategy, 0)
            parts[k] = parts.get(k, 0.0) + missing
        self._entries.let_in(order, s, parts)
        self._execute(s, BUY, fill, fill.quantity, parts)

    def sell(self, fill: Fill, quantity: float, order: JournalOrder | None) -> None:
        """Book a sale of `quantity` shares of a position, which it has."""
        s = self._entries.slot_of(fill.ticker)
        self.cross_at_open(s)
        slot, lots = self._slots[s], self._lots[s]
        reason = ORDER_REASONS.index(fill.reason)
        if order is not None and not is_protective(fill.reason, order):
            parts = self._exit_parts(s, fill, quantity, order)
            reasons = {k: int(lots[k]["exit_reason"]) or reason for k in parts}
            self._execute(s, SELL, fill, quantity, parts, reasons)
            return
        parts = position_parts(slot, lots, quantity)
        protects = is_protective(fill.reason, order)
        kind = PROTECTIVE if protects else OF_ORDER
        self._execute(s, SELL, fill, quantity, parts, dict.fromkeys(parts, reason), kind)
        if protects and slot["quantity"] > 0.0:
            _ask_all_out(self._slots, self._lots, s, reason)  # what a stop has left is not held on
            _tidy(self._slots, self._lots, s)

    def _exit_parts(self, s: int, fill: Fill, quantity: float, order: JournalOrder) -> Parts:
        """Return whose shares an exit has sold: of those who ask for it, or who asked when it was decided."""
        slot, lots, numbers = self._slots[s], self._lots[s], self._entries.numbers
        parts = market_parts(slot, lots, SELL, quantity)
        if quantity - total(parts) > SHARE_TOLERANCE:
            said = as_parts(order, numbers, self.news.filled(fill.client_order_id), quantity)
            parts = {k: min(q, float(lots[k]["quantity"])) for k, q in said.items() if lots[k]["quantity"] > 0.0}
        if quantity - total(parts) > SHARE_TOLERANCE:
            parts = position_parts(slot, lots, quantity, numbers.get(order.strategy))
        return parts

    def _execute(
        self,
        s: int,
        side: int,
        fill: Fill,
        quantity: float,
        parts: Parts,
        reasons: Mapping[int, int] = NO_REASONS,
        kind: int = OF_ORDER,
    ) -> None:
        """Book `quantity` shares of `fill` in slot `s`, divided as `parts` say; what its lots ask for besides stays."""
        slot, lots, day = self._slots[s], self._lots[s], (fill.session - EPOCH).days
        asked = {k: (float(lots[k]["delta"]), int(lots[k]["exit_reason"])) for k in range(len(lots)) if _owns(slot, k)}
        for k in asked:
            lots[k]["delta"] = side * parts.get(k, 0.0)
            lots[k]["exit_reason"] = reasons.get(k, NO_REASON)
        charge = Charge(0.0, fill.fees, 0.0, self._slippage(s, side, fill, quantity, kind), 0.0)
        order = Order(side, quantity, fill.price, fill.amount, charge, kind)
        self._log.used[0] = 0
        _book_order(
            self._account, self._slots, self._lots, self._book.stopped, s, order, day, 0.0, self._limits, self._log
        )
        for k, (delta, reason) in asked.items():
            if _owns(slot, k):
                left = delta - side * parts.get(k, 0.0) if delta * side > 0.0 else delta
                left = max(left, -float(lots[k]["quantity"]))
                lots[k]["delta"] = left if abs(left) > SHARE_NOISE and left * delta > 0.0 else 0.0
                lots[k]["exit_reason"] = reason if lots[k]["delta"] < 0.0 else NO_REASON
        self._tell(s, fill)
        _tidy(self._slots, self._lots, s)

    def _slippage(self, s: int, side: int, fill: Fill, quantity: float, kind: int) -> float:
        """Return the dollars by which a fill of an order was worse than the official opening price, 0 where unknown."""
        opens = self.opens
        if opens is None or fill.session != opens.session or kind == PROTECTIVE or not is_decided(fill.reason):
            return 0.0
        quote = float(opens.prices[self._slots[s]["ticker"]])
        return float(round_cents(side * (fill.amount - round_cents(quantity * quote)))) if quote > 0.0 else 0.0

    def cross_at_open(self, s: int) -> None:
        """Let strategies in slot `s` sell to each other what they ask for, where the opening price is known."""
        opens, slot = self.opens, self._slots[s]
        if opens is None or not slot["quantity"] > 0.0:
            return
        ticker, day = int(slot["ticker"]), (opens.session - EPOCH).days
        quote = float(opens.prices[ticker])
        if not quote > 0.0:
            return
        self._log.used[0] = 0
        crossed = _cross(
            self._account, self._slots, self._lots, self._book.stopped, s, quote, day, 0.0, self._limits, self._log
        )
        if crossed > 0.0:
            self._tell(s, crossing(self._tickers[ticker], opens.session, opens.at))
            _tidy(self._slots, self._lots, s)

    def _tell(self, s: int, fill: Fill) -> None:
        """Add the parts that were just booked to the news, each as a fill of its strategy."""
        rows = [LoggedFill._make(row) for row in self._log.rows[: self._log.used[0]].tolist()]
        for made in rows:
            strategy = self._strategies[made.strategy]
            part = fill._replace(
                side=Side.BUY if made.side > 0 else Side.SELL,
                quantity=made.quantity,
                price=made.price,
                amount=made.amount,
                fees=made.fees,
                strategy=strategy,
                reason=ORDER_REASONS[made.reason],
                fill_id=part_id(fill.fill_id, strategy, len(rows)),
                slippage=made.slippage,
            )
            self.news.add(
                (part, made.realized, round_trip(made, self._tickers, self._strategies, fill.session)), s, made.kind
            )
