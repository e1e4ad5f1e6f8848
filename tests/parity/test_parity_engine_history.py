"""The whole real history: engine, kernel and environment to the cent. `make parity` runs this and shows the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parity_markets import scripted_weights
from parity_world import Case, Desk, Trail, assert_same, engine, kernel

from risk_config import RiskConfig
from trading_platform.core.realistic_fills import EXACT, REALISTIC
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.files import FilesMarketData
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import FIRST_SET, make_strategies

HISTORY = Path(__file__).parents[2] / ".." / "shared" / "market-data"
START = 253

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared_data,
    pytest.mark.skipif(not HISTORY.is_dir(), reason="the real history is not on this machine"),
]

HALTED_AT_THREE = RiskConfig(max_drawdown_pct=3.0, recovery_drawdown_pct=1.5, max_total_drawdown_pct=50.0)


@pytest.fixture(scope="module")
def panel() -> MarketPanel:
    return FilesMarketData(HISTORY).history()


def real_case(panel: MarketPanel, risk: RiskConfig, *, script: bool) -> Case:
    strategies = make_strategies(FIRST_SET)
    names = tuple(strategy.name for strategy in strategies)
    weights = np.full(len(names), 1.0 / len(names))
    if script:
        weights = scripted_weights(np.random.default_rng(11), panel.n_sessions, len(names))
    return Case(panel, prepare_signals(panel, strategies), weights, risk, names=names)


def tell(name: str, trail: Trail, case: Case) -> None:
    """Print what was compared; `make parity` shows it."""
    halts = [kind for _, kind in trail.halts]
    print(  # noqa: T201 - the target shows what was compared
        f"{name}: {len(trail.cents):,} sessions, {case.panel.n_tickers} tickers, {len(case.strategies)} strategies: "
        f"{len(trail.trades):,} trades and {sum(trail.denials.values()):,} denials alike, {halts.count('halt')} halts, "
        f"{halts.count('release')} releases, final equity {trail.cents[-1] / 100:,.2f} to the cent"
    )


@pytest.mark.parametrize(
    ("name", "risk", "script", "fills"),
    [
        ("constant allocation, default limits", RiskConfig(), False, EXACT),
        ("scripted allocation, default limits", RiskConfig(), True, EXACT),
        ("scripted allocation, halted at 3 %", HALTED_AT_THREE, True, EXACT),
        ("constant allocation, aggressive profile", RiskConfig.profile("aggressive"), False, EXACT),
        ("scripted allocation, halted at 3 %, realistic fills", HALTED_AT_THREE, True, REALISTIC),
    ],
)
def test_engine_equals_kernel(
    panel: MarketPanel, name: str, risk: RiskConfig, script: bool, fills: str, tmp_path: Path
) -> None:
    case = replace(real_case(panel, risk, script=script), fills=fills)
    reference, _ = kernel(case, START, panel.n_sessions)
    trail = engine(case, tmp_path, START, panel.n_sessions)
    assert_same(trail, reference)
    assert len(trail.trades) > 2_000
    tell(name, trail, case)


def test_engine_restarted_every_quarter_equals_kernel(panel: MarketPanel, tmp_path: Path) -> None:
    case = real_case(panel, HALTED_AT_THREE, script=True)
    reference, _ = kernel(case, START, panel.n_sessions)
    desk = Desk(case, tmp_path, START, commit_sessions=10)
    for row in range(START + 61, panel.n_sessions, 63):
        desk.crash_after(row)
    desk.run(panel.n_sessions)
    assert_same(desk.trail(), reference)
    tell("the same, killed every quarter with up to 9 sessions not yet committed", desk.trail(), case)


def test_environment_equals_kernel(panel: MarketPanel) -> None:
    case = real_case(panel, RiskConfig(), script=False)
    clock = NyseCalendar().exchange_seconds(panel.sessions)
    prepared = prepare_panel(
        panel, clock, make_strategies(FIRST_SET), np.full((panel.n_sessions, 3), np.nan), case.rules
    )
    reference, _ = kernel(case, 0, panel.n_sessions)
    warm = np.rint(prepared.warm.accounts["equity"] * 100.0).astype(np.int64)
    assert warm.tolist() == reference.cents
    tell("the environment's books under equal weight", reference, case)
