"""What a search has found, told honestly: the plateau and not the peak, what luck alone gives, what outer years say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trading_platform.core.types import Floats
from trading_platform.evaluation.deflated import effective_trials, expected_max_sharpe
from trading_platform.search.plan import Dimension
from trading_platform.search.study import Trial
from trading_platform.search.trial_task import MINIMISED

NEIGHBOURS = 0.1  # part of the trials that is called near
FEWEST_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Plateau:
    """The trials nearest to the best: how many, and the mean, worst and deviation of their first objective."""

    trials: int
    mean: float
    worst: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Luck:
    """What of the best's gain over the settings of today is luck; in units of the first objective.

    Attributes
    ----------
    gain : by how much the best trial is better than today's settings, on inner years.
    effective : to how many independent trials they amount.
    expected : gain that the best of so many worthless trials shows.
    shrinkage : part of a gain that is expected to stay, in [0, 1].
    kept : the gain that is expected of the best elsewhere.
    """

    gain: float
    effective: float
    expected: float
    shrinkage: float
    kept: float


def best_of(trials: Sequence[Trial], objective: str) -> Trial | None:
    """Return the best finished trial by the first objective, the earliest of equals; None if none is finished."""
    done = [trial for trial in trials if trial.values]
    sign = 1.0 if objective in MINIMISED else -1.0
    return min(done, key=lambda trial: (sign * trial.values[0], trial.number), default=None)


def plateau(best: Trial, trials: Sequence[Trial], space: Sequence[Dimension], objective: str) -> Plateau:
    """Return what the neighbours of the best are worth: a peak among poor ones is noise."""
    done = [trial for trial in trials if trial.values and trial.number != best.number]
    here = _places(best, space)
    near = sorted(done, key=lambda trial: (float(np.abs(_places(trial, space) - here).sum()), trial.number))
    near = near[: max(FEWEST_NEIGHBOURS, round(NEIGHBOURS * len(done)))]
    if not near:
        return Plateau(0, math.nan, math.nan, math.nan)
    values = np.array([trial.values[0] for trial in near])
    worst = values.max() if objective in MINIMISED else values.min()
    return Plateau(len(near), float(values.mean()), float(worst), float(values.std()))


def luck(gain: float, cells: Sequence[Floats], returns: Floats) -> Luck:
    """Return what luck explains.

    Parameters
    ----------
    gain
        Of the best trial over the reference.
    cells
        Gains of each trial over the reference by universe and fold, (U, F) each: universes live through the same years,
        so only folds are independent.
    returns
        Mean daily returns of each trial less those of the reference, (T, N): the books themselves all move with the
        market, and would count as one trial.
    """
    effective = effective_trials(returns) if returns.shape[1] else 0.0
    by_fold = np.array([each.mean(axis=0) for each in cells])  # (N, F)
    n_folds = by_fold.shape[1] if len(by_fold) else 0
    if len(by_fold) < 2 or n_folds < 2 or not np.isfinite(by_fold).all():
        return Luck(gain, effective, math.nan, math.nan, math.nan)
    # within a trial folds differ by chance (and by the years); between trials means differ by worth and by chance
    noise = float(by_fold.var(axis=1, ddof=1).mean()) / n_folds
    spread = float(by_fold.mean(axis=1).var(ddof=1))
    shrinkage = max(0.0, 1.0 - noise / spread) if spread > 0.0 else 0.0
    mean = float(by_fold.mean())
    kept = mean + shrinkage * (gain - mean)
    return Luck(gain, effective, expected_max_sharpe(max(1.0, effective), noise), shrinkage, kept)


def sentence(count: int, objective: str, found: Luck, outer_gain: float) -> str:
    """Return the plain sentence about a study."""
    name = {"sharpe": "a Sharpe ratio", "calmar": "a Calmar ratio", "drawdown": "a drawdown"}[objective]
    trials = f"After {count} trials" if count != 1 else "After 1 trial"
    if not math.isfinite(found.gain):
        return f"{trials} none has a figure."
    found = replace(found, gain=round(found.gain, 2) + 0.0)  # never -0.00
    better = f"{trials} the best is worth {found.gain:+.2f} of {name} more than today's settings"
    if objective in MINIMISED:
        better = f"{trials} the best falls {found.gain:+.2f} less deep than today's settings"
    if not math.isfinite(found.expected):
        return f"{better}; what luck gives cannot be said from so few."
    if found.gain <= 0.0:
        verdict = "no better than what is there"
    elif found.gain <= found.expected:
        verdict = f"which is what luck gives ({found.expected:+.2f} expected of so many worthless ones)"
    else:
        verdict = f"where luck alone gives {found.expected:+.2f}; {max(0.0, found.kept):+.2f} is expected to stay"
    outer = f"on the outer years, which no trial has seen, {outer_gain:+.2f}" if math.isfinite(outer_gain) else ""
    return f"{better}, {verdict}{'; ' + outer if outer else ''}."


def gains(objective: str, values: Floats, reference: Floats) -> Floats:
    """Return by how much each cell is better than the reference's, (U, F)."""
    sign = -1.0 if objective in MINIMISED else 1.0
    signed: Floats = sign * (values - reference)
    return signed


def _places(trial: Trial, space: Sequence[Dimension]) -> Floats:
    return np.array([each.position(trial.settings[each.setting]) for each in space])
