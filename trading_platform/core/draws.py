"""Chance that can be repeated: a draw is a function of the seed, the session, the security and what is drawn.

No generator is passed along, so that a draw does not depend on what was drawn before it, nor on how often anybody
looks, nor on who asks: the kernel, the paper broker and the local Alpaca draw the same. The arithmetic is that of
SplitMix64 on whole numbers. `uniform` draws one number, `uniforms` a market's worth of the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Floats, Ints

Words = NDArray[np.uint64]

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64 (Steele, Lea, Flood 2014)
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
FNV_START, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
UNIT = 1.0 / float(1 << 53)


def uniform(seed: int, day: date, security: str, what: int, count: int = 0) -> float:
    """Return a number in [0, 1).

    Parameters
    ----------
    seed
        Of the run or the server.
    day, security
        The session, and an id of the security that a rename keeps.
    what, count
        What is drawn, and which of several of its kind.
    """
    state = seed & MASK
    for part in (day.toordinal(), _hashed(security), what, count):
        state = (state + GOLDEN + (part & MASK)) & MASK
        state = ((state ^ (state >> 30)) * FIRST) & MASK
        state = ((state ^ (state >> 27)) * SECOND) & MASK
        state ^= state >> 31
    return (state >> 11) * UNIT


def drawing_states(seed: int, days: Ints, securities: Sequence[str]) -> Words:
    """Return what `uniforms` goes on from, (N, T): seed, session and security mixed.

    Parameters
    ----------
    days
        (T,) days since 1970-01-01.
    securities
        (N,) ids.
    """
    start = np.full(len(days), seed & MASK, dtype=np.uint64)
    of_days = _mixed(start, (days + EPOCH_ORDINAL).astype(np.uint64))
    hashes = np.array([_hashed(name) for name in securities], dtype=np.uint64)
    return _mixed(of_days[None, :], hashes[:, None])


def uniforms(states: Words, what: int) -> Floats:
    """Return the first draw of kind `what` for each of `states` (T, N), in their shape: numbers in [0, 1)."""
    mixed = _mixed(_mixed(states, np.array([what], dtype=np.uint64)), np.zeros(1, dtype=np.uint64))
    drawn: Floats = (mixed >> np.uint64(11)).astype(np.float64) * UNIT
    return drawn


def _mixed(state: Words, part: Words) -> Words:
    """Return the next states; arrays of whole numbers wrap around without a word."""
    mixed = state + (part + np.uint64(GOLDEN))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(FIRST)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(SECOND)
    result: Words = mixed ^ (mixed >> np.uint64(31))
    return result


def _hashed(text: str) -> int:
    """Return FNV-1a of `text`, which is the same in every process, unlike `hash`."""
    value = FNV_START
    for byte in text.encode():
        value = ((value ^ byte) * FNV_PRIME) & MASK
    return value
