"""What a moved weight really costs: of each dollar that a policy moves, how much does an account trade?

Not the dollar. Most of a strategy's weight is cash, which moves for nothing; moves within the band about a position are
not traded at all; and a slot is bounded, so that more weight rarely buys more. With nine strategies on the stocks and
funds of 2000 to 2017 it was 8 to 17 cents for policies that move by the day or week, and 68 for the published rules,
which move rarely and far. Besides, a strategy alone cannot fill an account that allows 5 % a name: the shadow books
move a quarter as much as the account does, so that a dollar of theirs is four of its own.
"""

from __future__ import annotations

import numpy as np

from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.training.paths import run_path

# What a policy that hardly ever moved is charged: half of a weight, as though this much weight had moved so. An account
# of ten slots of 5 % has at most half of its capital in the market.
HELD, PRIOR_MOVED = 0.5, 1.0
# Two books drift apart by what they hold, and may trade less or more for that alone: nobody is charged less than the
# least that was measured.
LEAST_TRADED = 0.08


def traded_share(world: PreparedMarket, weights: Floats) -> float:
    """Return what an account trades for each dollar that `weights` (T, K) move, in dollars of the shadow books.

    Measured by the kernel on all sessions that are known: dollars bought and sold at `weights` beyond what their mean,
    held still, buys and sells. That an account moves more than its strategies do alone, which cannot fill it, is taken
    into account: a dollar of theirs is worth so many of its own.
    """
    rows = range(world.first + 1, world.n_sessions)
    decided = weights[rows.start - 1 : rows.stop - 1]
    moved = float(np.abs(np.diff(decided, axis=0)).sum())
    still = np.tile(decided.mean(axis=0), (world.n_sessions, 1))
    # an account that is stopped trades nothing, and would look cheap
    limits = world.rules.limits._replace(max_total_drawdown=1.0, second_halt_asks=0)
    rules = world.rules._replace(limits=limits)
    books = [run_path(world, chosen, rows, rules).turnover.sum() for chosen in (weights, still)]
    beyond = max(0.0, 2.0 * float(books[0] - books[1]))  # turnover is of one side
    share = min(1.0, max(LEAST_TRADED, (beyond + HELD * PRIOR_MOVED) / (moved + PRIOR_MOVED)))
    return share / book_size(world)


def book_size(world: PreparedMarket) -> float:
    """Return how much more the account of the base allocation moves than its strategies' shadow books; at least 1."""
    alone = (world.base * world.strategy_returns).sum(axis=1)
    known = np.isfinite(alone)
    known[: world.first] = False
    whole, parts = float(world.base_returns[known].std()), float(alone[known].std())
    return max(1.0, whole / parts) if parts > 0.0 else 1.0
