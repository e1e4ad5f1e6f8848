"""The shadow of a halted book: the same decisions continued on paper from the halt on.

It decides when a drawdown halt may end. It has no memory of its own: from the book at the halt and the allocations
since, it is recomputed by the very steps of the simulation kernel.

Shapes: a row of `weights` is (K,), the allocation of K strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import Market, Signals
from trading_platform.core.session import Rules
from trading_platform.core.simulate import N_CODES, Books, decide_session, new_scratch, start_shadow, trade_shadow
from trading_platform.core.types import Floats


class ShadowBook:
    """One book and its shadow, moved session by session.

    Parameters
    ----------
    books : returns one portfolio, whose shadow is moved; it is another object once a market of another size is shown.
    """

    def __init__(self, books: Callable[[], Books]) -> None:
        self._get = books
        self._log = new_fill_log(0)
        self._denials = np.zeros(N_CODES, dtype=np.int64)

    @property
    def _books(self) -> Books:
        return self._get()

    @property
    def account(self) -> Record:
        """The shadow's account record."""
        return self._books.shadows[0]

    @property
    def slots(self) -> Records:
        """The shadow's slots, (S,)."""
        slots: Records = self._books.shadow_slots[0]
        return slots

    def start(self) -> None:
        """Copy the book, which has just been halted at a close, into the shadow."""
        start_shadow(self._books, 0)

    def decide(self, market: Market, signals: Signals, t: int, weights: Floats, rules: Rules) -> None:
        """Decide at the close of row `t` under `weights` (K,), as the halted book would have."""
        scratch = new_scratch(len(weights), rules.limits.max_reviews)
        lots, stopped = self._books.shadow_lots[0], self._books.shadow_stopped[0]
        decide_session(
            self.account, self.slots, lots, stopped, market, signals, t, weights, rules, scratch, self._denials
        )

    def trade(self, market: Market, t: int, rules: Rules) -> None:
        """Run session `t` on paper."""
        lots, stopped = self._books.shadow_lots[0], self._books.shadow_stopped[0]
        trade_shadow(self.account, self.slots, lots, stopped, market, t, rules, self._log)

    def rebuild(self, market: Market, signals: Signals, first: int, weights: Sequence[Floats], rules: Rules) -> None:
        """Recompute the shadow from a halt at row `first` with the allocations decided at rows first, first + 1, ...

        Afterwards it stands where it stood when the last of these decisions had been taken.
        """
        self.start()
        for i, row in enumerate(weights):
            if i > 0:
                self.trade(market, first + i, rules)
            self.decide(market, signals, first + i, row, rules)
