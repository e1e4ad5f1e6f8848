"""The market data endpoints of the local server: bars, latest prices, index values, with the free plan's rules."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np

from trading_platform.alpaca_server.bar_form import bar_json, midnight
from trading_platform.alpaca_server.intraday import intraday_bars, read_timeframe
from trading_platform.alpaca_server.latest_api import IEX_SHARE, LatestApi, quote_form, trade_form
from trading_platform.alpaca_server.market import SimulatedMarket
from trading_platform.alpaca_server.prints import Prints
from trading_platform.alpaca_server.queries import Answer, Query, read_instant, read_whole
from trading_platform.alpaca_server.records import ApiError, Json, stamp
from trading_platform.core.types import Floats

SIP_DELAY = timedelta(minutes=15)
MAX_POINTS = 10_000
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What the data plan allows: the free plan has neither recent SIP data nor, it is assumed, index values."""

    recent_sip: bool = False
    indices: bool = True


FREE_PLAN = Entitlement()


class DataApi:
    """Answers `/v2/stocks/...` and `/v1beta1/indices/...` of the data host."""

    def __init__(self, market: SimulatedMarket, entitlement: Entitlement) -> None:
        self._market = market
        self._entitlement = entitlement
        self.prints = Prints(market)
        self.latest = LatestApi(market, self.prints)

    def handle(self, path: str, query: Query, skip_page: bool = False) -> Answer | None:
        """Answer a GET, or None if the path is not ours. `skip_page` leaves the page out (a fault)."""
        match path.strip("/").split("/"):
            case ["v2", "stocks", "bars"]:
                return 200, self.bars(query, skip_page)
            case ["v2", "stocks", "bars", "latest"]:
                return 200, {"bars": {s: self.latest.bar(s) for s in self._priced(query)}}
            case ["v2", "stocks", "quotes", "latest"]:
                return 200, {"quotes": {s: self.latest.quote(s) for s in self._priced(query)}}
            case ["v2", "stocks", "trades", "latest"]:
                return 200, {"trades": {s: self.latest.trade(s) for s in self._priced(query)}}
            case ["v2", "stocks", "snapshots"]:
                return 200, {s: self.latest.snapshot(s) for s in self._priced(query)}
            case ["v2", "stocks", "auctions"]:
                return 200, self.auctions(query)
            case ["v2", "stocks", "trades" | "quotes" as kind]:
                return 200, self.ticks(query, kind, skip_page)
            case ["v2", "stocks", symbol, *rest]:
                return self._of_one(symbol.upper(), rest, query, skip_page)
            case ["v1beta1", "indices", "values"]:
                return 200, self.index_values(query)
            case ["v1beta1", "indices", "latest", "values"]:
                return 200, self.latest_index_values(query)
        return None

    # ------------------------------------------------------------ history

    def bars(self, query: Query, skip_page: bool) -> Json:
        """Return a page of daily bars, symbol by symbol, oldest first, today's half-built bar included."""
        width = read_timeframe(query.get("timeframe", "1Day"))
        start, end = self._window(query)
        feed = query.get("feed", "sip")
        if width is not None:
            return self._within_sessions(query, skip_page, width, start, end, feed)
        rows = list(self._rows(start, end))
        points = [
            (symbol, row) for symbol in self._symbols(query) for row in rows if self._market.bar(row, symbol).traded
        ]
        chosen, token = _page(len(points), query, skip_page)
        bars: dict[str, list[Json]] = {}
        factors: dict[str, tuple[Floats, Floats]] = {}
        for symbol, row in (points[place] for place in chosen):
            if symbol not in factors:
                factors[symbol] = self._factors(symbol, query.get("adjustment", "raw"))
            bars.setdefault(symbol, []).append(self._bar_json(symbol, row, feed, factors[symbol]))
        return {"bars": bars, "next_page_token": token, "currency": "USD"}

    def _window(self, query: Query) -> tuple[datetime, datetime]:
        """Return first and last instant that are asked for, as far as the data plan allows."""
        feed, now = query.get("feed", "sip"), self._market.now
        end = read_instant(query.get("end"))
        if end is None:
            end = now if feed != "sip" or self._entitlement.recent_sip else now - SIP_DELAY
        if feed == "sip" and not self._entitlement.recent_sip and end > now - SIP_DELAY:
            raise ApiError(403, 40310000, "subscription does not permit querying recent SIP data")
        start = read_instant(query.get("start")) or datetime.combine(now.date(), time(), tzinfo=now.tzinfo)
        return start, min(end, now)

    def ticks(self, query: Query, kind: str, skip_page: bool) -> Json:
        """Return a page of `trades` or `quotes`: one a minute, at the price with which the minute begins."""
        start, end = self._window(query)
        points = [
            (symbol, at, bar.open)
            for symbol in self._symbols(query)
            for at, _, bar in intraday_bars(self._market, symbol, MINUTE, start, end)
        ]
        chosen, token = _page(len(points), query, skip_page)
        build = quote_form if kind == "quotes" else trade_form
        found: dict[str, list[Json]] = {}
        for symbol, at, price in (points[place] for place in chosen):
            found.setdefault(symbol, []).append(build(price, at))
        return {kind: found, "next_page_token": token, "currency": "USD"}

    def _within_sessions(
        self, query: Query, skip_page: bool, width: timedelta, start: datetime, end: datetime, feed: str
    ) -> Json:
        points = [
            (symbol, at, row, bar)
            for symbol in self._symbols(query)
            for at, row, bar in intraday_bars(self._market, symbol, width, start, end)
        ]
        chosen, token = _page(len(points), query, skip_page)
        share = IEX_SHARE if feed == "iex" else 1.0
        factors = {name: self._factors(name, query.get("adjustment", "raw")) for name in {p[0] for p in points}}
        bars: dict[str, list[Json]] = {}
        for symbol, at, row, bar in (points[place] for place in chosen):
            price, shares = (float(series[row]) for series in factors[symbol])
            bars.setdefault(symbol, []).append(bar_json(bar.scaled(price, shares * share), at))
        return {"bars": bars, "next_page_token": token, "currency": "USD"}

    def auctions(self, query: Query) -> Json:
        """Return opening and closing auctions by symbol and session; the opening one is where queued orders trade."""
        now = self._market.now
        start = read_instant(query.get("start")) or datetime.combine(now.date(), time(), tzinfo=now.tzinfo)
        end = min(read_instant(query.get("end")) or now, now)
        found: dict[str, list[Json]] = {}
        for symbol in self._symbols(query):
            for row in self._rows(start, end):
                bar = self._market.bar(row, symbol)
                if not bar.traded:
                    continue
                closed = row <= self._market.closed_row
                opening = _auction(self._market.opens[row], self._market.auction(row, symbol), "O")
                closing = [_auction(self._market.closes[row], bar.close, "6")] if closed else []
                day: Json = {"d": self._market.session_at(row).isoformat(), "o": [opening], "c": closing}
                found.setdefault(symbol, []).append(day)
        return {"auctions": found, "next_page_token": None, "currency": "USD"}

    def _of_one(self, symbol: str, rest: list[str], query: Query, skip_page: bool) -> Answer | None:
        """Answer the paths that name one symbol, from those that take several."""
        one = {**query, "symbols": symbol}
        match rest:
            case ["bars" | "trades" | "quotes" | "auctions" as kind]:
                page = self.handle(f"/v2/stocks/{kind}", one, skip_page)
                assert page is not None  # noqa: S101 - each of them is served for several symbols
                return 200, _alone(page[1], kind, symbol)
            case ["bars" | "quotes" | "trades" as kind, "latest"]:
                if symbol not in self._priced(one):
                    raise ApiError(404, 40410000, f"no {kind} found for {symbol}")
                build = {"bars": self.latest.bar, "quotes": self.latest.quote, "trades": self.latest.trade}[kind]
                return 200, {"symbol": symbol, kind.removesuffix("s"): build(symbol)}
            case ["snapshot"]:
                if symbol not in self._priced(one):
                    raise ApiError(404, 40410000, f"no snapshot found for {symbol}")
                return 200, {"symbol": symbol, **self.latest.snapshot(symbol)}
        return None

    def _rows(self, start: datetime, end: datetime) -> Iterator[int]:
        for row in range(self._market.opened_row + 1):
            if start <= midnight(self._market.session_at(row)) <= end:
                yield row

    def _bar_json(self, symbol: str, row: int, feed: str, factors: tuple[Floats, Floats]) -> Json:
        bar = self.latest.daily(symbol, row)
        price, shares = float(factors[0][row]), float(factors[1][row])
        share = IEX_SHARE if feed == "iex" else 1.0
        return bar_json(bar.scaled(price, shares * share), midnight(self._market.session_at(row)))

    def _factors(self, symbol: str, adjustment: str) -> tuple[Floats, Floats]:
        """Return (price factor, share factor) by session as known today: splits move history, dividends lower it."""
        kinds = set(adjustment.split(","))
        unknown = kinds - {"raw", "split", "dividend", "spin-off", "all"}
        if unknown:
            raise ApiError(400, 40010001, f"invalid adjustment {adjustment}")
        rows = len(self._market.sessions)
        price, shares = np.ones(rows), np.ones(rows)
        for row in range(1, self._market.opened_row + 1):
            ratio = self._market.split_ratio(row, symbol) if kinds & {"split", "all"} else 1.0
            dividend = self._market.dividend(row, symbol) if kinds & {"dividend", "all"} else 0.0
            close = self._market.close_before(symbol, row - 1) if dividend > 0.0 else None
            price[:row] *= (1.0 if close is None else 1.0 - dividend / close) / ratio
            shares[:row] *= ratio
        return price, shares

    # ------------------------------------------------------------ what is asked for

    def _priced(self, query: Query) -> list[str]:
        if query.get("feed") == "sip" and not self._entitlement.recent_sip:
            raise ApiError(403, 40310000, "subscription does not permit querying recent SIP data")
        return [symbol for symbol in self._symbols(query) if self._market.price(symbol) is not None]

    def _symbols(self, query: Query) -> list[str]:
        asked = [symbol.upper() for symbol in query.get("symbols", "").split(",") if symbol]
        if not asked:
            raise ApiError(400, 40010001, "symbols is required")
        return sorted(symbol for symbol in set(asked) if self._market.knows(symbol))

    # ------------------------------------------------------------ indices

    def index_values(self, query: Query) -> Json:
        """Return a page of closing values of the asked indices; only VIX is known."""
        self._check_indices()
        start, end = read_instant(query.get("start")), read_instant(query.get("end")) or self._market.now
        rows = [
            row
            for row in range(self._market.closed_row + 1)
            if (start is None or start <= self._market.closes[row]) and self._market.closes[row] <= end
        ]
        rows = [
            row for row in rows if "VIX" in query.get("symbols", "").split(",") and self._market.panel.vix[row] > 0.0
        ]
        if query.get("sort") == "desc":
            rows.reverse()
        chosen, token = _page(len(rows), query, skip_page=False)
        values = [self._index_json(rows[place]) for place in chosen]
        return {"values": {"VIX": values} if values else {}, "next_page_token": token}

    def latest_index_values(self, query: Query) -> Json:
        """Return the last closing value of the asked indices."""
        self._check_indices()
        row = self._market.closed_row
        known = "VIX" in query.get("symbols", "").split(",") and row >= 0 and self._market.panel.vix[row] > 0.0
        return {"values": {"VIX": self._index_json(row)} if known else {}}

    def _check_indices(self) -> None:
        if not self._entitlement.indices:
            raise ApiError(403, 40310000, "subscription does not permit querying index data")

    def _index_json(self, row: int) -> Json:
        return {"t": stamp(self._market.closes[row]), "v": float(self._market.panel.vix[row])}


