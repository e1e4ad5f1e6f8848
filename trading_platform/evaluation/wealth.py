"""Evidence as money: bet each day that the challenger does better than what serves, and look at what became of it.

If nothing is better, no way of betting can expect to win, and the chance that one dollar ever becomes 20 is at most 5 %
(Ville 1939), however often one looks and whatever was chosen by what had been seen. So one wealth belongs to the whole
job: weekly challengers replace each other in the same trial, and what is bet on is the procedure that makes them. Five
years of 260 challengers are one test. After a promotion the next trial begins with one dollar again: a sequence in
which each test waits for the one before it to be passed keeps the error of one (fixed-sequence testing).

How it is bet (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"; the bets are a
mixture, as in Cover's universal portfolio, since a fixed one fits one size of gain):

* A session's difference d is `matched` (objective return: the challenger at the volatility of the other, less the
  other) or that of squares (risk: the other's squared return less the challenger's).
* It is made into news in scales, x, by what was known the day before. A bet of size b turns 1 into 1 + b x. The wealth
  is the mean over the bets of `BETS`, each left alone.
* Return: what yesterday's tells of it is taken out, e_t = d_t - phi d_(t-1) with phi from the past, within [0, 1/2]: a
  difference with memory would else win by what it lasts. The mean keeps its sign. e is divided by its own scale, a root
  mean square that forgets with a half-life of 14 sessions. A gain counts at most 8 scales; a loss is never cut, and a
  bet that it ruins stays ruined. None is larger than what the worst session known, come again, would have left a tenth.
* Risk: see :mod:`trading_platform.evaluation.calm_news`. What is rare has to be known first, so nothing is bet on less
  risk before `RARE_SESSIONS` sessions of the sleeves' books are known, those of service included. What comes more
  rarely than that, no bet can see.

At an information ratio of r a year the best of constant bets grows by about r^2 / 2 a year: one dollar becomes 20 after
6 / r^2 years. What the mixture reaches of that, and how often the worthless pass: docs/gate.md, `make gate-simulation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Floats
from trading_platform.evaluation.calm_news import SUMS as RISK_SUMS
from trading_platform.evaluation.calm_news import calm_news
from trading_platform.evaluation.promotion import Objective

# The chance that a whole job ever promotes what is not better.
ALPHA = 0.05
LIMIT = 1.0 / ALPHA
# A bet of 0.126 is the best for an information ratio of 2 a year, in shocks without tails. Chosen by simulation among
# sets that find a ratio of 2 within 20 months, and a volatility that is 10 % lower within 12; larger ones are quicker
# and pass more of what is worthless.
BETS = {Objective.RETURN: (0.03, 0.06, 0.09, 0.12), Objective.RISK: (0.05, 0.1, 0.2)}
LARGEST = max(max(sizes) for sizes in BETS.values())
# Part of a bet that the worst session known may take.
MOST_LOSS = 0.9
MOST_GAIN = 8.0  # scales
LEAST_LEFT = 1e-9  # of a ruined bet: a logarithm needs a number
LEAST_STAKE = 1e-12  # what is left of the poorest job; nothing that can be won back
# A scale that follows the market's own swings makes a tenth less volatility visible a tenth sooner than a slow one.
FORGET = 0.95
# Five years: an event of one session in a hundred is in them for certain, one in 250 in 99 of 100 histories.
RARE_SESSIONS = 5 * ANNUAL_SESSIONS
# Sessions of history before the first bet: a scale from fewer is a guess.
SCALE_SESSIONS = 21
# Memory of the differences starts as that of so many sessions without any.
PRIOR_MEMORY = 60.0
MOST_MEMORY = 0.5
WINSOR = 3.0
LEAST_SEEN = 10.0  # sessions before a scale is trusted to say what is wild

# What is remembered of return; of risk see `calm_news`.
SQUARES, WEIGHT, PREVIOUS, PREVIOUS_SCALED, PRODUCTS, SCALED_SQUARES, WORST, SEEN = range(8)
RETURN_SUMS = 8


@dataclass(frozen=True, slots=True)
class Wager:
    """A wealth in the middle of its bets. Every field is a finite number, so that a file can hold it.

    Attributes
    ----------
    stake : wealth when these bets began.
    sizes : of the bets. bets : natural logarithm of what each has made of one dollar.
    scale : what the next session's scale and worst loss are known from, 8 sums of return or 11 of risk.
    sessions : sessions bet on.
    """

    stake: float
    sizes: tuple[float, ...]
    bets: tuple[float, ...]
    scale: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, PRIOR_MEMORY, 0.0, 0.0)
    sessions: int = 0

    def __post_init__(self) -> None:
        numbers = (self.stake, *self.sizes, *self.bets, *self.scale)
        if not self.sizes or len(self.bets) != len(self.sizes) or len(self.scale) not in (RETURN_SUMS, RISK_SUMS):
            raise ValueError(
                f"a wager holds as many bets as sizes and {RETURN_SUMS} or {RISK_SUMS} sums, was {numbers}"
            )
        if not (np.isfinite(numbers).all() and self.stake > 0.0 and self.sessions >= 0):
            raise ValueError(f"a wager's numbers must be finite and its stake above 0, was {numbers}")

    @property
    def wealth(self) -> float:
        """What the stake has become."""
        return self.stake * float(np.exp(self.bets).mean())

    @property
    def log_wealth(self) -> float:
        """Natural logarithm of the wealth, which may be too small for a number."""
        best = max(self.bets)
        return math.log(self.stake) + best + math.log(float(np.exp(np.array(self.bets) - best).mean()))

    @property
    def known(self) -> int:
        """Sessions that the worst one is known from, those of history included."""
        return int(self.scale[SEEN])


def sessions_missing(wager: Wager, objective: Objective) -> int:
    """Return how many more sessions have to be known before anything is bet on less risk; 0 for return."""
    return max(0, RARE_SESSIONS - wager.known) if objective is Objective.RISK else 0


def new_wager(objective: Objective, stake: float = 1.0) -> Wager:
    """Return a wager that has bet on nothing."""
    sizes = BETS[objective]
    wager = Wager(stake, sizes, (0.0,) * len(sizes))
    return replace(wager, scale=(0.0,) * RISK_SUMS) if objective is Objective.RISK else wager


def warmed(wager: Wager, differences: Floats, squares: Floats | None = None) -> Wager:
    """Return `wager` with its scale learned from `differences` (T,) of sessions before the first bet. Bets nothing.

    `squares` (T,) : squared returns of what serves, which risk is measured by; here and in the functions below.
    """
    scale = np.array(wager.scale)
    _news(differences, squares, scale)
    return replace(wager, scale=tuple(scale.tolist()))


def after(wager: Wager, differences: Floats, squares: Floats | None = None) -> Wager:
    """Return the wager after `differences` (T,), one a session; sessions without a scale yet only teach it.

    Raises
    ------
    ValueError
        A difference that is not finite: leave out the session and say so.
    """
    if not np.isfinite(differences).all():
        raise ValueError("a wager cannot bet on a session whose difference is unknown; leave it out")
    scale = np.array(wager.scale)
    growth = _growth(wager, differences, squares, scale)
    bets = np.array(wager.bets) + growth.sum(axis=0)
    bet_on = max(0, len(differences) - _unknown(wager))
    return Wager(wager.stake, wager.sizes, tuple(bets.tolist()), tuple(scale.tolist()), wager.sessions + bet_on)


def wealth_path(wager: Wager, differences: Floats, squares: Floats | None = None) -> Floats:
    """Return the wealth after each of `differences` (T,), as `after` would have it session by session."""
    growth = _growth(wager, differences, squares, np.array(wager.scale))
    path: Floats = wager.stake * np.exp(np.array(wager.bets) + np.cumsum(growth, axis=0)).mean(axis=1)
    return path


def news_of(wager: Wager, differences: Floats, squares: Floats | None = None) -> Floats:
    """Return what each of `differences` (T,) says in scales, (T,): a bet of size b turns 1 into 1 + b x."""
    return _news(differences, squares, np.array(wager.scale))[0]


def constant_growth(wager: Wager, differences: Floats, sizes: Floats, squares: Floats | None = None) -> Floats:
    """Return the log of what bets of one size each, without any limit, make of one dollar, (B,): a yardstick."""
    gains = news_of(wager, differences, squares)
    gains[: _unknown(wager)] = 0.0
    total: Floats = np.log(np.maximum(LEAST_LEFT, 1.0 + gains[:, None] * sizes)).sum(axis=0)
    return total


def begun_again(wager: Wager) -> Wager:
    """Return fresh bets on what is left of the wealth, at most the one dollar that a job begins with.

    What another challenger or other sleeves have lost stays lost: else a job that begins anew often enough would pass
    by luck. What they have won was evidence for them and is laid aside.
    """
    left = min(1.0, max(LEAST_STAKE, wager.wealth))
    return Wager(left, wager.sizes, (0.0,) * len(wager.sizes), wager.scale)


def sessions_to_wait(ratio: float, wealth: float = 1.0) -> float:
    """Return the sessions to expect until `wealth` is above `LIMIT`, inf for a ratio that is not positive.

    `ratio` : mean over deviation of a session's difference (an information ratio of r a year is r / sqrt(252)). The
    growth of the best constant bet, at most the largest there is.
    """
    if wealth >= LIMIT:
        return 0.0
    if not (ratio > 0.0):
        return math.inf
    bet = min(ratio, LARGEST)
    return math.log(LIMIT / wealth) / (bet * ratio - 0.5 * bet * bet)


def ratio_of(differences: Floats) -> float:
    """Return mean over deviation of a session's differences (T,); NaN when there is no deviation."""
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / deviation if deviation > 0.0 else math.nan


