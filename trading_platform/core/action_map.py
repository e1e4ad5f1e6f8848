"""From an agent's action to capital weights: one map for training, evaluation and live trading.

An action is a vector in the box [0, 1]^K. 0.5 everywhere is "no opinion" and answers the base weights, bit for bit;
`scale` c says how far from the base an opinion may go:

* ``softmax``: w_k proportional to base_k exp(c (2 a_k - 1)). Every weight stays positive; with c = 1 the odds of two
  strategies move by a factor of e^4 at most.
* ``sparsemax``: the nearest point of the simplex to base + c (2 a - 1) (Martins & Astudillo 2016). Weights can be 0.
* ``proportional``: w = a / sum(a), the plain reading of the box: equal weight for equal entries, all zeros included.
  `base` and `scale` have no effect.

`threshold` makes small weights exactly zero, so that the strategy's signals are skipped: a strategy leaves below the
threshold, and comes back only above 1.5 times the threshold, so that it does not flicker.
"""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.compiled import lean
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats

ACTION_KINDS = ("softmax", "sparsemax", "proportional")
SOFTMAX, SPARSEMAX, PROPORTIONAL = range(3)
RETURN_FACTOR = 1.5
SUM_NOISE = 1e-9  # by which weights that should sum to 1 may miss it: rounding, and no more


class BadActionError(FixConfigError, ValueError):
    """An action cannot be carried out: send finite floats in [0, 1], one a strategy."""


def checked_actions(actions: object, shape: tuple[int, ...]) -> Floats:
    """Return `actions` as a new float64 array of `shape`, (E, K) for E books of K strategies.

    Raises
    ------
    BadActionError
        Wrong shape or dtype, NaN, infinity, outside the box.
    """
    array = np.asarray(actions)
    if array.dtype.kind != "f":
        raise BadActionError(f"actions must be floats in [0, 1], were of dtype {array.dtype}; pass float32 or float64")
    if array.shape != shape:
        raise BadActionError(f"actions must have shape {shape}, one number a strategy, had {array.shape}")
    values = array.astype(np.float64)
    if not (values.size == 0 or (values.min() >= 0.0 and values.max() <= 1.0)):  # NaN fails both
        bad = values[~((values >= 0.0) & (values <= 1.0))][0]
        raise BadActionError(f"actions must be in [0, 1], one was {bad}; clip them, or mend the policy that sent it")
    return values


def check_map(base: Floats, scale: float, kind: str) -> None:
    """Refuse a map, with base weights (K,), that cannot work.

    Raises
    ------
    FixConfigError
        Unknown kind, scale not positive, or base weights that are negative or do not sum to 1.
    """
    if kind not in ACTION_KINDS:
        raise FixConfigError(f"action kind must be one of {', '.join(ACTION_KINDS)}, was {kind!r}")
    if not (0.0 < scale < math.inf):
        raise FixConfigError(f"action scale must be positive and finite, was {scale!r}")
    if base.ndim != 1 or not (np.all(base >= 0.0) and abs(float(base.sum()) - 1.0) <= SUM_NOISE):
        raise FixConfigError(f"base weights must be >= 0 and sum to 1, were {base}")


@lean
def map_actions(
    actions: Floats, base: Floats, scale: float, kind: int, threshold: float, previous: Floats, weights: Floats
) -> None:
    """Fill `weights` (E, K) from checked `actions` (E, K); `previous` (E, K) matters with a threshold only."""
    for e in range(len(actions)):
        row = weights[e]
        if kind == SOFTMAX:
            softmax_weights(actions[e], base, scale, row)
        elif kind == SPARSEMAX:
            sparsemax_weights(actions[e], base, scale, row)
        else:
            proportional_weights(actions[e], row)
        if threshold > 0.0:
            drop_small(row, previous[e], threshold)


@lean
def is_flat(action: Floats) -> bool:
    """Return True if all entries of `action` (K,) are equal: no strategy is preferred to another."""
    for k in range(1, len(action)):  # noqa: SIM110 - a generator does not compile
        if action[k] != action[0]:
            return False
    return True


@lean
def softmax_weights(action: Floats, base: Floats, scale: float, weights: Floats) -> None:
    """Fill `weights` (K,) with `base` tilted by the exponential of the opinions."""
    total = 0.0
    for k in range(len(base)):
        weights[k] = base[k] * math.exp(scale * (2.0 * action[k] - 1.0))
        total += weights[k]
    flat = is_flat(action)
    for k in range(len(base)):
        weights[k] = base[k] if flat else weights[k] / total


@lean
def sparsemax_weights(action: Floats, base: Floats, scale: float, weights: Floats) -> None:
    """Fill `weights` (K,) with base + opinions projected on the simplex.

    What falls below the common shift is dropped until nothing does (Martins and Astudillo 2016, "From Softmax to
    Sparsemax", algorithm 1, without the sorting).
    """
    flat = is_flat(action)
    for k in range(len(base)):
        weights[k] = base[k] if flat else base[k] + scale * (2.0 * action[k] - 1.0)
    for _ in range(0 if flat else len(base)):
        total = 0.0
        count = 0
        for k in range(len(base)):
            if weights[k] > -math.inf:
                total += weights[k]
                count += 1
        shift = (total - 1.0) / count
        dropped = False
        for k in range(len(base)):
            if weights[k] > -math.inf and weights[k] <= shift:
                weights[k] = -math.inf
                dropped = True
        if not dropped:
            for k in range(len(base)):
                weights[k] = max(0.0, weights[k] - shift)
            return


@lean
def proportional_weights(action: Floats, weights: Floats) -> None:
    """Fill `weights` (K,) with the action divided by its sum."""
    total = 0.0
    for k in range(len(action)):
        total += action[k]
    flat = is_flat(action)
    for k in range(len(action)):
        weights[k] = 1.0 / len(action) if flat else action[k] / total


@lean
def drop_small(weights: Floats, previous: Floats, threshold: float) -> None:
    """Set small `weights` (K,) to zero and share what they had in proportion; all stay when all are small."""
    total = 0.0
    for k in range(len(weights)):
        limit = threshold if previous[k] > 0.0 else threshold * RETURN_FACTOR
        if not (weights[k] < limit):
            total += weights[k]
    if not (total > 0.0):
        return
    for k in range(len(weights)):
        limit = threshold if previous[k] > 0.0 else threshold * RETURN_FACTOR
        weights[k] = 0.0 if weights[k] < limit else weights[k] / total
