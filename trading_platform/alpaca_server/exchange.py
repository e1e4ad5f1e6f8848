"""Orders at the local server: acceptance, cancellation, replacement, and what they reserve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from trading_platform.alpaca_server.account import SimAccount
from trading_platform.alpaca_server.behaviour import Behaviour
from trading_platform.alpaca_server.fill_models import FillModel
from trading_platform.alpaca_server.market import SimulatedMarket
from trading_platform.alpaca_server.records import (
    ApiError,
    ForeignOrder,
    Identifiers,
    Json,
    SimOrder,
    Whim,
    expiry,
)
from trading_platform.alpaca_server.refusals import check_auction_times, check_means, check_wash
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

Listener = Callable[[str, SimOrder, Json], None]  # event of the order's life, the order, what else there is to say


def nobody(event: str, order: SimOrder, details: Json) -> None:
    """Hear an event of an order's life and tell nobody."""


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
        self.assets = {ticker: Asset(ticker) for ticker in market.symbols} | {asset.symbol: asset for asset in assets}
        self.orders: dict[str, SimOrder] = {}
        self.foreign: dict[str, ForeignOrder] = {}
        self.whims: list[Whim] = []
        self.tell: Listener = nobody
        self._by_client_id: dict[str, SimOrder] = {}

    # ------------------------------------------------------------ reading

    @property
    def behaviour(self) -> Behaviour:
        """The habits in force."""
        return self.market.behaviour

    @property
    def fills_after_open(self) -> bool:
        """True where an entry that missed the open may still fill in the session."""
        return self.behaviour.limits_rest or self.fill_model.fills_after_open

    def show(self, order_id: str) -> SimOrder | ForeignOrder:
        """Return an order by its identifier, the owner's orders of other kinds included."""
        return self.foreign.get(order_id) or self.find(order_id)

    def find(self, order_id: str) -> SimOrder:
        """Return an order by its identifier.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        order = self.orders.get(order_id)
        if order is None:
            raise ApiError(404, MISSING, f"order not found for {order_id}")
        return order

    def find_client(self, client_order_id: str) -> SimOrder:
        """Return an order by its client's identifier.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
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
        if parent is None or parent.order_class == "oco" or parent.status == "filled":
            return True
        return not self.behaviour.sleeping_legs and parent.filled_quantity > 0.0

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
        if self.account.refuses_orders:
            raise ApiError(403, FORBIDDEN, "new orders are rejected by user request")
        check_asset(wish, self.assets.get(wish.symbol))
        price = self.market.price(wish.symbol)
        if self.market.trading_row is None:
            raise refuse(f"the simulated market ended on {self.market.sessions[-1]}")
        if price is None:
            raise refuse(f"asset {wish.symbol} has no market price")
        check_auction_times(wish, self.market.now)
        if self.behaviour.wash_trades:
            check_wash(self, wish)
        check_means(self, wish, price)
        check_stop_distance(wish, price)
        order = self._create(wish)
        for whim in self.whims:
            if whim.fits(order.symbol, order.side):
                whim.times -= 1
                order.whim = whim
                break
        self.tell("accepted" if order.queued else "new", order, {})
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
            expires_at=expiry(self.market.now, wish.time_in_force, closes, self.behaviour.gtc_days),
            status="accepted" if queued else "new",
            queued=queued,
            trail_percent=wish.trail_percent,
            trail_price=wish.trail_price,
        )
        price = self.market.price(wish.symbol)
        if price is not None:
            order.trail(price)
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

    # ------------------------------------------------------------ changes

    def cancel(self, order_id: str) -> None:
        """Cancel an order and, as the service does, what is still working in its group.

        After hours a routed order only becomes `pending_cancel` with `Behaviour.late_cancels`, until the next open.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        order = self.find(order_id)
        if not order.is_working or any(member.cancel_wanted for member in order.group()):
            status = order.status if order.is_working is False else "pending_cancel"
            raise refuse(f'order is already in "{status}" state')
        if self.behaviour.late_cancels and not self.market.is_open and not order.queued:
            self._want_cancel(order)
            return
        self.close_group(order, "canceled", self.market.now)

    def _want_cancel(self, order: SimOrder) -> None:
        for member in order.group():
            if member.is_working:
                member.cancel_wanted = True
                member.updated_at = self.market.now
                if member.status != "held":
                    member.status = "pending_cancel"
                    self.tell("pending_cancel", member, {})

    def close_group(self, order: SimOrder, status: str, at: datetime) -> None:
        """End every working order of the group of `order`."""
        for member in order.group():
            if member.is_working:
                self.close(member, status if member is order else "canceled", at)

    def close(self, order: SimOrder, status: str, at: datetime) -> None:
        """End one order."""
        order.status = status
        order.queued = order.cancel_wanted = False
        order.updated_at = at
        if status == "canceled":
            order.canceled_at = at
        elif status == "expired":
            order.expired_at = at
        elif status == "rejected":
            order.failed_at = at
        self.tell(status, order, {})

    def replace(self, order_id: str, body: Json) -> SimOrder:
        """Replace quantity, prices or time in force; the old order ends as `replaced` and a new one takes its place.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        old = self.find(order_id)
        if not old.is_working or old.cancel_wanted:
            raise refuse(f'order is already in "{"pending_cancel" if old.cancel_wanted else old.status}" state')
        if old.notional is not None or (
            old.quantity is not None and old.quantity != int(old.quantity) and "qty" in body
        ):
            raise refuse("notional and fractional orders cannot be replaced")
        trails = old.type == "trailing_stop"
        if "trail" in body and not trails:
            raise refuse("trail can be changed of trailing stops only")
        trail = body.get("trail")
        merged: Json = {
            "symbol": old.symbol,
            "side": old.side.value,
            "type": old.type,
            "time_in_force": body.get("time_in_force") or old.time_in_force,
            "qty": body.get("qty") or old.quantity,
            "limit_price": body.get("limit_price") or old.limit_price,
            "stop_price": None if trails else body.get("stop_price") or old.stop_price,
            "trail_price": trail if trail is not None and old.trail_price is not None else old.trail_price,
            "trail_percent": trail if trail is not None and old.trail_percent is not None else old.trail_percent,
            "client_order_id": body.get("client_order_id"),
        }
        wish = read_order(merged)
        if wish.client_order_id in self._by_client_id:
            raise refuse("client_order_id must be unique", SYNTAX)
        if wish.quantity is not None and not (wish.quantity > old.filled_quantity):
            raise refuse("qty must be > filled_qty", RULE)
        new = self.renew(
            old, wish.quantity, wish.limit_price, wish.stop_price, wish.time_in_force, wish.client_order_id
        )
        new.trail_price, new.trail_percent = wish.trail_price, wish.trail_percent
        if trails and old.high_water is not None:
            new.trail(old.high_water)
        self.tell("replaced", old, {})
        return new

    def renew(
        self,
        old: SimOrder,
        quantity: float | None,
        limit_price: float | None,
        stop_price: float | None,
        time_in_force: str,
        client_order_id: str | None = None,
    ) -> SimOrder:
        """Put a successor of another id into the place of `old`, which ends as `replaced`."""
        now = self.market.now
        lasts = timedelta(days=self.behaviour.gtc_days)
        new = SimOrder(
            id=self.identifiers.next(),
            client_order_id=client_order_id or self.identifiers.next(),
            asset_id=old.asset_id,
            symbol=old.symbol,
            side=old.side,
            type=old.type,
            time_in_force=time_in_force,
            order_class=old.order_class,
            quantity=quantity,
            notional=None,
            limit_price=limit_price,
            stop_price=stop_price,
            extended_hours=old.extended_hours,
            created_at=now,
            expires_at=now + lasts if time_in_force == "gtc" else old.expires_at,
            status=old.status,
            filled_quantity=old.filled_quantity,
            filled_amount=old.filled_amount,
            parent=old.parent,
            legs=old.legs,
            queued=old.queued,
            replaces=old.id,
            trail_percent=old.trail_percent,
            trail_price=old.trail_price,
            high_water=old.high_water,
        )
        for leg in new.legs:
            leg.parent = new
        if old.parent is not None:
            old.parent.legs[old.parent.legs.index(old)] = new
        old.legs = []
        old.replaced_by, old.replaced_at = new.id, now
        old.status, old.updated_at, old.queued = "replaced", now, False
        self.orders[new.id] = new
        self._by_client_id[new.client_order_id] = new
        return new
