"""One training run from market to verdict: plan the windows, fit, join the seeds, judge, and describe the model."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import MarketDataError, RetrainModelError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.policy import Policy
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.served_policy import MAX_AGE_SESSIONS, Answers, equal_shares
from trading_platform.core.types import Floats
from trading_platform.evaluation.comparison import REFERENCE
from trading_platform.evaluation.contributions import Contribution
from trading_platform.evaluation.decomposition import GainParts
from trading_platform.evaluation.overfitting import Overfitting
from trading_platform.evaluation.promotion import GateConfig
from trading_platform.evaluation.service_trial import Trial, TrialState
from trading_platform.evaluation.splits import Fold, SplitConfig, WalkForwardScheme, split_window, walk_forward
from trading_platform.evaluation.trials import TrialSummary
from trading_platform.storage.model_manifest import ModelManifest, Scalar, finite_or_none
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.model_weights import pack_weights
from trading_platform.storage.trial_ledger import TrialLedger
from trading_platform.training.fits import Arena, FitTask, Fitted, feature_index, run_tasks
from trading_platform.training.judging import (
    AtCost,
    Judgement,
    at_costs,
    earned_scale,
    joined_policy,
    judge,
    metrics_of,
    overfitting,
    parts_of,
    trial_records,
    with_baselines,
)
from trading_platform.training.paths import equal_weights, policy_answers, run_path
from trading_platform.training.ppo import Look
from trading_platform.training.service import candidate, champion_id, enter, settle, stored_weights
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import minimum_variance_base, shrunken_base
from trading_platform.work.job import Place

FINAL = "final"
PACKAGES = ("numpy", "torch", "stable-baselines3", "gymnasium", "numba")


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows of a run: `folds` of a walk-forward (empty without one) and the window of the model that may serve.

    `final.test` holds the sessions kept back for the report; empty when the newest data is wanted in training.
    `own_from` : the first row that the loaded market itself is learned from; drawn universes, the pool beside it, are
    learned from all of a window.
    """

    folds: tuple[Fold, ...]
    final: Fold
    scheme: str
    own_from: int = 0

    @property
    def gate_rows(self) -> range:
        """Sessions the gate judges: the joined test parts of a walk-forward, else the validation slice."""
        if self.folds:
            return range(self.folds[0].test.start, self.folds[-1].test.stop)
        return self.final.validation


