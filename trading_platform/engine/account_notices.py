"""What the owner of an account should know before it trades: whether it is large enough, what its profile has done."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from trading_platform.configuration.risk_config import PROFILES, RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.types import Floats

LEAST_SHARES = 2.0  # of a slot: with a single whole share a size is what the price makes it
MOST_TOO_DEAR = 0.10  # share of tickers that may be too dear before anything is said
SMALL_ORDER_SHARE = 0.5  # of a slot
ROUND_DOLLARS = 500.0
# `evaluate` on 20 random universes of 60 stocks and 21 funds, 2003-2017, 10 basis points, seed 0 (docs/risk.md):
# Sharpe ratio over bills, mean deepest fall, deepest fall of the worst universe, mean share invested.
PROFILE_RECORD: dict[str, tuple[float, float, float, float]] = {
    "conservative": (0.90, 0.111, 0.127, 0.41),
    "balanced": (0.87, 0.154, 0.176, 0.53),
    "aggressive": (0.88, 0.169, 0.198, 0.54),
}


def account_notices(config: TradingConfig, capital: float, closes: Floats) -> Iterator[str]:
    """Yield what the owner should know; `capital` dollars, `closes` (N,) the latest prices, NaN where unknown."""
    limits = RiskConfig.from_mapping(config.risk)
    yield from _size_notices(capital, limits, closes[np.isfinite(closes)])
    yield from _profile_notice(str(config.risk.get("profile", "conservative")))


def least_capital(limits: RiskConfig, closes: Floats) -> float:
    """Return the dollars with which nine of ten tickers at `closes` (N,) fit a slot, in whole shares; 0 without any."""
    if not len(closes):
        return 0.0
    dear = float(np.quantile(closes, 1.0 - MOST_TOO_DEAR))
    return math.ceil(dear * LEAST_SHARES / (limits.max_position_pct / 100.0) / ROUND_DOLLARS) * ROUND_DOLLARS


def _size_notices(capital: float, limits: RiskConfig, closes: Floats) -> Iterator[str]:
    slot = capital * limits.max_position_pct / 100.0
    cures, found = [], []
    too_dear = closes * LEAST_SHARES > slot
    if limits.share_step >= 1.0 and len(closes) and float(too_dear.mean()) > MOST_TOO_DEAR:
        beyond, least = int((closes > slot).sum()), least_capital(limits, closes)
        found.append(
            f"{beyond} of {len(closes)} tickers cost more than that a share, {int(too_dear.sum()) - beyond} more than "
            f"half of it (in whole shares an account of these tickers needs about ${least:,.0f})"
        )
        cures.append("share_step = 0.001 trades fractions of shares, whose stops the engine then watches itself")
    if limits.min_order_dollars > SMALL_ORDER_SHARE * slot:
        found.append(f"orders below ${limits.min_order_dollars:,.0f} are not sent")
        cures.append(f"min_order_dollars = {max(1.0, math.floor(0.2 * slot)):g} lets smaller ones through")
    if found:
        most = f"${slot:,.0f} (max_position_pct {limits.max_position_pct:g})"
        yield (
            f"With ${capital:,.0f} a position may be at most {most}, and {'; '.join(found)}: much will stay in cash. "
            f"In [risk]: {'; '.join(cures)}."
        )


def _profile_notice(name: str) -> Iterator[str]:
    if name == "conservative" or name not in PROFILES:
        return
    yield f"Risk profile {name}: {_record(name)}; conservative: {_record('conservative')} (past, seen years)."


def _record(name: str) -> str:
    sharpe, fall, worst, invested = PROFILE_RECORD[name]
    return (
        f"fell by {fall:.0%} at its deepest, {worst:.0%} in the worst of 20 universes, {invested:.0%} invested, "
        f"Sharpe ratio over bills {sharpe:.2f}"
    )
