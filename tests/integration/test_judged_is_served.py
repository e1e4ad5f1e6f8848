"""What was judged is what is served: the same bits on every session of a history, bear markets included.

Training judges a policy on the market that it has prepared, all sessions at once; an engine prepares its own, builds
one observation at each close and asks the allocator. Both must come to the same split, or to the same refusal.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from rl_environment import BatchedAllocEnv
from rl_strategy_allocator import RLStrategyAllocator
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import TradingConfig, load_config
from trading_platform.core.allocation import CODE_OF_ROW
from trading_platform.core.policy import Network, Policy, fit_scaling
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.served_policy import Answers, RowCode, answers, rules_alone
from trading_platform.core.simulate import open_books
from trading_platform.engine.engine_market import EngineMarket, configured_strategies, prepare_engine_market
from trading_platform.engine.regime_cache import load_regimes
from trading_platform.engine.trading_rules import rules_of
from trading_platform.evaluation.kernel_book import KernelBook
from trading_platform.machine.stopwatch import Stopwatch
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import load_panel
from trading_platform.regime.hmm import RegimeConfig
from trading_platform.storage.model_manifest import ModelManifest
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.model_weights import pack_weights
from trading_platform.strategies.registry import active_strategies
from trading_platform.training.paths import observations, policy_answers
from trading_platform.training.preparation import prepare_arena
from trading_platform.training.setup import TrainingSetup

NOW = datetime(2026, 1, 5, tzinfo=UTC)
SHARED = Path(__file__).resolve().parents[2].parent / "shared"
STOCKS, FUNDS = SHARED / "market-data", SHARED / "market-data-etf"
KIND, SCALE = "softmax", 1.0


class Prepared:
    """One market, prepared by training and by an engine, each on its own."""

    def __init__(self, config: TradingConfig, cache: Path) -> None:
        self.settings = load_settings()._replace(cache_dir=cache)
        self.panel = load_panel(config, self.settings, NyseCalendar(), None, None)
        rules = rules_of(config)
        setup = TrainingSetup(n_universes=0)
        arena = prepare_arena(self.panel, setup, config, self.settings, rules, NyseCalendar(), BatchedAllocEnv)
        self.judging: PreparedMarket = arena.whole
        self._config, self.rules = config, rules
        self.active, _ = active_strategies(configured_strategies(config), self.panel)

    def world(self, first: int) -> EngineMarket:
        """Return the market as an engine prepares it that trades from row `first` on."""
        config, panel = self._config, self.panel
        regime, cache = RegimeConfig.from_mapping(config.regime), self.settings.cache_dir / "regimes"
        regimes = load_regimes(panel, regime, config.engine.seed, first, cache)
        return prepare_engine_market(panel, self.active, self.rules, NyseCalendar(), regimes, Stopwatch())

    def policy(self, sessions: int) -> Policy:
        """A policy that reads everything it may, has seen so many sessions, and has another opinion every day."""
        seen = observations(self.judging)[self.judging.first : self.judging.first + sessions]
        scaling = fit_scaling(seen, self.judging.schema.exogenous, 3.0)
        rng = np.random.default_rng(3)
        shapes = ((3, len(scaling.index), 16), (3, 16, self.judging.n_strategies))
        kernels = tuple(rng.normal(scale=0.3, size=shape) for shape in shapes)
        return Policy(scaling, Network(kernels, (np.zeros((3, 16)), np.zeros((3, self.judging.n_strategies)))))

    def judged(self, policy: Policy, on_rules: bool = False) -> Answers:
        """Return what training judges `policy` by, on top of the published rules or without them."""
        return policy_answers(self.judging, policy, self.judging.base, KIND, SCALE, on_rules)

    def serving(self, folder: Path, policy: Policy, first: int = 0, on_rules: bool = False) -> Serving:
        """Return an engine's side, which trades from row `first` on and whose champion is `policy`."""
        schema, scaling = self.judging.schema, policy.scaling
        weights = pack_weights(policy.network)
        manifest = ModelManifest(
            strategies=schema.strategies,
            observation_hash=schema.fingerprint,
            features=tuple(schema.names[i] for i in scaling.index),
            feature_index=tuple(scaling.index.tolist()),
            feature_mean=tuple(scaling.mean.tolist()),
            feature_gain=tuple(scaling.gain.tolist()),
            feature_clip=scaling.clip,
            feature_low=tuple(scaling.low.tolist()),
            feature_high=tuple(scaling.high.tolist()),
            action_kind=KIND,
            action_scale=SCALE,
            base_weights=tuple(self.judging.base.tolist()),
            on_rules=on_rules,
            hidden=(16,),
            members=3,
            risk_fingerprint="r",
            data_source="test",
            data_start="1990-01-02",
            data_end=self.panel.session(self.panel.n_sessions - 1).isoformat(),
            data_hash="h",
            seeds=(1,),
            versions={},
            training={},
            metrics={},
            promoted_by_gate=True,
            gate={},
            parents=(),
            created_at=NOW.isoformat(),
            weights_sha256=hashlib.sha256(weights).hexdigest(),
        )
        registry = ModelRegistry(folder)
        registry.promote(registry.add(manifest, weights), NOW, "test")
        world = self.world(first)
        return Serving(RLStrategyAllocator(folder, world.strategies, allow_in_sample=True), world)


