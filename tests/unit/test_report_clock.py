"""Whose time a report compares with: ours, the broker's, or that of a server of this machine that replays history."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from trading_platform.configuration.environment import load_settings
from trading_platform.reporting.facts import BrokerSnapshot, Day, Ledger, RunFacts
from trading_platform.reporting.gather import is_on_this_machine, run_clock

CLOSE = datetime(2017, 1, 3, 21, tzinfo=UTC)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LOCAL = load_settings({"ALPACA_BASE_URL": "http://127.0.0.1:8000"}, None)
ALPACA = load_settings({}, None)


def ledger(mode: str = "alpaca_paper") -> Ledger:
    run = RunFacts(1, mode, "alpaca:iex", "PA1", "running", CLOSE, 100, "f", "v", {}, (), {})
    day = Day(date(2017, 1, 3), CLOSE, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0.0, 0.0, 0.0, 0, False, None, None, None)
    empty: dict[str, object] = dict.fromkeys(Ledger._fields, ())
    return Ledger(**{**empty, "run": run, "days": (day,)})  # type: ignore[arg-type] # the rest is not looked at


def snapshot(at: datetime) -> BrokerSnapshot:
    return BrokerSnapshot("PA1", at, at.date(), False, True, 1, 1, 1, None, ())


def test_the_brokers_clock_is_the_time_of_its_account() -> None:
    replayed = CLOSE + timedelta(hours=20)
    assert run_clock(NOW, LOCAL, ledger(), snapshot(replayed)) == replayed
    assert run_clock(NOW, ALPACA, ledger(), snapshot(NOW)) == NOW


def test_silent_server_of_this_machine_stands_at_the_last_close() -> None:
    assert run_clock(NOW, LOCAL, ledger(), None) == CLOSE
    assert run_clock(CLOSE + timedelta(days=2), LOCAL, ledger(), None) == CLOSE + timedelta(days=2)


@pytest.mark.parametrize("mode", ["alpaca_paper", "alpaca_live"])
def test_silence_of_alpaca_itself_is_as_old_as_it_is(mode: str) -> None:
    assert run_clock(NOW, ALPACA, ledger(mode), None) == NOW


def test_runs_without_a_broker_keep_our_time() -> None:
    assert run_clock(NOW, LOCAL, ledger("paper"), None) == NOW
    assert run_clock(NOW, LOCAL, None, None) == NOW


def test_this_machine_is_known_by_its_names_alone() -> None:
    assert is_on_this_machine("http://localhost:9") and is_on_this_machine("http://[::1]:9")
    assert not is_on_this_machine("https://paper-api.alpaca.markets")
    assert not is_on_this_machine("https://127.0.0.1.evil.example")
    assert not is_on_this_machine(None)
