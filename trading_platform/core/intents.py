"""From a decision to the order that says it, before risk has spoken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from trading_platform.core.errors import ApprovalError
from trading_platform.core.ledger import Record, Records
from trading_platform.core.order_reasons import ORDER_REASONS, OrderReason
from trading_platform.core.types import LotOrder, OrderIntent, Side
from trading_platform.core.view import MarketView

LARGEST_TICK = 0.01  # dollars


def entry_intent(
    view: MarketView, column: int, parts: Sequence[LotOrder], strength: float, limit_price: float, slot: Record
) -> OrderIntent:
    """Return a buy for the strategies in `parts`, protected by the levels of `slot`, which has them decided.

    The quantity is what the slot is to buy after strategies have sold to each other.
    """
    return OrderIntent(
        ticker=view.tickers[column],
        side=Side.BUY,
        quantity=float(slot["pending"]),
        limit_price=limit_price,
        stop_price=float(slot["stop"]),
        target_price=float(slot["target"]) or None,
        strategy=largest_part(parts),
        reason=OrderReason.ENTRY,
        strength=strength,
        decided_session=view.session,
        parts=tuple(parts),
    )


def unsized_intent(view: MarketView, column: int, strategy: str, limit_price: float) -> OrderIntent:
    """Return a buy of nothing: a candidate for which sizing had no answer, for the rules to say why."""
    return OrderIntent(
        ticker=view.tickers[column],
        side=Side.BUY,
        quantity=0.0,
        limit_price=limit_price,
        stop_price=None,
        target_price=None,
        strategy=strategy,
        reason=OrderReason.ENTRY,
        strength=0.0,
        decided_session=view.session,
    )


def exit_intent(view: MarketView, slot: Record, parts: Sequence[LotOrder]) -> OrderIntent:
    """Return a sale at the next open of what the position in `slot` is to sell, for the strategies in `parts`."""
    return OrderIntent(
        ticker=view.tickers[slot["ticker"]],
        side=Side.SELL,
        quantity=float(slot["selling"]),
        limit_price=None,
        stop_price=None,
        target_price=None,
        strategy=largest_part(parts),
        reason=ORDER_REASONS[slot["exit_reason"]],
        strength=0.0,
        decided_session=view.session,
        parts=tuple(parts),
    )


def lot_orders(slot: Record, lots: Records, strategies: Sequence[str]) -> list[LotOrder]:
    """Return what each strategy's lot of `slot`, (K,) `lots`, is to trade next: bought above 0, sold below."""
    return [
        LotOrder(
            strategies[k],
            float(lots[k]["delta"]),
            float(lots[k]["stop"]),
            float(lots[k]["target"]),
            ORDER_REASONS[lots[k]["exit_reason"]],
            float(lots[k]["wish"]),
        )
        for k in range(len(lots))
        if int(slot["owners"]) >> k & 1 and lots[k]["delta"] != 0.0
    ]


def largest_part(parts: Sequence[LotOrder]) -> str:
    """Return the strategy that trades most."""
    return max(parts, key=lambda part: abs(part.quantity)).strategy if parts else ""


def judged_form(intent: OrderIntent, decided: OrderIntent | None) -> OrderIntent:
    """Return the form of an entry that the rules judge: `decided`, in prices of the market shown, where there is one.

    The order that is sent may cost no more than the one that is judged, but for a step of the price.

    Raises
    ------
    ApprovalError
        It would cost more.
    """
    if decided is None:
        return intent
    ours, theirs = (0.0 if i.limit_price is None else i.quantity * i.limit_price for i in (intent, decided))
    same = (intent.ticker, intent.side) == (decided.ticker, decided.side) and intent.side is Side.BUY
    if not same or not ours <= theirs + intent.quantity * LARGEST_TICK:
        words = f"{intent.side} {intent.quantity:g} {intent.ticker} at {intent.limit_price}"
        raise ApprovalError(f"{words} costs more than {decided.quantity:g} at {decided.limit_price}, which was decided")
    return decided


def order_id(intent: OrderIntent, attempt: int = 0) -> str:
    """Return the client order id of a decision: the same decision always has the same id, whoever recomputes it."""
    day = intent.decided_session.isoformat().replace("-", "")
    return f"tp-{day}-{intent.ticker}-{intent.side}-{intent.reason}-{attempt}"


ORDER_ID = re.compile(r"tp-(\d{4})(\d{2})(\d{2})-(.+)-(buy|sell)-([a-z_]+)-(\d+)")


class OrderName(NamedTuple):
    """What a client order id says of its decision."""

    session: date
    ticker: str
    side: Side
    reason: OrderReason
    attempt: int


def read_order_id(client_order_id: str) -> OrderName | None:
    """Return what an id of `order_id` says, None if it is none; a reason that is not known is `OrderReason.NONE`."""
    found = ORDER_ID.fullmatch(client_order_id)
    if found is None:
        return None
    year, month, day, ticker, side, reason, attempt = found.groups()
    try:
        session = date(int(year), int(month), int(day))
    except ValueError:
        return None
    known = OrderReason(reason) if reason in set(OrderReason) else OrderReason.NONE
    return OrderName(session, ticker, Side(side), known, int(attempt))
