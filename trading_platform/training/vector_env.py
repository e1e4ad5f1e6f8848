"""TradingAllocVectorEnv: many episodes as gymnasium's own vector environment, what `gymnasium.make_vec` builds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.machine.thread_crew import Crew
from trading_platform.training.env_market import environment_market, environment_options
from trading_platform.training.env_spaces import action_space, needs_gymnasium, observation_space

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    VectorBase = VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]
    AUTORESET: Any
else:
    try:
        from gymnasium.vector import AutoresetMode
        from gymnasium.vector import VectorEnv as VectorBase

        AUTORESET = AutoresetMode.SAME_STEP
    except ImportError:  # no gymnasium, or one before 1.1 without a name for the mode
        VectorBase, AUTORESET = object, "same-step"


class TradingAllocVectorEnv(VectorBase):
    """`num_envs` episodes side by side; a finished one starts anew within the same step (gymnasium's SAME_STEP).

    Parameters are those of `TradingAllocEnv`, and `threads`, the cores to use: results do not depend on it. Episode e
    after ``reset(seed=s)`` is that of a `TradingAllocEnv` after ``reset(seed=s + e)``.

    `infos` are empty until episodes end; then ``final_obs`` (num_envs,) holds their last observations (None for the
    others) and ``final_info`` what `TradingAllocEnv` would say of them; ``_final_obs`` and ``_final_info`` are masks.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AUTORESET}  # noqa: RUF012 - as in gymnasium

    def __init__(
        self,
        num_envs: int = 1,
        data: object = None,
        options: EpisodeOptions | None = None,
        *,
        reward: str | None = None,
        cost_bps: float | None = None,
        strategies: Sequence[str] | None = None,
        threads: int = 1,
    ) -> None:
        needs_gymnasium("TradingAllocVectorEnv")
        if threads < 1:
            raise FixConfigError(f"threads must be at least 1, was {threads}")
        market = environment_market(data, strategies, cost_bps)
        self._batch = EpisodeBatch([market], num_envs, environment_options(options, reward), threads)
        self._crew = Crew(threads)
        self.num_envs = num_envs
        self.render_mode = None
        from gymnasium.vector.utils import batch_space

        self.single_observation_space = observation_space(self._batch)
        self.single_action_space = action_space(self._batch)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._is_seeded = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start all episodes; return (observations (E, D), infos). Raises FixConfigError for any options."""
        if options:
            raise FixConfigError(f"reset of a vector environment knows no options, not {', '.join(sorted(options))}")
        if seed is not None or not self._is_seeded:
            self._seed(seed)
        self._batch.reset(np.arange(self.num_envs))
        return self._batch.observations.copy(), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take actions (E, K); return (observations (E, D), rewards, terminated, truncated (E,), infos).

        Raises FixConfigError before the first reset.
        """
        if not self._is_seeded:
            raise FixConfigError("the episodes were never started: call reset() before step()")
        terminated, truncated = self._batch.step(actions, self._crew.run)
        rewards, infos = self._batch.rewards.copy(), self._finish(np.flatnonzero(terminated | truncated))
        return self._batch.observations.copy(), rewards, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        self._crew.close()

    def _finish(self, ended: NDArray[np.int64]) -> dict[str, Any]:
        """Return what ended episodes have to say, and start them anew."""
        if not len(ended):
            return {}
        last = np.full(self.num_envs, None, dtype=object)
        final: dict[str, Any] = {}
        for e in ended.tolist():
            last[e] = self._batch.observations[e].copy()
            final = self._add_info(final, self._batch.info(e), e)
        mask = np.zeros(self.num_envs, dtype=np.bool_)
        mask[ended] = True
        self._batch.reset(ended, execute=self._crew.run)
        return {"final_obs": last, "_final_obs": mask, "final_info": final, "_final_info": mask.copy()}

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        if seed is None:
            seeds: Sequence[int | None] = [None] * self.num_envs
        elif isinstance(seed, int | np.integer):
            seeds = [int(seed) + e for e in range(self.num_envs)]
        else:
            seeds = seed
        if len(seeds) != self.num_envs:
            raise FixConfigError(f"seed must be a number or one a part of {self.num_envs}, were {len(seeds)}")
        for e, one in enumerate(seeds):
            self._batch.seed(e, np.random.default_rng(one))
        self._is_seeded = True
