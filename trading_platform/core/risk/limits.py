"""Each risk limit twice: as it is set (percent, hours), and as the rules compute with it (fractions, seconds).

A new limit is a field of `RiskSettings`, with a line in its docstring, and a field of `Limits`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.validation import Interval

Percent = Annotated[float, Interval("(0, 100]")]
Fraction = Annotated[float, Interval("[0, 1]")]
Count = Annotated[int, Interval("[1, 10000]")]

SECONDS_PER_HOUR = 3600.0

RELEASE_SHADOW, RELEASE_EQUITY, RELEASE_MANUAL = 0, 1, 2
# Two halts in a row at the default limit end 14.5 % below the first peak: one and a half halts are one bad year.
TOTAL_OF_HALT = 1.5
HALT_RELEASES = ("shadow", "equity", "manual")


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Limits of the risk rules. A limit is the largest value still allowed; ``_pct`` is percent of equity unless said.

    Halts, percent of equity
        max_drawdown_pct         fall from peak equity that halts new trades; a tenth of the savings
        recovery_drawdown_pct    drawdown at which that halt ends; half the limit, so that it does not flicker
        max_total_drawdown_pct   fall from the highest equity ever that only an operator ends, and at which a replay
                                 sells everything; unless told, 1.5 x max_drawdown_pct: two halts in a row are one bad
                                 year, a third is none to trade through
        second_halt_asks         also leave to the operator a halt within a year of the one before
        halt_release             what must recover: the "shadow", the same decisions continued on paper; own "equity",
                                 which may never recover once the account is flat; or "manual": an operator resumes
        max_daily_loss_pct       fall since the previous close, net of cash flows, that ends entries until the next
                                 session
        consecutive_loss_limit   losing round trips in a row that pause entries
        pause_hours              length of that pause in hours of open exchange; 4 is over half a session
        confirmation_readings    readings in a row that confirm a breach or a recovery; 2 outlives one bad tick
        max_equity_jump_pct      change between readings that waits for a second one; wider than bad days at 80 %
    Caps of entries, which count positions and pending orders, percent of equity
        max_position_pct, max_sector_pct, max_exposure_pct, max_positions  one ticker, one sector, everything, and how
                                 many
        max_correlation, correlation_window  largest correlation of daily returns with any position held, over so many
                                 sessions; 30 leave a standard error of 0.07 at a correlation of 0.8
        vix_threshold            VIX above which sizes and the position cap shrink by threshold / VIX
        max_vix_age_sessions, max_price_age_sessions  oldest usable VIX and price, in sessions; older is unknown, and
                                 unknown refuses; public VIX files lag a session or two
        allow_short              let sells exceed the quantity held
    Size of an entry
        kelly_fraction           part of the Kelly bet; half keeps 3/4 of the growth at half the volatility (Thorp 2006)
        kelly_prior_trades, kelly_prior_win_rate, kelly_prior_payoff  belief that results must outvote: so many trades,
                                 share of wins, mean win / mean loss
        kelly_memory_trades      trades after which a result counts 1/e
        min_kelly_scale          smallest scale after bad results, fraction; above 0 lets a strategy earn its way back
        position_volatility_pct  annual volatility of a position, percent of equity; 2 gives a 40 % stock the full 5 %
                                 of equity
        correlation_discount     part of the position cap that a correlation of 1 would take off it
        min_slot_pct             percent of the position cap below which a new position is not worth its slot
    Orders
        entry_collar_pct         limit price above the decision close, percent of price; caps are checked at that price
        price_collar_pct         price of an entry above or below the last close shown, percent; further off is a slip
                                 or a bad tick, and is refused
        min_order_dollars        smaller entries are not worth their costs
        share_step               1.0 whole shares, which stops that rest at the broker need; 0.0001 fractional
        max_reviews              candidates looked at per session, strongest first
        approval_seconds         life of an approval that has not been sent; none outlives its day
    """

    max_drawdown_pct: Annotated[float, Interval("(0, 100)")] = 10.0
    max_daily_loss_pct: Annotated[float, Interval("(0, 100)")] = 2.0
    max_position_pct: Percent = 5.0
    max_exposure_pct: Percent = 80.0
    max_correlation: Fraction = 0.8
    consecutive_loss_limit: Count = 3
    pause_hours: Annotated[float, Interval("(0, 1000]")] = 4
    max_positions: Annotated[int, Interval("[1, 1000]")] = 10
    vix_threshold: Annotated[float, Interval("(0, 200]")] = 25.0
    max_sector_pct: Percent = 30.0
    recovery_drawdown_pct: Annotated[float, Interval("[0, 100)")] = 5.0
    halt_release: Literal["shadow", "equity", "manual"] = "shadow"
    correlation_window: Annotated[int, Interval("[5, 756]")] = 30
    confirmation_readings: Annotated[int, Interval("[1, 10]")] = 2
    max_equity_jump_pct: Percent = 15.0
    max_vix_age_sessions: Annotated[int, Interval("[0, 20]")] = 3
    max_price_age_sessions: Annotated[int, Interval("[0, 5]")] = 1
    kelly_fraction: Annotated[float, Interval("(0, 1]")] = 0.5
    kelly_prior_trades: Count = 100
    kelly_prior_win_rate: Annotated[float, Interval("(0, 1)")] = 0.53
    kelly_prior_payoff: Annotated[float, Interval("(0, 100]")] = 1.2
    kelly_memory_trades: Count = 250
    min_kelly_scale: Fraction = 0.5
    position_volatility_pct: Percent = 2.0
    correlation_discount: Fraction = 0.25
    min_slot_pct: Annotated[float, Interval("[0, 100]")] = 40.0
    entry_collar_pct: Annotated[float, Interval("[0, 20]")] = 2.0
    min_order_dollars: Annotated[float, Interval("[1, 1000000]")] = 100.0
    share_step: Annotated[float, Interval("[0.000000001, 1]")] = 1.0
    max_reviews: Count = 25
    allow_short: bool = False
    approval_seconds: Annotated[float, Interval("[1, 604800]")] = 86400.0
    max_total_drawdown_pct: Annotated[float, Interval("(0, 100]")] | None = None
    second_halt_asks: bool = False
    price_collar_pct: Annotated[float, Interval("(0, 100]")] = 20.0


