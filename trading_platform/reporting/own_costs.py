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
from typing import Literal, NamedTuple, TypedDict

from trading_platform.reporting.facts import CostEstimate, OwnCosts, RunFacts
from trading_platform.storage.reader import Reader, as_date

LEAST_FILLS = 50
LEAST_SESSIONS = 10
NORMAL_95 = 1.959964
BASIS_POINTS = 10_000.0
# Orders that waited for an open; what stops and targets got is measured against no open.
AT_OPEN = ("entry", "signal_exit", "max_holding", "rebalance", "replaced", "unfunded", "flatten")
QUERY = """
SELECT session, side, amount, slippage, quantity, decision_price, dollar_volume FROM fills
WHERE run_id = :run AND session <= :until AND reason IN (AT_OPEN)""".replace(
    "AT_OPEN", ", ".join(f"'{name}'" for name in AT_OPEN)
)


class OpenFill(NamedTuple):
    """A fill of an order that waited for an open.

    Dollars at the official open, and basis points worse than it; basis points by which the open was worse than the
    close at which it was decided, and what the ticker trades in a session, dollars. NaN = not known.
    """

    session: date
    dollars: float
    cost: float
    delay: float = math.nan
    liquidity: float = math.nan


def read_own_costs(reader: Reader, run: RunFacts, until: date) -> OwnCosts | None:
    """Return what the fills of an account at Alpaca have cost up to `until`; None for a simulated market."""
    if not run.is_alpaca:
        return None
    fills = [_fill(*row) for row in reader.rows(QUERY, run=run.id, until=until)]
    return own_costs([fill for fill in fills if fill is not None], run.cost_bps)


def _fill(
    session: str | date, side: str, cents: int, lost: int, shares: float, decided: float | None, traded: float | None
) -> OpenFill | None:
    sign = 1.0 if side == "buy" else -1.0
    quote = (cents - sign * lost) / 100.0
    if not quote > 0.0:
        return None
    delay = math.nan
    if decided is not None and decided > 0.0 and shares > 0.0:
        delay = sign * (quote / shares / decided - 1.0) * BASIS_POINTS
    liquidity = math.nan if traded is None else traded
    return OpenFill(as_date(session), quote, lost / 100.0 / quote * BASIS_POINTS, delay, liquidity)


def own_costs(fills: Sequence[OpenFill], setting: float) -> OwnCosts:
    """Return the estimate from `fills`, `setting` being half spread and slippage of `[costs]`, basis points."""
    usual = statistics.median(fill.dollars for fill in fills) if fills else 0.0
    thin, middle, liquid = liquidity_thirds(fills)
    return OwnCosts(
        len(fills),
        setting,
        estimate(fills, setting),
        estimate([fill for fill in fills if fill.dollars <= usual], setting),
        estimate([fill for fill in fills if fill.dollars > usual], setting),
        estimate(thin, setting),
        estimate(middle, setting),
        estimate(liquid, setting),
        estimate([fill._replace(cost=fill.delay) for fill in fills if math.isfinite(fill.delay)], 0.0),
    )


def liquidity_thirds(fills: Iterable[OpenFill]) -> tuple[list[OpenFill], list[OpenFill], list[OpenFill]]:
    """Return the fills whose liquidity is known in thirds, the thinnest first; equal ones stay together."""
    known = sorted(fill.liquidity for fill in fills if math.isfinite(fill.liquidity))
    found: tuple[list[OpenFill], list[OpenFill], list[OpenFill]] = ([], [], [])
    if known:
        first, second = (known[max(0, part * len(known) // 3 - 1)] for part in (1, 2))
        for fill in fills:
            if math.isfinite(fill.liquidity):
                found[int(fill.liquidity > first) + int(fill.liquidity > second)].append(fill)
    return found


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


Group = Literal["small", "large", "thin", "middle", "liquid"]
SIZES: dict[Group, str] = {"small": "small orders", "large": "large ones"}
THIRDS: dict[Group, str] = {"thin": "thinly traded tickers", "middle": "middling", "liquid": "most liquid"}


class EstimatePart(TypedDict):
    """What some fills have cost, basis points, and what that is shrunk to."""

    fills: int
    mean_bps: float
    half_width_bps: float
    shrunk_bps: float


class OwnCostsPart(TypedDict):
    """What an account's fills have cost beside its setting; null: too few to say anything."""

    fills: int
    setting_bps: float
    every: EstimatePart | None
    small: EstimatePart | None
    large: EstimatePart | None
    thin: EstimatePart | None
    middle: EstimatePart | None
    liquid: EstimatePart | None
    delay: EstimatePart | None


def own_costs_part(costs: OwnCosts | None) -> OwnCostsPart | None:
    """Return the part of the report's JSON; null for a simulated market."""
    if costs is None:
        return None
    return {
        "fills": costs.fills,
        "setting_bps": round(costs.setting, 2),
        "every": _estimate(costs.every),
        "small": _estimate(costs.small),
        "large": _estimate(costs.large),
        "thin": _estimate(costs.thin),
        "middle": _estimate(costs.middle),
        "liquid": _estimate(costs.liquid),
        "delay": _estimate(costs.delay),
    }


def _estimate(found: CostEstimate | None) -> EstimatePart | None:
    if found is None:
        return None
    return {
        "fills": found.fills,
        "mean_bps": round(found.mean, 2),
        "half_width_bps": round(found.half_width, 2),
        "shrunk_bps": round(found.shrunk, 2),
    }


def own_costs_words(part: OwnCostsPart | None) -> str:
    """Return the line of the report: what fills have cost, and how to take it over; "" while nothing can be said."""
    if part is None or part["every"] is None:
        return ""
    every = part["every"]
    words = (
        f"cost_bps is {part['setting_bps']:g}, your {every['fills']} fills cost {every['mean_bps']:.1f} "
        f"± {every['half_width_bps']:.1f}"
    )
    groups = ["; ".join(filter(None, (_group(part, SIZES), _group(part, THIRDS))))]
    if part["delay"] is not None:
        delay = part["delay"]
        groups.append(f"from the decision's close to the open {delay['mean_bps']:+.1f} ± {delay['half_width_bps']:.1f}")
    told = "; ".join(filter(None, groups))
    half = every["shrunk_bps"] / 2.0
    return (
        f"{words}{f' ({told})' if told else ''}; to take it over: half_spread_bps = {half:.1f}, slippage_bps = "
        f"{half:.1f} in [costs] (a replay: --cost-bps {every['shrunk_bps']:.1f})"
    )


def _group(part: OwnCostsPart, names: Mapping[Group, str]) -> str:
    """Return the estimates of some groups, each with its interval."""
    known = [
        f"{words} {found['mean_bps']:.1f} ± {found['half_width_bps']:.1f}"
        for name, words in names.items()
        if (found := part[name]) is not None
    ]
    return ", ".join(known)
