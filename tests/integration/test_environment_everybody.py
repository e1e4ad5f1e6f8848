"""The environment as a stranger meets it: no preparation, data in any form, gymnasium's and SB3's own ways in."""

from __future__ import annotations

import sys
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rl_environment
from rl_environment import ENVIRONMENT_ID, TradingAllocEnv, TradingAllocVectorEnv
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.strategies.registry import DEFAULT_SET
from trading_platform.training.env_market import environment_market
from trading_platform.training.env_spaces import needs_gymnasium

gymnasium = pytest.importorskip("gymnasium", reason="the environment is an optional part")

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = ("momentum", "mean_reversion", "low_volatility")
# the contract asks for an unbounded box of observations and for actions in [0, 1]
unwise = pytest.mark.filterwarnings(
    "ignore:.*A Box observation space m.*", "ignore:We recommend you to use a symmetric"
)


@cache
def small_panel() -> MarketPanel:
    return SyntheticMarketData(3, n_tickers=10, n_sessions=760).history()


def long_frame() -> pd.DataFrame:
    """Return the small panel as people hold bars: a row a ticker and day, with the index in its place."""
    panel = small_panel()
    parts = [
        pd.DataFrame(
            {
                "date": panel.sessions.astype("datetime64[D]").astype(str),
                "ticker": ticker,
                **{name: getattr(panel, name)[:, i] for name in ("open", "high", "low", "close", "volume")},
            }
        )
        for i, ticker in enumerate(panel.tickers)
    ]
    index = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), panel.benchmark))
    index = index.assign(date=parts[0]["date"], ticker="SPY", volume=1e6)
    return pd.concat([*parts, index], ignore_index=True)


def path_of(env: Any, seed: int = 3) -> tuple[list[bytes], list[float]]:
    """Return what a scripted episode shows and pays."""
    observation, _ = env.reset(seed=seed)
    shown, paid = [observation.tobytes()], []
    for action in np.random.default_rng(0).random((20, *env.action_space.shape)).astype(np.float32):
        observation, reward, *_ = env.step(action)
        shown.append(observation.tobytes())
        paid.append(float(reward))
    return shown, paid


def test_without_an_argument_it_is_the_embedded_market_with_the_default_strategies() -> None:
    env = TradingAllocEnv()
    assert env.prepared.n_sessions == 1512
    assert env.schema.strategies == DEFAULT_SET
    assert env._batch.options.reward == "sharpe"
    shown, paid = path_of(env)
    assert path_of(TradingAllocEnv()) == (shown, paid)
    assert sum(paid) == pytest.approx(env._batch.info(0)["episode_sharpe"], abs=1e-9)


@unwise
def test_both_checkers_pass_without_an_argument() -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(TradingAllocEnv(), skip_render_check=True)
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker", reason="the second checker is SB3's")
    sb3.check_env(TradingAllocEnv())


def test_a_panel_a_folder_and_a_dataframe_are_the_same_market(tmp_path: Path) -> None:
    frame = long_frame()
    frame.to_csv(tmp_path / "bars.csv", index=False)
    vix = pd.DataFrame({"date": frame["date"].unique(), "close": small_panel().vix})
    vix.to_csv(tmp_path / "vix.csv", index=False)
    folder = path_of(TradingAllocEnv(tmp_path, strategies=QUICK))
    assert path_of(TradingAllocEnv(str(tmp_path), strategies=QUICK)) == folder
    with_vix = frame.merge(vix.rename(columns={"close": "vix"}), on="date")
    assert path_of(TradingAllocEnv(with_vix, strategies=QUICK)) == folder
    indexed = with_vix.assign(date=pd.to_datetime(with_vix["date"]))
    assert path_of(TradingAllocEnv(indexed, strategies=QUICK)) == folder
    panel = environment_market(tmp_path, QUICK)
    assert path_of(TradingAllocEnv(panel)) == folder
    assert path_of(TradingAllocEnv(small_panel(), strategies=QUICK)) == folder


def test_data_without_vix_get_the_realised_volatility_in_its_place() -> None:
    market = environment_market(long_frame(), QUICK)
    vix = market.market.vix[-100:]
    assert np.isfinite(vix).all()
    assert 5.0 < np.median(vix) < 100.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": 7}, "data must be one of None .* was int"),
        ({"data": "nowhere"}, "nowhere"),
        ({"strategies": ("momentun",)}, "did you mean 'momentum'"),
        ({"cost_bps": float("nan")}, "cost_bps must be"),
        ({"cost_bps": -1.0}, "cost_bps must be"),
        ({"reward": "profit"}, "reward must be one of sharpe, sharpe_difference, mean_variance, utility"),
    ],
)
def test_what_cannot_be_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        TradingAllocEnv(**arguments)
    assert type(caught.value).__module__ == "trading_platform.core.errors" or isinstance(caught.value, FixConfigError)


def test_a_prepared_market_takes_no_other_costs() -> None:
    market = environment_market(small_panel(), QUICK)
    with pytest.raises(FixConfigError, match="leave strategies and cost_bps out"):
        TradingAllocEnv(market, cost_bps=5.0)


