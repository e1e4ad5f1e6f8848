"""Turn percent, hours and words of a risk configuration into the numbers that the rules compute with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trading_platform.core.risk.rules import HALT_RELEASES, Limits

ANNUAL_SESSIONS = 252
SECONDS_PER_HOUR = 3600.0


def limits_of(config: Mapping[str, Any]) -> Limits:
    """Return the kernel's form of a risk configuration given by field name (``RiskConfig.to_dict()``)."""
    return Limits(
        max_drawdown=config["max_drawdown_pct"] / 100.0,
        recovery_drawdown=config["recovery_drawdown_pct"] / 100.0,
        halt_release=HALT_RELEASES.index(config["halt_release"]),
        max_daily_loss=config["max_daily_loss_pct"] / 100.0,
        max_position=config["max_position_pct"] / 100.0,
        max_exposure=config["max_exposure_pct"] / 100.0,
        max_sector=config["max_sector_pct"] / 100.0,
        max_correlation=float(config["max_correlation"]),
        correlation_window=int(config["correlation_window"]),
        loss_streak=int(config["consecutive_loss_limit"]),
        pause_seconds=config["pause_hours"] * SECONDS_PER_HOUR,
        max_positions=int(config["max_positions"]),
        vix_threshold=float(config["vix_threshold"]),
        max_vix_age=float(config["max_vix_age_sessions"]),
        confirmation_readings=int(config["confirmation_readings"]),
        max_equity_jump=config["max_equity_jump_pct"] / 100.0,
        kelly_fraction=float(config["kelly_fraction"]),
        kelly_prior_trades=float(config["kelly_prior_trades"]),
        kelly_prior_win_rate=float(config["kelly_prior_win_rate"]),
        kelly_prior_payoff=float(config["kelly_prior_payoff"]),
        kelly_memory=float(config["kelly_memory_trades"]),
        min_kelly_scale=float(config["min_kelly_scale"]),
        position_volatility=config["position_volatility_pct"] / 100.0 / math.sqrt(ANNUAL_SESSIONS),
        correlation_discount=float(config["correlation_discount"]),
        entry_collar=config["entry_collar_pct"] / 100.0,
        min_order=float(config["min_order_dollars"]),
        share_step=float(config["share_step"]),
        max_reviews=int(config["max_reviews"]),
    )
