"""Entries that wait for their owner's consent, and what was answered: rows of `orders` and `commands`, nothing else.

An answer is bound to the decision that it was given to: its subject is ``SESSION`` (all entries decided at that close)
or ``SESSION TICKER``. So an answer of yesterday says nothing today, and giving it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, select, update

from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import OrderIntent, OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.order_rows import read_parts
from trading_platform.storage.run_state import NextOpen, OrderAhead

CONSENT, VETO = "consent", "veto"
ANSWERS = (CONSENT, VETO)
ORDERS = m.Order.__table__
PROTECTING = (OrderReason.STOP_LOSS.value, OrderReason.TAKE_PROFIT.value)  # of a whole position: no decision
# How the message of an entry begins that its owner kept back.
VETOED, NOT_SENT = "vetoed by", "not sent:"


class Answer(NamedTuple):
    """What was said to an entry: `kind` is "consent" or "veto"."""

    kind: str
    actor: str
    reason: str
    at: datetime


class HeldEntry(NamedTuple):
    """An entry that has not left, under the id that it will have."""

    client_order_id: str
    intent: OrderIntent


def subject_of(session: date, ticker: str | None) -> str:
    """Return what an answer speaks of: the entries decided at `session`, or one of them."""
    return f"{session}" if ticker is None else f"{session} {ticker}"


def held_entries(engine: Engine, run_id: int) -> list[HeldEntry]:
    """Return the entries that wait, in the order in which they were decided."""
    query = (
        select(ORDERS).where(m.Order.run_id == run_id, m.Order.status == OrderStatus.HELD.value).order_by(m.Order.id)
    )
    with engine.connect() as connection:
        return [HeldEntry(row.client_order_id, _intent(row._mapping)) for row in connection.execute(query)]


def answers_to(engine: Engine, run_id: int, session: date) -> dict[str | None, list[Answer]]:
    """Return what was said to the entries decided at `session`, by ticker (None: to all of them), oldest first."""
    query = (
        select(m.Command.kind, m.Command.actor, m.Command.reason, m.Command.requested_at, m.Command.subject)
        .where(m.Command.run_id == run_id, m.Command.kind.in_(ANSWERS))
        .where(m.Command.subject.startswith(str(session)))
        .order_by(m.Command.id)
    )
    found: dict[str | None, list[Answer]] = {}
    with engine.connect() as connection:
        for kind, actor, reason, at, subject in connection.execute(query):
            ticker = str(subject).partition(" ")[2] or None
            found.setdefault(ticker, []).append(Answer(kind, actor, reason, at))
    return found


def answer_for(ticker: str, answers: Mapping[str | None, list[Answer]]) -> Answer | None:
    """Return the newest word about an entry, whether it was said to it or to all."""
    said = [*answers.get(None, ()), *answers.get(ticker, ())]
    return max(said, key=lambda answer: answer.at, default=None)


def mark_leaving(engine: Engine, run_id: int, client_order_id: str) -> None:
    """Write down, at once, that a held entry is about to be sent: after a crash nobody sends it a second time."""
    with engine.begin() as connection:
        connection.execute(
            update(m.Order)
            .where(m.Order.run_id == run_id, m.Order.client_order_id == client_order_id)
            .values(status=OrderStatus.INTENT.value, message=None)
        )


def next_open(engine: Engine, run_id: int) -> NextOpen:
    """Return the orders decided at the newest close: ``session``, ``orders``, and ``waiting``, the tickers that wait.

    Of each order: ticker, side, quantity, price (the most that a buy pays), dollars at it, strategy, reason, status,
    message. A status of "held" waits for consent, and its message says until when.
    """
    with engine.connect() as connection:
        session = connection.execute(select(m.Run.last_session).where(m.Run.id == run_id)).scalar()
        rows: Iterable[Any] = connection.execute(
            select(ORDERS).where(m.Order.run_id == run_id, m.Order.decided_session == session).order_by(m.Order.id)
        ).all()
    return orders_ahead(session, [row._mapping for row in rows])


def orders_ahead(session: date | None, rows: Iterable[Mapping[Any, Any]]) -> NextOpen:
    """Return what `next_open` says, from the rows of `orders` that were decided at the newest close."""
    orders = [_shown(row) for row in rows if row["parts"] is not None or row["reason"] not in PROTECTING]
    waiting = [order["ticker"] for order in orders if order["status"] == OrderStatus.HELD.value]
    return {"session": None if session is None else str(session), "orders": orders, "waiting": waiting}


def _shown(row: Mapping[Any, Any]) -> OrderAhead:
    price = row["limit_price"]
    return {
        "ticker": row["ticker"],
        "side": row["side"],
        "quantity": row["quantity"],
        "price": price,
        "dollars": None if price is None else round(row["quantity"] * price, 2),
        "strategy": row["strategy"],
        "reason": row["reason"],
        "status": row["status"],
        "message": row["message"],
    }


def _intent(row: Mapping[Any, Any]) -> OrderIntent:
    return OrderIntent(
        row["ticker"],
        Side(row["side"]),
        row["quantity"],
        row["limit_price"],
        row["stop_price"],
        row["target_price"],
        row["strategy"],
        OrderReason(row["reason"]),
        row["strength"],
        row["decided_session"],
        read_parts(row["parts"]),
    )
