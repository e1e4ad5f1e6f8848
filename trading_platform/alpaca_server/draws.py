"""What the local server leaves to chance, drawn as the core draws (`core.draws`); of fills, the very same draws."""

from __future__ import annotations

from enum import IntEnum

from trading_platform.core.draws import uniform
from trading_platform.core.realistic_fills import FillDraw

__all__ = ["Draw", "uniform"]


class Draw(IntEnum):
    """What is drawn. Numbers are never used again, so that a new draw changes no old one."""

    AUCTION = FillDraw.AUCTION
    AUCTION_SIGN = FillDraw.AUCTION_SIGN
    PATH = 3
    PARTIAL = FillDraw.PARTIAL
    PARTIAL_SIZE = FillDraw.PARTIAL_SIZE
    STOP = FillDraw.STOP
    REPLACED = 7
    LATE = 8
    DOUBLED = 9
    MERGER = 10
    SPLIT = 11
    BAD_TICK = 12
    BAD_SIDE = 13
    LATE_PRINT = 14
    STREAM = 15
