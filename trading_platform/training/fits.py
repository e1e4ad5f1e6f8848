"""Fits over folds and seeds: in this process, or split over workers that hold the markets once.

A task names rows, not data; an arena holds what all tasks share. Results do not depend on how many processes work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.observation import STRATEGY_GROUP, ObservationSchema
from trading_platform.core.policy import Network, Policy, Scaling, fit_scaling, scaled_features
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.served_policy import rule_places
from trading_platform.core.sleeve_scorer import SleeveLayout, sleeve_inputs, sleeve_layout
from trading_platform.core.types import Floats, Ints
from trading_platform.core.validation import did_you_mean
from trading_platform.training.gradient import fit_gradient
from trading_platform.training.paths import equal_weights, observations, policy_answers, run_path
from trading_platform.training.ppo import RULES_ROOM, FitResult, Look, RuleOffset, fit
from trading_platform.training.sb3_models import Scorer
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import at_base
from trading_platform.work.job import Job, Place
from trading_platform.work.map_tasks import workers
from trading_platform.work.result_files import ResultFiles

MakeEnv = Callable[[Sequence[PreparedMarket], int, EpisodeOptions], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Arena:
    """What all fits share.

    Attributes
    ----------
    whole : the loaded market, on which policies are judged. universes : markets that episodes come from.
    make_env : builds the batched environment; importable by name, since workers build their own.
    curves : folder for TensorBoard, one below it a fit.
    """

    whole: PreparedMarket
    universes: tuple[PreparedMarket, ...]
    setup: TrainingSetup
    make_env: MakeEnv
    device: str = "cpu"
    curves: Path | None = None


@dataclass(frozen=True, slots=True)
class FitTask:
    """One fit: train on rows `train`, look at rows `validation`; `base` (K,) is the allocation to start from.

    `own_from` : the first of the rows that the loaded market itself is learned from; the drawn universes, the pool
    beside it, are learned from all of `train`.
    """

    fold: str
    seed: int
    train: range
    validation: range
    base: tuple[float, ...]
    checkpoint: Path | None = None
    own_from: int = 0

    @property
    def own(self) -> range:
        """Rows that are learned from on the loaded market."""
        return range(max(self.train.start, self.own_from), self.train.stop)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A task's result."""

    task: FitTask
    scaling: Scaling
    result: FitResult
    layout: SleeveLayout | None = None

    @property
    def policy(self) -> Policy:
        """The fit's policy."""
        return Policy(self.scaling, self.result.network, self.layout)


def feature_index(schema: ObservationSchema, features: Sequence[str]) -> Ints:
    """Return the positions (F,) of observation fields, in the order of the schema.

    A name is that of a field, of a group, or what every strategy's field has behind the strategy's name ("beta").

    Raises
    ------
    FixConfigError
        An unknown name, or a field that depends on the book.
    """
    common = common_names(schema)
    known = {*schema.names, *schema.groups, *common}
    for name in features:
        if name not in known:
            choices = f"; choose from {', '.join(sorted({*schema.groups, *common, *_of_market(schema)}))}"
            raise FixConfigError(
                f"features: {name!r} is no observation field or group{did_you_mean(name, known) or choices}"
            )
    wanted = {*features, *(field for name in features for field in common.get(name, ()))}
    chosen = [i for i, field in enumerate(schema) if field.name in wanted or field.group in wanted]
    if not np.isin(chosen, schema.exogenous).all():
        own = [schema.names[i] for i in chosen if i not in schema.exogenous]
        raise FixConfigError(
            f"features: {', '.join(own)} depend on the book; a policy that reads its own results cannot be judged "
            "on one continuous path, so choose regime, market or strategy fields"
        )
    return np.array(chosen, dtype=np.int64)


def common_names(schema: ObservationSchema) -> dict[str, list[str]]:
    """Return what stands behind the strategy's name in fields that every strategy has -> those fields."""
    groups = schema.groups
    fields = {
        name: {schema.names[i].removeprefix(f"{name}_") for i in groups[STRATEGY_GROUP + name]}
        for name in schema.strategies
    }
    shared = set.intersection(*fields.values()) if fields else set()
    return {ending: [f"{name}_{ending}" for name in fields] for ending in shared}


def _of_market(schema: ObservationSchema) -> list[str]:
    return [field.name for field in schema if field.group in ("market", "slow_market")]


