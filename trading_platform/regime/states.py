"""What the three states are by definition: the anchors of every fit, in round numbers (reasons: docs/regime.md)."""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats, Regime
from trading_platform.regime.features import AT_THE_HIGH

N_STATES = 3
LABELS = (Regime.BULL, Regime.BEAR, Regime.CONSOLIDATION)

# What a state's own sessions are weighed against, in the fit of its moments and of its transitions: a year.
PRIOR_SESSIONS = 252.0
# A state lasts fifty sessions by the prior, about a quarter.
STAY = 0.98
# Spread over the states, so that no probability is ever 0 or 1.
DOUBT = 1e-4


def _raw(trend: float, fall: float, volatility: float, vix: float) -> list[float]:
    return [trend, math.log(AT_THE_HIGH + fall), math.log(volatility / math.sqrt(ANNUAL_SESSIONS)), math.log(vix)]


_CENTERS = np.array([_raw(0.05, 0.02, 0.10, 13.0), _raw(-0.10, 0.15, 0.27, 30.0), _raw(0.0, 0.06, 0.15, 19.0)])

# What raw features are scaled by: consolidation is the origin, and one is a state's own deviation.
CENTER: Floats = _CENTERS[LABELS.index(Regime.CONSOLIDATION)]
SCALE: Floats = np.array([0.05, math.log(1.8), math.log(1.4), math.log(1.28)])
# (3, 4) means of the scaled features, in the order of `LABELS`; their deviations are 1.
ANCHORS: Floats = (_CENTERS - CENTER) / SCALE


def prior_transitions() -> Floats:
    """Return the pseudo-counts of transitions (3, 3), whose rows sum to `PRIOR_SESSIONS`."""
    leave = (1.0 - STAY) / (N_STATES - 1)
    return PRIOR_SESSIONS * (np.full((N_STATES, N_STATES), leave) + (STAY - leave) * np.eye(N_STATES))
