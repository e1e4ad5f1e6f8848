"""The trading endpoints of the local server: paths and parameters in, status and JSON out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from trading_platform.brokers.alpaca_server.account import DEPOSIT, WITHDRAWAL
from trading_platform.brokers.alpaca_server.exchange import SimExchange
from trading_platform.brokers.alpaca_server.market import NEW_YORK
from trading_platform.brokers.alpaca_server.matching import MatchingEngine
from trading_platform.brokers.alpaca_server.records import ApiError, Json, SimOrder, SimPosition, number, stamp
from trading_platform.brokers.alpaca_server.validation import MISSING, SYNTAX, Asset
from trading_platform.core.fills import round_cents

Query = Mapping[str, str]
Answer = tuple[int, object]
MAX_ORDERS, MAX_ACTIVITIES = 500, 100


class TradingApi:
    """Answers `/v2/...` of the trading host."""

    def __init__(self, exchange: SimExchange, matching: MatchingEngine) -> None:
        self._exchange = exchange
        self._matching = matching
        self._market = exchange.market
        self._account = exchange.account
        self.frozen_clock: Json | None = None

    def handle(self, method: str, path: str, query: Query, body: Json) -> Answer | None:
        """Answer a request, or None if the path is not ours."""
        match method, path.strip("/").split("/"):
            case "GET", ["v2", "account"]:
                return 200, self.account()
            case "GET", ["v2", "account", "configurations"]:
                return 200, self.configuration()
            case "GET", ["v2", "account", "portfolio", "history"]:
                return 200, self.portfolio_history(query)
            case "GET", ["v2", "account", "activities"]:
                return 200, self.activities(query, query.get("activity_types", ""))
            case "GET", ["v2", "account", "activities", kind]:
                return 200, self.activities(query, kind)
            case "GET", ["v2", "clock"]:
                return 200, self.frozen_clock or self.clock()
            case "GET", ["v2", "calendar"]:
                return 200, self.calendar(query)
            case "GET", ["v2", "assets"]:
                return 200, self.assets(query)
            case "GET", ["v2", "assets", symbol]:
                return 200, self.asset(symbol)
            case _, ["v2", "orders", *rest]:
                return self._orders(method, rest, query, body)
            case "GET", ["v2", "orders:by_client_order_id"]:
                return 200, self._exchange.find_client(query.get("client_order_id", "")).json(nested=False)
            case _, ["v2", "positions", *rest]:
                return self._positions(method, rest, query)
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
                return 200, self._exchange.find(order_id).json(_true(query, "nested"))
            case "PATCH", [order_id]:
                return 200, self._exchange.replace(order_id, body).json(nested=True)
            case "DELETE", [order_id]:
                self._exchange.cancel(order_id)
                return 204, None
        return None

    def list_orders(self, query: Query) -> list[Json]:
        """List orders as the service does: held legs are not open, and nested lists lose the legs of a filled entry."""
        status, nested = query.get("status", "open"), _true(query, "nested")
        limit = read_whole(query, "limit", 50, MAX_ORDERS)
        symbols = {symbol for symbol in query.get("symbols", "").split(",") if symbol}
        after, until = read_instant(query.get("after")), read_instant(query.get("until"))
        chosen = [
            order
            for order in self._exchange.orders.values()
            if (order.parent is None or not nested)
            and (status == "all" or order.is_open == (status == "open"))
            and (not symbols or order.symbol in symbols)
            and query.get("side") in (None, order.side.value)
            and (after is None or order.created_at > after)
            and (until is None or order.created_at <= until)
        ]
        if query.get("direction", "desc") == "desc":
            chosen.reverse()
        chosen = self._cut(chosen, query)
        return [order.json(nested) for order in chosen[:limit]]

    def _cut(self, orders: list[SimOrder], query: Query) -> list[SimOrder]:
        """Page by order: keep what was submitted before, or after, the named one."""
        places = {order_id: place for place, order_id in enumerate(self._exchange.orders)}
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
                return 200, [
                    self._position_json(self._account.positions[name]) for name in sorted(self._account.positions)
                ]
            case "GET", [symbol]:
                return 200, self._position_json(self._position(symbol))
            case "DELETE", []:
                if _true(query, "cancel_orders"):
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
            "unrealized_plpc": repr(profit / position.cost),
            "unrealized_intraday_pl": number(round_cents(today)),
            "unrealized_intraday_plpc": repr(today / position.cost),
            "current_price": number(price),
            "lastday_price": number(last),
            "change_today": repr(price / last - 1.0),
        }

    # ------------------------------------------------------------ account

    def account(self) -> Json:
        """Return the account entity; the fields of pattern day trading are gone since 2026-07."""
        market_value = self._account.market_value(self._market.price)
        equity = number(round_cents(self._account.cash + market_value))
        history = self._account.equity_history
        power, cash = number(round_cents(self._exchange.buying_power())), number(self._account.cash)
        return {
            "id": self._exchange.identifiers.named("account"),
            "account_number": "PA0LOCAL0001",
            "status": "ACTIVE",
            "crypto_status": "INACTIVE",
            "currency": "USD",
            "buying_power": power,
            "regt_buying_power": power,
            "non_marginable_buying_power": power,
            "cash": cash,
            "accrued_fees": "0",
            "pending_transfer_in": "0",
            "pending_transfer_out": "0",
            "portfolio_value": equity,
            "trading_blocked": self._account.blocked,
            "transfers_blocked": False,
            "account_blocked": False,
            "created_at": stamp(self._market.opens[0]),
            "trade_suspended_by_user": False,
            "multiplier": str(self._account.multiplier),
            "shorting_enabled": False,
            "equity": equity,
            "last_equity": number(history[-1][2] if history else self._account.starting_cash),
            "long_market_value": number(market_value),
            "short_market_value": "0",
            "initial_margin": "0",
            "maintenance_margin": "0",
            "last_maintenance_margin": "0",
            "sma": "0",
            "balance_asof": (history[-1][0] if history else self._market.session_at(0)).isoformat(),
            "intraday_adjustments": "0",
            "pending_reg_taf_fees": "0",
        }

    def configuration(self) -> Json:
        """Return the account's switches."""
        return {
            "fractional_trading": True,
            "max_margin_multiplier": str(self._account.multiplier),
            "no_shorting": True,
            "suspend_trade": self._account.blocked,
            "trade_confirm_email": "none",
            "ptp_no_exception_entry": False,
        }

    def portfolio_history(self, query: Query) -> Json:
        """Return daily equity, left-labelled at the opening bell; profit is against the base value."""
        if query.get("timeframe", "1D") != "1D":
            raise ApiError(422, SYNTAX, "this local server keeps daily portfolio history only")
        if {"start", "end", "period"} <= set(query):
            raise ApiError(422, SYNTAX, "only two of start, end and period can be specified")
        rows = self._account.equity_history
        start, end = read_instant(query.get("start")), read_instant(query.get("end"))
        if start is None:
            start = (end or self._market.now) - _period(query.get("period", "1M"))
        rows = [row for row in rows if start <= row[1] and (end is None or row[1] <= end)]
        base = rows[0][2] if rows else self._account.starting_cash
        answer: Json = {
            "timestamp": [int(opened.timestamp()) for _, opened, _ in rows],
            "equity": [equity for _, _, equity in rows],
            "profit_loss": [round_cents(equity - base) for _, _, equity in rows],
            "profit_loss_pct": [equity / base - 1.0 for _, _, equity in rows],
            "base_value": base,
            "timeframe": "1D",
        }
        if query.get("cashflow_types", "NONE") != "NONE":
            flows = self._account.cash_flows
            answer["cashflow"] = {
                DEPOSIT: [max(flows.get(day, 0.0), 0.0) for day, _, _ in rows],
                WITHDRAWAL: [min(flows.get(day, 0.0), 0.0) for day, _, _ in rows],
            }
        return answer

    def activities(self, query: Query, kinds: str) -> list[Json]:
        """Return a page of the account's history."""
        wanted = {kind for kind in kinds.split(",") if kind}
        after, until, day = read_instant(query.get("after")), read_instant(query.get("until")), query.get("date")
        chosen = [
            activity
            for activity in self._account.activities
            if (not wanted or activity.kind in wanted)
            and (query.get("category") is None or (query["category"] == "trade_activity") == (activity.kind == "FILL"))
            and (after is None or activity.at > after)
            and (until is None or activity.at < until)
            and (day is None or activity.at.astimezone(NEW_YORK).date().isoformat() == day[:10])
        ]
        if query.get("direction", "desc") == "desc":
            chosen.reverse()
        token = query.get("page_token")
        if token:
            places = [place for place, activity in enumerate(chosen) if activity.id == token]
            chosen = chosen[places[0] + 1 :] if places else []
        return [
            activity.json() for activity in chosen[: read_whole(query, "page_size", MAX_ACTIVITIES, MAX_ACTIVITIES)]
        ]

    # ------------------------------------------------------------ time and assets

    def clock(self) -> Json:
        """Return the clock, in New York time as the service writes it."""
        return {
            "timestamp": self._market.now.astimezone(NEW_YORK).isoformat(),
            "is_open": self._market.is_open,
            "next_open": self._market.next_open().astimezone(NEW_YORK).isoformat(),
            "next_close": self._market.next_close().astimezone(NEW_YORK).isoformat(),
        }

    def calendar(self, query: Query) -> list[Json]:
        """Return the sessions asked for, with half days."""
        start, end = query.get("start", "1970-01-01")[:10], query.get("end", "2100-01-01")[:10]
        return [
            {
                "date": day.isoformat(),
                "open": opens.astimezone(NEW_YORK).strftime("%H:%M"),
                "close": closes.astimezone(NEW_YORK).strftime("%H:%M"),
                "session_open": "0400",
                "session_close": "2000",
                "settlement_date": (day + timedelta(days=1)).isoformat(),
            }
            for day, opens, closes in zip(self._market.sessions, self._market.opens, self._market.closes, strict=True)
            if start <= day.isoformat() <= end
        ]

    def assets(self, query: Query) -> list[Json]:
        """Return all assets of a status."""
        wanted = query.get("status")
        chosen = [self._exchange.assets[symbol] for symbol in sorted(self._exchange.assets)]
        return [
            self._asset_json(asset) for asset in chosen if wanted in (None, "active" if asset.active else "inactive")
        ]

    def asset(self, symbol: str) -> Json:
        """Return one asset by symbol or identifier."""
        for asset in self._exchange.assets.values():
            if symbol.upper() == asset.symbol or symbol == self._exchange.identifiers.named(asset.symbol):
                return self._asset_json(asset)
        raise ApiError(404, MISSING, f"asset not found for {symbol}")

    def _asset_json(self, asset: Asset) -> Json:
        return {
            "id": self._exchange.identifiers.named(asset.symbol),
            "class": "us_equity",
            "exchange": "NASDAQ",
            "symbol": asset.symbol,
            "name": f"{asset.symbol} Common Stock",
            "status": "active" if asset.active else "inactive",
            "tradable": asset.tradable,
            "marginable": True,
            "shortable": False,
            "easy_to_borrow": False,
            "fractionable": asset.fractionable,
            "maintenance_margin_requirement": 30,
            "attributes": [],
        }


def _true(query: Query, key: str) -> bool:
    return query.get(key, "false").lower() == "true"


def read_whole(query: Query, key: str, default: int, largest: int) -> int:
    """Read a whole number in 1..`largest`."""
    text = query.get(key)
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise ApiError(422, SYNTAX, f"{key} must be in 1..{largest}, was {text}")
    return int(text)


def read_instant(text: str | None) -> datetime | None:
    """Read a date or an RFC 3339 instant; a naive one is UTC."""
    if text is None:
        return None
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        # Python 3.11 reads at most microseconds
        read = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError as error:
        raise ApiError(422, SYNTAX, f"invalid time {text}") from error
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def _period(text: str) -> timedelta:
    days = {"D": 1, "W": 7, "M": 31, "A": 366}
    if len(text) < 2 or text[-1] not in days or not text[:-1].isdigit():
        raise ApiError(422, SYNTAX, f"invalid period {text}")
    return timedelta(days=days[text[-1]] * int(text[:-1]))