class Limits(NamedTuple):
    """`RiskSettings` as the kernel uses them: fractions, seconds, sessions, dollars.

    A field is named as the setting, without its unit; `limits_of` turns percent into fractions by itself.
    """

    max_drawdown: float
    recovery_drawdown: float
    halt_release: int
    max_daily_loss: float
    max_total_drawdown: float
    second_halt_asks: int
    max_position: float
    max_exposure: float
    max_sector: float
    max_correlation: float
    correlation_window: int
    loss_streak: int
    pause_seconds: float
    max_positions: int
    vix_threshold: float
    max_vix_age: float
    confirmation_readings: int
    max_equity_jump: float
    kelly_fraction: float
    kelly_prior_trades: float
    kelly_prior_win_rate: float
    kelly_prior_payoff: float
    kelly_memory: float
    min_kelly_scale: float
    position_volatility: float  # daily
    correlation_discount: float
    entry_collar: float
    price_collar: float
    min_order: float
    share_step: float
    max_reviews: int
    min_slot: float


# Fields whose name or unit is not that of the setting.
_OTHERWISE: dict[str, tuple[str, float]] = {
    "loss_streak": ("consecutive_loss_limit", 1.0),
    "pause_seconds": ("pause_hours", SECONDS_PER_HOUR),
    "max_vix_age": ("max_vix_age_sessions", 1.0),
    "kelly_memory": ("kelly_memory_trades", 1.0),
    "min_order": ("min_order_dollars", 1.0),
}


def limits_of(config: Mapping[str, Any]) -> Limits:
    """Return the kernel's form of a risk configuration given by field name (``RiskConfig.to_dict()``)."""
    values = {name: _number(name, kind, config) for name, kind in get_type_hints(Limits).items()}
    return Limits(**values)  # type: ignore[arg-type]  # each number is of its field's kind


def total_drawdown_pct(config: Mapping[str, Any]) -> float:
    """Return the limit of the fall from the highest equity ever, percent; unless told, half more than that of a halt.

    100 is never reached: an account that has lost everything has no equity to read.
    """
    told = config["max_total_drawdown_pct"]
    return float(min(100.0, TOTAL_OF_HALT * config["max_drawdown_pct"]) if told is None else told)


def _number(name: str, kind: type, config: Mapping[str, Any]) -> float | int:
    if name == "halt_release":
        return HALT_RELEASES.index(config[name])
    if name == "max_total_drawdown":
        return total_drawdown_pct(config) / 100.0
    if name == "position_volatility":
        return float(config["position_volatility_pct"] / 100.0 / math.sqrt(ANNUAL_SESSIONS))
    key, scale = _OTHERWISE.get(name, (name, 1.0))
    value = config[f"{name}_pct"] / 100.0 if f"{name}_pct" in config else config[key] * scale
    return int(value) if kind is int else float(value)
