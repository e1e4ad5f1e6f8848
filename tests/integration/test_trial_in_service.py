"""A trained model in service: admitted, fed week by week, killed half-way, promoted by its wealth or by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

from risk_config import RiskConfig
from rl_environment import BatchedAllocEnv
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import RetrainModelError
from trading_platform.core.observation import observation_schema
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.evaluation.promotion import GateConfig
from trading_platform.evaluation.service_trial import Trial, TrialState
from trading_platform.evaluation.wealth import LIMIT, RARE_SESSIONS
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.storage.model_registry import Champion, ModelRegistry
from trading_platform.storage.trial_file import TrialFile
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import make_strategies
from trading_platform.training.campaign import Campaign, Outcome, plan_windows, run_campaign
from trading_platform.training.fits import Arena
from trading_platform.training.paths import equal_weights, run_path
from trading_platform.training.service import candidate, enter, settle, shadow_returns, stored_weights, update
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.traded import HELD, LEAST_TRADED, book_size, traded_share
from trading_platform.training.verdict import verdict_line
from trading_platform.training.worlds import rules_at_cost

NOW = datetime(2026, 1, 5, tzinfo=UTC)
WEEKS, WEEK, COST = 26, 5, 10.0
SESSIONS = 1800  # five years of the books are known before the job begins, else nothing is bet on less risk
SETUP = TrainingSetup(episodes=40, eval_freq=20, hidden=(4,), n_universes=0)
ANYTHING = GateConfig(min_sessions=20, min_total_gain=-10.0, min_confidence=0.5, max_annual_turnover=252.0)


@pytest.fixture(scope="module")
def world() -> PreparedMarket:
    """Ten stocks, seven years, regimes unknown."""
    panel = SyntheticMarketData(3, n_tickers=10, n_sessions=SESSIONS).history()
    clock = NyseCalendar().exchange_seconds(panel.sessions.tolist())
    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    strategies = make_strategies(("momentum", "mean_reversion", "low_volatility"))
    unknown = np.full((panel.n_sessions, 3), np.nan)
    return prepare_panel(panel, clock, strategies, unknown, rules_at_cost(rules, COST))


def until(world: PreparedMarket, stop: int) -> PreparedMarket:
    """Return what of `world` the daily job reads, as it was known after `stop` sessions."""
    return replace(
        world,
        sessions=world.sessions[:stop],
        exogenous=world.exogenous[:stop],
        regimes=world.regimes[:stop],
        strategy_returns=world.strategy_returns[:stop],
        base_returns=world.base_returns[:stop],
    )


@pytest.fixture(scope="module")
def trained(world: PreparedMarket, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A registry with one model that was refused or admitted by a lenient gate, its trial removed."""
    folder = tmp_path_factory.mktemp("models")
    made = Campaign(
        arena=Arena(world, (world,), SETUP, BatchedAllocEnv),
        plan=plan_windows(world, "single", None, WEEKS * WEEK + 26),
        seeds=(1,),
        jobs=1,
        registry=ModelRegistry(folder),
        now=NOW,
        data_source="test",
        data_hash="h",
        risk_fingerprint="r",
        gate=ANYTHING,
    )
    outcome = run_campaign(made)
    TrialFile(folder).path.unlink(missing_ok=True)
    return folder, outcome


@pytest.fixture
def registry(trained: tuple[Path, Outcome], tmp_path: Path) -> Iterator[ModelRegistry]:
    copytree(trained[0], tmp_path / "models", copy_function=lambda a, b: Path(b).write_bytes(Path(a).read_bytes()))
    yield ModelRegistry(tmp_path / "models")


def entered(registry: ModelRegistry, world: PreparedMarket, outcome: Outcome) -> Trial:
    """Let the model enter as it would have 26 weeks before the end."""
    known = until(world, world.n_sessions - WEEKS * WEEK)
    weights = stored_weights(registry, outcome.model_id, known)
    decision = replace(outcome.judged.decision, gain=0.1)
    rows = range(world.first + 5, known.n_sessions)
    return enter(
        registry,
        candidate(registry, known, outcome.model_id, decision, -0.02, weights, rows, range(0), COST, weights),
        NOW,
    )


def test_a_shadow_book_is_its_sleeves_at_its_weights_less_what_changes_cost(world: PreparedMarket) -> None:
    weights = equal_weights(world)
    last = world.n_sessions - 1
    weights[last - 1] = [1.0, 0.0, 0.0]
    returns = shadow_returns(world, weights, COST)
    moved = (1 - 1 / 3) + 1 / 3 + 1 / 3
    assert returns[last] == pytest.approx(world.strategy_returns[last, 0] - 0.0010 * moved)
    dear = shadow_returns(world, weights, COST, traded=0.1)  # a tenth of what is moved is traded
    assert dear[last] == pytest.approx(world.strategy_returns[last, 0] - 0.0001 * moved)
    assert returns[last - 1] == pytest.approx(world.strategy_returns[last - 1].mean())
    assert np.isnan(returns[: world.first]).all()


def test_a_moved_weight_is_charged_what_an_account_trades_for_it_and_no_less_than_was_ever_seen(
    world: PreparedMarket,
) -> None:
    size = book_size(world)
    assert size > 1.5  # a strategy alone cannot fill the account
    assert traded_share(world, equal_weights(world)) == pytest.approx(HELD / size)
    flicker = equal_weights(world)
    flicker[::2, 0] += 0.002
    flicker[::2, 1] -= 0.002
    rows = range(world.first + 1, world.n_sessions)
    moved = float(np.abs(np.diff(flicker[rows.start - 1 : rows.stop - 1], axis=0)).sum())
    still, moving = (run_path(world, chosen, rows).turnover.sum() for chosen in (equal_weights(world), flicker))
    assert moved > 5.0  # as the weights have it
    assert abs(moving - still) < 0.01 * moved  # within the band next to nothing is traded
    assert traded_share(world, flicker) == pytest.approx(LEAST_TRADED / size)


