"""A hidden Markov model of three market states: fitted on the past around anchors, which give the states names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.types import Bools, Floats
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.em import EmRun, run_em
from trading_platform.regime.features import TREND, VIX, VOLATILITY
from trading_platform.regime.filter import forward_filter, log_densities
from trading_platform.regime.states import ANCHORS, CENTER, DOUBT, N_STATES, SCALE

# A run that stopped at the iteration cap has converged if its last gain is within this many tolerances.
GAIN_TOLERANCES = 10.0
# How far random starts lie from the anchors, in deviations of a state.
START_SPREAD = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class RegimeModel:
    """A fitted model in the order of `LABELS`, of features as `states.CENTER` and `states.SCALE` scale them.

    `start` is (3,), `transition` (3, 3) with rows that sum to 1, `means` and `variances` are (3, F).
    """

    start: Floats
    transition: Floats
    means: Floats
    variances: Floats


Fitted = tuple[RegimeModel | None, str | None]  # a model, or why there is none


def fit_model(window: Floats, config: RegimeConfig, seed: int) -> Fitted:
    """Fit a model on raw features (n, F); return it, or None with the reason why there is none."""
    usable = window[np.isfinite(window).all(axis=1)]
    if len(usable) < config.fit_window // 2:
        return None, f"{len(usable)} usable sessions, {config.fit_window // 2} needed"
    if not bool((usable.std(axis=0) > 1e-12).all()):  # rounding is not movement
        return None, "a feature does not move"
    values = scaled(usable)
    rng = np.random.default_rng(seed)
    spread = [0.0, *[START_SPREAD] * (config.restarts - 1)]
    starts = (ANCHORS + deviation * rng.standard_normal(ANCHORS.shape) for deviation in spread)
    temper = float(config.feature_window)
    runs = [run_em(values, start, ANCHORS, temper, config.iterations, config.tolerance) for start in starts]
    best = max((run for run in runs if _converged(run, config)), key=lambda run: run.history[-1], default=None)
    if best is None:
        return None, "no start of the EM algorithm converged"
    if not in_order(best.means):
        return None, "bear is no longer the most afraid state, or bull the calmest"
    return RegimeModel(best.start, best.transition, best.means, best.variances), None


def scaled(features: Floats) -> Floats:
    """Return raw features (n, F) in deviations of a state from consolidation's anchor."""
    return (features - CENTER) / SCALE


def in_order(means: Floats) -> bool:
    """Return whether states with these means (3, F) deserve their names, which are those of their anchors."""
    bull, bear, between = means
    fear = [VOLATILITY, VIX]
    calmest, falling = (bull < between)[fear].all(), bear[TREND] < min(bull[TREND], between[TREND])
    return bool(calmest and falling and (between < bear)[fear].all())


def filter_regimes(features: Floats, usable: Bools, model: RegimeModel, temper: float) -> Floats:
    """Return filtered probabilities (T, 3) of raw features (T, F); rows that are not `usable` (T,) teach nothing.

    `temper` is how many sessions count as one observation. Probabilities lie inside (0, 1).
    """
    densities = log_densities(scaled(features), model.means, model.variances) / temper
    filtered = forward_filter(np.where(usable[:, None], densities, 0.0), model.start, model.transition)
    return (1.0 - DOUBT) * filtered + DOUBT / N_STATES


def _converged(run: EmRun, config: RegimeConfig) -> bool:
    """Return whether the last gain is small: hmmlearn calls a run that stopped at the iteration cap converged."""
    return len(run.history) > 1 and run.history[-1] - run.history[-2] < GAIN_TOLERANCES * config.tolerance