@dataclass(frozen=True, slots=True, eq=False)
class Campaign:
    """What a run needs.

    Attributes
    ----------
    arena : markets and setup. plan, seeds, jobs : what to fit, on how many processes; cluster : or on which.
    registry, ledger : where it is written. now : the instant of the run, UTC.
    data_source, data_hash, risk_fingerprint, regime_fingerprint, purpose : for the manifest and the ledger.
    gate : thresholds. checkpoints : fits resume from here; None = they do not.
    max_age_sessions : sessions behind the newest one that a model has seen for which it is served, here as in trading.
    """

    arena: Arena
    plan: Plan
    seeds: tuple[int, ...]
    jobs: int
    registry: ModelRegistry
    now: datetime
    data_source: str
    data_hash: str
    risk_fingerprint: str
    regime_fingerprint: str = ""
    purpose: str = "train"
    gate: GateConfig = field(default_factory=GateConfig)
    checkpoints: bool = True
    max_age_sessions: int = MAX_AGE_SESSIONS
    cluster: str = ""

    @property
    def run_key(self) -> str:
        """Name of the run: the same for the same options on the same data, so that it resumes."""
        parts = [
            self.arena.setup.fingerprint,
            self.data_hash,
            str(self.plan),
            self.risk_fingerprint,
            self.arena.whole.schema.fingerprint,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def run_folder(self) -> Path:
        """Where checkpoints live until the run is done."""
        return self.registry.folder / "runs" / self.run_key


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a run gave: the stored model, the gate's judgement with all baselines, and the seeds' own gains.

    `overfitting` is that of choosing the best seed on the gate's sessions (no run does), None when it cannot be said.
    `costs` says what the judged weights earn at other costs, `refused` in which part of the judged sessions the policy
    was not asked because the state was new to it, so that equal weight was judged there, as it would have been served.
    `trial` is the one in service that an admitted model
    entered, None of a refused one; `running` the trial of others that a refused one leaves as it was. `serving` is the
    champion when the model was judged, "" for equal weight. `parts` says where the gain on the whole market comes from,
    `contributions` (`training.contributions`, where somebody asks for them) what each part of the allocator is worth.
    """

    model_id: str
    manifest: ModelManifest
    trial: Trial | None
    judged: Judgement
    held_back: Judgement | None
    trials: TrialSummary
    fits: tuple[Fitted, ...]
    seed_gains: Mapping[int, float]
    overfitting: Overfitting | None
    costs: tuple[AtCost, ...]
    refused: float
    parts: GainParts
    serving: str = ""
    running: Trial | None = None
    contributions: tuple[Contribution, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether the gate let the model through to its trial."""
        return self.judged.decision.admitted

    @property
    def promoted(self) -> bool:
        """Whether its trial was passed at once, so that it serves."""
        return self.trial is not None and self.trial.state is TrialState.SERVED


def plan_windows(
    world: PreparedMarket,
    scheme: str,
    train_years: int | None,
    test_sessions: int,
    split: SplitConfig | None = None,
) -> Plan:
    """Return the windows of a run.

    `scheme`: "single" trains and validates before the last `test_sessions`, which are kept back; "yearly" and "rolling"
    walk forward first and then train on the newest window. `train_years` limits the windows (None = all history): what
    is judged is what would serve.

    Raises
    ------
    MarketDataError
        The history is too short.
    """
    config = split or SplitConfig()
    stop = world.n_sessions - (test_sessions if scheme == "single" else 0)
    start = world.first + 1 if train_years is None else max(world.first + 1, stop - train_years * ANNUAL_SESSIONS)
    # Without a test behind it, the window needs no gap at its end.
    ending = stop if test_sessions and scheme == "single" else stop + config.gap
    train, validation = split_window(range(start, ending), config)
    if len(train) < config.min_train_sessions:
        raise MarketDataError(
            f"training: {len(train)} sessions are left to train on between {world.session(world.first)}, when "
            f"statistics begin, and the validation slice; {config.min_train_sessions} are needed: load a longer history"
        )
    folds: tuple[Fold, ...] = ()
    if scheme != "single":
        walk = replace(
            config,
            scheme=WalkForwardScheme(scheme),
            train_years=train_years,
            calendar_years=train_years,
            test_sessions=test_sessions,
        )
        offset = world.first + 1
        folds = tuple(
            Fold(*(range(part.start + offset, part.stop + offset) for part in (fold.train, fold.validation, fold.test)))
            for fold in walk_forward(world.sessions[offset:], walk)
        )
    return Plan(folds, Fold(train, validation, range(stop, world.n_sessions)), scheme)


def beside_the_pool(plan: Plan, world: PreparedMarket) -> Plan:
    """Return the plan of a weekly job: the loaded market is learned from as `plan` says, the pool from all history."""
    final = plan.final
    whole = Fold(range(world.first + 1, final.train.stop), final.validation, final.test)
    return replace(plan, final=whole, own_from=final.train.start)


def run_campaign(campaign: Campaign, on_look: Callable[[FitTask, Look], None] | None = None) -> Outcome:
    """Fit everything, judge it, store the model, and let it stand trial in service if the gate says so.

    Nothing is written but checkpoints and the ledger before all fits are done.
    """
    done = campaign.run_folder / "fits" if campaign.checkpoints else None
    tasks, place = tasks_of(campaign), Place(campaign.jobs, campaign.cluster)
    fits = tuple(sorted(run_tasks(campaign.arena, tasks, place, on_look, campaign.run_key, done), key=_order))
    world, setup = campaign.arena.whole, campaign.arena.setup
    ledger = TrialLedger(campaign.registry.folder)
    ledger.append(
        trial_records(world, fits, setup, campaign.data_hash, campaign.run_key, campaign.purpose, campaign.now)
    )
    rows = campaign.plan.gate_rows
    trials = ledger.summary(len(rows))
    if setup.patience > 0:  # each look chose, so each look is a trial
        trials = replace(trials, n_trials=trials.n_trials + sum(len(fitted.result.looks) - 1 for fitted in fits))
    of_final = [fitted for fitted in fits if fitted.task.fold == FINAL]
    policy, base = joined_policy(of_final), np.array(of_final[0].task.base)
    scale = earned_scale(world, policy, base, setup, campaign.plan.final.validation)
    said = policy_answers(world, policy, base, setup.action_kind, scale, setup.on_rules)
    weights = said.weights
    walked = judged_answers(campaign, fits, world)
    judged_weights, refused = walked.weights, walked.between(rows.start - 1, rows.stop - 1).refused
    incumbent = incumbent_weights(campaign)
    judged = judge(world, judged_weights, rows, incumbent, campaign.gate, others=elsewhere(campaign, fits))
    judged = with_baselines(world, judged)
    test = campaign.plan.final.test
    served = while_served(campaign, weights)
    held_back = with_baselines(world, judge(world, served, test, config=campaign.gate)) if len(test) > 1 else None
    manifest, packed = describe(campaign, policy, base, scale, judged, trials, refused)
    model_id = campaign.registry.add(manifest, packed)
    trial, running, serving = None, settle(campaign.registry, campaign.now), champion_id(campaign.registry)
    if judged.decision.admitted:
        untaught = rows if campaign.plan.folds else test
        entering = candidate(
            campaign.registry,
            world,
            model_id,
            judged.decision,
            campaign.gate.min_total_gain,
            judged_weights,
            rows,
            untaught,
            setup.cost_bps,
            weights,
        )
        trial = enter(campaign.registry, entering, campaign.now)
    alone = {seed: run_path(world, seed_weights(campaign, fits, seed), rows) for seed in campaign.seeds}
    equal = sharpe_ratio(judged.paths[REFERENCE].returns)
    gains = {seed: sharpe_ratio(path.returns) - equal for seed, path in alone.items()}
    chosen = overfitting(list(alone.values()))
    costs = at_costs(world, judged_weights, rows)
    parts = parts_of(world, judged_weights, judged)
    return Outcome(
        model_id,
        manifest,
        trial,
        judged,
        held_back,
        trials,
        fits,
        gains,
        chosen,
        costs,
        refused,
        parts,
        serving,
        running,
    )


def tasks_of(campaign: Campaign) -> list[FitTask]:
    """Return all fits of a run, folds before the final window."""
    windows = [(f"fold{number:02d}", fold) for number, fold in enumerate(campaign.plan.folds)]
    return [
        FitTask(
            fold=name,
            seed=seed,
            train=fold.train,
            validation=fold.validation,
            base=tuple(base_of(campaign, fold).tolist()),
            checkpoint=campaign.run_folder / f"{name}-{seed}.npz" if campaign.checkpoints else None,
            own_from=campaign.plan.own_from,
        )
        for name, fold in [*windows, (FINAL, campaign.plan.final)]
        for seed in campaign.seeds
    ]


def base_of(campaign: Campaign, fold: Fold) -> Floats:
    """Return the allocation to start from, (K,) shares that add up to 1, learned before the fold's validation."""
    world, setup = campaign.arena.whole, campaign.arena.setup
    if setup.base == "equal":
        return equal_shares(world.works)
    if setup.base == "minimum_variance":
        return minimum_variance_base(world, fold.train.stop, setup.base_sessions)
    return shrunken_base(world, fold.train.stop, setup.base_sharpness)


def while_served(campaign: Campaign, weights: Floats) -> Floats:
    """Return `weights` (T, K) of the final model as the allocator serves them: equal weight once it is too old."""
    world, final = campaign.arena.whole, campaign.plan.final
    seen = max(final.train.stop, final.validation.stop) - 1
    too_old = np.arange(world.n_sessions) - seen > campaign.max_age_sessions
    served: Floats = np.where(too_old[:, None], equal_weights(world), weights)
    return served


def elsewhere(campaign: Campaign, fits: Sequence[Fitted]) -> list[tuple[PreparedMarket, Floats]]:
    """Return the drawn universes that live through the same sessions, with the judged policy's weights (T, K) there."""
    arena = campaign.arena
    same_days = [world for world in arena.universes if np.array_equal(world.sessions, arena.whole.sessions)]
    others = [] if arena.setup.block_sessions else [world for world in same_days if world is not arena.whole]
    return [(world, judged_answers(campaign, fits, world).weights) for world in others]


def judged_answers(campaign: Campaign, fits: Sequence[Fitted], world: PreparedMarket) -> Answers:
    """Return what the gate judges of `fits` in `world`, (T, K): the walked path's answers, else the final model's."""
    if campaign.plan.folds:
        return walked_answers(campaign, fits, world=world)
    return _earned_answers(campaign, [fitted for fitted in fits if fitted.task.fold == FINAL], world)


def walked_answers(
    campaign: Campaign, fits: Sequence[Fitted], seed: int | None = None, world: PreparedMarket | None = None
) -> Answers:
    """Return the answers (T, K) of a walk-forward: in each test part those of its fold's joined seeds (or one seed).

    `world` is where the policies look; the loaded market when None.
    """
    world = campaign.arena.whole if world is None else world
    weights = equal_weights(world)
    codes = np.zeros(len(weights), dtype=np.int64)
    for number, fold in enumerate(campaign.plan.folds):
        mine = [
            fitted
            for fitted in fits
            if fitted.task.fold == f"fold{number:02d}" and (seed is None or fitted.task.seed == seed)
        ]
        decided = slice(fold.test.start - 1, fold.test.stop - 1)
        said = _earned_answers(campaign, mine, world)
        weights[decided], codes[decided] = said.weights[decided], said.codes[decided]
    return Answers(weights, codes)


def seed_weights(campaign: Campaign, fits: Sequence[Fitted], seed: int) -> Floats:
    """Return the weights (T, K) that one seed alone would have had on the gate's sessions."""
    if campaign.plan.folds:
        return walked_answers(campaign, fits, seed).weights
    mine = [f for f in fits if f.task.fold == FINAL and f.task.seed == seed]
    return _earned_answers(campaign, mine, campaign.arena.whole).weights


def _earned_answers(campaign: Campaign, fits: Sequence[Fitted], world: PreparedMarket) -> Answers:
    """Return the answers (T, K) of one window's joined fits in `world`, as far from the base as they have earned."""
    setup, task = campaign.arena.setup, fits[0].task
    policy, base = joined_policy(fits), np.array(task.base)
    scale = earned_scale(campaign.arena.whole, policy, base, setup, task.validation)
    return policy_answers(world, policy, base, setup.action_kind, scale, setup.on_rules)


def incumbent_weights(campaign: Campaign) -> Floats | None:
    """Return the champion's weights (T, K) on this market, or None if none can be asked."""
    serving = champion_id(campaign.registry)
    try:
        return stored_weights(campaign.registry, serving, campaign.arena.whole) if serving else None
    except RetrainModelError:
        return None  # it serves nobody: the allocator refuses it, too


def describe(
    campaign: Campaign,
    policy: Policy,
    base: Floats,
    scale: float,
    judged: Judgement,
    trials: TrialSummary,
    refused: float,
) -> tuple[ModelManifest, bytes]:
    """Return the manifest and the weights file of a policy.

    Parameters
    ----------
    base, scale
        (K,) shares that the policy starts from, and how far it may go from them (`judging.earned_scale`).
    judged, trials
        What the gate said, and how many trials it has to allow for.
    refused
        Fraction of the judged sessions in which the policy was not asked, its state being new to it.
    """
    world, setup, plan = campaign.arena.whole, campaign.arena.setup, campaign.plan
    weights = pack_weights(policy.network)
    seen = max(plan.final.train.stop, plan.final.validation.stop) - 1
    champion = champion_id(campaign.registry)
    gate: dict[str, Scalar] = {"n_trials": trials.n_trials, "trial_sharpe_variance": trials.sharpe_variance}
    for reason in judged.decision.reasons:
        gate |= {
            f"{reason.code}_observed": float(reason.observed),
            f"{reason.code}_threshold": float(reason.threshold),
            f"{reason.code}_passed": reason.passed,
        }
    gate |= {"objective": str(judged.decision.objective), "universes": judged.decision.n_universes}
    gate["rows"] = f"{world.session(judged.rows.start)}..{world.session(judged.rows.stop - 1)}"
    options: dict[str, Scalar] = {
        name: json.dumps(value) if isinstance(value, tuple) else value for name, value in _options(setup).items()
    }
    manifest = ModelManifest(
        strategies=world.schema.strategies,
        observation_hash=world.schema.fingerprint,
        features=tuple(world.schema.names[i] for i in policy.scaling.index),
        feature_index=tuple(int(i) for i in policy.scaling.index),
        feature_mean=tuple(policy.scaling.mean.tolist()),
        feature_gain=tuple(policy.scaling.gain.tolist()),
        feature_clip=float(policy.scaling.clip),
        feature_low=tuple(policy.scaling.low.tolist()),
        feature_high=tuple(policy.scaling.high.tolist()),
        action_kind=setup.action_kind,
        action_scale=scale,
        base_weights=tuple(base.tolist()),
        on_rules=setup.on_rules,
        hidden=tuple(kernel.shape[2] for kernel in policy.network.kernels[:-1]),
        members=policy.network.n_members,
        risk_fingerprint=campaign.risk_fingerprint,
        regime_fingerprint=campaign.regime_fingerprint,
        data_source=campaign.data_source,
        data_start=world.session(0).isoformat(),
        data_end=world.session(seen).isoformat(),
        data_hash=campaign.data_hash,
        seeds=campaign.seeds,
        versions=_versions(),
        training=finite_or_none(options | {"scheme": plan.scheme, "setup": setup.fingerprint}),
        metrics=finite_or_none(dict(metrics_of(judged)) | {"refused": refused}),
        promoted_by_gate=judged.decision.admitted,
        gate=finite_or_none(gate),
        parents=(champion,) if champion else (),
        created_at=campaign.now.isoformat(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    return manifest, weights


def check_features(world: PreparedMarket, setup: TrainingSetup) -> None:
    """Raise `FixConfigError` for features that do not exist, before anything slow has begun."""
    feature_index(world.schema, setup.features)


def _order(fitted: Fitted) -> tuple[str, int]:
    return fitted.task.fold, fitted.task.seed


def _options(setup: TrainingSetup) -> dict[str, Scalar | tuple[object, ...]]:
    return {name: getattr(setup, name) for name in setup.__dataclass_fields__}


def _versions() -> dict[str, Scalar]:
    versions: dict[str, Scalar] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions
