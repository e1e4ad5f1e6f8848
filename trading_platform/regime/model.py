"""A Gaussian hidden Markov model of three market states: fit on the past, states named by a stable rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.types import Bools, Floats, Regime
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.features import RETURN, VIX, VOLATILITY
from trading_platform.regime.filter import forward_filter, log_densities

N_STATES = 3
LABELS = (Regime.BULL, Regime.BEAR, Regime.CONSOLIDATION)
# Of z-scores; a smaller variance is a state that has collapsed on a few days.
MIN_VARIANCE = 1e-3
# What EM starts from: states that last fifty sessions, about a quarter.
STAY = 0.96
# A run that stopped at the iteration cap has converged if its last gain is within this many tolerances.
GAIN_TOLERANCES = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class RegimeModel:
    """A fitted model in the order of `LABELS`: (F,) center and scale of raw features, moments of z-scored ones.

    `start` is (3,), `transition` (3, 3) with rows that sum to 1, `means` and `variances` are (3, F).
    """

    center: Floats
    scale: Floats
    start: Floats
    transition: Floats
    means: Floats
    variances: Floats


Fitted = tuple[RegimeModel | None, str | None]  # a model, or why there is none


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """One run of the EM algorithm."""

    log_likelihood: float
    start: Floats
    transition: Floats
    means: Floats
    variances: Floats


def fit_model(window: Floats, config: RegimeConfig, seed: int) -> Fitted:
    """Fit a model on raw features (n, F); return it, or None with the reason why there is none.

    The features are z-scored by the window's own moments: hmmlearn's priors suit such numbers and distort raw returns.
    """
    usable = window[np.isfinite(window).all(axis=1)]
    if len(usable) < config.fit_window // 2:
        return None, f"{len(usable)} usable sessions, {config.fit_window // 2} needed"
    center, scale = usable.mean(axis=0), usable.std(axis=0)
    if not bool((scale > 1e-12).all()):  # rounding is not movement
        return None, "a feature does not move"
    values = (usable - center) / scale
    rng = np.random.default_rng(seed)
    runs = (_run_em(values, _initial_means(values, attempt, rng), config) for attempt in range(config.restarts))
    best = max((run for run in runs if run is not None), key=lambda run: run.log_likelihood, default=None)
    if best is None:
        return None, "no start of the EM algorithm converged with every state in use"
    order = label_order(best.means)
    transition = np.ascontiguousarray(best.transition[np.ix_(order, order)])
    return RegimeModel(center, scale, best.start[order], transition, best.means[order], best.variances[order]), None


def label_order(means: Floats) -> list[int]:
    """Return the state numbers of bull, bear and consolidation from the states' mean features (3, F).

    By mean log VIX: the lowest is bull, the highest bear. Which state a fit calls 0 is chance, and mean returns are too
    noisy to order states by: with VIX, the labels before and after a refit agree on 86 % of the quarter before it on
    real data (2002-2017), with returns for two of the three on 77 %. Bull has the highest return of the three
    all the same, and bear the lowest.
    """
    calm, middle, afraid = (int(k) for k in np.argsort(means[:, VIX], kind="stable"))
    return [calm, afraid, middle]


def filter_regimes(features: Floats, usable: Bools, model: RegimeModel) -> Floats:
    """Return filtered probabilities (T, 3) of raw features (T, F); rows that are not `usable` (T,) teach nothing."""
    values = (features - model.center) / model.scale
    densities = np.where(usable[:, None], log_densities(values, model.means, model.variances), 0.0)
    return forward_filter(densities, model.start, model.transition)


def _run_em(values: Floats, means: Floats, config: RegimeConfig) -> _Fit | None:
    """Run hmmlearn's EM from `means`; None if it did not converge, or leaves a state nearly unused."""
    from hmmlearn.base import ConvergenceMonitor  # over a second to import, and only fits need it
    from hmmlearn.hmm import GaussianHMM

    class _QuietMonitor(ConvergenceMonitor):  # type: ignore[misc] # the library has no types
        """Keeps the history without logging a warning for a step that loses a rounding error."""

        def report(self, log_prob: float) -> None:
            self.history.append(log_prob)
            self.iter += 1

    model = GaussianHMM(
        N_STATES, covariance_type="diag", n_iter=config.iterations, tol=config.tolerance, init_params="", params="stmc"
    )
    model.startprob_ = np.full(N_STATES, 1.0 / N_STATES)
    leave = (1.0 - STAY) / (N_STATES - 1)
    model.transmat_ = np.full((N_STATES, N_STATES), leave) + (STAY - leave) * np.eye(N_STATES)
    model.means_ = means
    model.covars_ = np.ones_like(means)
    model.monitor_ = _QuietMonitor(config.tolerance, config.iterations, verbose=False)
    model.fit(values)
    history = list(model.monitor_.history)
    # hmmlearn calls a run that stopped at the iteration cap converged: look at the last gain instead
    gain = history[-1] - history[-2] if len(history) > 1 else np.inf
    variances = np.maximum(np.array([np.diag(c) for c in model.covars_]), MIN_VARIANCE)
    filtered = forward_filter(log_densities(values, model.means_, variances), model.startprob_, model.transmat_)
    if not (gain < GAIN_TOLERANCES * config.tolerance and filtered.mean(axis=0).min() >= config.min_occupancy):
        return None
    return _Fit(float(history[-1]), model.startprob_, model.transmat_, model.means_, variances)


def _initial_means(values: Floats, attempt: int, rng: np.random.Generator) -> Floats:
    """Return starting means (3, F): of thirds of the sessions by VIX, by volatility, by return; then random sessions.

    The first wins three times in four, and random ones are often a hundred log units worse.
    """
    if attempt < len((VIX, VOLATILITY, RETURN)):
        order = np.argsort(values[:, (VIX, VOLATILITY, RETURN)[attempt]], kind="stable")
        return np.array([values[part].mean(axis=0) for part in np.array_split(order, N_STATES)])
    return values[rng.choice(len(values), N_STATES, replace=False)]
