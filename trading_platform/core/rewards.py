"""What an episode is rewarded for, by name. Each name is one score of the episode so far; steps pay its increments.

The score of an episode that has just begun is 0, so rewards of an episode add up to its last score. Below, r are the
book's daily returns after costs, b those of the base allocation on the same days and at the same costs, n the sessions
so far, and the sums are over them. Whoever acts as the base earns exactly 0 in each of the last three.

``sharpe`` - the contract's reward, and the default of the environments. After the last session the score is the plain
annualised Sharpe ratio of the episode, mean(r) / sd(r) x sqrt(252) with n - 1 in the deviation, without a bill rate;
so the rewards of an episode add up to exactly that. A running ratio of two or three days is noise (its deviation is 29
after three), so before the last session the score is the ratio shrunk by five quiet sessions
(`metrics.shrunken_sharpe`); the last reward makes up the difference. Where the plain ratio is not defined (nothing
moved), the shrunken one stays.

``sharpe_difference`` - the same score less that of the base allocation: Sharpe(r) - Sharpe(b). What the market did to
both cancels, which is most of the noise of ``sharpe``; the optimum is the same.

``mean_variance`` - 100 x (sum(r) - sum(b) - A/2 x (sum(r^2) - sum(b^2))) with a risk aversion A of 5: what a day adds
depends on that day alone, so credit goes where it belongs. At A = 5 a daily deviation of 1 % costs 2.5 bp a day.

``utility`` - 100 x (sum(c_b) - sum(c) - A/2 x (sum((r - m)^2) - sum((b - m)^2))), A = 20: the quadratic utility of
``mean_variance`` with the mean taken out. c and c_b are the costs of trading (spread, slippage, impact, fees) over
equity, m is the base allocation's mean daily return over the window that episodes are drawn from. It pays for a calmer
book and for trades not made, and not for having held what went up: risk can be learned, return could not. Whoever holds
a book of Sharpe ratio S and volatility v because nothing suits him better has A = S / v (Merton 1969); for a book of
this engine, 0.8 at 4 % a year, that is 20.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from trading_platform.core.compiled import lean
from trading_platform.core.ledger import Record
from trading_platform.core.metrics import episode_sharpe, shrunken_sharpe

REWARD_KINDS = ("sharpe", "sharpe_difference", "mean_variance", "utility")
SHARPE, SHARPE_DIFFERENCE, MEAN_VARIANCE, UTILITY = range(4)

# A of the module's formulas: of mean_variance, and of utility.
RISK_AVERSION = 5.0
UTILITY_AVERSION = 20.0
# Brings daily returns of some 10 bp to the size of the other rewards.
RETURN_SCALE = 100.0


class Reward(NamedTuple):
    """How steps are rewarded.

    `kind` is a position in `REWARD_KINDS`; `prior_volatility` the daily volatility that a running Sharpe ratio starts
    from; `mean` the m of ``utility``; `sessions` the length of an episode and `last_row` the last one it may reach.
    """

    kind: int
    prior_volatility: float
    mean: float
    sessions: int
    last_row: int


@lean
def episode_score(episode: Record, reward: Reward) -> float:
    """Return the score of an episode (a record of `episodes.EPISODE`) after its last booked session."""
    if reward.kind == MEAN_VARIANCE:
        gain = episode["total"] - episode["base_total"]
        risk = episode["squares"] - episode["base_squares"]
        return float(RETURN_SCALE * (gain - 0.5 * RISK_AVERSION * risk))
    if reward.kind == UTILITY:
        saved = episode["base_costs"] - episode["costs"]
        risk = episode["squares"] - episode["base_squares"]
        risk -= 2.0 * reward.mean * (episode["total"] - episode["base_total"])
        return float(RETURN_SCALE * (saved - 0.5 * UTILITY_AVERSION * risk))
    own = running_sharpe(episode["total"], episode["squares"], episode, reward)
    if reward.kind == SHARPE:
        return own
    return own - running_sharpe(episode["base_total"], episode["base_squares"], episode, reward)


@lean
def running_sharpe(total: float, squares: float, episode: Record, reward: Reward) -> float:
    """Return the plain Sharpe ratio where the episode is over and it is defined, else the shrunken one."""
    count = float(episode["sessions"])
    if episode["sessions"] >= reward.sessions or episode["row"] >= reward.last_row:
        plain = episode_sharpe(total, squares, count)
        if not math.isnan(plain):
            return plain
    return shrunken_sharpe(total, squares, count, reward.prior_volatility)
