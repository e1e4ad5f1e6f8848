"""Capital for the strategies that stay, and nothing for those that leave the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from trading_platform.core.observation import observation_schema
from trading_platform.core.ports import AllocationReason, Allocator
from trading_platform.core.types import Floats


class StayingAllocator:
    """Asks `allocator`, who knows the strategies `staying` only, on behalf of all that are `traded`, in kernel order.

    It is shown the fields of an observation that it knows, so that a model goes on as if nobody else were there.
    """

    def __init__(self, allocator: Allocator, staying: Sequence[str], traded: Sequence[str]) -> None:
        places = {name: i for i, name in enumerate(observation_schema(traded).names)}
        self._known = np.array([places[name] for name in observation_schema(staying).names])
        self._allocator, self._traded = allocator, tuple(traded)

    @property
    def last_decision(self) -> AllocationReason:
        """Why the capital is split so."""
        return self._allocator.last_decision

    @property
    def model_id(self) -> str | None:
        """The model that decides, None if none does."""
        return self._allocator.model_id

    @property
    def reads_state(self) -> bool:
        """True if the answer depends on the state."""
        return self._allocator.reads_state

    def get_allocation(self, current_state: Floats, session: date | None = None) -> Mapping[str, float]:
        """Return weights of all strategies; those that leave have 0; see `core.ports.Allocator`."""
        given = self._allocator.get_allocation(self._shown(current_state), session)
        return {name: given.get(name, 0.0) for name in self._traded}

    def explain(self, current_state: Floats) -> Mapping[str, float]:
        """Return which groups of the observation moved the weights; see `core.ports.Allocator`."""
        return self._allocator.explain(self._shown(current_state))

    def _shown(self, state: Floats) -> Floats:
        return state[self._known] if len(state) else state  # empty: nobody asked for an observation
