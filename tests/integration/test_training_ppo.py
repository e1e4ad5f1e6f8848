"""One fit of PPO: it learns what is there, repeats itself to the bit, and continues where it stopped."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from trading_platform.core.policy import Network, Policy, Scaling, fit_scaling, policy_actions
from trading_platform.storage.model_weights import pack_weights
from trading_platform.training import ppo
from trading_platform.training.sb3_models import build_model, network_of
from trading_platform.training.setup import EPISODE_SESSIONS, TrainingSetup

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).resolve().parents[2]
N_REGIMES = 3


class TwoArmedMarket(VecEnv):
    """Rows of (regime one-hot, noise); reward = the action of the regime's arm minus the mean action."""

    def __init__(self, n_envs: int) -> None:
        rng = np.random.default_rng(5)
        self.regimes = np.repeat(rng.integers(0, N_REGIMES, 60), 10)
        self.rows = np.column_stack([np.eye(N_REGIMES)[self.regimes], rng.normal(size=(600, 2))])
        super().__init__(n_envs, spaces.Box(-np.inf, np.inf, (5,)), spaces.Box(0.0, 1.0, (N_REGIMES,)))
        self._rng = np.random.default_rng(0)
        self._at = np.zeros(n_envs, dtype=np.int64)
        self._age = 0
        self._actions = np.zeros((n_envs, N_REGIMES))

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._rng = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def reset(self) -> Any:
        self._at = self._rng.integers(0, len(self.rows) - EPISODE_SESSIONS, self.num_envs)
        self._age = 0
        return self.rows[self._at]

    def step_async(self, actions: Any) -> None:
        assert ((actions >= 0.0) & (actions <= 1.0)).all()
        self._actions = actions

    def step_wait(self) -> Any:
        chosen = np.take_along_axis(self._actions, self.regimes[self._at][:, None], axis=1)[:, 0]
        rewards = (chosen - self._actions.mean(axis=1)) / EPISODE_SESSIONS
        self._at = self._at + 1
        self._age += 1
        done = self._age == EPISODE_SESSIONS
        last = self.rows[self._at]
        infos: list[dict[str, Any]] = [{"terminal_observation": row} if done else {} for row in last]
        return self.reset() if done else last, rewards, np.full(self.num_envs, done), infos

    def close(self) -> None: ...

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return []

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


SETUP = TrainingSetup(episodes=200, eval_freq=50, hidden=(8,))
LONGER = TrainingSetup(episodes=800, eval_freq=200, hidden=(8,))  # noise drawn once an episode learns in more of them


def scaling() -> Scaling:
    return fit_scaling(TwoArmedMarket(1).rows, np.arange(N_REGIMES), 3.0)


def gain(network: Network) -> float:
    market = TwoArmedMarket(1)
    actions = policy_actions(market.rows, Policy(scaling(), network))
    chosen = np.take_along_axis(actions, market.regimes[:, None], axis=1)[:, 0]
    return float((chosen - actions.mean(axis=1)).mean())


def trained(seed: int = 3, setup: TrainingSetup = SETUP, **options: Any) -> ppo.FitResult:
    return ppo.fit(TwoArmedMarket(setup.round_episodes), scaling(), setup, seed, gain, **options)


def weights_hash(result: ppo.FitResult) -> str:
    return hashlib.sha256(pack_weights(result.network)).hexdigest()


def test_a_fit_learns_which_arm_pays_in_which_regime() -> None:
    looked: list[ppo.Look] = []
    result = trained(setup=LONGER, on_look=looked.append)
    # the best possible is 2 / 3, knowing nothing gives 0; seeds 1 to 4 reach 0.21, 0.17, 0.23 and 0.15 in this budget
    assert gain(result.network) > 0.12
    assert looked[-1].score > looked[0].score
    assert [look.episodes for look in looked] == [200, 400, 600, 800]
    assert tuple(looked) == result.looks
    assert result.steps == 800 * EPISODE_SESSIONS
    assert looked[-1].reward > looked[0].reward


