"""Artificial jobs for the trial in service: five years of weekly challengers whose worth is known.

Six sleeves share a market whose volatility clusters and whose shocks have four degrees of freedom; their own parts do
likewise and may have memory. Every fifth session a new challenger comes, whose weights are a quarter new: a softmax of
random tilts, which know nothing. Its book less that of equal weight is the raw difference; a story then gives it the
worth that it is to have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats
from trading_platform.evaluation.promotion import Objective
from trading_platform.evaluation.service_trial import RETIRE_BELOW, differences
from trading_platform.evaluation.wealth import (
    LIMIT,
    RARE_SESSIONS,
    Wager,
    after,
    begun_again,
    constant_growth,
    new_wager,
    sessions_missing,
    warmed,
    wealth_path,
)

YEARS = 5
SESSIONS = YEARS * ANNUAL_SESSIONS
WEEK = 5
# The shadow books of before tell a challenger's scale and its worst session; nothing is bet on them.
KNOWN_SESSIONS = RARE_SESSIONS
SLEEVES = 6
FREEDOM = 4.0
# GARCH(1, 1) as fitted to daily index returns again and again: shocks, persistence.
SHOCK, PERSISTENCE = 0.06, 0.92
CONSTANT_BETS = np.linspace(0.005, 0.4, 80)


@dataclass(frozen=True, slots=True)
class Story:
    """What the challengers of a job are worth.

    Attributes
    ----------
    memory : autocorrelation of the differences.
    ratio : annual mean over annual volatility of the difference, the volatility that of years: with memory counted.
    lower : part by which the challengers' volatility lies below (objective risk).
    correlation : of the challengers' book with what serves (objective risk).
    crash : chance a session of a fall by 15 deviations that small gains pay for in between (mean as `ratio` says); of a
        day five times as wild that calmer ones pay for (objective risk).
    known : sessions of the shadow books before the job.
    """

    name: str
    objective: Objective
    memory: float = 0.0
    ratio: float = 0.0
    lower: float = 0.0
    correlation: float = 0.95
    crash: float = 0.0
    known: int = KNOWN_SESSIONS

    @property
    def is_better(self) -> bool:
        """Whether the challengers are worth anything."""
        return self.ratio > 0.0 or self.lower > 0.0


STORIES = (
    Story("return, worthless", Objective.RETURN),
    Story("return, worthless, memory 0.1", Objective.RETURN, memory=0.1),
    Story("return, worthless, memory 0.2", Objective.RETURN, memory=0.2),
    Story("return, worthless, small gains and rare crashes", Objective.RETURN, crash=1.0 / 250.0),
    Story("return, ratio 1", Objective.RETURN, ratio=1.0),
    Story("return, ratio 1, memory 0.1", Objective.RETURN, ratio=1.0, memory=0.1),
    Story("return, ratio 2", Objective.RETURN, ratio=2.0),
    Story("return, ratio 2, memory 0.1", Objective.RETURN, ratio=2.0, memory=0.1),
    Story("risk, worthless, correlation 0.95", Objective.RISK),
    Story("risk, worthless, correlation 0.8", Objective.RISK, correlation=0.8),
    Story("risk, worthless, calm days and rare storms", Objective.RISK, crash=1.0 / 100.0),
    Story("risk, worthless, rare storms, correlation 0.8", Objective.RISK, correlation=0.8, crash=1.0 / 100.0),
    Story("risk, worthless, storms once a year", Objective.RISK, crash=1.0 / 250.0),
    Story("risk, worthless, rare storms, two years known", Objective.RISK, crash=1.0 / 100.0, known=504),
    Story("risk, 10 % lower, correlation 0.95", Objective.RISK, lower=0.1),
    Story("risk, 10 % lower, correlation 0.9", Objective.RISK, lower=0.1, correlation=0.9),
    Story("risk, 10 % lower, correlation 0.8", Objective.RISK, lower=0.1, correlation=0.8),
    Story("risk, 5 % lower, correlation 0.98", Objective.RISK, lower=0.05, correlation=0.98),
)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one job.

    `passed` : sessions until a challenger was promoted, those that only taught counted, None in five years. `growth` :
    log of the wealth after five years of bets that nothing ended. `constant` : the same by `CONSTANT_BETS`; empty where
    the challengers are worthless.
    """

    passed: int | None
    growth: float
    constant: tuple[float, ...]


