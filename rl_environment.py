"""TradingAllocEnv: the engine's own decision core as a place to learn capital allocation in.

One step is one session: at its close the action splits capital between the strategies, the next session fills, stops
and marks, exactly as a backtest or live trading would, every risk rule included. An episode is 20 sessions and starts
from the portfolio that equal weight holds on a random day. Time: a book at row t is the state after session t and
before the decision at its close.

    >>> env = TradingAllocEnv()                     # the embedded market; or a folder, a DataFrame, a panel
    >>> observation, info = env.reset(seed=1)
    >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

After ``import rl_environment`` gymnasium knows it: ``gymnasium.make("TradingAlloc-v0")``, and ``make_vec`` for many
episodes at once (`TradingAllocVectorEnv`); without the import ``gymnasium.make("rl_environment:TradingAlloc-v0")``.
`BatchedAllocEnv` is the same for stable-baselines3's training.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.action_map import checked_actions
from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import ObservationSchema
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.training.batched_env import BatchedAllocEnv
from trading_platform.training.env_market import environment_market, environment_options
from trading_platform.training.env_spaces import action_space, needs_gymnasium, observation_space
from trading_platform.training.vector_env import TradingAllocVectorEnv

if TYPE_CHECKING:
    from gymnasium import Env

    AllocEnvBase = Env[NDArray[np.float32], NDArray[np.float32]]
else:
    try:
        from gymnasium import Env as AllocEnvBase
    except ImportError:
        AllocEnvBase = object

__all__ = ["ENVIRONMENT_ID", "BatchedAllocEnv", "TradingAllocEnv", "TradingAllocVectorEnv", "register_environment"]

ENVIRONMENT_ID = "TradingAlloc-v0"


class TradingAllocEnv(AllocEnvBase):
    """One portfolio, one agent (gymnasium).

    Parameters
    ----------
    data
        What is traded: None for the embedded market, a folder of bars, a pandas DataFrame of bars, a `MarketPanel`, or
        a market from `trading_platform.core.prepare`; see `trading_platform.training.env_market`.
    options
        Window of sessions, reward, action map, cost randomisation.
    render_mode
        "figure" (matplotlib), "rgb_array", or None.
    reward
        "sharpe" (the default: rewards of an episode add up to its plain Sharpe ratio), "sharpe_difference",
        "mean_variance" or "utility"; `trading_platform.core.rewards` has each in a paragraph. Wins over `options`.
    cost_bps
        Half-spread and slippage in basis points; the engine's default costs when None.
    strategies
        Names of strategies; the default set when None. Those that the data have nothing for stand aside.

    Spaces: observations Box(-inf, inf, (D,), float32) by `schema`, actions Box(0, 1, (K,)), one number a strategy. The
    weights that are used are the action over its sum; all zeros, like all equal, is equal weight. `options` knows other
    maps (training uses one). `reset(options={"start": date})` starts on that session or the first after it. A step
    after the end of an episode, and a step before the first reset, raise `FixConfigError`; a bad action raises
    `BadActionError` and moves nothing. An episode ends `terminated` after 20 sessions, `truncated` where data end.

    `info`, of `reset` and `step` alike; money in dollars, the rest fractions:

    ================================  =================================================================================
    session                           date of the close that the observation describes
    equity                            of the book at that close
    weights                           (K,) capital weights that were used for this session, summing to 1
    episode_sharpe                    plain annualised Sharpe ratio of the episode so far; None below two sessions
    equal_weight_sharpe               the same of the base allocation, equal weight, on the same days
    turnover                          dollars bought and sold since the start, over the equity at the start
    fees                              commissions and exchange fees since the start
    costs                             fees and spread, slippage and impact since the start
    denials                           orders refused by the risk rules since the start, by code
    ================================  =================================================================================
    """

    metadata: dict[str, Any] = {"render_modes": ["figure", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - as in gymnasium

    def __init__(
        self,
        data: object = None,
        options: EpisodeOptions | None = None,
        render_mode: str | None = None,
        *,
        reward: str | None = None,
        cost_bps: float | None = None,
        strategies: Sequence[str] | None = None,
    ) -> None:
        needs_gymnasium("TradingAllocEnv")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise FixConfigError(f"render_mode must be figure, rgb_array or None, was {render_mode!r}")
        chosen = environment_options(options, reward)
        self.render_mode = render_mode
        self._batch = EpisodeBatch([environment_market(data, strategies, cost_bps)], 1, chosen)
        self._history: list[tuple[float, float, Floats]] = []
        self._is_over = True
        self.observation_space = observation_space(self._batch)
        self.action_space = action_space(self._batch)

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


def register_environment() -> None:
    """Make gymnasium know `ENVIRONMENT_ID`; done on import, and by the entry point of an installed package."""
    from gymnasium import register, registry

    if ENVIRONMENT_ID not in registry:
        register(
            ENVIRONMENT_ID,
            entry_point="rl_environment:TradingAllocEnv",
            vector_entry_point="rl_environment:TradingAllocVectorEnv",
        )


if AllocEnvBase is not object:
    register_environment()
