"""Exits that could not leave yet: since when, how often they were tried, and why not. Pure values and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from trading_platform.brokers.reconciliation.differences import DifferenceKind
from trading_platform.core.alert_states import LATE_EXIT
from trading_platform.core.ports import DifferenceRow, TradingCalendar


@dataclass(frozen=True, slots=True)
class WaitingExit:
    """An exit that waits. The wish itself stands in the lots of the book; this is what became of it.

    Attributes
    ----------
    ticker
        Whose shares wait.
    due
        The session at whose open they should have left.
    tries
        How often they could not be sent, or the order was refused.
    why
        The last reason.
    """

    ticker: str
    due: date
    tries: int
    why: str

    def again(self, why: str) -> WaitingExit:
        """Return the exit after one more try that failed."""
        return replace(self, tries=self.tries + 1, why=why)


def sessions_late(due: date, today: date, calendar: TradingCalendar) -> int:
    """Return how many sessions have begun since `due`, 0 while it has not passed."""
    late, session = 0, due
    while session < today:
        session = calendar.next_session(session)
        late += session <= today
    return late


def waiting_row(waiting: WaitingExit, shares: float, today: date, calendar: TradingCalendar) -> DifferenceRow:
    """Return the line that `status` and the report show of an exit that waits."""
    late = sessions_late(waiting.due, today, calendar)
    if today < waiting.due:
        when = f"to leave at the open of {waiting.due}"
    else:
        when = f"{LATE_EXIT} at the open of {waiting.due}"
        when += f", {late} session{'s' * (late != 1)} ago" if late else ""
    times = f"tried {waiting.tries} time{'s' * (waiting.tries != 1)}"
    return DifferenceRow(
        DifferenceKind.EXIT_WAITS.value,
        waiting.ticker,
        f"{shares:g} shares {when}",
        f"{times}: {waiting.why}",
        "tried again at every look",
        stands=True,
    )


def waits_text(waits: Mapping[str, WaitingExit]) -> list[list[Any]]:
    """Return waiting exits as JSON takes them."""
    return [[w.ticker, w.due.isoformat(), w.tries, w.why] for _, w in sorted(waits.items())]


def read_waits(raw: list[list[Any]]) -> dict[str, WaitingExit]:
    """Return what `waits_text` has written, by ticker."""
    return {
        str(ticker): WaitingExit(str(ticker), date.fromisoformat(due), int(tries), str(why))
        for ticker, due, tries, why in raw
    }
