"""One fit: an algorithm of stable-baselines3 on a batched environment, with looks at a validation slice between.

Every stretch between two looks starts from seeds of its own and from fresh episodes. So a fit of PPO or A2C that is
resumed from the checkpoint of a look ends with the same bits as one that never stopped. SAC learns from a memory of
old steps that no checkpoint holds: an interrupted fit of it begins anew.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trading_platform.core.policy import Network, Scaling, scaled_features
from trading_platform.core.published_rules import BOUNDS as RULE_BOUNDS
from trading_platform.core.types import Floats, Ints
from trading_platform.training.sb3_models import Scorer, build_model, network_of
from trading_platform.training.setup import EPISODE_SESSIONS, TrainingSetup

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv


# How far published rules may move the logarithm of a weight: what the environment's map allows beyond the policy's own.
RULES_ROOM = max(abs(bound) for bound in RULE_BOUNDS)


@dataclass(frozen=True, slots=True, eq=False)
class RuleOffset:
    """What published rules add to a policy while it learns on top of them.

    `places` (K,) of the rules' offsets in the observation; `scale` : of the policy's own opinion. The environment maps
    actions at `scale` + `RULES_ROOM`, so that both have room in its box.
    """

    places: Ints
    scale: float

    def actions(self, opinions: Floats, observations: Floats) -> Floats:
        """Return the environment's actions, in [-1, 1], for opinions (E, K) and what was observed, (E, D)."""
        said = np.clip(np.nan_to_num(observations[:, self.places]), *RULE_BOUNDS)
        moved: Floats = (self.scale * opinions + said) / (self.scale + RULES_ROOM)
        return moved


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the validation slice said after so many episodes.

    `reward` is the mean episode reward of the stretch before.
    """

    episodes: int
    score: float
    reward: float


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """The kept policy of a fit, and how it came about."""

    network: Network
    looks: tuple[Look, ...]
    kept: int  # index of the look whose policy was kept
    steps: int


def fit(
    env: VecEnv,
    scaling: Scaling,
    setup: TrainingSetup,
    seed: int,
    score: Callable[[Network], float],
    on_look: Callable[[Look], None] | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    scorer: Scorer | None = None,
    curves: Path | None = None,
    offset: RuleOffset | None = None,
) -> FitResult:
    """Train one policy.

    Parameters
    ----------
    env
        Batched environment with public actions in [0, 1] and whole observations; episodes of 20 sessions.
    scaling
        Which features the policy sees; fitted on the training fold.
    score
        Judges a policy on the validation slice. With patience the best look is kept, and each look is a trial that
        the gate has to know of; without, the last one is, and looks choose nothing.
    on_look
        Told after every look.
    checkpoint
        File to continue from and to write after each look; plain arrays.
    scorer
        How the network reads the features if it is a scorer of each strategy; None = all at once.
    curves
        Folder for TensorBoard: the algorithm's own figures, and what looks say.
    offset
        Of published rules that multiply what the policy says; None = it stands on its base alone.

    Raises
    ------
    RuntimeError
        No look was paid for, which `TrainingSetup` refuses before.
    """
    import torch

    torch.set_num_threads(1)
    if setup.algo == "sac":
        checkpoint = None
    on_policy = setup.algo != "sac"
    wrapped = _feature_env(env, scaling, setup.mirrored_pairs and on_policy, offset)
    model = build_model(wrapped, setup, seed, device, scorer)
    if curves is not None:
        _show_curves(model, curves)
    state = _Progress(keeps_best=setup.patience > 0)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, model)
    mirrors = setup.mirrored_pairs and setup.sustained_exploration and on_policy
    per_look = setup.rounds_per_look * setup.round_episodes
    while len(state.looks) < setup.looks and not state.is_stale(setup.patience):
        _start_stretch(model, seed, len(state.looks))
        wrapped.episode_rewards.clear()
        model.learn(per_look * EPISODE_SESSIONS, _mirror() if mirrors else None, reset_num_timesteps=False)
        network = network_of(model, scorer)
        look = Look(
            episodes=(len(state.looks) + 1) * per_look,
            score=score(network),
            reward=float(np.mean(wrapped.episode_rewards)) if wrapped.episode_rewards else float("nan"),
        )
        state.add(look, network)
        if curves is not None:
            _show_look(model, look)
        if on_look is not None:
            on_look(look)
        if checkpoint is not None:
            state.save(checkpoint, model)
    if state.best is None:
        raise RuntimeError("a fit without a look cannot happen: TrainingSetup.looks is at least 1")
    return FitResult(state.best, tuple(state.looks), state.kept, len(state.looks) * per_look * EPISODE_SESSIONS)


def _show_curves(model: BaseAlgorithm, folder: Path) -> None:
    from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

    model.set_logger(Logger(str(folder), [TensorBoardOutputFormat(str(folder))]))


def _show_look(model: BaseAlgorithm, look: Look) -> None:
    model.logger.record("look/validation_gain", look.score)
    model.logger.record("look/episode_reward", look.reward)
    model.logger.dump(model.num_timesteps)


def _start_stretch(model: BaseAlgorithm, seed: int, stretch: int) -> None:
    """Make what follows depend on (seed, stretch) and the parameters only."""
    import torch

    draws = np.random.SeedSequence((seed, stretch)).generate_state(3)
    torch.manual_seed(int(draws[0]))
    np.random.seed(int(draws[1]))  # noqa: NPY002 - stable-baselines3 shuffles its minibatches by the global state
    env = model.get_env()
    if env is None:
        raise RuntimeError("the model was built with an environment")
    env.seed(int(draws[2]))
    model._last_obs = None  # makes learn() reset the environment


def _mirror() -> Any:
    """Return a callback that turns the noise of every second episode into the opposite of the first one's."""
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    class Mirror(BaseCallback):
        """Acts between the drawing of an episode's noise and its first step."""

        def _on_rollout_start(self) -> None:
            noise: Any = self.model.policy.action_dist
            paired = len(noise.exploration_matrices) // 2 * 2
            with torch.no_grad():
                noise.exploration_matrices[1:paired:2] = -noise.exploration_matrices[0:paired:2]

        def _on_step(self) -> bool:
            return True

    return Mirror()


