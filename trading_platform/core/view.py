"""The market as one decision sees it: arrays up to a row, names of the columns, and the exchange clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from trading_platform.core.market import Market, build_market
from trading_platform.core.types import MarketPanel

SESSION_SECONDS = 6.5 * 3600.0


class MarketView(NamedTuple):
    """Market arrays and the row `t` that may be looked at; nothing after it is.

    `columns` maps ticker -> column, `sectors` names each column's sector, `clock` is the exchange clock in seconds at
    the moment of the decision (the close of row t in a replay, now when live).
    """

    market: Market
    t: int
    columns: Mapping[str, int]
    tickers: Sequence[str]
    sectors: Sequence[str]
    session: date
    clock: float

    @classmethod
    def from_panel(cls, panel: MarketPanel, correlation_window: int = 30, t: int = -1) -> MarketView:
        """Return the view of a panel's row `t` (default the last), every session 6.5 hours long: for notebooks."""
        row = range(panel.n_sessions)[t]
        clock = np.arange(1.0, panel.n_sessions + 1.0, dtype=np.float64) * SESSION_SECONDS
        market = build_market(panel, clock, correlation_window)
        return cls(market, row, columns_of(panel.tickers), panel.tickers, panel.sectors, panel.session(row), clock[row])


def columns_of(tickers: Sequence[str]) -> dict[str, int]:
    """Return ticker -> column."""
    return {ticker: i for i, ticker in enumerate(tickers)}
