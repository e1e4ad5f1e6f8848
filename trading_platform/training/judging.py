"""From fits to a verdict: average the seeds, run the paths, ask the gate, compare with the baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.policy import Policy, averaged
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.evaluation.bootstrap import sharpe_difference
from trading_platform.evaluation.comparison import REFERENCE, ComparisonRow, Contender, compare
from trading_platform.evaluation.decomposition import GainParts, gain_parts, rolled_weights
from trading_platform.evaluation.learning_baselines import default_baselines
from trading_platform.evaluation.overfitting import MOST_BLOCKS, Overfitting, backtest_overfitting
from trading_platform.evaluation.promotion import GateConfig, GateDecision, GateEvidence, decide
from trading_platform.evaluation.sharpe_tests import matched_difference
from trading_platform.evaluation.trials import TrialRecord, TrialSummary
from trading_platform.training.fits import Fitted, weights_of
from trading_platform.training.paths import BookPath, equal_weights, run_path
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import rules_at_cost

POLICY = "policy"
INCUMBENT = "incumbent"
# What is left of a tilt that earned nothing: the map asks for a scale above 0, and this moves no order.
LEAST_SHARE = 1e-6
EARNING_RESAMPLES = 1_000
# Sharpe ratios closer than this are of one policy: seeds whose tilt earned nothing all hold the base.
ALIKE = 0.001
# The same weights at rolled dates: with 19 of them the best of all has a share of 1 in 20.
PLACEBOS = 19
# Half-spread and slippage, basis points: a large-cap order book, the default, and a careless broker.
COST_LEVELS = (5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """A policy's path beside others on the same sessions `rows`, and what the gate said of it.

    `universes` : every market that was judged, the loaded one first, each with the paths of policy and equal weight.
    """

    rows: range
    paths: Mapping[str, BookPath]
    decision: GateDecision
    universes: tuple[tuple[PreparedMarket, BookPath, BookPath], ...] = ()

    @property
    def gain(self) -> float:
        """Sharpe ratio of the policy minus that of equal weight, on the whole market."""
        return sharpe_ratio(self.paths[POLICY].returns) - sharpe_ratio(self.paths[REFERENCE].returns)


def joined_policy(fits: Sequence[Fitted]) -> Policy:
    """Return the policy whose action is the mean of the fits' actions; all must come from one training window."""
    return Policy(fits[0].scaling, averaged([fitted.result.network for fitted in fits]), fits[0].layout)


def earned_scale(world: PreparedMarket, policy: Policy, base: Floats, setup: TrainingSetup, rows: range) -> float:
    """Return how far from the base a policy may go: the setup's scale times the share that its tilt has earned.

    Judged by its Sharpe ratio over that of the `base` (K,) on the validation `rows`; nothing is earned without them.
    """
    if not setup.earned_tilt:
        return setup.action_scale
    share = 0.0
    if len(rows) > 1:
        tilted = run_path(world, weights_of(world, policy, base, setup), rows).returns
        still = run_path(world, np.tile(base, (world.n_sessions, 1)), rows).returns
        gain = sharpe_difference(tilted, still, np.random.default_rng(0), n_resamples=EARNING_RESAMPLES)
        share = earned_share(gain.difference, gain.standard_error, world.n_strategies)
    return setup.action_scale * max(LEAST_SHARE, share)


def earned_share(gain: float, standard_error: float, n_strategies: int) -> float:
    """Return max(0, 1 - p / t^2) for t = gain / standard_error > 0, else 0; 0 when either is unknown.

    The positive part of James & Stein (1961), whose price p is the number of directions less two. A split of capital
    among K strategies has K - 1; p is never below 1, as in Breiman's garrote (1995). With six strategies a tilt within
    1.7 times its noise is dropped, and one at 3.5 times keeps three quarters.
    """
    if not (gain > 0.0 and standard_error > 0.0):
        return 0.0
    price = max(1, n_strategies - 3)
    return max(0.0, 1.0 - price * (standard_error / gain) ** 2)


@dataclass(frozen=True, slots=True)
class AtCost:
    """Sharpe ratios of the same weights, chosen at the setup's costs, where trading costs `cost_bps`."""

    cost_bps: float
    sharpe: float
    equal_weight: float


def at_costs(world: PreparedMarket, weights: Floats, rows: range) -> tuple[AtCost, ...]:
    """Return what the policy's `weights` (T, K) and equal weight earn over `rows` at each of `COST_LEVELS`."""
    equal = equal_weights(world)
    found = []
    for cost in COST_LEVELS:
        rules = rules_at_cost(world.rules, cost)
        mine, others = (sharpe_ratio(run_path(world, chosen, rows, rules).returns) for chosen in (weights, equal))
        found.append(AtCost(cost, mine, others))
    return tuple(found)


def overfitting(paths: Sequence[BookPath]) -> Overfitting | None:
    """Return the probability of overfitting by choosing the best of `paths`.

    None where there is no choice: fewer than two paths, all of them alike, or too few sessions.
    """
    returns = np.column_stack([path.returns for path in paths]) if paths else np.empty((0, 0))
    if returns.shape[1] < 2 or len(returns) < 2 * MOST_BLOCKS or not np.isfinite(returns).all():
        return None
    if not (np.ptp([sharpe_ratio(path.returns) for path in paths]) > ALIKE):
        return None
    return backtest_overfitting(returns)


