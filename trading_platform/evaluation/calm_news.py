"""What a session says of less risk, in units that can be bet on: the news of a difference of squares.

A difference of squared returns, what serves less the challenger, is mostly about the market: on a wild day both squares
are large, and so is their difference. Four things make of it what can be bet on; each is known the evening before.

* It is divided by the square that is to be expected of what serves (a mean that forgets with a half-life of 11
  sessions), not by its own size: days on which the challenger's own part is quiet would then weigh more, and whoever is
  calm at some times and wild at others would win by that alone.
* What the market's surprise tells of it is taken out: the square of what serves, over what was expected of it, less
  that ratio's usual value, times the slope of the one on the other so far. This control has a mean of zero whatever
  the challenger does, and with it goes most of the noise.
* A loss counts `MOST_LOST` scales at most. What lies beyond is insured: each session pays a premium, what such losses
  came to in all sessions known, as though the worst of them had come `WORST_AGAIN` times more. A cut alone would make
  a winner of whoever is calm on most days and ruinous on few; with a premium that is dear enough the mean is below
  zero again, and no bet is ever ruined. A test of means without any bound on losses does not exist (Bahadur & Savage
  1956): the premium is the bound, and it is learned from all that is known of the sleeves' books.
* A gain counts at most `MOST_GAINED` scales, which favours nobody.
"""

from __future__ import annotations

import math

import numpy as np

from trading_platform.core.compiled import compiled
from trading_platform.core.types import Floats

# Positions of what is remembered. SEEN has the place that it has for return (`evaluation.wealth`).
SQUARE, WEIGHT, SQUARES, COUNT, CONTROL, RELATIVE, CONTROL_SQUARES, SEEN, PRODUCTS, WORST, EXCESS = range(11)
SUMS = 11
# Chosen by simulation, see docs/gate.md.
FORGET = 0.94
MOST_LOST, MOST_GAINED = 4.0, 20.0  # scales
WORST_AGAIN = 10.0
# Part of a bet that the largest loss and the premium may take together.
MOST_LOSS = 0.9
# Sessions before a scale, a slope, a worst loss and a premium are trusted.
SCALE_SESSIONS, SLOPE_SESSIONS, WORST_SESSIONS, PREMIUM_SESSIONS = 21, 60, 60, 120
# One wild session must not set what is expected of the next ones, nor a slope, nor a scale.
MOST_SURPRISE, MOST_CONTROL, MOST_SCALED = 8.0, 20.0, 20.0


@compiled
def calm_news(differences: Floats, squares: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Return each session's news in scales, (T,), 0 where nothing can be said yet, and the largest bet allowed, (T,).

    Moves `sums` (11,) to the end.

    Parameters
    ----------
    differences : (T,) squared return of what serves less the challenger's. squares : (T,) of what serves.
    """
    news, most = np.zeros(len(differences)), np.ones(len(differences))
    for t in range(len(differences)):
        square = squares[t]
        if sums[SQUARE] > 0.0:
            expected = sums[SQUARE] / sums[WEIGHT]
            relative = differences[t] / expected
            control = min(MOST_CONTROL, square / expected)
            usual, slope = 1.0, 0.0
            count = sums[COUNT]
            if count > SLOPE_SESSIONS:
                usual = sums[CONTROL] / count
                spread = sums[CONTROL_SQUARES] / count - usual * usual
                together = sums[PRODUCTS] / count - usual * sums[RELATIVE] / count
                if spread > 0.0:
                    slope = min(1.0, max(0.0, together / spread))
            apart = relative - slope * (control - usual)
            scale = math.sqrt(sums[SQUARES] / count) if count >= SCALE_SESSIONS and sums[SQUARES] > 0.0 else 1.0
            scaled = apart / scale
            if sums[SEEN] >= PREMIUM_SESSIONS:
                beyond = sums[EXCESS] + WORST_AGAIN * max(0.0, sums[WORST] - MOST_LOST)
                premium = beyond / (sums[SEEN] - WORST_SESSIONS)
                most[t] = MOST_LOSS / (MOST_LOST + premium)
                news[t] = min(MOST_GAINED, max(-MOST_LOST, scaled)) - premium
            if sums[SEEN] >= WORST_SESSIONS:
                sums[WORST] = max(sums[WORST], -scaled)
                sums[EXCESS] += max(0.0, -scaled - MOST_LOST)
            if sums[SEEN] >= SCALE_SESSIONS:
                limit = MOST_SCALED * scale if count > 5 * SCALE_SESSIONS else math.inf
                sums[SQUARES] += min(apart * apart, limit * limit)
                sums[COUNT] += 1.0
                sums[CONTROL] += control
                sums[RELATIVE] += relative
                sums[CONTROL_SQUARES] += control * control
                sums[PRODUCTS] += control * relative
            square = min(square, MOST_SURPRISE * expected)
        sums[SQUARE] = FORGET * sums[SQUARE] + square
        sums[WEIGHT] = FORGET * sums[WEIGHT] + 1.0
        sums[SEEN] += 1.0
    return news, most
