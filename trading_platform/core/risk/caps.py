"""The caps of a position, computed: the check of an order, the room that is left; in the compiled kernel as well.

What each compares is told once, in `core.risk.denial_codes`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.risk.denial_codes import (
    CAPS,
    CORRELATION,
    DENIAL_CODES,
    N_CAPS,
    DenialCode,
    Measures,
    Room,
    compared,
)
from trading_platform.core.risk.limits import Limits


class RuleVerdict(NamedTuple):
    """Code with the observed value and the limit that decided, in the rule's unit."""

    code: int
    observed: float
    limit: float


# By the position of a row in the table, for compiled code.
CAP_CODES: tuple[int, ...] = tuple(DENIAL_CODES.index(cap.code) for cap in CAPS)
CAP_IN_DOLLARS: tuple[bool, ...] = tuple(cap.unit == "dollars" for cap in CAPS)
CAP_IS_SHARE: tuple[bool, ...] = tuple(cap.is_share for cap in CAPS)

OK = DENIAL_CODES.index(DenialCode.OK)
INVALID_ORDER = DENIAL_CODES.index(DenialCode.INVALID_ORDER)
BELOW_MINIMUM = DENIAL_CODES.index(DenialCode.BELOW_MINIMUM)
CORRELATION_UNKNOWN = DENIAL_CODES.index(DenialCode.CORRELATION_UNKNOWN)
CORRELATION_LIMIT = DENIAL_CODES.index(DenialCode.CORRELATION_LIMIT)
SMALLEST_PRICE = 1e-6  # dollars a share; below it a number of shares is no number

# Dollar caps are compared with half a cent of slack: float noise must not refuse an order that is exactly at its limit,
# and one cent above must be refused.
HALF_CENT = 0.005
# Losses are fractions, and 1 - 95 / 100 is a bit over 0.05 in floats. A cent of a hundred million is 100 times this.
NOISE = 1e-12


@lean
def vix_scale(vix: float, limits: Limits) -> float:
    """Return threshold / VIX above the threshold, else 1: how far the position cap and sizes shrink."""
    if not (vix > limits.vix_threshold):
        return 1.0
    return limits.vix_threshold / vix


_compared = lean(compared)


@lean
def cap_numbers(cap: int, equity: float, cash: float, vix: float, measures: Measures, limits: Limits) -> Room:
    """Return what cap number `cap` compares for the candidate that `measures` describes, at the level `vix`."""
    return _compared(cap, equity, cash, vix_scale(vix, limits), measures, limits)


@lean
def cap_slack(cap: int) -> float:
    """Return by how much `used` may exceed the limit: rounding, never money."""
    return HALF_CENT if CAP_IN_DOLLARS[cap] else NOISE


@lean
def broken_cap(
    notional: float, equity: float, cash: float, vix: float, measures: Measures, limits: Limits
) -> RuleVerdict:
    """Return the first cap that an order of `notional` dollars breaks, as a verdict; OK if none. NaN breaks a cap."""
    for cap in range(N_CAPS):
        room = cap_numbers(cap, equity, cash, vix, measures, limits)
        used = room.used + room.per_dollar * notional
        if not (used <= room.limit + cap_slack(cap)):
            code = CAP_CODES[cap]
            if cap == CORRELATION and not (used <= 1.0 + 1e-9):
                code = CORRELATION_UNKNOWN
            scale = equity if CAP_IS_SHARE[cap] else 1.0
            return RuleVerdict(code, used / scale, room.limit / scale)
    return RuleVerdict(OK, 0.0, 0.0)


@lean
def cap_room(equity: float, cash: float, vix: float, measures: Measures, limits: Limits) -> tuple[float, int]:
    """Return the dollars that all caps still allow for the candidate (>= 0), and the code of the one that binds."""
    room, binding = math.inf, OK
    for cap in range(N_CAPS):
        numbers = cap_numbers(cap, equity, cash, vix, measures, limits)
        if numbers.per_dollar > 0.0:
            left = (numbers.limit - numbers.used) / numbers.per_dollar
            if not (left > 0.0):
                return 0.0, CAP_CODES[cap]
            if left < room:
                room, binding = left, CAP_CODES[cap]
        elif not (numbers.used <= numbers.limit + cap_slack(cap)):
            unknown = cap == CORRELATION and not (numbers.used <= 1.0 + 1e-9)
            return 0.0, CORRELATION_UNKNOWN if unknown else CAP_CODES[cap]
    return room, binding
