"""The yardstick: the same policy by direct gradient, in seconds and without noise, on what strategies' books earned.

Reinforcement learning finds its gradient by trying things out. Here it is known: with w(t) the weights that a policy
gives at close t and R(t+1) what each strategy's shadow book earned in the next session, the split earns w(t) R(t+1).
What that leaves out is what the books do to each other (slots, limits, netting); the judgement has it all. A strategy
alone cannot fill an account that allows 5 % a name, so its book moves less than what it adds to the whole: returns are
brought to the volatility of the base book, else costs would weigh four times as much as they do. The aim is one of
two, times 100, over all sessions of the training window, mean over the universes:

``risk``:   1/2 - (A/2 E[(w R')^2] + c E[turnover]) / (A E[(b R')^2]), with R' less each strategy's mean, A of
            `core.rewards`: the utility of its rewards in units of the base's risk; 5 is a tenth less variance
``return``: Sharpe(w R) - Sharpe(b R) - sqrt(252) c E[turnover] / sd(b R)

less `ridge` x the squared size of all weights; b are the base's weights and c the cost of a dollar traded. Turnover is
that of the weights. Solved by L-BFGS from zero, where the policy acts as its base.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.policy import Network, Scaling, scaled_features
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.published_rules import BOUNDS as RULE_BOUNDS
from trading_platform.core.rewards import UTILITY_AVERSION
from trading_platform.core.served_policy import rule_places
from trading_platform.core.sleeve_scorer import sleeve_inputs
from trading_platform.core.types import Floats, Ints
from trading_platform.training.ppo import FitResult, Look
from trading_platform.training.sb3_models import Scorer, plain_network
from trading_platform.training.setup import TrainingSetup

MOST_ITERATIONS = 200
PERCENT = 100.0
# The corner of |x|, so that turnover has a gradient: a hundredth of a percent of the book.
CORNER = 1e-4
# Books that never moved have no risk to speak of, and nothing to divide by.
LEAST_SQUARES, LEAST_DEVIATION = 1e-12, 1e-8


class Sample(NamedTuple):
    """One universe: `inputs` of the network (n K, I) or (n, F), and `returns` (n, K) of the sessions after them.

    `start` (n, K) : weights, not yet brought to a sum of 1, of a policy without an opinion: the base, or what published
    rules make of it.
    """

    inputs: Floats
    returns: Floats
    start: Floats


class Aim(NamedTuple):
    """What is sought: see the module. `base` (K,), `scale` of the softmax map, `cost` of a dollar traded."""

    objective: str
    base: Floats
    scale: float
    cost: float
    ridge: float


def fit_gradient(
    worlds: Sequence[tuple[PreparedMarket, Floats, range]],
    base: Floats,
    scaling: Scaling,
    scorer: Scorer | None,
    setup: TrainingSetup,
    seed: int,
    score: Callable[[Network], float],
    on_look: Callable[[Look], None] | None = None,
) -> FitResult:
    """Return the policy that does best in `worlds`, each a market, its observations (T, D) and the rows to learn from.

    `seed` draws the first weights of hidden layers; without any, every seed gives the same policy. The one look at the
    validation slice chooses nothing.
    """
    places = rule_places(worlds[0][0].schema) if setup.on_rules else None
    samples = [sample_of(world, seen, rows, scaling, scorer, base, places) for world, seen, rows in worlds]
    aim = Aim(setup.aim, base, setup.action_scale, setup.cost_bps * BASIS_POINT, setup.ridge)
    outputs = 1 if scorer is not None else len(base)
    shapes = layer_shapes(samples[0].inputs.shape[1], setup.hidden, outputs)
    start = first_weights(shapes, seed)
    found = minimize(
        loss, start, (samples, shapes, aim), jac=True, method="L-BFGS-B", options={"maxiter": MOST_ITERATIONS}
    )
    still = np.zeros_like(start)
    # never worse than no opinion
    better = np.isfinite(found.x).all() and found.fun <= loss(still, samples, shapes, aim)[0]
    best = found.x if better else still
    kernels, biases = layers_of(best, shapes)
    network = plain_network(kernels, biases, scorer)
    look = Look(setup.episodes, score(network), -float(found.fun))
    if on_look is not None:
        on_look(look)
    return FitResult(network, (look,), 0, int(found.nfev) * sum(len(sample.returns) for sample in samples))


def sample_of(
    world: PreparedMarket,
    seen: Floats,
    rows: range,
    scaling: Scaling,
    scorer: Scorer | None,
    base: Floats,
    places: Ints | None = None,
) -> Sample:
    """Return what the network reads at closes `rows` and what each strategy earned in the session after.

    `places` (K,) of what published rules say in the observation, where they multiply the `base` (K,).
    """
    decided = np.arange(rows.start, rows.stop - 1)
    returns = world.strategy_returns[decided + 1]
    known = np.isfinite(returns).all(axis=1)
    features = scaled_features(seen[decided[known]], scaling)
    start = np.tile(base, (len(features), 1))
    if places is not None:
        start = start * np.exp(np.clip(np.nan_to_num(seen[decided[known]][:, places]), *RULE_BOUNDS))
    returns = returns[known] * _size(returns[known] @ world.base, world.base_returns[decided[known] + 1])
    if scorer is None:
        return Sample(features, returns, start)
    inputs = sleeve_inputs(features, scorer.layout) - scorer.centres
    return Sample(inputs.reshape(-1, inputs.shape[-1]), returns, start)


def _size(alone: Floats, whole: Floats) -> float:
    """Return how much more the base book moved than the mean of the books alone did; 1 where neither can be said."""
    if len(alone) < 2 or not (alone.std() > LEAST_DEVIATION and whole.std() > LEAST_DEVIATION):
        return 1.0
    return float(whole.std() / alone.std())


Shapes = tuple[tuple[int, int], ...]


def layer_shapes(inputs: int, hidden: Sequence[int], outputs: int) -> Shapes:
    """Return (inputs, outputs) of each layer."""
    widths = (inputs, *hidden, outputs)
    return tuple(pairwise(widths))


def first_weights(shapes: Shapes, seed: int) -> Floats:
    """Return all weights as one vector: small random ones in hidden layers, zero in the last."""
    rng = np.random.default_rng(seed)
    parts = []
    for layer, (before, after) in enumerate(shapes):
        is_last = layer == len(shapes) - 1
        parts.append(np.zeros(before * after) if is_last else rng.normal(size=before * after) / np.sqrt(before))
        parts.append(np.zeros(after))
    return np.concatenate(parts)


def layers_of(weights: Floats, shapes: Shapes) -> tuple[list[Floats], list[Floats]]:
    """Return kernels and biases of each layer from the vector of all weights."""
    kernels, biases, at = [], [], 0
    for before, after in shapes:
        kernels.append(weights[at : at + before * after].reshape(before, after))
        at += before * after
        biases.append(weights[at : at + after])
        at += after
    return kernels, biases


def loss(weights: Floats, samples: Sequence[Sample], shapes: Shapes, aim: Aim) -> tuple[float, Floats]:
    """Return (minus the aim, its gradient) at the network's `weights`."""
    kernels, biases = layers_of(weights, shapes)
    value, gradient = 0.0, np.zeros_like(weights)
    for sample in samples:
        activations = _forward(sample.inputs, kernels, biases)
        scores = activations[-1].reshape(sample.returns.shape)
        gained, wish = aim_of(scores, sample, aim)
        value += gained / len(samples)
        gradient += _backward(wish.reshape(activations[-1].shape) / len(samples), activations, kernels)
    value -= aim.ridge * float(weights @ weights)
    gradient -= 2.0 * aim.ridge * weights
    return -value, -gradient


