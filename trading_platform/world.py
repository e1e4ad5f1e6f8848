"""Everything a run knows about its market before the first decision: bars, signals, regimes, times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import numpy as np

from trading_platform.core.market import Market, Signals
from trading_platform.core.types import Floats, MarketPanel, Regime
from trading_platform.core.view import MarketView, columns_of


@dataclass(frozen=True, eq=False)
class World:
    """A market prepared for trading.

    Attributes
    ----------
    panel, market, signals
        Bars as loaded, and the kernel's arrays of them; T rows.
    strategies
        Names, in kernel order.
    regimes
        (T,) labels; `regime_probabilities` (T, 3) bull, bear, consolidation, NaN while unknown.
    opened, closed
        (T,) aware UTC instants of each session's open and close.
    """

    panel: MarketPanel
    market: Market
    signals: Signals
    strategies: tuple[str, ...]
    regimes: Sequence[Regime]
    regime_probabilities: Floats
    opened: Sequence[datetime]
    closed: Sequence[datetime]

    @cached_property
    def sessions(self) -> list[date]:
        """Dates of the rows."""
        dates: list[date] = self.panel.sessions.astype("datetime64[D]").tolist()
        return dates

    @cached_property
    def columns(self) -> dict[str, int]:
        """Ticker -> column."""
        return columns_of(self.panel.tickers)

    @cached_property
    def universe_returns(self) -> Floats:
        """(T,) equal-weight mean of the universe's close-to-close returns; NaN on the first row."""
        returns = self.market.returns
        known = np.isfinite(returns)
        count = known.sum(axis=0)
        total = np.where(known, returns, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def observe(self, t: int, account: Record, slots: Records) -> Floats:
        """Return the observation at the close of row `t` for the book given, (D,)."""
        return self.observer.observe(t, account, slots)

    def view(self, t: int) -> MarketView:
        """Return what a decision at the close of row `t` may look at."""
        clock = float(self.market.clock[t])
        return MarketView(self.market, t, self.columns, self.panel.tickers, self.panel.sectors, self.sessions[t], clock)

    def rows(self, start: date | None, end: date | None) -> tuple[int, int]:
        """Return [first, stop) rows of the sessions from `start` to `end`, both included."""
        sessions = self.panel.sessions
        first = 0 if start is None else int(np.searchsorted(sessions, np.datetime64(start, "D"), side="left"))
        stop = len(sessions) if end is None else int(np.searchsorted(sessions, np.datetime64(end, "D"), side="right"))
        return first, stop

    def sectors_json(self) -> str:
        """Return ticker -> sector as JSON."""
        return json.dumps(dict(zip(self.panel.tickers, self.panel.sectors, strict=True)))