class Serving:
    """An engine's way of asking: one observation at a close, of a book of its own."""

    def __init__(self, allocator: RLStrategyAllocator, world: EngineMarket) -> None:
        self.allocator, self.world = allocator, world
        self.books = open_books(1, 10, len(world.strategies), len(world.market.bars), 70_000.0)

    def __call__(self, row: int) -> tuple[list[float], str]:
        """Return weights and code at the close of `row`."""
        observation = self.world.observer.observe(row, self.books.accounts[0], self.books.slots[0])
        weights = self.allocator.get_allocation(observation, self.world.sessions[row])
        return list(weights.values()), self.allocator.last_decision.code.value


def differing(judged: Answers, serving: Serving, first: int = 0) -> list[int]:
    """Return the rows from `first` on at which what is served is not what was judged, to the bit."""
    rows = []
    for row in range(first, len(judged.weights)):
        weights, code = serving(row)
        same_code = code == CODE_OF_ROW[RowCode(int(judged.codes[row]))].value
        if weights != judged.weights[row].tolist() or not same_code:
            rows.append(row)
    return rows


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(load_config(None), tmp_path_factory.mktemp("cache"))


def test_on_no_session_of_the_embedded_history_is_another_split_served_than_judged(
    embedded: Prepared, tmp_path: Path
) -> None:
    policy = embedded.policy(sessions=5)  # has seen little, so that much is new to it
    judged = embedded.judged(policy)
    assert 0.0 < judged.refused < 0.9  # both are tested: states that are new to it, and others
    assert len(np.unique(judged.weights, axis=0)) > 100
    assert differing(judged, embedded.serving(tmp_path, policy)) == []
    late = embedded.panel.n_sessions - 252  # a replay of the last year prepares its own market
    assert differing(judged, embedded.serving(tmp_path, policy, late), late) == []
    tilted = embedded.judged(policy, on_rules=True)
    assert np.abs(tilted.weights - judged.weights).max() > 0.01
    assert differing(tilted, embedded.serving(tmp_path / "on rules", policy, late, on_rules=True), late) == []


def test_the_published_rules_are_the_same_in_judging_and_in_serving(embedded: Prepared) -> None:
    judged = answers(rules_alone(embedded.judging.schema), observations(embedded.judging))
    assert (judged.codes == RowCode.OK).all()
    assert np.abs(judged.weights - embedded.judging.base).max() > 0.02
    late = embedded.panel.n_sessions - 252
    world = embedded.world(late)
    serving = Serving(RLStrategyAllocator("none", world.strategies, policy="rules"), world)
    assert differing(judged, serving, late) == []
    kernel = KernelBook((), embedded.rules, 1e5, NyseCalendar().exchange_seconds, policy="rules")
    np.testing.assert_array_equal(kernel.weights(embedded.panel, embedded.active), judged.weights)


def test_another_cost_in_the_account_moves_no_served_weight(embedded: Prepared) -> None:
    config = load_config(None, {"costs.half_spread_bps": 0.5, "costs.slippage_bps": 0.0})
    cheap = Prepared(config, embedded.settings.cache_dir)
    np.testing.assert_array_equal(cheap.world(0).observer.exogenous, embedded.judging.exogenous)


def test_a_difference_in_the_last_bit_is_found(embedded: Prepared, tmp_path: Path) -> None:
    policy = embedded.policy(sessions=250)
    judged = embedded.judged(policy)
    row = embedded.judging.first + 5
    judged.weights[row, 0] = np.nextafter(judged.weights[row, 0], 1.0)
    assert differing(judged, embedded.serving(tmp_path, policy)) == [row]


@pytest.mark.skipif(not (STOCKS.is_dir() and FUNDS.is_dir()), reason="the shared market data are not beside the tree")
def test_on_no_session_of_2003_to_2017_is_another_split_served_than_judged(tmp_path: Path) -> None:
    config = load_config(None, {"data.source": "files", "data.folder": (str(STOCKS), str(FUNDS))})
    prepared = Prepared(config, tmp_path / "cache")
    world, policy = prepared.judging, prepared.policy(sessions=250)
    for on_rules in (True, False):
        judged = prepared.judged(policy, on_rules)
        assert differing(judged, prepared.serving(tmp_path / f"models-{on_rules}", policy, on_rules=on_rules)) == []
    rules = answers(rules_alone(world.schema, world.works), observations(world))
    alone = Serving(RLStrategyAllocator("none", prepared.world(0).strategies, policy="rules"), prepared.world(0))
    assert differing(rules, alone) == []
    # What knows a year of ordinary markets is asked in the crash as well.
    assert judged.between(world.row(date(2008, 9, 2)), world.row(date(2009, 6, 1))).refused < 0.5
