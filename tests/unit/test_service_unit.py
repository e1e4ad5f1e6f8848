"""The systemd unit: only what a human must decide keeps the engine down."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from trading_platform.core import errors
from trading_platform.machine.stop_signals import INTERRUPTED
from trading_platform.machine.watchdog import STALLED

ROOT = Path(__file__).parents[2]
HUMAN = {
    errors.FixConfigError,
    errors.RepairDatabaseError,
    errors.OperatorNeededError,
    errors.FixCredentialsError,
}
PASSING = {
    errors.TradingPlatformError,
    errors.BrokerUnreachableError,
    errors.MarketDataError,
    errors.RetrainModelError,
    errors.ApprovalError,
}


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names are case-sensitive
    parser.read(ROOT / "deploy" / "trading-engine.service")
    return parser


def stays_down(unit: configparser.ConfigParser) -> set[int]:
    return {int(code) for code in unit["Service"]["RestartPreventExitStatus"].split()}


def test_what_a_human_must_decide_stays_down_and_all_else_comes_up_again(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["Restart"] == "on-failure"
    assert stays_down(unit) == {error.exit_code for error in HUMAN} | {INTERRUPTED}
    assert stays_down(unit).isdisjoint({error.exit_code for error in PASSING} | {STALLED})


def test_every_error_of_ours_is_one_or_the_other() -> None:
    named = (value for value in vars(errors).values() if isinstance(value, type))
    ours = {value for value in named if value.__module__ == errors.__name__ and issubclass(value, Exception)}
    ours -= {value for value in ours if issubclass(value, Warning)}
    assert ours == HUMAN | PASSING


def test_a_long_outage_of_the_broker_does_not_use_up_the_starts(unit: configparser.ConfigParser) -> None:
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert "StartLimitBurst" not in unit["Unit"]


def test_the_engine_is_stopped_by_the_signal_that_it_listens_to(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["KillSignal"] == "SIGTERM"
    assert "autonomous_trading_engine.py" in unit["Service"]["ExecStart"]


def test_every_path_that_the_unit_names_is_there(unit: configparser.ConfigParser) -> None:
    page = unit["Unit"]["Documentation"].removeprefix("file:/opt/trading-engine/")
    assert (ROOT / page).is_file()
