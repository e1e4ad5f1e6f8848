"""A session's candidates, strongest first, one at a time: for callers outside compiled code.

Shapes: `weights` (K,), `slots` (S,), `stopped` (N,), `day` (T,), `limit_rows` (1,).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trading_platform.core.compiled import direct, lean
from trading_platform.core.entries import Candidate, next_candidate, start_candidates
from trading_platform.core.ledger import Records
from trading_platform.core.market import Signals
from trading_platform.core.types import Floats, Ints


class CandidateQueue:
    """Walks the lists of `n_strategies` strategies as the kernel does, with the kernel's own steps."""

    def __init__(self, n_strategies: int) -> None:
        self._heads = np.zeros(n_strategies, dtype=np.int64)
        self._seen = np.zeros(0, dtype=np.int64)
        self._take = direct(take_candidate)

    def strongest(
        self,
        signals: Signals,
        t: int,
        weights: Floats,
        slots: Records,
        stopped: Ints,
        day: Ints,
        limit_rows: Records,
        most: int,
    ) -> Iterator[Candidate]:
        """Yield up to `most` candidates of row `t`, each ticker once; what `slots` holds by then is passed over.

        `limit_rows` are the limits as `core.compiled.as_rows` gives them.
        """
        if len(self._seen) < most:
            self._seen = np.zeros(most, dtype=np.int64)
        for n in range(most):
            candidate = self._take(signals, t, weights, slots, stopped, day, self._heads, self._seen, n, limit_rows)
            if candidate.strategy < 0:
                return
            self._seen[n] = candidate.ticker
            yield candidate


@lean
def take_candidate(
    signals: Signals,
    t: int,
    weights: Floats,
    slots: Records,
    stopped: Ints,
    day: Ints,
    heads: Ints,
    seen: Ints,
    n_seen: int,
    limits: Records,
) -> Candidate:
    """Return `next_candidate` under `limits` (1,); with nothing seen yet, `heads` (K,) are put to their beginnings."""
    if n_seen == 0:
        start_candidates(signals, t, heads)
    return next_candidate(signals, t, weights, slots, stopped, day, heads, seen, n_seen, limits[0])
