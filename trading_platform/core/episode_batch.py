"""Many episodes over one or several prepared markets: who starts where, and one session on for all of them.

Both environments are shells around this: the scalar one holds a batch of one. Episode e of a batch that was seeded with
s behaves as the scalar environment that was seeded with s + e.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.action_map import ACTION_KINDS, check_map, checked_actions, map_actions
from trading_platform.core.episodes import (
    EPISODE,
    market_costs,
    observe_episodes,
    score_episodes,
    start_episodes,
    trading_costs,
)
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.metrics import episode_sharpe
from trading_platform.core.observation import EPISODE_SESSIONS
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.rewards import REWARD_KINDS, Reward
from trading_platform.core.risk.denial_codes import DENIAL_CODES
from trading_platform.core.simulate import N_CODES, new_scratch, open_books, step_books
from trading_platform.core.types import Bools, Floats, Ints

Execute = Callable[[Callable[["Part"], None], Sequence["Part"]], None]

DRAWS = 64  # episodes whose chances are drawn at once: a call of a Generator costs as much as a step


@dataclass(frozen=True, slots=True)
class EpisodeOptions:
    """What both environments have in common.

    Attributes
    ----------
    start, end
        First and last session that episodes may touch; None = all that the market knows.
    reward
        One of "sharpe" (the contract's: rewards add up to the episode's plain Sharpe ratio), "sharpe_difference",
        "mean_variance" and "utility"; each is told, with its formula, in `core.rewards`.
    prior_volatility
        Daily volatility that the shrunken Sharpe ratio starts from; that of the base allocation between `start` and
        `end` when None.
    action_kind, action_scale, zero_threshold
        See `core.action_map`. "proportional" takes the action's entries as the weights themselves, over their sum.
    cost_jitter
        Each episode's spread, slippage and impact are multiplied by a factor between 1 / (1 + jitter) and 1 + jitter;
        the base allocation that it is measured against pays the same.
    twins
        So many neighbouring episodes of a batch have the same chances: they start on the same day, at the same costs.
    """

    start: date | None = None
    end: date | None = None
    reward: str = "sharpe"
    prior_volatility: float | None = None
    action_kind: str = "proportional"
    action_scale: float = 1.0
    zero_threshold: float = 0.0
    cost_jitter: float = 0.0
    twins: int = 1

    def __post_init__(self) -> None:
        if self.reward not in REWARD_KINDS:
            raise FixConfigError(f"reward must be one of {', '.join(REWARD_KINDS)}, was {self.reward!r}")
        if self.prior_volatility is not None and not (0.0 < self.prior_volatility < math.inf):
            raise FixConfigError(f"prior_volatility must be positive and finite, was {self.prior_volatility!r}")
        if not (0.0 <= self.zero_threshold < 0.5):
            raise FixConfigError(f"zero_threshold must be in [0, 0.5), was {self.zero_threshold!r}")
        if not (0.0 <= self.cost_jitter < math.inf):
            raise FixConfigError(f"cost_jitter must be >= 0 and finite, was {self.cost_jitter!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Episodes [first, last) of the batch, all in one market; `stop` is the row after the last they may reach.

    `base_costs` (T,) are what the base allocation paid in each session, over its equity.
    """

    world: PreparedMarket
    first: int
    last: int
    lowest: int
    stop: int
    reward: Reward
    base_costs: Floats
    episodes: Ints
    scratch: Ints


