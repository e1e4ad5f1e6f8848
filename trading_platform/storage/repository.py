"""The engine's writing side of the database: rows are collected and committed together, orders by their id.

A commit is the unit of recovery: positions, orders, risk memory and the session they belong to are written in one
transaction, so a killed process leaves the state of its last commit and nothing else. A replay commits every few
dozen sessions; a live engine commits after each step, and an intent before its order is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from trading_platform.core.errors import OperatorNeededError
from trading_platform.core.ports import SavedBook
from trading_platform.core.types import ApprovedOrder, OrderStatus
from trading_platform.storage import models as m
from trading_platform.storage.order_rows import order_row
from trading_platform.storage.rows import Row, RowBuffer

BUFFERED: tuple[type[m.Base], ...] = (
    m.Order,
    m.FillRow,
    m.Trade,
    m.EquityRow,
    m.PositionRow,
    m.LotRow,
    m.SignalRow,
    m.RiskEvent,
    m.Allocation,
    m.RegimeRow,
    m.DataWarning,
    m.Command,
)
# A statement that is built once is also compiled once.
KEEP_RISK, KEEP_BOOK = insert(m.RiskStateRow), insert(m.PaperBook)
FORGET_RISK = delete(m.RiskStateRow).where(m.RiskStateRow.run_id == bindparam("run"))
FORGET_BOOK = delete(m.PaperBook).where(m.PaperBook.run_id == bindparam("run"))
CHANGE_RUN = update(m.Run.__table__).where(m.Run.id == bindparam("run"))  # type: ignore[arg-type] # likewise
CHANGE_ORDER = update(m.Order.__table__).where(  # type: ignore[arg-type] # a mapped class has a Table
    m.Order.run_id == bindparam("run"), m.Order.client_order_id == bindparam("key")
)
OPEN_STATUSES = tuple(status.value for status in OrderStatus if status.is_open)


class Repository:
    """Rows of one run.

    Parameters
    ----------
    engine
        An open, migrated database.
    run_id
        The run that every row belongs to.
    tickers, strategies
        Names of columns and strategy numbers in slot records.
    """

    def __init__(
        self, engine: Engine, run_id: int, tickers: Sequence[str] = (), strategies: Sequence[str] = ()
    ) -> None:
        from trading_platform.storage.closes import Closes  # brings the compiler, which status does not need

        self.engine = engine
        self.run_id = run_id
        self.closes = Closes(run_id, tickers, strategies)
        self._buffers = {model: RowBuffer(model) for model in BUFFERED}
        self._orders: dict[str, dict[str, Any]] = {}
        self._stored: set[str] = set()
        self._envelope: tuple[str, datetime] | None = None
        self._book: SavedBook | None = None
        self._book_at: datetime | None = None
        self._run: dict[str, Any] = {}
        self._handled: list[dict[str, Any]] = []

    # ------------------------------------------------------------ collecting

    def add(self, model: type[m.Base], row: Row) -> None:
        """Collect a row; its values are in the order of the table's columns after `run_id`."""
        self._buffers[model].add((self.run_id, *row))

    def add_order(self, order: ApprovedOrder, status: OrderStatus, at: datetime) -> None:
        """Collect an order's first row: the intent."""
        submitted = at if status != OrderStatus.INTENT else None
        self._orders[order.client_order_id] = order_row(self.run_id, order, status, submitted)

    def update_order(self, client_order_id: str, **changes: Any) -> None:
        """Collect changes of an order."""
        row = self._orders.setdefault(client_order_id, {})
        row.update(changes)

    def reopen_order(self, client_order_id: str, **changes: Any) -> None:
        """Collect changes of an order that is stored, and was not open until now."""
        self._stored.add(client_order_id)
        self.update_order(client_order_id, **changes)

    def save_risk(self, envelope: str, at: datetime) -> None:
        """Collect RiskManager's memory."""
        self._envelope = (envelope, at)

    def save_book(self, book: SavedBook, at: datetime) -> None:
        """Collect the paper broker's book."""
        self._book, self._book_at = book, at

    def update_run(self, **changes: Any) -> None:
        """Collect changes of the run's own row."""
        self._run.update(changes)

    def mark_handled(self, command_id: int, at: datetime, result: str) -> None:
        """Collect that an operator's command was obeyed; it goes with the state that it changed."""
        self._handled.append({"command": command_id, "handled_at": at, "result": result})

    # ------------------------------------------------------------ writing

    def commit(self) -> None:
        """Write everything collected in one transaction.

        Raises
        ------
        OperatorNeededError
            Another engine obeyed a command of this run.
        """
        with self.engine.begin() as connection:
            self._write_orders(connection)
            self._write_closes(connection)
            for buffer in self._buffers.values():
                buffer.flush(connection)
            if self._envelope is not None:
                envelope, at = self._envelope
                connection.execute(FORGET_RISK, {"run": self.run_id})
                row = {"run_id": self.run_id, "saved_at": at, **_envelope_columns(envelope)}
                connection.execute(KEEP_RISK, row)
            if self._book is not None:
                connection.execute(FORGET_BOOK, {"run": self.run_id})
                row = {"run_id": self.run_id, "saved_at": self._book_at, **asdict(self._book)}
                connection.execute(KEEP_BOOK, row)
            for handled in self._handled:
                values = {"handled_at": handled["handled_at"], "result": handled["result"]}
                mine = m.Command.id == handled["command"], m.Command.handled_at.is_(None)
                if connection.execute(update(m.Command).where(*mine).values(**values)).rowcount != 1:
                    raise OperatorNeededError(
                        f"command {handled['command']} of run {self.run_id} was obeyed by another engine already; "
                        "this one stops, nothing was written"
                    )
            if self._run:
                connection.execute(CHANGE_RUN, {"run": self.run_id, **self._run})
        self._stored |= {key for key, row in self._orders.items() if "run_id" in row}
        self._forget_closed()
        self._envelope = self._book = None
        self._run = {}
        self.closes.clear()
        self._handled = []

    def _write_orders(self, connection: Connection) -> None:
        """Put new orders with the other rows, and write what changed of those stored before."""
        buffer = self._buffers[m.Order]
        values_of = itemgetter(*(column.name for column in buffer.columns))
        changed: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for key, row in self._orders.items():
            if key not in self._stored and "run_id" in row:
                buffer.add(values_of(row))
            elif key in self._stored and row:
                changed.setdefault(tuple(row), []).append({**row, "run": self.run_id, "key": key})
        for rows in changed.values():
            connection.execute(CHANGE_ORDER, rows)

    def _write_closes(self, connection: Connection) -> None:
        """Write the account and its positions at each close."""
        if not self.closes:
            return
        self._buffers[m.EquityRow].write(connection, self.closes.equity_columns())
        self._buffers[m.PositionRow].write(connection, self.closes.position_columns())
        self._buffers[m.LotRow].write(connection, self.closes.lot_columns())

    def _forget_closed(self) -> None:
        """Keep only the ids of orders that may still change."""
        closed = {key for key, row in self._orders.items() if row.get("status") not in OPEN_STATUSES and row}
        self._stored -= closed
        self._orders = {key: {} for key in self._orders if key not in closed}

    # ------------------------------------------------------------ reading back

    def load_risk(self) -> str | None:
        """Return the stored envelope of RiskManager's memory, or None."""
        with self.engine.connect() as connection:
            row = connection.execute(
                select(m.RiskStateRow.version, m.RiskStateRow.checksum, m.RiskStateRow.payload).where(
                    m.RiskStateRow.run_id == self.run_id
                )
            ).first()
        return None if row is None else json.dumps({"version": row[0], "checksum": row[1], "payload": row[2]})

    def load_book(self) -> SavedBook | None:
        """Return the paper broker's book as of the last commit, or None."""
        with self.engine.connect() as connection:
            row = connection.execute(
                select(m.PaperBook.session, m.PaperBook.account, m.PaperBook.slots, m.PaperBook.checksum).where(
                    m.PaperBook.run_id == self.run_id
                )
            ).first()
        return None if row is None else SavedBook(*row)

    def open_orders(self) -> list[Mapping[str, Any]]:
        """Return the rows of orders that may still fill, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                select(m.Order.__table__)
                .where(m.Order.run_id == self.run_id, m.Order.status.in_(OPEN_STATUSES))
                .order_by(m.Order.id)
            )
            found: list[Mapping[str, Any]] = [dict(row._mapping) for row in rows]
        self._stored |= {str(row["client_order_id"]) for row in found}
        self._orders |= {str(row["client_order_id"]): {} for row in found}
        return found

    def allocations_from(self, session: date) -> list[tuple[date, dict[str, float]]]:
        """Return (session, weights) decided at `session` and later, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                select(m.Allocation.session, m.Allocation.weights)
                .where(m.Allocation.run_id == self.run_id, m.Allocation.session >= session)
                .order_by(m.Allocation.session)
            )
            return [(row[0], json.loads(row[1])) for row in rows]

    def count(self, model: type[m.Base]) -> int:
        """Return the number of rows of this run in a table."""
        column = model.__table__.c.run_id
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).where(column == self.run_id)).scalar_one())


