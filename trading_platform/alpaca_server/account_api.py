"""The account's endpoints of the local server: account, history, activities, clock, calendar, assets."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, timedelta

from trading_platform.alpaca_server.account import DEPOSIT, WITHDRAWAL
from trading_platform.alpaca_server.exchange import SimExchange
from trading_platform.alpaca_server.queries import Answer, Query, read_instant, read_period, read_whole
from trading_platform.alpaca_server.records import ApiError, Json, number, stamp
from trading_platform.alpaca_server.validation import MISSING, SYNTAX, Asset
from trading_platform.core.fills import round_cents
from trading_platform.machine.clocks import NEW_YORK

MAX_ACTIVITIES = 100
INTRADAY = {
    "1Min": timedelta(minutes=1),
    "5Min": timedelta(minutes=5),
    "15Min": timedelta(minutes=15),
    "1H": timedelta(hours=1),
}


class AccountApi:
    """Answers what is asked of the account, of time and of assets."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self._market = exchange.market
        self._account = exchange.account
        self.frozen_clock: Json | None = None
        self._switches: Json = {}

    def handle(self, path: list[str], query: Query) -> Answer | None:
        """Answer a GET, or None if the path is not ours."""
        match path:
            case ["v2", "account"]:
                return 200, self.account()
            case ["v2", "account", "configurations"]:
                return 200, self.configuration()
            case ["v2", "account", "portfolio", "history"]:
                return 200, self.portfolio_history(query)
            case ["v2", "account", "activities"]:
                return 200, self.activities(query, query.get("activity_types", ""))
            case ["v2", "account", "activities", kind]:
                return 200, self.activities(query, kind)
            case ["v2", "clock"]:
                return 200, self.frozen_clock or self.clock()
            case ["v2", "calendar"]:
                return 200, self.calendar(query)
            case ["v2", "assets"]:
                return 200, self.assets(query)
            case ["v2", "assets", symbol]:
                return 200, self.asset(symbol)
        return None

    def account(self) -> Json:
        """Return the account entity; the fields of pattern day trading are gone since 2026-07."""
        market_value = self._account.market_value(self._market.price)
        equity = number(round_cents(self._account.cash + market_value))
        history = self._account.equity_history
        power, cash = number(round_cents(self._exchange.buying_power())), number(self._account.cash)
        return {
            "id": self._exchange.identifiers.named("account"),
            "account_number": f"PA0LOCAL{self._market.seed + 1:04d}",  # servers of two seeds are two accounts
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
            **self._account.overrides,
        }

    def configuration(self) -> Json:
        """Return the account's switches."""
        return {
            "fractional_trading": True,
            "max_margin_multiplier": str(self._account.multiplier),
            "no_shorting": True,
            "suspend_trade": self._account.blocked or self._account.overrides.get("trade_suspended_by_user") is True,
            "trade_confirm_email": "none",
            "ptp_no_exception_entry": False,
            **self._switches,
        }

    def configure(self, body: Json) -> Json:
        """Change the account's switches; `suspend_trade` refuses new orders from now on."""
        known = self.configuration()
        for name, value in body.items():
            if value is None or name in ("dtbp_check", "pdt_check"):  # clients send all fields, gone ones too
                continue
            if name == "suspend_trade":
                self._account.overrides["trade_suspended_by_user"] = bool(value)
            elif name in known or name in ("max_options_trading_level", "disable_overnight_trading"):
                self._switches[name] = value
            else:
                raise ApiError(422, SYNTAX, f"unknown configuration {name}")
        return self.configuration()

    def portfolio_history(self, query: Query) -> Json:
        """Return daily equity, left-labelled at the opening bell; profit is against the base value.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
        timeframe = query.get("timeframe", "1D")
        if timeframe not in ("1D", *INTRADAY):
            raise ApiError(422, SYNTAX, f"invalid timeframe {timeframe}")
        if {"start", "end", "period"} <= set(query):
            raise ApiError(422, SYNTAX, "only two of start, end and period can be specified")
        rows = self._account.equity_history if timeframe == "1D" else self._intraday(INTRADAY[timeframe])
        start, end = read_instant(query.get("start")), read_instant(query.get("end"))
        if start is None:
            start = (end or self._market.now) - read_period(query.get("period", "1M"))
        rows = [row for row in rows if start <= row[1] and (end is None or row[1] <= end)]
        base = rows[0][2] if rows else self._account.starting_cash
        answer: Json = {
            "timestamp": [int(opened.timestamp()) for _, opened, _ in rows],
            "equity": [equity for _, _, equity in rows],
            "profit_loss": [round_cents(equity - base) for _, _, equity in rows],
            "profit_loss_pct": [equity / base - 1.0 for _, _, equity in rows],
            "base_value": base,
            "timeframe": timeframe,
        }
        if query.get("cashflow_types", "NONE") != "NONE":
            flows = self._account.cash_flows
            answer["cashflow"] = {
                DEPOSIT: [max(flows.get(day, 0.0), 0.0) for day, _, _ in rows],
                WITHDRAWAL: [min(flows.get(day, 0.0), 0.0) for day, _, _ in rows],
            }
        return answer

    def _intraday(self, width: timedelta) -> list[tuple[date, datetime, float]]:
        """Return (session, beginning, equity at the end) of the intervals of `width` in which something was marked."""
        last: dict[datetime, float] = {}
        for at, equity in self._account.equity_marks:
            row = bisect_right(self._market.opens, at) - 1
            if row >= 0 and at <= self._market.closes[row]:
                opening = self._market.opens[row]
                place = min(int((at - opening) / width), int((self._market.closes[row] - opening) / width))
                last[opening + place * width] = equity
        return [(at.astimezone(NEW_YORK).date(), at, equity) for at, equity in last.items()]

    def activities(self, query: Query, kinds: str) -> list[Json]:
        """Return a page of the account's history."""
        wanted = {kind for kind in kinds.split(",") if kind}
        after, until, day = read_instant(query.get("after")), read_instant(query.get("until")), query.get("date")
        chosen = [
            activity
            for activity in self._account.activities
            if activity.visible_at <= self._market.now
            and (not wanted or activity.kind in wanted)
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
        """Return one asset by symbol or identifier.

        Raises
        ------
        ApiError
            What the service refuses, in its words and with its status.
        """
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
