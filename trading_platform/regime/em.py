"""The EM algorithm of the regime model: by hmmlearn where it is installed, else by this program's own few lines.

Both climb the same hill: the tempered log likelihood (each session's divided by `temper`) plus the log prior of the
anchors (`states.py`). They differ in the last digits.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.types import Floats
from trading_platform.regime.filter import log_densities, weigh
from trading_platform.regime.states import N_STATES, PRIOR_SESSIONS, prior_transitions

OWN = "own"


@dataclass(frozen=True, slots=True, eq=False)
class EmRun:
    """One run of EM on scaled features: the objective after each step, and the parameters it ended with."""

    history: Sequence[float]
    start: Floats
    transition: Floats
    means: Floats
    variances: Floats


def library() -> str:
    """Return what makes the fits, with its version: hmmlearn's last digits are not ours, nor those of the next one."""
    try:
        return f"hmmlearn {version('hmmlearn')}" if _has_hmmlearn() else OWN
    except PackageNotFoundError:  # a copy without metadata
        return "hmmlearn"


def run_em(values: Floats, means: Floats, anchors: Floats, temper: float, iterations: int, tolerance: float) -> EmRun:
    """Run EM on scaled features (n, F) from `means` (3, F), until a step gains less than `tolerance`.

    `anchors` (3, F) are the prior's means; `temper` is how many sessions count as one observation.
    """
    run = run_hmmlearn if _has_hmmlearn() else run_own
    return run(values, means, anchors, temper, iterations, tolerance)


def _has_hmmlearn() -> bool:
    try:
        import hmmlearn  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def run_hmmlearn(
    values: Floats, means: Floats, anchors: Floats, temper: float, iterations: int, tolerance: float
) -> EmRun:
    """See `run_em`; by hmmlearn, whose E step is given tempered log likelihoods."""
    with warnings.catch_warnings():  # a container without semaphores: joblib says that it will not start processes
        warnings.filterwarnings("ignore", "(?s).*joblib will operate in serial mode", UserWarning)
        from hmmlearn.base import ConvergenceMonitor  # over a second to import, and only fits need it
        from hmmlearn.hmm import GaussianHMM

    class _QuietMonitor(ConvergenceMonitor):  # type: ignore[misc] # the library has no types
        """Keeps the history without logging a warning for a step that loses a rounding error."""

        def report(self, log_prob: float) -> None:
            self.history.append(log_prob)
            self.iter += 1

    class _Tempered(GaussianHMM):  # type: ignore[misc]
        def _compute_log_likelihood(self, values: Floats) -> Any:
            return super()._compute_log_likelihood(values) / temper

        def _compute_lower_bound(self, curr_logprob: float) -> float:
            return curr_logprob + log_prior(self.transmat_, self.means_, self._covars_, anchors, temper)

    model = _Tempered(
        N_STATES,
        covariance_type="diag",
        n_iter=iterations,
        tol=tolerance,
        init_params="",
        params="stmc",
        transmat_prior=1.0 + prior_transitions(),
        means_prior=anchors,
        means_weight=PRIOR_SESSIONS,
        covars_prior=PRIOR_SESSIONS,
        covars_weight=1.0 + PRIOR_SESSIONS,
    )
    model.startprob_, model.transmat_ = _first_guess()
    model.means_, model.covars_ = means, np.ones_like(means)
    model.monitor_ = _QuietMonitor(tolerance, iterations, verbose=False)
    model.fit(values)
    return EmRun(list(model.monitor_.history), model.startprob_, model.transmat_, model.means_, model._covars_)


def run_own(values: Floats, means: Floats, anchors: Floats, temper: float, iterations: int, tolerance: float) -> EmRun:
    """See `run_em`; by the forward and backward recursions (Rabiner 1989, section V.A) and the same M step."""
    start, transition = _first_guess()
    variances = np.ones_like(means)
    prior = prior_transitions()
    history: list[float] = []
    for _ in range(iterations):
        densities = log_densities(values, means, variances) / temper
        highest = densities.max(axis=1, keepdims=True)
        posterior, moves = np.empty_like(densities), np.zeros((N_STATES, N_STATES))
        scales = np.empty(len(values))
        _expect(np.exp(densities - highest), start, transition, posterior, moves, scales)
        history.append(
            float(np.log(scales).sum() + highest.sum()) + log_prior(transition, means, variances, anchors, temper)
        )
        start = posterior[0] / posterior[0].sum()
        transition = (prior + moves) / (prior + moves).sum(axis=1, keepdims=True)
        weight = posterior.sum(axis=0)[:, None]
        means = (PRIOR_SESSIONS * anchors + posterior.T @ values) / (PRIOR_SESSIONS + weight)
        spread = np.einsum("tk,tkf->kf", posterior, (values[:, None, :] - means[None]) ** 2)
        variances = (PRIOR_SESSIONS * (1.0 + (means - anchors) ** 2) + spread) / (PRIOR_SESSIONS + weight)
        if len(history) > 1 and history[-1] - history[-2] < tolerance:
            break
    return EmRun(history, start, transition, means, variances)


def log_prior(transition: Floats, means: Floats, variances: Floats, anchors: Floats, temper: float) -> float:
    """Return the log prior, but for a constant, of `transition` (3, 3) and moments (3, F), tempered as data."""
    moments = np.log(variances) + (1.0 + (means - anchors) ** 2) / variances
    return float((prior_transitions() * np.log(transition)).sum() - 0.5 * PRIOR_SESSIONS / temper * moments.sum())


def _first_guess() -> tuple[Floats, Floats]:
    return np.full(N_STATES, 1.0 / N_STATES), prior_transitions() / PRIOR_SESSIONS


@lean
def _expect(
    likelihoods: Floats, start: Floats, transition: Floats, posterior: Floats, moves: Floats, scales: Floats
) -> None:
    """Fill `posterior` (n, K) with P(state at t | all), `moves` (K, K) with expected transitions, `scales` (n,).

    The logarithms of `scales` sum to the log likelihood of `likelihoods` (n, K). Backward factors take the place of
    likelihoods that are done with.
    """
    n, k = likelihoods.shape
    for t in range(n):
        total = weigh(likelihoods, start, transition, posterior, t)
        scales[t] = total
        for j in range(k):
            posterior[t, j] /= total
    # From here `likelihoods[t]` is b_j(t) beta_j(t) / scale(t), what the step before it needs of it.
    for j in range(k):
        likelihoods[n - 1, j] /= scales[n - 1]
    for t in range(n - 2, -1, -1):
        for i in range(k):
            beta = 0.0
            for j in range(k):
                step = transition[i, j] * likelihoods[t + 1, j]
                moves[i, j] += posterior[t, i] * step
                beta += step
            posterior[t, i] *= beta
            likelihoods[t, i] *= beta / scales[t]
