"""Bars within a session, made from the way of its price: a number of minutes or hours each, left-labelled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from trading_platform.alpaca_server.market import SimulatedMarket
from trading_platform.alpaca_server.paths import Bar, piece
from trading_platform.alpaca_server.records import ApiError

UNITS = {"Min": 1, "T": 1, "Hour": 60, "H": 60}


def read_timeframe(text: str) -> timedelta | None:
    """Read 1Min to 59Min, 1Hour to 23Hour; None for 1Day.

    Raises
    ------
    ApiError
        400 for anything else: this server has no weeks and months.
    """
    if text in ("1Day", "1D"):
        return None
    match = re.fullmatch(r"(\d{1,2})(Min|T|Hour|H)", text)
    if match is None or int(match[1]) == 0:
        raise ApiError(400, 40010001, f"this local server has 1Day, minutes and hours, not {text!r}")
    minutes = int(match[1]) * UNITS[match[2]]
    if minutes >= 24 * 60:
        raise ApiError(400, 40010001, f"invalid timeframe: {text}")
    return timedelta(minutes=minutes)


def intraday_bars(
    market: SimulatedMarket, symbol: str, width: timedelta, start: datetime, end: datetime
) -> Iterator[tuple[datetime, int, Bar]]:
    """Yield (beginning, session's row, bar) of every interval that begins in [start, end] and has ended or runs now."""
    now = market.now
    for row in range(market.opened_row + 1):
        opening, closing = market.opens[row], market.closes[row]
        if closing < start or opening > end or not market.bar(row, symbol).traded:
            continue
        bar, low_first, length = market.bar(row, symbol), market.low_first(row, symbol), closing - opening
        at = opening
        while at < closing and at <= min(end, now):
            stop = min(at + width, closing, max(now, at))
            if at >= start and stop > at:
                made = piece(bar, low_first, (at - opening) / length, (stop - opening) / length)
                yield at, row, Bar(made.open, made.high, made.low, made.close, math.floor(made.volume))
            at += width
