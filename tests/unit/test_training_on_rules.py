"""What is learned on top of published rules is trained and judged as it is served; a weekly job has its pool."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

from tests.action_weights import action_to_weights
from tests.kernel_world import prepared_market
from trading_platform.core.errors import FixConfigError
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.served_policy import rule_places
from trading_platform.training.campaign import beside_the_pool, plan_windows
from trading_platform.training.export import check_export_path
from trading_platform.training.fits import Arena, FitTask, fit_task, weights_of
from trading_platform.training.paths import equal_weights, observations, rules_weights
from trading_platform.training.ppo import RULES_ROOM, RuleOffset
from trading_platform.training.run_settings import registry_folder
from trading_platform.training.setup import TrainingSetup


@cache
def market() -> PreparedMarket:
    """A market in which published rules want something else every month."""
    plain = prepared_market(2, 900)
    exogenous = plain.exogenous.copy()
    said = np.random.default_rng(1).uniform(-0.5, 0.25, (45, plain.n_strategies))
    exogenous[:, np.isin(plain.schema.exogenous, rule_places(plain.schema))] = np.repeat(said, 20, axis=0)
    return replace(plain, exogenous=exogenous)


def no_env(*_: object) -> object:
    raise AssertionError("the gradient needs no environment")


def test_the_environment_is_told_what_opinion_and_rules_make_together() -> None:
    seen = np.array([[0.25, -np.log(2.0), 0.0], [np.nan, 0.0, 5.0]])
    opinions = np.array([[0.4, -1.0, 0.0], [0.0, 0.0, 1.0]])
    base, offset = np.array([0.5, 0.3, 0.2]), RuleOffset(np.arange(3), 0.25)
    told = 0.5 + 0.5 * offset.actions(opinions, seen)
    assert (told >= 0.0).all()
    assert (told <= 1.0).all()
    found = action_to_weights(told, base, 0.25 + RULES_ROOM)
    rules = np.array([[0.25, -np.log(2.0), 0.0], [0.0, 0.0, 0.25]])  # unknown is no rule, more than the bound is it
    raw = base * np.exp(0.25 * opinions + rules)
    np.testing.assert_allclose(found, raw / raw.sum(axis=1, keepdims=True), rtol=1e-12)


def test_a_fit_on_rules_without_an_opinion_acts_as_the_rules_alone() -> None:
    world = market()
    rows = range(world.first + 1, world.n_sessions - 100)
    setup = TrainingSetup(algo="gradient", ridge=1e9, on_rules=True)
    base = equal_weights(world)[0]
    fitted = fit_task(Arena(world, (world,), setup, no_env), FitTask("final", 1, rows, range(0), tuple(base.tolist())))
    np.testing.assert_allclose(weights_of(world, fitted.policy, base, setup), rules_weights(world), atol=1e-6)
    assert np.abs(observations(world)[:, rule_places(world.schema)]).max() > 0.1
    assert np.abs(rules_weights(world) - base).max() > 0.01


def test_rules_need_the_map_that_factors_multiply() -> None:
    with pytest.raises(FixConfigError, match="on_rules needs action_kind softmax"):
        TrainingSetup(on_rules=True, action_kind="sparsemax")


def test_what_stands_on_rules_is_not_written_without_them(tmp_path: Path) -> None:
    with pytest.raises(FixConfigError, match="would not be in the file"):
        check_export_path(tmp_path / "policy.npz", on_rules=True)
    check_export_path(tmp_path / "policy.npz")


def test_a_weekly_job_learns_its_own_two_years_beside_the_pool_s_whole_history() -> None:
    world = market()
    plan = plan_windows(world, "single", 1, 0)
    beside = beside_the_pool(plan, world)
    assert beside.final.train == range(world.first + 1, plan.final.train.stop)
    assert (beside.own_from, beside.final.validation) == (plan.final.train.start, plan.final.validation)
    task = FitTask("final", 1, beside.final.train, beside.final.validation, (1.0,), own_from=beside.own_from)
    assert task.own == plan.final.train


def test_models_are_looked_for_where_the_engine_serves_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RL_MODELS_DIR", raising=False)
    assert registry_folder(None) == Path("rl_models")
    (tmp_path / "trading.toml").write_text('[allocator]\nmodels_dir = "here"\n')
    assert registry_folder(None) == Path("here")
    monkeypatch.setenv("RL_MODELS_DIR", str(tmp_path / "there"))
    assert registry_folder(None) == tmp_path / "there"
    assert registry_folder(Path("named")) == Path("named")
