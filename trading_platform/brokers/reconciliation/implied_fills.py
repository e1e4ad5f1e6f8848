"""Shares of the book that left without an order of ours (sold by hand, cashed out, transferred), as fills to book."""

from __future__ import annotations

from datetime import datetime

from trading_platform.brokers.reconciliation.activity_fields import UNDONE
from trading_platform.brokers.reconciliation.two_books import CashFlow, ForeignFill, ShareChange
from trading_platform.core.fills import round_cents
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import Fill, Side
from trading_platform.machine.clocks import session_of


def sold_by_hand(trade: ForeignFill, quantity: float, strategy: str) -> Fill:
    """Return the owner's sale of `quantity` shares of a position, part of his `trade`."""
    return Fill(
        f"manual-{trade.broker_order_id}",
        trade.ticker,
        Side.SELL,
        quantity,
        trade.price,
        round_cents(quantity * trade.price),
        0.0,
        trade.at,
        session_of(trade.at),
        strategy,
        OrderReason.NONE,
        trade.fill_id,
    )


def cashed_out(change: ShareChange, flow: CashFlow, strategy: str) -> Fill:
    """Return the sale of shares taken for money without a trade: `change` is negative, `flow` is what came for it."""
    quantity = -change.quantity
    return Fill(
        f"cash-out-{flow.flow_id}",
        change.ticker,
        Side.SELL,
        quantity,
        flow.amount / quantity,
        flow.amount,
        0.0,
        change.at,
        session_of(change.at),
        strategy,
        OrderReason.DELISTED,
        flow.flow_id,
    )


def bought_back(sale: Fill, at: datetime) -> Fill:
    """Return what takes a sale back whose corporate action was cancelled: the same shares for the same dollars."""
    return sale._replace(
        client_order_id=sale.client_order_id + UNDONE,
        side=Side.BUY,
        filled_at=at,
        session=session_of(at),
        reason=OrderReason.NONE,
        fill_id=sale.fill_id + UNDONE,
    )


def transferred(name: str, ticker: str, quantity: float, price: float, strategy: str, at: datetime) -> Fill:
    """Return the sale at its mark of a position that left without a trade; `name` tells this transfer from others."""
    return Fill(
        f"transfer-{name}",
        ticker,
        Side.SELL,
        quantity,
        price,
        round_cents(quantity * price),
        0.0,
        at,
        session_of(at),
        strategy,
        OrderReason.NONE,
        f"transfer-{name}",
    )