def run_job(story: Story, seed: int, sessions: int = SESSIONS) -> JobResult:
    """Return what became of the job `seed` of `story`, from nothing: no fold, no stake, only books that are known."""
    rng = np.random.default_rng([seed, *story.name.encode()])
    challenger, serving = books(story, rng, story.known + sessions)
    bet_on, squares = differences(challenger, serving, story.objective), serving**2
    begun = warmed(new_wager(story.objective), bet_on[: story.known], squares[: story.known])
    waits = min(sessions, sessions_missing(begun, story.objective))
    begins = story.known + waits
    begun = warmed(begun, bet_on[story.known : begins], squares[story.known : begins])
    bet_on, squares = bet_on[begins:], squares[begins:]
    growth = after(begun, bet_on, squares).log_wealth
    constant = constant_growth(begun, bet_on, CONSTANT_BETS, squares) if story.is_better else np.empty(0)
    passed = sessions_to_pass(begun, bet_on, squares)
    return JobResult(None if passed is None else passed + waits, growth, tuple(constant.tolist()))


def sessions_to_pass(wager: Wager, bet_on: Floats, squares: Floats) -> int | None:
    """Return the session after which a job promotes, looked at every day; None if it never does.

    `bet_on` (T,) are the differences, `squares` (T,) of what serves.

    A challenger that is retired is followed by the next week's, with what is left.
    """
    done = 0
    while done < len(bet_on):
        path = wealth_path(wager, bet_on[done:], squares[done:])
        ends = np.flatnonzero((path > LIMIT) | (path < RETIRE_BELOW))
        if not len(ends):
            return None
        first = int(ends[0])
        if path[first] > LIMIT:
            return done + first + 1
        seen = slice(done, done + first + 1)
        wager = begun_again(after(wager, bet_on[seen], squares[seen]))
        done += (first // WEEK + 1) * WEEK
    return None


def books(story: Story, rng: np.random.Generator, sessions: int) -> tuple[Floats, Floats]:
    """Return daily returns (T,) of a job's challengers and of what serves."""
    market, swing = _clustered(rng, sessions)
    own = np.column_stack([_clustered(rng, sessions)[0] for _ in range(SLEEVES)])
    for t in range(1, sessions if story.memory else 0):
        own[t] += story.memory * own[t - 1]
    raw = ((_weekly_weights(rng, sessions) - 1.0 / SLEEVES) * own).sum(axis=1)
    raw /= math.sqrt(float(np.mean(raw**2)))
    crashes = rng.random(sessions) < story.crash
    serving = 0.006 * market
    if story.objective is Objective.RETURN:
        yearly = math.sqrt((1.0 + story.memory) / (1.0 - story.memory))
        drift = story.ratio / math.sqrt(ANNUAL_SESSIONS) * yearly
        raw = raw - 15.0 * crashes + 15.0 * story.crash
        return serving + 0.001 * (raw + drift), serving
    rho = story.correlation
    mixed = rho * market + math.sqrt(1.0 - rho * rho) * raw * swing
    scale = 1.0 - story.lower
    if story.crash:
        # days of storm five times as wild, paid for by calmer ones: the variance over all is the same
        calm = math.sqrt((1.0 - story.crash * 25.0) / (1.0 - story.crash))
        mixed = mixed * np.where(crashes, 5.0, calm)
    return 0.006 * scale * mixed, serving


def _clustered(rng: np.random.Generator, sessions: int) -> tuple[Floats, Floats]:
    """Return shocks (T,) of variance 1 whose volatility clusters, and that volatility."""
    return _with_clusters(rng.standard_t(FREEDOM, sessions) * math.sqrt((FREEDOM - 2.0) / FREEDOM))


@compiled
def _with_clusters(shocks: Floats) -> tuple[Floats, Floats]:
    swing, out = np.empty(len(shocks)), np.empty(len(shocks))
    variance = 1.0
    for t in range(len(shocks)):
        swing[t] = math.sqrt(variance)
        out[t] = swing[t] * shocks[t]
        # the cap keeps the fourth moment finite
        variance = (1.0 - SHOCK - PERSISTENCE) + SHOCK * min(out[t] ** 2, 50.0) + PERSISTENCE * variance
    return out, swing


def _weekly_weights(rng: np.random.Generator, sessions: int) -> Floats:
    """Return (T, SLEEVES): every week a challenger whose tilts are half of the last one's and the rest new."""
    tilts = np.zeros(SLEEVES)
    weights = np.empty((sessions, SLEEVES))
    for start in range(0, sessions, WEEK):
        tilts = 0.75 * tilts + math.sqrt(1.0 - 0.75**2) * rng.standard_normal(SLEEVES)
        tilted = np.exp(0.25 * tilts)
        weights[start : start + WEEK] = tilted / tilted.sum()
    return weights
