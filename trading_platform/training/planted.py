"""Artificial worlds for the controls: the strategies' own books, shuffled until nothing tells of them, plus a truth.

A world keeps the features of a prepared market. Its books are that market's, cut into blocks of 20 sessions that are
drawn anew, with the strategies exchanged from block to block: fat tails, clusters and correlations stay, and no
strategy, state or date is better than another. So equal weight is the best there is, until something is planted. Books
are brought to the size at which equal weight moves as the account does: a strategy alone cannot fill one.

* *timing*: next session's return of strategy k grows with a signal s_k, up to a size at which the best policy within
  the allocator's bound gains so much of Sharpe ratio over the whole history. The signal has the form of the published
  rules, or an own feature times a shared one (what the scorer can express), or a form that it cannot;
* *risk*: next session's return is larger or smaller by e^(s_k);
* what must not be found: nothing; a signal that turns round before it is judged; a strategy that always earns more,
  which is no lower risk; a book that holds too much of a bad strategy, whose timing is good and whose total is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import sharpe_ratio, volatility
from trading_platform.core.observation import RULES_GROUP
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.training.paths import equal_weights
from trading_platform.training.service import shadow_returns

BLOCK = 20
MOST_STRENGTH = 4.0  # deviations of a session's return; no size that is asked for needs more
HALVINGS = 24
RISK_STRENGTH = 0.7
CONSTANT_GAIN = 0.5  # annual Sharpe ratio that the strategy which always earns more has beyond the others'


class Form(StrEnum):
    """What the planted signal looks like."""

    RULES = "rules' form"
    OWN = "own state"
    UNKNOWN = "unknown form"


class Plant(StrEnum):
    """What is planted."""

    NOTHING = "nothing"
    TIMING = "timing"
    RISK = "risk"
    REVERSING = "reversing"
    TILT = "pure tilt"
    BAD_BOOK = "bad book"


@dataclass(frozen=True, slots=True, eq=False)
class PlantedWorld:
    """A market with books of known worth; `best` (T, K) are the weights of whoever knows what is planted."""

    market: PreparedMarket
    best: Floats


def planted_world(
    template: PreparedMarket,
    plant: Plant,
    form: Form,
    size: float,
    judged: range,
    bound: float,
    cost_bps: float,
    seed: int,
) -> PlantedWorld:
    """Return the world of a seed.

    Parameters
    ----------
    size : the gain in Sharpe ratio that is planted, of `TIMING` and `REVERSING`. judged : rows that a gate looks at.
    bound : how far the logarithm of a weight may go from equal weight's.
    """
    rng = np.random.default_rng([seed, *f"{plant}{form}{size}".encode()])
    books = shuffled_books(template, rng)
    said = signal(template, form, rng)
    best = tilted(template, bound * said)
    world = with_books(template, books)
    match plant:
        case Plant.TIMING | Plant.REVERSING | Plant.BAD_BOOK:
            strength = strength_of(template, books, said, best, size, cost_bps)
            turned = np.ones(len(said))
            if plant is Plant.REVERSING:
                turned[judged.start - 1 :] = -1.0
            planted = books + strength * shifted(said * turned[:, None]) * books.std(axis=0)
            if plant is Plant.BAD_BOOK:
                planted[:, 0] -= 2.0 * books[:, 0].std() / np.sqrt(ANNUAL_SESSIONS)
                best = tilted(template, bound * (said + 4.0 * (np.arange(said.shape[1]) == 0)))
            world = with_books(template, planted)
        case Plant.RISK:
            world = with_books(template, books * np.exp(RISK_STRENGTH * shifted(said)))
            best = tilted(template, -bound * said)
        case Plant.TILT:
            richer = books.copy()
            richer[:, : said.shape[1] // 3] += CONSTANT_GAIN * books.std() / np.sqrt(ANNUAL_SESSIONS)
            world = with_books(template, richer)
        case Plant.NOTHING:
            pass
    return PlantedWorld(world, best)


def shuffled_books(template: PreparedMarket, rng: np.random.Generator) -> Floats:
    """Return books (T, K) of the same days in another order, strategies exchanged; of one mean."""
    known = template.strategy_returns[np.isfinite(template.strategy_returns).all(axis=1)]
    known = known - known.mean(axis=0) + known.mean()
    sessions, strategies = template.strategy_returns.shape
    books = np.empty((sessions, strategies))
    for start in range(0, sessions, BLOCK):
        rows = (rng.integers(len(known)) + np.arange(min(BLOCK, sessions - start))) % len(known)
        books[start : start + BLOCK] = known[rows][:, rng.permutation(strategies)]
    account = template.base_returns[template.first :].std()
    sized: Floats = books * account / (equal_weights(template) * books).sum(axis=1).std()
    return sized


def signal(template: PreparedMarket, form: Form, rng: np.random.Generator) -> Floats:
    """Return what is known at each close, (T, K), in [-1, 1], of mean zero over the strategies."""
    names, seen = template.schema.names, np.nan_to_num(template.exogenous)
    place = {names[index]: column for column, index in enumerate(template.schema.exogenous.tolist())}
    strategies = template.schema.strategies

    def scaled(values: Floats) -> Floats:
        spread = values[template.first :].std(axis=0)
        moved: Floats = (values - values[template.first :].mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
        return moved

    match form:
        case Form.RULES:
            columns = [place[names[index]] for index in template.schema.groups[RULES_GROUP]]
            raw = scaled(seen[:, columns])
        case Form.OWN:
            own = scaled(seen[:, [place[f"{name}_momentum_year"] for name in strategies]])
            raw = own * scaled(seen[:, [place["vix"]]])
        case Form.UNKNOWN:
            shared = scaled(seen[:, [place["dispersion"]]]) * scaled(seen[:, [place["correlation"]]])
            raw = np.tanh(2.0 * shared) * rng.choice([-1.0, 1.0], len(strategies))
    apart = raw - raw.mean(axis=1, keepdims=True)
    size = np.quantile(np.abs(apart[template.first :]), 0.9)
    clipped: Floats = np.clip(apart / size if size > 0.0 else apart, -1.0, 1.0)
    return clipped


def strength_of(
    template: PreparedMarket, books: Floats, said: Floats, best: Floats, size: float, cost_bps: float
) -> float:
    """Return how much of `said` has to be in the books so that whoever knows it gains `size` over the whole history.

    Parameters
    ----------
    books, said
        (T, K) daily returns of the strategies' books, and what is known of them at each close, in [-1, 1].
    best
        (T, K) weights of whoever knows it.
    size, cost_bps
        Gain in annualised Sharpe ratio over equal weight, at costs in basis points.
    """
    low, high, whole = 0.0, MOST_STRENGTH, range(template.first + 1, template.n_sessions)
    deviation = books.std(axis=0)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        world = with_books(template, books + middle * shifted(said) * deviation)
        low, high = (middle, high) if gain_of(world, best, whole, cost_bps) < size else (low, middle)
    return high


def gain_of(world: PreparedMarket, weights: Floats, rows: range, cost_bps: float) -> float:
    """Return the Sharpe ratio of the books at `weights` (T, K) less that at equal weight, over `rows`."""
    mine, equal = (shadow_returns(world, chosen, cost_bps)[rows] for chosen in (weights, equal_weights(world)))
    return sharpe_ratio(mine) - sharpe_ratio(equal)


def volatility_of(world: PreparedMarket, weights: Floats, rows: range, cost_bps: float) -> float:
    """Return the volatility of the books at `weights` (T, K) over that at equal weight, over `rows`."""
    mine, equal = (shadow_returns(world, chosen, cost_bps)[rows] for chosen in (weights, equal_weights(world)))
    return volatility(mine) / volatility(equal)


def with_books(template: PreparedMarket, books: Floats) -> PreparedMarket:
    """Return the market with other `books`, (T, K) daily returns; the base book is equal weight of them."""
    return replace(template, strategy_returns=books, base_returns=(equal_weights(template) * books).sum(axis=1))


def tilted(template: PreparedMarket, opinions: Floats) -> Floats:
    """Return equal weight times e^opinions, (T, K)."""
    raw = equal_weights(template) * np.exp(opinions)
    split: Floats = raw / raw.sum(axis=1, keepdims=True)
    return split


def shifted(said: Floats) -> Floats:
    """Return at each session what was said at the close before: `said` (T, K) one row later, zero in the first."""
    before = np.zeros_like(said)
    before[1:] = said[:-1]
    return before
