"""TradingAllocEnv and BatchedAllocEnv: the engine's own decision core as a place to learn capital allocation in.

One step is one session: at its close the action splits capital between the strategies, the next session fills, stops
and marks, exactly as a backtest or live trading would, every risk rule included. An episode is 20 sessions and starts
from the portfolio that equal weight holds on a random day. Time: a book at row t is the state after session t and
before the decision at its close.

    >>> env = TradingAllocEnv(prepared)                     # see trading_platform.core.prepare
    >>> observation, info = env.reset(seed=1)
    >>> observation, reward, terminated, truncated, info = env.step(np.full(5, 0.5))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.action_map import checked_actions
from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions, Part
from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import ObservationSchema
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.machine.thread_crew import Crew

if TYPE_CHECKING:
    from gymnasium import Env, spaces
    from stable_baselines3.common.vec_env import VecEnv

    AllocEnvBase = Env[NDArray[np.float32], NDArray[np.float32]]
    GYMNASIUM_MISSING = SB3_MISSING = ""
else:
    try:
        from gymnasium import Env as AllocEnvBase
        from gymnasium import spaces
    except ImportError:
        AllocEnvBase, spaces = object, None
        GYMNASIUM_MISSING = "TradingAllocEnv needs gymnasium: pip install 'gymnasium>=0.29.0'"
    else:
        GYMNASIUM_MISSING = ""
    try:
        from stable_baselines3.common.vec_env import VecEnv
    except ImportError:
        VecEnv = object
        SB3_MISSING = "BatchedAllocEnv needs stable-baselines3: pip install 'stable-baselines3>=2.0.0'"
    else:
        SB3_MISSING = ""


class TradingAllocEnv(AllocEnvBase):
    """One portfolio, one agent (gymnasium).

    Parameters
    ----------
    prepared
        The market; see `trading_platform.core.prepare.prepare_market`.
    options
        Window of sessions, reward, action map, cost randomisation.
    render_mode
        "figure" (matplotlib), "rgb_array", or None.

    Spaces: observations Box(-inf, inf, (D,), float32) by `schema`, actions Box(0, 1, (K,)); 0.5 everywhere is the base
    allocation. `reset(options={"start": date})` starts on that session or the first after it. A step after the end of
    an episode, and a step before the first reset, raise `FixConfigError`; a bad action raises `BadActionError`.
    """

    metadata: dict[str, Any] = {"render_modes": ["figure", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - as in gymnasium

    def __init__(
        self, prepared: PreparedMarket, options: EpisodeOptions | None = None, render_mode: str | None = None
    ) -> None:
        if GYMNASIUM_MISSING:
            raise FixConfigError(GYMNASIUM_MISSING)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise FixConfigError(f"render_mode must be figure, rgb_array or None, was {render_mode!r}")
        self.render_mode = render_mode
        self._batch = EpisodeBatch([prepared], 1, options or EpisodeOptions())
        self._history: list[tuple[float, float, Floats]] = []
        self._is_over = True
        self.observation_space = _observation_space(self._batch)
        self.action_space = _action_space(self._batch)

    @property
    def schema(self) -> ObservationSchema:
        """The observation's fields."""
        return self._batch.schema

    @property
    def prepared(self) -> PreparedMarket:
        """The market."""
        return self._batch.parts[0].world

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; return (observation (D,), info)."""
        super().reset(seed=seed)
        if seed is not None or not self._history:
            self._batch.seed(0, self.np_random)
        self._batch.reset(np.zeros(1, dtype=np.int64), self._start_row(options or {}))
        self._history = []
        self._note()
        self._is_over = False
        return self._batch.observations[0].copy(), self._batch.info(0)

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Decide at this close, trade the next session; return (observation, reward, terminated, truncated, info)."""
        if self._is_over:
            raise FixConfigError("the episode is over or was never started: call reset() before step()")
        checked = checked_actions(action, (self._batch.n_strategies,))
        terminated, truncated = self._batch.step(checked[None])
        self._is_over = bool(terminated[0] or truncated[0])
        self._note()
        reward = float(self._batch.rewards[0])
        return self._batch.observations[0].copy(), reward, bool(terminated[0]), bool(truncated[0]), self._batch.info(0)

    def render(self) -> Any:
        """Draw the episode so far: equity beside equal weight, capital weights, regime probabilities.

        Returns a matplotlib Figure, or an (H, W, 3) uint8 array with render_mode "rgb_array".
        """
        from trading_platform.reporting.episode_chart import draw_episode, figure_pixels

        if not self._history:
            raise FixConfigError("there is nothing to draw yet: call reset() before render()")
        world, last = self.prepared, int(self._batch.episodes[0]["row"])
        rows = slice(last - len(self._history) + 1, last + 1)
        figure = draw_episode(
            sessions=world.sessions[rows],
            equity=np.array([equity for equity, _, _ in self._history]),
            base_equity=np.array([base for _, base, _ in self._history]),
            weights=np.array([weights for _, _, weights in self._history]),
            strategies=self.schema.strategies,
            regimes=world.regimes[rows],
        )
        return figure_pixels(figure) if self.render_mode == "rgb_array" else figure

    def _note(self) -> None:
        episode = self._batch.episodes[0]
        equity, row = float(episode["equity"]), int(episode["row"])
        base = equity if not self._history else self._history[-1][1] * (1.0 + float(self.prepared.base_returns[row]))
        self._history.append((equity, base, self._batch.weights[0].copy()))

    def _start_row(self, options: dict[str, Any]) -> Any:
        unknown = ", ".join(sorted(options.keys() - {"start"}))
        if unknown:
            raise FixConfigError(f"reset knows the option start only, not {unknown}")
        start = options.get("start")
        if start is None:
            return None
        if not isinstance(start, date):
            raise FixConfigError(f"start must be a date, was {start!r}")
        part = self._batch.parts[0]
        row = self.prepared.row(start)
        if not (part.lowest <= row < part.stop - 1):
            first, last = self.prepared.session(part.lowest), self.prepared.session(part.stop - 2)
            raise FixConfigError(f"start must be between {first} and {last}, was {start}")
        return np.array([row], dtype=np.int64)


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
        if SB3_MISSING or GYMNASIUM_MISSING:
            raise FixConfigError(SB3_MISSING or GYMNASIUM_MISSING)
        if threads < 1:
            raise FixConfigError(f"threads must be at least 1, was {threads}")
        self.batch = EpisodeBatch(worlds, n_envs, options or EpisodeOptions(), threads)
        self.render_mode = None
        super().__init__(n_envs, _observation_space(self.batch), _action_space(self.batch))
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


def _observation_space(batch: EpisodeBatch) -> Any:
    return spaces.Box(-np.inf, np.inf, (len(batch.schema),), np.float32)


def _action_space(batch: EpisodeBatch) -> Any:
    return spaces.Box(0.0, 1.0, (batch.n_strategies,), np.float32)
