"""One day as the report tells it: the booked close, or the broker's live account on top of the last close."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from trading_platform.reporting.bridge import Attribution, Bridge, attribute, day_profits
from trading_platform.reporting.facts import BrokerSnapshot, Day, Holding, Ledger, RunFacts

CENTS = 100.0


class DayView(NamedTuple):
    """The account and the day's profit. Money in cents; None is unknown.

    `session` is what the profit belongs to. `booked` is its booking, None while it is under way. `equity` is the
    account now, which after the close may differ from the booked equity that the bridge ends with.
    """

    session: date | None
    as_of: datetime
    source: str
    booked: Day | None
    equity: int | None
    cash: int | None
    buying_power: int | None
    start: int | None
    bridge: Bridge | None
    attribution: Attribution | None
    holdings: tuple[Holding, ...]
    day_profits: Mapping[str, int]
    drawdown: float | None
    exposure: float | None

    @property
    def profit(self) -> int | None:
        """The day's profit in cents."""
        if self.bridge is not None:
            return self.bridge.profit
        return None if self.equity is None or self.start is None else self.equity - self.start

    @property
    def profit_fraction(self) -> float | None:
        """The day's profit as a fraction of the capital that it was made with."""
        flow = 0 if self.bridge is None else self.bridge.cash_flow
        if self.profit is None or self.start is None or self.start + flow <= 0:
            return None
        return self.profit / (self.start + flow)


def nothing_traded(now: datetime) -> DayView:
    """Return the view before anything is known."""
    return DayView(None, now, "none", None, None, None, None, None, None, None, (), {}, None, None)


def view_day(ledger: Ledger | None, snapshot: BrokerSnapshot | None, now: datetime) -> DayView:
    """Return the day from what is known; a snapshot shows the account now, the ledger explains the day."""
    day = None if ledger is None else ledger.day
    if snapshot is None:
        return nothing_traded(now) if ledger is None or day is None else _booked(ledger, day)
    if ledger is None or day is None:
        return _broker_only(snapshot)
    if snapshot.has_opened and snapshot.session is not None and snapshot.session > day.session:
        return _under_way(ledger, day, snapshot)
    return _booked(ledger, day)._replace(
        as_of=snapshot.as_of,
        source="alpaca",
        equity=snapshot.equity,
        cash=snapshot.cash,
        buying_power=snapshot.buying_power,
        holdings=_named(snapshot.holdings, ledger.holdings),
        exposure=_exposure(snapshot.holdings, snapshot.equity),
    )


def _booked(ledger: Ledger, day: Day) -> DayView:
    before = ledger.days[-2].unrealized if len(ledger.days) > 1 else 0
    bridge = Bridge(
        day.previous_equity,
        day.realized,
        day.unrealized - before,
        day.fees,
        day.dividends,
        day.cash_flow,
        day.equity,
        day.interest,
    )
    return DayView(
        session=day.session,
        as_of=day.as_of,
        source=_stored_source(ledger.run),
        booked=day,
        equity=day.equity,
        cash=day.cash,
        buying_power=None if ledger.run.is_alpaca else day.cash - _reserved(ledger),
        start=day.previous_equity,
        bridge=bridge,
        attribution=attribute(bridge, ledger.previous_holdings, ledger.holdings, ledger.fills, ledger.closed),
        holdings=ledger.holdings,
        day_profits=day_profits(ledger.previous_holdings, ledger.holdings, ledger.fills),
        drawdown=day.drawdown,
        exposure=day.gross_exposure,
    )


def _under_way(ledger: Ledger, day: Day, snapshot: BrokerSnapshot) -> DayView:
    """Return today against the last booked close. What was not booked yet ends up in the bridge's residual."""
    holdings = _named(snapshot.holdings, ledger.holdings)
    unrealized = sum(h.unrealized or 0 for h in holdings)
    bridge = Bridge(
        start=day.equity,
        realized=sum(fill.realized for fill in ledger.fills),
        unrealized_change=unrealized - day.unrealized,
        fees=sum(fill.fees for fill in ledger.fills),
        dividends=0,
        cash_flow=0,
        end=snapshot.equity,
    )
    before = tuple(h._replace(dividends=0) for h in ledger.holdings)  # today's dividends are not booked yet
    return DayView(
        session=snapshot.session,
        as_of=snapshot.as_of,
        source="alpaca",
        booked=None,
        equity=snapshot.equity,
        cash=snapshot.cash,
        buying_power=snapshot.buying_power,
        start=day.equity,
        bridge=bridge,
        attribution=attribute(bridge, before, holdings, ledger.fills, ()),
        holdings=holdings,
        day_profits=day_profits(ledger.holdings, holdings, ledger.fills),
        drawdown=max(0.0, 1.0 - snapshot.equity / day.peak) if day.peak > 0 else None,
        exposure=_exposure(holdings, snapshot.equity),
    )


def _broker_only(snapshot: BrokerSnapshot) -> DayView:
    return DayView(
        session=snapshot.session,
        as_of=snapshot.as_of,
        source="alpaca",
        booked=None,
        equity=snapshot.equity,
        cash=snapshot.cash,
        buying_power=snapshot.buying_power,
        start=snapshot.last_equity,
        bridge=None,
        attribution=None,
        holdings=snapshot.holdings,
        day_profits={},
        drawdown=None,
        exposure=_exposure(snapshot.holdings, snapshot.equity),
    )


def _stored_source(run: RunFacts) -> str:
    return "alpaca_snapshot" if run.is_alpaca else "paper_simulator"


def _reserved(ledger: Ledger) -> int:
    """Return what the buys decided at this close hold back from cash until they fill or expire."""
    return sum(
        round(order.quantity * order.limit_price * CENTS)
        for order in ledger.orders
        if order.side == "buy" and order.limit_price is not None and order.status != "rejected"
    )


def _named(holdings: tuple[Holding, ...], ours: tuple[Holding, ...]) -> tuple[Holding, ...]:
    """Return the broker's holdings with what only our book knows: strategies, stops, since when."""
    known = {h.ticker: h for h in ours}
    return tuple(
        h._replace(
            strategy=known[h.ticker].strategy,
            stop=known[h.ticker].stop,
            target=known[h.ticker].target,
            entry_session=known[h.ticker].entry_session,
            parts=known[h.ticker].parts,
        )
        if h.ticker in known
        else h
        for h in holdings
    )


def _exposure(holdings: tuple[Holding, ...], equity: int) -> float | None:
    if equity <= 0 or any(h.value is None for h in holdings):
        return None
    return sum(abs(h.value or 0) for h in holdings) / equity
