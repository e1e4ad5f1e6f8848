"""What operators read: now, in words, with no number or name cut, on screens of 40 to 120 columns."""

from __future__ import annotations

import io
import re
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trading_platform.core.types import Regime
from trading_platform.engine.scan_result import ScanResult
from trading_platform.reporting import status_screen
from trading_platform.reporting.status_screen import RunRow, say, show_runs, show_status, status_lines
from trading_platform.reporting.wrapping import wrapped
from trading_platform.runtime.run_screen import session_line

WIDTHS = [40, 60, 80, 120]


def state(**changes: Any) -> Any:
    position = {"ticker": "BBY", "quantity": 147.0, "entry_price": 31.32, "price": 31.1, "stop_price": 29.1}
    order = {
        "ticker": "BBY",
        "side": "sell",
        "quantity": 147.0,
        "limit_price": None,
        "stop_price": 29.1,
        "reason": "stop_loss",
        "status": "submitted",
        "client_order_id": "tp-20161230-BBY-sell-stop_loss-0",
    }
    return {
        "run": {
            "id": 3,
            "mode": "alpaca_paper",
            "source": "alpaca",
            "status": "running",
            "account": "PA123456",
            "name": "savings",
            "first_session": "2024-01-02",
            "last_session": "2024-07-03",
            "strategies": ["momentum", "winners"],
        },
        "equity": {
            "equity": 99_814.58,
            "cash": 51_234.5,
            "drawdown": 0.0214,
            "lifetime_drawdown": 0.0293,
            "gross_exposure": 0.487,
            "n_positions": 1,
            "session": "2024-07-03",
        },
        "risk": {"manual_halt": None, "fault": None, "halted_since": None},
        "regime": {"regime": "unknown"},
        "positions": [position],
        "open_orders": [order],
        "differences": [],
        "not_invested_because": None,
        "next_open": {"session": "2024-07-03", "orders": [], "waiting": []},
        "replay_check": None,
        "standing": {"flatten": False, "closing": [], "paused": [], "leaving": []},
        "waiting_commands": [],
        "states": [],
        "own_costs": None,
        "heartbeat": {
            "pid": 4242,
            "host": "box",
            "age_seconds": 65.0,
            "note": "watching; settled to 2024-07-03",
            "alive": True,
        },
        **changes,
    }


