"""The prices of what a run traded, packed for its page: closes as small whole numbers, fills, stops.

Closes come from the market's bars where they are at hand, else from the closes of what was held. Where many tickers
traded for long, only every second or third session is kept, so that the page stays small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from trading_platform.core.types import Floats, MarketPanel
from trading_platform.reporting.run_record import FillMark, Levels, RunRecord
from trading_platform.reporting.run_shape import stops_by_ticker

MOST_CLOSES = 300_000  # about 1.2 MB
MOST_TICKERS = 400  # of more, those that traded most; each ticker's list of fills costs room, too
DIGITS = 4  # of the lowest close that are kept


class PriceBook(NamedTuple):
    """Closes by ticker, (T,) with NaN where unknown, of every `step`-th session; `left_out` tickers are not there."""

    closes: dict[str, Floats]
    step: int
    left_out: int
    from_bars: bool


def price_book(record: RunRecord, panel: MarketPanel | None) -> PriceBook:
    """Return the closes of every ticker that a run traded."""
    turnover: dict[str, float] = {}
    for fill in record.fills:
        turnover[fill.ticker] = turnover.get(fill.ticker, 0.0) + fill.price * fill.quantity
    names = sorted(turnover, key=lambda name: (-turnover[name], name))
    kept = sorted(names[:MOST_TICKERS])
    sessions = [day.session for day in record.days]
    step = max(1, math.ceil(len(kept) * len(sessions) / MOST_CLOSES))
    closes = (
        _from_bars(panel, kept, sessions) if panel is not None else _from_levels(record.levels, kept, len(sessions))
    )
    return PriceBook(
        {name: values[::step] for name, values in closes.items()}, step, len(names) - len(kept), panel is not None
    )


def packed_prices(record: RunRecord, book: PriceBook) -> dict[str, Any]:
    """Return the book with fills and stops as JSON values; `strategies` and `reasons` are numbered."""
    strategies = sorted({fill.strategy for fill in record.fills})
    reasons = sorted({fill.reason for fill in record.fills})
    stops = stops_by_ticker(record.levels)
    fills: dict[str, list[list[float | int]]] = {}
    for fill in record.fills:
        fills.setdefault(fill.ticker, []).append(_mark(fill, strategies, reasons))
    gains: dict[str, int] = {}
    for trade in record.trades:
        gains[trade.ticker] = gains.get(trade.ticker, 0) + trade.pnl
    return {
        "step": book.step,
        "strategies": strategies,
        "reasons": [reason.replace("_", " ") for reason in reasons],
        "tickers": [
            {
                "name": name,
                "pnl": gains.get(name, 0),
                **_packed(values),
                "fills": fills[name],
                "stops": [[row, None if stop is None else _rounded(stop)] for row, stop in stops.get(name, [])],
            }
            for name, values in book.closes.items()
        ],
    }


def _mark(fill: FillMark, strategies: Sequence[str], reasons: Sequence[str]) -> list[float | int]:
    return [
        fill.row,
        1 if fill.side == "buy" else 0,
        _rounded(fill.price),
        _rounded(fill.quantity),
        strategies.index(fill.strategy),
        reasons.index(fill.reason),
    ]


def _packed(closes: Floats) -> dict[str, Any]:
    """Return closes as whole numbers of a small unit, each as the difference to the last known one; None = gap."""
    places = np.flatnonzero(np.isfinite(closes))
    lowest = float(closes[places].min()) if len(places) else 1.0
    decimals = min(6, max(0, DIGITS - 1 - math.floor(math.log10(lowest)))) if lowest > 0.0 else 2
    whole = np.rint(closes[places] * 10.0**decimals).astype(np.int64)
    changes: list[int | None] = [None] * len(closes)
    for place, change in zip(places.tolist(), np.diff(whole, prepend=0).tolist(), strict=True):
        changes[place] = change
    return {"decimals": decimals, "closes": changes}


def _from_bars(panel: MarketPanel, names: Sequence[str], sessions: Sequence[date]) -> dict[str, Floats]:
    columns = {name: n for n, name in enumerate(panel.tickers)}
    days = np.array(sessions, dtype="datetime64[D]")
    rows = np.searchsorted(panel.sessions.astype("datetime64[D]"), days)
    return {name: panel.close[rows, columns[name]] for name in names if name in columns}


def _from_levels(levels: Levels, names: Sequence[str], count: int) -> dict[str, Floats]:
    places = {name: n for n, name in enumerate(names)}
    columns = np.array([places.get(ticker, len(names)) for ticker in levels.tickers], dtype=np.int64)
    closes = np.full((len(names) + 1, count), math.nan)  # the last row takes what is left out
    closes[columns, levels.rows] = levels.prices
    return {name: closes[n] for name, n in places.items()}


def _rounded(value: float) -> float:
    """Return a price or quantity with as many digits as a person reads."""
    return round(value, 2 if abs(value) >= 10.0 else 4)
