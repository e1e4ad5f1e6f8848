"""What the machine loses against its paper form, by cause: the book run again with one rule after the other lifted.

Each step keeps what the steps before it have lifted, so that the differences of their Sharpe ratios add up to that of
machine and paper form. Another order would divide them otherwise; this one goes from what an owner sets to what no
setting changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trading_platform.core.costs import NO_PROTECTION
from trading_platform.core.market import Signals
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats

NEVER = 1_000_000_000  # losses in a row
NO_STOP = 0.999  # of the price: the disaster stop of nobody
REST = "orders"
CAUSES: Mapping[str, str] = {
    "halts": "halts by drawdown and daily loss, pauses after losses",
    "caps": "sector, correlation, VIX, Kelly and volatility",
    "slots": "ten positions of a whole slot each",
    "stops": "stops and cooling times",
    "impact": "market impact and fees, which paper does not pay",
    REST: "what is left: order limits, bands, whole shares, the day between decision and room",
}


def lifted(rules: Rules, signals: Signals, n_tickers: int) -> Iterator[tuple[str, Rules, Signals]]:
    """Yield (cause, rules, signals) with that cause and all before it lifted; the rest of the loss is `REST`."""
    limits = rules.limits._replace(
        max_drawdown=1.0, max_daily_loss=1.0, max_total_drawdown=1.0, second_halt_asks=0, loss_streak=NEVER
    )
    yield "halts", rules._replace(limits=limits), signals
    limits = limits._replace(
        max_sector=1.0,
        max_correlation=1.0,
        correlation_discount=0.0,
        vix_threshold=math.inf,
        max_exposure=1.0,
        min_kelly_scale=1.0,
        position_volatility=math.inf,
    )
    yield "caps", rules._replace(limits=limits), signals
    limits = limits._replace(max_positions=n_tickers, max_position=1.0, max_reviews=n_tickers, min_slot=0.0)
    yield "slots", rules._replace(limits=limits), signals
    exits = rules.exits._replace(disaster_stop=NO_STOP)
    free = signals._replace(protection=unprotected(len(signals.protection)))
    yield "stops", rules._replace(limits=limits, exits=exits), free
    costs = rules.costs._replace(
        impact=0.0, commission_per_share=0.0, min_commission=0.0, sec_fee=0.0, taf_per_share=0.0
    )
    yield "impact", rules._replace(limits=limits, exits=exits, costs=costs), free


def unprotected(n_strategies: int) -> Floats:
    """Return the protection of strategies, (K, 7), that have none and buy back whenever they want."""
    row = NO_PROTECTION._replace(cooling=0)
    return np.array([row] * n_strategies, dtype=np.float64)


def lost_by_cause(machine: float, ratios: Sequence[tuple[str, float]], paper: float) -> dict[str, float]:
    """Return what each cause takes from the ratio of the paper form, positive = lost; they add up to all of it.

    `ratios` are those of the steps of `lifted`, in their order.
    """
    lost, before = {}, machine
    for cause, ratio in ratios:
        lost[cause] = ratio - before
        before = ratio
    return lost | {REST: paper - before}
