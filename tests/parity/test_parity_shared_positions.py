"""Two strategies in one ticker, with interest, dividends and fees, over a kill: everybody's share, to the cent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity_world import CAPITAL, Case, Desk, cents, kernel

from daily_report import generate_daily_report
from risk_config import RiskConfig
from trading_platform.configuration.environment import load_settings
from trading_platform.core.costs import CostConfig
from trading_platform.core.types import Floats, MarketPanel, StrategySignals
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.reporting.run_results import RunResults, run_results

START, STOP = 40, 160
NAMES = ("steady", "swinging")


def panel() -> MarketPanel:
    plain = SyntheticMarketData(seed=9, n_tickers=12, n_sessions=STOP + 1).history()
    dividend = np.zeros_like(plain.close)
    dividend[50::20] = 0.35
    return replace(plain, dividend=dividend, cash_rate=np.full(plain.n_sessions, 3.0))


def targets(market: MarketPanel) -> tuple[StrategySignals, StrategySignals]:
    """One strategy holds six tickers; the other holds four of them at a weight that goes up and down."""
    steady, swinging = (np.zeros_like(market.close) for _ in NAMES)
    steady[:, :6] = 0.08
    swinging[:, 2:6] = 0.03 + 0.025 * np.sin(np.arange(market.n_sessions) / 5.0)[:, None]
    return book(steady), book(swinging)


def book(weights: Floats) -> StrategySignals:
    return StrategySignals(weights, np.zeros(weights.shape, dtype=np.bool_), is_target=True)


@pytest.fixture(scope="module")
def case() -> Case:
    market = panel()
    costs = CostConfig(commission_per_share=0.005)
    return Case(market, targets(market), np.array([0.5, 0.5]), RiskConfig(), costs=costs, names=NAMES)


@pytest.fixture(scope="module")
def desk(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    found = Desk(case, tmp_path_factory.mktemp("shared"), START, commit_sessions=7)
    found.run(83)
    found.crash_after(97)
    found.run(STOP)
    return found


@pytest.fixture(scope="module")
def results(desk: Desk) -> RunResults:
    return run_results(desk.database, desk.run_id, desk.case.panel)


def test_shares_add_up_to_the_account_over_a_restart(case: Case, desk: Desk, results: RunResults) -> None:
    assert {name for name, result in results.strategies.items() if result.fees > 0.0} == set(NAMES)
    assert results.interest > 0.0
    assert results.dividends > 0.0
    assert results.costs.commission > 0.0
    shares = sum(cents([result.pnl])[0] for result in results.strategies.values())
    assert shares + cents([results.account.pnl])[0] == cents([results.final_equity - CAPITAL])[0]
    assert cents([results.account.pnl]) == cents([results.interest])  # nothing else is nobody's
    assert desk.trail().cents == kernel(case, START, STOP)[0].cents


def test_every_session_of_shared_positions_ties_out(case: Case, desk: Desk) -> None:
    settings = load_settings({}, None)
    path = str(desk.database.url.database)
    total, shared, crossed = 0, 0, 0
    for session in case.world.sessions[START:STOP]:
        report: Any = generate_daily_report(
            Path(path), session, now=datetime(2030, 1, 1, tzinfo=UTC), settings=settings
        )
        assert report["bridge"]["residual"] == 0.0
        profit = cents([report["daily_pnl"]])[0]
        total += profit
        for kind in ("strategies", "tickers"):
            assert sum(cents([share["pnl"]])[0] for share in report["attribution"][kind]) == profit
        own = [share for share in report["attribution"]["strategies"] if share["name"] == "(account)"]
        assert [share["pnl"] for share in own] == [report["interest"]["day"]] * bool(report["interest"]["day"])
        for position in report["positions"]:
            assert sum(position["strategies"].values()) == pytest.approx(position["qty"])
            shared += len(position["strategies"]) > 1
        for trade in report["trades_today"]:
            assert sum(trade["strategies"].values()) == pytest.approx(trade["qty"])
            crossed += len(trade["strategies"]) > 1
    assert total == cents([report["total_pnl"]])[0]
    assert shared > 100  # the market was made for it
    assert crossed > 0
