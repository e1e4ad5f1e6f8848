"""The benchmark as an asset: the service has SPY, so the local server has it, too."""

from __future__ import annotations

import math

import numpy as np

from trading_platform.alpaca_server.paths import Bar
from trading_platform.core.types import MarketPanel

BENCHMARK = "SPY"
BENCHMARK_VOLUME = 80_000_000.0  # shares a session, about what SPY trades


def benchmark_bars(panel: MarketPanel) -> dict[int, Bar]:
    """Return bars of SPY by row, from the closes of `panel.benchmark`; empty where SPY is a column of its own.

    Only closes are known, so a bar opens at the last close, and its extremes are its ends.
    """
    if BENCHMARK in panel.tickers or not np.any(panel.benchmark > 0.0):
        return {}
    found: dict[int, Bar] = {}
    last = math.nan
    for row, value in enumerate(panel.benchmark.tolist()):
        if not (value > 0.0):
            continue
        opened = value if math.isnan(last) else last
        found[row] = Bar(opened, max(opened, value), min(opened, value), value, BENCHMARK_VOLUME)
        last = value
    return found
