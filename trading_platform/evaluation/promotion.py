"""The gate of training: may a challenger stand trial in service? A pure function from evidence to a verdict.

Two things are asked. The total gain over equal weight, as estimated, must not lie below a small tolerance: a policy
that is judged by its timing alone can make its own average book worse in order to time against it. And the objective
must hold. `return`: a gain above 0, in nearly all block-bootstrap resamples too. `risk`: volatility below that of equal
weight, in nearly all resamples too, and drawdowns below those of equal weight *and* of equal weight scaled to the
challenger's volatility, which whoever holds more cash would have had as well.

All universes are resampled by the same sessions, since they live through the same market: twenty of them are worth
little more than one. Seeds are averaged before they come here and are one trial. The gate admits; what serves is
decided by days that nobody had seen (:mod:`trading_platform.evaluation.wealth`), whose error is that of the whole
job, so that nothing here needs to know how often somebody has tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import max_drawdown, sharpe_ratio, volatility
from trading_platform.core.types import Bools, Floats
from trading_platform.evaluation.bootstrap import (
    CHUNK,
    SHORTEST_SERIES,
    bootstrap_sharpes,
    optimal_block_length,
    stationary_indices,
)
from trading_platform.evaluation.decomposition import effective_universes
from trading_platform.evaluation.sharpe_tests import influence


class Objective(StrEnum):
    """What an allocator is for: more return for its risk, or less risk at no loss."""

    RETURN = "return"
    RISK = "risk"


class GateCode(StrEnum):
    """Stable codes of the criteria, in the order in which they are reported."""

    SESSIONS = "sessions"
    TOTAL_GAIN = "total_gain"
    GAIN = "gain"
    GAIN_CONFIDENCE = "gain_confidence"
    VOLATILITY = "volatility"
    VOLATILITY_CONFIDENCE = "volatility_confidence"
    DRAWDOWN = "drawdown"
    MATCHED_DRAWDOWN = "matched_drawdown"
    TURNOVER = "turnover"


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Thresholds of the gate. Each names the least or largest value that passes.

    Attributes
    ----------
    objective
        What must hold beside the total gain.
    min_sessions
        Judged sessions, at least. Half a year; less says nothing.
    min_total_gain
        Annualised Sharpe ratio less that of equal weight, mean over universes, at least; asked for either objective.
    min_confidence
        Share of block-bootstrap resamples in which the objective holds, at least.
    max_annual_turnover
        One-way turnover of the allocation a year, at most. 12 is one whole change of mind a month.
    n_resamples
        Bootstrap resamples. 2,000 pin a share near 0.95 to +- 0.01 (two standard errors).
    """

    objective: Objective = Objective.RISK
    min_sessions: int = 126
    min_total_gain: float = -0.02
    min_confidence: float = 0.95
    max_annual_turnover: float = 12.0
    n_resamples: int = 2_000

    def __post_init__(self) -> None:
        bounds = {
            "min_sessions": (20, math.inf),
            "min_total_gain": (-10.0, 10.0),
            "min_confidence": (0.5, 1.0),
            "max_annual_turnover": (0.0, ANNUAL_SESSIONS),
            "n_resamples": (100, 1_000_000),
        }
        problems = []
        if self.objective not in tuple(Objective):
            problems.append(f"objective must be {' or '.join(Objective)}, was {self.objective!r}")
        for field in fields(self):
            if field.name in bounds:
                low, high = bounds[field.name]
                value = getattr(self, field.name)
                if not (low <= value <= high and math.isfinite(value)):
                    problems.append(f"{field.name} must be in [{low:g}, {high:g}], was {value}")
        if problems:
            raise FixConfigError("gate: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, eq=False)
class GateEvidence:
    """What the gate judges: daily returns after costs of U universes on the same T sessions, which taught nothing.

    `challenger`, `equal_weight` : (U, T); a single universe may be (T,).
    `annual_turnover` : one-way turnover of the challenger's allocation a year.
    """

    challenger: Floats
    equal_weight: Floats
    annual_turnover: float


@dataclass(frozen=True, slots=True)
class GateReason:
    """One criterion: what was observed, what it is compared with, and whether it passed."""

    code: GateCode
    observed: float
    threshold: float
    passed: bool

    def to_dict(self) -> dict[str, str | float | bool | None]:
        """Return JSON-ready values; None for an unknown observation."""
        observed = self.observed if math.isfinite(self.observed) else None
        return {"code": str(self.code), "observed": observed, "threshold": self.threshold, "passed": self.passed}


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict and every criterion behind it.

    `gain` with its 95 % interval, `volatility_ratio`, `drawdown_ratio` : the challenger against equal weight, means
    over `n_universes`; whatever the objective is, since a verdict in words needs them. `effective_universes` : how many
    independent ones those are worth, NaN when it cannot be said.
    """

    objective: Objective
    admitted: bool
    reasons: tuple[GateReason, ...]
    n_universes: int
    gain: float
    gain_low: float
    gain_high: float
    volatility_ratio: float
    drawdown_ratio: float
    effective_universes: float = math.nan

    @property
    def failed(self) -> tuple[GateReason, ...]:
        """The criteria that refused."""
        return tuple(reason for reason in self.reasons if not reason.passed)

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values for a model's manifest."""
        figures = ("gain", "gain_low", "gain_high", "volatility_ratio", "drawdown_ratio", "effective_universes")
        known = {name: getattr(self, name) if math.isfinite(getattr(self, name)) else None for name in figures}
        return {
            "objective": str(self.objective),
            "admitted": self.admitted,
            "universes": self.n_universes,
            **known,
            "reasons": [reason.to_dict() for reason in self.reasons],
        }


def decide(evidence: GateEvidence, rng: np.random.Generator, config: GateConfig | None = None) -> GateDecision:
    """Judge a challenger. Refuses whatever it cannot measure.

    Raises
    ------
    ValueError
        The series do not cover the same sessions.
    """
    config = GateConfig() if config is None else config
    challenger, base = _books(evidence)
    gain = _mean_sharpe(challenger) - _mean_sharpe(base)
    gains, lower_risk = resampled(challenger, base, rng, config.n_resamples)
    risk = _ratio(challenger, base, volatility)
    fall = _ratio(challenger, base, max_drawdown)
    reasons = [
        _at_least(GateCode.SESSIONS, float(challenger.shape[1]), config.min_sessions),
        _at_least(GateCode.TOTAL_GAIN, gain, config.min_total_gain),
    ]
    match config.objective:
        case Objective.RETURN:
            reasons += [
                _above(GateCode.GAIN, gain, 0.0),
                _at_least(GateCode.GAIN_CONFIDENCE, _share(gains > 0.0, gain), config.min_confidence),
            ]
        case Objective.RISK:
            scaled = base * (_volatilities(challenger) / _volatilities(base))[:, None]
            reasons += [
                _below(GateCode.VOLATILITY, risk, 1.0),
                _at_least(GateCode.VOLATILITY_CONFIDENCE, _share(lower_risk, risk), config.min_confidence),
                _below(GateCode.DRAWDOWN, fall, 1.0),
                _below(GateCode.MATCHED_DRAWDOWN, _ratio(challenger, scaled, max_drawdown), 1.0),
            ]
    reasons.append(_at_most(GateCode.TURNOVER, evidence.annual_turnover, config.max_annual_turnover))
    low, high = np.quantile(gains, [0.025, 0.975]) if math.isfinite(gain) else (math.nan, math.nan)
    admitted = all(reason.passed for reason in reasons)
    worth = effective_universes(challenger, base)
    return GateDecision(
        config.objective, admitted, tuple(reasons), len(base), gain, float(low), float(high), risk, fall, worth
    )


def resampled(challenger: Floats, base: Floats, rng: np.random.Generator, n_resamples: int) -> tuple[Floats, Bools]:
    """Return the mean gain and whether the pooled volatility is lower, of each resample, (R,).

    Every universe gets the same sessions. A resample in which a book does not move counts against the challenger.
    """
    n_universes, n_sessions = base.shape
    together = np.vstack([challenger, base]).T
    if n_sessions < SHORTEST_SERIES or not np.isfinite(together).all():
        return np.full(n_resamples, math.nan), np.zeros(n_resamples, dtype=np.bool_)
    moved = np.array([influence(mine, other) for mine, other in zip(challenger, base, strict=True)])
    moved = moved[np.isfinite(moved).all(axis=1)]
    block = optimal_block_length(moved.mean(axis=0)).stationary if len(moved) else 1.0
    sharpes = bootstrap_sharpes(together, block, n_resamples, rng)
    gains: Floats = (sharpes[:, :n_universes] - sharpes[:, n_universes:]).mean(axis=1)
    squares = [np.mean((books - books.mean(axis=1, keepdims=True)) ** 2, axis=0) for books in (challenger, base)]
    calmer = squares[1] - squares[0]
    block = optimal_block_length(calmer).stationary
    step = max(1, CHUNK // n_sessions)
    sizes = [min(step, n_resamples - first) for first in range(0, n_resamples, step)]
    saved = [calmer[stationary_indices(n_sessions, block, size, rng)].mean(axis=1) for size in sizes]
    return gains, np.concatenate(saved) > 0.0


def _books(evidence: GateEvidence) -> tuple[Floats, Floats]:
    challenger, base = np.atleast_2d(evidence.challenger), np.atleast_2d(evidence.equal_weight)
    if challenger.ndim != 2 or challenger.shape != base.shape:
        raise ValueError(
            f"gate: all returns must be (U, T) on the same sessions, were {challenger.shape} and {base.shape}"
        )
    return challenger, base


def _mean_sharpe(books: Floats) -> float:
    return float(np.mean([sharpe_ratio(book) for book in books]))


def _volatilities(books: Floats) -> Floats:
    found = np.array([volatility(book) for book in books])
    return np.where(found > 0.0, found, math.nan)


def _ratio(challenger: Floats, base: Floats, figure: Callable[[Floats], float]) -> float:
    """Return the mean of a figure over the challenger's books by that over the base's; NaN without one."""
    mine, other = (float(np.mean([figure(book) for book in books])) for books in (challenger, base))
    return mine / other if other > 0.0 else math.nan


def _share(holds: Bools, estimate: float) -> float:
    return float(np.count_nonzero(holds)) / len(holds) if math.isfinite(estimate) else math.nan


def _at_least(code: GateCode, observed: float, threshold: float) -> GateReason:
    return GateReason(code, observed, float(threshold), bool(observed >= threshold))


def _above(code: GateCode, observed: float, threshold: float) -> GateReason:
    return GateReason(code, observed, threshold, bool(observed > threshold))


def _below(code: GateCode, observed: float, threshold: float) -> GateReason:
    return GateReason(code, observed, threshold, bool(observed < threshold))


def _at_most(code: GateCode, observed: float, threshold: float) -> GateReason:
    # A turnover below zero is no turnover: something upstream is broken.
    return GateReason(code, observed, float(threshold), bool(0.0 <= observed <= threshold))
