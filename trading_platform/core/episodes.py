"""Episodes of many portfolios at once: start warm, step, reward, observe. The core of both environments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.action_map import map_actions
from trading_platform.core.compiled import lean
from trading_platform.core.ledger import Records
from trading_platform.core.market import Market, Signals
from trading_platform.core.metrics import shrunken_sharpe
from trading_platform.core.observation import Episode, write_observation
from trading_platform.core.session import FillLog, Rules
from trading_platform.core.simulate import Books, step_books
from trading_platform.core.types import Floats, Ints

# Weight of variance in the "mean_variance" reward; at 5 a daily deviation of 1 % costs 2.5 bp a day.
RISK_AVERSION = 5.0
# Brings daily returns of some 10 bp to the size of the other rewards.
MEAN_VARIANCE_SCALE = 100.0

REWARD_KINDS = ("sharpe_difference", "sharpe", "mean_variance")
SHARPE_DIFFERENCE, SHARPE, MEAN_VARIANCE = range(3)

EPISODE = np.dtype(
    [
        ("row", np.int64),  # of the last close
        ("start_row", np.int64),
        ("sessions", np.int64),
        ("start_equity", np.float64),
        ("equity", np.float64),
        ("total", np.float64),  # sum of daily returns
        ("squares", np.float64),
        ("base_total", np.float64),  # the same of the base allocation, on the same days
        ("base_squares", np.float64),
        ("score", np.float64),  # the value whose increments are the reward
        ("start_traded", np.float64),
        ("start_fees", np.float64),
    ]
)


# Episodes that are stepped, scored and observed before the next ones are touched: their books stay in the cache.
BLOCK = 32


class Reward(NamedTuple):
    """How steps are rewarded: position in `REWARD_KINDS`, and the prior's daily volatility."""

    kind: int
    prior_volatility: float


class ActionMap(NamedTuple):
    """How actions become capital weights; see `core.action_map.map_actions`."""

    base: Floats
    scale: float
    kind: int
    threshold: float


@lean
def advance_episodes(
    books: Books,
    first: int,
    last: int,
    market: Market,
    signals: Signals,
    rules: Rules,
    exogenous: Floats,
    base_returns: Floats,
    action_map: ActionMap,
    reward: Reward,
    actions: Floats,
    cost_scale: Floats,
    episodes: Records,
    weights: Floats,
    rows: Ints,
    denials: Ints,
    rewards: Floats,
    observations: NDArray[np.float32],
    scratch: Ints,
    no_log: FillLog,
) -> None:
    """Move episodes [first, last) one session on: map checked `actions` (E, K), decide and trade, score, observe.

    `rows` (E,), `weights` (E, K), `denials`, `rewards` (E,) and `observations` (E, D) are written; see `step_books`.
    """
    for start in range(first, last, BLOCK):
        stop = min(last, start + BLOCK)
        given, mapped, how = actions[start:stop], weights[start:stop], action_map
        map_actions(given, how.base, how.scale, how.kind, how.threshold, mapped, mapped)
        for e in range(start, stop):
            rows[e] = episodes[e]["row"]
        step_books(books, start, stop, market, signals, rows, weights, rules, cost_scale, denials, scratch, no_log)
        score_episodes(books, start, stop, base_returns, reward, episodes, rewards)
        observe_episodes(books, start, stop, market, exogenous, episodes, weights, observations)


@lean
def begin_episodes(
    books: Books,
    which: Ints,
    rows: Ints,
    warm: Books,
    market: Market,
    exogenous: Floats,
    base: Floats,
    episodes: Records,
    weights: Floats,
    denials: Ints,
    observations: NDArray[np.float32],
) -> None:
    """Start episodes `which` (n,) at rows `rows` (n,) from what the base allocation holds there, and observe them."""
    for i in range(len(which)):
        e, t = which[i], rows[i]
        books.accounts[e] = warm.accounts[t]
        for s in range(books.slots.shape[1]):
            books.slots[e, s] = warm.slots[t, s]
        if warm.accounts[t]["halted"] != 0:  # else nobody looks at the shadow
            books.shadows[e] = warm.shadows[t]
            for s in range(books.slots.shape[1]):
                books.shadow_slots[e, s] = warm.shadow_slots[t, s]
        for k in range(len(base)):
            weights[e, k] = base[k]
        account = books.accounts[e]
        episode = episodes[e]
        episode["row"] = t
        episode["start_row"] = t
        episode["sessions"] = 0
        episode["start_equity"] = account["equity"]
        episode["equity"] = account["equity"]
        episode["total"] = 0.0
        episode["squares"] = 0.0
        episode["base_total"] = 0.0
        episode["base_squares"] = 0.0
        episode["score"] = 0.0
        episode["start_traded"] = account["traded"]
        episode["start_fees"] = account["fees"]
        denials[e, :] = 0
        observe_episodes(books, e, e + 1, market, exogenous, episodes, weights, observations)


@lean
def score_episodes(
    books: Books, first: int, last: int, base_returns: Floats, reward: Reward, episodes: Records, rewards: Floats
) -> None:
    """Book the session that `step_books` has just run for episodes [first, last), and fill `rewards` (E,)."""
    for e in range(first, last):
        episode = episodes[e]
        equity = books.accounts[e]["equity"]
        change = equity / episode["equity"] - 1.0
        row = episode["row"] + 1
        base = base_returns[row]
        episode["row"] = row
        episode["sessions"] += 1
        episode["equity"] = equity
        episode["total"] += change
        episode["squares"] += change * change
        episode["base_total"] += base
        episode["base_squares"] += base * base
        count = float(episode["sessions"])
        score = 0.0
        if reward.kind == MEAN_VARIANCE:
            gain = episode["total"] - episode["base_total"]
            risk = episode["squares"] - episode["base_squares"]
            score = MEAN_VARIANCE_SCALE * (gain - 0.5 * RISK_AVERSION * risk)
        else:
            score = shrunken_sharpe(episode["total"], episode["squares"], count, reward.prior_volatility)
            if reward.kind == SHARPE_DIFFERENCE:
                score -= shrunken_sharpe(episode["base_total"], episode["base_squares"], count, reward.prior_volatility)
        rewards[e] = score - episode["score"]
        episode["score"] = score


@lean
def observe_episodes(
    books: Books,
    first: int,
    last: int,
    market: Market,
    exogenous: Floats,
    episodes: Records,
    weights: Floats,
    observations: NDArray[np.float32],
) -> None:
    """Fill `observations` (E, D) of episodes [first, last) at their last close."""
    for e in range(first, last):
        episode = episodes[e]
        t = episode["row"]
        so_far = Episode(episode["start_equity"], episode["sessions"], episode["total"], episode["squares"])
        write_observation(
            observations[e], exogenous[t], books.accounts[e], books.slots[e], market, t, so_far, weights[e]
        )
