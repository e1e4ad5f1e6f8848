"""A drawdown stop of a strategy's own: what it brought falls too far below its highest, and it opens nothing new.

It is a pause, as an operator's `pause`: what the strategy holds goes to its own exits, and `unpause` lets it go on,
with the fall counted anew from there. In a replay nobody unpauses, so it stays out to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from trading_platform.core.plan import Book
from trading_platform.core.types import Settlement
from trading_platform.storage import models as m
from trading_platform.storage.closes import shared_lots
from trading_platform.storage.operator_requests import Standing
from trading_platform.storage.repository import Repository
from trading_platform.storage.stopped_strategies import ENGINE
from trading_platform.storage.strategy_curves import brought


class StrategyStops:
    """The stops of one account's strategies.

    Parameters
    ----------
    limits
        Strategy -> fall at which it is stopped, a fraction of the account's equity before that fall.
    strategies
        Names in kernel order.
    repository
        Where a stop is written down, with the state that it belongs to.
    """

    def __init__(self, limits: Mapping[str, float], strategies: Sequence[str], repository: Repository) -> None:
        self._limits = {name: limit for name, limit in limits.items() if name in strategies}
        self._numbers = {name: strategies.index(name) for name in self._limits}
        self._repository = repository
        self._booked = dict.fromkeys(self._limits, 0.0)
        self._peaks = dict.fromkeys(self._limits, float("-inf"))

    def recover(self) -> None:
        """Read what was brought before this start."""
        if not self._limits:
            return
        found = brought(self._repository.engine, self._repository.run_id, frozenset(self._limits))
        self._booked = {name: one.booked for name, one in found.items()}
        self._peaks = {name: one.peak for name, one in found.items()}

    def after_close(self, settlement: Settlement, book: Book, standing: Standing, at: datetime) -> Standing:
        """Take in a session's fills and marks; return what holds from now on."""
        if not self._limits:
            return standing
        for fill, realized, trade in settlement.fills:
            if fill.strategy in self._booked:
                self._booked[fill.strategy] += realized - fill.fees
            if trade is not None and trade.strategy in self._booked:
                self._booked[trade.strategy] += trade.dividends
        for name, limit in self._limits.items():
            level = round(self._booked[name] + level_of(book, self._numbers[name]), 2)
            if name in standing.paused:
                self._peaks[name] = level
                continue
            self._peaks[name] = max(self._peaks[name], level)
            fall = round(self._peaks[name] - level, 2)
            if fall > 0.0 and not fall <= limit * (settlement.equity + fall):
                standing = standing.after("pause", name)
                self._note(name, fall, fall / (settlement.equity + fall), limit, at)
        return standing

    def _note(self, name: str, fall: float, part: float, limit: float, at: datetime) -> None:
        reason = (
            f"its own drawdown stop: what it brought has fallen by ${fall:,.2f} from its highest, {100.0 * part:.2f} % "
            f"of the account, limit {100.0 * limit:g} %"
        )
        self._repository.add(m.Command, (at, "pause", ENGINE, reason, at, f"done at {at:%Y-%m-%d %H:%M} UTC", name))


def level_of(book: Book, k: int) -> float:
    """Return what the lots of strategy `k` are worth above their cost, with dividends, dollars, as closes store it."""
    shared = shared_lots(book.slots, book.lots)
    parts = shared[shared["k"] == k]
    total = float((parts["value"] - parts["lot"]["cost"] + parts["lot"]["dividends"]).sum())
    mine = (book.lots[:, k]["quantity"] > 0.0) & ~np.isin(book.slots["ticker"], shared["ticker"])
    slots, lots = book.slots[mine], book.lots[mine, k]
    return total + float((slots["value"] - lots["cost"] + lots["dividends"]).sum())
