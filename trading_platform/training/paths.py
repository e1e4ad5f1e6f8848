"""What a policy would have done over consecutive sessions: one continuous book through the simulation kernel.

A weight row t is decided at close t and earns from session t + 1 on. Books start `LEAD_IN` sessions early under equal
weight, so that nobody is measured on filling an empty book.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.policy import Policy
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.served_policy import Answers, answers, equal_shares, rules_alone, served_policy
from trading_platform.core.session import Rules
from trading_platform.core.simulate import backtest
from trading_platform.core.types import Floats

LEAD_IN = 20


@dataclass(frozen=True, slots=True, eq=False)
class BookPath:
    """One book over n sessions.

    `returns` (n,) daily, after costs; `turnover` (n,) dollars bought and sold, halved, over equity; `weights` (n, K)
    as decided at the close before each session.
    """

    returns: Floats
    turnover: Floats
    weights: Floats

    @property
    def allocation_turnover(self) -> float:
        """One-way turnover of the weights a year: 12 is one whole change of mind a month."""
        if len(self.weights) < 2:
            return 0.0
        return float(0.5 * np.abs(np.diff(self.weights, axis=0)).sum(axis=1).mean() * ANNUAL_SESSIONS)


def observations(world: PreparedMarket) -> Floats:
    """Return what a policy sees on every session, (T, D); entries that depend on the book are neutral."""
    rows = np.tile(np.array([field.neutral for field in world.schema]), (world.n_sessions, 1))
    rows[:, world.schema.exogenous] = world.exogenous
    # The environment hands out float32: decide on the very numbers that training saw.
    return rows.astype(np.float32).astype(np.float64)


def policy_answers(
    world: PreparedMarket, policy: Policy, base: Floats, kind: str, scale: float, on_rules: bool = False
) -> Answers:
    """Return what a policy whose features do not depend on the book is served as, weights (T, K) and codes (T,).

    `on_rules` : whether published rules multiply what it says.

    Raises
    ------
    ValueError
        The policy looks at the book; such a one has to be stepped through the environment.
    """
    if not np.isin(policy.scaling.index, world.schema.exogenous).all():
        raise ValueError("the policy looks at the portfolio or the episode: its weights cannot be known beforehand")
    served = served_policy(policy, base, kind, scale, world.schema, world.works, on_rules=on_rules)
    return answers(served, observations(world))


def rules_weights(world: PreparedMarket) -> Floats:
    """Return equal weight tilted by published rules alone on every session, (T, K)."""
    return answers(rules_alone(world.schema, world.works), observations(world)).weights


def equal_weights(world: PreparedMarket) -> Floats:
    """Return equal shares of the sleeves that do not stand aside on every session, (T, K)."""
    return np.tile(equal_shares(world.works), (world.n_sessions, 1))


def run_path(world: PreparedMarket, weights: Floats, rows: range, rules: Rules | None = None) -> BookPath:
    """Trade `weights` (T, K) and return what sessions `rows` brought.

    Raises
    ------
    ValueError
        `rows` do not leave room for the session before them.
    """
    start = max(1, rows.start - LEAD_IN)
    if not (1 <= rows.start < rows.stop <= world.n_sessions):
        raise ValueError(f"rows {rows} are not inside the {world.n_sessions} sessions of the market")
    decided = equal_weights(world)
    decided[rows.start - 1 : rows.stop] = weights[rows.start - 1 : rows.stop]
    result = backtest(world.market, world.signals, decided, rules or world.rules, world.capital, start - 1, rows.stop)
    equity = result.days["equity"]
    returns = equity[1:] / equity[:-1] - 1.0
    measured = slice(rows.start - start, None)
    fill_rows = np.searchsorted(world.market.day, result.fills["day"]) - start
    traded = np.bincount(fill_rows[fill_rows >= 0], result.fills["amount"][fill_rows >= 0], minlength=len(returns))
    turnover = 0.5 * traded / equity[:-1]
    return BookPath(returns[measured], turnover[measured], decided[rows.start - 1 : rows.stop - 1])
