"""The caps of a position: each told once, and everything else derived from it.

A cap compares what is used after an order with a limit: ``used + per_dollar x notional <= limit``. From the table below
come the check of an order, the room that is left, the largest order that passes, explanations, the risk report and
the table in docs/risk.md, in the compiled kernel as well as in Python. A new cap is: a code (`denial_codes`), a row of
`CAPS`, a branch of `cap_numbers`; its limit is a field of `core.risk.limits.Limits` and of `RiskConfig`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.risk.denial_codes import DENIAL_CODES, DenialCode
from trading_platform.core.risk.limits import Limits


class Measures(NamedTuple):
    """What the book already holds, as seen by one candidate ticker: dollars, counts, correlation."""

    gross: float  # all positions and pending entries
    sector: float  # those of the candidate's sector
    position: float  # those of the candidate itself
    reserved: float  # cash promised to pending entries
    positions: int  # tickers held or pending, the candidate's own included
    is_new: bool  # the candidate is neither held nor pending
    correlation: float  # the largest with any other held or pending ticker; -1 = none held; NaN = not measurable
    correlated: int  # that ticker's column, or -1


class RuleVerdict(NamedTuple):
    """Code with the observed value and the limit that decided, in the rule's unit."""

    code: int
    observed: float
    limit: float


class Room(NamedTuple):
    """What one cap says: `used` before an order, what a dollar of it adds, the `limit`; all in the cap's own unit."""

    used: float
    per_dollar: float
    limit: float


class Cap(NamedTuple):
    """A row of the table: code, name in reports, `unit` ("dollars" or what is counted), and what is compared, in words.

    A cap in dollars is told as a share of equity where `is_share`.
    """

    code: DenialCode
    name: str
    unit: str
    subject: str
    is_share: bool = True


CAPS: tuple[Cap, ...] = (
    Cap(DenialCode.MAX_POSITIONS, "positions", "count", "positions", is_share=False),
    Cap(DenialCode.CORRELATION_LIMIT, "correlation", "", "correlation", is_share=False),
    Cap(DenialCode.POSITION_LIMIT, "position", "dollars", "position"),
    Cap(DenialCode.VIX_LIMIT, "position_at_vix", "dollars", "position"),
    Cap(DenialCode.SECTOR_LIMIT, "sector", "dollars", "sector"),
    Cap(DenialCode.EXPOSURE_LIMIT, "exposure", "dollars", "exposure"),
    Cap(DenialCode.INSUFFICIENT_CASH, "cash", "dollars", "cash", is_share=False),
)
N_CAPS = len(CAPS)
# Numbers for compiled code: the position of a row in the table, and of each row's code in the list of codes.
COUNT, CORRELATION, POSITION, VIX, SECTOR, EXPOSURE, CASH = range(N_CAPS)
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


@lean
def cap_numbers(cap: int, equity: float, cash: float, vix: float, measures: Measures, limits: Limits) -> Room:
    """Return what cap number `cap` compares for the candidate that `measures` describes."""
    if cap == COUNT:
        return Room(measures.positions + (1.0 if measures.is_new else 0.0), 0.0, float(limits.max_positions))
    if cap == CORRELATION:  # more of what is held is no new position
        return Room(measures.correlation if measures.is_new else -1.0, 0.0, limits.max_correlation)
    if cap == POSITION:
        return Room(measures.position, 1.0, limits.max_position * equity)
    if cap == VIX:
        return Room(measures.position, 1.0, limits.max_position * equity * vix_scale(vix, limits))
    if cap == SECTOR:
        return Room(measures.sector, 1.0, limits.max_sector * equity)
    if cap == EXPOSURE:
        return Room(measures.gross, 1.0, limits.max_exposure * equity)
    return Room(measures.reserved, 1.0, cash)


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
