"""Orders that may still fill, each in the slot of its position: what every strategy's lot is to trade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trading_platform.brokers.reconciliation.lot_parts import (
    Parts,
    market_parts,
    order_parts,
    position_parts,
)
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE
from trading_platform.core.booking import BUY, SELL, net_order, tidy_slot
from trading_platform.core.compiled import plain
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ledger import clear_lot, owns, reserve, settle_levels, sum_wishes, want, watch_slot
from trading_platform.core.order_reasons import ORDER_REASONS, OrderReason
from trading_platform.core.plan import Book
from trading_platform.core.ports import JournalOrder
from trading_platform.core.reasons import NO_REASON
from trading_platform.core.types import LotOrder, Side

EMPTY = -1
PROTECTIVE = (OrderReason.STOP_LOSS, OrderReason.TAKE_PROFIT)
# A handful a day: not worth a compilation of their own.
_clear_lot, _owns, _reserve, _want = plain(clear_lot), plain(owns), plain(reserve), plain(want)
_net, _tidy, _levels = plain(net_order), plain(tidy_slot), plain(settle_levels)
_sum_wishes, _watch = plain(sum_wishes), plain(watch_slot)


class PendingEntries:
    """The slots of an account book by ticker, and what is to be traded in them.

    A decision is staged in the book by whoever decides; here it is put there from the journal's row of the order where
    the book has lost it (a restart, an older book), and taken back where the order has ended.

    Parameters
    ----------
    book
        The book; changed in place.
    tickers, strategies
        Names of columns and strategy numbers.

    Attributes
    ----------
    buys
        The entries that may fill, by ticker, as they were told last.
    """

    def __init__(self, book: Book, tickers: Sequence[str], strategies: Sequence[str]) -> None:
        self.buys: dict[str, JournalOrder] = {}
        self._slots, self._lots = book.slots, book.lots
        self._tickers = tickers
        self._columns = {ticker: i for i, ticker in enumerate(tickers)}
        self.numbers = {name: i for i, name in enumerate(strategies)}

    def slot_of(self, ticker: str) -> int:
        """Return the slot that holds `ticker` or has it pending, -1 if there is none."""
        column = self._columns.get(ticker, EMPTY)
        held: list[int] = self._slots["ticker"].tolist()
        return held.index(column) if column != EMPTY and column in held else -1

    def column_of(self, ticker: str) -> int:
        """Return the number of a ticker of the universe, -1 if it has none."""
        return self._columns.get(ticker, EMPTY)

    def stage(self, order: JournalOrder) -> int:
        """Let the lots of the order's slot ask for what it has left, unless they do already; return the slot, -1: none.

        Raises
        ------
        OperatorNeededError
            The universe lacks the ticker, or every slot is taken.
        """
        s = self.slot_of(order.ticker)
        if order.side is Side.BUY:
            self.buys[order.ticker] = order
            if s < 0:
                s = self.open_slot(order.ticker, order.limit_price or 0.0)
            if not self._stands(order, s):
                self._stage_buy(order, s)
        elif s >= 0 and not self._stands(order, s):
            self._stage_sale(order, s)
        return s

    def match(self, buys: Mapping[str, JournalOrder], sales: Iterable[JournalOrder] = ()) -> None:
        """Let what is to be traded be what these orders (buys by ticker) may still fill: no more, no less.

        An entry keeps its slot, since the order of slots is the order of decisions, but takes what its order says: a
        saved one may have ended, and another in its ticker be at work. What strategies sell to each other needs no
        order, and exits stand until they are filled.
        """
        self.buys = dict(buys)
        for s, slot in enumerate(self._slots):
            if slot["ticker"] >= 0 and self._tickers[slot["ticker"]] not in buys:
                self._ask_less(s, BUY, market_parts(slot, self._lots[s], BUY))
                _tidy(self._slots, self._lots, s)
        for order in (*buys.values(), *sales):
            if order.ticker in self._columns:
                self.stage(order)

    def open_slot(self, ticker: str, price: float) -> int:
        """Give `ticker` an empty slot.

        Raises
        ------
        OperatorNeededError
            The universe lacks the ticker, or every slot is taken.
        """
        s = self._free_slot(ticker)
        _reserve(self._slots[s], self._columns[ticker], 0.0, price, price)
        return s

    def let_in(self, order: JournalOrder | None, s: int, parts: Parts) -> None:
        """Give every strategy that buys a part of an order in slot `s` a lot, if it has none yet."""
        self._ask(order, s, {k: quantity for k, quantity in parts.items() if not _owns(self._slots[s], k)})

    # ------------------------------------------------------------ inside

    def _stands(self, order: JournalOrder, s: int) -> bool:
        slot, left = self._slots[s], _left(order)
        if order.side is Side.SELL:
            return bool(abs(slot["selling"] - left) <= SHARE_TOLERANCE)
        return bool(
            abs(slot["pending"] - left) <= SHARE_TOLERANCE and slot["limit_price"] == (order.limit_price or 0.0)
        )

    def _stage_buy(self, order: JournalOrder, s: int) -> None:
        slot, lots = self._slots[s], self._lots[s]
        limit = order.limit_price or 0.0
        for k in range(len(lots)):
            if _owns(slot, k) and not lots[k]["quantity"] > 0.0:
                _clear_lot(slot, lots[k], k)
            lots[k]["delta"] = max(0.0, -lots[k]["delta"]) * SELL if _owns(slot, k) else 0.0
        if not slot["quantity"] > 0.0:
            _reserve(slot, slot["ticker"], 0.0, limit, limit)
        parts = parts_of(order)
        self._stage_sold(parts, s)
        self._ask(order, s, {self.numbers.get(p.strategy, 0): p.quantity for p in parts if p.quantity > 0.0})
        self._ask_less(s, BUY, market_parts(slot, lots, BUY, order.filled_quantity))
        slot["limit_price"] = limit
        self._settle(s)

    def _ask(self, order: JournalOrder | None, s: int, parts: Parts) -> None:
        """Let strategies ask for `parts`; who has no lot yet takes stop and target from the order."""
        said = {self.numbers.get(p.strategy, 0): p for p in parts_of(order) if p.quantity > 0.0}
        for k, quantity in parts.items():
            stop, target = (said[k].stop, said[k].target) if k in said else (0.0, 0.0)
            _want(self._slots[s], self._lots[s, k], k, quantity, stop, target)
            self._lots[s, k]["exit_reason"] = NO_REASON
            self._lots[s, k]["wish"] = said[k].wish if k in said else 0.0

    def _stage_sale(self, order: JournalOrder, s: int) -> None:
        slot, lots = self._slots[s], self._lots[s]
        if order.parts:
            self._stage_sold(order.parts, s)
            bought = {self.numbers.get(p.strategy, 0): p.quantity for p in order.parts if p.quantity > 0.0}
            self._ask(order, s, bought)
            self._ask_less(s, SELL, market_parts(slot, lots, SELL, order.filled_quantity))
        else:
            wanted = position_parts(slot, lots, _left(order), self.numbers.get(order.strategy))
            for k, quantity in wanted.items():
                lots[k]["delta"] = -quantity
                lots[k]["exit_reason"] = ORDER_REASONS.index(order.reason)
        self._settle(s)

    def _stage_sold(self, parts: Iterable[LotOrder], s: int) -> None:
        for part in parts:
            k = self.numbers.get(part.strategy, 0)
            lot = self._lots[s, k]
            if part.quantity < 0.0 and _owns(self._slots[s], k) and lot["quantity"] > 0.0:
                lot["delta"] = -min(-part.quantity, lot["quantity"])
                lot["exit_reason"] = ORDER_REASONS.index(part.reason)

    def _ask_less(self, s: int, side: int, parts: Parts) -> None:
        for k, quantity in parts.items():
            lot = self._lots[s, k]
            left = max(0.0, lot["delta"] * side - quantity)
            lot["delta"] = left * side
            if left == 0.0:
                lot["exit_reason"] = NO_REASON

    def _settle(self, s: int) -> None:
        _net(self._slots, self._lots, s)
        _levels(self._slots[s], self._lots[s])
        _sum_wishes(self._slots[s], self._lots[s])
        _watch(self._slots[s], self._lots[s])

    def _free_slot(self, ticker: str) -> int:
        if ticker not in self._columns:
            raise OperatorNeededError(
                f"the account trades {ticker} for this engine, but the universe lacks it: add it to [universe]"
            )
        for s, held in enumerate(self._slots["ticker"].tolist()):
            if held == EMPTY:
                return s
        raise OperatorNeededError(
            f"{ticker} has filled, but all {len(self._slots)} places of the book are taken: close a position by hand"
        )


def parts_of(order: JournalOrder | None) -> tuple[LotOrder, ...]:
    """Return the strategies' parts of an order; without any it is all of the one that it names."""
    if order is None:
        return ()
    if order.parts:
        return order.parts
    signed = order.quantity if order.side is Side.BUY else -order.quantity
    return (LotOrder(order.strategy, signed, order.stop_price or 0.0, order.target_price or 0.0, order.reason),)


def as_parts(order: JournalOrder, numbers: Mapping[str, int], done: float, quantity: float) -> Parts:
    """Return whose the next `quantity` shares of an order are, `done` of it having filled before."""
    return order_parts(parts_of(order), numbers, BUY if order.side is Side.BUY else SELL, done, quantity)


def is_protective(reason: OrderReason, order: JournalOrder | None) -> bool:
    """Return True for a stop or target of the whole position, False for an exit that strategies have decided."""
    return reason in PROTECTIVE and (order is None or not order.parts)


def is_decided(reason: OrderReason) -> bool:
    """Return True for an order that strategies have decided at a close, for the open."""
    return reason not in (OrderReason.NONE, OrderReason.DELISTED)


def _left(order: JournalOrder) -> float:
    return max(0.0, order.quantity - order.filled_quantity)
