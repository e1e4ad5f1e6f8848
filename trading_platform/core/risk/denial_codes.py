"""Every code of refused risk. It stands apart from the rules: what only names codes needs no compiler."""

from __future__ import annotations

from enum import StrEnum


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
