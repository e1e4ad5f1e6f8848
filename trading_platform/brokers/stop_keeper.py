"""Stops of positions: resting at the broker where it can hold them, watched by the engine where it cannot.

Alpaca holds no stops of fractional positions, and refuses one that the price has passed already. A position without a
working sell of ours at the broker is compared with the latest price at every look while the exchange is open, and sold
at the market when its stop or target is reached.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import date
from itertools import count

from trading_platform.brokers.reconciliation.account_book import AccountBook
from trading_platform.brokers.venue import RiskGate
from trading_platform.core.errors import TradingPlatformError
from trading_platform.core.intents import order_id
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, OrderJournal
from trading_platform.core.types import ApprovedOrder, Denial, OrderIntent, OrderStatus, Side

log = logging.getLogger("trading_platform.stops")

Prices = Callable[[Collection[str]], Mapping[str, float]]


class StopKeeper:
    """Places and watches stops.

    Parameters
    ----------
    book, gate, journal
        Our book, `RiskManager`, and the durable record of our orders.
    place
        How an approved order leaves.
    prices
        Latest prices in dollars by ticker; unknown ones are absent.
    """

    def __init__(
        self,
        book: AccountBook,
        gate: RiskGate,
        journal: OrderJournal,
        place: Callable[[ApprovedOrder], BrokerOrder],
        prices: Prices,
    ) -> None:
        self._book = book
        self._gate = gate
        self._journal = journal
        self._place = place
        self._prices = prices

    def protect(self, ticker: str, quantity: float, stop: float, target: float | None, session: date) -> None:
        """Place a resting stop, and target, for a position that has none; reduce-only, through the risk manager."""
        self._sell(ticker, quantity, OrderReason.STOP_LOSS, session, stop, target)

    def watch(self, session: date) -> None:
        """Sell what has reached its stop or target and has no order of ours at the broker that would."""
        covered = {row.ticker for row in self._journal.open_orders() if row.side is Side.SELL}
        waiting = {ticker: held for ticker, held in self._book.positions().items() if ticker not in covered}
        if not waiting:
            return
        try:
            prices = self._prices(sorted(waiting))
        except TradingPlatformError as error:  # the next look asks again
            log.warning("no latest prices for the stops of %s: %s", ", ".join(sorted(waiting)), error)
            return
        for ticker, position in waiting.items():
            price = prices.get(ticker)
            if price is None:
                log.warning("no latest price of %s: its stop cannot be watched now", ticker)
            elif position.stop_price is not None and price <= position.stop_price:
                self._sell(ticker, position.quantity, OrderReason.STOP_LOSS, session)
            elif position.target_price is not None and price >= position.target_price:
                self._sell(ticker, position.quantity, OrderReason.TAKE_PROFIT, session)

    def _sell(
        self,
        ticker: str,
        quantity: float,
        reason: OrderReason,
        session: date,
        stop: float | None = None,
        target: float | None = None,
    ) -> None:
        s = self._book.slot_of(ticker)
        if s < 0:
            return
        self._gate.mirror(self._book.record, self._book.slots, self._book.lots, self._book.book.stopped)
        strategy = self._book.strategy_of(self._book.slots[s])
        intent = OrderIntent(ticker, Side.SELL, quantity, None, stop, target, strategy, reason, 0.0, session)
        # An approval promises its shares, so only the attempt that will be sent may ask for one.
        attempt = next(n for n in count() if self._is_free(order_id(intent, n), intent))
        verdict = self._gate.approve(intent, attempt)
        if isinstance(verdict, Denial):
            log.warning("%s is not protected: %s", ticker, verdict.message)
            return
        self._place(verdict)

    def _is_free(self, client_order_id: str, intent: OrderIntent) -> bool:
        """Return True if nothing was sent under the id: unknown, or the same intent, cut off by a crash."""
        row = self._journal.find_order(client_order_id)
        if row is None:
            return True
        is_unsent = row.status is OrderStatus.INTENT and row.broker_order_id is None
        same = (row.quantity, row.stop_price, row.target_price)
        return is_unsent and same == (intent.quantity, intent.stop_price, intent.target_price)
