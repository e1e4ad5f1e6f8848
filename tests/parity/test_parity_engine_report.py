"""The report of a session says the same whether or not the database holds what came after: its figures look back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity_world import Case, Desk

from daily_report import generate_daily_report
from risk_config import RiskConfig
from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.strategies.base import prepare_signals
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.mean_reversion import MeanReversion

NOW = datetime(2025, 1, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def case() -> Case:
    panel = SyntheticMarketData(seed=5, n_tickers=20, n_sessions=260).history()
    strategies = (Breakout(entry_window=20), MeanReversion())
    return Case(
        panel,
        prepare_signals(panel, strategies),
        np.full(2, 0.5),
        RiskConfig(max_drawdown_pct=1.0, recovery_drawdown_pct=0.5),
        names=tuple(strategy.name for strategy in strategies),
    )


def report_of(desk: Desk, folder: Path, row: int, settings: Settings) -> dict[str, Any]:
    """Return the report at the close of a row."""
    session = desk.case.world.sessions[row]
    report = generate_daily_report(folder / "parity.db", session, now=NOW, settings=settings)
    plain: dict[str, Any] = json.loads(json.dumps(report, default=str))
    for order in plain["orders_for_next_open"]:
        assert order.pop("status") in ("submitted", None)  # a later report does not say what became of it
    return plain


def test_report_of_a_session_does_not_move_with_later_sessions(case: Case, tmp_path: Path) -> None:
    settings = load_settings({}, None)
    desk = Desk(case, tmp_path, 40, commit_sessions=1)
    first: dict[int, dict[str, Any]] = {}
    for row in range(60, 200, 20):
        desk.run(row + 1)
        first[row] = report_of(desk, tmp_path, row, settings)
    desk.run(260)
    for row, report in first.items():
        assert report_of(desk, tmp_path, row, settings) == report, str(case.world.sessions[row])
    texts = {report["summary"] for report in first.values()}
    assert len(texts) == len(first)  # each session has its own story, so that there was something to move
