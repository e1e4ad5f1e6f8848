"""The map from actions to weights for one or many actions, as tests ask it: checked, and answered as a new array."""

from __future__ import annotations

import numpy as np

from trading_platform.core.action_map import ACTION_KINDS, check_map, checked_actions, map_actions
from trading_platform.core.types import Floats


def action_to_weights(action: Floats, base: Floats, scale: float = 1.0, kind: str = "softmax") -> Floats:
    """Return capital weights (..., K), >= 0 and summing to 1, for actions (..., K) in [0, 1] as a new array.

    Raises
    ------
    BadActionError
        Wrong shape or dtype, NaN, infinity, outside the box.
    FixConfigError
        Unknown kind, or base weights that are no split of capital.
    """
    check_map(base, scale, kind)
    values = checked_actions(action, (*np.shape(action)[:-1], len(base)))
    flat = values.reshape(-1, len(base))
    weights = np.empty_like(flat)
    map_actions(flat, base, scale, ACTION_KINDS.index(kind), 0.0, flat, weights)
    return weights.reshape(values.shape)
