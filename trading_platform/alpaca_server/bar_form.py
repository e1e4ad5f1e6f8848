"""A bar as the data service writes it."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from functools import cache

from trading_platform.alpaca_server.paths import Bar
from trading_platform.alpaca_server.records import Json, stamp
from trading_platform.machine.clocks import NEW_YORK


@cache  # a page of bars asks for the same days again for every symbol
def midnight(day: date) -> datetime:
    """Return the instant with which the daily bar of `day` is stamped: its midnight in New York."""
    return datetime.combine(day, time(), tzinfo=NEW_YORK)


def bar_json(bar: Bar, at: datetime) -> Json:
    """Return the bar that begins at `at`, with a made-up count of trades and average price."""
    volume = math.floor(bar.volume) if bar.volume > 0.0 else 0
    middle = (bar.open + bar.high + bar.low + bar.close) / 4
    trades = volume // 100 + 1 if volume else 0
    return {
        "t": stamp(at.astimezone(UTC)),
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": volume,
        "n": trades,
        "vw": middle,
    }
