"""A market of one moment for the kernel's corporate events, which ask for opening prices: those that are known."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from trading_platform.core.ledger import SMALLEST_TICK, Record, Records
from trading_platform.core.market import OPEN, Market
from trading_platform.core.round_trips import EPOCH
from trading_platform.core.types import Floats
from trading_platform.machine.clocks import session_of

ROW = 0


def event_market(n_tickers: int, at: datetime, opens: Floats | None) -> Market:
    """Return a market of one row: the opening prices (N,) of the session of `at`, or none."""
    bars, none = np.full((n_tickers, 1, 8), np.nan), np.zeros((0, 0))
    if opens is not None:
        bars[:, ROW, OPEN] = opens
    row, day = np.zeros(1), np.array([(session_of(at) - EPOCH).days], dtype=np.int64)
    return Market(
        bars=bars,
        returns=none,
        return_mean=none,
        sector=np.zeros(n_tickers, dtype=np.int64),
        vix=row,
        vix_age=row,
        clock=row,
        day=day,
        split=none,
        dividend=none,
        rate=row,
        event_start=np.zeros(2, dtype=np.int64),
        events=none,
        draws=np.zeros((0, 0, 0)),
    )


def give_spin_off_prices(market: Market, slot: Record, other: int) -> bool:
    """Return True if both opening prices of a spin-off are known; else let the new shares be worth next to nothing.

    The session is booked once more at its close, when they are known.
    """
    opens = market.bars[:, ROW, OPEN]
    if opens[other] > 0.0 and opens[slot["ticker"]] > 0.0:
        return True
    opens[other], opens[slot["ticker"]] = SMALLEST_TICK, slot["price"]
    return False


def forget_levels(slots: Records, lots: Records, s: int) -> None:
    """Take the levels off slot `s` of `slots` (S,) and its `lots` (S, K), whose price nobody knows yet."""
    if s >= 0:
        slots[s]["stop"] = slots[s]["target"] = 0.0
        lots[s]["stop"] = lots[s]["target"] = 0.0
