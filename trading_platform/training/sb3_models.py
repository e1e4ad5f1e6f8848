"""stable-baselines3's PPO, A2C and SAC with our networks, and the way back: their deterministic part as plain arrays.

Every policy starts at zero: its mean action is "no opinion", so that the first step acts as the base allocation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trading_platform.core.policy import Network
from trading_platform.core.sleeve_scorer import SleeveLayout, with_centres
from trading_platform.core.types import Floats
from trading_platform.training.setup import EPISODE_SESSIONS, TrainingSetup

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

# Units of the nets that judge states; they see all features, stay in training, and cost nothing in service.
CRITIC_UNITS = (16,)
SAC_BATCH, SAC_UPDATES, SAC_BUFFER = 256, 2, 200_000


class Scorer(NamedTuple):
    """How a scorer reads the features: `layout`, and `centres` (K, I), each strategy's mean inputs in training."""

    layout: SleeveLayout
    centres: Floats


def build_model(env: VecEnv, setup: TrainingSetup, seed: int, device: str, scorer: Scorer | None) -> BaseAlgorithm:
    """Return the algorithm that `setup` names, on scaled features in and actions in [-1, 1] out."""
    from stable_baselines3.common.logger import Logger

    model = (
        _sac(env, setup, seed, device, scorer) if setup.algo == "sac" else _on_policy(env, setup, seed, device, scorer)
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def network_of(model: BaseAlgorithm, scorer: Scorer | None) -> Network:
    """Return the deterministic part of a policy; SAC squashes by tanh, which becomes a layer that does nothing else."""
    actor: Any = getattr(model, "actor", None)
    policy: Any = model.policy
    trunk, head = (actor.latent_pi, actor.mu) if actor is not None else (_trunk_of(policy), policy.action_net)
    layers = [*_linear_layers(trunk), *_linear_layers(head)]
    kernels = [_numbers(layer.weight).T for layer in layers]
    biases = [
        np.zeros(k.shape[1]) if la.bias is None else _numbers(la.bias) for k, la in zip(kernels, layers, strict=True)
    ]
    if actor is not None:
        kernels.append(np.eye(kernels[-1].shape[1]))
        biases.append(np.zeros(kernels[-1].shape[1]))
    return plain_network(kernels, biases, scorer)


def plain_network(kernels: Sequence[Floats], biases: Sequence[Floats], scorer: Scorer | None) -> Network:
    """Return layers (inputs, outputs) as a network of one member; a scorer's centres go into the first layer."""
    first = kernels[0] if scorer is None else with_centres(kernels[0], scorer.centres)
    return Network(tuple(k[None].copy() for k in (first, *kernels[1:])), tuple(b[None].copy() for b in biases))


def _trunk_of(policy: Any) -> Any:
    return getattr(policy.mlp_extractor, "trunk", None) or policy.mlp_extractor.policy_net


def _linear_layers(module: Any) -> list[Any]:
    import torch

    return [part for part in module.modules() if isinstance(part, torch.nn.Linear)]


def _numbers(tensor: Any) -> Floats:
    values: Floats = tensor.detach().cpu().numpy().astype(np.float64)
    return values


def _on_policy(env: VecEnv, setup: TrainingSetup, seed: int, device: str, scorer: Scorer | None) -> BaseAlgorithm:
    import torch
    from stable_baselines3 import A2C, PPO

    hidden = list(setup.hidden)
    common: dict[str, Any] = {
        "learning_rate": setup.learning_rate,
        "n_steps": EPISODE_SESSIONS,
        "gamma": setup.gamma,
        "gae_lambda": setup.gae_lambda,
        "ent_coef": 0.0,
        "use_sde": setup.sustained_exploration,
        "policy_kwargs": {
            "net_arch": {"pi": hidden, "vf": hidden or list(CRITIC_UNITS)},
            "activation_fn": torch.nn.Tanh,
            "log_std_init": _log_std(setup, scorer),
            "optimizer_kwargs": {"eps": 1e-5, "weight_decay": setup.weight_decay},
        },
        "seed": seed,
        "device": device,
        "verbose": 0,
    }
    policy: Any = "MlpPolicy" if scorer is None else _scorer_policy(scorer, setup.hidden)
    model: Any
    if setup.algo == "a2c":
        model = A2C(policy, env, use_rms_prop=False, normalize_advantage=True, **common)
    else:
        batch = _even_batch(env.num_envs * EPISODE_SESSIONS, setup.batch_size)
        model = PPO(
            policy,
            env,
            batch_size=batch,
            n_epochs=setup.epochs,
            clip_range=setup.clip_range,
            target_kl=setup.target_kl,
            **common,
        )
    _start_at_zero(model.policy.action_net)
    return model  # type: ignore[no-any-return]


def _log_std(setup: TrainingSetup, scorer: Scorer | None) -> float:
    """Return the log deviation of the noise: gSDE multiplies it by what the head reads, and a scorer reads more."""
    if scorer is None or not setup.sustained_exploration:
        return setup.log_std
    width = setup.hidden[-1] if setup.hidden else scorer.layout.n_inputs
    return setup.log_std - 0.5 * float(np.log(scorer.layout.n_sleeves * width))


def _even_batch(steps: int, most: int) -> int:
    """Return the largest batch up to `most` that divides `steps` into equal parts."""
    return next(size for size in range(min(most, steps), 0, -1) if steps % size == 0)


def _start_at_zero(head: Any) -> None:
    import torch

    with torch.no_grad():
        for layer in _linear_layers(head):
            layer.weight.zero_()
            if layer.bias is not None:
                layer.bias.zero_()


def _trunk(scorer: Scorer, hidden: Sequence[int]) -> Any:
    """Return the module from scaled features (n, F) to what the head reads of all strategies, (n, K x H)."""
    import torch
    from torch import nn

    layout = scorer.layout

    class Trunk(nn.Module):
        """Own features, products and hidden layers, the same weights for every strategy."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("own", torch.as_tensor(layout.own))
            self.register_buffer("shared", torch.as_tensor(layout.shared))
            self.register_buffer("centres", torch.as_tensor(scorer.centres, dtype=torch.float32))
            widths, parts = [layout.n_inputs, *hidden], []
            for before, after in pairwise(widths):
                parts += [nn.Linear(before, after), nn.Tanh()]
            self.layers = nn.Sequential(*parts)
            self.width = widths[-1]

        def forward(self, features: Any) -> Any:
            own, shared = features[:, self.own], features[:, self.shared]
            products = own[:, :, :, None] * shared[:, None, None, :]
            inputs = torch.cat([own, products.flatten(2)], dim=2) - self.centres  # type: ignore[operator]  # a buffer is a tensor
            return self.layers(inputs).flatten(1)

    return Trunk()


def _shared_head(n_sleeves: int, width: int) -> Any:
    """Return the module from what the trunk says, (n, K x H), to one number a strategy, (n, K)."""
    from torch import nn

    class SharedHead(nn.Module):
        """One row of weights for every strategy; a bias would cancel between them."""

        def __init__(self) -> None:
            super().__init__()
            self.score = nn.Linear(width, 1, bias=False)

        def forward(self, latent: Any) -> Any:
            return self.score(latent.unflatten(1, (n_sleeves, width))).squeeze(2)

    head = SharedHead()
    _start_at_zero(head)
    return head


def _scorer_policy(scorer: Scorer, hidden: Sequence[int]) -> Any:
    """Return the policy class of PPO and A2C whose actor is a scorer."""
    from stable_baselines3.common.policies import ActorCriticPolicy
    from torch import nn

    n_sleeves, n_features = scorer.layout.n_sleeves, scorer.layout.own.size + len(scorer.layout.shared)

    class Extractor(nn.Module):
        """Actor and critic up to their last layers."""

        def __init__(self) -> None:
            super().__init__()
            self.trunk = _trunk(scorer, hidden)
            units = CRITIC_UNITS[0]
            self.critic = nn.Sequential(nn.Linear(n_features, units), nn.Tanh())
            self.latent_dim_pi, self.latent_dim_vf = n_sleeves * self.trunk.width, units

        def forward(self, features: Any) -> tuple[Any, Any]:
            return self.forward_actor(features), self.forward_critic(features)

        def forward_actor(self, features: Any) -> Any:
            return self.trunk(features)

        def forward_critic(self, features: Any) -> Any:
            return self.critic(features)

    class ScorerPolicy(ActorCriticPolicy):
        """stable-baselines3's own policy, but for what stands between features and means."""

        def _build_mlp_extractor(self) -> None:
            self.mlp_extractor = Extractor()  # type: ignore[assignment]

        def _build(self, lr_schedule: Any) -> None:
            super()._build(lr_schedule)
            width = self.mlp_extractor.latent_dim_pi // n_sleeves
            self.action_net = _shared_head(n_sleeves, width)
            self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    return ScorerPolicy


def _sac(env: VecEnv, setup: TrainingSetup, seed: int, device: str, scorer: Scorer | None) -> BaseAlgorithm:
    import torch
    from stable_baselines3 import SAC
    from stable_baselines3.sac.policies import Actor, SACPolicy

    class ScorerActor(Actor):
        """stable-baselines3's actor, but for what stands between features and means; its noise starts small."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if scorer is not None:
                trunk = _trunk(scorer, setup.hidden)
                self.latent_pi, self.mu = trunk, _shared_head(scorer.layout.n_sleeves, trunk.width)
                self.log_std = torch.nn.Linear(scorer.layout.n_sleeves * trunk.width, scorer.layout.n_sleeves)  # type: ignore[assignment]
            noise: Any = self.log_std
            _start_at_zero(self.mu)
            _start_at_zero(noise)
            with torch.no_grad():
                noise.bias.fill_(setup.log_std)

    class ScorerSAC(SACPolicy):
        """SAC's policy with our actor."""

        def make_actor(self, features_extractor: Any = None) -> Actor:
            arguments = self._update_features_extractor(self.actor_kwargs, features_extractor)
            return ScorerActor(**arguments).to(self.device)

    hidden = list(setup.hidden)
    return SAC(
        ScorerSAC,
        env,
        learning_rate=setup.learning_rate,
        gamma=setup.gamma,
        buffer_size=SAC_BUFFER,
        batch_size=SAC_BATCH,
        learning_starts=env.num_envs * EPISODE_SESSIONS,
        gradient_steps=SAC_UPDATES,
        # entropy is no aim here: a split of capital that is random on purpose only costs
        ent_coef=0.001,
        policy_kwargs={
            "net_arch": {"pi": hidden, "qf": hidden or list(CRITIC_UNITS)},
            "activation_fn": torch.nn.Tanh,
        },
        seed=seed,
        device=device,
        verbose=0,
    )
