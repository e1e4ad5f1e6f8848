"""What an account's own fills have cost beside the official open, and what to set `[costs]` to. Pure functions.

Fills of one session share its market, so the interval goes by sessions and not by fills. The estimate is shrunk to the
setting, which is thought to be right within a factor of about two: the posterior mean of a normal prior with that
deviation (Gelman et al. 2013, "Bayesian Data Analysis", 2.5).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from trading_platform.reporting.facts import CostEstimate, OwnCosts, Run
from trading_platform.reporting.json_values import number
from trading_platform.storage.reader import Reader, as_date

LEAST_FILLS = 50
LEAST_SESSIONS = 10
NORMAL_95 = 1.959964
BASIS_POINTS = 10_000.0
# Orders that waited for an open; what stops and targets got is measured against no open.
AT_OPEN = ("entry", "signal_exit", "max_holding", "rebalance", "replaced", "unfunded", "flatten")
QUERY = """
SELECT session, side, amount, slippage FROM fills
WHERE run_id = :run AND session <= :until AND reason IN (AT_OPEN)""".replace(
    "AT_OPEN", ", ".join(f"'{name}'" for name in AT_OPEN)
)


class OpenFill(NamedTuple):
    """A fill of an order that waited for an open: dollars at the official open, and basis points worse than it."""

    session: date
    dollars: float
    cost: float


def read_own_costs(reader: Reader, run: Run, until: date) -> OwnCosts | None:
    """Return what the fills of an account at Alpaca have cost up to `until`; None for a simulated market."""
    if not run.is_alpaca:
        return None
    fills = [_fill(*row) for row in reader.rows(QUERY, run=run.id, until=until)]
    return own_costs([fill for fill in fills if fill is not None], run.cost_bps)


def _fill(session: str | date, side: str, cents: int, lost: int) -> OpenFill | None:
    quote = (cents - lost if side == "buy" else cents + lost) / 100.0
    return OpenFill(as_date(session), quote, lost / 100.0 / quote * BASIS_POINTS) if quote > 0.0 else None


def own_costs(fills: Sequence[OpenFill], setting: float) -> OwnCosts:
    """Return the estimate from `fills`, `setting` being half spread and slippage of `[costs]`, basis points."""
    middle = statistics.median(fill.dollars for fill in fills) if fills else 0.0
    return OwnCosts(
        len(fills),
        setting,
        estimate(fills, setting),
        estimate([fill for fill in fills if fill.dollars <= middle], setting),
        estimate([fill for fill in fills if fill.dollars > middle], setting),
    )


def estimate(fills: Iterable[OpenFill], setting: float) -> CostEstimate | None:
    """Return the mean cost of `fills` and its interval by sessions, None for fewer than fifty, or too few sessions."""
    by_session: dict[date, list[float]] = {}
    for fill in fills:
        by_session.setdefault(fill.session, []).append(fill.cost)
    count = sum(map(len, by_session.values()))
    if count < LEAST_FILLS or len(by_session) < LEAST_SESSIONS:
        return None
    mean = sum(map(sum, by_session.values())) / count
    squares = sum((sum(costs) - mean * len(costs)) ** 2 for costs in by_session.values())
    clusters = len(by_session)
    error = math.sqrt(squares * clusters / (clusters - 1)) / count
    prior = max(setting, 1.0)
    weight = prior**2 / (prior**2 + error**2)
    return CostEstimate(count, mean, NORMAL_95 * error, weight * mean + (1.0 - weight) * setting)


def own_costs_part(costs: OwnCosts | None) -> dict[str, Any] | None:
    """Return the part of the report's JSON; null for a simulated market."""
    if costs is None:
        return None
    return {
        "fills": costs.fills,
        "setting_bps": number(costs.setting, 2),
        **{name: _estimate(getattr(costs, name)) for name in ("every", "small", "large")},
    }


def _estimate(found: CostEstimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "fills": found.fills,
        "mean_bps": number(found.mean, 2),
        "half_width_bps": number(found.half_width, 2),
        "shrunk_bps": number(found.shrunk, 2),
    }


def own_costs_words(part: Mapping[str, Any] | None) -> str:
    """Return the line of the report: what fills have cost, and how to take it over; "" while nothing can be said."""
    if part is None or part["every"] is None:
        return ""
    every = part["every"]
    words = (
        f"cost_bps is {part['setting_bps']:g}, your {every['fills']} fills cost {every['mean_bps']:.1f} "
        f"± {every['half_width_bps']:.1f}"
    )
    sizes = [f"{name} ones {part[name]['mean_bps']:.1f}" for name in ("small", "large") if part[name] is not None]
    by_size = f" ({', '.join(sizes)})" if sizes else ""
    return f"{words}{by_size}; to replay with it: --cost-bps {every['shrunk_bps']:.1f}"