def in_turn(task: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Run `task` on one part after the other."""
    for part in parts:
        task(part)


class EpisodeBatch:
    """E episodes; `rewards` (E,) and `weights` (E, K) are overwritten by every step, `observations` (E, D) are new.

    Parameters
    ----------
    worlds : prepared markets of the same strategies; episodes are spread over them evenly.
    n_parts : pieces that may run at the same time, at least one a market.
    """

    def __init__(
        self, worlds: Sequence[PreparedMarket], n_episodes: int, options: EpisodeOptions, n_parts: int = 1
    ) -> None:
        names = {world.schema.names for world in worlds}
        if len(names) != 1 or n_episodes < len(worlds):
            raise FixConfigError(
                f"{n_episodes} environments over {len(worlds)} markets: there must be at least one market and one "
                "environment a market, and all markets must have the same strategies"
            )
        world = worlds[0]
        check_map(world.base, options.action_scale, options.action_kind)
        self.options = options
        self.schema = world.schema
        self.n_strategies = world.n_strategies
        self.parts = _split(worlds, n_episodes, options, n_parts)
        limits, n_tickers = world.rules.limits, max(len(one.market.bars) for one in worlds)
        self.books = open_books(n_episodes, limits.max_positions, self.n_strategies, n_tickers, world.capital)
        # At costs of its own an episode needs a base of its own: its books beside, else what was recorded once.
        self.base_books = None
        if options.cost_jitter > 0.0:
            self.base_books = open_books(n_episodes, limits.max_positions, self.n_strategies, n_tickers, world.capital)
            self._base_weights = np.repeat(
                np.concatenate([part.world.base[None] for part in self.parts]),
                [part.last - part.first for part in self.parts],
                axis=0,
            )
            self._base_denials = np.zeros((n_episodes, N_CODES), dtype=np.int64)
        self.episodes = np.zeros(n_episodes, dtype=EPISODE)
        self.weights = np.zeros((n_episodes, self.n_strategies))
        self.observations: NDArray[np.float32] = np.zeros((n_episodes, len(self.schema)), dtype=np.float32)
        self.rewards = np.zeros(n_episodes)
        self.denials = np.zeros((n_episodes, N_CODES), dtype=np.int64)
        self.cost_scale = np.ones(n_episodes)
        self._kind = ACTION_KINDS.index(options.action_kind)
        self._stops = np.concatenate([np.full(part.last - part.first, part.stop) for part in self.parts])
        self._lowest = np.concatenate([np.full(part.last - part.first, part.lowest) for part in self.parts])
        self._no_log = new_fill_log(0)
        self._actions = np.zeros((n_episodes, self.n_strategies))
        self._rows = np.zeros(n_episodes, dtype=np.int64)
        self._generators = [np.random.default_rng(e) for e in range(n_episodes)]
        self._draws = np.zeros((n_episodes, DRAWS, 2))
        self._drawn = np.full(n_episodes, DRAWS, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.episodes)

    def part_of(self, e: int) -> Part:
        """Return the part that holds episode `e`."""
        return next(part for part in self.parts if part.first <= e < part.last)

    def seed(self, e: int, generator: np.random.Generator) -> None:
        """Take the chances of episode `e` from `generator` from now on."""
        self._generators[e] = generator
        self._drawn[e] = DRAWS

    def reset(self, which: Ints, rows: Ints | None = None, execute: Execute = in_turn) -> None:
        """Start episodes `which` (n,) at `rows` (n,), or at random ones; their `observations` are overwritten."""
        for e in which[self._drawn[which] >= DRAWS]:
            self._draws[e] = self._generators[e].random((DRAWS, 2))
            self._drawn[e] = 0
        chances = self._draws[which, self._drawn[which]]
        self._drawn[which] += 1
        choices = self._stops[which] - EPISODE_SESSIONS - self._lowest[which]
        starts = self._lowest[which] + (chances[:, 0] * choices).astype(np.int64) if rows is None else rows
        self.cost_scale[which] = (1.0 + self.options.cost_jitter) ** (2.0 * chances[:, 1] - 1.0)

        def begin(part: Part) -> None:
            chosen = (which >= part.first) & (which < part.last)
            if chosen.any():
                mine = which[chosen]
                start_episodes(
                    self.books,
                    mine,
                    starts[chosen],
                    part.world.warm,
                    part.world.base,
                    self.episodes,
                    self.weights,
                    self.denials,
                )
                if self.base_books is not None:
                    part.world.warm.begin(self.base_books, mine, starts[chosen])
                self._observe(part, mine)

        execute(begin, self.parts)

    def step(self, actions: object, execute: Execute = in_turn) -> tuple[Bools, Bools]:
        """Move all episodes one session on; return (terminated (E,), truncated (E,)).

        `execute` runs a task on every part, in any order or at the same time.

        Raises
        ------
        BadActionError
            The actions are not finite floats in [0, 1] of shape (E, K); nothing has moved.
        """
        self._actions = checked_actions(actions, self.weights.shape)
        self.observations = np.empty_like(self.observations)
        execute(self._step_part, self.parts)
        terminated: Bools = self.episodes["sessions"] >= EPISODE_SESSIONS
        truncated: Bools = ~terminated & (self.episodes["row"] >= self._stops - 1)
        return terminated, truncated

    def _step_part(self, part: Part) -> None:
        world, first, last = part.world, part.first, part.last
        how, mapped = self.options, self.weights[first:last]
        map_actions(
            self._actions[first:last], world.base, how.action_scale, self._kind, how.zero_threshold, mapped, mapped
        )
        self._rows[first:last] = self.episodes["row"][first:last]
        step_books(
            self.books,
            first,
            last,
            world.market,
            world.signals,
            self._rows,
            self.weights,
            world.rules,
            self.cost_scale,
            self.denials,
            part.scratch,
            self._no_log,
        )
        base_returns, base_costs = self._base_session(part)
        score_episodes(self.books, first, last, base_returns, base_costs, part.reward, self.episodes, self.rewards)
        self._observe(part, part.episodes)

    def _base_session(self, part: Part) -> tuple[Floats, Floats]:
        """Return what the session just run brought the base allocation of each episode of `part`: return and costs."""
        world, first, last = part.world, part.first, part.last
        if self.base_books is None:
            rows = self._rows[first:last] + 1
            return world.base_returns[rows], part.base_costs[rows]
        accounts = self.base_books.accounts[first:last]
        equity, paid = accounts["equity"].copy(), trading_costs(accounts)
        step_books(
            self.base_books,
            first,
            last,
            world.market,
            world.signals,
            self._rows,
            self._base_weights,
            world.rules,
            self.cost_scale,
            self._base_denials,
            part.scratch,
            self._no_log,
        )
        return accounts["equity"] / equity - 1.0, (trading_costs(accounts) - paid) / equity

    def _observe(self, part: Part, which: Ints) -> None:
        market, exogenous = part.world.market, part.world.exogenous
        observe_episodes(self.books, which, market, exogenous, self.episodes, self.weights, self.observations)

    def info(self, e: int) -> dict[str, Any]:
        """Return what there is to know about episode `e`; money in dollars, the rest fractions.

        Plain Sharpe ratios are None below two sessions; `costs` are fees, spread,
        slippage and impact; `turnover` is dollars bought and sold over the equity at the start.
        """
        episode, account, world = self.episodes[e], self.books.accounts[e], self.part_of(e).world
        count = float(episode["sessions"])
        traded = float(account["traded"] - episode["start_traded"])
        fees = float(account["fees"] - episode["start_fees"])
        lost = float(market_costs(account) - episode["start_costs"])
        refused = {
            code.value: int(n) for code, n in zip(DENIAL_CODES, self.denials[e], strict=True) if n and code != "OK"
        }
        return {
            "session": world.session(int(episode["row"])),
            "equity": float(episode["equity"]),
            "weights": tuple(float(w) for w in self.weights[e]),
            "episode_sharpe": _known(episode_sharpe(float(episode["total"]), float(episode["squares"]), count)),
            "equal_weight_sharpe": _known(
                episode_sharpe(float(episode["base_total"]), float(episode["base_squares"]), count)
            ),
            "turnover": traded / float(episode["start_equity"]),
            "fees": fees,
            "costs": fees + lost,
            "denials": refused,
        }


def _known(value: float) -> float | None:
    """Return None for NaN, which equals nothing, itself included."""
    return None if math.isnan(value) else value


def _split(
    worlds: Sequence[PreparedMarket], n_episodes: int, options: EpisodeOptions, n_parts: int
) -> tuple[Part, ...]:
    pieces = math.lcm(n_parts, len(worlds)) // len(worlds)  # as many parts for one thread as for another
    parts = []
    for world, of_world in zip(worlds, np.array_split(np.arange(n_episodes), len(worlds)), strict=True):
        lowest, stop = _bounds(world, options)
        prior = options.prior_volatility or float(np.std(world.base_returns[lowest:stop]))
        if not (prior > 0.0):
            raise FixConfigError("the base allocation never moved; give prior_volatility")
        mean = float(np.mean(world.base_returns[lowest:stop]))
        reward = Reward(REWARD_KINDS.index(options.reward), prior, mean, EPISODE_SESSIONS, stop - 1)
        for piece in np.array_split(of_world, min(pieces, len(of_world))):
            scratch = new_scratch(world.n_strategies, world.rules.limits.max_reviews)
            first, last = int(piece[0]), int(piece[-1]) + 1
            parts.append(Part(world, first, last, lowest, stop, reward, _base_costs(world), piece, scratch))
    return tuple(parts)


def _base_costs(world: PreparedMarket) -> Floats:
    """Return what the base allocation paid in each session over its equity before, (T,); 0 on the first row."""
    paid, costs = trading_costs(world.warm.accounts), np.zeros(world.n_sessions)
    costs[1:] = np.diff(paid) / world.warm.accounts["equity"][:-1]
    return costs


def _bounds(world: PreparedMarket, options: EpisodeOptions) -> tuple[int, int]:
    lowest = world.first if options.start is None else max(world.first, world.row(options.start))
    stop = world.n_sessions
    if options.end is not None:
        stop = int(np.searchsorted(world.sessions, np.datetime64(options.end, "D"), side="right"))
    if stop - lowest <= EPISODE_SESSIONS:
        raise MarketDataError(
            f"an episode needs {EPISODE_SESSIONS + 1} sessions, but only {max(0, stop - lowest)} are known between "
            f"{options.start or 'the start'} and {options.end or 'the end'}: statistics begin on "
            f"{world.session(world.first)}; widen the window or load a longer history"
        )
    return lowest, stop
