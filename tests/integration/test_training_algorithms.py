"""PPO, A2C and SAC on the scorer: they start as the base, and serve as plain arrays by the same numpy code."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="these algorithms are stable-baselines3's")

from gymnasium import spaces
from test_training_ppo import TwoArmedMarket

from rl_environment import BatchedAllocEnv
from tests.kernel_world import prepared_market
from trading_platform.core.policy import Policy, fit_scaling, policy_actions, scaled_features
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.sleeve_scorer import SleeveLayout, sleeve_inputs, sleeve_layout
from trading_platform.training.fits import Arena, FitTask, Fitted, feature_index, fit_task, weights_of
from trading_platform.training.paths import observations
from trading_platform.training.ppo import Look, _feature_env, fit
from trading_platform.training.sb3_models import Scorer, build_model, network_of
from trading_platform.training.setup import TrainingSetup

pytestmark = pytest.mark.real

K = 3
SMALL = TrainingSetup(episodes=40, eval_freq=20, n_universes=0, n_envs=10)
EVERY = [(algo, hidden) for algo in ("ppo", "a2c", "sac") for hidden in ((), (4,))]


@cache
def market() -> PreparedMarket:
    return prepared_market(2, 900)


def rows() -> range:
    return range(market().first + 1, market().n_sessions - 120)


def parts(features: tuple[str, ...]) -> tuple[Any, Scorer | None]:
    index, seen = feature_index(market().schema, features), observations(market())[rows().start : rows().stop]
    scaling = fit_scaling(seen, index, 3.0)
    layout = sleeve_layout(market().schema, index)
    if layout is None:
        return scaling, None
    return scaling, Scorer(layout, sleeve_inputs(scaled_features(seen, scaling), layout).mean(axis=0))


def layout_of(scorer: Scorer | None) -> SleeveLayout | None:
    return None if scorer is None else scorer.layout


def fitted(setup: TrainingSetup, seed: int = 1, checkpoint: Path | None = None, on_look: Any = None) -> Fitted:
    base = tuple(market().base.tolist())
    task = FitTask("final", seed, rows(), range(rows().stop + 20, market().n_sessions), base, checkpoint)
    return fit_task(Arena(market(), (market(),), setup, BatchedAllocEnv), task, on_look)


@pytest.mark.parametrize("features", [SMALL.features, ("regime",)])
@pytest.mark.parametrize(("algo", "hidden"), EVERY)
def test_a_policy_starts_as_its_base_and_numpy_answers_as_torch_does(
    algo: str, hidden: tuple[int, ...], features: tuple[str, ...]
) -> None:
    setup = replace(SMALL, algo=algo, hidden=hidden or ((4,) if features == ("regime",) else ()), features=features)
    scaling, scorer = parts(features)
    env = _feature_env(BatchedAllocEnv([market()], 10), scaling)
    model = build_model(env, setup, 1, "cpu", scorer)
    seen = observations(market())[rows().start : rows().start + 60]
    first = Policy(scaling, network_of(model, scorer), layout_of(scorer))
    assert (policy_actions(seen, first) == 0.5).all()
    model.learn(2 * 10 * 20)
    features_seen = scaled_features(seen, scaling).astype(np.float32)
    predicted, _ = model.predict(features_seen, deterministic=True)
    later = Policy(scaling, network_of(model, scorer), layout_of(scorer))
    actions = policy_actions(seen, later)
    np.testing.assert_allclose(actions, 0.5 + 0.5 * predicted, atol=5e-6)
    assert np.abs(actions - 0.5).max() > 1e-4


@pytest.mark.parametrize(("algo", "hidden"), EVERY)
def test_each_algorithm_trains_the_scorer_within_its_bound(algo: str, hidden: tuple[int, ...]) -> None:
    setup = replace(SMALL, algo=algo, hidden=hidden)
    looks: list[Look] = []
    result = fitted(setup, on_look=looks.append)
    weights = weights_of(market(), result.policy, market().base, setup)
    odds = weights / market().base
    most = np.exp(2.0 * setup.action_scale)  # one strategy's odds up, all others' down
    assert 1.0 / most - 1e-9 <= odds.min() < 1.0 < odds.max() <= most + 1e-9
    assert [look.episodes for look in looks] == [20, 40]
    assert result.result.steps == 40 * 20
    assert np.isfinite([look.reward for look in looks]).all()


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_fit_that_was_interrupted_ends_with_the_same_bits(algo: str, tmp_path: Path) -> None:
    def interrupt(look: Look) -> None:
        if look.episodes == 40:
            raise KeyboardInterrupt

    setup = replace(SMALL, algo=algo, hidden=(4,))
    with pytest.raises(KeyboardInterrupt):
        fitted(setup, checkpoint=tmp_path / "fit.npz", on_look=interrupt)
    resumed = fitted(setup, checkpoint=tmp_path / "fit.npz").result.network
    whole = fitted(setup).result.network
    assert [kernel.tobytes() for kernel in resumed.kernels] == [kernel.tobytes() for kernel in whole.kernels]


def test_a_fit_of_sac_repeats_itself_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    setup = replace(SMALL, algo="sac")
    networks = [fitted(setup, checkpoint=tmp_path / "fit.npz").result.network for _ in range(2)]
    assert networks[0].kernels[0].tobytes() == networks[1].kernels[0].tobytes()
    assert list(tmp_path.iterdir()) == []


class OwnMarket(TwoArmedMarket):
    """Rows of (shared, own of each strategy); what a strategy's capital earns is its own times the shared feature."""

    def __init__(self, n_envs: int) -> None:
        super().__init__(n_envs)
        self.rows = np.random.default_rng(6).normal(size=(60, 1 + K)).repeat(10, axis=0)
        self.observation_space = spaces.Box(-np.inf, np.inf, (1 + K,))

    def step_wait(self) -> Any:
        paid = self.rows[self._at][:, :1] * self.rows[self._at][:, 1:]
        observations, _, dones, infos = super().step_wait()
        return observations, ((self._actions - 0.5) * paid).sum(axis=1), dones, infos


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_the_scorer_learns_what_only_own_times_shared_can_say(algo: str) -> None:
    rows = OwnMarket(1).rows
    scaling = fit_scaling(rows, np.arange(1 + K), 3.0)
    scorer = Scorer(SleeveLayout(np.array([0]), np.array([[1], [2], [3]])), np.zeros((K, 2)))
    setup = replace(SMALL, algo=algo, episodes=1_000, eval_freq=1_000, n_envs=50)
    network = fit(OwnMarket(50), scaling, setup, 1, lambda _: 0.0, scorer=scorer).network
    actions = policy_actions(rows, Policy(scaling, network, scorer.layout))
    wanted = rows[:, :1] * rows[:, 1:]
    assert np.corrcoef(actions.ravel(), wanted.ravel())[0, 1] > 0.6


def test_curves_go_to_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="curves are an optional part")
    arena = Arena(market(), (market(),), SMALL, BatchedAllocEnv, curves=tmp_path)
    task = FitTask("final", 1, rows(), range(0), tuple(market().base.tolist()))
    fit_task(arena, task)
    assert len(list((tmp_path / "ppo-final-1").glob("events.out.tfevents.*"))) == 1
