"""The summary as the command prints it: on a narrow screen, on an old console, and where nothing was traded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

REPO = Path(__file__).resolve().parents[2]
SETTINGS = "[risk]\nmax_position_pct = 0.05\n"


@pytest.mark.parametrize(("width", "encoding", "page"), [(40, "utf-8", []), (80, "cp1252", ["--no-page"])])
def test_run_without_trades_explains_itself_at_any_width(
    tmp_path: Path, width: int, encoding: str, page: list[str]
) -> None:
    (tmp_path / "own.toml").write_text(SETTINGS, encoding="utf-8")
    command = [
        sys.executable,
        str(REPO / "autonomous_trading_engine.py"),
        "--quiet",
        "--config",
        str(tmp_path / "own.toml"),
        "--db",
        str(tmp_path / "run.db"),
        "--end",
        "2024-02-15",
        "--start",
        "2024-01-02",
        *page,
    ]
    environment = {**os.environ, "COLUMNS": str(width), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=600, env=environment)
    out = done.stdout.decode(encoding).replace("\r\n", "\n")
    assert done.returncode == 0, done.stderr.decode(encoding, "replace")
    assert "data: fine to trade" in out
    assert "In [risk]: share_step = " in " ".join(out.split())
    notes = done.stderr.decode(encoding, "replace").splitlines()
    assert [line for line in notes if "max_position_pct" in line or "risk_config" in line] == [
        "note: max_position_pct = 0.05 is 0.05 % of equity; if a fraction is meant, write max_position_pct = 5"
    ]
    summary = out[out.index("SIMULATED, embedded market (seed 7):") : out.index("Simulated results")]
    assert max(len(line) for line in summary.splitlines()) <= width
    words = " ".join(summary.split())
    assert "No order passed: POSITION_LIMIT refused all " in words
    assert "max_position_pct is 0.05 percent; did you mean 5?" in words
    assert ("▁" in summary) is (encoding == "utf-8")
    assert "nan" not in words
    assert (tmp_path / "reports" / "run-1.html").exists() is (not page)
    assert ("reports/run-1.html" in out) is (not page)
    assert ("autonomous_trading_engine.py page" in out) is bool(page)
