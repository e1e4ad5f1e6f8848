"""Risk limits as the rules compute with them, and how they come from the percent and hours of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

from trading_platform.core.day_count import ANNUAL_SESSIONS

SECONDS_PER_HOUR = 3600.0

RELEASE_SHADOW, RELEASE_EQUITY, RELEASE_MANUAL = 0, 1, 2
# Two halts in a row at the default limit end 14.5 % below the first peak: one and a half halts are one bad year.
TOTAL_OF_HALT = 1.5
HALT_RELEASES = ("shadow", "equity", "manual")


class Limits(NamedTuple):
    """`RiskConfig` as the kernel uses it: fractions, seconds, sessions, dollars.

    A field is named as in the configuration, without its unit; `limits_of` turns percent into fractions by itself, so
    a new limit is a field here and one there.
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


# Fields whose name or unit is not that of the configuration.
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