class RiskStore:
    """`core.ports.RiskStateStore` over a repository: memory goes with the next commit, or at once when `durable`."""

    def __init__(self, repository: Repository, now: Any, *, durable: bool) -> None:
        self._repository = repository
        self._now = now
        self._durable = durable

    def load(self) -> str | None:
        """Return the stored envelope, or None."""
        return self._repository.load_risk()

    def save(self, envelope: str) -> None:
        """Store `envelope`; when durable it is in the database on return, with everything collected before it."""
        self._repository.save_risk(envelope, self._now())
        if self._durable:
            self._repository.commit()

    def has_trades(self) -> bool:
        """Return True if the run has any fill."""
        return self._repository.count(m.FillRow) > 0


def _envelope_columns(envelope: str) -> dict[str, Any]:
    outer: dict[str, Any] = json.loads(envelope)
    return {name: outer[name] for name in ("version", "checksum", "payload")}


def find_runs(engine: Engine, key: str) -> list[Mapping[str, Any]]:
    """Return the runs with `key`, newest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(m.Run.__table__).where(m.Run.key == key).order_by(m.Run.id.desc()))
        return [dict(row._mapping) for row in rows]


def create_run(engine: Engine, values: Mapping[str, Any], warnings: Iterable[str]) -> int:
    """Insert a run and the warnings of its market data; return its id."""
    with engine.begin() as connection:
        key = connection.execute(insert(m.Run).values(**values)).inserted_primary_key
        run_id = int(key[0]) if key is not None else 0
        rows = [{"run_id": run_id, "message": text} for text in warnings]
        if rows:
            connection.execute(insert(m.DataWarning), rows)
    return run_id