def information_ratio(differences: Floats) -> float:
    """Return the annual mean over the annual deviation of daily differences (T,)."""
    return ratio_of(differences) * math.sqrt(ANNUAL_SESSIONS)


def _unknown(wager: Wager) -> int:
    """Return of how many more sessions a scale has to be learned before anything is bet."""
    return max(0, SCALE_SESSIONS - int(wager.scale[SEEN]))


def _growth(wager: Wager, differences: Floats, squares: Floats | None, scale: Floats) -> Floats:
    """Return the log of what each session makes of one dollar in each bet, (T, B); moves `scale` to the end."""
    gains, most = _news(differences, squares, scale)
    gains[: _unknown(wager)] = 0.0
    sizes = np.minimum(np.array(wager.sizes), most[:, None])
    growth: Floats = np.log(np.maximum(LEAST_LEFT, 1.0 + gains[:, None] * sizes))
    return growth


def _news(differences: Floats, squares: Floats | None, scale: Floats) -> tuple[Floats, Floats]:
    """Return each session's news in scales, (T,), and the largest bet allowed, (T,); moves `scale` to the end."""
    if len(scale) == RETURN_SUMS:
        found: tuple[Floats, Floats] = _gains(differences, scale)
        return found
    if squares is None:
        raise ValueError("less risk is measured by the squared returns of what serves; pass them")
    calm: tuple[Floats, Floats] = calm_news(differences, squares, scale)
    return calm


