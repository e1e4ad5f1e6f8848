"""What the allocator sees, field by field, and the one place where it is built.

The observation of a session's close is a flat vector: regime probabilities, four statistics of each strategy's shadow
book, the portfolio, ten market features - so far the contract's, in its order - then where the episode stands, what
theory names beyond that (`theory_features`: two fields for all, three of each strategy), and what published rules make
of each strategy's weight. What does not depend on what the agent did is computed for the whole history at once
(`exogenous`). Values are unscaled; scaling is fitted on the training fold and travels with the model.

Training moves in episodes of 20 sessions. A live book has no episodes, so it is read in stretches of 20 sessions
counted from its first one (`episode_of`): what the policy reads about its own run then means the same as in training.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.compiled import lean
from trading_platform.core.ledger import Record, Records
from trading_platform.core.market import MARKET_CORRELATION, Market
from trading_platform.core.market_features import ANYTHING, MARKET_FEATURES, POSITIVE, SHARE, Bounds
from trading_platform.core.metrics import EPISODE_PRIOR_SESSIONS
from trading_platform.core.published_rules import BOUNDS as RULE_BOUNDS
from trading_platform.core.regime_meaning import REGIME_REVISION
from trading_platform.core.theory_features import OWN_FEATURES, SHARED_FEATURES, Theory
from trading_platform.core.types import Floats, Ints, Regime

EPISODE_SESSIONS = 20
# Daily volatility of equal weight, which fills a quarter of the book (119 US stocks, 2001-2017: 0.26 %). A constant, so
# that live and training read the same moments whatever they were trained on.
PRIOR_VOLATILITY = 0.003

N_REGIME, N_STATISTICS, N_PORTFOLIO, N_MARKET, N_EPISODE = 3, 4, 5, len(MARKET_FEATURES), 3
N_SHARED, N_OWN = len(SHARED_FEATURES), len(OWN_FEATURES)


STRATEGY_GROUP = "strategy:"
RULES_GROUP = "rules"


@dataclass(frozen=True, slots=True)
class ObservationField:
    """One entry of the observation; `neutral` stands in where the value is not known yet.

    `bounds` are the values that can be at all. They decide what is new to a model (`core.novelty`): nothing between two
    finite bounds, distance in logarithms where 0 is the least, plain distance otherwise.
    """

    name: str
    unit: str
    group: str
    description: str
    neutral: float = 0.0
    bounds: Bounds = ANYTHING


@dataclass(frozen=True)
class ObservationSchema:
    """Names, units, groups and order of the observation's entries."""

    fields: tuple[ObservationField, ...]

    def __len__(self) -> int:
        return len(self.fields)

    def __iter__(self) -> Iterator[ObservationField]:
        return iter(self.fields)

    def __getitem__(self, position: int) -> ObservationField:
        return self.fields[position]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each entry."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, in kernel order."""
        return tuple(name.removeprefix(STRATEGY_GROUP) for name in self.groups if name.startswith(STRATEGY_GROUP))

    @cached_property
    def groups(self) -> Mapping[str, Ints]:
        """Group -> positions of its entries, (n,)."""
        names = dict.fromkeys(field.group for field in self.fields)
        return {name: np.array([i for i, f in enumerate(self.fields) if f.group == name]) for name in names}

    @cached_property
    def exogenous(self) -> Ints:
        """Positions (n,) of the entries that the book does not move, in the order of `exogenous_matrix`'s columns."""
        own = ("portfolio", "episode")
        return np.array([i for i, field in enumerate(self.fields) if field.group not in own])

    @cached_property
    def readable_lengths(self) -> tuple[int, ...]:
        """Lengths of an observation that ends with one of the groups: the contract's ends with the market's."""
        groups = [field.group for field in self.fields]
        start = groups.index("market")
        ends = [i + 1 for i in range(start, len(groups)) if i + 1 == len(groups) or groups[i + 1] != groups[i]]
        return tuple(ends)

    def prefix_fingerprint(self, length: int) -> str:
        """Return the fingerprint of the first `length` fields: what the observation was before it grew at its end."""
        return ObservationSchema(self.fields[:length]).fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any field; a model trained on another schema is refused."""
        text = json.dumps([_identity(field) for field in self.fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _identity(field: ObservationField) -> dict[str, object]:
    """Return what a field is; what values it can have is no part of that, for a model reads it as before."""
    return {name: value for name, value in asdict(field).items() if name != "bounds"}


def observation_schema(strategy_names: Sequence[str]) -> ObservationSchema:
    """Return the fields of the observation for strategies in kernel order."""
    fields = [
        ObservationField(
            f"regime_{label}", "probability", "regime", f"{label} market, revision {REGIME_REVISION}", 1 / 3, SHARE
        )
        for label in (Regime.BULL, Regime.BEAR, Regime.CONSOLIDATION)
    ]
    for name in strategy_names:
        group = STRATEGY_GROUP + name
        fields += [
            ObservationField(
                f"{name}_win_rate", "fraction", group, "trades its shadow book won, shrunk to 1/2", 0.5, SHARE
            ),
            ObservationField(f"{name}_mean_return", "fraction a year", group, "mean return of its shadow book"),
            ObservationField(f"{name}_sharpe", "ratio", group, "annual Sharpe ratio of its shadow book, shrunk to 0"),
            ObservationField(
                f"{name}_max_drawdown", "fraction", group, "deepest fall of its shadow book, positive", 0.0, SHARE
            ),
        ]
    fields += [
        ObservationField("total_pnl", "fraction", "portfolio", "profit since the episode's start over its equity"),
        ObservationField("drawdown", "fraction", "portfolio", "fall from the reference peak, positive", 0.0, SHARE),
        ObservationField("cash_ratio", "fraction", "portfolio", "cash over equity", 1.0),
        ObservationField("position_count", "positions", "portfolio", "tickers held", 0.0, POSITIVE),
        ObservationField(
            "portfolio_correlation", "fraction", "portfolio", "of what is held with the universe, weighted by value"
        ),
    ]
    fields += [ObservationField(f.name, f.unit, "market", f.description, f.neutral, f.bounds) for f in MARKET_FEATURES]
    fields += [
        ObservationField(
            "episode_progress", "fraction", "episode", "sessions of the episode that are over", 0.0, SHARE
        ),
        ObservationField("episode_mean", "fraction a session", "episode", "mean return of the episode, shrunk to 0"),
        ObservationField(
            "episode_volatility",
            "fraction a session",
            "episode",
            "deviation of the episode's returns, shrunk",
            0.0,
            POSITIVE,
        ),
    ]
    fields += [
        ObservationField(
            f"{name}_weight", "fraction", "episode", "current capital weight", 1 / len(strategy_names), SHARE
        )
        for name in strategy_names
    ]
    return ObservationSchema((*fields, *_theory_fields(strategy_names), *_rule_fields(strategy_names)))


def _theory_fields(strategy_names: Sequence[str]) -> Iterator[ObservationField]:
    for spec in SHARED_FEATURES:
        yield ObservationField(spec.name, spec.unit, "slow_market", spec.description, spec.neutral)
    for name in strategy_names:
        for spec in OWN_FEATURES:
            group = STRATEGY_GROUP + name
            yield ObservationField(f"{name}_{spec.name}", spec.unit, group, spec.description, spec.neutral)


def _rule_fields(strategy_names: Sequence[str]) -> Iterator[ObservationField]:
    for name in strategy_names:
        words = "what published rules make of its weight, as the logarithm of a factor"
        yield ObservationField(f"{name}_rules", "logarithm", RULES_GROUP, words, 0.0, RULE_BOUNDS)


def exogenous_matrix(
    schema: ObservationSchema, regimes: Floats, statistics: Floats, market: Floats, theory: Theory, offsets: Floats
) -> Floats:
    """Return the entries that do not depend on the book, (T, 15 + 8 K), neutral where unknown.

    Parameters
    ----------
    regimes : (T, 3) filtered probabilities. statistics : (T, K, 4). market : (T, 10). theory : see `theory_features`.
    offsets : (T, K) of `published_rules`. NaN = not known yet.
    """
    rows = len(regimes)
    parts = [regimes, statistics.reshape(rows, -1), market, theory.shared, theory.own.reshape(rows, -1), offsets]
    values = np.concatenate(parts, axis=1)
    neutral = np.array([schema[i].neutral for i in schema.exogenous])
    return np.where(np.isfinite(values), values, neutral)


class Episode(NamedTuple):
    """How a stretch of sessions has gone so far: equity at its start, and the sums of its daily returns."""

    start_equity: float
    sessions: int
    total: float
    squares: float


def episode_of(equity: Floats) -> Episode:
    """Return the stretch that a book with closing equities `equity` (n,) is in; the first entry is its start."""
    done = (len(equity) - 1) % EPISODE_SESSIONS
    stretch = equity[len(equity) - 1 - done :]
    total = squares = 0.0
    for before, after in pairwise(stretch):
        change = float(after) / float(before) - 1.0
        total += change
        squares += change * change
    return Episode(float(stretch[0]), done, total, squares)


@lean
def write_observation(
    out: NDArray[np.float32],
    exogenous: Floats,
    account: Record,
    slots: Records,
    market: Market,
    t: int,
    episode: Episode,
    weights: Floats,
) -> None:
    """Fill `out` (D,) with the observation at the close of row `t`; `exogenous` is that row's, `weights` (K,)."""
    n_strategies = len(weights)
    at = 3 + 4 * n_strategies
    for i in range(at):
        out[i] = exogenous[i]
    equity = account["equity"]
    positions = 0
    value = 0.0
    correlated = 0.0
    for s in range(len(slots)):
        if slots[s]["quantity"] > 0.0:
            positions += 1
            correlation = market.bars[slots[s]["ticker"], t, MARKET_CORRELATION]
            if correlation <= 2.0:  # NaN is not
                value += slots[s]["value"]
                correlated += slots[s]["value"] * correlation
    out[at] = equity / episode.start_equity - 1.0
    out[at + 1] = max(0.0, 1.0 - equity / account["peak_equity"])
    out[at + 2] = account["cash"] / equity
    out[at + 3] = positions
    out[at + 4] = correlated / value if value > 0.0 else 0.0
    for i in range(N_MARKET):
        out[at + 5 + i] = exogenous[at + i]
    told = at + N_MARKET
    at += 5 + N_MARKET
    count = episode.sessions + EPISODE_PRIOR_SESSIONS
    mean = episode.total / count
    prior = EPISODE_PRIOR_SESSIONS * PRIOR_VOLATILITY * PRIOR_VOLATILITY
    out[at] = episode.sessions / EPISODE_SESSIONS
    out[at + 1] = mean
    out[at + 2] = math.sqrt(max(0.0, (episode.squares + prior) / count - mean * mean))
    for k in range(n_strategies):
        out[at + 3 + k] = weights[k]
    at += 3 + n_strategies
    for i in range(len(exogenous) - told):
        out[at + i] = exogenous[told + i]


@dataclass(frozen=True, slots=True, eq=False)
class Observer:
    """Builds observations of one book, for the live engine; the environment calls `write_observation` for many.

    Attributes
    ----------
    schema : the fields. exogenous : (T, ...) of `exogenous_matrix`. market : the kernel's arrays.
    """

    schema: ObservationSchema
    exogenous: Floats
    market: Market

    def observe(
        self, t: int, account: Record, slots: Records, episode: Episode | None = None, weights: Floats | None = None
    ) -> Floats:
        """Return the observation (D,) at the close of row `t`, with the precision that training saw (float32).

        Without `episode` the book is at the start of one; without `weights` it has held equal weight.
        """
        n_strategies = len(self.schema.strategies)
        out = np.empty(len(self.schema), dtype=np.float32)
        held = np.full(n_strategies, 1.0 / n_strategies) if weights is None else np.asarray(weights, dtype=np.float64)
        stretch = Episode(float(account["equity"]), 0, 0.0, 0.0) if episode is None else episode
        write_observation(out, self.exogenous[t], account, slots, self.market, t, stretch, held)
        return out.astype(np.float64)
