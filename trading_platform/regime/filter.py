"""Forward filter of a Gaussian hidden Markov model: state probabilities given the past and the present only."""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.types import Floats


def log_densities(values: Floats, means: Floats, variances: Floats) -> Floats:
    """Return log N(values[t]; means[k], diag(variances[k])), (T, K), for values (T, F)."""
    distance = (values[:, None, :] - means[None]) ** 2 / variances[None]
    constant = values.shape[1] * math.log(2.0 * math.pi) + np.log(variances).sum(axis=1)
    total: Floats = -0.5 * (distance.sum(axis=2) + constant[None])
    return total


def forward_filter(densities: Floats, start: Floats, transition: Floats) -> Floats:
    """Return P(state at t | observations up to t), (T, K).

    The scaled forward recursion (Rabiner 1989, "A Tutorial on Hidden Markov Models", eq. 19-20 with scaling, section
    V.A). Smoothed probabilities, which `predict_proba` of most libraries gives, would look ahead.

    Parameters
    ----------
    densities : (T, K) log densities of the observations. start : (K,), transition : (K, K), rows sum to 1.
    """
    # numpy's exponential here and not a compiled one in the loop: the two may differ in the last bit
    likelihoods: Floats = np.exp(densities - densities.max(axis=1, keepdims=True))
    filtered: Floats = np.empty_like(likelihoods)
    _recur(likelihoods, start, transition, filtered)
    return filtered


@lean
def weigh(likelihoods: Floats, start: Floats, transition: Floats, states: Floats, t: int) -> float:
    """Fill row `t` of `states` (T, K), whose row before is known, with prior times likelihood; return its sum.

    One step of the forward recursion, before the row is divided by its sum: `likelihoods` (T, K), `start` (K,),
    `transition` (K, K).
    """
    total = 0.0
    for j in range(len(start)):
        prior = start[j]
        if t > 0:
            prior = 0.0
            for i in range(len(start)):
                prior += states[t - 1, i] * transition[i, j]
        states[t, j] = prior * likelihoods[t, j]
        total += states[t, j]
    return total


@lean
def _recur(likelihoods: Floats, start: Floats, transition: Floats, filtered: Floats) -> None:
    n, k = likelihoods.shape
    for t in range(n):
        total = weigh(likelihoods, start, transition, filtered, t)
        for j in range(k):
            # a state that no transition reaches, far from every mean: nothing was learned from this row
            filtered[t, j] = filtered[t, j] / total if total > 0.0 else 1.0 / k
