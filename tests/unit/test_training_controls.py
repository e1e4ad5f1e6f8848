"""The controls' market and their verdict; what training does in them is for `make rl-controls`."""

from __future__ import annotations

import numpy as np
import pytest

from risk_config import RiskConfig
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import FIRST_SET, make_strategies
from trading_platform.training.controls import PLAIN_EDGES, ControlResult, ControlWorld, oracle_weights, summary
from trading_platform.training.paths import equal_weights, run_path


def unheard(_: str) -> None:
    """Take a line and tell nobody."""


def result(kind: str, seed: int, policy: float, promoted: bool) -> ControlResult:
    oracle = 1.0 if kind == "positive" else float("nan")
    return ControlResult(ControlWorld(kind, seed), promoted, 0.5, policy, 0.0, oracle, "")


@pytest.mark.parametrize(
    ("policy", "promoted", "met"), [(0.7, 9, True), (0.69, 9, False), (0.7, 8, False), (1.1, 10, True)]
)
def test_positive_control_asks_for_gain_and_promotion(policy: float, promoted: int, met: bool) -> None:
    results = [result("positive", n, policy, n < promoted) for n in range(10)]
    lines: list[str] = []
    assert summary(results, lines.append) is met
    assert f"{policy:.0%} of the oracle's gain" in lines[0]


@pytest.mark.parametrize(("promoted", "met"), [(0, True), (1, True), (2, False)])
def test_negative_control_refuses_more_than_one_in_twenty(promoted: int, met: bool) -> None:
    assert summary([result("negative", n, 0.0, n < promoted) for n in range(20)], unheard) is met


def test_one_kind_that_fails_fails_the_run() -> None:
    good = [result("positive", n, 0.9, True) for n in range(4)]
    assert summary(good, unheard)
    assert not summary([*good, result("negative", 1, 0.0, True)], unheard)


def test_every_regime_of_the_positive_control_pays_another_strategy() -> None:
    data = SyntheticMarketData(1, model=PLAIN_EDGES, n_tickers=60, n_sessions=3150)
    panel = data.history()
    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    clock = NyseCalendar().exchange_seconds(panel.sessions.tolist())
    strategies = make_strategies(FIRST_SET)
    world = prepare_panel(panel, clock, strategies, np.full((panel.n_sessions, 3), np.nan), rules)
    weights = oracle_weights(world, data.true_regimes())
    rows = range(world.first + 1, world.n_sessions)
    regimes = data.true_regimes()[rows.start :]
    chosen = [strategies[int(weights[rows.start :][regimes == g][0].argmax())].name for g in range(3)]
    assert chosen == ["momentum", "mean_reversion", "low_volatility"]
    oracle, equal = (run_path(world, w, rows).returns for w in (weights, equal_weights(world)))
    assert sharpe_ratio(oracle) - sharpe_ratio(equal) > 1.0
