"""One scorer for every strategy: the same weights read each one's own features beside those of the market.

A strategy's score depends on its own features and on their products with the shared ones; the same network scores all
(Deep Sets, Zaheer et al. 2017), so that every strategy's history teaches it. Shared features alone would add the same
to every score, and a softmax does not see that: therefore products. Inputs are centred for each strategy at their mean
in training, so that a linear scorer has no opinion on average: it times, it does not tilt. In a stored network the
centres are part of the first layer, as the weights of an input that says which strategy is asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trading_platform.core.observation import STRATEGY_GROUP, ObservationSchema
from trading_platform.core.types import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class SleeveLayout:
    """Where among F scaled features those of the market stand, `shared` (S,), and each strategy's own, `own` (K, P)."""

    shared: Ints
    own: Ints

    @property
    def n_sleeves(self) -> int:
        """Number of strategies, K."""
        return int(self.own.shape[0])

    @property
    def n_inputs(self) -> int:
        """Inputs of the scorer without the one that names the strategy, I = P (1 + S)."""
        return int(self.own.shape[1]) * (1 + len(self.shared))


def sleeve_layout(schema: ObservationSchema, index: Ints | Sequence[int]) -> SleeveLayout | None:
    """Return the layout of the features at positions `index` (F,) of the observation.

    None where the strategies have no features of their own among them, or not the same number each.
    """
    groups = [schema[int(i)].group if 0 <= int(i) < len(schema) else "" for i in index]
    own = [
        [place for place, group in enumerate(groups) if group == STRATEGY_GROUP + name] for name in schema.strategies
    ]
    shared = [place for place, group in enumerate(groups) if not group.startswith(STRATEGY_GROUP)]
    if not own or not own[0] or len({len(places) for places in own}) != 1:
        return None
    return SleeveLayout(np.array(shared, dtype=np.int64), np.array(own, dtype=np.int64))


def sleeve_inputs(features: Floats, layout: SleeveLayout) -> Floats:
    """Return what the scorer reads of each strategy, (n, K, I), in scaled features (n, F): own, then own x shared."""
    own = features[:, layout.own]
    shared = features[:, layout.shared]
    products = own[:, :, :, None] * shared[:, None, None, :]
    inputs: Floats = np.concatenate([own, products.reshape(*own.shape[:2], -1)], axis=2)
    return inputs


def named_inputs(features: Floats, layout: SleeveLayout) -> Floats:
    """Return `sleeve_inputs` and behind them the strategy's place as K zeros and ones, (n, K, I + K)."""
    inputs = sleeve_inputs(features, layout)
    places = np.broadcast_to(np.eye(layout.n_sleeves), (len(inputs), layout.n_sleeves, layout.n_sleeves))
    return np.concatenate([inputs, places], axis=2)


def with_centres(kernel: Floats, centres: Floats) -> Floats:
    """Return the first layer (I + K, H) on `named_inputs` that does what `kernel` (I, H) does on centred inputs.

    `centres` (K, I) are what is subtracted from each strategy's inputs.
    """
    return np.concatenate([kernel, -centres @ kernel])
