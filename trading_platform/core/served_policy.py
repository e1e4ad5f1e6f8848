"""The one answer to "what split of capital in this state?": for judging, replay, live trading and a notebook alike.

`answers` is a pure function of rows of the observation. Training asks it about years at once, the allocator about one
close; a row's answer is the same to the last bit, so that what was judged is what is served, refusals included: a state
that the policy is not asked about is answered by equal weight, in judging as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from trading_platform.core.action_map import ACTION_KINDS, SUM_NOISE, check_map, map_actions
from trading_platform.core.novelty import MOST_NEW, Reach, impossible_features, new_features, reach_of, unbounded_reach
from trading_platform.core.observation import RULES_GROUP, ObservationSchema
from trading_platform.core.policy import Policy, policy_actions
from trading_platform.core.published_rules import BOUNDS as RULE_BOUNDS
from trading_platform.core.types import Bools, Floats, Ints

# Sessions of data behind the newest one that a model has seen: a year kept back and the gap before it.
MAX_AGE_SESSIONS = 280
NOWHERE: Ints = np.empty(0, dtype=np.int64)


class RowCode(IntEnum):
    """How a row was answered: by the policy, or by equal weight because of what the row holds."""

    OK = 0
    NOT_FINITE = 1
    IMPOSSIBLE = 2
    NEW = 3
    BAD_OUTPUT = 4


class Answers(NamedTuple):
    """Weights (T, K), >= 0 and summing to 1, and the `RowCode` (T,) of each row."""

    weights: Floats
    codes: Ints

    @property
    def refused(self) -> float:
        """The share of rows that equal weight answered."""
        return float((self.codes != RowCode.OK).mean()) if len(self.codes) else 0.0

    def between(self, start: int, stop: int) -> Answers:
        """Return the answers to rows [start, stop)."""
        return Answers(self.weights[start:stop], self.codes[start:stop])


@dataclass(frozen=True, slots=True, eq=False)
class ServedPolicy:
    """A policy with all that its answer depends on beside the state.

    Attributes
    ----------
    policy, base, kind, scale : the network, and the map from its action to weights; `kind` is in ACTION_KINDS. Without
        a network the base is what it says.
    schema : of the observations that it was made for. reach : what is new to it.
    offset : (K,) positions of what published rules make of each weight, which multiplies the policy's; empty = nothing.
    works : (K,) sleeves that do not stand aside; the others get nothing, and their capital goes to these.
    """

    policy: Policy | None
    base: Floats
    kind: str
    scale: float
    schema: ObservationSchema
    reach: Reach
    works: Bools
    offset: Ints

    @property
    def index(self) -> Ints:
        """Positions of the entries that a network is asked about; those of the rules where there is none, (F,)."""
        return self.offset if self.policy is None else self.policy.scaling.index


def served_policy(
    policy: Policy,
    base: Floats,
    kind: str,
    scale: float,
    schema: ObservationSchema,
    works: Bools | None = None,
    *,
    on_rules: bool = False,
) -> ServedPolicy:
    """Return a policy ready to answer; `on_rules`: what it says is tilted by published rules.

    `base` (K,) is the split that it tilts, `works` (K,) which strategies have a market to trade in.

    Raises
    ------
    FixConfigError
        A map that cannot work.
    """
    check_map(base, scale, kind)
    working = np.ones(len(base), dtype=np.bool_) if works is None else np.array(works, dtype=np.bool_)
    offset = rule_places(schema) if on_rules else NOWHERE
    return ServedPolicy(policy, base, kind, scale, schema, reach_of(schema, policy.scaling), working, offset)


def rules_alone(schema: ObservationSchema, works: Bools | None = None) -> ServedPolicy:
    """Return equal weight of those that `works` (K,) names, tilted by published rules, without any learner."""
    places = rule_places(schema)
    working = np.ones(len(places), dtype=np.bool_) if works is None else np.array(works, dtype=np.bool_)
    base, kind = equal_shares(np.ones_like(working)), ACTION_KINDS[0]
    return ServedPolicy(None, base, kind, 1.0, schema, unbounded_reach(schema, places), working, places)


def rule_places(schema: ObservationSchema) -> Ints:
    """Return the positions of what published rules say, (K,)."""
    return schema.groups[RULES_GROUP]


def equal_shares(works: Bools) -> Floats:
    """Return equal shares, (K,), of the sleeves that work; of all where none does."""
    chosen = np.asarray(works, dtype=np.float64)
    chosen = chosen if chosen.any() else np.ones_like(chosen)
    shares: Floats = chosen / chosen.sum()
    return shares


def shares_of_working(base: Floats, works: Bools) -> Floats:
    """Return `base` (K,) with what it gives to sleeves that stand aside given to the others, in proportion."""
    if bool(works.all()):
        return np.array(base, dtype=np.float64)
    kept = np.where(works, base, 0.0)
    total = float(kept.sum())
    return kept / total if total > 0.0 else equal_shares(works)


def answers(served: ServedPolicy, rows: Floats) -> Answers:
    """Return what `served` says to observations `rows` (T, D), each on its own."""
    index = served.index
    new = new_features(rows, index, served.reach).mean(axis=1) > MOST_NEW
    impossible = impossible_features(rows, index, served.reach).any(axis=1)
    finite = np.isfinite(rows[:, index]).all(axis=1)
    codes = np.where(new, RowCode.NEW, RowCode.OK)
    codes = np.where(impossible, RowCode.IMPOSSIBLE, codes)
    codes = np.where(finite, codes, RowCode.NOT_FINITE).astype(np.int64)
    weights = np.tile(equal_shares(served.works), (len(rows), 1))
    asked = np.flatnonzero(codes == RowCode.OK)
    said = _policy_weights(served, rows[asked])
    split = np.isfinite(said).all(axis=1) & (said >= 0.0).all(axis=1)
    split &= np.abs(said.sum(axis=1) - 1.0) <= SUM_NOISE
    weights[asked[split]] = said[split]
    codes[asked[~split]] = RowCode.BAD_OUTPUT
    return Answers(weights, codes)


def in_ordinary_times(served: ServedPolicy, row: Floats, places: Ints) -> Floats:
    """Return observation `row` (D,) with what `served` reads at `places` as it is on average."""
    ordinary = row.copy()
    if served.policy is not None:
        scaling = served.policy.scaling
        chosen = np.isin(scaling.index, places)
        ordinary[scaling.index[chosen]] = scaling.mean[chosen]
    ordinary[np.intersect1d(served.offset, places)] = 0.0
    return ordinary


def refusal_words(served: ServedPolicy, row: Floats, code: int) -> str:
    """Return why `answers` gave equal weight for observation `row` (D,), with the names of what is wrong."""
    index, reach = served.index, served.reach
    if code == RowCode.NOT_FINITE:
        return f"unknown in the observation: {_names(served, ~np.isfinite(row[index]))}"
    if code == RowCode.IMPOSSIBLE:
        wrong = impossible_features(row, index, reach)
        place = int(np.flatnonzero(wrong)[0])
        return (
            f"{_names(served, wrong)} cannot be: {served.schema[int(index[place])].name} is {row[index[place]]:g}, "
            f"possible is {reach.least[place]:g} to {reach.most[place]:g}"
        )
    if code == RowCode.NEW:
        far = new_features(row, index, reach)
        return (
            f"{int(far.sum())} of {len(far)} features are far from anything in training "
            f"(at most {MOST_NEW:.0%} may be): {_names(served, far)}"
        )
    return "the model's weights are not a split of capital"


def _policy_weights(served: ServedPolicy, rows: Floats) -> Floats:
    """Return the policy's weights (T, K) for rows that it may be asked about."""
    base = shares_of_working(served.base, served.works)
    weights = np.tile(base, (len(rows), 1))
    if served.policy is not None:
        with np.errstate(over="ignore", invalid="ignore"):  # a doctored network: what comes out is checked
            actions = policy_actions(rows, served.policy)
        map_actions(actions, base, served.scale, ACTION_KINDS.index(served.kind), 0.0, weights, weights)
    if len(served.offset):
        # Told as unknown, or out of bounds, a rule is not in force; without a network such rows were refused before.
        offsets = np.nan_to_num(rows[:, served.offset], nan=0.0, posinf=0.0, neginf=0.0)
        weights = weights * np.exp(np.clip(offsets, *RULE_BOUNDS))
    if len(served.offset) or not bool(served.works.all()):
        kept = np.where(served.works, weights, 0.0)
        total = row_totals(kept)
        weights = np.where(total > 0.0, kept / np.where(total > 0.0, total, 1.0), base)
    return weights


def row_totals(values: Floats) -> Floats:
    """Return the sum of each row, (T, 1), added from left to right: the same bits for one row and for many."""
    total = values[:, :1]
    for column in range(1, values.shape[1]):
        total = total + values[:, column : column + 1]
    return total


def _names(served: ServedPolicy, chosen: Bools) -> str:
    return ", ".join(served.schema[int(i)].name for i in served.index[chosen])
