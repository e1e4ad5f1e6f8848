"""The durable record of orders for a real broker: every method has committed when it returns.

It writes the same tables as the repository, but on its own and at once: an order that may be on its way must not wait
for the end of a scan, nor may the verdict that let it through. A repository of the same run must not add them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from trading_platform.core.errors import ApprovalError, RepairDatabaseError
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, JournalOrder
from trading_platform.core.types import ApprovedOrder, OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.order_mark import OrderMark
from trading_platform.storage.order_rows import approved_signal, order_row, read_parts
from trading_platform.storage.repository import OPEN_STATUSES

TABLE = m.Order.__table__
SIGNAL_COLUMNS = [column.name for column in m.SignalRow.__table__.columns if not column.primary_key]


class DatabaseJournal:
    """Orders of one run; implements `core.ports.OrderJournal`.

    Parameters
    ----------
    engine
        An open, migrated database, ``synchronous="FULL"`` (the default) so that a power failure loses nothing.
    run_id
        The run that the orders belong to.
    now
        The clock, for the instants at which orders are sent and close.
    """

    def __init__(self, engine: Engine, run_id: int, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._run_id = run_id
        self._now = now
        self.mark = OrderMark(engine, run_id)

    def record_intent(self, order: ApprovedOrder) -> None:
        """Write an order down before anything is sent; an entry with its signal, in the same transaction.

        The same order decided again after a crash keeps its rows and what is known of it, under its new approval.

        Raises
        ------
        ApprovalError
            The run has another order of that id: nothing may be sent under it.
        """
        self._write_intent(order)
        self.mark.put(order.client_order_id)

    def _write_intent(self, order: ApprovedOrder) -> None:
        row = order_row(self._run_id, order)
        with self._engine.begin() as connection:
            known = self._row(connection, m.Order.client_order_id == order.client_order_id)
            if known is None:
                connection.execute(insert(m.Order).values(**row))
                if order.intent.reason is OrderReason.ENTRY:
                    signal = (self._run_id, *approved_signal(order))
                    connection.execute(insert(m.SignalRow), dict(zip(SIGNAL_COLUMNS, signal, strict=True)))
                return
            if any(known[name] != row[name] for name in ("ticker", "side", "quantity")):
                raise ApprovalError(
                    f"order {order.client_order_id}: the id belongs to {known['side']} {known['quantity']:g} "
                    f"{known['ticker']} of this run; nothing was sent"
                )
            anew = {name: row[name] for name in ("approval_id", "parts")}
            connection.execute(update(m.Order).where(m.Order.id == known["id"]).values(**anew))

    def record_order(self, order: BrokerOrder) -> None:
        """Write down what the broker says of one of our orders and of its legs, all in one transaction.

        Raises
        ------
        RepairDatabaseError
            Neither the order nor the one it is a leg of is known: it was never approved by this run.
        """
        with self._engine.begin() as connection:
            for seen in (order, *order.legs):
                known = self._row(connection, m.Order.client_order_id == seen.client_order_id)
                if known is None:
                    known = self._add_leg(connection, seen)
                self._update(connection, known, seen)

    def close(self, client_order_id: str, status: OrderStatus, message: str) -> None:
        """Write down that an order came to its end without the broker's word, and why."""
        with self._engine.begin() as connection:
            connection.execute(
                update(m.Order)
                .where(m.Order.run_id == self._run_id, m.Order.client_order_id == client_order_id)
                .values(status=status.value, message=message, closed_at=self._now())
            )

    def find_order(self, client_order_id: str) -> JournalOrder | None:
        """Return an order or leg of ours, open or not."""
        return self._find(m.Order.client_order_id == client_order_id)

    def find_broker_order(self, broker_order_id: str) -> JournalOrder | None:
        """Return an order or leg of ours by the broker's name of it, open or not."""
        return self._find(m.Order.broker_order_id == broker_order_id) if broker_order_id else None

    def newest_order(self) -> JournalOrder | None:
        """Return the order that was written down last, None while there is none."""
        query = select(TABLE).where(m.Order.run_id == self._run_id).order_by(m.Order.id.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else _journal_order(row._mapping)

    def open_orders(self) -> list[JournalOrder]:
        """Return our orders and legs that may still fill, as far as we know, oldest first."""
        query = (
            select(TABLE).where(m.Order.run_id == self._run_id, m.Order.status.in_(OPEN_STATUSES)).order_by(m.Order.id)
        )
        with self._engine.connect() as connection:
            return [_journal_order(row._mapping) for row in connection.execute(query)]

    # ------------------------------------------------------------ rows

    def _find(self, condition: Any) -> JournalOrder | None:
        with self._engine.connect() as connection:
            row = self._row(connection, condition)
        return None if row is None else _journal_order(row)

    def _row(self, connection: Connection, condition: Any) -> Mapping[str, Any] | None:
        row = connection.execute(select(TABLE).where(m.Order.run_id == self._run_id, condition)).first()
        return None if row is None else dict(row._mapping)

    def _add_leg(self, connection: Connection, leg: BrokerOrder) -> Mapping[str, Any]:
        """Insert a leg that is new to us, with the approval and strategy of its parent, and return its row."""
        parent = None if leg.parent_id is None else self._row(connection, m.Order.client_order_id == leg.parent_id)
        if parent is None:
            raise RepairDatabaseError(
                f"order {leg.client_order_id}: the database holds no intent of it for run {self._run_id}; "
                "is this the database that the account is traded with? name it with --db"
            )
        row = {key: value for key, value in parent.items() if key != "id"} | {
            "client_order_id": leg.client_order_id,
            "broker_order_id": None,
            "side": leg.side.value,
            "limit_price": leg.limit_price,
            "stop_price": None,
            "target_price": None,
            "reason": leg.reason.value,
            "status": OrderStatus.SUBMITTED.value,
            "message": None,
            "submitted_at": leg.submitted_at,
            "closed_at": None,
            "parts": None,  # a stop sells for all lots
        }
        connection.execute(insert(m.Order).values(**row))
        return row

    def _update(self, connection: Connection, known: Mapping[str, Any], seen: BrokerOrder) -> None:
        sent = seen.submitted_at or known["submitted_at"]
        if sent is None and seen.status not in (OrderStatus.INTENT, OrderStatus.REJECTED):
            sent = self._now()
        changes = {
            "broker_order_id": seen.broker_order_id or known["broker_order_id"],
            "reason": known["reason"] if seen.reason is OrderReason.NONE else seen.reason.value,
            "quantity": seen.quantity,
            # a split or an edit moves a stop; of a group the levels stand with its parent, as they were decided
            "stop_price": known["stop_price"] if None in (known["stop_price"], seen.stop_price) else seen.stop_price,
            "filled_quantity": seen.filled_quantity,
            "status": seen.status.value,
            "message": seen.message or None,
            "submitted_at": sent,
            "closed_at": None if seen.status.is_open else known["closed_at"] or self._now(),
        }
        connection.execute(
            update(m.Order)
            .where(m.Order.run_id == self._run_id, m.Order.client_order_id == seen.client_order_id)
            .values(**changes)
        )


def _journal_order(row: Mapping[Any, Any]) -> JournalOrder:
    """Return an order as it stands written.

    Raises
    ------
    RepairDatabaseError
        A word in the row is none that an order has.
    """
    try:
        return _read(row)
    except ValueError as error:
        name = row["client_order_id"]
        raise RepairDatabaseError(
            f"orders: {name} cannot be read ({error}); `db repair` puts such rows right"
        ) from error


def _read(row: Mapping[Any, Any]) -> JournalOrder:
    return JournalOrder(
        client_order_id=row["client_order_id"],
        broker_order_id=row["broker_order_id"],
        ticker=row["ticker"],
        side=Side(row["side"]),
        quantity=row["quantity"],
        filled_quantity=row["filled_quantity"],
        status=OrderStatus(row["status"]),
        strategy=row["strategy"],
        reason=OrderReason(row["reason"]),
        decided_at=row["decided_at"],
        stop_price=row["stop_price"],
        target_price=row["target_price"],
        limit_price=row["limit_price"],
        parts=read_parts(row["parts"]),
    )
