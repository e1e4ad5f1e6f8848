"""Stops of positions: resting at the broker where it can hold them, watched by the engine where it cannot.

Alpaca holds no stops of fractional positions, and refuses one that the price has passed already. A position without a
sell of ours at the broker that can trade is compared with the latest price while the exchange is open, every few
seconds, and sold at the market when its stop or target is reached. A price that is old, or that a split would explain,
sells nothing: it is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import date, datetime
from itertools import count
from typing import NamedTuple

from trading_platform.alpaca.orders import root_id
from trading_platform.brokers.last_prices import LastPrice, Prices, age_doubt, split_doubt
from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.reconciliation.two_books import OurPosition
from trading_platform.brokers.venue import RiskDoor
from trading_platform.core.errors import TradingPlatformError
from trading_platform.core.intents import order_id
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, OrderJournal
from trading_platform.core.types import ApprovedOrder, Denial, OrderIntent, OrderStatus, Side

log = logging.getLogger("trading_platform.stops")


class Moment(NamedTuple):
    """A look while the exchange is open: the last session settled, the opening bell, the time, and our orders at the
    broker whose sells cannot trade now (`protection.idle_roots`).
    """

    session: date
    opened: datetime
    now: datetime
    idle: Collection[str] = ()


class StopKeeper:
    """Places and watches stops.

    Parameters
    ----------
    book, door, journal
        Our book, `RiskManager`, and the durable record of our orders.
    place
        How an approved order leaves.
    prices
        Last trades by ticker; unknown ones are absent.
    """

    def __init__(
        self,
        book: AccountBook,
        door: RiskDoor,
        journal: OrderJournal,
        place: Callable[[ApprovedOrder], BrokerOrder],
        prices: Prices,
    ) -> None:
        self._book = book
        self._door = door
        self._journal = journal
        self._place = place
        self._prices = prices
        self._told: dict[str, str] = {}

    def protect(self, ticker: str, quantity: float, stop: float, target: float | None, session: date) -> str:
        """Place a resting stop, and target, for a position that has none; reduce-only, through the risk manager.

        Returns
        -------
        str
            Why it does not rest, "" if it does (or if nobody knows yet).
        """
        return self._sell(ticker, quantity, OrderReason.STOP_LOSS, session, stop, target)

    def uncovered(self, idle: Collection[str] = ()) -> dict[str, OurPosition]:
        """Return the positions of which no sell of ours is at the broker that can trade now."""
        covered = {
            row.ticker
            for row in self._journal.open_orders()
            if row.side is Side.SELL and root_id(row.client_order_id) not in idle
        }
        return {ticker: held for ticker, held in self._book.positions().items() if ticker not in covered}

    def is_reached(self, moment: Moment) -> bool:
        """Return True if a watched position should be sold now. One request for prices at most; sells nothing."""
        watched = self._watched(moment)
        try:
            prices = self._prices(sorted(watched)) if watched else {}
        except TradingPlatformError as error:  # asked again in some seconds; the next look warns
            log.debug("no latest prices: %s", error)
            return False
        return any(
            reached(position, prices.get(ticker)) is not None and not self._doubt(ticker, prices.get(ticker), moment)
            for ticker, position in watched.items()
        )

    def watch(self, moment: Moment) -> dict[str, str]:
        """Sell what has reached its stop or target and has no order of ours at the broker that would.

        Returns
        -------
        dict
            Ticker -> why a watched position cannot be judged now, or was not sold.
        """
        watched = self._watched(moment)
        if not watched:
            return {}
        try:
            prices = self._prices(sorted(watched))
        except TradingPlatformError as error:  # the next look asks again
            log.warning("no latest prices for the stops of %s: %s", ", ".join(sorted(watched)), error)
            return dict.fromkeys(watched, f"no last prices: {error}")
        doubts = {}
        for ticker, position in watched.items():
            last = prices.get(ticker)
            doubt = self._doubt(ticker, last, moment)
            if doubt:
                doubts[ticker] = doubt
                if self._told.get(ticker) != doubt.partition(" at ")[0]:
                    log.warning("the stop of %s cannot be watched now: %s", ticker, doubt)
            elif (reason := reached(position, last)) is not None:
                refusal = self._sell(ticker, position.quantity, reason, moment.session)
                if refusal:
                    doubts[ticker] = f"it is reached, and the sale is refused: {refusal}"
        self._told = {ticker: doubt.partition(" at ")[0] for ticker, doubt in doubts.items()}
        return doubts

    def _watched(self, moment: Moment) -> dict[str, OurPosition]:
        return {
            ticker: position
            for ticker, position in self.uncovered(moment.idle).items()
            if position.stop_price is not None or position.target_price is not None
        }

    def _doubt(self, ticker: str, last: LastPrice | None, moment: Moment) -> str:
        old = age_doubt(last, moment.opened, moment.now)
        if old or last is None:
            return old
        s = self._book.slot_of(ticker)
        return "" if s < 0 else split_doubt(last.price, float(self._book.slots[s]["price"]))

    def _sell(
        self,
        ticker: str,
        quantity: float,
        reason: OrderReason,
        session: date,
        stop: float | None = None,
        target: float | None = None,
    ) -> str:
        """Sell, now or at a stop; return why not, "" if the order is at the broker (or may be)."""
        s = self._book.slot_of(ticker)
        if s < 0:
            return ""
        self._door.mirror(self._book.record, self._book.slots, self._book.lots, self._book.book.stopped)
        strategy = self._book.strategy_of(self._book.slots[s])
        intent = OrderIntent(ticker, Side.SELL, quantity, None, stop, target, strategy, reason, 0.0, session)
        # An approval promises its shares, so only the attempt that will be sent may ask for one.
        attempt = next(n for n in count() if self._is_free(order_id(intent, n), intent))
        verdict = self._door.approve(intent, attempt)
        if isinstance(verdict, Denial):
            log.warning("%s is not protected: %s", ticker, verdict.message)
            return verdict.message
        answer = self._place(verdict)
        return "" if answer.status.is_open or answer.filled_quantity > 0.0 else f"{answer.status}: {answer.message}"

    def _is_free(self, client_order_id: str, intent: OrderIntent) -> bool:
        """Return True if nothing was sent under the id: unknown, or the same intent, cut off by a crash."""
        row = self._journal.find_order(client_order_id)
        if row is None:
            return True
        is_unsent = row.status is OrderStatus.INTENT and row.broker_order_id is None
        same = (row.quantity, row.stop_price, row.target_price)
        return is_unsent and same == (intent.quantity, intent.stop_price, intent.target_price)


def reached(position: OurPosition, last: LastPrice | None) -> OrderReason | None:
    """Return which of its levels a position has reached at the last price, None if neither."""
    if last is None:
        return None
    if position.stop_price is not None and last.price <= position.stop_price:
        return OrderReason.STOP_LOSS
    if position.target_price is not None and last.price >= position.target_price:
        return OrderReason.TAKE_PROFIT
    return None
