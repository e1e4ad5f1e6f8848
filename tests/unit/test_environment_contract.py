"""The environments as gymnasium and stable-baselines3 expect them, and as a user who errs meets them."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import pytest

from rl_environment import BatchedAllocEnv, TradingAllocEnv
from tests.kernel_world import prepared_market
from trading_platform.core.action_map import BadActionError
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.metrics import sharpe_ratio, shrunken_sharpe
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.rewards import REWARD_KINDS

pytest.importorskip("gymnasium", reason="the environment is an optional part")
pytest.importorskip("stable_baselines3", reason="the batched environment is an optional part")

K = 3


@cache
def market(seed: int = 1) -> PreparedMarket:
    return prepared_market(seed)


def actions(seed: int, n: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).random((n, K)).astype(np.float32)


# the contract asks for an unbounded box, which gymnasium's checker thinks unwise
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*")
@pytest.mark.filterwarnings("ignore:We recommend you to use a symmetric")  # training rescales the public box
def test_scalar_environment_passes_both_checkers() -> None:
    from gymnasium.utils.env_checker import check_env
    from stable_baselines3.common.env_checker import check_env as check_env_sb3

    check_env(TradingAllocEnv(market()), skip_render_check=True)  # rendering has its own test
    check_env_sb3(TradingAllocEnv(market()))


def test_spaces_follow_the_contract() -> None:
    env = TradingAllocEnv(market())
    assert env.observation_space.shape == (23 + 9 * K,) == (len(env.schema),)
    assert env.action_space.shape == (K,)
    assert repr(env.action_space) == "Box(0.0, 1.0, (3,), float32)"
    assert repr(env.observation_space) == "Box(-inf, inf, (50,), float32)"


def test_episode_ends_terminated_after_twenty_sessions() -> None:
    env = TradingAllocEnv(market())
    env.reset(seed=3)
    ends = [env.step(action)[2:4] for action in actions(0)]
    assert ends == [(False, False)] * 19 + [(True, False)]


def test_end_of_data_is_truncated_and_not_terminated() -> None:
    env = TradingAllocEnv(market())
    env.reset(options={"start": market().session(market().n_sessions - 4)})
    ends = [env.step(action)[2:4] for action in actions(0, 3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_same_seed_gives_the_same_episode_and_another_seed_another() -> None:
    def episode(seed: int) -> list[bytes]:
        env = TradingAllocEnv(market())
        first, _ = env.reset(seed=seed)
        return [first.tobytes(), *(env.step(action)[0].tobytes() for action in actions(5))]

    assert episode(7) == episode(7)
    assert episode(7) != episode(8)


def test_returned_arrays_are_new() -> None:
    env = TradingAllocEnv(market())
    first, _ = env.reset(seed=1)
    kept = first.copy()
    second = env.step(actions(1)[0])[0]
    assert not np.shares_memory(first, second)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("threads", [1, 3])
def test_scalar_and_batch_give_identical_trajectories(threads: int) -> None:
    n, seed = 5, 11
    options = EpisodeOptions(cost_jitter=0.5)
    batch = BatchedAllocEnv([market()], n, options, seed=seed, threads=threads)
    given = np.random.default_rng(2).random((45, n, K)).astype(np.float32)  # more than two episodes
    seen = [batch.reset()]
    rewards, infos = [], []
    for action in given:
        observations, paid, _, info = batch.step(action)
        seen.append(np.asarray(observations))
        rewards.append(paid)
        infos.append(info)
    batch.close()
    for e in range(n):
        env = TradingAllocEnv(market(), options)
        observation, _ = env.reset(seed=seed + e)
        assert observation.tobytes() == seen[0][e].tobytes()
        for t, action in enumerate(given[:, e]):
            observation, reward, terminated, truncated, _ = env.step(action)
            assert np.float32(reward) == rewards[t][e]
            if terminated or truncated:
                assert observation.tobytes() == infos[t][e]["terminal_observation"].tobytes()
                assert infos[t][e]["TimeLimit.truncated"] == truncated
                observation, _ = env.reset()
            assert observation.tobytes() == seen[t + 1][e].tobytes()


def test_batch_over_several_markets_keeps_them_apart() -> None:
    worlds = [market(1), market(2)]
    batch = BatchedAllocEnv(worlds, 4, seed=0)
    seen = batch.reset()
    for e, world in enumerate([worlds[0], worlds[0], worlds[1], worlds[1]]):
        observation, _ = TradingAllocEnv(world).reset(seed=e)
        assert observation.tobytes() == seen[e].tobytes()


def test_batch_trains_with_ppo() -> None:
    pytest.importorskip("torch", reason="stable-baselines3 needs it")
    from stable_baselines3 import PPO

    batch = BatchedAllocEnv([market()], 8)
    model = PPO("MlpPolicy", batch, n_steps=20, batch_size=80, n_epochs=1, seed=0, device="cpu")
    model.learn(320)
    assert len(model.ep_info_buffer or ()) == 16


# ------------------------------------------------------------ reward and info


@pytest.mark.parametrize("kind", REWARD_KINDS)
def test_rewards_telescope_to_the_figure_of_the_whole_episode(kind: str) -> None:
    options = EpisodeOptions(reward=kind, prior_volatility=0.004)
    env = TradingAllocEnv(market(), options)
    _, info = env.reset(seed=4)
    equity, spent, rewards = [info["equity"]], [0.0], []
    for action in actions(9):
        _, reward, _, _, info = env.step(action)
        equity.append(info["equity"])
        spent.append(info["costs"])
        rewards.append(reward)
    row = market().row(info["session"])
    own = np.diff(equity) / equity[:-1]
    base = market().base_returns[row - 19 : row + 1]
    accounts = market().warm.accounts[row - 20 : row + 1]
    paid = accounts["spread"] + accounts["slippage"] + accounts["impact"] + accounts["fees"]
    base_costs = float((np.diff(paid) / accounts["equity"][:-1]).sum())
    mean = market().base_returns[market().first :].mean()
    spread_out = ((own - mean) ** 2).sum() - ((base - mean) ** 2).sum()
    costs = sum(cost / before for cost, before in zip(np.diff(spent), equity[:-1], strict=True))
    expected = {
        "sharpe": sharpe_ratio(own),
        "sharpe_difference": sharpe_ratio(own) - sharpe_ratio(base),
        "mean_variance": 100.0 * ((own.sum() - base.sum()) - 2.5 * ((own**2).sum() - (base**2).sum())),
        "utility": 100.0 * (base_costs - costs - 10.0 * spread_out),
    }[kind]
    assert sum(rewards) == pytest.approx(expected, abs=1e-9)
    assert info["episode_sharpe"] == pytest.approx(sharpe_ratio(own))
    assert info["equal_weight_sharpe"] == pytest.approx(sharpe_ratio(base))


def test_before_the_last_session_the_contract_s_reward_is_shrunken_and_no_noise() -> None:
    env = TradingAllocEnv(market(), EpisodeOptions(prior_volatility=0.004))
    _, info = env.reset(seed=4)
    equity, total = [info["equity"]], 0.0
    for action in actions(9)[:3]:
        _, reward, _, _, info = env.step(action)
        equity.append(info["equity"])
        total += reward
    own = np.diff(equity) / equity[:-1]
    assert total == pytest.approx(shrunken_sharpe(float(own.sum()), float((own**2).sum()), 3.0, 0.004))
    assert abs(total) < 0.5 * abs(info["episode_sharpe"])


@pytest.mark.parametrize("sessions", [2, 7])
def test_an_episode_that_data_cut_short_is_paid_its_plain_sharpe_ratio_too(sessions: int) -> None:
    env = TradingAllocEnv(market())
    env.reset(options={"start": market().session(market().n_sessions - 1 - sessions)})
    steps = [env.step(action) for action in actions(2, sessions)]
    assert steps[-1][3]
    assert sum(step[1] for step in steps) == pytest.approx(steps[-1][4]["episode_sharpe"], abs=1e-9)


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["sharpe_difference", "mean_variance", "utility"])
@pytest.mark.parametrize(("map_kind", "level"), [("proportional", 0.2), ("softmax", 0.5), ("sparsemax", 0.5)])
def test_acting_as_the_base_earns_exactly_nothing(map_kind: str, level: float, kind: str, jitter: float) -> None:
    env = TradingAllocEnv(market(), EpisodeOptions(reward=kind, action_kind=map_kind, cost_jitter=jitter))
    env.reset(seed=5)
    rewards = [env.step(np.full(K, level, np.float32))[1] for _ in range(20)]
    assert rewards == [0.0] * 20


def test_acting_otherwise_does_not() -> None:
    env = TradingAllocEnv(market(), EpisodeOptions(reward="utility", cost_jitter=1.0))
    env.reset(seed=5)
    assert np.count_nonzero([env.step(action)[1] for action in actions(5)]) > 15


def test_the_base_pays_the_episode_s_costs_and_not_those_it_was_recorded_at() -> None:
    env = TradingAllocEnv(market(), EpisodeOptions(reward="sharpe_difference", cost_jitter=4.0))
    env.reset(seed=5)
    assert abs(env._batch.cost_scale[0] - 1.0) > 0.1
    for _ in range(20):
        info = env.step(np.full(K, 0.5, np.float32))[4]
    row = market().row(info["session"])
    assert info["equal_weight_sharpe"] != pytest.approx(sharpe_ratio(market().base_returns[row - 19 : row + 1]))
    assert info["equal_weight_sharpe"] == pytest.approx(info["episode_sharpe"])


def test_weights_that_go_in_are_the_weights_that_are_used() -> None:
    env = TradingAllocEnv(market())
    env.reset(seed=1)
    for given in ([0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.25, 0.0, 0.75]):
        info = env.step(np.array(given, dtype=np.float32))[4]
        assert info["weights"] == pytest.approx(given, abs=1e-7)
        assert [weight == 0.0 for weight in info["weights"]] == [weight == 0.0 for weight in given]


def test_info_is_documented_to_the_last_key() -> None:
    env = TradingAllocEnv(market())
    assert TradingAllocEnv.__doc__ is not None
    lines = TradingAllocEnv.__doc__.split("`info`")[1].splitlines()
    told = {line.split()[0] for line in lines if line.startswith("    ") and line.strip() and "=" not in line}
    assert set(env.reset(seed=1)[1]) == set(env.step(actions(1)[0])[4]) <= told


def test_info_counts_costs_turnover_and_denials() -> None:
    env = TradingAllocEnv(market())
    _, info = env.reset(seed=6)
    assert (info["turnover"], info["costs"], info["denials"], info["episode_sharpe"]) == (0.0, 0.0, {}, None)
    for action in actions(3):
        info = env.step(action)[4]
    assert info["turnover"] > 0.0
    assert info["costs"] > info["fees"] > 0.0
    assert sum(info["denials"].values()) > 0
    assert sum(info["weights"]) == pytest.approx(1.0)


def test_cost_jitter_changes_what_trading_costs() -> None:
    def last_equity(jitter: float) -> float:
        env = TradingAllocEnv(market(), EpisodeOptions(cost_jitter=jitter))
        env.reset(seed=8, options={"start": date(2011, 3, 1)})
        return float([env.step(action)[4]["equity"] for action in actions(8)][-1])

    assert last_equity(0.0) != last_equity(4.0)


def test_render_draws_the_episode() -> None:
    pytest.importorskip("matplotlib", reason="figures are optional")
    env = TradingAllocEnv(market(), render_mode="rgb_array")
    env.reset(seed=1)
    for action in actions(1, 5):
        env.step(action)
    pixels = env.render()
    assert pixels.shape == (600, 800, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10.0  # something is drawn
    env.render_mode = "figure"
    assert [axis.get_ylabel() for axis in env.render().axes] == ["return (%)", "capital (%)", "regime (%)"]


# ------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.full(K, np.nan), "in \\[0, 1\\], one was nan"),
        (np.array([0.5, np.inf, 0.5]), "one was inf"),
        (np.array([0.5, -0.01, 0.5]), "one was -0.01"),
        (np.array([0.5, 1.01, 0.5]), "one was 1.01"),
        (np.full(K + 1, 0.5), "shape \\(3,\\)"),
        (np.full((1, K), 0.5), "shape \\(3,\\)"),
        (np.ones(K, dtype=np.int64), "int64"),
        (["a", "b", "c"], "dtype"),
        (None, "dtype object"),
    ],
)
def test_bad_action_is_named_and_moves_nothing(action: object, message: str) -> None:
    env = TradingAllocEnv(market())
    env.reset(seed=1)
    before = env.step(actions(1)[0])[4]
    with pytest.raises(BadActionError, match=message):
        env.step(action)  # type: ignore[arg-type] # the point of the test
    twin = TradingAllocEnv(market())
    twin.reset(seed=1)
    assert twin.step(actions(1)[0])[4] == before
    assert env.step(actions(1)[1])[4] == twin.step(actions(1)[1])[4]


def test_bad_actions_of_a_batch_move_nothing() -> None:
    batch = BatchedAllocEnv([market()], 4)
    batch.reset()
    before = batch.batch.books.accounts.copy()
    bad = np.full((4, K), 0.5)
    bad[3, 1] = np.nan
    with pytest.raises(BadActionError, match="nan"):
        batch.step(bad)
    assert np.array_equal(batch.batch.books.accounts, before)


def test_step_without_reset_is_named() -> None:
    with pytest.raises(FixConfigError, match="call reset"):
        TradingAllocEnv(market()).step(actions(0)[0])


def test_step_after_the_end_is_named() -> None:
    env = TradingAllocEnv(market())
    env.reset(options={"start": market().session(market().n_sessions - 2)})
    env.step(actions(0)[0])
    with pytest.raises(FixConfigError, match="over"):
        env.step(actions(0)[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": date(1999, 1, 4)}, "start must be between"),
        ({"start": date(2030, 1, 4)}, "start must be between"),
        ({"start": "2011-03-01"}, "must be a date"),
        ({"begin": date(2011, 3, 1)}, "not begin"),
    ],
)
def test_bad_reset_option_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        TradingAllocEnv(market()).reset(options=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "profit"}, "reward must be one of sharpe, sharpe_difference, mean_variance, utility, was 'profit'"),
        ({"prior_volatility": float("nan")}, "prior_volatility"),
        ({"zero_threshold": float("nan")}, "zero_threshold"),
        ({"cost_jitter": -0.1}, "cost_jitter"),
    ],
)
def test_bad_option_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        EpisodeOptions(**options)  # type: ignore[arg-type] # the point of the test


def test_reward_beside_the_options_wins_and_an_unknown_one_lists_the_choices() -> None:
    env = TradingAllocEnv(market(), EpisodeOptions(reward="sharpe"), reward="utility")
    assert env._batch.options.reward == "utility"
    with pytest.raises(FixConfigError, match="sharpe, sharpe_difference, mean_variance, utility"):
        TradingAllocEnv(market(), reward="profit")


@pytest.mark.parametrize("options", [{"action_kind": "argmax"}, {"action_scale": 0.0}, {"action_scale": float("inf")}])
def test_bad_action_map_is_named(options: dict[str, object]) -> None:
    with pytest.raises(FixConfigError, match="action"):
        TradingAllocEnv(market(), EpisodeOptions(**options))  # type: ignore[arg-type] # the point of the test


def test_too_short_window_is_named() -> None:
    with pytest.raises(MarketDataError, match="needs 21 sessions"):
        TradingAllocEnv(market(), EpisodeOptions(start=market().session(market().n_sessions - 20)))


def test_too_short_history_is_named() -> None:
    with pytest.raises(MarketDataError, match="too few"):
        prepared_market(n_sessions=250)


def test_unknown_render_mode_is_named() -> None:
    with pytest.raises(FixConfigError, match="render_mode"):
        TradingAllocEnv(market(), render_mode="ansi")


def test_batch_needs_an_environment_a_market() -> None:
    with pytest.raises(FixConfigError, match="2 markets"):
        BatchedAllocEnv([market(1), market(2)], 1)


def test_window_confines_episodes() -> None:
    start, end = date(2011, 3, 1), date(2011, 5, 2)
    batch = BatchedAllocEnv([market()], 64, EpisodeOptions(start=start, end=end))
    batch.reset()
    first = {market().session(int(row)) for row in batch.batch.episodes["row"]}
    for _ in range(20):
        _, _, dones, _ = batch.step(np.full((64, K), 0.5))
    assert dones.all()
    assert start <= min(first)
    assert len(first) > 5
    last = [market().session(int(row) + 20) for row in batch.batch.episodes["start_row"]]
    assert max(last) <= end


@pytest.mark.parametrize("twins", [1, 2])
def test_twins_start_alike_and_others_do_not(twins: int) -> None:
    batch = BatchedAllocEnv([market()], 6, EpisodeOptions(twins=twins, cost_jitter=0.5), seed=4)
    assert batch.seed(4) == [4 + e // twins for e in range(6)]
    batch.reset()
    for _ in range(3):  # the first episode and the ones that follow it
        rows, costs = batch.batch.episodes["start_row"], batch.batch.cost_scale
        alike = (rows[0::2] == rows[1::2]) & (costs[0::2] == costs[1::2])
        assert alike.tolist() == [twins == 2] * 3
        assert len({(row, cost) for row, cost in zip(rows, costs, strict=True)}) == 6 // twins
        for action in np.full((20, 6, K), 0.5, dtype=np.float32):
            batch.step(action)
    batch.close()
