"""A trained policy in numpy: pick features from the observation, scale them, run one or two small tanh layers.

Training and live trading call these very functions: the training environment feeds the network with
`scaled_features`, and `policy_actions` repeats what the network does with them. No torch is needed to trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trading_platform.core.sleeve_scorer import SleeveLayout, named_inputs
from trading_platform.core.types import Floats, Ints

# A feature whose training deviation is below this share of its size (or below it outright) did not move.
CONSTANT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Which entries of an observation a policy sees, and how they are scaled.

    Attributes
    ----------
    index : (F,) positions in the observation.
    mean : (F,) training means. gain : (F,) 1 / training deviation, 0 where the feature did not move in training.
    clip : scaled features are cut to [-clip, clip].
    low, high : (F,) least and largest value in training; empty where a model of an older version does not say.
    """

    index: Ints
    mean: Floats
    gain: Floats
    clip: float
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n_features = len(self.index)
        if n_features < 1 or self.mean.shape != (n_features,) or self.gain.shape != (n_features,):
            raise ValueError(
                f"scaling needs at least one feature and arrays of one length, "
                f"were {self.index.shape}, {self.mean.shape}, {self.gain.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.gain).all() and (self.gain >= 0.0).all()):
            raise ValueError("scaling mean and gain must be finite, and gain must not be negative")
        if self.low.shape != self.high.shape or self.low.shape not in ((0,), (n_features,)):
            raise ValueError(f"scaling low and high must be of one length, were {self.low.shape}, {self.high.shape}")
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all() and (self.low <= self.high).all()):
            raise ValueError("scaling low and high must be finite, and low must not be above high")
        if (self.index < 0).any() or len(np.unique(self.index)) != n_features:
            raise ValueError("scaling index must hold distinct positions")
        if not (0.0 < self.clip < np.inf):
            raise ValueError(f"scaling clip must be positive and finite, was {self.clip}")


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """M small networks of one shape; a policy's action is the mean of theirs.

    `kernels[l]` is (M, inputs, outputs), `biases[l]` is (M, outputs); tanh between layers, the last one is linear.
    """

    kernels: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def __post_init__(self) -> None:
        if not self.kernels or len(self.kernels) != len(self.biases):
            raise ValueError(f"network needs layers, had {len(self.kernels)} kernels and {len(self.biases)} biases")
        members, width = self.kernels[0].shape[:2] if self.kernels[0].ndim == 3 else (0, 0)
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            if kernel.ndim != 3 or kernel.shape[:2] != (members, width) or 0 in kernel.shape:
                raise ValueError(f"network layers do not fit: kernel {kernel.shape} after {members} x {width}")
            if bias.shape != (members, kernel.shape[2]):
                raise ValueError(f"network layers do not fit: bias {bias.shape} beside kernel {kernel.shape}")
            if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
                raise ValueError("network weights must be finite")
            width = kernel.shape[2]

    @property
    def n_members(self) -> int:
        """Number of averaged networks, M."""
        return int(self.kernels[0].shape[0])

    @property
    def n_inputs(self) -> int:
        """Number of features, F."""
        return int(self.kernels[0].shape[1])

    @property
    def n_outputs(self) -> int:
        """Number of actions, K."""
        return int(self.kernels[-1].shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A deterministic policy: observation (D,) -> action (K,) in [0, 1].

    Without a `layout` one network reads all features and answers for all strategies; with one the network is a scorer
    (`core.sleeve_scorer`) that is asked about each strategy in turn.
    """

    scaling: Scaling
    network: Network
    layout: SleeveLayout | None = None

    def __post_init__(self) -> None:
        if self.layout is not None:
            wanted = self.layout.n_inputs + self.layout.n_sleeves
            if (self.network.n_inputs, self.network.n_outputs) != (wanted, 1):
                raise ValueError(
                    f"a scorer of {self.layout.n_sleeves} strategies has {wanted} inputs and 1 output, "
                    f"the network has {self.network.n_inputs} and {self.network.n_outputs}"
                )
        elif len(self.scaling.index) != self.network.n_inputs:
            raise ValueError(f"policy scales {len(self.scaling.index)} features for {self.network.n_inputs} inputs")


def fit_scaling(observations: Floats, index: Ints, clip: float) -> Scaling:
    """Measure mean and deviation of the features at `index` on the training fold's observations, (n, D).

    Raises
    ------
    ValueError
        Fewer than two rows, or a selected feature that is not finite.
    """
    chosen = observations[:, index]
    if len(chosen) < 2 or not np.isfinite(chosen).all():
        raise ValueError(f"scaling needs two or more finite rows, got {chosen.shape} with NaN or infinity in some")
    mean = chosen.mean(axis=0)
    deviation = chosen.std(axis=0)
    moves = deviation > CONSTANT * np.maximum(1.0, np.abs(mean))
    gain = np.where(moves, 1.0 / np.where(moves, deviation, 1.0), 0.0)
    return Scaling(np.array(index), mean, gain, clip, chosen.min(axis=0), chosen.max(axis=0))


def scaled_features(observations: Floats, scaling: Scaling) -> Floats:
    """Return the selected, scaled and clipped features, (..., F), of observations (..., D)."""
    with np.errstate(over="ignore"):  # infinitely far is clipped like any far
        distances = (observations[..., scaling.index] - scaling.mean) * scaling.gain
    features: Floats = np.minimum(np.maximum(distances, -scaling.clip), scaling.clip)
    return features


def network_actions(features: Floats, network: Network) -> Floats:
    """Return the mean action in [0, 1], (n, K), of the networks for scaled features (n, F).

    Each network works in [-1, 1], where training clips its actions; 0.5 is no opinion. A row's answer is the same to
    the last bit whatever other rows are asked beside it.
    """
    hidden = features[None]
    last = len(network.kernels) - 1
    for layer, (kernel, bias) in enumerate(zip(network.kernels, network.biases, strict=True)):
        hidden = _layer(hidden, kernel, bias)
        if layer < last:
            hidden = np.tanh(hidden)
    clipped = np.minimum(np.maximum(hidden, -1.0), 1.0)
    total = clipped[0]
    for member in clipped[1:]:
        total = total + member
    actions: Floats = 0.5 + 0.5 * (total / len(clipped))
    return actions


def _layer(inputs: Floats, kernel: Floats, bias: Floats) -> Floats:
    """Return inputs (M or 1, n, A) times kernel (M, A, B) plus bias (M, B), summed in the order of the inputs.

    Not by `@`: a matrix product sums one row in another order than many, and what is judged in one go over years must
    be what is served one day at a time.
    """
    outputs: Floats = np.broadcast_to(bias[:, None, :], (len(kernel), inputs.shape[1], kernel.shape[2]))
    for a in range(kernel.shape[1]):
        outputs = outputs + inputs[:, :, a, None] * kernel[:, None, a, :]
    return outputs


def policy_actions(observations: Floats, policy: Policy) -> Floats:
    """Return actions in [0, 1], (..., K), for observations (..., D)."""
    features = scaled_features(observations, policy.scaling)
    flat = features.reshape(-1, features.shape[-1])
    if policy.layout is not None:
        asked = named_inputs(flat, policy.layout)
        scores = network_actions(asked.reshape(-1, asked.shape[-1]), policy.network)
        return scores.reshape(*features.shape[:-1], policy.layout.n_sleeves)
    return network_actions(flat, policy.network).reshape(*features.shape[:-1], policy.network.n_outputs)


def averaged(networks: Sequence[Network]) -> Network:
    """Join networks of one shape into one whose action is the mean of theirs; raise ValueError where there is none."""
    if not networks:
        raise ValueError("there is no network to average")
    layers = range(len(networks[0].kernels))
    return Network(
        tuple(np.concatenate([network.kernels[layer] for network in networks]) for layer in layers),
        tuple(np.concatenate([network.biases[layer] for network in networks]) for layer in layers),
    )
