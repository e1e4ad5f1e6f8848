"""What is announced: corporate actions (of the trading host and of the data host), and option contracts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from trading_platform.alpaca_server.corporate import CorporateDesk, Happening
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.queries import Answer, Query, read_whole
from trading_platform.alpaca_server.records import ApiError, Json, number
from trading_platform.alpaca_server.validation import MISSING, SYNTAX
from trading_platform.core.fills import round_cents

ANNOUNCED_AHEAD = timedelta(days=30)  # how long before its session the simulated world knows of an event
PAID_AFTER = timedelta(days=15)  # from the ex-date of a dividend to its payment, which the data host files it under
CUSIP = "000000000"
MONTHS_OF_OPTIONS = 3
STRIKES = (0.8, 0.9, 1.0, 1.1, 1.2)

# our kind -> (type and sub type of an announcement, list of the data host)
ANNOUNCED = {
    "dividend": ("dividend", "cash", "cash_dividends"),
    "special_dividend": ("dividend", "cash", "cash_dividends"),
    "stock_dividend": ("dividend", "stock", "stock_dividends"),
    "rename": ("merger", "merger_update", "name_changes"),
    "cash_merger": ("merger", "merger_completion", "cash_mergers"),
    "stock_merger": ("merger", "merger_completion", "stock_mergers"),
    "spin_off": ("spinoff", "spinoff", "spin_offs"),
}


class ReferenceApi:
    """Answers announcements, `/v1/corporate-actions` and `/v2/options/contracts`."""

    def __init__(self, exchange: SimExchange, corporate: CorporateDesk) -> None:
        self._exchange = exchange
        self._corporate = corporate

    def handle(self, path: list[str], query: Query) -> Answer | None:
        """Answer a GET, or None if the path is not ours.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        match path:
            case ["v2", "corporate_actions", "announcements"]:
                return 200, self.announcements(query)
            case ["v2", "corporate_actions", "announcements", action_id]:
                for entry in (self._announcement(event) for event in self._known(date.min, date.max)):
                    if entry["id"] == action_id:
                        return 200, entry
                raise ApiError(404, MISSING, f"announcement {action_id} not found")
            case ["v1" | "v1beta1", "corporate-actions"]:
                return 200, self.corporate_actions(query)
            case ["v2", "options", "contracts"]:
                return 200, self.contracts(query)
            case ["v2", "options", "contracts", name]:
                for underlying in self._exchange.market.symbols:
                    for contract in self._contracts_of(underlying):
                        if name in (contract["symbol"], contract["id"]):
                            return 200, contract
                raise ApiError(404, MISSING, f"contract {name} not found")
        return None

    def _known(self, first: date, last: date) -> list[Happening]:
        """Return the events in [first, last] that are announced by now."""
        horizon = self._exchange.market.now.date() + ANNOUNCED_AHEAD
        return self._corporate.announced(first, min(last, horizon))

    # ------------------------------------------------------------ the trading host

    def announcements(self, query: Query) -> list[Json]:
        """Return announcements of the asked types (comma-separated) with an ex-date in [since, until].

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        for key in ("ca_types", "since", "until"):
            if key not in query:
                raise ApiError(422, SYNTAX, f"{key} is required")
        types = {kind.lower() for kind in query["ca_types"].split(",")}
        first, last = _day(query["since"]), _day(query["until"])
        if last - first > timedelta(days=90):
            raise ApiError(422, SYNTAX, "since and until must be within 90 days")
        symbol = query.get("symbol")
        found = [event for event in self._known(first, last) if symbol in (None, event.ticker)]
        return [entry for entry in map(self._announcement, found) if entry["ca_type"] in types]

    def _announcement(self, event: Happening) -> Json:
        kind, sub_type = ANNOUNCED.get(event.kind, ("split", "stock_split", ""))[:2]
        if event.kind == "split" and event.ratio < 1.0:
            sub_type = "reverse_split"
        new, old = _rates(event.ratio)
        ex_date = event.session.isoformat()
        return {
            "id": self._id(event),
            "corporate_action_id": f"{event.ticker}_{kind[:2].upper()}_{ex_date}",
            "ca_type": kind,
            "ca_sub_type": sub_type,
            "initiating_symbol": event.ticker,
            "initiating_original_cusip": CUSIP,
            "target_symbol": event.other or event.ticker,
            "target_original_cusip": CUSIP,
            "declaration_date": (event.session - ANNOUNCED_AHEAD).isoformat(),
            "ex_date": ex_date,
            "record_date": ex_date,
            "payable_date": ex_date,
            "cash": number(event.cash if event.cash > 0.0 else 0.0),
            "old_rate": number(old),
            "new_rate": number(new),
        }

    # ------------------------------------------------------------ the data host

    def corporate_actions(self, query: Query) -> Json:
        """Return a page of corporate actions, by list, of the asked symbols and types in [start, end]."""
        today = self._exchange.market.now.date()
        first = _day(query["start"]) if "start" in query else today
        last = _day(query["end"]) if "end" in query else today + ANNOUNCED_AHEAD
        symbols = {symbol.upper() for symbol in query.get("symbols", "").split(",") if symbol}
        types = {f"{kind}s" for kind in query.get("types", "").split(",") if kind}
        listed: dict[str, list[Json]] = {}
        total = 0
        for event in self._known(first - PAID_AFTER, last):
            if symbols and not symbols & {event.ticker, event.other}:
                continue
            name, entry = self._listed(event)
            if (types and name not in types) or not first <= _day(str(entry["process_date"])) <= last:
                continue
            total += 1
            if total <= read_whole(query, "limit", 1000, 1000):
                listed.setdefault(name, []).append(entry)
        return {"corporate_actions": listed, "next_page_token": None}

    def _listed(self, event: Happening) -> tuple[str, Json]:
        day = event.session.isoformat()
        base: Json = {"id": self._id(event), "process_date": day}
        one: Json = {**base, "symbol": event.ticker, "cusip": CUSIP, "ex_date": day, "record_date": day}
        acquired: Json = {
            **base,
            "effective_date": day,
            "acquiree_symbol": event.ticker,
            "acquiree_cusip": CUSIP,
            "acquirer_symbol": event.other,
            "acquirer_cusip": CUSIP,
        }
        new, old = _rates(event.ratio)
        match event.kind:
            case "dividend" | "special_dividend":
                special = event.kind == "special_dividend"
                paid = (event.session + PAID_AFTER).isoformat()
                payment: Json = {"process_date": paid, "payable_date": paid}
                return "cash_dividends", {
                    **one,
                    **payment,
                    "rate": event.cash,
                    "special": special,
                    "foreign": False,
                }
            case "stock_dividend":
                return "stock_dividends", {**one, "rate": event.ratio}
            case "split" if event.ratio >= 1.0:
                return "forward_splits", {**one, "new_rate": new, "old_rate": old}
            case "split":
                cusips: Json = {"old_cusip": CUSIP, "new_cusip": CUSIP}
                return "reverse_splits", {**one, **cusips, "new_rate": new, "old_rate": old}
            case "rename":
                names: Json = {"old_symbol": event.ticker, "new_symbol": event.other}
                return "name_changes", {**base, **names, "old_cusip": CUSIP, "new_cusip": CUSIP}
            case "cash_merger":
                return "cash_mergers", {**acquired, "rate": event.cash}
            case "stock_merger" if event.cash > 0.0:
                rates: Json = {"acquirer_rate": new, "acquiree_rate": old, "cash_rate": event.cash}
                return "stock_and_cash_mergers", {**acquired, **rates}
            case "stock_merger":
                return "stock_mergers", {**acquired, "acquirer_rate": new, "acquiree_rate": old}
            case "spin_off":
                source: Json = {"source_symbol": event.ticker, "source_cusip": CUSIP, "source_rate": old}
                child: Json = {"new_symbol": event.other, "new_cusip": CUSIP, "new_rate": new, "ex_date": day}
                return "spin_offs", {**base, **source, **child}
            case _:
                return "worthless_removals", {**base, "symbol": event.ticker, "cusip": CUSIP}

    def _id(self, event: Happening) -> str:
        return self._exchange.identifiers.named(f"{event.session}/{event.ticker}/{event.kind}/{event.other}")

    # ------------------------------------------------------------ options

    def contracts(self, query: Query) -> Json:
        """Return made-up contracts of the asked underlyings: third Fridays to come, strikes near the price."""
        symbols = [symbol.upper() for symbol in query.get("underlying_symbols", "").split(",") if symbol]
        first, last = query.get("expiration_date_gte", ""), query.get("expiration_date_lte", "9999")
        found = [
            contract
            for symbol in symbols or self._exchange.market.tickers[:10]
            for contract in self._contracts_of(symbol)
            if first <= str(contract["expiration_date"]) <= last
            and query.get("expiration_date") in (None, contract["expiration_date"])
            and query.get("type") in (None, contract["type"])
            and float(query.get("strike_price_gte", "0")) <= float(str(contract["strike_price"]))
            and float(str(contract["strike_price"])) <= float(query.get("strike_price_lte", "inf"))
        ]
        return {"option_contracts": found[: read_whole(query, "limit", 100, 10_000)], "next_page_token": None}

    def _contracts_of(self, underlying: str) -> Iterator[Json]:
        market, names = self._exchange.market, self._exchange.identifiers
        price = market.price(underlying) if market.knows(underlying) else None
        if price is None:
            return
        for expiry in _third_fridays(market.now.date()):
            for strike in (round_cents(round(price * factor)) for factor in STRIKES):
                for kind in ("call", "put"):
                    code = f"{underlying}{expiry:%y%m%d}{kind[0].upper()}{round(strike * 1000):08d}"
                    yield {
                        "id": names.named(code),
                        "symbol": code,
                        "name": f"{underlying} {expiry:%b %d %Y} {strike:g} {kind.title()}",
                        "status": "active",
                        "tradable": True,
                        "expiration_date": expiry.isoformat(),
                        "root_symbol": underlying,
                        "underlying_symbol": underlying,
                        "underlying_asset_id": names.named(underlying),
                        "type": kind,
                        "style": "american",
                        "strike_price": number(strike),
                        "multiplier": "100",
                        "size": "100",
                        "ppind": True,
                    }


def _third_fridays(today: date) -> Iterator[date]:
    first = today.replace(day=1)
    for _ in range(MONTHS_OF_OPTIONS + 1):
        third = first + timedelta(days=(4 - first.weekday()) % 7 + 14)
        if third > today:
            yield third
        first = (first + timedelta(days=32)).replace(day=1)


def _rates(ratio: float) -> tuple[float, float]:
    """Return new and old rate: whole numbers where the ratio is one of them."""
    if ratio >= 1.0 or ratio <= 0.0:
        return ratio, 1.0
    inverse = 1.0 / ratio
    return (1.0, float(round(inverse))) if abs(inverse - round(inverse)) < 1e-9 else (ratio, 1.0)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise ApiError(422, SYNTAX, f"invalid date {text}") from error