def shown(monkeypatch: pytest.MonkeyPatch, width: int, show: Any, *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(status_screen, "Console", lambda **_: console)
    show()
    return out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_status_cuts_no_number_and_no_name(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = shown(monkeypatch, width, lambda: show_status(state(), as_json=False))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for word in ("$99,814.58", "$51,234.50", "2.14%", "BBY", "147", "31.32", "31.10", "-0.70%", "29.10", "4242"):
        assert re.search(rf"(?<![\w.,]){re.escape(word)}(?![\w,]|\.\d)", text), word


def test_status_says_what_an_order_is_and_not_its_id() -> None:
    lines = dict(status_lines(state()))
    assert lines["open orders"] == "sell 147 BBY at 29.10 (stop loss), submitted"
    assert lines["positions"] == "BBY 147  entry 31.32  close 31.10  -0.70%  stop 29.10"
    assert lines["run"] == "3, alpaca_paper savings PA123456 of alpaca, running"
    assert "leaving" not in lines
    assert lines["engine"].startswith("running, process 4242 on box, last seen 65 s ago: watching")


def test_money_that_lies_in_cash_is_told_by_cause() -> None:
    assert "not invested" not in dict(status_lines(state(not_invested_because=None)))
    because = {"no_signal": 49630.47, "slots": 30033.99, "caps": 0.0, "size": 1.5, "halts": 0.0}
    lines = dict(status_lines(state(not_invested_because=because)))
    assert lines["not invested"] == "no signal $49,630.47, slots $30,033.99, size $1.50"


def test_an_engine_that_is_gone_is_said_to_be_gone() -> None:
    """Its last heartbeat row stays in the database after a kill; it is no proof of life."""
    beat = {**state()["heartbeat"], "alive": False, "age_seconds": 3.0 * 86400.0}
    assert dict(status_lines(state(heartbeat=beat)))["engine"] == (
        "not running; last seen 3 days ago as process 4242 on box"
    )
    assert dict(status_lines(state(heartbeat=None)))["engine"] == "not running"


def test_an_unknown_regime_says_why_and_a_pause_is_named() -> None:
    standing = {"flatten": False, "closing": ["AAA"], "paused": ["momentum"], "leaving": ["momentum", "long_gone"]}
    lines = dict(status_lines(state(standing=standing)))
    assert lines["leaving"] == "momentum: sold at the next open, by `upgrade`"
    assert lines["regime"].startswith("unknown: ")
    assert lines["halts"] == "paused: momentum; closing AAA, no more of it is bought"


def test_regime_is_said_with_its_meaning() -> None:
    lines = dict(status_lines(state(regime={"regime": "bear"})))
    assert lines["regime"] == "bear: well below its high and its 200-day mean, and volatile"


def test_many_orders_are_counted_and_do_not_push_the_rest_off_the_screen() -> None:
    order = state()["open_orders"][0]
    lines = status_lines(state(open_orders=[order] * 20))
    assert sum(text.startswith("sell 147") for _, text in lines) == 12
    assert ("", "and 8 more (--json shows all)") in lines
    assert lines[-1][0] == "engine"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_runs_cuts_no_number(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    row: RunRow = {
        "id": 12,
        "kind": "Alpaca paper account",
        "mode": "alpaca_paper",
        "positions": 3,
        "name": "savings",
        "last_session": "2024-07-03",
        "equity": 1234567.89,
        "state": "running",
        "tag": "best",
        "note": None,
        "source": "files:/data/prices",
        "return": 0.1234,
        "first_session": "2023-01-03",
        "words": "Alpaca paper account savings (run 12): equity $1,234,567.89, 3 positions",
    }
    text = shown(monkeypatch, width, lambda: show_runs([row], as_json=False))
    for words in ("$1,234,567.89", "+12.3%", "2024-07-03", "best"):
        assert words in text
    assert "files in prices" in " ".join(text.split()) or width < 120
    assert "…" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_line_for_people_breaks_at_words(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    line = "did you mean 'max_drawdown_pct'? It belongs in [risk] of trading.toml, and is percent"
    assert shown(monkeypatch, width, lambda: say(line)) == f"{line}\n"  # a log gets it whole
    text = shown(monkeypatch, width, lambda: say(line), terminal=True)
    assert max(map(len, text.splitlines())) <= width
    assert "'max_drawdown_pct'?" in text
    assert "[risk]" in text
    assert " ".join(text.split()) == line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", WIDTHS)
def test_an_error_breaks_at_words_in_a_terminal_and_not_in_a_pipe(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    line = "error: t.toml:3: risk.max_drawdwn_pct is no setting: did you mean 'max_drawdown_pct'?\n  - and another one"
    text = wrapped(line, Terminal())
    assert max(map(len, text.splitlines())) < width
    assert "'max_drawdown_pct'?" in text
    assert text.split() == line.split()
    assert wrapped(line, io.StringIO()) == line


def test_a_settled_session_is_one_line() -> None:
    scan = ScanResult(date(2017, 1, 3), 99_814.58, 0.487, (), (), {}, Regime.BULL, halted=True)
    assert session_line(scan, 100_000.0) == (
        "2017-01-03 settled: equity $99,814.58 (-0.19%), 49% invested, 0 orders for the next open; HALTED"
    )


def test_no_database_that_is_made_in_the_checkout_is_seen_by_git() -> None:
    root = Path(__file__).parents[2]
    names = [
        "r2.db",
        "trading.db-wal",
        "trading.db-run1.lock",
        "trading.db.before-restore-20240703T170000Z",
        "backups/x.db",
    ]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=root, capture_output=True, text=True, check=False)
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.stdout.split() == names
