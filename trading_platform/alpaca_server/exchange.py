"""Orders at the local server: acceptance, cancellation, replacement, and what they reserve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta

from trading_platform.alpaca_server.account import SimAccount
from trading_platform.alpaca_server.fill_models import FillModel
from trading_platform.alpaca_server.market import NEW_YORK, SimulatedMarket
from trading_platform.alpaca_server.records import (
    GTC_DAYS,
    OPEN_STATUSES,
    ApiError,
    Identifiers,
    Json,
    SimOrder,
    Whim,
    expiry,
    number,
)
from trading_platform.alpaca_server.validation import (
    FORBIDDEN,
    MISSING,
    RULE,
    SYNTAX,
    Asset,
    OrderBody,
    check_asset,
    check_stop_distance,
    read_order,
    refuse,
)
from trading_platform.core.types import Side


class SimExchange:
    """The venue: holds every order of the account and knows what may be accepted."""

    def __init__(
        self,
        market: SimulatedMarket,
        account: SimAccount,
        fill_model: FillModel,
        identifiers: Identifiers,
        assets: Sequence[Asset] = (),
    ) -> None:
        self.market = market
        self.account = account
        self.fill_model = fill_model
        self.identifiers = identifiers
        self.assets = {ticker: Asset(ticker) for ticker in market.tickers} | {asset.symbol: asset for asset in assets}
        self.orders: dict[str, SimOrder] = {}
        self.whims: list[Whim] = []
        self._by_client_id: dict[str, SimOrder] = {}

    # ------------------------------------------------------------ reading

    def find(self, order_id: str) -> SimOrder:
        """Return an order by its identifier."""
        order = self.orders.get(order_id)
        if order is None:
            raise ApiError(404, MISSING, f"order not found for {order_id}")
        return order

    def find_client(self, client_order_id: str) -> SimOrder:
        """Return an order by its client's identifier."""
        order = self._by_client_id.get(client_order_id)
        if order is None:
            raise ApiError(404, MISSING, f"order not found for {client_order_id}")
        return order

    def working(self, symbol: str | None = None) -> Iterator[SimOrder]:
        """Yield orders that may still trade, held legs included, in the order of submission."""
        for order in list(self.orders.values()):
            if order.is_working and symbol in (None, order.symbol):
                yield order

    def is_live(self, order: SimOrder) -> bool:
        """Return True if `order` may meet prices now: open, or a leg whose entry is filled."""
        if not order.is_working or order.queued:
            return False
        parent = order.parent
        return parent is None or parent.order_class == "oco" or parent.status == "filled"

    def held_for_orders(self, symbol: str) -> float:
        """Return the shares of `symbol` that working sells have claimed; a group claims once."""
        groups: dict[str, float] = {}
        for order in self.working(symbol):
            if order.side is Side.SELL and (order.parent is None or self.is_live(order)):
                root = (order.parent or order).id
                groups[root] = max(groups.get(root, 0.0), order.remaining)
        return sum(groups.values())

    def reserved_cash(self) -> float:
        """Return the dollars that working buys may still cost."""
        return sum(self._cost(order) for order in self.working() if order.side is Side.BUY)

    def buying_power(self) -> float:
        """Return the dollars that new buys may use."""
        account = self.account
        free = account.cash
        if account.multiplier > 1:
            free = account.equity(self.market.price) * account.multiplier - account.market_value(self.market.price)
        return max(0.0, free - self.reserved_cash())

    def _cost(self, order: SimOrder) -> float:
        if order.notional is not None:
            return order.notional
        price = order.limit_price or order.stop_price or self.market.price(order.symbol)
        return order.remaining * (price or 0.0)

    # ------------------------------------------------------------ acceptance

    def submit(self, body: Json) -> SimOrder:
        """Accept an order or raise what the service answers; nothing has traded yet."""
        wish = read_order(body)
        if wish.client_order_id in self._by_client_id:
            raise refuse("client_order_id must be unique", SYNTAX)
        if self.account.blocked:
            raise ApiError(403, FORBIDDEN, "new orders are rejected by user request")
        check_asset(wish, self.assets.get(wish.symbol))
        price = self.market.price(wish.symbol)
        if self.market.trading_row is None:
            raise refuse(f"the simulated market ended on {self.market.sessions[-1]}")
        if price is None:
            raise refuse(f"asset {wish.symbol} has no market price")
        self._check_auction_times(wish)
        self._check_wash(wish)
        self._check_means(wish, price)
        check_stop_distance(wish, price)
        order = self._create(wish)
        for whim in self.whims:
            if whim.fits(order.symbol, order.side):
                whim.times -= 1
                order.whim = whim
                break
        return order

    def _create(self, wish: OrderBody) -> SimOrder:
        row = self.market.trading_row
        closes = self.market.closes[self.market.closed_row if row is None else row]
        queued = not self.market.is_open
        is_oco = wish.order_class == "oco"
        order = SimOrder(
            id=self.identifiers.next(),
            client_order_id=wish.client_order_id or self.identifiers.next(),
            asset_id=self.identifiers.named(wish.symbol),
            symbol=wish.symbol,
            side=wish.side,
            type=wish.type,
            time_in_force=wish.time_in_force,
            order_class=wish.order_class,
            quantity=wish.quantity,
            notional=wish.notional,
            limit_price=wish.target_price if is_oco else wish.limit_price,
            stop_price=wish.stop_price,
            extended_hours=wish.extended_hours,
            created_at=self.market.now,
            expires_at=expiry(self.market.now, wish.time_in_force, closes),
            status="accepted" if queued else "new",
            queued=queued,
        )
        if wish.target_price is not None and not is_oco:
            self._attach(order, "limit", wish.target_price, None)
        if wish.stop_loss_price is not None:
            kind = "stop" if wish.stop_loss_limit is None else "stop_limit"
            self._attach(order, kind, wish.stop_loss_limit, wish.stop_loss_price)
        self._register(order)
        for leg in order.legs:
            self._register(leg)
        return order

    def _attach(self, parent: SimOrder, kind: str, limit: float | None, stop: float | None) -> None:
        parent.legs.append(
            SimOrder(
                id=self.identifiers.next(),
                client_order_id=self.identifiers.next(),
                asset_id=parent.asset_id,
                symbol=parent.symbol,
                side=Side.SELL,
                type=kind,
                time_in_force=parent.time_in_force,
                order_class=parent.order_class,
                quantity=parent.quantity,
                notional=None,
                limit_price=limit,
                stop_price=stop,
                extended_hours=False,
                created_at=parent.created_at,
                expires_at=parent.expires_at,
                status="held",
                parent=parent,
            )
        )

    def _register(self, order: SimOrder) -> None:
        self.orders[order.id] = order
        self._by_client_id[order.client_order_id] = order

    def _check_auction_times(self, wish: OrderBody) -> None:
        local = self.market.now.astimezone(NEW_YORK).time()
        if wish.time_in_force == "opg" and time(9, 28) <= local < time(19, 0):
            raise refuse("opg orders must be submitted after 7:00pm and before 9:28am")
        if wish.time_in_force == "cls" and time(15, 50) <= local < time(19, 0):
            raise refuse("cls orders must be submitted after 7:00pm and before 3:50pm")

    def _check_wash(self, wish: OrderBody) -> None:
        for other in self.working(wish.symbol):
            if other.side is wish.side or other.status not in OPEN_STATUSES:
                continue
            buy, sell = (
                (wish.limit_price, other.limit_price)
                if wish.side is Side.BUY
                else (other.limit_price, wish.limit_price)
            )
            if buy is None or sell is None or buy >= sell:
                raise ApiError(
                    403,
                    FORBIDDEN,
                    "potential wash trade detected. use complex orders",
                    existing_order_id=other.id,
                    reject_reason=f"opposite side {other.type} order exists",
                )

    def _check_means(self, wish: OrderBody, price: float) -> None:
        if wish.side is Side.BUY:
            cost = (
                wish.notional
                if wish.notional is not None
                else (wish.quantity or 0.0) * (wish.limit_price or wish.stop_price or price)
            )
            power = self.buying_power()
            if not (cost <= power + 0.005):
                raise ApiError(
                    403, FORBIDDEN, "insufficient buying power", buying_power=f"{power:.2f}", cost_basis=f"{cost:.2f}"
                )
            return
        existing, held = self.account.held(wish.symbol), self.held_for_orders(wish.symbol)
        wanted = wish.quantity if wish.quantity is not None else (wish.notional or 0.0) / price
        if existing == 0.0:
            raise ApiError(403, FORBIDDEN, "account is not allowed to short")
        free = number(existing - held)
        if wanted > existing - held + 1e-9:
            raise ApiError(
                403,
                FORBIDDEN,
                f"insufficient qty available for order (requested: {number(wanted)}, available: {free})",
                available=free,
                existing_qty=number(existing),
                held_for_orders=number(held),
                related_orders=[order.id for order in self.working(wish.symbol) if order.side is Side.SELL],
                symbol=wish.symbol,
            )

    # ------------------------------------------------------------ changes

    def cancel(self, order_id: str) -> None:
        """Cancel an order and, as the service does, what is still working in its group."""
        order = self.find(order_id)
        if not order.is_working:
            raise refuse(f'order is already in "{order.status}" state')
        self.close_group(order, "canceled", self.market.now)

    def close_group(self, order: SimOrder, status: str, at: datetime) -> None:
        """End every working order of the group of `order`."""
        for member in order.group():
            if member.is_working:
                self.close(member, status if member is order else "canceled", at)

    def close(self, order: SimOrder, status: str, at: datetime) -> None:
        """End one order."""
        order.status = status
        order.queued = False
        order.updated_at = at
        if status == "canceled":
            order.canceled_at = at
        elif status == "expired":
            order.expired_at = at
        elif status == "rejected":
            order.failed_at = at

    def replace(self, order_id: str, body: Json) -> SimOrder:
        """Replace quantity, prices or time in force; the old order ends as `replaced` and a new one takes its place."""
        old = self.find(order_id)
        if not old.is_working:
            raise refuse(f'order is already in "{old.status}" state')
        if old.notional is not None or (
            old.quantity is not None and old.quantity != int(old.quantity) and "qty" in body
        ):
            raise refuse("notional and fractional orders cannot be replaced")
        merged: Json = {
            "symbol": old.symbol,
            "side": old.side.value,
            "type": old.type,
            "time_in_force": body.get("time_in_force") or old.time_in_force,
            "qty": body.get("qty") or old.quantity,
            "limit_price": body.get("limit_price") or old.limit_price,
            "stop_price": body.get("stop_price") or old.stop_price,
            "client_order_id": body.get("client_order_id"),
        }
        wish = read_order(merged)
        if wish.client_order_id in self._by_client_id:
            raise refuse("client_order_id must be unique", SYNTAX)
        if wish.quantity is not None and not (wish.quantity > old.filled_quantity):
            raise refuse("qty must be > filled_qty", RULE)
        return self._swap(old, wish)

    def _swap(self, old: SimOrder, wish: OrderBody) -> SimOrder:
        now = self.market.now
        new = SimOrder(
            id=self.identifiers.next(),
            client_order_id=wish.client_order_id or self.identifiers.next(),
            asset_id=old.asset_id,
            symbol=old.symbol,
            side=old.side,
            type=old.type,
            time_in_force=wish.time_in_force,
            order_class=old.order_class,
            quantity=wish.quantity,
            notional=None,
            limit_price=wish.limit_price,
            stop_price=wish.stop_price,
            extended_hours=old.extended_hours,
            created_at=now,
            expires_at=now + timedelta(days=GTC_DAYS) if wish.time_in_force == "gtc" else old.expires_at,
            status=old.status,
            filled_quantity=old.filled_quantity,
            filled_amount=old.filled_amount,
            parent=old.parent,
            legs=old.legs,
            queued=old.queued,
            replaces=old.id,
        )
        for leg in new.legs:
            leg.parent = new
        if old.parent is not None:
            old.parent.legs[old.parent.legs.index(old)] = new
        old.legs = []
        old.replaced_by, old.replaced_at = new.id, now
        self.close(old, "replaced", now)
        self._register(new)
        return new