def _against_twins(rewards: Any) -> Any:
    """Return rewards (E,) less those of the neighbour in the pair; an odd last one stays."""
    paired = len(rewards) // 2 * 2
    gaps = rewards.copy()
    gaps[0:paired:2] -= rewards[1:paired:2]
    gaps[1:paired:2] -= rewards[0:paired:2]
    return gaps


def _feature_env(env: VecEnv, scaling: Scaling, against_twins: bool = False, offset: RuleOffset | None = None) -> Any:
    """Return `env` as the network sees it: scaled features in, actions in [-1, 1] out."""
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import VecEnvWrapper

    class FeatureEnv(VecEnvWrapper):
        """Selects and scales observations, rescales actions, and keeps the rewards of finished episodes."""

        def __init__(self) -> None:
            shape = (len(scaling.index),)
            n_actions = env.action_space.shape or (0,)
            super().__init__(
                env,
                observation_space=spaces.Box(-scaling.clip, scaling.clip, shape, np.float32),
                action_space=spaces.Box(-1.0, 1.0, n_actions, np.float32),
            )
            self.episode_rewards: list[float] = []
            self._running = np.zeros(env.num_envs)
            self._seen: Any = None  # what the next actions answer to

        def reset(self) -> Any:
            self._running[:] = 0.0
            self._seen = np.asarray(self.venv.reset())
            return _features(self._seen, scaling)

        def step_async(self, actions: Any) -> None:
            if offset is not None:
                actions = offset.actions(actions, self._seen).astype(actions.dtype)
            self.venv.step_async(0.5 + 0.5 * actions)

        def step_wait(self) -> Any:
            observations, rewards, dones, infos = self.venv.step_wait()
            self._seen = np.asarray(observations)
            self._running += rewards
            if dones.any():
                self.episode_rewards.extend(self._running[dones].tolist())
                self._running[dones] = 0.0
                for info in (infos[i] for i in np.flatnonzero(dones)):
                    if "terminal_observation" in info:
                        info["terminal_observation"] = _features(info["terminal_observation"], scaling)
            if against_twins:
                rewards = _against_twins(rewards)
            return _features(self._seen, scaling), rewards, dones, infos

    return FeatureEnv()


def _features(observations: Any, scaling: Scaling) -> Any:
    return scaled_features(np.asarray(observations, dtype=np.float64), scaling).astype(np.float32)


class _Progress:
    """Looks so far, the policy to keep, and how to write them down beside the parameters."""

    def __init__(self, keeps_best: bool) -> None:
        self.keeps_best = keeps_best
        self.looks: list[Look] = []
        self.best: Network | None = None
        self.kept = -1

    def add(self, look: Look, network: Network) -> None:
        self.looks.append(look)
        if not self.keeps_best or self.best is None or look.score > self.looks[self.kept].score:
            self.best, self.kept = network, len(self.looks) - 1

    def is_stale(self, patience: int) -> bool:
        return patience > 0 and len(self.looks) - 1 - self.kept >= patience and bool(self.looks)

    def save(self, path: Path, model: BaseAlgorithm) -> None:
        if self.best is None:
            return
        arrays: dict[str, Floats] = {
            "looks": np.array([[look.episodes, look.score, look.reward] for look in self.looks]),
            "kept": np.array([float(self.kept)]),
        }
        arrays |= {f"best_kernel_{i}": kernel for i, kernel in enumerate(self.best.kernels)}
        arrays |= {f"best_bias_{i}": bias for i, bias in enumerate(self.best.biases)}
        for name, value in model.policy.state_dict().items():
            arrays[f"policy.{name}"] = value.cpu().numpy()
        for number, slot in model.policy.optimizer.state_dict()["state"].items():
            for name, value in slot.items():
                arrays[f"adam.{number}.{name}"] = np.asarray(value.cpu().numpy())
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_bytes(buffer.getvalue())
        draft.replace(path)

    def load(self, path: Path, model: BaseAlgorithm) -> None:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        self.looks = [Look(int(row[0]), float(row[1]), float(row[2])) for row in arrays["looks"]]
        self.kept = int(arrays["kept"][0])
        layers = range(sum(name.startswith("best_kernel_") for name in arrays))
        self.best = Network(
            tuple(arrays[f"best_kernel_{i}"] for i in layers), tuple(arrays[f"best_bias_{i}"] for i in layers)
        )
        _restore(model, arrays)


def _restore(model: BaseAlgorithm, arrays: Mapping[str, Any]) -> None:
    import torch

    parameters = {name.removeprefix("policy."): a for name, a in arrays.items() if name.startswith("policy.")}
    model.policy.load_state_dict({name: torch.as_tensor(array) for name, array in parameters.items()})
    slots: dict[int, dict[str, Any]] = {}
    for name, array in arrays.items():
        if name.startswith("adam."):
            _, number, part = name.split(".")
            slots.setdefault(int(number), {})[part] = torch.as_tensor(array)
    optimizer = model.policy.optimizer.state_dict()
    model.policy.optimizer.load_state_dict({**optimizer, "state": slots})
