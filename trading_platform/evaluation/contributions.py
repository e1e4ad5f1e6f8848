"""What each part of an allocator is worth on its own, against equal weight: published rules, learner, both, yardstick.

A statement is a mean over universes with an interval that keeps them together, since they live through the same days;
how many independent ones they are worth stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import max_drawdown, mean_return, session_volatility, sharpe_ratio, volatility
from trading_platform.core.types import Floats
from trading_platform.evaluation.decomposition import effective_universes
from trading_platform.evaluation.promotion import resampled

RESAMPLES = 500
# The judged sessions are cut into so many stretches, as long as none is shorter than a year.
MOST_BLOCKS = 3
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Contribution:
    """One allocator against equal weight on the same sessions; Sharpe ratios annualised, means over universes.

    Attributes
    ----------
    gain, low, high : Sharpe ratio less equal weight's, with its 95 % interval. tilt : of its average weights held
        still. timing : gain less tilt.
    volatility, drawdown : over equal weight's. turnover : of the weights, one way, a year.
    blocks : the gain in each stretch of the sessions, in their order, at the volatilities of all: their mean is `gain`.
    independent : how many independent universes those are worth that were looked at.
    is_judged : whether it is what the gate judges.
    """

    name: str
    gain: float
    low: float
    high: float
    tilt: float
    timing: float
    volatility: float
    drawdown: float
    turnover: float
    blocks: tuple[float, ...]
    independent: float
    is_judged: bool

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values; None for what is not known."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in (asdict(self) | {"blocks": list(self.blocks)}).items()
        }


def contribution(
    name: str,
    policy: Floats,
    average: Floats,
    equal: Floats,
    turnover: float,
    rng: np.random.Generator,
    is_judged: bool = False,
) -> Contribution:
    """Return what an allocator is worth.

    Parameters
    ----------
    policy, average, equal
        (U, T) daily returns after costs of its books, of books that hold its average weights, and of equal weight.
    """
    mine, still, base = (np.array([sharpe_ratio(book) for book in books]) for books in (policy, average, equal))
    gains, _ = resampled(policy, equal, rng, RESAMPLES)
    low, high = np.quantile(gains, INTERVAL) if np.isfinite(gains).all() else (math.nan, math.nan)
    cuts = [
        (part[0], part[-1] + 1) for part in np.array_split(np.arange(policy.shape[1]), block_count(policy.shape[1]))
    ]
    blocks = [float(np.mean([_of_stretch(m, e, a, b) for m, e in zip(policy, equal, strict=True)])) for a, b in cuts]
    return Contribution(
        name=name,
        gain=float((mine - base).mean()),
        low=float(low),
        high=float(high),
        tilt=float((still - base).mean()),
        timing=float((mine - still).mean()),
        volatility=_ratio([volatility(book) for book in policy], [volatility(book) for book in equal]),
        drawdown=_ratio([max_drawdown(book) for book in policy], [max_drawdown(book) for book in equal]),
        turnover=turnover,
        blocks=tuple(blocks),
        independent=effective_universes(policy, equal),
        is_judged=is_judged,
    )


def _of_stretch(mine: Floats, equal: Floats, start: int, stop: int) -> float:
    """Return what sessions [start, stop) add to the gain, as if all of them were like these.

    Volatilities are those of all sessions: a book that was stopped earns bills in a stretch and has next to none there.
    """
    year = math.sqrt(ANNUAL_SESSIONS)
    sizes = [session_volatility(book) for book in (mine, equal)]
    if not min(sizes) > 0.0:
        return math.nan
    return year * (mean_return(mine[start:stop]) / sizes[0] - mean_return(equal[start:stop]) / sizes[1])


def block_count(sessions: int) -> int:
    """Return into how many stretches `sessions` are cut."""
    return max(1, min(MOST_BLOCKS, sessions // ANNUAL_SESSIONS))


def _ratio(mine: list[float], others: list[float]) -> float:
    total = float(np.mean(others))
    return float(np.mean(mine)) / total if total > 0.0 else math.nan
