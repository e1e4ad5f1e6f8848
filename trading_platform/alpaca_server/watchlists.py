"""Watchlists: named lists of assets, by identifier or by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from trading_platform.alpaca_server.queries import Answer, Query
from trading_platform.alpaca_server.records import ApiError, Identifiers, Json, stamp
from trading_platform.alpaca_server.validation import MISSING, SYNTAX, refuse


@dataclass(slots=True)
class Watchlist:
    """One list."""

    id: str
    name: str
    symbols: list[str]
    created_at: datetime
    updated_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.updated_at = self.created_at


class WatchlistApi:
    """Answers `/v2/watchlists...`."""

    def __init__(self, identifiers: Identifiers, asset: Callable[[str], Json], now: Callable[[], datetime]) -> None:
        self._identifiers = identifiers
        self._asset = asset
        self._now = now
        self._lists: dict[str, Watchlist] = {}

    def handle(self, method: str, path: list[str], query: Query, body: Json) -> Answer | None:
        """Answer a request, or None if the path is not ours.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        match path:
            case ["v2", "watchlists"]:
                return self._all(method, body)
            case ["v2", "watchlists:by_name"]:
                return self._one(method, self._named(query.get("name", "")), body)
            case ["v2", "watchlists", watchlist_id]:
                return self._one(method, self._find(watchlist_id), body)
            case ["v2", "watchlists", watchlist_id, symbol] if method == "DELETE":
                found = self._find(watchlist_id)
                if symbol.upper() not in found.symbols:
                    raise ApiError(404, MISSING, f"{symbol} is not in the watchlist")
                found.symbols.remove(symbol.upper())
                return 200, self._json(found)
        return None

    def _all(self, method: str, body: Json) -> Answer | None:
        if method == "GET":
            return 200, [self._json(found, with_assets=False) for found in self._lists.values()]
        if method != "POST":
            return None
        name = str(body.get("name") or "")
        if not name or any(known.name == name for known in self._lists.values()):
            raise refuse("watchlist name is required" if not name else "watchlist name must be unique", SYNTAX)
        made = Watchlist(self._identifiers.next(), name, self._symbols(body), self._now())
        self._lists[made.id] = made
        return 200, self._json(made)

    def _one(self, method: str, found: Watchlist, body: Json) -> Answer | None:
        match method:
            case "GET":
                return 200, self._json(found)
            case "PUT":
                found.name = str(body.get("name") or found.name)
                if "symbols" in body:
                    found.symbols = self._symbols(body)
            case "POST":
                symbol = str(body.get("symbol") or "").upper()
                self._asset(symbol)
                if symbol in found.symbols:
                    raise refuse(f"{symbol} is in the watchlist already", SYNTAX)
                found.symbols.append(symbol)
            case "DELETE":
                del self._lists[found.id]
                return 204, None
            case _:
                return None
        found.updated_at = self._now()
        return 200, self._json(found)

    def _symbols(self, body: Json) -> list[str]:
        asked = body.get("symbols") or []
        if not isinstance(asked, list):
            raise refuse("symbols must be a list", SYNTAX)
        names = [str(symbol).upper() for symbol in asked]
        for name in names:
            self._asset(name)
        return names

    def _find(self, watchlist_id: str) -> Watchlist:
        found = self._lists.get(watchlist_id)
        if found is None:
            raise ApiError(404, MISSING, f"watchlist {watchlist_id} not found")
        return found

    def _named(self, name: str) -> Watchlist:
        for known in self._lists.values():
            if known.name == name:
                return known
        raise ApiError(404, MISSING, f"watchlist {name} not found")

    def _json(self, found: Watchlist, *, with_assets: bool = True) -> Json:
        body: Json = {
            "id": found.id,
            "account_id": self._identifiers.named("account"),
            "created_at": stamp(found.created_at),
            "updated_at": stamp(found.updated_at),
            "name": found.name,
        }
        return {**body, "assets": [self._asset(symbol) for symbol in found.symbols]} if with_assets else body
