"""Executions that an order tells of and the account's history does not yet.

An order is over for us when what it has traded is booked, and that comes from the history alone. Whoever writes the
broker's word on an order down meanwhile (a cancellation, an answer) leaves it open: nobody would wait for its fills
any more, and the shares would be missing without a reason. An answer whose numbers cannot be says nothing: what stands
written of the order stays.
"""

from __future__ import annotations

from trading_platform.brokers.reconciliation.sense import doubt_of_order
from trading_platform.core.ports import BrokerOrder, OrderJournal
from trading_platform.core.types import OrderStatus, Side


def as_told(order: BrokerOrder, journal: OrderJournal) -> BrokerOrder:
    """Return an order and its legs as far as the journal bears their executions out."""
    legs = (leg for leg in order.legs if not doubt_of_order(leg) or journal.find_order(leg.client_order_id) is not None)
    bounded = order._replace(legs=tuple(as_told(leg, journal) for leg in legs))
    if doubt_of_order(order):
        return _as_written(bounded, journal)
    known = _booked(order, journal)
    if not order.filled_quantity > known:
        return bounded
    status = OrderStatus.PARTIALLY_FILLED if known > 0.0 else OrderStatus.SUBMITTED
    return bounded._replace(status=status, filled_quantity=known)


def _as_written(order: BrokerOrder, journal: OrderJournal) -> BrokerOrder:
    """Return an order as the journal has it; one that was just sent is asked for again."""
    row = journal.find_order(order.client_order_id)
    if row is None:
        return order._replace(quantity=0.0, filled_quantity=0.0, status=OrderStatus.UNCERTAIN)
    status = OrderStatus.UNCERTAIN if row.status is OrderStatus.INTENT else row.status
    return order._replace(quantity=row.quantity, filled_quantity=row.filled_quantity, status=status)


def has_untold_sale(order: BrokerOrder, journal: OrderJournal) -> bool:
    """Return True if an order or a leg of it has sold shares that the journal does not know of."""
    sells = [one for one in (order, *order.legs) if one.side is Side.SELL]
    return any(one.filled_quantity > _booked(one, journal) for one in sells)


def _booked(order: BrokerOrder, journal: OrderJournal) -> float:
    row = journal.find_order(order.client_order_id)
    return 0.0 if row is None else row.filled_quantity
