"""The environment is the kernel backtest, to the cent: on made-up markets, and on the whole real history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kernel_world import make_rules, prepared_market
from trading_platform.core.action_map import map_actions
from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.simulate import backtest
from trading_platform.strategies.prepared import prepare_panel

DATA = Path(__file__).parents[3] / "shared" / "market-data"


def scripted(kind: str, n: int, k: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "no opinion":
        return np.full((n, k), 0.5)
    if kind == "one at a time":
        return np.eye(k)[np.arange(n) % k]
    return rng.random((n, k))


def assert_same_equity(world: PreparedMarket, row: int, actions: np.ndarray) -> int:
    """Run `actions` from `row` on in the environment and as weights of a backtest; return the sessions compared."""
    batch = EpisodeBatch([world], 1, EpisodeOptions(action_kind="softmax", action_scale=2.0))
    batch.reset(np.zeros(1, dtype=np.int64), np.array([row]))
    mapped = np.empty_like(actions)
    map_actions(actions, world.base, 2.0, 0, 0.0, actions, mapped)
    weights = np.tile(world.base, (world.n_sessions, 1))
    weights[row : row + len(actions)] = mapped
    stop = row + len(actions) + 1
    days = backtest(world.market, world.signals, weights, world.rules, world.capital, 0, stop).days
    assert days["equity"][row] == batch.episodes["equity"][0]
    for i, action in enumerate(actions):
        batch.step(action[None])
        assert batch.episodes["equity"][0] == days["equity"][row + 1 + i]
        assert batch.books.accounts["cash"][0] == days["cash"][row + 1 + i]
        assert batch.books.accounts["halted"][0] == days["halted"][row + 1 + i]
    return len(actions)


@pytest.mark.parametrize("script", ["no opinion", "one at a time", "random"])
@pytest.mark.parametrize("faults", [False, True])
def test_environment_equals_backtest_from_every_tenth_session(script: str, faults: bool) -> None:
    world = prepared_market(5, faults=faults, max_drawdown_pct=4.0, recovery_drawdown_pct=2.0)
    compared = sum(
        assert_same_equity(world, row, scripted(script, 20, world.n_strategies, row))
        for row in range(world.first, world.n_sessions - 21, 10)
    )
    assert compared > 200


def test_another_allocation_gives_another_equity() -> None:
    world = prepared_market(5)
    with pytest.raises(AssertionError):
        batch = EpisodeBatch([world], 1, EpisodeOptions())
        batch.reset(np.zeros(1, dtype=np.int64), np.array([world.first]))
        for _ in range(20):
            batch.step(np.array([[1.0, 0.0, 0.0]]))
        assert batch.episodes["equity"][0] == world.warm.accounts["equity"][world.first + 20]


@pytest.mark.shared_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real history is not beside this checkout")
def test_environment_equals_backtest_on_the_real_history() -> None:
    from trading_platform.market_data.calendar import NyseCalendar
    from trading_platform.market_data.files import FilesMarketData
    from trading_platform.strategies.registry import FIRST_SET, make_strategies

    panel = FilesMarketData(DATA).history()
    regimes = np.full((panel.n_sessions, 3), np.nan)
    clock = NyseCalendar().exchange_seconds(panel.sessions)
    world = prepare_panel(panel, clock, make_strategies(FIRST_SET), regimes, make_rules())
    actions = scripted("random", world.n_sessions - 1 - world.first, world.n_strategies, 1)
    assert assert_same_equity(world, world.first, actions) > 3500
    quiet = np.full_like(actions, 0.5)
    assert assert_same_equity(world, world.first, quiet) > 3500
