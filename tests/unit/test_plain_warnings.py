"""A setting that is hardly meant is said once, in one line with the cure; other warnings go their way."""

from __future__ import annotations

import warnings

import pytest

from risk_config import RiskConfig, RiskConfigWarning
from trading_platform.machine.plain_warnings import plainly_warned
from trading_platform.runtime.command_line import run

CURE = "max_position_pct = 0.05 is 0.05 % of equity; if a fraction is meant, write max_position_pct = 5"


def test_a_fraction_for_percent_is_said_once_in_one_line() -> None:
    said: list[str] = []
    with warnings.catch_warnings(), plainly_warned(said.append):
        warnings.simplefilter("always")
        for _ in range(3):
            RiskConfig(max_position_pct=0.05)
    assert said == [CURE]


def test_other_warnings_are_shown_as_ever_and_all_are_afterwards() -> None:
    said: list[str] = []
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with plainly_warned(said.append):
            warnings.warn("for programmers", DeprecationWarning, stacklevel=1)
        RiskConfig(max_position_pct=0.05)
    assert said == []
    assert [warning.category for warning in shown] == [DeprecationWarning, RiskConfigWarning]


def test_a_command_says_it_on_standard_error(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with open("trading.toml", "w", encoding="utf-8") as file:  # noqa: PTH123 - the command's own folder
        file.write("[risk]\nmax_position_pct = 0.05\n")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(["strategies"]) == 0
    said = capsys.readouterr().err
    assert said.count("if a fraction is meant") == 1
    assert said.startswith("note: max_position_pct")