def test_the_numpy_network_answers_as_the_torch_policy_does() -> None:
    env = ppo._feature_env(TwoArmedMarket(4), scaling())
    model = build_model(env, SETUP, 1, "cpu", None)
    model.learn(2 * 4 * EPISODE_SESSIONS)
    features = np.random.default_rng(0).normal(size=(50, N_REGIMES)).astype(np.float32)
    predicted, _ = model.predict(features, deterministic=True)
    observations = np.zeros((50, 5))
    observations[:, :N_REGIMES] = features
    plain = Scaling(np.arange(N_REGIMES), np.zeros(N_REGIMES), np.ones(N_REGIMES), 10.0)
    actions = policy_actions(observations, Policy(plain, network_of(model, None)))
    np.testing.assert_allclose(actions, 0.5 + 0.5 * predicted, atol=2e-6)
    assert np.abs(actions - 0.5).max() > 0.001


def test_a_fit_that_was_interrupted_ends_with_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "fit.npz"

    def interrupt(look: ppo.Look) -> None:
        if look.episodes == 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=checkpoint, on_look=interrupt)
    resumed: list[int] = []
    result = trained(checkpoint=checkpoint, on_look=lambda look: resumed.append(look.episodes))
    assert resumed == [150, 200]  # the look that was interrupted is taken again
    assert weights_hash(result) == weights_hash(trained())
    assert result.looks == trained().looks
    assert weights_hash(trained(checkpoint=checkpoint)) == weights_hash(result)  # finished: nothing is left to do


def test_another_seed_gives_other_weights() -> None:
    assert weights_hash(trained(seed=4)) != weights_hash(trained(seed=3))


def test_without_patience_the_last_policy_is_kept_and_with_it_the_best() -> None:
    scores = iter([0.0, 3.0, 2.0, 1.0])
    result = ppo.fit(TwoArmedMarket(10), scaling(), SETUP, 1, lambda _: next(scores))
    assert result.kept == 3
    scores = iter([0.0, 3.0, 2.0, 1.0])
    patient = TrainingSetup(episodes=200, eval_freq=50, hidden=(8,), patience=1)
    stopped = ppo.fit(TwoArmedMarket(10), scaling(), patient, 1, lambda _: next(scores))
    assert (stopped.kept, len(stopped.looks)) == (1, 3)


def test_two_processes_with_one_seed_give_one_weight_hash() -> None:
    program = (
        "import sys; sys.path[:0] = ['.', 'tests/integration']; import test_training_ppo as t; "
        "print(t.weights_hash(t.trained()))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    }
    assert hashes == {weights_hash(trained())}


@pytest.mark.parametrize("mirrored", [True, False])
def test_the_second_of_a_pair_explores_the_opposite_way(mirrored: bool) -> None:
    class Watched(TwoArmedMarket):
        first: list[Any]

        def step_wait(self) -> Any:
            if self._age == 0:
                self.first.append((self._actions - 0.5).copy())
            return super().step_wait()

        def reset(self) -> Any:
            self._age = 0
            self._at = np.zeros(self.num_envs, dtype=np.int64)  # all see the same, so the network's mean is one
            return self.rows[self._at]

    market = Watched(10)
    market.first = []
    setup = replace(SETUP, episodes=10, eval_freq=10, n_envs=10, log_std=-3.0, mirrored_pairs=mirrored)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading_platform.training.setup.LEAST_ROUNDS", 1)
        ppo.fit(market, scaling(), setup, 1, gain)
    mean = np.array([first.mean(axis=0) for first in market.first])[0]
    noise = market.first[0] - mean
    opposite = np.allclose(noise[0::2], -noise[1::2], atol=1e-6)
    assert opposite == mirrored
    assert np.abs(noise).max() > 1e-3


def test_rewards_against_twins_cancel_what_both_got() -> None:
    rewards = np.array([3.0, 1.0, -2.0, 2.0, 7.0], dtype=np.float32)
    gaps = ppo._against_twins(rewards)
    assert gaps.tolist() == [2.0, -2.0, -4.0, 4.0, 7.0]  # the odd last one has nobody to be held against
    shared = np.repeat(np.array([5.0, -1.0], dtype=np.float32), 2)
    np.testing.assert_allclose(ppo._against_twins(rewards[:4] + shared), gaps[:4])