def fit_task(arena: Arena, task: FitTask, on_look: Callable[[Look], None] | None = None) -> Fitted:
    """Run one task."""
    setup, whole = arena.setup, arena.whole
    index = feature_index(whole.schema, setup.features)
    trained_on = observations(whole)[task.train.start : task.train.stop]
    scaling, layout = fit_scaling(trained_on, index, setup.clip), sleeve_layout(whole.schema, index)
    scorer = None
    if layout is not None:
        scorer = Scorer(layout, sleeve_inputs(scaled_features(trained_on, scaling), layout).mean(axis=0))
    base, rows = np.array(task.base), task.validation
    equal = sharpe_ratio(run_path(whole, equal_weights(whole), rows).returns) if len(rows) else 0.0

    def score(network: Network) -> float:
        if not len(rows):
            return 0.0
        weights = weights_of(whole, Policy(scaling, network, layout), base, setup)
        return sharpe_ratio(run_path(whole, weights, rows).returns) - equal

    if setup.algo == "gradient":
        others = [world for world in arena.universes if world is not whole and same_sessions(world, whole)]
        seen = [(whole, observations(whole), task.own), *((other, observations(other), task.train) for other in others)]
        result = fit_gradient(seen, base, scaling, scorer, setup, task.seed, score, on_look)
        return Fitted(task, scaling, result, layout)
    env = _make_env(arena, task, base)
    offset = RuleOffset(rule_places(whole.schema), setup.action_scale) if setup.on_rules else None
    curves = None if arena.curves is None else arena.curves / f"{setup.algo}-{task.fold}-{task.seed}"
    try:
        result = fit(
            env,
            scaling,
            setup,
            task.seed,
            score,
            on_look,
            task.checkpoint,
            arena.device,
            scorer=scorer,
            curves=curves,
            offset=offset,
        )
    finally:
        env.close()
    return Fitted(task, scaling, result, layout)


def same_sessions(world: PreparedMarket, whole: PreparedMarket) -> bool:
    """Return whether a universe lives through the same days, so that the same rows may be trained on."""
    return np.array_equal(world.sessions, whole.sessions)


def _make_env(arena: Arena, task: FitTask, base: Floats) -> Any:
    """Return the environment of one fit: the training window of all universes, from the task's base."""
    setup, whole = arena.setup, arena.whole
    is_equal = bool(np.all(base == whole.base))
    own = replace(whole, first=max(whole.first, task.own.start - 1))
    chosen = [own if world is whole else world for world in arena.universes]
    worlds = [world if is_equal else at_base(world, base) for world in chosen]
    options = EpisodeOptions(
        start=whole.session(task.train.start),
        end=whole.session(task.train.stop - 1),
        reward=setup.paid_reward,
        action_kind=setup.action_kind,
        action_scale=setup.action_scale + (RULES_ROOM if setup.on_rules else 0.0),
        cost_jitter=setup.cost_jitter,
        twins=2 if setup.mirrored_pairs else 1,
    )
    return arena.make_env(worlds[: setup.round_episodes], setup.round_episodes, options)


def weights_of(
    world: PreparedMarket, policy: Policy, base: Floats, setup: TrainingSetup, scale: float | None = None
) -> Floats:
    """Return a policy's weights on every session of `world`, (T, K); at the setup's scale when None."""
    chosen = setup.action_scale if scale is None else scale
    return policy_answers(world, policy, base, setup.action_kind, chosen, setup.on_rules).weights


def run_tasks(
    arena: Arena,
    tasks: Sequence[FitTask],
    place: Place,
    on_look: Callable[[FitTask, Look], None] | None = None,
    identity: str = "",
    kept_in: Path | None = None,
) -> Iterator[Fitted]:
    """Yield results as they are done; `on_look` hears of looks, in the order they happen with one job.

    With several jobs looks are told when their fit is done. `kept_in` is a folder for finished fits of the run called
    `identity`, which are not run again; None = nothing is kept. On a cluster fits have no checkpoints: another node
    would not have them.
    """
    if place.cluster == "" and (place.jobs <= 1 or len(tasks) <= 1):
        for task in tasks:
            yield fit_task(arena, task, None if on_look is None else _told(on_look, task))
        return
    job = Job("fit", _work, arena, identity, KINDS, key=_key)
    files = None if kept_in is None else ResultFiles(kept_in, KINDS)
    asked = [replace(task, checkpoint=None) for task in tasks] if place.cluster else list(tasks)
    with workers(job, replace(place, jobs=min(place.jobs, len(tasks))), files) as opened:
        for number, fitted in opened.map(asked):
            done = replace(fitted, task=tasks[number])
            if on_look is not None:
                for look in done.result.looks:
                    on_look(done.task, look)
            yield done


def _told(on_look: Callable[[FitTask, Look], None], task: FitTask) -> Callable[[Look], None]:
    return lambda look: on_look(task, look)


KINDS = (Fitted, FitTask, Scaling, FitResult, Network, Look, SleeveLayout)


def _key(task: FitTask) -> str:
    return repr(replace(task, checkpoint=None))


def _work(arena: Arena, task: FitTask) -> Fitted:
    return fit_task(arena, task)