def _alone(page: object, kind: str, symbol: str) -> Json:
    """Return a page of several symbols as the page of one."""
    read: Mapping[str, object] = page if isinstance(page, dict) else {}
    series = read.get(kind)
    points = series.get(symbol, []) if isinstance(series, dict) else []
    return {"symbol": symbol, kind: points, "next_page_token": read.get("next_page_token"), "currency": "USD"}


def repeat_page(body: Json) -> Json:
    """Return the page with every point twice: the fault `duplicate_page`."""
    twice = dict(body)
    for key in ("bars", "values", "trades", "quotes"):
        series = body.get(key)
        if isinstance(series, Mapping):
            twice[key] = {name: [*points, *points] for name, points in series.items()}
    return twice


def _page(total: int, query: Query, skip_page: bool) -> tuple[Sequence[int], str | None]:
    start = _token_place(query.get("page_token"))
    limit = read_whole(query, "limit", 1000, MAX_POINTS)
    if skip_page:
        start += limit
    stop = min(start + limit, total)
    token = None if stop >= total else base64.b64encode(f"at:{stop}".encode()).decode()
    return range(start, stop), token


def _token_place(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token).decode().removeprefix("at:"))
    except ValueError as error:
        raise ApiError(400, 40010001, "invalid page token") from error


def _auction(at: datetime, price: float, condition: str) -> Json:
    return {"t": stamp(at), "x": "P", "p": price, "c": condition, "s": 10_000}