def test_a_challenger_in_service_is_charged_its_own_share(
    registry: ModelRegistry, world: PreparedMarket, trained: tuple[Path, Outcome]
) -> None:
    begun = entered(registry, world, trained[1])
    first = world.n_sessions - WEEKS * WEEK
    twin = ModelRegistry(registry.folder)
    fed_once = update(twin, until(world, first + 10), COST, NOW)
    assert fed_once is not None
    name = trained[1].model_id
    weights = stored_weights(registry, name, world)
    share = begun.entries[0].traded
    assert 0.0 < share < 1.0
    by_hand = shadow_returns(world, weights, COST, share)[first : first + 10]
    assert fed_once.sums.challenger == pytest.approx(float(by_hand.sum()), rel=1e-9)


def test_a_weekly_job_killed_twice_ends_where_one_run_ends(
    registry: ModelRegistry, world: PreparedMarket, trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    begun = entered(registry, world, trained[1])
    assert begun.fed == world.session(world.n_sessions - WEEKS * WEEK - 1)
    other = ModelRegistry(copytree(registry.folder, tmp_path / "at-once"))
    wealth: list[float] = []
    for week in range(1, WEEKS + 1):
        known = until(world, world.n_sessions - (WEEKS - week) * WEEK)
        if week in (7, 19):  # killed after the new file was drafted, before it replaced the old one
            (registry.folder / ".trial.json.dead").write_text("{")
        found = update(ModelRegistry(registry.folder), known, COST, NOW)
        assert found is not None
        assert update(ModelRegistry(registry.folder), known, COST, NOW) == found  # the same evening again
        wealth.append(found.wealth)
    once = update(other, world, COST, NOW)
    assert once == TrialFile(registry.folder).read()
    assert once is not None and once.sums.sessions == WEEKS * WEEK
    assert len(set(wealth)) == WEEKS


def test_what_passes_serves_and_a_kill_before_that_is_made_good(
    registry: ModelRegistry, world: PreparedMarket, trained: tuple[Path, Outcome]
) -> None:
    begun = entered(registry, world, trained[1])
    scale = (*begun.wager.scale[:-1], float(RARE_SESSIONS))  # five years of the books are known
    rich = replace(begun, wager=replace(begun.wager, stake=LIMIT * 100.0, scale=scale))
    TrialFile(registry.folder).write(rich)

    class Killed(ModelRegistry):
        def promote(self, model_id: str, at: datetime, reason: str) -> Champion:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(Killed(registry.folder), world, COST, NOW)
    left = TrialFile(registry.folder).read()
    assert left is not None and left.state is TrialState.PASSED
    assert registry.champion() is None
    done = settle(registry, NOW)
    champion = registry.champion()
    assert done is not None and done.state is TrialState.SERVED
    assert champion is not None and champion.model_id == trained[1].model_id
    assert "passed its trial" in champion.reason
    registry.rollback(NOW, "not liked")
    assert settle(registry, NOW) == done  # what a person took back is not promoted again
    assert registry.champion() is None


def test_a_promotion_by_hand_ends_the_trial(
    registry: ModelRegistry, world: PreparedMarket, trained: tuple[Path, Outcome]
) -> None:
    entered(registry, world, trained[1])
    registry.promote(trained[1].model_id, NOW, "by hand")
    found = settle(registry, NOW)
    assert found is not None and found.state is TrialState.ENDED
    assert "by hand" in found.events[-1]


def test_a_market_of_other_strategies_feeds_nothing(
    registry: ModelRegistry, world: PreparedMarket, trained: tuple[Path, Outcome]
) -> None:
    begun = entered(registry, world, trained[1])
    strange = replace(world, schema=observation_schema(("momentum", "breakout")))
    with pytest.raises(RetrainModelError, match="was trained for momentum"):
        update(registry, strange, COST, NOW)
    assert TrialFile(registry.folder).read() == begun


def test_without_a_trial_there_is_nothing_to_feed(world: PreparedMarket, tmp_path: Path) -> None:
    assert update(ModelRegistry(tmp_path), world, COST, NOW) is None
    assert settle(ModelRegistry(tmp_path), NOW) is None


def test_sessions_before_the_data_begin_are_unknown_and_told(
    registry: ModelRegistry, world: PreparedMarket, trained: tuple[Path, Outcome]
) -> None:
    entered(registry, world, trained[1])
    returns = world.strategy_returns.copy()
    returns[-20:-10, 0] = np.nan
    found = update(registry, replace(world, strategy_returns=returns), COST, NOW)
    assert found is not None and found.unknown == 10
    assert found.sums.sessions == WEEKS * WEEK - 10
    assert found.fed == date.fromisoformat(str(world.sessions[-1].astype("datetime64[D]")))


def test_the_verdict_says_first_what_was_found_and_what_goes_on(trained: tuple[Path, Outcome]) -> None:
    outcome = trained[1]
    words = verdict_line(outcome)
    assert words.startswith("PASSED for risk: over 1 universe" if outcome.admitted else "REFUSED. Over 1 universe")
    assert ("Equal weight goes on." in words) is not outcome.admitted
