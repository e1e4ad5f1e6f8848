"""The trading endpoints of the local server: paths and parameters in, status and JSON out."""

from __future__ import annotations

from trading_platform.alpaca_server.account_api import AccountApi
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.foreign import ForeignDesk
from trading_platform.alpaca_server.matching import MatchingEngine
from trading_platform.alpaca_server.queries import Answer, Query, read_flag, read_instant, read_whole
from trading_platform.alpaca_server.records import ApiError, ForeignOrder, Json, SimOrder, SimPosition, number
from trading_platform.alpaca_server.reference_api import ReferenceApi
from trading_platform.alpaca_server.refusals import check_change
from trading_platform.alpaca_server.validation import MISSING, SYNTAX, refuse
from trading_platform.alpaca_server.watchlists import WatchlistApi
from trading_platform.core.fills import round_cents

MAX_ORDERS = 500


class TradingApi:
    """Answers `/v2/...` of the trading host."""

    def __init__(self, exchange: SimExchange, matching: MatchingEngine, foreign: ForeignDesk) -> None:
        self._foreign = foreign
        self._exchange = exchange
        self._matching = matching
        self._market = exchange.market
        self._account = exchange.account
        self.accounts = AccountApi(exchange)
        self._watchlists = WatchlistApi(exchange.identifiers, self.accounts.asset, lambda: exchange.market.now)
        self._reference = ReferenceApi(exchange, matching.corporate)

    def handle(self, method: str, path: str, query: Query, body: Json) -> Answer | None:
        """Answer a request, or None if the path is not ours."""
        match method, path.strip("/").split("/"):
            case _, ["v2", "orders", *rest]:
                return self._orders(method, rest, query, body)
            case "GET", ["v2", "orders:by_client_order_id"]:
                return 200, self._exchange.find_client(query.get("client_order_id", "")).json(nested=False)
            case _, ["v2", "positions", *rest]:
                return self._positions(method, rest, query)
            case _, ["v2", "watchlists" | "watchlists:by_name", *_] as parts:
                return self._watchlists.handle(method, parts, query, body)
            case "PATCH", ["v2", "account", "configurations"]:
                return 200, self.accounts.configure(body)
            case "GET", parts:
                return self.accounts.handle(parts, query) or self._reference.handle(parts, query)
        return None

    # ------------------------------------------------------------ orders

    def _orders(self, method: str, rest: list[str], query: Query, body: Json) -> Answer | None:
        match method, rest:
            case "POST", []:
                return 200, self._matching.submit(body).json(nested=True)
            case "GET", []:
                return 200, self.list_orders(query)
            case "DELETE", []:
                return 207, self._cancel_all()
            case "GET", [order_id]:
                return 200, self._exchange.show(order_id).json(read_flag(query, "nested"))
            case "DELETE", [order_id] if order_id in self._exchange.foreign:
                self._foreign.cancel(self._exchange.foreign[order_id])
                return 204, None
            case "PATCH", [order_id]:
                check_change(self._exchange.find(order_id), body)
                return 200, self._exchange.replace(order_id, body).json(nested=True)
            case "DELETE", [order_id]:
                self._exchange.cancel(order_id)
                return 204, None
        return None

    def list_orders(self, query: Query) -> list[Json]:
        """List orders as the service does: held legs are not open, and nested lists lose the legs of a filled entry."""
        status, nested = query.get("status", "open"), read_flag(query, "nested")
        limit = read_whole(query, "limit", 50, MAX_ORDERS)
        symbols = {symbol for symbol in query.get("symbols", "").split(",") if symbol}
        after, until = read_instant(query.get("after")), read_instant(query.get("until"))
        listed: list[SimOrder | ForeignOrder] = [*self._exchange.orders.values(), *self._exchange.foreign.values()]
        chosen = [
            order
            for order in sorted(listed, key=lambda order: order.created_at)
            if (order.parent is None or not nested)
            and (status == "all" or order.is_open == (status == "open"))
            and (not symbols or order.symbol in symbols)
            and query.get("side") in (None, order.side_word)
            and (after is None or order.created_at > after)
            and (until is None or order.created_at <= until)
        ]
        if query.get("direction", "desc") == "desc":
            chosen.reverse()
        chosen = self._cut(chosen, query)
        return [order.json(nested) for order in chosen[:limit]]

    def _cut(self, orders: list[SimOrder | ForeignOrder], query: Query) -> list[SimOrder | ForeignOrder]:
        """Page by order: keep what was submitted before, or after, the named one."""
        places = {order_id: place for place, order_id in enumerate((*self._exchange.orders, *self._exchange.foreign))}
        for key, later in (("after_order_id", True), ("before_order_id", False)):
            anchor = query.get(key)
            if anchor:
                if anchor not in places:
                    raise ApiError(422, SYNTAX, f"{key} {anchor} not found")
                limit = places[anchor]
                orders = [o for o in orders if o.id != anchor and (places[o.id] > limit) == later]
        return orders

    def _cancel_all(self) -> list[Json]:
        answers: list[Json] = []
        for order in self._exchange.working():
            if order.is_open and order.is_working:
                self._exchange.cancel(order.id)
                answers.append({"id": order.id, "status": 200})
        return answers

    # ------------------------------------------------------------ positions

    def _positions(self, method: str, rest: list[str], query: Query) -> Answer | None:
        match method, rest:
            case "GET", []:
                shares = [
                    self._position_json(self._account.positions[name]) for name in sorted(self._account.positions)
                ]
                return 200, [*shares, *self._foreign.positions.values()]
            case "GET", [symbol] if symbol in self._foreign.positions:
                return 200, self._foreign.positions[symbol]
            case "POST", [symbol, "exercise" | "do-not-exercise"]:
                if symbol not in self._foreign.positions:
                    raise refuse(f"no position in contract {symbol}")
                return 200, None
            case "GET", [symbol]:
                return 200, self._position_json(self._position(symbol))
            case "DELETE", []:
                if read_flag(query, "cancel_orders"):
                    self._cancel_all()
                closed = [(symbol, self._close(symbol, {})) for symbol in sorted(self._account.positions)]
                return 207, [
                    {"symbol": symbol, "status": 200, "body": order.json(nested=False)} for symbol, order in closed
                ]
            case "DELETE", [symbol]:
                return 200, self._close(symbol, query).json(nested=False)
        return None

    def _position(self, symbol: str) -> SimPosition:
        position = self._account.positions.get(symbol.upper())
        if position is None:
            raise ApiError(404, MISSING, "position does not exist")
        return position

    def _close(self, symbol: str, query: Query) -> SimOrder:
        position = self._position(symbol)
        quantity = position.quantity
        if "qty" in query:
            quantity = float(query["qty"])
        elif "percentage" in query:
            quantity = position.quantity * float(query["percentage"]) / 100.0
        return self._matching.submit(
            {
                "symbol": position.symbol,
                "side": "sell",
                "type": "market",
                "time_in_force": "day",
                "qty": repr(round(quantity, 9)),
            }
        )

    def _position_json(self, position: SimPosition) -> Json:
        price = self._market.price(position.symbol) or position.entry_price
        last = self._market.close_before(position.symbol, self._market.opened_row - 1) or position.entry_price
        value = round_cents(position.quantity * price)
        profit, today = value - position.cost, (price - last) * position.quantity
        return {
            "asset_id": self._exchange.identifiers.named(position.symbol),
            "symbol": position.symbol,
            "exchange": "NASDAQ",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "avg_entry_price": number(position.entry_price),
            "qty": number(position.quantity),
            "qty_available": number(position.quantity - self._exchange.held_for_orders(position.symbol)),
            "side": "long",
            "market_value": number(value),
            "cost_basis": number(position.cost),
            "unrealized_pl": number(round_cents(profit)),
            "unrealized_plpc": repr(profit / position.cost if position.cost > 0.0 else 0.0),
            "unrealized_intraday_pl": number(round_cents(today)),
            "unrealized_intraday_plpc": repr(today / position.cost if position.cost > 0.0 else 0.0),
            "current_price": number(price),
            "lastday_price": number(last),
            "change_today": repr(price / last - 1.0 if last > 0.0 else 0.0),
        }
