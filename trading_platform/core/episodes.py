"""Episodes of many portfolios at once: start warm, step, reward, observe. The core of both environments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import lean
from trading_platform.core.ledger import Records
from trading_platform.core.market import Market
from trading_platform.core.observation import Episode, write_observation
from trading_platform.core.recorded_books import RecordedBooks, as_words
from trading_platform.core.rewards import Reward, episode_score
from trading_platform.core.simulate import Books
from trading_platform.core.types import Floats, Ints

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
        ("costs", np.float64),  # sum of the sessions' costs over equity
        ("base_costs", np.float64),
        ("paid", np.float64),  # costs of the book up to the last close, dollars
        ("score", np.float64),  # the value whose increments are the reward
        ("start_traded", np.float64),
        ("start_fees", np.float64),
        ("start_costs", np.float64),  # spread, slippage and impact so far
    ]
)


def start_episodes(
    books: Books,
    which: Ints,
    rows: Ints,
    warm: RecordedBooks,
    base: Floats,
    episodes: Records,
    weights: Floats,
    denials: Ints,
) -> None:
    """Start episodes `which` (n,) at rows `rows` (n,) with the portfolios and weights of the base allocation there."""
    warm.begin(books, which, rows)
    started = np.zeros(len(which), dtype=EPISODE)
    started["row"] = started["start_row"] = rows
    started["equity"] = started["start_equity"] = warm.accounts["equity"][rows]
    started["start_traded"], started["start_fees"] = warm.accounts["traded"][rows], warm.accounts["fees"][rows]
    started["start_costs"] = market_costs(warm.accounts[rows])
    started["paid"] = trading_costs(warm.accounts[rows])
    as_words(episodes)[which] = as_words(started)
    weights[which] = base
    denials[which] = 0


def market_costs(accounts: Records) -> Floats:
    """Return what accounts (n,) have lost to spread, slippage and impact, dollars."""
    total: Floats = accounts["spread"] + accounts["slippage"] + accounts["impact"]
    return total


def trading_costs(accounts: Records) -> Floats:
    """Return all that accounts (n,) have paid for trading, fees included, dollars."""
    total: Floats = market_costs(accounts) + accounts["fees"]
    return total


@lean
def score_episodes(
    books: Books,
    first: int,
    last: int,
    base_returns: Floats,
    base_costs: Floats,
    reward: Reward,
    episodes: Records,
    rewards: Floats,
) -> None:
    """Book the session that `step_books` has just run for episodes [first, last), and fill `rewards` (E,).

    `base_returns` and `base_costs` (last - first,) are what the session brought the base allocation: return, and costs
    over equity.
    """
    for e in range(first, last):
        episode, account = episodes[e], books.accounts[e]
        equity = account["equity"]
        change = equity / episode["equity"] - 1.0
        paid = account["spread"] + account["slippage"] + account["impact"] + account["fees"]
        base = base_returns[e - first]
        episode["costs"] += (paid - episode["paid"]) / episode["equity"]
        episode["base_costs"] += base_costs[e - first]
        episode["paid"] = paid
        episode["row"] += 1
        episode["sessions"] += 1
        episode["equity"] = equity
        episode["total"] += change
        episode["squares"] += change * change
        episode["base_total"] += base
        episode["base_squares"] += base * base
        score = episode_score(episode, reward)
        rewards[e] = score - episode["score"]
        episode["score"] = score


@lean
def observe_episodes(
    books: Books,
    which: Ints,
    market: Market,
    exogenous: Floats,
    episodes: Records,
    weights: Floats,
    observations: NDArray[np.float32],
) -> None:
    """Fill `observations` (E, D) of episodes `which` (n,) at their last close."""
    for i in range(len(which)):
        e = which[i]
        episode = episodes[e]
        t = episode["row"]
        so_far = Episode(episode["start_equity"], episode["sessions"], episode["total"], episode["squares"])
        write_observation(
            observations[e], exogenous[t], books.accounts[e], books.slots[e], market, t, so_far, weights[e]
        )