@compiled
def _gains(differences: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Return each session's news in scales, (T,), 0 where there is none, and the largest bet allowed, (T,).

    Moves `scale` to the end.
    """
    gains, most = np.zeros(len(differences)), np.ones(len(differences))
    for t in range(len(differences)):
        difference = differences[t]
        memory = min(MOST_MEMORY, max(0.0, scale[PRODUCTS] / scale[SCALED_SQUARES]))
        news = difference - memory * scale[PREVIOUS]
        usual = math.sqrt(scale[SQUARES] / scale[WEIGHT]) if scale[WEIGHT] > 0.0 else 0.0
        square = news * news
        scaled = 0.0
        if usual > 0.0:
            if scale[WORST] > MOST_LOSS:
                most[t] = MOST_LOSS / scale[WORST]
            gains[t] = min(MOST_GAIN, news / usual)
            if scale[SEEN] >= LEAST_SEEN:
                scale[WORST] = max(scale[WORST], -gains[t])
                # one wild session must not make all that follow look small
                square = min(square, MOST_GAIN * MOST_GAIN * usual * usual)
                scaled = min(WINSOR, max(-WINSOR, difference / usual))
                scale[PRODUCTS] += scaled * scale[PREVIOUS_SCALED]
                scale[SCALED_SQUARES] += scale[PREVIOUS_SCALED] * scale[PREVIOUS_SCALED]
        scale[PREVIOUS_SCALED] = scaled
        scale[SQUARES] = FORGET * scale[SQUARES] + square
        scale[WEIGHT] = FORGET * scale[WEIGHT] + 1.0
        scale[PREVIOUS] = difference
        scale[SEEN] += 1.0
    return gains, most
