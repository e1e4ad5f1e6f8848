"""Are probabilities worth what they say: scores, reliability, forecasts fitted on the past, falls in hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trading_platform.core.types import Bools, Floats

NEWTON_STEPS = 25
# Of standardised inputs: one unit of a coefficient squared costs half a nat, nothing beside hundreds of sessions.
RIDGE = 1.0


class Bin(NamedTuple):
    """Sessions whose probability was in [low, high): their number, mean probability, and share that happened."""

    low: float
    high: float
    sessions: int
    mean: float
    happened: float


class Falls(NamedTuple):
    """Sessions of a fall (T,), from the one after its high to its low; `settled` is the first row not known yet."""

    falling: Bools
    settled: int


def log_scores(probabilities: Floats, happened: Bools) -> Floats:
    """Return minus the log of the probability of what happened, in nats, (n,): lower is better."""
    scores: Floats = -np.log(np.where(happened, probabilities, 1.0 - probabilities))
    return scores


def reliability(probabilities: Floats, happened: Bools, edges: Sequence[float]) -> tuple[Bin, ...]:
    """Return one bin for each pair of neighbouring `edges`; the last edge belongs to the last bin. NaN where empty.

    `probabilities` (n,) were told, `happened` (n,) is what came.
    """
    place = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, len(edges) - 2)
    bins = []
    for number in range(len(edges) - 1):
        inside = place == number
        count = int(inside.sum())
        mean, share = (float(x[inside].mean()) if count else np.nan for x in (probabilities, happened))
        bins.append(Bin(edges[number], edges[number + 1], count, mean, share))
    return tuple(bins)


def falls(close: Floats, size: float) -> Falls:
    """Date falls of `size` (a fraction) or more in `close` (T,), from a high to the low before a rise of `size`.

    Looks at the future by intent. The leg that the last row lies in is settled up to its own extreme so far.
    """
    falling: Bools = np.zeros(len(close), dtype=np.bool_)
    down, extreme = False, 0
    for row in range(1, len(close)):
        falls_on = close[row] < close[extreme] if down else close[row] <= close[extreme] * (1.0 - size)
        rises_on = close[row] >= close[extreme] * (1.0 + size) if down else close[row] > close[extreme]
        if falls_on:
            falling[extreme + 1 : row + 1] = True
        if falls_on or rises_on:
            down, extreme = falls_on, row
    return Falls(falling, extreme + 1)


def fit_logistic(inputs: Floats, happened: Bools) -> Floats:
    """Return coefficients (F + 1,), constant first, of a logistic regression on `inputs` (n, F), by Newton's method.

    Inputs are standardised inside for the ridge, which keeps coefficients finite where the inputs separate the classes.
    """
    center, scale = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-12)
    design = np.column_stack([np.ones(len(inputs)), (inputs - center) / scale])
    penalty = RIDGE * np.eye(design.shape[1])
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = _logistic(design @ beta)
        slope = design.T @ (happened - chance) - penalty @ beta
        curvature = (design * (chance * (1.0 - chance))[:, None]).T @ design + penalty
        beta = beta + np.linalg.solve(curvature, slope)
    raw: Floats = beta[1:] / scale
    return np.concatenate([[beta[0] - raw @ center], raw])


def logistic_chances(inputs: Floats, coefficients: Floats) -> Floats:
    """Return the probabilities (n,) that `fit_logistic`'s coefficients give to `inputs` (n, F)."""
    return _logistic(coefficients[0] + inputs @ coefficients[1:])


def first_run(flags: Bools, length: int, start: int) -> int | None:
    """Return the first row of `flags` (T,) from `start` on at which `length` true ones begin; None = nowhere."""
    for row in range(start, len(flags) - length + 1):
        if flags[row : row + length].all():
            return row
    return None


def _logistic(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -30.0, 30.0)))
