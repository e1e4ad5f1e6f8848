"""What moves the local server from outside: its clock, faults, whims, money and trades by hand, and its whole state.

Everything here is for tests and dry runs; the service itself has nothing like it. Bodies and answers are JSON.

| request | does |
|---|---|
| `POST /admin/advance {"to": "evening", "times": 5}` | moves the clock (`dawn`, `open`, `close`, an instant) |
| `POST /admin/faults {"kind": ...}` or `[{...}, ...]` | puts faults in force (`faults.Fault`) |
| `DELETE /admin/faults` | lifts faults and whims, and lets a stopped clock go on |
| `POST /admin/whims {"kind": ...}` | lets the venue reject, cancel or partly fill orders to come (`records.Whim`) |
| `POST /admin/behaviour {"profile": "realistic"}` | changes habits (`behaviour.Behaviour`); `GET` shows them |
| `POST /admin/stream {"lose": 1}` | loses, doubles, swaps messages of the stream, refuses or (`disconnect`) closes it |
| `POST /admin/...` | what the owner does by hand, and what happens to the account: `owner` |
| `GET /admin/state` | shows orders, fills, positions, cash, activities, and counts of requests and faults |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from trading_platform.alpaca_server.behaviour import changed
from trading_platform.alpaca_server.faults import Fault
from trading_platform.alpaca_server.owner import carry_out
from trading_platform.alpaca_server.queries import Answer
from trading_platform.alpaca_server.records import ApiError, Json, Whim
from trading_platform.core.errors import TradingPlatformError

if TYPE_CHECKING:
    from trading_platform.alpaca_server.server import AlpacaServer

BAD_WISH = 40010000


def administer(server: AlpacaServer, method: str, path: str, wish: object) -> Answer:
    """Carry out one administrative request.

    Raises
    ------
    ApiError
        400 with the reason, when the wish cannot be read; 404 where there is no such endpoint.
    """
    try:
        return _carry_out(server, method, path, wish)
    except (TradingPlatformError, KeyError, TypeError, ValueError) as error:
        raise ApiError(400, BAD_WISH, f"{method} {path}: {wish!r} cannot be done: {error}") from error


def _carry_out(server: AlpacaServer, method: str, path: str, wish: object) -> Answer:
    if (method, path) == ("POST", "/admin/faults"):
        wishes = wish if isinstance(wish, list) else [wish]
        server.faults.add(*(Fault.from_json(_object(one)) for one in wishes))
        return 200, {"faults": len(server.faults.faults)}
    body = _object(wish)
    match method, path:
        case "POST", "/admin/advance":
            return 200, {"now": advance(server, str(body.get("to", "close")), int(str(body.get("times", 1))))}
        case "DELETE", "/admin/faults":
            server.lift_faults()
            return 200, {"faults": 0}
        case "POST", "/admin/whims":
            server.exchange.whims.append(Whim.from_json(body))
            return 200, {"whims": len(server.exchange.whims)}
        case "POST", "/admin/behaviour":
            server.behave(changed(server.behaviour, body))
            return 200, asdict(server.behaviour)
        case "GET", "/admin/behaviour":
            return 200, asdict(server.behaviour)
        case "POST", "/admin/stream":
            return 200, _spoil_stream(server, body)
        case "GET", "/admin/state":
            return 200, state(server)
    answer = carry_out(server, method, path.removeprefix("/admin/"), body)
    if answer is not None:
        return answer
    raise ApiError(404, 40410000, f"no admin endpoint {method} {path}")


def _spoil_stream(server: AlpacaServer, wish: Json) -> Json:
    faults = server.updates.faults
    for name, value in wish.items():
        if name == "disconnect":
            server.updates.disconnect()
        elif name in ("lose", "double", "swap", "refuse"):
            setattr(faults, name, int(str(value)))
        else:
            raise ValueError(f"{name} is none of lose, double, swap, refuse, disconnect")
    return {**asdict(faults), "listeners": server.updates.listeners}


def advance(server: AlpacaServer, goal: str, times: int) -> str:
    """Move the clock `times` times to `goal`; return the new time in ISO format.

    Raises
    ------
    ValueError
        `times` is below 1.
    """
    moves = {
        "dawn": server.advance_to_dawn,
        "open": server.advance_to_open,
        "close": server.advance_to_close,
        "evening": server.advance_to_evening,
    }
    if goal not in moves:
        return server.advance(datetime.fromisoformat(goal)).isoformat()
    if times < 1:
        raise ValueError("times must be >= 1")
    for _ in range(times):
        moves[goal]()
    return server.now.isoformat()


def state(server: AlpacaServer) -> Json:
    """Return everything that the server knows of the account, in the order in which it happened."""
    activities = [activity.json() for activity in server.account.activities]
    return {
        "now": server.market.now.isoformat(),
        "cash": server.account.cash,
        "equity": server.account.equity(server.market.price),
        "positions": {symbol: position.quantity for symbol, position in server.account.positions.items()},
        "orders": [
            {**order.json(nested=False), "parent_id": None if order.parent is None else order.parent.id}
            for order in server.exchange.orders.values()
        ],
        "foreign_orders": [order.json(nested=True) for order in server.exchange.foreign.values()],
        "foreign_positions": list(server.foreign.positions.values()),
        "fills": [activity for activity in activities if activity["activity_type"] == "FILL"],
        "activities": activities,
        "requests": len(server.requests),
        "answers": _counted(f"{r.method} {r.path.partition('?')[0]} {r.status}" for r in server.requests),
        "faults": _counted(kind.value for kind in server.faults.history.elements()),
    }


def _counted(names: Iterable[str]) -> Json:
    counts = Counter(names)
    return {name: counts[name] for name in sorted(counts)}


def _object(wish: object) -> Json:
    if not isinstance(wish, dict):
        raise ValueError("a JSON object is wanted")
    return wish
