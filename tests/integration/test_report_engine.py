"""The report on what the engine itself writes: a replay of the real history, tied out session by session."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from report_stories import BARE
from test_report_tie_out import NOW, cents, expected, strategy_pnl, ticker_pnl, with_interest

from daily_report import generate_daily_report

pytestmark = pytest.mark.real

REPO = Path(__file__).resolve().parents[2]
MARKET = REPO.parent / "shared" / "market-data"
needs_market = pytest.mark.skipif(not MARKET.is_dir(), reason="the real history is not beside the repository")


def replay(path: Path, start: str, end: str) -> list[date]:
    command = [
        sys.executable,
        "autonomous_trading_engine.py",
        "--data-dir",
        str(MARKET),
        "--start",
        start,
        "--end",
        end,
        "--db",
        str(path),
        "--quiet",
        "--no-page",
    ]
    subprocess.run(command, cwd=REPO, capture_output=True, check=True, timeout=600)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT session FROM equity ORDER BY session").fetchall()
    connection.close()
    return [date.fromisoformat(row[0]) for row in rows]


def tie_out(path: Path, sessions: list[date]) -> None:
    connection = sqlite3.connect(path)
    total, before = 0, None
    for session in sessions:
        report: Any = generate_daily_report(path, session, settings=BARE, now=NOW)
        wanted = expected(connection, str(session), before)
        assert {key: cents(value) for key, value in report["bridge"].items()} == wanted, session
        total += cents(report["daily_pnl"])
        assert cents(report["total_pnl"]) == total, session
        shares = {s["name"]: cents(s["pnl"]) for s in report["attribution"]["tickers"] if cents(s["pnl"])}
        assert shares == with_interest(ticker_pnl(connection, str(session), before), wanted["interest"]), session
        owners = {s["name"]: cents(s["pnl"]) for s in report["attribution"]["strategies"] if cents(s["pnl"])}
        assert owners == with_interest(strategy_pnl(connection, str(session), before), wanted["interest"]), session
        assert len(report["summary"]) <= 3500
        assert not any("tie out" in alert for alert in report["alerts"])
        before = str(session)
    connection.close()


@needs_market
@pytest.mark.shared_data
def test_a_year_of_the_engine_ties_out_to_the_cent(tmp_path: Path) -> None:
    sessions = replay(tmp_path / "trading.db", "2017-01-03", "2017-12-29")
    assert len(sessions) == 251
    tie_out(tmp_path / "trading.db", sessions)


@needs_market
@pytest.mark.shared_data
@pytest.mark.slow
def test_seventeen_years_of_the_engine_tie_out_to_the_cent(tmp_path: Path) -> None:
    sessions = replay(tmp_path / "trading.db", "2001-01-02", "2017-12-29")
    assert len(sessions) == 4276
    tie_out(tmp_path / "trading.db", sessions)
