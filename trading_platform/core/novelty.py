"""What is new to a model: values of the observation that its training never came near.

Asked far outside what it has seen, a network answers anything. How far is far depends on what a field is, and its
`bounds` in the observation's schema say so:

* between two finite bounds, such as a probability or a share, nothing is new: a bear market of probability 1 is what
  the field is for;
* where 0 is the least (a level, a ratio, a volatility), distance is in factors: new is what lies outside the range of
  training by more than half of that range in logarithms, and by more than a factor of 2;
* otherwise (a return, a distance from a mean) new is what lies outside the range of training by more than that range.

What a field cannot be at all, such as a probability of 2, is a broken feed and never asked about.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trading_platform.core.observation import ObservationSchema
from trading_platform.core.policy import Scaling
from trading_platform.core.types import Bools, Floats, Ints

# The share of features that may be new before the policy is not asked. One extreme reading is a market event and is
# clipped; a quarter of them is another market, another unit or a broken feed.
MOST_NEW = 0.25
# Observations are float32: a share of exactly 1 may arrive a hair above it.
ROUNDING = 1e-6
LEAST_FACTOR = 2.0
# A model of a version that did not note the range of its training: three deviations on both sides of the mean.
ASSUMED_DEVIATIONS = 3.0


class Reach(NamedTuple):
    """How far a model's features may go, each (F,): what can be at all, and outside of what a value is new."""

    least: Floats
    most: Floats
    low: Floats
    high: Floats


def reach_of(schema: ObservationSchema, scaling: Scaling) -> Reach:
    """Return the reach of the features that `scaling` reads of observations of `schema`."""
    lows, highs = _seen(scaling)
    bounds = [schema[int(position)].bounds for position in scaling.index]
    least, most = np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])
    known = [_range(*args) for args in zip(bounds, lows.tolist(), highs.tolist(), strict=True)]
    low, high = np.array([low for low, _ in known]), np.array([high for _, high in known])
    moved = scaling.gain > 0.0  # what did not move in training is not looked at
    return Reach(least, most, np.where(moved, low, -np.inf), np.where(moved, high, np.inf))


def unbounded_reach(schema: ObservationSchema, index: Ints) -> Reach:
    """Return the reach of entries at `index` (F,) to which nothing is new that can be."""
    bounds = [schema[int(position)].bounds for position in index]
    least, most = np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])
    return Reach(least, most, np.full(len(index), -np.inf), np.full(len(index), np.inf))


def new_features(observations: Floats, index: Ints, reach: Reach) -> Bools:
    """Return which features, (..., F), of observations (..., D) are new; an unknown one is."""
    values = observations[..., index]
    new: Bools = ~((values >= reach.low) & (values <= reach.high))
    return new


def impossible_features(observations: Floats, index: Ints, reach: Reach) -> Bools:
    """Return which features, (..., F), of observations (..., D) cannot be."""
    values = observations[..., index]
    wrong: Bools = (values < reach.least - ROUNDING) | (values > reach.most + ROUNDING)
    return wrong


def _seen(scaling: Scaling) -> tuple[Floats, Floats]:
    if len(scaling.low):
        return scaling.low, scaling.high
    moved = scaling.gain > 0.0
    spread = np.where(moved, ASSUMED_DEVIATIONS / np.where(moved, scaling.gain, 1.0), 0.0)
    return scaling.mean - spread, scaling.mean + spread


def _range(bounds: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    """Return outside of what a value is new, for a feature that went from `low` to `high` in training."""
    least, most = bounds
    if math.isfinite(least) and math.isfinite(most):
        return -math.inf, math.inf
    if least != 0.0:
        return low - (high - low), high + (high - low)
    if not (low > 0.0):
        return -math.inf, high * LEAST_FACTOR
    factor = max(LEAST_FACTOR, math.sqrt(high / low))
    return low / factor, high * factor
