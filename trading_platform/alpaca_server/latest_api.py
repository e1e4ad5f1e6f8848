"""The latest of a ticker: trade, quote, minute and snapshot."""

from __future__ import annotations

from datetime import datetime

from trading_platform.alpaca_server.bar_form import bar_json, midnight
from trading_platform.alpaca_server.market import SimulatedMarket
from trading_platform.alpaca_server.paths import Bar
from trading_platform.alpaca_server.prints import Prints
from trading_platform.alpaca_server.records import Json, stamp

IEX_SHARE = 0.02  # Alpaca's FAQ: AAPL 0.92 of 51.9 million shares on IEX
HALF_SPREAD = 0.0001


def trade_form(price: float, at: datetime) -> Json:
    """Return a trade as the data service writes it."""
    return {"t": stamp(at), "i": 1, "x": "V", "p": price, "s": 100, "c": ["@"], "z": "C"}


def quote_form(price: float, at: datetime) -> Json:
    """Return the best bid and ask around `price`."""
    ask, bid = round(price * (1 + HALF_SPREAD), 4), round(price * (1 - HALF_SPREAD), 4)
    return {"t": stamp(at), "ap": ask, "as": 100, "ax": "V", "bp": bid, "bs": 100, "bx": "V", "c": ["R"], "z": "C"}


class LatestApi:
    """Answers what a ticker does now."""

    def __init__(self, market: SimulatedMarket, prints: Prints) -> None:
        self._market = market
        self._prints = prints

    def daily(self, symbol: str, row: int) -> Bar:
        """Return the bar of session `row` as it is printed, half-built while the session runs."""
        bar = self._prints.bar(row, symbol)
        if row == self._market.opened_row and self._market.is_open:
            return self._market.running_bar(symbol) or bar
        return bar

    def bar(self, symbol: str) -> Json:
        """Return the last minute's bar."""
        price, at = self._prints.last_trade(symbol)
        return bar_json(Bar(price, price, price, price, 100.0), at.replace(second=0, microsecond=0))

    def trade(self, symbol: str) -> Json:
        """Return the last trade."""
        return trade_form(*self._prints.last_trade(symbol))

    def quote(self, symbol: str) -> Json:
        """Return the best bid and ask, a fixed spread around the last trade."""
        return quote_form(*self._prints.last_trade(symbol))

    def snapshot(self, symbol: str) -> Json:
        """Return all of these, and the daily bars of the last two sessions."""
        last = self._market.opened_row
        rows = [row for row in range(last, max(last - 10, -1), -1) if self._market.bar(row, symbol).traded][:2]
        daily = {
            name: bar_json(self.daily(symbol, row).scaled(1.0, IEX_SHARE), midnight(self._market.session_at(row)))
            for name, row in zip(("dailyBar", "prevDailyBar"), rows, strict=False)
        }
        return {
            "latestTrade": self.trade(symbol),
            "latestQuote": self.quote(symbol),
            "minuteBar": self.bar(symbol),
            **daily,
        }
