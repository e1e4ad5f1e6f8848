"""Every code of refused risk, and the caps among them: each told once, and everything else derived from it.

A cap compares what is used after an order with a limit: ``used + per_dollar x notional <= limit``. From its code, its
row of `CAPS` and its branch of `compared` come the check of an order, the room that is left, the largest order that
passes (`core.risk.caps`), explanations, the risk report and the table in docs/risk.md, in the compiled kernel as well
as in Python. So a new cap is written here, and its limit in `core.risk.limits`. `compared` is compiled by
`core.risk.caps`, since what only names codes must start without a compiler.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from trading_platform.core.risk.limits import Limits


class DenialCode(StrEnum):
    """Stable codes of refused risk. The position of each member is its number in the kernel."""

    def __new__(cls, value: str, meaning: str = "") -> DenialCode:
        """Attach the meaning to the code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    OK = "OK", "no rule objects"
    RISK_STATE_INVALID = (
        "RISK_STATE_INVALID",
        "risk memory is missing, corrupt, newer or from the future; an operator must resume",
    )
    MANUAL_HALT = "MANUAL_HALT", "an operator halted trading; an operator must resume"
    EQUITY_UNKNOWN = "EQUITY_UNKNOWN", "no usable equity reading, or a jump that a second reading has not confirmed"
    RECONCILIATION = "RECONCILIATION", "the broker's account differs from ours and the difference is unexplained"
    DRAWDOWN_HALT = "DRAWDOWN_HALT", "drawdown from peak equity exceeded its limit; halted until recovery"
    DRAWDOWN_BREACH = (
        "DRAWDOWN_BREACH",
        "drawdown exceeds its limit on a first reading; the halt waits for confirmation",
    )
    TOTAL_DRAWDOWN = (
        "TOTAL_DRAWDOWN",
        "the fall from the highest equity ever exceeded its limit; an operator must resume",
    )
    SECOND_HALT = "SECOND_HALT", "a drawdown halt within a year of the one before; an operator must resume"
    DAILY_LOSS_LIMIT = (
        "DAILY_LOSS_LIMIT",
        "loss since the previous close exceeded its limit; ends with the next session",
    )
    LOSS_STREAK_PAUSE = "LOSS_STREAK_PAUSE", "consecutive losing trades; new entries pause for some exchange hours"
    VIX_UNKNOWN = "VIX_UNKNOWN", "VIX is missing or older than its limit"
    INVALID_ORDER = "INVALID_ORDER", "quantity or price is not a positive finite number, or the side is unknown"
    PRICE_UNKNOWN = "PRICE_UNKNOWN", "no current price for the ticker"
    PRICE_OFF_MARKET = "PRICE_OFF_MARKET", "the price is too far from the last one of the market shown"
    VOLATILITY_UNKNOWN = "VOLATILITY_UNKNOWN", "too little history to measure the ticker's volatility"
    SHORT_NOT_ALLOWED = "SHORT_NOT_ALLOWED", "the sell exceeds the quantity held"
    MAX_POSITIONS = "MAX_POSITIONS", "positions and pending entries already fill the allowed number"
    POSITION_LIMIT = "POSITION_LIMIT", "the whole position would exceed its share of equity"
    VIX_LIMIT = "VIX_LIMIT", "the position would exceed the cap that VIX scales down"
    EXPOSURE_LIMIT = (
        "EXPOSURE_LIMIT",
        "positions and pending orders would exceed the share of equity that may be invested",
    )
    INSUFFICIENT_CASH = "INSUFFICIENT_CASH", "cash not reserved by pending orders does not cover the order"
    SECTOR_LIMIT = "SECTOR_LIMIT", "the sector's positions and pending orders would exceed their share of equity"
    CORRELATION_LIMIT = "CORRELATION_LIMIT", "returns move too closely with a position already held"
    CORRELATION_UNKNOWN = "CORRELATION_UNKNOWN", "too little or constant return data to measure correlation"
    BELOW_MINIMUM = "BELOW_MINIMUM", "what the sizing rules leave is smaller than the smallest sensible order"
    TICKER_QUARANTINED = (
        "TICKER_QUARANTINED",
        "the ticker's position or orders are unexplained, or the asset is not tradable",
    )


DENIAL_CODES: tuple[DenialCode, ...] = tuple(DenialCode)


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
# Numbers for compiled code: the position of a row in the table.
COUNT, CORRELATION, POSITION, VIX, SECTOR, EXPOSURE, CASH = range(N_CAPS)


def compared(cap: int, equity: float, cash: float, vix_scale: float, measures: Measures, limits: Limits) -> Room:
    """Return what cap number `cap` compares for the candidate that `measures` describes, in the cap's own unit.

    `equity` and `cash` are dollars, `vix_scale` the fraction that VIX leaves of a cap. What is compiled is
    `core.risk.caps.cap_numbers`, which calls it.
    """
    if cap == COUNT:
        return Room(measures.positions + (1.0 if measures.is_new else 0.0), 0.0, float(limits.max_positions))
    if cap == CORRELATION:  # more of what is held is no new position
        return Room(measures.correlation if measures.is_new else -1.0, 0.0, limits.max_correlation)
    if cap == POSITION:
        return Room(measures.position, 1.0, limits.max_position * equity)
    if cap == VIX:
        return Room(measures.position, 1.0, limits.max_position * equity * vix_scale)
    if cap == SECTOR:
        return Room(measures.sector, 1.0, limits.max_sector * equity)
    if cap == EXPOSURE:
        return Room(measures.gross, 1.0, limits.max_exposure * equity)
    return Room(measures.reserved, 1.0, cash)
