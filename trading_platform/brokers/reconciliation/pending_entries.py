"""Entries that may still fill, each in the slot where its position will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trading_platform.core.compiled import plain
from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ledger import Records, clear_slot, reserve
from trading_platform.core.ports import JournalOrder

EMPTY = -1
_clear, _reserve = plain(clear_slot), plain(reserve)  # a handful a day: not worth a compilation of their own


class PendingEntries:
    """The slots of an account book by ticker, and the entries in them.

    Parameters
    ----------
    slots
        Positions and pending entries, (S,) of `core.ledger.SLOT`; changed in place.
    tickers, strategies
        Names of columns and strategy numbers.
    """

    def __init__(self, slots: Records, tickers: Sequence[str], strategies: Sequence[str]) -> None:
        self._slots = slots
        self._tickers = tickers
        self._columns = {ticker: i for i, ticker in enumerate(tickers)}
        self._numbers = {name: i for i, name in enumerate(strategies)}

    def slot_of(self, ticker: str) -> int:
        """Return the slot that holds `ticker` or has it pending, -1 if there is none."""
        column = self._columns.get(ticker, EMPTY)
        held: list[int] = self._slots["ticker"].tolist()
        return held.index(column) if column != EMPTY and column in held else -1

    def reserve(
        self, ticker: str, strategy: str, quantity: float, limit: float, stop: float | None, target: float | None
    ) -> int:
        """Keep a slot for an entry that may fill; return it.

        Raises
        ------
        OperatorNeededError
            The universe lacks the ticker, or every slot is taken.
        """
        s = self._free_slot(ticker)
        self._put(s, ticker, strategy, quantity, limit, stop, target)
        return s

    def match(self, orders: Mapping[str, JournalOrder]) -> None:
        """Make pending entries those of the buy `orders` that may still fill (by ticker): no more, no less.

        An entry keeps its slot, since the order of slots is the order of decisions, but takes what its order says: a
        saved one may have ended, and another in its ticker be at work.
        """
        for s, slot in enumerate(self._slots):
            if slot["ticker"] < 0:
                continue
            order = orders.get(self._tickers[slot["ticker"]])
            if slot["quantity"] > 0.0:
                slot["pending"] = 0.0 if order is None else _left(order)
            elif order is None:
                _clear(slot)
            else:
                self.take(order, s)
        for ticker, order in orders.items():
            if self.slot_of(ticker) < 0 and ticker in self._columns:
                self.take(order, self._free_slot(ticker))

    def take(self, order: JournalOrder, s: int) -> None:
        """Put an entry that may still fill into slot `s`."""
        limit = order.limit_price or 0.0
        self._put(s, order.ticker, order.strategy, _left(order), limit, order.stop_price, order.target_price)

    def _put(
        self,
        s: int,
        ticker: str,
        strategy: str,
        quantity: float,
        limit: float,
        stop: float | None,
        target: float | None,
    ) -> None:
        column, number = self._columns[ticker], self._numbers.get(strategy, 0)
        _reserve(self._slots[s], column, number, quantity, limit, stop or 0.0, target or 0.0, limit)

    def _free_slot(self, ticker: str) -> int:
        if ticker not in self._columns:
            raise OperatorNeededError(
                f"the account trades {ticker} for this engine, but the universe lacks it: add it to [universe]"
            )
        for s, held in enumerate(self._slots["ticker"].tolist()):
            if held == EMPTY:
                return s
        raise OperatorNeededError(
            f"{ticker} has filled, but all {len(self._slots)} positions of max_positions are taken: close one by hand"
        )


def _left(order: JournalOrder) -> float:
    return max(0.0, order.quantity - order.filled_quantity)
