"""A session's candidates, strongest first, one at a time: for callers outside compiled code."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trading_platform.core.compiled import direct
from trading_platform.core.decide import Candidate, first_candidate, next_candidate
from trading_platform.core.ledger import Records
from trading_platform.core.market import Signals
from trading_platform.core.types import Floats


class CandidateQueue:
    """Walks the lists of `n_strategies` strategies as the kernel does, with the kernel's own steps."""

    def __init__(self, n_strategies: int) -> None:
        self._heads = np.zeros(n_strategies, dtype=np.int64)
        self._first, self._next = direct(first_candidate), direct(next_candidate)

    def strongest(self, signals: Signals, t: int, weights: Floats, slots: Records, most: int) -> Iterator[Candidate]:
        """Yield up to `most` candidates of row `t`; what `slots` holds by the time it is reached is passed over."""
        take = self._first
        for _ in range(most):
            candidate = take(signals, t, weights, slots, self._heads)
            if candidate.strategy < 0:
                return
            yield candidate
            take = self._next
