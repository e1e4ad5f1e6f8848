"""BatchedAllocEnv: many episodes side by side for stable-baselines3, stepped by one compiled call a market."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions, Part
from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import ObservationSchema
from trading_platform.core.prepare import PreparedMarket
from trading_platform.machine.thread_crew import Crew
from trading_platform.training.env_spaces import action_space, needs_gymnasium, observation_space

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    SB3_MISSING = ""
else:
    try:
        from stable_baselines3.common.vec_env import VecEnv
    except ImportError:
        VecEnv = object
        SB3_MISSING = "BatchedAllocEnv needs stable-baselines3: pip install 'stable-baselines3>=2.0.0'"
    else:
        SB3_MISSING = ""


class BatchedAllocEnv(VecEnv):
    """Many episodes side by side (stable-baselines3), stepped by one compiled call a market; finished ones restart.

    Parameters
    ----------
    worlds
        One or more markets of the same strategies: the original, resampled ones (`trading_platform.core.resample`).
    n_envs
        Episodes side by side, at least one a market; 256 suits PPO.
    seed
        Environment e is seeded with seed + e, or with seed + e // twins if the options ask for twins.
    threads
        Cores to use; the kernel holds no lock. Results do not depend on it.

    `infos` are empty until an episode ends; then they hold `terminal_observation`, `TimeLimit.truncated` and `episode`
    (`r` the sum of rewards, `l` its sessions).
    """

    def __init__(
        self,
        worlds: Sequence[PreparedMarket],
        n_envs: int = 256,
        options: EpisodeOptions | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        if SB3_MISSING:
            raise FixConfigError(SB3_MISSING)
        needs_gymnasium("BatchedAllocEnv")
        if threads < 1:
            raise FixConfigError(f"threads must be at least 1, was {threads}")
        self.batch = EpisodeBatch(worlds, n_envs, options or EpisodeOptions(), threads)
        self.render_mode = None
        super().__init__(n_envs, observation_space(self.batch), action_space(self.batch))
        self._crew = Crew(threads)
        self._actions: Any = None
        self.seed(seed)

    @property
    def schema(self) -> ObservationSchema:
        """The observation's fields."""
        return self.batch.schema

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed environment e with seed + e // twins, from its next episode on. A batch has no unseeded state."""
        first = 0 if seed is None else seed
        seeds = [first + e // self.batch.options.twins for e in range(self.num_envs)]
        for e, chosen in enumerate(seeds):
            self.batch.seed(e, np.random.default_rng(chosen))
        return list(seeds)

    def reset(self) -> NDArray[np.float32]:
        """Start all episodes; return observations (E, D)."""
        self.batch.reset(np.arange(self.num_envs))
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self.batch.observations.copy()

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take the actions (E, K)."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Move on; return (observations (E, D), rewards (E,), dones (E,), infos)."""
        infos: list[dict[str, Any]] = []

        def execute(task: Callable[[Part], None], parts: Sequence[Part]) -> None:
            # a twentieth of the step on one core, done while the other threads are at work
            self._crew.run(task, parts, meanwhile=lambda: infos.extend([{} for _ in range(self.num_envs)]))

        terminated, truncated = self.batch.step(self._actions, execute)
        rewards, dones = self.batch.rewards.astype(np.float32), terminated | truncated
        ended = np.flatnonzero(dones)
        if len(ended):
            last, episodes = self.batch.observations[ended], self.batch.episodes[ended]
            scores, lengths, cuts = episodes["score"].tolist(), episodes["sessions"].tolist(), truncated[ended].tolist()
            for i, e in enumerate(ended.tolist()):
                infos[e] = {
                    "terminal_observation": last[i],
                    "TimeLimit.truncated": cuts[i],
                    "episode": {"r": scores[i], "l": lengths[i]},
                }
            self.batch.reset(ended, execute=self._crew.run)
        return self.batch.observations, rewards, dones, infos

    def close(self) -> None:
        """End the threads."""
        self._crew.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch for each index."""
        value = getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: environments of a batch share their settings; build another batch."""
        raise FixConfigError(f"{attr_name} cannot be set on a part of a batch; build another BatchedAllocEnv")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: a batch has no single environments with methods."""
        raise FixConfigError(f"{method_name} cannot be called on environments of a batch; use TradingAllocEnv")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return False for each index: there is nothing to wrap."""
        return [False for _ in self._get_indices(indices)]
