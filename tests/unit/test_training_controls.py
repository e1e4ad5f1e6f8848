"""The controls' worlds hold what is planted and nothing else; their file adds up over runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

from tests.kernel_world import prepared_market
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.core.prepare import PreparedMarket
from trading_platform.evaluation.promotion import Objective
from trading_platform.training.controls import (
    KINDS,
    ControlResult,
    ControlTask,
    all_tasks,
    read_results,
    run_control,
    run_missing,
    table,
)
from trading_platform.training.paths import equal_weights
from trading_platform.training.planted import Form, Plant, gain_of, planted_world, signal, volatility_of
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.shadow_env import ShadowBookEnv

BOUND, COST = 0.25, 10.0
TASK = ControlTask("nothing, asked for risk", 1, "gradient", "a test")


@cache
def template() -> PreparedMarket:
    return prepared_market(2, 900)


def whole() -> range:
    return range(template().first + 1, template().n_sessions)


@pytest.mark.parametrize("form", list(Form))
def test_a_signal_is_known_at_the_close_within_bounds_and_prefers_nobody(form: Form) -> None:
    said = signal(template(), form, np.random.default_rng(1))
    assert np.abs(said).max() <= 1.0
    assert said.shape == (template().n_sessions, template().n_strategies)


@pytest.mark.parametrize("size", [0.1, 0.4])
def test_whoever_knows_the_planted_timing_gains_what_was_planted(size: float) -> None:
    world = planted_world(template(), Plant.TIMING, Form.OWN, size, whole(), BOUND, COST, 3)
    assert gain_of(world.market, world.best, whole(), COST) == pytest.approx(size, abs=0.01)
    late = world.best.copy()
    late[5:] = world.best[:-5]  # negative control: a week late it is worth less
    assert gain_of(world.market, late, whole(), COST) < size


def test_planted_risk_makes_calmer_books_for_whoever_knows() -> None:
    world = planted_world(template(), Plant.RISK, Form.OWN, 0.0, whole(), BOUND, COST, 3)
    assert volatility_of(world.market, world.best, whole(), COST) < 0.99


def test_timing_that_turns_round_loses_where_it_is_judged() -> None:
    judged = range(600, template().n_sessions)
    world = planted_world(template(), Plant.REVERSING, Form.OWN, 0.4, judged, BOUND, COST, 3)
    assert gain_of(world.market, world.best, range(whole().start, 600), COST) > 0.0
    assert gain_of(world.market, world.best, judged, COST) < 0.0


def test_a_bad_book_loses_in_all_whatever_its_timing() -> None:
    world = planted_world(template(), Plant.BAD_BOOK, Form.OWN, 0.1, whole(), BOUND, COST, 3)
    assert gain_of(world.market, world.best, whole(), COST) < -0.02


def test_a_world_is_that_of_its_seed_at_the_account_s_size() -> None:
    first, again, other = (
        planted_world(template(), Plant.NOTHING, Form.OWN, 0.0, whole(), BOUND, COST, seed).market for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.strategy_returns, again.strategy_returns)
    assert not np.array_equal(first.strategy_returns, other.strategy_returns)
    account = template().base_returns[template().first :].std()
    assert (equal_weights(first) * first.strategy_returns).sum(axis=1).std() == pytest.approx(account)


def test_a_control_is_a_function_of_its_task() -> None:
    results = [run_control(TASK, template(), TrainingSetup(), 1, ShadowBookEnv) for _ in range(2)]
    assert results[0] == results[1]
    assert not results[0].admitted


def test_episodes_on_shadow_books_pay_nothing_for_acting_as_the_base() -> None:
    for reward in ("utility", "sharpe_difference"):
        options = EpisodeOptions(
            start=template().session(whole().start),
            end=template().session(800),
            reward=reward,
            action_kind="softmax",
            action_scale=BOUND,
            twins=2,
        )
        env = ShadowBookEnv([template()], 4, options)
        env.seed(1)
        seen = env.reset()
        assert (seen[0] == seen[1]).all()
        total = np.zeros(4)
        for step in range(20):
            env.step_async(np.full((4, template().n_strategies), 0.5, dtype=np.float32))
            _, rewards, dones, infos = env.step_wait()
            total += rewards
            assert dones.all() == (step == 19)
        assert "terminal_observation" in infos[0]
        base = template()
        gap = np.abs((equal_weights(base) * np.nan_to_num(base.strategy_returns)).sum(axis=1) - base.base_returns).max()
        assert np.abs(total).max() < 1e-6 or gap > 0.0  # exactly nothing where the base book is that of the strategies
    with pytest.raises(FixConfigError, match="pay utility or sharpe_difference, not 'sharpe'"):
        ShadowBookEnv([template()], 4, EpisodeOptions())


def made(task: ControlTask) -> ControlResult:
    return ControlResult(task, task.seed % 2 == 0, 0.1, 0.2, 0.0, 0.9, 0.8)


def test_a_stopped_run_goes_on_and_a_larger_one_adds(tmp_path: Path) -> None:
    path, asked = tmp_path / "results.jsonl", []

    def work(tasks: Sequence[ControlTask]) -> Iterator[ControlResult]:
        for number, task in enumerate(tasks):
            if len(tasks) == 20 and number == 7:
                raise KeyboardInterrupt
            asked.append(task)
            yield made(task)

    tasks = all_tasks(range(2), "gradient", "a test", KINDS[:10])
    with pytest.raises(KeyboardInterrupt):
        run_missing(tasks, path, "v", work)
    with path.open("a") as file:
        file.write('{"version": "v", "ta')  # torn by a kill
    assert len(run_missing(tasks, path, "v", work)) == 20
    more = run_missing(all_tasks(range(3), "gradient", "a test", KINDS[:10]), path, "v", work)
    assert (len(more), len(asked), len(set(asked))) == (30, 30, 30)
    assert read_results(path, "another version") == []
    lines = table(more)
    assert len(lines) == 2 + 10
    assert "| 3 | 67% [21%, 94%] | +0.10 | +0.20 | 50% |" in lines[2]
    assert sum(kind.objective is Objective.RISK for kind in KINDS) == 3
