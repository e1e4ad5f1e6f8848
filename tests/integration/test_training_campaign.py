"""A whole training run on a small market: windows, fits, judgement, registry, ledger, resumption."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

from risk_config import RiskConfig
from rl_environment import BatchedAllocEnv
from rl_strategy_allocator import FallbackCode, RLStrategyAllocator
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.policy import Network, Policy, Scaling
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.evaluation.bootstrap import sharpe_difference
from trading_platform.evaluation.promotion import GateConfig
from trading_platform.evaluation.splits import SplitConfig
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.trial_ledger import TrialLedger
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import make_strategies
from trading_platform.training.campaign import (
    FINAL,
    Campaign,
    Outcome,
    Plan,
    elsewhere,
    plan_windows,
    run_campaign,
    tasks_of,
    walked_answers,
)
from trading_platform.training.fits import Arena, FitTask, feature_index, weights_of
from trading_platform.training.judging import (
    LEAST_SHARE,
    POLICY,
    earned_scale,
    earned_share,
    interquartile_mean,
    overfitting,
)
from trading_platform.training.paths import LEAD_IN, equal_weights, observations, policy_answers, run_path
from trading_platform.training.ppo import Look
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.verdict import build_report, document, verdict_line
from trading_platform.training.worlds import at_base, minimum_variance_base, rules_at_cost, shrunken_base

pytestmark = pytest.mark.real

NOW = datetime(2026, 1, 5, tzinfo=UTC)
SETUP = TrainingSetup(episodes=40, eval_freq=20, hidden=(4,), n_universes=0)
EARNING = replace(SETUP, earned_tilt=True, action_scale=6.0)
# Five years of random walks are no place where the gate's own limits decide the same for every way of training.
NOTHING = GateConfig(min_total_gain=10.0)
ANYTHING = GateConfig(min_sessions=20, min_total_gain=-10.0, min_confidence=0.5, max_annual_turnover=252.0)


@pytest.fixture(scope="module")
def world() -> PreparedMarket:
    """Ten stocks, five years, regimes unknown."""
    panel = SyntheticMarketData(3, n_tickers=10, n_sessions=1260).history()
    clock = NyseCalendar().exchange_seconds(panel.sessions.tolist())
    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    unknown = np.full((panel.n_sessions, 3), np.nan)
    strategies = make_strategies(("momentum", "mean_reversion", "low_volatility"))
    return prepare_panel(panel, clock, strategies, unknown, rules_at_cost(rules, 10.0))


def campaign(world: PreparedMarket, folder: Path, plan: Plan | None = None, **changes: Any) -> Campaign:
    made = Campaign(
        arena=Arena(world, (world,), SETUP, BatchedAllocEnv),
        plan=plan or plan_windows(world, "single", None, 100),
        seeds=(1, 2),
        jobs=1,
        registry=ModelRegistry(folder),
        now=NOW,
        data_source="test",
        data_hash="h",
        risk_fingerprint="r",
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def outcome(world: PreparedMarket, tmp_path_factory: pytest.TempPathFactory) -> tuple[Campaign, Outcome]:
    ran = campaign(world, tmp_path_factory.mktemp("models"), gate=NOTHING)
    return ran, run_campaign(ran)


def test_a_run_stores_one_model_and_counts_every_fit(outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    assert ran.registry.model_ids() == (result.model_id,)
    assert ran.registry.verify(result.model_id) is None
    assert TrialLedger(ran.registry.folder).summary().n_trials == 2
    assert result.manifest.members == 2
    assert result.manifest.data_end == ran.arena.whole.session(ran.plan.final.validation.stop - 1).isoformat()
    assert set(result.seed_gains) == {1, 2}


def test_a_refused_model_does_not_serve_and_says_why(outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    assert not result.promoted
    assert ran.registry.champion() is None
    assert not result.manifest.promoted_by_gate
    assert verdict_line(result).startswith("REFUSED. Over 1 universe it")
    assert verdict_line(result).endswith("Equal weight goes on.")
    assert result.trial is None
    assert not (ran.registry.folder / "trial.json").exists()
    assert result.manifest.gate["n_trials"] == 2


def test_the_verdict_document_has_the_books_beside_equal_weight(outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    told = document(ran, result, {"train": 1.0}, 1600)
    rows = told["comparison"]
    assert isinstance(rows, list)
    names = [row["name"] for row in rows]
    assert {"policy", "equal_weight", "inverse_volatility", "risk_parity", "regime_table"} <= set(names)
    policy = next(row for row in rows if row["name"] == "policy")
    equal = next(row for row in rows if row["name"] == "equal_weight")
    assert policy["gain"] == pytest.approx(policy["sharpe"] - equal["sharpe"])
    assert told["held_back"] is not None
    report = build_report(ran, result)
    assert len(report.sessions) == len(report.weights) == len(report.books["policy"]) == len(ran.plan.gate_rows)


def test_the_same_run_again_has_the_same_weights_and_is_counted_once(outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    again = run_campaign(replace(ran, checkpoints=False))
    assert again.manifest.weights_sha256 == result.manifest.weights_sha256
    assert again.trials.n_trials == 2


def test_worker_processes_give_the_same_weights(
    world: PreparedMarket, outcome: tuple[Campaign, Outcome], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    result = run_campaign(campaign(world, tmp_path, jobs=2), lambda task, look: told.append((task.seed, look.episodes)))
    assert result.manifest.weights_sha256 == outcome[1].manifest.weights_sha256
    assert sorted(told) == [(1, 20), (1, 40), (2, 20), (2, 40)]


def test_an_interrupted_run_registers_nothing_and_continues(
    world: PreparedMarket, outcome: tuple[Campaign, Outcome], tmp_path: Path
) -> None:
    def interrupt(task: FitTask, look: Look) -> None:
        if task.seed == 2 and look.episodes == 40:
            raise KeyboardInterrupt

    ran = campaign(world, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(ran, interrupt)
    assert ran.registry.model_ids() == ()
    assert not TrialLedger(tmp_path).path.exists()
    assert len(list(ran.run_folder.glob("*.npz"))) == 2
    looks: list[int] = []
    result = run_campaign(ran, lambda task, look: looks.append(look.episodes))
    assert looks == [40]
    assert result.manifest.weights_sha256 == outcome[1].manifest.weights_sha256


def test_a_promoted_model_serves_after_what_it_has_seen(world: PreparedMarket, tmp_path: Path) -> None:
    ran = campaign(world, tmp_path, gate=ANYTHING)
    # Whether this gate passes is luck; promote by hand what it refuses, to see it serve.
    result = run_campaign(ran)
    if not result.promoted:
        ran.registry.promote(result.model_id, NOW, "test")
    allocator = RLStrategyAllocator(tmp_path, world.schema.strategies)
    last = ran.plan.final.validation.stop - 1
    for row, code in ((last, FallbackCode.MODEL_IN_SAMPLE), (last + 1, FallbackCode.OK)):
        weights = allocator.get_allocation(observations(world)[row], world.session(row))
        assert allocator.last_decision.code is code
        assert sum(weights.values()) == pytest.approx(1.0)
    judged = result.held_back
    assert judged is not None
    first = judged.rows.start
    served = allocator.get_allocation(observations(world)[first], world.session(first))
    assert list(served.values()) == judged.paths[POLICY].weights[1].tolist()


def test_a_challenger_stands_trial_against_the_champion_and_not_before_it(
    world: PreparedMarket, tmp_path: Path
) -> None:
    first = run_campaign(campaign(world, tmp_path))
    ModelRegistry(tmp_path).promote(first.model_id, NOW, "test")
    second = run_campaign(campaign(world, tmp_path, seeds=(5,), gate=ANYTHING))
    assert second.judged.paths["incumbent"].returns.shape == second.judged.paths[POLICY].returns.shape
    assert second.manifest.parents == (first.model_id,)
    champion = ModelRegistry(tmp_path).champion()
    assert champion is not None and champion.model_id == first.model_id
    if second.admitted:
        assert second.trial is not None and second.trial.serving == first.model_id


def test_universes_of_the_same_sessions_are_judged_together(world: PreparedMarket, tmp_path: Path) -> None:
    arena = Arena(world, (replace(world, capital=90_000.0), replace(world, capital=110_000.0)), SETUP, BatchedAllocEnv)
    ran = replace(campaign(world, tmp_path, seeds=(1,)), arena=arena)
    result = run_campaign(ran)
    assert result.judged.decision.n_universes == result.manifest.gate["universes"] == 3
    assert len(elsewhere(ran, result.fits)) == 2
    other_days = replace(world, sessions=world.sessions + np.timedelta64(1, "D"))
    strange = replace(ran, arena=replace(arena, universes=(other_days,)))
    assert elsewhere(strange, result.fits) == []


def test_a_walk_forward_joins_the_folds_out_of_sample(world: PreparedMarket, tmp_path: Path) -> None:
    plan = plan_windows(world, "rolling", 1, 120, SplitConfig(min_train_sessions=40))
    assert len(plan.folds) >= 2
    ran = campaign(world, tmp_path, plan, seeds=(1,))
    assert [task.fold for task in tasks_of(ran)] == [*(f"fold{n:02d}" for n in range(len(plan.folds))), FINAL]
    result = run_campaign(ran)
    assert result.judged.rows == range(plan.folds[0].test.start, plan.folds[-1].test.stop)
    weights = walked_answers(ran, result.fits).weights
    np.testing.assert_array_equal(result.judged.paths[POLICY].weights, weights[result.judged.rows.start - 1 : -1])
    for fold in plan.folds:
        assert fold.train.stop <= fold.validation.start - 25
        assert fold.validation.stop <= fold.test.start - 25


def test_windows_keep_their_distance_and_the_newest_sessions_back(world: PreparedMarket) -> None:
    plan = plan_windows(world, "single", None, 100)
    assert plan.final.test == range(world.n_sessions - 100, world.n_sessions)
    assert plan.final.validation.stop == plan.final.test.start - 25
    assert plan.final.train.stop == plan.final.validation.start - 25
    newest = plan_windows(world, "single", 2, 0)
    assert newest.final.validation.stop == world.n_sessions
    assert newest.final.train.start == world.n_sessions - 504
    with pytest.raises(MarketDataError, match="load a longer history"):
        plan_windows(world, "single", None, world.n_sessions - world.first - 100)


def test_a_path_is_the_kernel_backtest_of_its_weights(world: PreparedMarket) -> None:
    rows = range(world.first + LEAD_IN + 5, world.n_sessions)
    equal = run_path(world, equal_weights(world), rows)
    assert len(equal.returns) == len(equal.turnover) == len(equal.weights) == len(rows)
    assert equal.allocation_turnover == 0.0
    assert equal.turnover.min() >= 0.0
    assert equal.turnover.sum() > 0.0
    only = np.zeros_like(equal_weights(world))
    only[:, 0] = 1.0
    assert sharpe_ratio(run_path(world, only, rows).returns) != sharpe_ratio(equal.returns)
    late = only.copy()
    late[rows.stop - 1 :] = 1 / 3  # decided at the last close: earns nothing any more
    np.testing.assert_array_equal(run_path(world, late, rows).returns, run_path(world, only, rows).returns)
    with pytest.raises(ValueError, match="not inside"):
        run_path(world, only, range(10))


def test_features_are_named_by_field_or_group_and_never_the_books_own(world: PreparedMarket) -> None:
    names = world.schema.names
    assert [names[i] for i in feature_index(world.schema, ("trend", "vix"))] == ["vix", "trend"]
    assert len(feature_index(world.schema, ("market",))) == 10
    with pytest.raises(FixConfigError, match="did you mean 'vix'"):
        feature_index(world.schema, ("vixx",))
    with pytest.raises(FixConfigError, match="drawdown depend on the book"):
        feature_index(world.schema, ("drawdown",))


def test_a_base_from_sharpe_ratios_prefers_what_did_well_and_sees_no_later_session(world: PreparedMarket) -> None:
    stop = world.n_sessions - 200
    base = shrunken_base(world, stop, 1.5)
    known = world.strategy_returns[world.first : stop]
    best = int(np.argmax(known.mean(axis=0) / known.std(axis=0)))
    assert int(np.argmax(base)) == best
    assert base.sum() == pytest.approx(1.0)
    changed = world.strategy_returns.copy()
    changed[stop:] = 0.5
    np.testing.assert_array_equal(shrunken_base(replace(world, strategy_returns=changed), stop, 1.5), base)
    assert shrunken_base(world, world.first, 1.5).tolist() == [1 / 3] * 3
    moved = at_base(world, base)
    assert moved.base.tolist() == base.tolist()
    assert not np.array_equal(moved.base_returns, world.base_returns)


def test_a_base_of_least_variance_trusts_the_covariance_as_history_grows(world: PreparedMarket) -> None:
    stop = world.n_sessions - 200
    known = world.strategy_returns[world.first : stop]
    n = len(known)
    base = minimum_variance_base(world, stop, 504.0)
    pure = minimum_variance_base(world, stop, 0.0)
    assert base.sum() == pytest.approx(1.0)
    assert (base > 0.0).all()
    np.testing.assert_allclose(base, (504.0 / 3.0 + n * pure) / (504.0 + n))
    variance = [float(w @ np.cov(known.T) @ w) for w in (pure, base, np.full(3, 1 / 3))]
    assert variance == sorted(variance)
    changed = world.strategy_returns.copy()
    changed[stop:] = 0.5
    np.testing.assert_array_equal(minimum_variance_base(replace(world, strategy_returns=changed), stop, 504.0), base)
    assert minimum_variance_base(world, world.first, 504.0).tolist() == [1 / 3] * 3


def test_a_book_that_never_traded_keeps_its_equal_share_of_the_base(world: PreparedMarket) -> None:
    returns = world.strategy_returns.copy()
    returns[:, 1] = 0.0
    base = minimum_variance_base(replace(world, strategy_returns=returns), world.n_sessions, 504.0)
    assert base[1] == pytest.approx(1 / 3)
    assert base.sum() == pytest.approx(1.0)
    returns[:] = 0.0
    assert (
        minimum_variance_base(replace(world, strategy_returns=returns), world.n_sessions, 504.0).tolist() == [1 / 3] * 3
    )


def always(world: PreparedMarket, strategy: int) -> Policy:
    """Return a policy that wants everything in one strategy, whatever it sees."""
    bias = np.full((1, world.n_strategies), -1.0)
    bias[0, strategy] = 1.0
    scaling = Scaling(world.schema.exogenous[:1], np.zeros(1), np.zeros(1), 3.0)
    return Policy(scaling, Network((np.zeros((1, 1, world.n_strategies)),), (bias,)))


def test_a_tilt_earns_its_size_by_what_it_does_on_validation(world: PreparedMarket) -> None:
    base, rows = np.full(3, 1 / 3), range(world.first + 40, world.n_sessions)
    shares, t_values = [], []
    for strategy in range(3):
        policy = always(world, strategy)
        shares.append(earned_scale(world, policy, base, EARNING, rows) / EARNING.action_scale)
        tilted = run_path(world, weights_of(world, policy, base, EARNING), rows).returns
        gain = sharpe_difference(
            tilted, run_path(world, equal_weights(world), rows).returns, np.random.default_rng(0), n_resamples=1000
        )
        t_values.append(gain.difference / gain.standard_error)
    assert min(t_values) < 0.0
    for share, t_value in zip(shares, t_values, strict=True):
        earned = max(0.0, 1.0 - 1.0 / t_value**2) if t_value > 0.0 else 0.0
        assert share == pytest.approx(max(LEAST_SHARE, earned))


@pytest.mark.parametrize(
    ("gain", "error", "n_strategies", "share"),
    [
        (2.0, 1.0, 6, 0.25),  # 1 - 3 / 4
        (4.0, 1.0, 6, 1.0 - 3.0 / 16.0),
        (1.7, 1.0, 6, 0.0),
        (2.0, 1.0, 3, 0.75),  # the price is at least 1
        (-4.0, 1.0, 6, 0.0),
        (0.0, 1.0, 6, 0.0),
        (1.0, 0.0, 6, 0.0),
        (math.nan, 1.0, 6, 0.0),
        (1.0, math.nan, 6, 0.0),
    ],
)
def test_a_tilt_is_shrunk_by_what_it_is_within_its_noise(
    gain: float, error: float, n_strategies: int, share: float
) -> None:
    assert earned_share(gain, error, n_strategies) == pytest.approx(share)


def test_a_tilt_that_earned_nothing_leaves_the_base(world: PreparedMarket) -> None:
    base = np.array([0.2, 0.3, 0.5])
    policy = always(world, 0)
    assert earned_scale(world, policy, base, EARNING, range(0)) == EARNING.action_scale * LEAST_SHARE
    still = weights_of(world, policy, base, EARNING, EARNING.action_scale * LEAST_SHARE)
    np.testing.assert_allclose(still, np.tile(base, (world.n_sessions, 1)), atol=1e-5)
    assert earned_scale(world, policy, base, SETUP, range(0)) == SETUP.action_scale


def test_the_manifest_serves_what_was_judged(outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    world, manifest = ran.arena.whole, result.manifest
    assert manifest.base_weights == tasks_of(ran)[0].base
    assert 0.0 < manifest.action_scale <= SETUP.action_scale
    stored = ran.registry.load(result.model_id)
    weights = policy_answers(
        world, stored.policy, np.array(manifest.base_weights), manifest.action_kind, manifest.action_scale, False
    ).weights
    rows = result.judged.rows
    np.testing.assert_array_equal(result.judged.paths[POLICY].weights, weights[rows.start - 1 : rows.stop - 1])


def test_overfitting_is_that_of_choosing_a_seed(world: PreparedMarket, outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    rows = result.judged.rows
    paths = [run_path(world, np.tile(only, (world.n_sessions, 1)), rows) for only in np.eye(3)]
    chosen = overfitting(paths)
    assert chosen is not None
    assert 0.0 <= chosen.probability <= 1.0
    assert overfitting(paths[:1]) is None
    assert overfitting([paths[0], paths[0]]) is None  # nothing to choose between
    told = document(ran, replace(result, overfitting=chosen), {}, 0)["overfitting"]
    assert told == chosen.probability


def test_the_same_weights_are_told_at_other_costs(outcome: tuple[Campaign, Outcome]) -> None:
    ran, result = outcome
    assert [level.cost_bps for level in result.costs] == [5.0, 10.0, 20.0]
    cheap, usual, dear = result.costs
    assert usual.sharpe == pytest.approx(sharpe_ratio(result.judged.paths[POLICY].returns))
    assert cheap.sharpe > usual.sharpe > dear.sharpe
    assert cheap.equal_weight > usual.equal_weight > dear.equal_weight
    told = document(ran, result, {}, 0)["at_costs"]
    assert isinstance(told, list) and told[1]["sharpe"] == usual.sharpe


def test_interquartile_mean_is_not_moved_by_the_extremes() -> None:
    assert interquartile_mean([1.0, 2.0, 3.0, 1000.0]) == 2.5
    assert interquartile_mean([5.0]) == 5.0
    assert math.isnan(interquartile_mean([]))


@pytest.mark.parametrize(
    "changes",
    [
        {"episodes": 0},
        {"gamma": 1.5},
        {"action_scale": 0.0},
        {"features": ()},
        {"hidden": (0,)},
        {"base": "best"},
        {"learning_rate": math.nan},
    ],
)
def test_a_setup_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FixConfigError, match="training: "):
        TrainingSetup(**changes)


def test_every_option_changes_the_fingerprint() -> None:
    base = TrainingSetup().fingerprint
    for changed in (TrainingSetup(gamma=0.9), TrainingSetup(hidden=(8,)), TrainingSetup(features=("vix",))):
        assert changed.fingerprint != base
    assert TrainingSetup().fingerprint == base
