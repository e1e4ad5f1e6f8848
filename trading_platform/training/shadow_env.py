"""ShadowBookEnv: episodes on the strategies' own books at a policy's weights, for controls whose truth is planted.

The account's rules have no part in it: a book earns its weights times the strategies' returns, less the cost of what a
change of weights moves. Observations, the map of actions, episodes and rewards are those of the real environment; only
the two rewards that training pays are known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.action_map import ACTION_KINDS, map_actions
from trading_platform.core.costs import BASIS_POINT
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import EPISODE_PRIOR_SESSIONS
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.rewards import RETURN_SCALE, UTILITY_AVERSION
from trading_platform.core.types import Floats
from trading_platform.training.paths import observations
from trading_platform.training.setup import EPISODE_SESSIONS

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv
else:
    try:
        from stable_baselines3.common.vec_env import VecEnv
    except ImportError:
        VecEnv = object  # `training.packages` has said what is missing before anything is built

COST_BPS = 10.0
REWARDS = ("utility", "sharpe_difference")


class ShadowBookEnv(VecEnv):
    """`n_envs` episodes of 20 sessions side by side, all beginning and ending together; neighbours start alike."""

    def __init__(self, worlds: Sequence[PreparedMarket], n_envs: int, options: EpisodeOptions) -> None:
        if options.reward not in REWARDS:
            raise FixConfigError(f"the controls pay {' or '.join(REWARDS)}, not {options.reward!r}")
        from gymnasium import spaces

        (self._world,) = worlds
        self._how = options
        self._seen: NDArray[np.float32] = observations(self._world).astype(np.float32)
        window = [self._world.row(day) for day in (options.start, options.end) if day is not None]
        self._starts = range(max(self._world.first + 1, window[0]), window[1] - EPISODE_SESSIONS)
        base = self._world.base_returns[self._starts.start : window[1] + 1]
        self._mean, self._usual = float(base.mean()), float(base.std())
        self._rng = np.random.default_rng(0)
        self._actions: Floats = np.empty(0)
        self.render_mode = None
        super().__init__(
            n_envs,
            spaces.Box(-np.inf, np.inf, (self._seen.shape[1],), np.float32),
            spaces.Box(0.0, 1.0, (self._world.n_strategies,), np.float32),
        )
        self._begin()

    def _begin(self) -> None:
        twins = self._how.twins
        drawn = self._rng.integers(self._starts.start, self._starts.stop, -(-self.num_envs // twins))
        self._rows = np.repeat(drawn, twins)[: self.num_envs]
        self._weights = np.tile(self._world.base, (self.num_envs, 1))
        self._sessions, self._sums = 0, np.zeros((4, self.num_envs))
        self._score = np.zeros(self.num_envs)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Draw the episodes that begin from now on by `seed`."""
        self._rng = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def reset(self) -> NDArray[np.float32]:
        """Start all episodes; return observations (E, D)."""
        self._begin()
        return self._seen[self._rows]  # a copy

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take the actions (E, K) in [0, 1]."""
        self._actions = np.clip(np.asarray(actions, dtype=np.float64), 0.0, 1.0)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Move on; return (observations (E, D), rewards (E,), dones (E,), infos)."""
        how, wanted = self._how, np.empty_like(self._actions)
        kind = ACTION_KINDS.index(how.action_kind)
        map_actions(self._actions, self._world.base, how.action_scale, kind, 0.0, self._weights, wanted)
        cost = COST_BPS * BASIS_POINT * np.abs(wanted - self._weights).sum(axis=1)
        self._weights, self._rows, self._sessions = wanted, self._rows + 1, self._sessions + 1
        returns = self._world.strategy_returns[self._rows]
        mine, base = (wanted * returns).sum(axis=1), self._world.base_returns[self._rows]
        score = self._scored(mine, base, cost)
        rewards, self._score = score - self._score, score
        ended = self._sessions == EPISODE_SESSIONS
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended:
            last = self._seen[self._rows]
            infos = [{"terminal_observation": last[e], "TimeLimit.truncated": False} for e in range(self.num_envs)]
            self._begin()
        return self._seen[self._rows], rewards.astype(np.float32), np.full(self.num_envs, ended), infos

    def _scored(self, mine: Floats, base: Floats, cost: Floats) -> Floats:
        """Return the score of each episode so far, as `core.rewards` has it."""
        if self._how.reward == "utility":
            apart = (mine - self._mean) ** 2 - (base - self._mean) ** 2
            self._sums[0] += -cost - 0.5 * UTILITY_AVERSION * apart
            paid: Floats = RETURN_SCALE * self._sums[0]
            return paid
        self._sums += np.stack([mine - cost, (mine - cost) ** 2, base, base**2])
        return self._shrunken(*self._sums[:2]) - self._shrunken(*self._sums[2:])

    def _shrunken(self, total: Floats, squares: Floats) -> Floats:
        weight = self._sessions + EPISODE_PRIOR_SESSIONS
        mean = total / weight
        variance = (squares + EPISODE_PRIOR_SESSIONS * self._usual**2) / weight - mean**2
        ratio: Floats = mean / np.sqrt(variance) * np.sqrt(ANNUAL_SESSIONS)
        return ratio

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch for each index."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: episodes of a batch share their settings."""
        raise FixConfigError(f"{attr_name} cannot be set on a part of a batch")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: a batch has no single environments with methods."""
        raise FixConfigError(f"{method_name} cannot be called on environments of a batch")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return False for each index: there is nothing to wrap."""
        return [False] * self.num_envs