def trial_records(
    world: PreparedMarket,
    fits: Sequence[Fitted],
    setup: TrainingSetup,
    data_hash: str,
    run: str,
    purpose: str,
    at: datetime,
) -> list[TrialRecord]:
    """Return one ledger record for each fit, measured on its own validation rows."""
    records = []
    for fitted in fits:
        rows, base = fitted.task.validation, np.array(fitted.task.base)
        sharpe = gain = math.nan
        if len(rows):
            weights = weights_of(world, fitted.policy, base, setup)
            mine = run_path(world, weights, rows).returns
            sharpe = sharpe_ratio(mine)
            gain = sharpe_ratio(matched_difference(mine, run_path(world, equal_weights(world), rows).returns))
        records.append(
            TrialRecord(
                trial_id=f"{run}-{fitted.task.fold}-{fitted.task.seed}",
                recorded_at=at,
                purpose=purpose,
                fold=fitted.task.fold,
                seed=fitted.task.seed,
                config_fingerprint=setup.fingerprint,
                data_hash=data_hash,
                n_sessions=len(rows),
                sharpe=sharpe if math.isfinite(sharpe) else None,
                difference_sharpe=gain if math.isfinite(gain) else None,
            )
        )
    return records


def judge(
    world: PreparedMarket,
    weights: Floats,
    rows: range,
    incumbent: Floats | None = None,
    config: GateConfig | None = None,
    seed: int = 0,
    others: Sequence[tuple[PreparedMarket, Floats]] = (),
) -> Judgement:
    """Run the policy's `weights` (T, K), equal weight and the incumbent's over `rows` and ask the gate.

    `others` are more universes on the same sessions, each with the weights that the policy has there.
    """
    paths = {POLICY: run_path(world, weights, rows), REFERENCE: run_path(world, equal_weights(world), rows)}
    if incumbent is not None:
        paths[INCUMBENT] = run_path(world, incumbent, rows)
    elsewhere = [
        (other, run_path(other, mine, rows), run_path(other, equal_weights(other), rows)) for other, mine in others
    ]
    universes = ((world, paths[POLICY], paths[REFERENCE]), *elsewhere)
    evidence = GateEvidence(
        challenger=np.array([mine.returns for _, mine, _ in universes]),
        equal_weight=np.array([equal.returns for _, _, equal in universes]),
        annual_turnover=paths[POLICY].allocation_turnover,
    )
    return Judgement(rows, paths, decide(evidence, np.random.default_rng(seed), config), universes)


def parts_of(world: PreparedMarket, weights: Floats, judged: Judgement) -> GainParts:
    """Return where the gain of the policy's `weights` (T, K) on the whole market comes from; each book is traded."""
    rows = judged.rows
    average = np.tile(weights[rows.start - 1 : rows.stop - 1].mean(axis=0), (world.n_sessions, 1))
    rolled = [run_path(world, moved, rows).returns for moved in rolled_weights(weights, rows, PLACEBOS)]
    still = run_path(world, average, rows).returns
    return gain_parts(judged.paths[POLICY].returns, still, judged.paths[REFERENCE].returns, rolled)


def with_baselines(world: PreparedMarket, judged: Judgement, seed: int = 0) -> Judgement:
    """Return `judged` with the paths of every baseline, through the same kernel, at the same costs."""
    paths = dict(judged.paths)
    # The shadow books know nothing before `first`; baselines start there.
    returns = world.strategy_returns
    for baseline in default_baselines(seed):
        if baseline.name not in paths:
            weights = equal_weights(world)
            weights[world.first :] = baseline.weights(returns[world.first :], world.regimes[world.first :])
            paths[baseline.name] = run_path(world, weights, judged.rows)
    return replace(judged, paths=paths)


def comparison(judged: Judgement, trials: TrialSummary, seed: int = 0) -> tuple[ComparisonRow, ...]:
    """Return the table of all books against equal weight; only the policy was chosen from trials."""
    contenders = {
        name: Contender(path.returns, path.turnover)
        if name != POLICY
        else Contender(path.returns, path.turnover, float(max(1, trials.n_trials)), trials.sharpe_variance)
        for name, path in judged.paths.items()
    }
    return compare(contenders, np.random.default_rng(seed))


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half, which a lucky seed does not move (Agarwal et al. 2021); NaN when empty."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) == 0:
        return math.nan
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def metrics_of(judged: Judgement) -> dict[str, float]:
    """Return the figures that the manifest keeps."""
    mine, equal = judged.paths[POLICY], judged.paths[REFERENCE]
    return {
        "sessions": float(len(mine.returns)),
        "sharpe": sharpe_ratio(mine.returns),
        "equal_weight_sharpe": sharpe_ratio(equal.returns),
        "gain": judged.gain,
        "allocation_turnover": mine.allocation_turnover,
        "book_turnover": float(mine.turnover.mean()) * ANNUAL_SESSIONS,
    }
