"""What the engine writes of each session: one method per thing that happened, in the columns of the tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

from trading_platform.core.ledger import Record
from trading_platform.core.plan import Book
from trading_platform.core.ports import AllocationReason
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.types import (
    ApprovedOrder,
    ClosedTrade,
    Denial,
    Fill,
    Floats,
    OrderStatus,
    Regime,
    RiskEvent,
    Settlement,
)
from trading_platform.storage import models as m
from trading_platform.storage.closes import Day
from trading_platform.storage.order_rows import approved_signal
from trading_platform.storage.repository import Repository

# Of a ticker's fill: the close at which it was decided, and the dollar volume of a session; None = unknown.
Circumstances = Callable[[str], tuple[float | None, float | None]]


class Recorder:
    """Turns what happened into rows.

    Parameters
    ----------
    repository
        Where rows are collected until the next commit.
    tickers, strategies
        Names of columns and strategy numbers.
    opened
        Instant at which each session opened.
    journaled
        True where an order journal (`storage.order_journal`) writes orders, and the verdicts that let them through.

    Notes
    -----
    A session's close goes to the repository as records, and becomes rows at the commit (`storage.closes`).
    """

    def __init__(
        self,
        repository: Repository,
        tickers: Sequence[str],
        strategies: Sequence[str],
        opened: Mapping[date, datetime],
        *,
        journaled: bool = False,
    ) -> None:
        self._journaled = journaled
        self._repository = repository
        self._opened = opened
        self._tickers = tickers
        self._strategies = strategies
        self._weights: tuple[Mapping[str, float], str] | None = None

    def sessions_opened(self, opened: Mapping[date, datetime]) -> None:
        """Take the opens of more sessions."""
        self._opened = opened

    def settlement(self, settlement: Settlement, at: datetime, met: Circumstances | None = None) -> None:
        """Record fills, finished trades and ended orders of a session; of a broker's fills also what they `met`."""
        add = self._repository.add
        for n, (fill, realized, trade) in enumerate(settlement.fills):
            found = met(fill.ticker) if met is not None and self._journaled else (None, None)
            add(m.FillRow, (*self._fill_row(fill, realized, n), *found))
            if trade is not None:
                add(m.Trade, self._trade_row(trade, at))
        for client_order_id, (status, filled) in settlement.orders.items():
            self._repository.update_order(client_order_id, status=status.value, filled_quantity=filled, closed_at=at)

    def order(self, order: ApprovedOrder, status: OrderStatus, at: datetime) -> None:
        """Record an order that has been approved and handed to the broker."""
        if not self._journaled:
            self._repository.add_order(order, status, at)

    def approved(self, order: ApprovedOrder) -> None:
        """Record a candidate that was let through."""
        if not self._journaled:
            self._repository.add(m.SignalRow, approved_signal(order))

    def denied(self, session: date, strategy: str, strength: float, denial: Denial) -> None:
        """Record a candidate that was refused, with the largest quantity that would have passed."""
        row = (
            session,
            denial.ticker,
            strategy,
            strength,
            "denied",
            denial.code.value,
            _number(denial.observed),
            _number(denial.limit),
            _number(denial.largest_quantity) or 0.0,
            None,
        )
        self._repository.add(m.SignalRow, row)

    def blocked(self, session: date, code: DenialCode) -> None:
        """Record that a rule allows no new risk at all, so that no candidate was looked at: ticker and strategy `*`."""
        self._repository.add(m.SignalRow, (session, "*", "*", 0.0, "denied", code.value, None, None, 0.0, None))

    def event(self, event: RiskEvent, session: date, at: datetime) -> None:
        """Record a change in the permission to trade."""
        observed, limit = _number(event.observed), _number(event.limit)
        row = (at, session, event.kind.value, event.code.value, observed, limit, event.message, event.actor)
        self._repository.add(m.RiskEvent, row)

    def regime(self, session: date, regime: Regime, probabilities: Sequence[float]) -> None:
        """Record the filtered regime probabilities of a session."""
        self._repository.add(m.RegimeRow, (session, regime.value, *(_number(p) for p in probabilities)))

    def allocation(
        self,
        session: date,
        at: datetime,
        weights: Mapping[str, float],
        decision: AllocationReason,
        observation: Floats,
        influences: Mapping[str, float] | None,
    ) -> None:
        """Record how capital is split and why; the observation (D,) only where a model was asked, with `influences`."""
        if self._weights is None or self._weights[0] != weights:
            self._weights = (dict(weights), json.dumps(dict(weights)))
        seen = moved = None
        if influences is not None:
            seen, moved = json.dumps(observation.tolist()), json.dumps(dict(influences))
        row = (session, at, self._weights[1], decision.source, decision.reason, decision.model_id, seen, moved)
        self._repository.add(m.Allocation, row)

    def close(
        self,
        session: date,
        at: datetime,
        book: Book,
        settlement: Settlement,
        *,
        previous_equity: float,
        risk: Record,
        vix: float,
        benchmark: float,
        universe_return: float,
        cash_rate: float,
    ) -> None:
        """Record the account and its positions at a session's close.

        `book` is the broker's, `risk` the account record that RiskManager keeps; `cash_rate` is in percent a year.
        """
        day = Day(session, at, previous_equity, settlement.flows, vix, benchmark, universe_return, cash_rate)
        self._repository.closes.add(day, book.accounts[0], book.slots, book.lots, risk)

    def not_invested(self, because: tuple[float, ...]) -> None:
        """Record what the decision at the newest close left in cash, by cause: dollars."""
        self._repository.closes.not_invested(because)

    def _fill_row(self, fill: Fill, realized: float, n: int) -> tuple[object, ...]:
        fill_id = fill.fill_id or f"{fill.client_order_id}#{fill.session.isoformat().replace('-', '')}.{n}"
        return (
            fill.client_order_id,
            fill_id,
            fill.session,
            fill.filled_at,
            fill.ticker,
            fill.side.value,
            fill.quantity,
            fill.price,
            fill.amount,
            fill.fees,
            realized,
            fill.strategy,
            fill.reason.value,
            fill.spread,
            fill.slippage,
            fill.impact,
        )

    def _trade_row(self, trade: ClosedTrade, at: datetime) -> tuple[object, ...]:
        return (
            trade.ticker,
            trade.strategy,
            trade.entry_session,
            trade.exit_session,
            self._opened[trade.entry_session],
            at,
            trade.quantity,
            trade.cost / trade.quantity,
            trade.exit_price,
            trade.cost,
            trade.proceeds,
            trade.fees,
            trade.dividends,
            trade.pnl,
            trade.pnl / trade.cost if trade.cost > 0.0 else 0.0,
            trade.reason.value,
            trade.market_costs,
        )


def _number(value: float) -> float | None:
    """Return a plain float, None for NaN and infinities: the database holds facts."""
    value = float(value)
    return value if value - value == 0.0 else None
