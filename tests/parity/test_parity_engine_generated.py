"""On markets made for trouble, the engine does what the kernel does, also when it is killed on the way."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from parity_markets import N_SESSIONS, Trouble, cases, market_of, signals_of
from parity_world import Case, Desk, Trail, assert_same, engine, kernel

from risk_config import RiskConfig
from trading_platform.core.costs import CostConfig, ExitConfig

START = 21


@pytest.mark.filterwarnings("ignore::trading_platform.configuration.risk_config.RiskConfigWarning")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(), cut=st.integers(START + 1, N_SESSIONS - 1), killed=st.booleans())
def test_engine_trades_as_the_kernel_on_any_market(case: Case, cut: int, killed: bool) -> None:
    reference, _ = kernel(case, START, N_SESSIONS)
    for reason in sorted({trade[6] for trade in reference.trades}):
        event(f"a trade by {reason}")
    for code in sorted(reference.denials):
        event(f"refused by {code}")
    for kind in sorted({kind for _, kind in reference.halts}):
        event(f"drawdown {kind}")
    event(f"{case.fills} fills")
    event("halted at the restart" if halted_at(reference, case, cut) else "trading at the restart")
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(case, Path(folder), START, commit_sessions=7)
        if killed:
            desk.crash_after(cut)
        else:
            desk.run(cut)
            desk.restart()
        desk.run(N_SESSIONS)
        trail = desk.trail()
        desk.database.dispose()
    assert_same(trail, reference)


def halted_at(trail: Trail, case: Case, cut: int) -> bool:
    """Return True if the book is halted when row `cut` - 1 has been scanned."""
    session = case.world.sessions[cut - 1]
    kinds = [kind for day, kind in trail.halts if day <= session]
    return bool(kinds) and kinds[-1] == "halt"


# ---------------------------------------------------------------- what generated markets must reach, one by one

ALL = Trouble(
    gaps=True, halted=True, zero_volume=True, thin=True, delisted=True, splits=True, dividends=True, vix_missing=True
)
EAGER = RiskConfig(
    max_position_pct=20.0,
    max_sector_pct=40.0,
    max_exposure_pct=70.0,
    max_correlation=0.9,
    correlation_window=30,
    position_volatility_pct=60.0,
    kelly_prior_payoff=3.0,
    max_positions=5,
    consecutive_loss_limit=2,
    max_drawdown_pct=4.0,
    recovery_drawdown_pct=3.0,
    max_daily_loss_pct=1.5,
    max_equity_jump_pct=5.0,
    min_order_dollars=2_000.0,
)
# The smallest order is nearly the largest position: caps refuse what in another account they would only shrink.
CROWDED = replace(
    EAGER,
    max_positions=20,
    max_exposure_pct=60.0,
    max_correlation=1.0,
    min_order_dollars=190_000.0,
    share_step=0.01,
    vix_threshold=28.0,
    kelly_fraction=1.0,
    max_drawdown_pct=60.0,
    max_daily_loss_pct=60.0,
    consecutive_loss_limit=100,
)


def trouble_case(seed: int, **changes: bool) -> Case:
    rng = np.random.default_rng(seed)
    flags = {name: getattr(ALL, name) for name in Trouble.__dataclass_fields__} | changes
    panel = market_of(rng, 8, Trouble(**flags), 160)
    weights = np.full(3, 1.0 / 3.0)
    exits = ExitConfig(max_holding_sessions=8, take_profit_volatilities=2.0)
    risk = CROWDED if seed % 4 == 3 else EAGER
    return Case(panel, signals_of(rng, panel.close.shape), weights, risk, exits, CostConfig(), 1_000_000.0)


def test_fixed_markets_reach_every_kind_of_trade_denial_and_halt(tmp_path: Path) -> None:
    reasons: set[str] = set()
    codes: set[str] = set()
    halts: set[str] = set()
    for seed in range(12):
        case = trouble_case(seed, thin=seed % 2 == 0, halted=seed % 3 == 0)
        reference, _ = kernel(case, START, 160)
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert_same(engine(case, folder, START, 160, commit_sessions=50), reference)
        reasons |= {trade[6] for trade in reference.trades}
        codes |= reference.denials.keys()
        halts |= {kind for _, kind in reference.halts}
    assert reasons == {
        "entry",
        "signal_exit",
        "stop_loss",
        "take_profit",
        "max_holding",
        "delisted",
        "replaced",
        "flatten",
    }
    assert halts == {"halt", "release"}
    assert codes >= {
        "INVALID_ORDER",
        "VOLATILITY_UNKNOWN",
        "MAX_POSITIONS",
        "POSITION_LIMIT",
        "VIX_LIMIT",
        "EXPOSURE_LIMIT",
        "SECTOR_LIMIT",
        "CORRELATION_UNKNOWN",
        "BELOW_MINIMUM",
        "VIX_UNKNOWN",
        "LOSS_STREAK_PAUSE",
        "DAILY_LOSS_LIMIT",
        "DRAWDOWN_BREACH",
        "DRAWDOWN_HALT",
        "EQUITY_UNKNOWN",
        "TOTAL_DRAWDOWN",
    }
