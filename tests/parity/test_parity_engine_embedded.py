"""On the embedded market, kernel backtest, RL environment and engine make the same trades and the same money."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from parity_markets import scripted_weights
from parity_world import Case, Desk, Trail, assert_same, cents, engine, kernel

from risk_config import RiskConfig
from rl_environment import BatchedAllocEnv, TradingAllocEnv
from tests.action_weights import action_to_weights
from trading_platform.core.costs import CostConfig
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.observation import EPISODE_SESSIONS
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.storage.operator_requests import leave_command
from trading_platform.strategies.base import AnyStrategy, prepare_signals
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.mean_reversion import MeanReversion
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import FIRST_SET, make_strategies
from trading_platform.strategies.turn_of_month import TurnOfMonth

START = 253  # the slowest strategy's lookback
TIGHT = RiskConfig(max_drawdown_pct=1.0, recovery_drawdown_pct=0.5, max_total_drawdown_pct=50.0)


@pytest.fixture(scope="module")
def strategies() -> tuple[AnyStrategy, ...]:
    return make_strategies(FIRST_SET)


@pytest.fixture(scope="module")
def panel() -> MarketPanel:
    return SyntheticMarketData(seed=7, n_tickers=40, n_sessions=900).history()


@pytest.fixture(scope="module")
def equal(panel: MarketPanel, strategies: tuple[AnyStrategy, ...]) -> Case:
    names = tuple(strategy.name for strategy in strategies)
    weights = np.full(len(names), 1.0 / len(names))
    return Case(panel, prepare_signals(panel, strategies), weights, names=names)


@pytest.fixture(scope="module")
def changing(equal: Case) -> Case:
    """A script of allocations, and a drawdown limit that halts trading four times and more."""
    rng = np.random.default_rng(3)
    return replace(equal, weights=scripted_weights(rng, equal.panel.n_sessions, len(equal.strategies)), risk=TIGHT)


# ---------------------------------------------------------------- engine and kernel


@pytest.mark.compiles
def test_constant_allocation_trades_the_same_to_the_cent(equal: Case, tmp_path: Path) -> None:
    reference, _ = kernel(equal, START, 900)
    assert len(reference.trades) > 500
    assert {"MAX_POSITIONS", "CORRELATION_LIMIT", "LOSS_STREAK_PAUSE"} <= reference.denials.keys()
    assert_same(engine(equal, tmp_path, START, 900), reference)


def test_changing_allocation_trades_the_same_through_halts_and_releases(changing: Case, tmp_path: Path) -> None:
    reference, _ = kernel(changing, START, 900)
    assert [kind for _, kind in reference.halts].count("release") >= 2
    assert reference.denials["DRAWDOWN_HALT"] > 50
    assert_same(engine(changing, tmp_path, START, 900), reference)


@pytest.mark.parametrize("name", ["momentum", "low_volatility", "turn_of_month"])
def test_one_strategy_alone_trades_the_same(equal: Case, name: str, tmp_path: Path) -> None:
    alone = replace(equal, weights=np.array([1.0 if other == name else 0.0 for other in equal.strategies]))
    reference, _ = kernel(alone, START, 700)
    assert {trade[5] for trade in reference.trades} == {name}
    assert_same(engine(alone, tmp_path, START, 700), reference)


@pytest.mark.parametrize("difference", ["costs", "limits", "weights"])
def test_another_cost_limit_or_weight_is_noticed(equal: Case, difference: str, tmp_path: Path) -> None:
    other = {
        "costs": replace(equal, costs=CostConfig(slippage_bps=3.1)),
        "limits": replace(equal, risk=RiskConfig(max_positions=9)),
        "weights": replace(equal, weights=np.linspace(0.1, 0.2, len(equal.strategies)) / 0.9),
    }[difference]
    with pytest.raises(AssertionError):
        assert_same(engine(other, tmp_path, START, 400), kernel(equal, START, 400)[0])


# ---------------------------------------------------------------- restarts


def test_engine_restarted_before_during_and_after_every_halt_goes_on_as_if_nothing_had_been(
    changing: Case, tmp_path: Path
) -> None:
    reference, _ = kernel(changing, START, 900)
    rows = {session: row for row, session in enumerate(changing.world.sessions)}
    desk = Desk(changing, tmp_path, START, commit_sessions=1000)
    for session, _ in reference.halts:
        for row in (rows[session], rows[session] + 1, rows[session] + 4):  # rows are exclusive: before, on, after
            if desk.next < row <= 900:
                desk.run(row)
                desk.restart()
    desk.run(900)
    assert_same(desk.trail(), reference)


@pytest.mark.parametrize("commit_sessions", [1, 7])
def test_killed_engine_repeats_what_it_had_not_committed(changing: Case, tmp_path: Path, commit_sessions: int) -> None:
    reference, _ = kernel(changing, START, 600)
    desk = Desk(changing, tmp_path, START, commit_sessions)
    for row in range(START + 11, 600, 13):
        desk.crash_after(row)
        assert row - desk.next < commit_sessions
    desk.run(600)
    assert_same(desk.trail(), reference)


def test_shadow_that_is_not_rebuilt_is_noticed(changing: Case, tmp_path: Path) -> None:
    """Negative control: a restart inside a halt with the allocations since the halt lost."""
    reference, _ = kernel(changing, START, 900)
    rows = {session: row for row, session in enumerate(changing.world.sessions)}
    desk = Desk(changing, tmp_path, START)
    for (halt, kind), (release, _) in zip(reference.halts, reference.halts[1:], strict=False):
        if kind == "halt" and rows[release] - rows[halt] > 6:
            desk.run(rows[halt] + 4)
            desk.restart()
            desk.engine._shadow.start()  # as if it had begun today
    desk.run(900)
    with pytest.raises(AssertionError):
        assert_same(desk.trail(), reference)


def test_restarted_engine_shows_the_model_the_same_observations(changing: Case, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "halves").mkdir()
    whole = Desk(changing, tmp_path / "whole", 700, model_id="script")
    whole.run(760)
    halves = Desk(changing, tmp_path / "halves", 700, model_id="script")
    for row in (701, 715, 731):
        halves.run(row)
        halves.restart()
    halves.run(760)
    assert halves.allocator.seen.keys() == whole.allocator.seen.keys()
    for session, observation in whole.allocator.seen.items():
        np.testing.assert_array_equal(halves.allocator.seen[session], observation, err_msg=str(session))


# ---------------------------------------------------------------- live

LIVE = (Breakout(entry_window=20), MeanReversion(), TurnOfMonth(ranking=20))


def test_engine_that_gets_its_bars_day_by_day_trades_as_the_backtest_of_the_whole(
    panel: MarketPanel, tmp_path: Path
) -> None:
    """As live: each evening the market is loaded anew and ends today; half-way the engine is started again."""
    market = panel.columns(range(20)).rows(0, 160)
    whole = Case(
        market,
        prepare_signals(market, LIVE),
        scripted_weights(np.random.default_rng(2), 160, 3),
        TIGHT,
        names=tuple(strategy.name for strategy in LIVE),
    )
    reference, _ = kernel(whole, 60, 160)
    assert len(reference.trades) > 60
    desk = Desk(whole, tmp_path, 60, commit_sessions=1)
    for row in range(60, 160):
        if row == 111:
            desk.restart()
        today = market.rows(0, row + 1)
        desk.engine.adopt(replace(whole, panel=today, signals=prepare_signals(today, LIVE)).world)
        desk.engine.scan_cycle(row)
    assert_same(desk.trail(), reference)


# ---------------------------------------------------------------- environment and kernel


@pytest.fixture(scope="module")
def prepared(changing: Case, strategies: tuple[AnyStrategy, ...]) -> PreparedMarket:
    clock = NyseCalendar().exchange_seconds(changing.panel.sessions)
    regimes = np.full((changing.panel.n_sessions, 3), np.nan)
    return prepare_panel(changing.panel, clock, strategies, regimes, changing.rules)


def test_environment_under_the_base_allocation_is_the_constant_backtest(
    prepared: PreparedMarket, changing: Case
) -> None:
    constant = replace(changing, weights=prepared.base)
    reference, _ = kernel(constant, 0, 900)
    env = TradingAllocEnv(prepared)
    action = np.full(len(prepared.base), 0.5, dtype=np.float32)
    row = prepared.first
    compared = 0
    while row + EPISODE_SESSIONS < 900:
        _, info = env.reset(seed=1, options={"start": prepared.session(row)})
        equities = [info["equity"]]
        for _ in range(EPISODE_SESSIONS):
            _, _, _, _, info = env.step(action)
            equities.append(info["equity"])
        assert cents(equities) == reference.cents[row : row + EPISODE_SESSIONS + 1]
        row += EPISODE_SESSIONS
        compared += EPISODE_SESSIONS
    assert compared >= 300
    halted = {kind for _, kind in reference.halts}
    assert halted == {"halt", "release"}


def test_environment_under_changing_actions_is_the_scripted_backtest_and_the_engine(
    prepared: PreparedMarket, changing: Case, tmp_path: Path
) -> None:
    """The same positions share for share at every close, and the same equity; the engine trades that script too."""
    constant, _ = kernel(replace(changing, weights=prepared.base), 0, 900)
    start = busiest_window(constant, changing, prepared.first)
    stop = start + EPISODE_SESSIONS + 1
    rng = np.random.default_rng(5)
    actions = rng.random((EPISODE_SESSIONS, len(prepared.base))).astype(np.float32)
    script = np.tile(prepared.base, (900, 1))
    script[start : start + EPISODE_SESSIONS] = action_to_weights(actions.astype(np.float64), prepared.base, 2.0)
    scripted = replace(changing, weights=script)
    reference, _ = kernel(scripted, 0, stop)
    env = BatchedAllocEnv([prepared], 1, EpisodeOptions(action_kind="softmax", action_scale=2.0))
    env.batch.reset(np.array([0]), np.array([start]))
    for step, action in enumerate(actions):
        _, books = kernel(scripted, 0, start + step + 1)
        now = env.batch.books
        # the kernel has decided at this close already, the environment does so at its next step
        held, reached = books.books.slots[0], now.slots[0]
        keep, mine = held["quantity"] > 0.0, reached["quantity"] > 0.0
        for name in ("ticker", "quantity", "cost", "price", "held"):
            np.testing.assert_array_equal(held[keep][name], reached[mine][name], err_msg=name)
        assert cents([now.accounts[0]["equity"]]) == [reference.cents[start + step]]
        env.batch.step(action[None])
    assert cents([env.batch.books.accounts[0]["equity"]]) == [reference.cents[stop - 1]]
    assert sum(trade[0] in scripted.world.sessions[start:stop] for trade in reference.trades) > 15
    assert_same(engine(scripted, tmp_path, 0, stop), reference)


def busiest_window(trail: Trail, case: Case, first: int) -> int:
    """Return the row at or after `first` from which an episode sees the most trades."""
    rows = {session: row for row, session in enumerate(case.world.sessions)}
    trades = np.bincount([rows[trade[0]] for trade in trail.trades], minlength=case.panel.n_sessions)
    seen = np.convolve(trades[first:], np.ones(EPISODE_SESSIONS), mode="valid")
    return first + int(seen[:-1].argmax())


# ---------------------------------------------------------------- operators


def n_positions(desk: Desk) -> int:
    return int((desk.engine.broker.slots["quantity"] > 0.0).sum())


def test_flatten_that_was_obeyed_before_a_restart_still_closes_everything(equal: Case, tmp_path: Path) -> None:
    """Obeyed between sessions, restarted before the next decision: the wish is handled, and must still hold."""
    desk = Desk(equal, tmp_path, START)
    desk.run(320)
    assert n_positions(desk) > 3
    now = equal.world.closed[319] + timedelta(hours=1)
    leave_command(desk.database, desk.run_id, "flatten", "holiday", now)
    desk.engine.watch(now)
    desk.engine.commit()
    desk.restart()
    desk.run(322)
    assert n_positions(desk) == 0
    leave_command(desk.database, desk.run_id, "resume", "back", equal.world.closed[321])
    desk.run(330)
    desk.restart()
    desk.run(340)
    assert n_positions(desk) > 3
