"""A sleeve that stands aside has no capital, and the others have its share: in the base, in judging, in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.kernel_world import STRATEGIES, clock_of, make_rules, random_panel
from trading_platform.core.costs import NO_PROTECTION, Protection
from trading_platform.core.policy import Network, Policy, Scaling
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.training.paths import equal_weights, policy_answers
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import at_base


@dataclass(frozen=True)
class NeedsGold:
    """A sleeve that lacks what it needs on every market of these tests."""

    name: str = "needs_gold"
    lookback: int = 1
    protection: Protection = NO_PROTECTION

    def stands_aside(self, panel: MarketPanel) -> str:
        return "needs gold"

    def targets(self, panel: MarketPanel) -> Floats:
        return np.full(panel.close.shape, 0.1)


@pytest.fixture(scope="module")
def world() -> PreparedMarket:
    panel = random_panel(1)
    regimes = np.random.default_rng(1).dirichlet(np.ones(3), panel.n_sessions)
    return prepare_panel(panel, clock_of(panel), (*STRATEGIES, NeedsGold()), regimes, make_rules())


def test_the_base_is_equal_weight_of_the_sleeves_that_work(world: PreparedMarket) -> None:
    assert world.works.tolist() == [True, True, True, False]
    assert world.base.tolist() == [1 / 3, 1 / 3, 1 / 3, 0.0]
    assert (equal_weights(world) == world.base).all()
    assert TrainingSetup().base == "equal"


def test_another_base_gives_nothing_to_a_sleeve_aside(world: PreparedMarket) -> None:
    moved = at_base(world, np.array([0.1, 0.3, 0.0, 0.6]))
    assert moved.base == pytest.approx([0.25, 0.75, 0.0, 0.0])


def test_a_judged_policy_gives_nothing_to_a_sleeve_aside(world: PreparedMarket) -> None:
    scaling = Scaling(world.schema.exogenous[:1], np.zeros(1), np.ones(1), 3.0)
    wants_the_last = Policy(scaling, Network((np.array([[[0.0, 0.5, 0.0, 1.0]]]),), (np.zeros((1, 4)),)))
    said = policy_answers(world, wants_the_last, np.full(4, 0.25), "softmax", 1.0)
    assert (said.weights[:, 3] == 0.0).all()
    assert said.weights.sum(axis=1) == pytest.approx(np.ones(world.n_sessions))
    assert (said.weights[:, 1] > said.weights[:, 0]).all()