def test_costs_are_those_that_were_asked_for() -> None:
    def lost(cost: float) -> float:
        env = TradingAllocEnv(small_panel(), cost_bps=cost, strategies=QUICK)
        env.reset(seed=1)
        return float([env.step(action)[4] for action in np.eye(3, dtype=np.float32)[np.arange(20) % 3]][-1]["costs"])

    assert lost(40.0) > 2.0 * lost(5.0) > 0.0


# ------------------------------------------------------------ gymnasium


def test_gymnasium_makes_it_after_the_import() -> None:
    env = gymnasium.make(ENVIRONMENT_ID, data=small_panel(), strategies=QUICK)
    assert path_of(env) == path_of(TradingAllocEnv(small_panel(), strategies=QUICK))
    assert isinstance(env.unwrapped, TradingAllocEnv)


def test_the_entry_point_of_an_installed_package_registers_it() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    module, _, name = declared["gymnasium.envs"]["__root__"].partition(":")
    kept = gymnasium.registry.pop(ENVIRONMENT_ID)
    try:
        getattr(import_module(module), name)()
        assert gymnasium.registry[ENVIRONMENT_ID].entry_point == "rl_environment:TradingAllocEnv"
    finally:
        gymnasium.registry[ENVIRONMENT_ID] = kept


@pytest.mark.parametrize("threads", [1, 2])
def test_make_vec_is_the_single_environment_many_times(threads: int) -> None:
    many = gymnasium.make_vec(ENVIRONMENT_ID, num_envs=3, data=small_panel(), strategies=QUICK, threads=threads)
    assert isinstance(many.unwrapped, TradingAllocVectorEnv)
    given = np.random.default_rng(1).random((45, 3, 3)).astype(np.float32)  # more than two episodes
    seen, _ = many.reset(seed=11)
    steps = [many.step(action) for action in given]
    many.close()
    for e in range(3):
        env = TradingAllocEnv(small_panel(), strategies=QUICK)
        observation, _ = env.reset(seed=11 + e)
        assert observation.tobytes() == seen[e].tobytes()
        for action, (shown, paid, terminated, truncated, infos) in zip(given[:, e], steps, strict=True):
            observation, reward, over, cut, info = env.step(action)
            assert (reward, over, cut) == (paid[e], terminated[e], truncated[e])
            if over or cut:
                assert infos["final_obs"][e].tobytes() == observation.tobytes()
                assert infos["final_info"]["episode_sharpe"][e] == info["episode_sharpe"]
                observation, _ = env.reset()
            assert shown[e].tobytes() == observation.tobytes()


def test_make_vec_in_gymnasium_s_own_way_works_too() -> None:
    many = gymnasium.make_vec(
        ENVIRONMENT_ID, num_envs=2, vectorization_mode="sync", data=small_panel(), strategies=QUICK
    )
    seen, _ = many.reset(seed=4)
    other = gymnasium.make_vec(ENVIRONMENT_ID, num_envs=2, data=small_panel(), strategies=QUICK)
    assert np.array_equal(seen, other.reset(seed=4)[0])
    action = np.full((2, 3), 0.5, np.float32)
    assert np.array_equal(many.step(action)[0], other.step(action)[0])


def test_vector_environment_says_what_it_cannot_do() -> None:
    many = TradingAllocVectorEnv(2, small_panel(), strategies=QUICK)
    with pytest.raises(FixConfigError, match="call reset"):
        many.step(np.full((2, 3), 0.5, np.float32))
    with pytest.raises(FixConfigError, match="knows no options, not start"):
        many.reset(options={"start": None})
    with pytest.raises(FixConfigError, match="one a part of 2"):
        many.reset(seed=[1, 2, 3])
    with pytest.raises(FixConfigError, match="threads must be"):
        TradingAllocVectorEnv(2, small_panel(), threads=0)


def test_unseeded_episodes_differ() -> None:
    first = TradingAllocVectorEnv(4, small_panel(), strategies=QUICK).reset()[0]
    assert not np.array_equal(first, TradingAllocVectorEnv(4, small_panel(), strategies=QUICK).reset()[0])


def test_missing_gymnasium_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(FixConfigError, match="TradingAllocEnv needs gymnasium: pip install"):
        needs_gymnasium("TradingAllocEnv")


# ------------------------------------------------------------ stable-baselines3, no wrapper


@unwise
@pytest.mark.parametrize("name", ["PPO", "A2C", "SAC"])
def test_stable_baselines3_learns_on_it_without_a_wrapper(name: str) -> None:
    pytest.importorskip("torch", reason="stable-baselines3 needs torch")
    sb3 = pytest.importorskip("stable_baselines3", reason="these are its algorithms")
    short: dict[str, Any] = {
        "PPO": {"n_steps": 40, "batch_size": 40, "n_epochs": 1},
        "A2C": {"n_steps": 20},
        "SAC": {"learning_starts": 20, "batch_size": 32},
    }[name]
    env = TradingAllocEnv(small_panel(), strategies=QUICK)
    model = getattr(sb3, name)("MlpPolicy", env, seed=0, device="cpu", **short)
    model.learn(80)
    observation, _ = env.reset(seed=1)
    action, _ = model.predict(observation, deterministic=True)
    _, reward, _, _, info = env.step(action)
    assert np.isfinite(reward)
    assert sum(info["weights"]) == pytest.approx(1.0)
    assert model.num_timesteps == 80
    assert rl_environment.ENVIRONMENT_ID in gymnasium.registry
