"""Positions that had no stop at two looks in a row: what a look places at once is no news, what stays missing is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.core.alert_states import AlertKind, AlertState

MISSING = "stops for "  # how a reading says that shares have no stop; a stop at another price is none of these


class LackingStops:
    """Remembers since when positions lack a stop.

    Attributes
    ----------
    since
        By ticker. It is saved with the book, so that two looks in a row may be those of two processes.
    """

    def __init__(self) -> None:
        self.since: dict[str, datetime] = {}
        self._words: dict[str, str] = {}
        self._before: frozenset[str] = frozenset()

    def remember(self, since: Mapping[str, datetime]) -> None:
        """Go on from what lacked when an earlier process had saved its book."""
        self.since, self._before = dict(since), frozenset(since)

    def note(self, found: Iterable[Difference], now: datetime) -> None:
        """Take what a reading found."""
        self._words = {
            d.ticker: f"{d.ticker} has no full stop at the broker: {d.ours}, {d.theirs}"
            for d in found
            if d.kind is DifferenceKind.UNPROTECTED and d.ticker is not None and d.theirs.startswith(MISSING)
        }
        self.since = {ticker: self.since.get(ticker, now) for ticker in self._words}

    def states(self) -> list[AlertState]:
        """Return what was missing at the end of the look before, too; called once a look, at its end."""
        found = [
            AlertState(AlertKind.UNPROTECTED, ticker, self.since[ticker], words)
            for ticker, words in sorted(self._words.items())
            if ticker in self._before
        ]
        self._before = frozenset(self._words)
        return found
