"""Resizing a resting stop at Alpaca by PATCH: a reduction frees its shares, and what stays is never without its stop.

Alpaca changes nothing in place: the stop ends as `replaced` and another of its kind begins, under an id of its own.
Only a stop by itself is changed so. Whether the shares of a group may be is documented nowhere; an order that is
`accepted`, `pending_new`, `pending_cancel` or `pending_replace` cannot be (specification of `PATCH /v2/orders/{id}`).
"""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import Any

from trading_platform.alpaca.failures import FailureKind, SendError
from trading_platform.alpaca.orders import parse_order, root_id
from trading_platform.brokers.alpaca_canceller import SHORTEST_WAIT, RestingOrders
from trading_platform.brokers.reconciliation.protection import is_whole
from trading_platform.brokers.reconciliation.two_books import SHARE_TOLERANCE
from trading_platform.brokers.untold_fills import as_told
from trading_platform.core.errors import FixCredentialsError
from trading_platform.core.ports import BrokerOrder
from trading_platform.core.types import OrderIntent, Side

log = logging.getLogger("trading_platform.alpaca")

WORKING = frozenset({"new", "partially_filled"})  # in which Alpaca changes an order
PENDING = "pending_replace"


class Room(Enum):
    """What became of the wish that a stop protects so many shares: it does, the change is pending, it cannot be."""

    MADE = auto()
    PENDING = auto()
    IMPOSSIBLE = auto()


class StopResizer:
    """Changes how many shares a resting stop protects."""

    def __init__(self, resting: RestingOrders) -> None:
        self._http, self._reader, self._journal, self._wait = resting
        self._room: set[str] = set()  # tickers in which a sale has its shares beside a stop

    def resize(self, ticker: str, shares: float, checks: int) -> Room:
        """Let the only resting stop of `ticker` protect `shares`, looked at `checks` times.

        Raises
        ------
        BrokerUnreachableError
            No usable answer.
        FixCredentialsError
            Alpaca refused the keys.
        """
        self._room.discard(ticker)
        root = self._only_stop(ticker)
        if root is None or not is_whole(shares):
            return Room.IMPOSSIBLE
        sent = False
        for _ in range(checks):
            order = self._reader.order(root)
            if order is None or not _is_stop_alone(order):
                return Room.IMPOSSIBLE
            if abs(order.quantity - order.filled_quantity - shares) <= SHARE_TOLERANCE:
                self._journal.record_order(as_told(order, self._journal))
                self._room.add(ticker)
                return Room.MADE
            if order.message != PENDING:
                if sent or order.message not in WORKING or not self._change(order, shares):
                    return Room.IMPOSSIBLE
                sent = True
            self._wait(SHORTEST_WAIT)
        return Room.PENDING

    def takes_room(self, intent: OrderIntent) -> bool:
        """Return True once if an exit has its shares beside the stop of the rest."""
        is_exit = intent.side is Side.SELL and intent.stop_price is None and intent.target_price is None
        if not is_exit or intent.ticker not in self._room:
            return False
        self._room.remove(intent.ticker)
        return True

    def _only_stop(self, ticker: str) -> str | None:
        rows = [row for row in self._journal.open_orders() if row.ticker == ticker and row.broker_order_id is not None]
        roots = {root_id(row.client_order_id) for row in rows}
        return roots.pop() if len(roots) == 1 and rows[0].side is Side.SELL else None

    def _change(self, order: BrokerOrder, shares: float) -> bool:
        """Ask for the change; return False if it was refused. What nobody answers, the next look tells."""
        from alpaca.trading.requests import ReplaceOrderRequest

        request = ReplaceOrderRequest(qty=round(order.filled_quantity + shares))

        def parse(raw: Any) -> BrokerOrder:
            return parse_order({**raw, "client_order_id": order.client_order_id})

        try:
            self._http.send(lambda: self._http.trading.replace_order_by_id(order.broker_order_id, request), parse)
        except SendError as error:
            if error.failure.kind is FailureKind.CREDENTIALS:
                raise FixCredentialsError(f"replace {order.client_order_id}: {error.failure}") from error
            log.warning("order %s: cannot be made %g shares: %s", order.client_order_id, shares, error.failure)
            return not error.failure.is_definitive
        log.info("order %s: %g shares become %g", order.client_order_id, order.quantity, shares)
        return True


def _is_stop_alone(order: BrokerOrder) -> bool:
    return not order.legs and order.status.is_open and order.side is Side.SELL and order.stop_price is not None
