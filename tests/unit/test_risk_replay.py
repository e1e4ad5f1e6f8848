"""The real history: no entry of the kernel breaks a cap, and the audit that says so can find one that does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.halt_release import WARM_UP, History, audit, load
from risk_config import RiskConfig

FOLDER = Path(__file__).parents[2].parent / "shared" / "market-data"
pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the real history is not here: ../shared/market-data"),
]


@pytest.fixture(scope="module")
def history() -> History:
    return load(FOLDER)


def test_no_entry_of_the_real_history_breaks_a_cap(history: History) -> None:
    k = len(history.names)
    entries, found = audit(history, np.full(k, 1.0 / k), RiskConfig(), len(history.sessions))
    assert entries > 1_000
    assert found == []


@pytest.mark.parametrize(
    ("stricter", "word"),
    [
        (RiskConfig(max_position_pct=2.0), "position"),
        (RiskConfig(max_positions=5), "positions"),
        (RiskConfig(max_correlation=0.3), "correlation"),
        (RiskConfig(max_exposure_pct=10.0), "exposure"),
        (RiskConfig(max_sector_pct=5.0), "sector"),
        (RiskConfig(vix_threshold=12.0), "position"),
        (RiskConfig(max_drawdown_pct=1.0, recovery_drawdown_pct=0.5), "halted"),
        (RiskConfig(max_daily_loss_pct=0.2), "day's loss"),
    ],
)
def test_the_audit_finds_entries_beyond_stricter_caps(history: History, stricter: RiskConfig, word: str) -> None:
    k = len(history.names)
    _, found = audit(history, np.full(k, 1.0 / k), RiskConfig(), WARM_UP + 400, judged_by=stricter)
    assert any(word in line for line in found), found[:5]
