"""Which strategies an execution belongs to: shares by lot. Pure functions.

What strategies sell to each other comes first, in the order of strategies; what the market trades is the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from trading_platform.core.booking import SELL, asked_shares
from trading_platform.core.compiled import plain
from trading_platform.core.ledger import SHARE_NOISE, Record, Records, owns
from trading_platform.core.types import LotOrder

Parts = dict[int, float]  # number of the strategy -> shares, positive

_owns, _asked = plain(owns), plain(asked_shares)


def market_parts(slot: Record, lots: Records, side: int, quantity: float = math.inf) -> Parts:
    """Return what each lot of `slot`, (K,) `lots`, trades of the first `quantity` shares that the market trades."""
    deltas = [(k, float(lots[k]["delta"])) for k in range(len(lots)) if _owns(slot, k)]
    asked = _asked(slot, lots)
    return _after(deltas, side, float(min(asked.bought, asked.sold)), quantity)


def order_parts(
    parts: Sequence[LotOrder], numbers: Mapping[str, int], side: int, done: float, quantity: float
) -> Parts:
    """Return the same from what an order said of its parts, `done` shares of it having traded before."""
    deltas = sorted((numbers.get(part.strategy, 0), part.quantity) for part in parts)
    bought = sum(delta for _, delta in deltas if delta > 0.0)
    sold = -sum(delta for _, delta in deltas if delta < 0.0)
    return _after(deltas, side, min(bought, sold) + done, quantity)


def position_parts(slot: Record, lots: Records, quantity: float, first: int | None = None) -> Parts:
    """Return which `lots` (K,) give `quantity` shares away when nobody has said whose: `first`, then in order."""
    numbers = [k for k in range(len(lots)) if _owns(slot, k) and lots[k]["quantity"] > 0.0]
    deltas = [(k, -float(lots[k]["quantity"])) for k in sorted(numbers, key=lambda k: (k != first, k))]
    return _after(deltas, SELL, 0.0, quantity)


def total(parts: Parts) -> float:
    """Return the shares of all parts."""
    return math.fsum(parts.values())


def _after(deltas: Iterable[tuple[int, float]], side: int, skip: float, quantity: float) -> Parts:
    """Return the next `quantity` shares of `side` among `deltas` after the first `skip`."""
    parts: Parts = {}
    for k, delta in deltas:
        asked = max(0.0, delta * side)
        passed = min(asked, skip)
        skip -= passed
        taken = min(asked - passed, quantity)
        if taken > SHARE_NOISE:
            parts[k] = parts.get(k, 0.0) + taken
            quantity -= taken
    return parts