def aim_of(scores: Floats, sample: Sample, aim: Aim) -> tuple[float, Floats]:
    """Return the aim of `scores` (n, K), clipped to [-1, 1] as in service, and its gradient in them, (n, K)."""
    opinions = np.clip(scores, -1.0, 1.0)
    raw = sample.start * np.exp(aim.scale * opinions)
    split = raw / raw.sum(axis=1, keepdims=True)
    score = _risk if aim.objective == "risk" else _sharpe
    value, wish = score(split, sample.returns, aim)
    # softmax, then the clip, which passes nothing on from where it holds
    pull = split * (wish - (split * wish).sum(axis=1, keepdims=True)) * aim.scale
    return value, np.where(np.abs(scores) < 1.0, pull, 0.0)


def _risk(split: Floats, returns: Floats, aim: Aim) -> tuple[float, Floats]:
    centred = returns - returns.mean(axis=0)
    mine, others = (split * centred).sum(axis=1), centred @ aim.base
    unit = PERCENT / max(UTILITY_AVERSION * float((others**2).sum()), LEAST_SQUARES)
    turned, pull = _turnover(split)
    value = 0.5 * UTILITY_AVERSION * float((others**2).sum() - (mine**2).sum()) - aim.cost * turned
    wish = -UTILITY_AVERSION * mine[:, None] * centred - aim.cost * pull
    return value * unit, wish * unit


def _sharpe(split: Floats, returns: Floats, aim: Aim) -> tuple[float, Floats]:
    mine, others = (split * returns).sum(axis=1), returns @ aim.base
    count, year = len(returns), np.sqrt(ANNUAL_SESSIONS)
    mean, deviation = mine.mean(), max(float(mine.std()), LEAST_DEVIATION)
    usual = max(float(others.std()), LEAST_DEVIATION)
    turned, pull = _turnover(split)
    price = aim.cost * year / (count * usual)
    value = year * (mean / deviation - others.mean() / usual) - price * turned
    change = year / count * (1.0 / deviation - mean * (mine - mean) / deviation**3)
    return float(PERCENT * value), PERCENT * (change[:, None] * returns - price * pull)


def _turnover(split: Floats) -> tuple[float, Floats]:
    """Return the dollars traded per dollar of the book, summed over sessions, and the gradient in the weights."""
    steps = np.diff(split, axis=0)
    size = np.sqrt(steps**2 + CORNER**2)
    slope, pull = steps / size, np.zeros_like(split)
    pull[1:] += slope
    pull[:-1] -= slope
    return float((size - CORNER).sum()), pull


def _forward(inputs: Floats, kernels: Sequence[Floats], biases: Sequence[Floats]) -> list[Floats]:
    """Return the inputs of each layer and the last one's outputs."""
    values = [inputs]
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        outputs = values[-1] @ kernel + bias
        values.append(np.tanh(outputs) if layer < len(kernels) - 1 else outputs)
    return values


def _backward(wish: Floats, activations: Sequence[Floats], kernels: Sequence[Floats]) -> Floats:
    """Return the gradient in all weights from that in the outputs."""
    parts: list[Floats] = []
    for layer in range(len(kernels) - 1, -1, -1):
        before = activations[layer]
        parts = [(before.T @ wish).ravel(), wish.sum(axis=0), *parts]
        if layer:
            wish = (wish @ kernels[layer].T) * (1.0 - before**2)
    return np.concatenate(parts)
