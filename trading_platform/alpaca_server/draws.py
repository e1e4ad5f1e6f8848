"""Chance that can be repeated: a draw is a function of the seed, the session, the security and what is drawn.

No generator is passed along, so that a draw does not depend on what was drawn before it, nor on how often anybody
looks. The arithmetic is that of SplitMix64 on whole numbers, which a compiled kernel can do as well.
"""

from __future__ import annotations

from datetime import date
from enum import IntEnum

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64 (Steele, Lea, Flood 2014)
FNV_START, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class Draw(IntEnum):
    """What is drawn. Numbers are never used again, so that a new draw changes no old one."""

    AUCTION = 1
    AUCTION_SIGN = 2
    PATH = 3
    PARTIAL = 4
    PARTIAL_SIZE = 5
    STOP = 6
    REPLACED = 7
    LATE = 8
    DOUBLED = 9
    MERGER = 10
    SPLIT = 11
    BAD_TICK = 12
    BAD_SIDE = 13
    LATE_PRINT = 14
    STREAM = 15


def uniform(seed: int, day: date, security: str, what: Draw, count: int = 0) -> float:
    """Return a number in [0, 1).

    Parameters
    ----------
    seed
        Of the server.
    day, security
        The session, and an id of the security that a rename keeps.
    what, count
        What is drawn, and which of several of its kind.
    """
    state = seed & MASK
    for part in (day.toordinal(), _hashed(security), int(what), count):
        state = _mixed((state + GOLDEN + (part & MASK)) & MASK)
    return (state >> 11) / float(1 << 53)


def _mixed(state: int) -> int:
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def _hashed(text: str) -> int:
    """Return FNV-1a of `text`, which is the same in every process, unlike `hash`."""
    value = FNV_START
    for byte in text.encode():
        value = ((value ^ byte) * FNV_PRIME) & MASK
    return value
