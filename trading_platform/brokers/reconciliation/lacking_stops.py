"""Positions that had no stop at two looks in a row: what a look places at once is no news, what stays missing is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.core.alert_states import AlertKind, AlertState

MISSING = "stops for "  # how a reading says that shares have no stop; a stop at another price is none of these


class LackingStops:
    """Remembers since when positions lack a stop."""

    def __init__(self) -> None:
        self._lacking: dict[str, tuple[datetime, str]] = {}
        self._before: frozenset[str] = frozenset()

    def note(self, found: Iterable[Difference], now: datetime) -> None:
        """Take what a reading found."""
        seen = {
            d.ticker: f"{d.ticker} has no full stop at the broker: {d.ours}, {d.theirs}"
            for d in found
            if d.kind is DifferenceKind.UNPROTECTED and d.ticker is not None and d.theirs.startswith(MISSING)
        }
        self._lacking = {
            ticker: (self._lacking[ticker][0] if ticker in self._lacking else now, words)
            for ticker, words in seen.items()
        }

    def states(self) -> list[AlertState]:
        """Return what was missing at the end of the look before, too; called once a look, at its end."""
        found = [
            AlertState(AlertKind.UNPROTECTED, ticker, since, words)
            for ticker, (since, words) in sorted(self._lacking.items())
            if ticker in self._before
        ]
        self._before = frozenset(self._lacking)
        return found
