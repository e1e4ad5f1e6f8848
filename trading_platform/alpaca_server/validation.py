"""What the service refuses before it accepts an order, with its status codes and words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trading_platform.alpaca_server.records import ApiError, Json
from trading_platform.core.types import Side

SYNTAX, RULE, FORBIDDEN, MISSING = 40010001, 42210000, 40310000, 40410000
TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
TIMES = ("day", "gtc", "opg", "cls", "ioc", "fok")
CLASSES = ("simple", "", "bracket", "oco", "oto")
MAX_ID = 128
TICK = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Asset:
    """What may be done with a ticker."""

    symbol: str
    tradable: bool = True
    fractionable: bool = True
    active: bool = True
    sector: str = ""
    halted: bool = False  # orders are taken, and nothing trades


@dataclass(frozen=True, slots=True)
class OrderBody:
    """A POST /v2/orders body that reads correctly."""

    symbol: str
    side: Side
    type: str
    time_in_force: str
    order_class: str
    quantity: float | None
    notional: float | None
    limit_price: float | None
    stop_price: float | None
    target_price: float | None
    stop_loss_price: float | None
    stop_loss_limit: float | None
    client_order_id: str | None
    extended_hours: bool
    trail_price: float | None = None
    trail_percent: float | None = None

    @property
    def is_fractional(self) -> bool:
        """True for an order in dollars or in parts of a share."""
        return self.notional is not None or (self.quantity is not None and self.quantity != math.floor(self.quantity))


def refuse(message: str, code: int = RULE) -> ApiError:
    """Return a 422."""
    return ApiError(422, code, message)


def read_order(body: Json) -> OrderBody:
    """Parse and check everything about an order that needs no account and no market.

    Raises
    ------
    ApiError
        What the service refuses, in its words and with its status.
    """
    symbol = str(body.get("symbol") or "")
    if not symbol:
        raise refuse("symbol is required", SYNTAX)
    order_class = str(body.get("order_class") or "simple")
    take_profit, stop_loss = _object(body, "take_profit"), _object(body, "stop_loss")
    order = OrderBody(
        symbol=symbol.upper(),
        side=Side(_one_of(body, "side", ("buy", "sell"))),
        type=_one_of(body, "type", TYPES),
        time_in_force=_one_of(body, "time_in_force", TIMES),
        order_class="simple" if order_class == "" else order_class,
        quantity=_amount(body, "qty", 9),
        notional=_amount(body, "notional", 2),
        limit_price=_price(body, "limit_price"),
        stop_price=_price(body, "stop_price"),
        target_price=_price(take_profit, "limit_price", "take_profit.limit_price"),
        stop_loss_price=_price(stop_loss, "stop_price", "stop_loss.stop_price"),
        stop_loss_limit=_price(stop_loss, "limit_price", "stop_loss.limit_price"),
        client_order_id=None if body.get("client_order_id") is None else str(body["client_order_id"]),
        extended_hours=bool(body.get("extended_hours") or False),
        trail_price=_price(body, "trail_price"),
        trail_percent=_amount(body, "trail_percent", 4),
    )
    if order_class not in CLASSES:
        raise refuse(f"invalid order_class {order_class}", SYNTAX)
    _check_size(order)
    _check_prices(order)
    _check_trail(order)
    _check_class(order)
    if order.client_order_id is not None and len(order.client_order_id) > MAX_ID:
        raise refuse(f"client_order_id must be no more than {MAX_ID} characters", SYNTAX)
    if order.extended_hours and (order.type != "limit" or order.time_in_force not in ("day", "gtc")):
        raise refuse("extended hours order must be DAY or GTC limit orders")
    return order


def check_asset(order: OrderBody, asset: Asset | None) -> None:
    """Check the order against its asset's flags.

    Raises
    ------
    ApiError
        What the service refuses, in its words and with its status.
    """
    if asset is None:
        raise refuse(f'asset "{order.symbol}" not found')
    if not asset.active:
        raise refuse(f"asset {asset.symbol} is not active")
    if not asset.tradable:
        raise refuse(f"asset {asset.symbol} is not tradable")
    if order.is_fractional and not asset.fractionable:
        raise ApiError(403, FORBIDDEN, f'asset "{asset.symbol}" is not fractionable')


def check_stop_distance(order: OrderBody, price: float) -> None:
    """Check that a protective stop lies at least a cent below every base price of a buy (Alpaca's threshold rule).

    Raises
    ------
    ApiError
        What the service refuses, in its words and with its status.
    """
    if order.stop_loss_price is None:
        return
    bases = [price]
    if order.order_class == "oco" and order.target_price is not None:
        bases.append(order.target_price)
    if order.order_class in ("bracket", "oto") and order.limit_price is not None:
        bases.append(order.limit_price)
    for base in bases:
        if not (_decimal(order.stop_loss_price) <= _decimal(base) - TICK):
            message = "stop_loss.stop_price must be <= base_price - 0.01"
            raise ApiError(422, RULE, message, base_price=str(base), value=str(order.stop_loss_price))
    if order.order_class != "bracket" or order.limit_price is None or order.target_price is None:
        return
    if not (_decimal(order.target_price) >= _decimal(order.limit_price) + TICK):
        message = "take_profit.limit_price must be >= base_price + 0.01"
        raise ApiError(422, RULE, message, base_price=str(order.limit_price), value=str(order.target_price))


def _check_size(order: OrderBody) -> None:
    if (order.quantity is None) == (order.notional is None):
        raise refuse(
            "qty or notional is required" if order.quantity is None else "only one of qty or notional is accepted",
            SYNTAX,
        )
    if order.quantity is not None and not (order.quantity > 0.0):
        raise refuse("qty must be > 0", SYNTAX)
    if order.notional is not None:
        if order.type != "market" or order.time_in_force != "day":
            raise refuse("notional orders must be market DAY orders")
        if not (order.notional >= 1.0):
            raise ApiError(403, FORBIDDEN, "cost basis must be >= minimal amount of order 1")
    if order.is_fractional:
        if order.time_in_force != "day":
            raise refuse("fractional orders must be DAY orders")
        if order.order_class != "simple":
            raise refuse("fractional orders must be simple orders")


def _check_prices(order: OrderBody) -> None:
    wants_limit, wants_stop = order.type in ("limit", "stop_limit"), order.type in ("stop", "stop_limit")
    if order.order_class != "oco":  # there the limit price is the target's
        if wants_limit and order.limit_price is None:
            raise refuse(f"{order.type} orders require limit price", SYNTAX)
        if not wants_limit and order.limit_price is not None:
            raise refuse(f"{order.type} orders must not have limit price", SYNTAX)
    if wants_stop and order.stop_price is None:
        raise refuse(f"{order.type} orders require stop price", SYNTAX)
    if not wants_stop and order.stop_price is not None:
        raise refuse(f"{order.type} orders must not have stop_price", SYNTAX)


def _check_trail(order: OrderBody) -> None:
    given = [value for value in (order.trail_price, order.trail_percent) if value is not None]
    if order.type != "trailing_stop":
        if given:
            raise refuse(f"{order.type} orders must not have trail_price or trail_percent", SYNTAX)
        return
    if len(given) != 1 or not (given[0] > 0.0):
        raise refuse("trailing stop orders require trail_price or trail_percent", SYNTAX)
    if order.order_class != "simple" or order.time_in_force not in ("day", "gtc"):
        raise refuse("trailing stop orders must be simple DAY or GTC orders")


def _check_class(order: OrderBody) -> None:
    target, stop = order.target_price, order.stop_loss_price
    if order.order_class == "simple":
        if target is not None or stop is not None:
            raise refuse("simple orders must not have take_profit or stop_loss", SYNTAX)
        return
    if order.time_in_force not in ("day", "gtc"):
        raise refuse("complex orders must be DAY or GTC orders")
    if order.order_class in ("bracket", "oco") and (target is None or stop is None):
        raise refuse(f"{order.order_class} orders require take_profit.limit_price and stop_loss.stop_price", SYNTAX)
    if order.order_class == "oto" and target is None and stop is None:
        raise refuse("oto orders require either take_profit or stop_loss", SYNTAX)
    if order.order_class == "oco" and order.type != "limit":
        raise refuse("oco orders must be limit orders", SYNTAX)
    if order.side is Side.SELL and order.order_class != "oco":
        raise ApiError(403, FORBIDDEN, "account is not allowed to short")
    if target is not None and stop is not None and not (target > stop):
        raise refuse("take_profit.limit_price must be greater than stop_loss.stop_price")


def _object(body: Json, key: str) -> Json:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(f"{key} must be an object", SYNTAX)
    return value


def _one_of(body: Json, key: str, allowed: tuple[str, ...]) -> str:
    value = str(body.get(key) or "")
    if value not in allowed:
        raise refuse(f"invalid {key} {value}".strip(), SYNTAX)
    return value


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))


def _read(body: Json, key: str, name: str) -> Decimal | None:
    value = body.get(key)
    if value is None:
        return None
    try:
        read = _decimal(value)
    except InvalidOperation as error:
        raise refuse(f"invalid {name} {value}", SYNTAX) from error
    if not read.is_finite():
        raise refuse(f"invalid {name} {value}", SYNTAX)
    return read


def _amount(body: Json, key: str, places: int) -> float | None:
    read = _read(body, key, key)
    if read is None:
        return None
    if read != round(read, places):
        raise refuse(f"{key} value must be limited to {places} decimal places")
    return float(read)


def _price(body: Json, key: str, name: str | None = None) -> float | None:
    name = name or key
    read = _read(body, key, name)
    if read is None:
        return None
    if read <= 0:
        raise refuse(f"{name} must be > 0", SYNTAX)
    if read != round(read, 2 if read >= 1 else 4):
        raise refuse(f"invalid {name} {read}. sub-penny increment does not fulfill minimum pricing criteria")
    return float(read)
