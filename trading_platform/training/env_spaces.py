"""The spaces of every environment, as the contract has them, and what is said where gymnasium is missing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from trading_platform.core.episode_batch import EpisodeBatch
from trading_platform.core.errors import FixConfigError


def needs_gymnasium(who: str) -> None:
    """Raise `FixConfigError` with the cure where gymnasium is not installed."""
    if find_spec("gymnasium") is None:
        raise FixConfigError(f"{who} needs gymnasium: pip install 'gymnasium>=0.29.0'")


def observation_space(batch: EpisodeBatch) -> Any:
    """Return Box(-inf, inf, (D,), float32)."""
    from gymnasium import spaces

    return spaces.Box(-np.inf, np.inf, (len(batch.schema),), np.float32)


def action_space(batch: EpisodeBatch) -> Any:
    """Return Box(0, 1, (K,), float32)."""
    from gymnasium import spaces

    return spaces.Box(0.0, 1.0, (batch.n_strategies,), np.float32)
