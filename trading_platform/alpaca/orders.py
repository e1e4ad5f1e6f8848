"""Orders between our words and Alpaca's: what an intent becomes on the wire, and what an answer means.

Pure functions. Everything that Alpaca would refuse is settled here, before anything is sent: price ticks, fractional
quantities, time in force, order class.

| intent | on the wire |
|---|---|
| entry, whole shares, stop and target | DAY bracket: limit entry with resting target and stop |
| entry, whole shares, stop or target | DAY OTO |
| entry, fractional, or without both | simple DAY order; the engine watches stop and target |
| exit | simple DAY market order (limit if it has a limit price) |
| protection of a position (a sell with stop or target price) | GTC OCO, GTC stop or GTC limit; whole shares only |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from trading_platform.core.ledger import SHARE_NOISE
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder
from trading_platform.core.types import OrderIntent, OrderStatus, Side

if TYPE_CHECKING:
    from alpaca.trading.requests import OrderRequest

STOP_SUFFIX, TARGET_SUFFIX = "-stop", "-target"
QUANTITY_PLACES = Decimal("1e-9")  # Alpaca's finest quantity
NOISE = Decimal("1e-9")  # keeps 101.34 from becoming 101.33 because a float holds 101.33999999999999
MAX_CLIENT_ID = 128

# Alpaca's status words -> ours. `replaced` is the end of that order; its successor is an order of its own.
STATUSES: Mapping[str, OrderStatus] = {
    **dict.fromkeys(
        (
            "new",
            "accepted",
            "pending_new",
            "accepted_for_bidding",
            "held",
            "stopped",
            "suspended",
            "calculated",
            "pending_cancel",
            "pending_replace",
            "pending_review",
        ),
        OrderStatus.SUBMITTED,
    ),
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "replaced": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "done_for_day": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}

TYPES = frozenset({"market", "limit", "stop", "stop_limit", "trailing_stop"})


class OrderFormError(Exception):
    """An intent that Alpaca cannot take in any form; nothing has been sent."""


@dataclass(frozen=True, slots=True)
class OrderForm:
    """An order ready to be sent. Prices and quantity are exact; they become floats only in the JSON."""

    symbol: str
    side: Side
    quantity: Decimal
    order_class: str  # simple | bracket | oto | oco
    type: str  # market | limit | stop
    time_in_force: str  # day | gtc
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    target_leg: Decimal | None = None
    stop_leg: Decimal | None = None


def is_whole(quantity: float) -> bool:
    """Return True for a whole number of shares."""
    return math.isfinite(quantity) and abs(quantity - round(quantity)) <= SHARE_NOISE


def tick(price: float, rounding: str = ROUND_HALF_UP) -> Decimal:
    """Return `price` in Alpaca's ticks: cents from $1 up, hundredths of a cent below.

    Raises
    ------
    OrderFormError
        It is not positive, or below the smallest tick.
    """
    if not (math.isfinite(price) and price > 0.0):
        raise OrderFormError(f"price {price!r} is not a positive number")
    exact = Decimal(repr(price))
    unit = Decimal("0.01") if exact >= 1 else Decimal("0.0001")
    noise = {ROUND_FLOOR: NOISE, ROUND_CEILING: -NOISE}.get(rounding, Decimal(0))
    rounded = (exact + noise).quantize(unit, rounding=rounding)
    if rounded <= 0:
        raise OrderFormError(f"price {price!r} is below Alpaca's smallest tick {unit}")
    return rounded


def order_form(intent: OrderIntent, fractionable: bool = True) -> OrderForm:
    """Return what `intent` becomes.

    A buy limit is rounded down and a sell limit up, so that the worst price which risk has approved is never exceeded.

    Raises
    ------
    OrderFormError
        No form exists: quantity or price not positive, a fraction of a share of an asset that has none, a resting
        order for a fractional position.
    """
    quantity = _quantity(intent.quantity, fractionable)
    if intent.side is Side.BUY:
        return _entry(intent, quantity)
    if intent.stop_price is not None or intent.target_price is not None:
        return _protection(intent, quantity)
    limit = None if intent.limit_price is None else tick(intent.limit_price, ROUND_CEILING)
    kind = "market" if limit is None else "limit"
    return OrderForm(intent.ticker, Side.SELL, quantity, "simple", kind, "day", limit_price=limit)


def _entry(intent: OrderIntent, quantity: Decimal) -> OrderForm:
    limit = None if intent.limit_price is None else tick(intent.limit_price, ROUND_FLOOR)
    kind = "market" if limit is None else "limit"
    stop = None if intent.stop_price is None else tick(intent.stop_price)
    target = None if intent.target_price is None else tick(intent.target_price)
    if limit is not None:  # Alpaca wants both legs at least a cent off the entry's limit, else the engine watches
        stop = None if stop is None or stop > limit - Decimal("0.01") else stop
        target = None if target is None or target < limit + Decimal("0.01") else target
    if quantity != quantity.to_integral_value() or (stop is None and target is None):
        return OrderForm(intent.ticker, Side.BUY, quantity, "simple", kind, "day", limit_price=limit)
    order_class = "oto" if stop is None or target is None else "bracket"
    return OrderForm(
        intent.ticker, Side.BUY, quantity, order_class, kind, "day", limit_price=limit, target_leg=target, stop_leg=stop
    )


def _protection(intent: OrderIntent, quantity: Decimal) -> OrderForm:
    if quantity != quantity.to_integral_value():
        raise OrderFormError(
            f"{quantity} shares of {intent.ticker}: Alpaca holds no stops of fractional positions; the engine does"
        )
    stop = None if intent.stop_price is None else tick(intent.stop_price)
    target = None if intent.target_price is None else tick(intent.target_price)
    if target is None:
        return OrderForm(intent.ticker, Side.SELL, quantity, "simple", "stop", "gtc", stop_price=stop)
    if stop is None:
        return OrderForm(intent.ticker, Side.SELL, quantity, "simple", "limit", "gtc", limit_price=target)
    if not (stop <= target - Decimal("0.01")):
        raise OrderFormError(f"{intent.ticker}: stop {stop} is not below target {target}")
    return OrderForm(intent.ticker, Side.SELL, quantity, "oco", "limit", "gtc", target_leg=target, stop_leg=stop)


def _quantity(quantity: float, fractionable: bool) -> Decimal:
    if not (math.isfinite(quantity) and quantity > 0.0):
        raise OrderFormError(f"quantity {quantity!r} is not a positive number of shares")
    if is_whole(quantity):
        if round(quantity) == 0:
            raise OrderFormError(f"quantity {quantity!r} is less than Alpaca's smallest fraction of a share")
        return Decimal(round(quantity))
    if not fractionable:
        raise OrderFormError(f"quantity {quantity!r} is fractional and the asset is not fractionable")
    return (Decimal(repr(quantity)) + NOISE / 10).quantize(QUANTITY_PLACES, rounding=ROUND_FLOOR)


def to_request(form: OrderForm, client_order_id: str) -> OrderRequest:
    """Return alpaca-py's own request model, which checks the form once more.

    Raises
    ------
    OrderFormError
        The id is too long, or empty.
    """
    from alpaca.trading import requests as wire
    from alpaca.trading.enums import OrderClass, OrderSide, TimeInForce

    if not 0 < len(client_order_id) <= MAX_CLIENT_ID:
        raise OrderFormError(f"client order id of {len(client_order_id)} characters; Alpaca takes 1 to {MAX_CLIENT_ID}")
    fields: dict[str, Any] = {
        "symbol": form.symbol,
        "qty": float(form.quantity),
        "side": OrderSide(form.side.value),
        "time_in_force": TimeInForce(form.time_in_force),
        "order_class": OrderClass(form.order_class),
        "client_order_id": client_order_id,
    }
    if form.target_leg is not None:
        fields["take_profit"] = wire.TakeProfitRequest(limit_price=float(form.target_leg))
    if form.stop_leg is not None:
        fields["stop_loss"] = wire.StopLossRequest(stop_price=float(form.stop_leg))
    if form.type == "market":
        return wire.MarketOrderRequest(**fields)
    if form.type == "stop":
        return wire.StopOrderRequest(**fields, stop_price=_required(form.stop_price))
    # The limit of an OCO is its target's; alpaca-py wants none of its own then.
    limit = None if form.limit_price is None else float(form.limit_price)
    return wire.LimitOrderRequest(**fields, limit_price=limit)


def _required(price: Decimal | None) -> float:
    assert price is not None  # noqa: S101 - order_form gives every stop order its price
    return float(price)


def parse_order(raw: Mapping[str, Any], ours: str | None = None) -> BrokerOrder:
    """Read an order entity. `ours` is the client id to call a leg by: it is made from its parent's.

    Only the fields that matter are read, so that a field that Alpaca adds or drops elsewhere breaks nothing. A status
    word that we do not know is `uncertain`.

    Raises
    ------
    ValueError
        A field makes no sense. The type of an order is one of them: it tells a stop from a target, and a leg that was
        taken for the other one once would stay in the journal for ever.
    """
    client_order_id = str(raw["client_order_id"]) if ours is None else ours
    kind = str(raw.get("type") or raw.get("order_type") or "")
    if kind and kind not in TYPES:
        raise ValueError(f"order {client_order_id} has the unknown type {kind!r}")
    quantity, filled = _number(raw.get("qty")), _number(raw.get("filled_qty")) or 0.0
    status = STATUSES.get(str(raw["status"]), OrderStatus.UNCERTAIN)
    if status is OrderStatus.SUBMITTED and filled > 0.0:
        status = OrderStatus.PARTIALLY_FILLED
    if str(raw["status"]) == "done_for_day" and raw.get("time_in_force") == "gtc":
        status = OrderStatus.SUBMITTED
    legs = raw.get("legs") or ()
    return BrokerOrder(
        client_order_id=client_order_id,
        broker_order_id=str(raw["id"]),
        ticker=str(raw["symbol"]),
        side=Side(str(raw["side"])),
        quantity=filled if quantity is None else quantity,
        filled_quantity=filled,
        filled_average_price=_number(raw.get("filled_avg_price")),
        status=status,
        limit_price=_number(raw.get("limit_price")),
        stop_price=_number(raw.get("stop_price")),
        submitted_at=parse_instant(raw.get("submitted_at")),
        parent_id=None,
        reason=_exit_reason(kind, str(raw.get("order_class") or ""), is_leg=ours is not None),
        message=str(raw["status"]),
        legs=_parse_legs(legs, client_order_id),
    )


def successor_of(raw: Mapping[str, Any]) -> str | None:
    """Return Alpaca's id of the order that took this one's place, None where none did.

    Alpaca edits nothing in place: whoever changes an order, in the dashboard, by PATCH, or Alpaca after a corporate
    action, ends it as `replaced` and begins another under a client id of its own.
    """
    return str(raw["replaced_by"]) if str(raw.get("status")) == "replaced" and raw.get("replaced_by") else None


def is_of_shares(raw: Mapping[str, Any]) -> bool:
    """Return False for an order of something else than US shares: an option, a spread, a coin."""
    kind = str(raw.get("asset_class") or "us_equity")
    return kind == "us_equity" and str(raw.get("order_class") or "") != "mleg"


def _parse_legs(legs: Sequence[Mapping[str, Any]], parent: str) -> tuple[BrokerOrder, ...]:
    parsed: dict[str, BrokerOrder] = {}
    for leg in legs:
        is_stop = str(leg.get("type") or "").startswith("stop")
        name = parent + (STOP_SUFFIX if is_stop else TARGET_SUFFIX)
        order = parse_order(leg, name)._replace(parent_id=parent)
        if name not in parsed or order.status.is_open:  # a leg that its owner has edited leaves its old self behind
            parsed[name] = order
    return tuple(parsed.values())


def _exit_reason(kind: str, order_class: str, *, is_leg: bool) -> OrderReason:
    """Return what a fill of this order would mean, where its form says so: the first half of an OCO is the target."""
    if kind.startswith("stop"):
        return OrderReason.STOP_LOSS
    return OrderReason.TAKE_PROFIT if is_leg or order_class == "oco" else OrderReason.NONE


def root_id(client_order_id: str) -> str:
    """Return the id of the order that a leg belongs to, or the id itself."""
    for suffix in (STOP_SUFFIX, TARGET_SUFFIX):
        if client_order_id.endswith(suffix):
            return client_order_id.removesuffix(suffix)
    return client_order_id


def parse_instant(text: object) -> datetime | None:
    """Read Alpaca's RFC 3339 with up to nanoseconds; Python 3.11 keeps microseconds.

    Raises
    ------
    ValueError
        It has no zone.
    """
    if text is None or text == "":
        return None
    head, dot, rest = str(text).partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        rest = rest[: min(digits, 6)].ljust(6, "0") + rest[digits:]
    instant = datetime.fromisoformat(head + dot + rest)
    if instant.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone")
    return instant


def _number(value: object) -> float | None:
    if value is None or value == "":
        return None
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError(f"number {value!r} is not finite")
    return number
