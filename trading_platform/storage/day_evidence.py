"""What the database says of an account's day beside its money: orders, refusals, differences, the operator's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Engine, and_, exists, or_, select

from trading_platform.core.alert_states import EXIT_WAITS, NO_COVER
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import OrderStatus, Side
from trading_platform.storage import models as m
from trading_platform.storage.operator_requests import Standing, standing_orders

PROTECTIVE = (OrderReason.STOP_LOSS.value, OrderReason.TAKE_PROFIT.value)
# What only a live account is refused for: nothing of it happens to the kernel.
OF_ACCOUNT = frozenset(
    {
        DenialCode.RISK_STATE_INVALID,
        DenialCode.EQUITY_UNKNOWN,
        DenialCode.RECONCILIATION,
        DenialCode.TICKER_QUARANTINED,
        DenialCode.INVALID_ORDER,
    }
)
HALTS = ("halt", "flatten")
EVERY_TICKER = "*"  # how a closed door is stored
BARE = frozenset({"unprotected", NO_COVER, "stop_idle"})


class OrderLine(NamedTuple):
    """An order that was decided for the session."""

    ticker: str
    side: str
    quantity: float
    filled: float
    limit_price: float | None
    status: str
    reason: str
    message: str
    has_parts: bool

    @property
    def is_protective(self) -> bool:
        """True for a stop or target of a whole position."""
        return self.reason in PROTECTIVE and not self.has_parts


class DifferenceNote(NamedTuple):
    """A difference that was found between the close before the session and its settlement."""

    kind: str
    ticker: str
    words: str
    resolved_at: datetime | None


class DayEvidence(NamedTuple):
    """All of it.

    `denied` is ticker (`EVERY_TICKER`: all) -> code, of what only a live account is refused for. `was_decided` is False
    where nothing was decided at the close before; `halt` says that an operator had halted trading; `withdrawn` are the
    tickers whose entries he has withdrawn by that, by closing the ticker, or by pausing the strategy.
    """

    orders: Sequence[OrderLine]
    differences: Sequence[DifferenceNote]
    denied: Mapping[str, str]
    standing: Standing
    was_decided: bool
    halt: str
    withdrawn: frozenset[str] = frozenset()

    def noted(self, ticker: str, kinds: frozenset[str], still: datetime | None = None) -> str:
        """Return the words of the first difference of these kinds in a ticker (that stood `still`), or ""."""
        for note in self.differences:
            stands = still is None or note.resolved_at is None or note.resolved_at > still
            if note.ticker == ticker and note.kind in kinds and stands:
                return note.words
        return ""

    def is_closed(self, ticker: str) -> bool:
        """Return True if an operator had a ticker closed; where he has taken it back, its order has the reason."""
        told = any(order.ticker == ticker and order.reason == OrderReason.FLATTEN.value for order in self.orders)
        return told or self.standing.flatten or ticker in self.standing.closing

    def refusal(self, ticker: str) -> str:
        """Return why the account did not do what was wished in a ticker, "" if nothing says so."""
        for order in self.orders:
            if order.ticker == ticker and not order.is_protective and order.status == "rejected":
                return f"{order.side} of {order.quantity:g} rejected: {order.message}"
        if not self.was_decided:
            return "nothing was decided: the next open had passed"
        code = self.denied.get(ticker) or self.denied.get(EVERY_TICKER)
        return f"no new risk: {code}" if code else self.noted(ticker, frozenset({EXIT_WAITS}))


def day_evidence(engine: Engine, run_id: int, decided: date) -> DayEvidence:
    """Return what is known of the session that follows the close of `decided`."""
    orders, notes, signals, said = m.Order, m.Difference, m.SignalRow, m.Command
    with engine.connect() as connection:
        lines = [
            OrderLine(*row[:-2], row[-2] or "", row[-1] is not None)
            for row in connection.execute(
                select(
                    orders.ticker,
                    orders.side,
                    orders.quantity,
                    orders.filled_quantity,
                    orders.limit_price,
                    orders.status,
                    orders.reason,
                    orders.message,
                    orders.parts,
                )
                .where(orders.run_id == run_id, orders.decided_session == decided)
                .order_by(orders.id)
            )
        ]
        found = [
            DifferenceNote(
                kind, ticker or "", f"{kind.replace('_', ' ')}: ours {ours}, the broker's {theirs}", resolved
            )
            for kind, ticker, ours, theirs, resolved in connection.execute(
                select(notes.kind, notes.ticker, notes.ours, notes.theirs, notes.resolved_at)
                .where(notes.run_id == run_id, notes.session == decided)
                .order_by(notes.id)
            )
        ]
        denied = {
            ticker: code
            for ticker, code in connection.execute(
                select(signals.ticker, signals.code)
                .where(signals.run_id == run_id, signals.session == decided, signals.verdict == "denied")
                .order_by(signals.id)
            )
            if code in OF_ACCOUNT or code == DenialCode.MANUAL_HALT
        }
        withdrawn = frozenset(
            connection.execute(
                select(orders.ticker).where(
                    orders.run_id == run_id,
                    orders.decided_session == decided,
                    orders.side == Side.BUY.value,
                    orders.status == OrderStatus.CANCELED.value,
                    exists().where(
                        said.run_id == run_id,
                        or_(
                            and_(said.kind.in_(HALTS), said.subject.is_(None)),
                            and_(said.kind == "flatten", said.subject == orders.ticker),
                            and_(said.kind == "pause", said.subject == orders.strategy),
                        ),
                        said.handled_at.between(orders.decided_at, orders.closed_at),
                    ),
                )
            ).scalars()
        )
        use = select(m.EquityRow.unused_no_signal).where(m.EquityRow.run_id == run_id, m.EquityRow.session == decided)
        was_decided = connection.execute(use).scalar_one_or_none() is not None
    halted = [ticker for ticker, code in denied.items() if code == DenialCode.MANUAL_HALT]
    refused = {ticker: code for ticker, code in denied.items() if ticker not in halted}
    halt = "an operator has halted trading" if halted else ""
    return DayEvidence(lines, found, refused, standing_orders(engine, run_id), was_decided, halt, withdrawn)
