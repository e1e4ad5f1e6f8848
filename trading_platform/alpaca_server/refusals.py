"""What the service refuses in view of the account and its other orders: auctions' hours, wash trades, means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from typing import Protocol

from trading_platform.alpaca_server.account import SimAccount
from trading_platform.alpaca_server.records import OPEN_STATUSES, ApiError, Json, SimOrder, number
from trading_platform.alpaca_server.validation import FORBIDDEN, OrderBody, refuse
from trading_platform.core.ledger import SHARE_NOISE
from trading_platform.core.types import Side
from trading_platform.machine.clocks import NEW_YORK


class Venue(Protocol):
    """What the checks ask of the exchange."""

    account: SimAccount

    def working(self, symbol: str | None = None) -> Iterator[SimOrder]:
        """Yield orders that may still trade."""
        ...

    def held_for_orders(self, symbol: str) -> float:
        """Return the shares that working sells have claimed."""
        ...

    def buying_power(self) -> float:
        """Return the dollars that new buys may use."""
        ...


UNCHANGEABLE = ("accepted", "pending_new", "pending_cancel", "pending_replace")


def check_change(order: SimOrder, body: Json) -> None:
    """Refuse to change an order that has not reached the venue, or is being changed; and the shares of a group.

    The states are those of the specification. That the shares of a group cannot be changed is assumed.
    """
    if order.status in UNCHANGEABLE or order.queued:
        raise refuse(f'order in "{order.status}" state cannot be replaced')
    if "qty" in body and (order.parent is not None or order.legs):
        raise refuse("the quantity of an order in a group cannot be replaced")


def check_auction_times(wish: OrderBody, now: datetime) -> None:
    """Refuse orders for an auction that is closed to them."""
    local = now.astimezone(NEW_YORK).time()
    if wish.time_in_force == "opg" and time(9, 28) <= local < time(19, 0):
        raise refuse("opg orders must be submitted after 7:00pm and before 9:28am")
    if wish.time_in_force == "cls" and time(15, 50) <= local < time(19, 0):
        raise refuse("cls orders must be submitted after 7:00pm and before 3:50pm")


def check_wash(venue: Venue, wish: OrderBody) -> None:
    """Refuse what could trade with an open order of the other side of the same account."""
    for other in venue.working(wish.symbol):
        if other.side is wish.side or other.status not in OPEN_STATUSES:
            continue
        buy, sell = (
            (wish.limit_price, other.limit_price) if wish.side is Side.BUY else (other.limit_price, wish.limit_price)
        )
        if buy is None or sell is None or buy >= sell:
            raise ApiError(
                403,
                FORBIDDEN,
                "potential wash trade detected. use complex orders",
                existing_order_id=other.id,
                reject_reason=f"opposite side {other.type} order exists",
            )


def check_means(venue: Venue, wish: OrderBody, price: float) -> None:
    """Refuse a buy beyond the buying power, a sale beyond the free shares, and any short sale."""
    if wish.side is Side.BUY:
        cost = (
            wish.notional
            if wish.notional is not None
            else (wish.quantity or 0.0) * (wish.limit_price or wish.stop_price or price)
        )
        power = venue.buying_power()
        if not (cost <= power + 0.005):
            raise ApiError(
                403, FORBIDDEN, "insufficient buying power", buying_power=f"{power:.2f}", cost_basis=f"{cost:.2f}"
            )
        return
    existing, held = venue.account.held(wish.symbol), venue.held_for_orders(wish.symbol)
    wanted = wish.quantity if wish.quantity is not None else (wish.notional or 0.0) / price
    if existing == 0.0:
        raise ApiError(403, FORBIDDEN, "account is not allowed to short")
    free = number(existing - held)
    if wanted > existing - held + SHARE_NOISE:
        raise ApiError(
            403,
            FORBIDDEN,
            f"insufficient qty available for order (requested: {number(wanted)}, available: {free})",
            available=free,
            existing_qty=number(existing),
            held_for_orders=number(held),
            related_orders=[order.id for order in venue.working(wish.symbol) if order.side is Side.SELL],
            symbol=wish.symbol,
        )
