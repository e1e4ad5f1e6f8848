"""What the account's owner does by hand, and what happens to the account: admin requests beside clock and faults.

| request | does |
|---|---|
| `POST /admin/orders {...}` | the owner places an order of any kind, worded as for `POST /v2/orders` |
| `POST /admin/replace {"symbol", "type", ...}` | edits a resting order: `qty`, `limit_price`, `stop_price`, `trail` |
| `POST /admin/cancel {"symbol", "type"}` | cancels one |
| `POST /admin/foreign {"kind": "mleg", ...}` | an option, spread, coin, or an order nobody can read |
| `POST /admin/trade`, `POST /admin/cash` | trades shares by hand; deposits or withdraws |
| `POST /admin/events {"kind": "rename", ...}` | a corporate event, at the next dawn or, with `"now": true`, at once |
| `POST /admin/activities {"activity_type", ...}` | any row: money; shares with `"moves_shares": true`; or cancels one |
| `POST /admin/account {"trading_blocked": true}` | sets fields of the account entity; `DELETE` lifts them |
| `POST /admin/assets {"symbol", "tradable": false}` | flags of an asset: tradable, active, fractionable, halted |
| `POST /admin/bars {"symbol", "session", "low": ...}` | a wrong bar, `until` it is corrected |
| `POST /admin/trades {"symbol", "price", "at"}` | the last trade that is told: stale, of before the open, absurd |

An order is named by `order_id`, by `client_order_id`, or by `symbol` and, if need be, `type` and `side`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading_platform.alpaca_server.corporate import Happening
from trading_platform.alpaca_server.foreign import Deal
from trading_platform.alpaca_server.prints import LastTrade, Misprint
from trading_platform.alpaca_server.queries import Answer
from trading_platform.alpaca_server.records import ForeignOrder, Json, SimOrder
from trading_platform.alpaca_server.validation import Asset

if TYPE_CHECKING:
    from trading_platform.alpaca_server.server import AlpacaServer

FLAGS = ("tradable", "active", "fractionable", "halted")


def carry_out(server: AlpacaServer, method: str, deed: str, wish: Json) -> Answer | None:
    """Carry out a deed, or return None if there is none of that name."""
    match method, deed:
        case "POST", "orders":
            return 200, server.matching.submit(wish).json(nested=True)
        case "POST", "replace":
            return 200, server.exchange.replace(_shares(_named(server, wish)).id, _edits(wish)).json(nested=True)
        case "POST", "cancel":
            return _cancel(server, wish)
        case "POST", "foreign":
            return 200, server.foreign.place(Deal.from_json(wish)).json(nested=True)
        case "POST", "trade":
            order = server.trade_by_hand(str(wish["symbol"]), str(wish["side"]), float(str(wish["qty"])))
            return 200, order.json(nested=False)
        case "POST", "cash":
            server.move_cash(float(str(wish["amount"])), bool(wish.get("explained", True)))
            return 200, {"cash": server.account.cash}
        case "POST", "events":
            return _event(server, wish)
        case "POST", "activities":
            return _activity(server, wish)
        case "POST", "account":
            server.account.overrides |= wish
            return 200, server.account.overrides
        case "DELETE", "account":
            server.account.overrides = {}
            return 200, {}
        case "POST", "assets":
            return _asset(server, wish)
        case "POST", "bars":
            server.data.prints.misprints.append(Misprint.from_json(wish))
            return 200, {"bars": len(server.data.prints.misprints)}
        case "POST", "trades":
            server.data.prints.trades.append(LastTrade.from_json(wish))
            return 200, {"trades": len(server.data.prints.trades)}
    return None


def _named(server: AlpacaServer, wish: Json) -> SimOrder | ForeignOrder:
    exchange = server.exchange
    if "order_id" in wish:
        return exchange.show(str(wish["order_id"]))
    if "client_order_id" in wish:
        return exchange.find_client(str(wish["client_order_id"]))
    fitting = [
        order
        for order in exchange.working(str(wish["symbol"]))
        if wish.get("type") in (None, order.type) and wish.get("side") in (None, order.side.value)
    ]
    if not fitting:
        raise ValueError("no working order fits")
    return fitting[0]


def _shares(order: SimOrder | ForeignOrder) -> SimOrder:
    if isinstance(order, ForeignOrder):
        raise ValueError(f"order {order.id} is not of shares and cannot be edited here")
    return order


def _edits(wish: Json) -> Json:
    return {key: wish[key] for key in ("qty", "limit_price", "stop_price", "trail", "time_in_force") if key in wish}


def _cancel(server: AlpacaServer, wish: Json) -> Answer:
    order = _named(server, wish)
    if isinstance(order, ForeignOrder):
        server.foreign.cancel(order)
    else:
        server.exchange.cancel(order.id)
    return 200, order.json(nested=False)


def _event(server: AlpacaServer, wish: Json) -> Answer:
    market, corporate = server.market, server.matching.corporate
    row = market.session_row
    if not wish.get("now") and market.now >= market.opens[row] - server.dawn_before_open:
        row = min(row + 1, len(market.sessions) - 1)
    event = Happening.from_json({key: wish[key] for key in wish if key != "now"}, market.session_at(row))
    if not market.knows(event.ticker):
        raise ValueError(f"the market has no {event.ticker}")
    if event.session < market.session_at(row):
        raise ValueError(
            f"{event.session} is over: the next session before whose open it can happen is {market.session_at(row)}"
        )
    if wish.get("now"):
        corporate.book(event, row, market.now)
    else:
        corporate.events.append(event)
    return 200, {"session": event.session.isoformat(), "ticker": event.ticker, "kind": event.kind}


def _activity(server: AlpacaServer, wish: Json) -> Answer:
    account, at = server.account, server.market.now
    if "cancel" in wish:
        account.cancel_activity(str(wish["cancel"]))
        return 200, {"canceled": wish["cancel"]}
    known = ("activity_type", "net_amount", "symbol", "qty", "moves_shares")
    details = {key: value for key, value in wish.items() if key not in known}
    kind, amount = str(wish["activity_type"]), float(str(wish.get("net_amount", 0.0)))
    symbol = None if wish.get("symbol") is None else str(wish["symbol"])
    if symbol is not None and wish.get("moves_shares"):
        row = account.book_shares(kind, symbol, float(str(wish["qty"])), at, amount, details)
    else:
        shown = {"qty": str(wish["qty"])} if "qty" in wish else {}
        row = account.book_cash(kind, amount, at, symbol=symbol, **shown, **details)
    return 200, row.json()


def _asset(server: AlpacaServer, wish: Json) -> Answer:
    symbol = str(wish["symbol"])
    unknown = set(wish) - {*FLAGS, "symbol"}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} unknown; an asset has {', '.join(FLAGS)}")
    known = server.exchange.assets.get(symbol, Asset(symbol))
    flags = {name: bool(wish.get(name, getattr(known, name))) for name in FLAGS}
    server.exchange.assets[symbol] = Asset(symbol, sector=known.sector, **flags)
    return 200, {"symbol": symbol, **flags}
