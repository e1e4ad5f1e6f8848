"""Cancelling at Alpaca: one order, or every resting sell of a ticker whose shares an exit needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

from trading_platform.alpaca.failures import FailureKind, SendError
from trading_platform.alpaca.http import AlpacaHttp
from trading_platform.alpaca.orders import root_id
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.brokers.untold_fills import as_told, has_untold_sale
from trading_platform.core.errors import BrokerUnreachableError, FixCredentialsError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, OrderJournal
from trading_platform.core.types import OrderIntent, Side

CANCELS = 3  # of one order
RELEASE_CHECKS = 20  # looks at a cancelled order before it counts as still holding its shares
PENDING = "pending_cancel"
SHORTEST_WAIT = 0.25  # seconds between looks, and before anything is sent again


class RestingOrders(NamedTuple):
    """What it takes to change orders of ours that rest at Alpaca.

    Attributes
    ----------
    http, reader
        The tamed clients, and the reader over them.
    journal
        The durable record of our orders: it says which sells of ours are resting.
    wait
        How to wait between looks, in seconds.
    """

    http: AlpacaHttp
    reader: AlpacaReader
    journal: OrderJournal
    wait: Callable[[float], None]


class AlpacaCanceller:
    """Cancels orders."""

    def __init__(self, resting: RestingOrders) -> None:
        self._http, self._reader, self._journal, self._wait = resting

    def cancel(self, order: BrokerOrder) -> None:
        """Send a cancellation, which may safely be repeated; what is closed or unknown needs none.

        Raises
        ------
        BrokerUnreachableError
            Alpaca did not say what became of the request.
        FixCredentialsError
            Alpaca refused the keys.
        """
        trading = self._http.trading
        for _ in range(CANCELS):
            try:
                self._http.send(lambda: trading.cancel_order_by_id(order.broker_order_id), lambda raw: None)
            except SendError as error:
                if error.failure.kind in (FailureKind.REFUSED, FailureKind.NOT_FOUND):
                    return
                if error.failure.kind is FailureKind.CREDENTIALS:
                    raise FixCredentialsError(f"cancel {order.client_order_id}: {error.failure}") from error
                failure = error.failure
                self._wait(max(SHORTEST_WAIT, failure.retry_after or 0.0))
            else:
                return
        raise BrokerUnreachableError(
            f"cancel {order.client_order_id}: no usable answer ({failure}); it may still be open"
        )

    def make_way(self, intent: OrderIntent) -> bool:
        """Cancel what of ours stands in the way of an order; return True when nothing does any more.

        Of a sale these are all resting sells, and the rest of an entry, with which it might trade; a new stop has its
        place beside an exit, and comes when no other rests.
        Of a buy it is a stop without a target, which Alpaca takes for one half of a wash trade; a stop that sleeps
        beside its target does not count.
        """
        if intent.side is Side.SELL:
            is_stop = intent.stop_price is not None or intent.target_price is not None
            return is_stop or self.release(intent.ticker, with_entry=True)
        ours = [row for row in self._journal.open_orders() if row.ticker == intent.ticker and row.side is Side.SELL]
        targets = {root_id(row.client_order_id) for row in ours if row.reason is OrderReason.TAKE_PROFIT}
        alone = [row for row in ours if root_id(row.client_order_id) not in targets]
        return not alone or self.release(intent.ticker)

    def release(self, ticker: str, *, with_entry: bool = False, checks: int = RELEASE_CHECKS) -> bool:
        """Cancel our resting sells of `ticker`, since Alpaca sells shares only once; return True when none is left.

        `with_entry`: its open buys as well. Each is looked at `checks` times: after hours a cancellation may pend until
        the open. One that has sold shares of which the history does not tell yet is in the way: they are gone.
        """
        for root in dict.fromkeys(
            root_id(row.client_order_id)
            for row in self._journal.open_orders()
            if row.ticker == ticker and (with_entry or row.side is Side.SELL) and row.broker_order_id is not None
        ):
            if not self._release_root(root, checks):
                return False
        return True

    def _release_root(self, root: str, checks: int) -> bool:
        for _ in range(checks):
            order = self._reader.order(root)
            working = [] if order is None else [o for o in (order, *order.legs) if o.status.is_open]
            if not working:
                if order is not None:
                    self._journal.record_order(as_told(order, self._journal))
                return order is None or not has_untold_sale(order, self._journal)
            if working[0].message != PENDING:
                with contextlib.suppress(BrokerUnreachableError):  # the next look tells
                    self.cancel(working[0])
            self._wait(SHORTEST_WAIT)
        return False
