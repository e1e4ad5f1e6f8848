"""What an allocation between shadow books would have earned, and how much it traded: a quick screen.

Books trade alone here, so limits that bind only jointly (total exposure, number of positions) are not felt. Verdicts
that matter go through the simulation kernel; this screen compares allocations with one another in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.types import Floats

BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class AllocationPath:
    """Daily returns after costs, (T,), and one-way turnover as a fraction of equity, (T,)."""

    returns: Floats
    turnover: Floats


def allocation_path(weights: Floats, returns: Floats, cost_bps: float = 0.0) -> AllocationPath:
    """Follow weights through the returns of the books they split capital between.

    Row t of `weights` is decided at close t and earns row t + 1 of `returns`; row 0 is earned by equal weight. Between
    two rows the weights drift with the books. Turnover of row t is half the sum of absolute changes at its close; each
    changed dollar is sold in one book and bought in another, so its cost, charged to row t + 1, is `cost_bps` twice.

    Parameters
    ----------
    weights, returns
        (T, K). A NaN return makes that session's result NaN and leaves the weights undrifted.
    cost_bps
        Cost of trading a dollar, in basis points.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if weights.shape != returns.shape or weights.ndim != 2:
        raise ValueError(f"weights and returns must be (T, K) alike, were {weights.shape} and {returns.shape}")
    n_books = returns.shape[1]
    held = np.vstack((np.full((1, n_books), 1.0 / n_books), weights))[: len(weights)]
    gross = (held * returns).sum(axis=1)
    known = np.isfinite(gross)[:, None]
    drifted = np.where(known, held * (1.0 + returns) / (1.0 + gross[:, None]), held)
    turnover = 0.5 * np.abs(weights - drifted).sum(axis=1)
    costs = np.concatenate(([0.0], 2.0 * cost_bps * BASIS_POINT * turnover[:-1]))[: len(weights)]
    return AllocationPath(gross - costs, turnover)
