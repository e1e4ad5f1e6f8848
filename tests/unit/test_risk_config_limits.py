"""RiskConfig: the contract's defaults, one message for all mistakes, profiles, TOML, a stable fingerprint."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from risk_config import PROFILES, RiskConfig, RiskConfigError
from trading_platform.core.errors import FixConfigError
from trading_platform.core.risk.limits import limits_of, total_drawdown_pct
from trading_platform.core.validation import fingerprint

CONTRACT = {
    "max_drawdown_pct": 10.0,
    "max_daily_loss_pct": 2.0,
    "max_position_pct": 5.0,
    "max_exposure_pct": 80.0,
    "max_correlation": 0.8,
    "consecutive_loss_limit": 3,
    "pause_hours": 4,
    "max_positions": 10,
    "vix_threshold": 25.0,
    "max_sector_pct": 30.0,
}


def problems(**values: object) -> tuple[str, ...]:
    with pytest.raises(RiskConfigError) as caught:
        RiskConfig.from_mapping(values)
    return caught.value.problems


def test_defaults_are_the_contract() -> None:
    config = RiskConfig()
    assert {name: getattr(config, name) for name in CONTRACT} == CONTRACT
    assert [item.name for item in fields(RiskConfig)][:10] == list(CONTRACT)


def test_defaults_beyond_the_contract_are_as_designed() -> None:
    expected = {
        "recovery_drawdown_pct": 5.0,
        "halt_release": "shadow",
        "correlation_window": 30,
        "confirmation_readings": 2,
        "max_equity_jump_pct": 15.0,
        "max_vix_age_sessions": 3,
        "max_price_age_sessions": 1,
        "kelly_fraction": 0.5,
        "kelly_prior_trades": 100,
        "kelly_prior_win_rate": 0.53,
        "kelly_prior_payoff": 1.2,
        "kelly_memory_trades": 250,
        "min_kelly_scale": 0.5,
        "position_volatility_pct": 2.0,
        "correlation_discount": 0.25,
        "min_slot_pct": 40.0,
        "entry_collar_pct": 2.0,
        "min_order_dollars": 100.0,
        "share_step": 1.0,
        "max_reviews": 25,
        "allow_short": False,
        "approval_seconds": 86400.0,
        "max_total_drawdown_pct": None,
        "second_halt_asks": False,
        "price_collar_pct": 20.0,
    }
    assert {name: getattr(RiskConfig(), name) for name in expected} == expected


def test_every_field_is_documented() -> None:
    text = RiskConfig.__doc__ or ""
    assert [item.name for item in fields(RiskConfig) if item.name not in text] == []


def test_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        RiskConfig().max_positions = 99  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_position_pct", -3, "max_position_pct must be in (0, 100], was -3"),
        ("max_position_pct", 0.0, "max_position_pct must be in (0, 100], was 0.0"),
        ("max_drawdown_pct", 100.0, "max_drawdown_pct must be in (0, 100), was 100.0"),
        ("max_exposure_pct", 100.01, "max_exposure_pct must be in (0, 100], was 100.01"),
        ("max_correlation", 1.5, "max_correlation must be in [0, 1], was 1.5"),
        ("vix_threshold", math.nan, "vix_threshold must be a finite number, was nan"),
        ("min_order_dollars", math.inf, "min_order_dollars must be a finite number, was inf"),
        ("max_daily_loss_pct", -math.inf, "max_daily_loss_pct must be a finite number, was -inf"),
        ("max_positions", True, "max_positions must be a number, was True"),
        ("max_drawdown_pct", False, "max_drawdown_pct must be a number, was False"),
        ("max_positions", 2.5, "max_positions must be a whole number, was 2.5"),
        ("max_positions", 0, "max_positions must be in [1, 1000], was 0"),
        ("max_sector_pct", "30", "max_sector_pct must be a number, was '30'"),
        ("max_sector_pct", None, "max_sector_pct must be a number, was None"),
        ("allow_short", 1, "allow_short must be true or false, was 1"),
        ("allow_short", "no", "allow_short must be true or false, was 'no'"),
        (
            "halt_release",
            "shadwo",
            "halt_release must be one of 'shadow', 'equity', 'manual', was 'shadwo': did you mean 'shadow'?",
        ),
        (
            "recovery_drawdown_pct",
            10.0,
            "recovery_drawdown_pct must be below max_drawdown_pct, was 10.0 against 10.0",
        ),
        ("max_position_pct", 30.5, "max_position_pct must be at most max_sector_pct, was 30.5 against 30.0"),
        ("max_exposure_pct", 4.0, "max_position_pct must be at most max_exposure_pct, was 5.0 against 4.0"),
        (
            "kelly_prior_payoff",
            0.5,
            "kelly_prior_win_rate x (1 + kelly_prior_payoff) must exceed 1, was 0.795",
        ),
    ],
)
def test_wrong_value_is_refused_with_name_limit_and_value(name: str, value: object, message: str) -> None:
    assert problems(**{name: value}) == (message,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_position_pct", 30.0),
        ("recovery_drawdown_pct", 9.99),
        ("recovery_drawdown_pct", 0.0),
        ("max_exposure_pct", 100),
    ],
)
def test_value_on_the_border_is_accepted(name: str, value: float) -> None:
    assert getattr(RiskConfig.from_mapping({name: value}), name) == value


def test_constructor_checks_as_well() -> None:
    with pytest.raises(ValueError, match=r"^max_position_pct must be in \(0, 100\], was -3$"):
        RiskConfig(max_position_pct=-3)


def test_error_is_a_config_error_with_its_exit_code() -> None:
    with pytest.raises(FixConfigError) as caught:
        RiskConfig(max_positions=0)
    assert caught.value.exit_code == 2


def test_all_problems_come_in_one_error() -> None:
    found = problems(
        profile="bold", max_positon_pct=3, max_position_pct=-3, max_positions=True, recovery_drawdown_pct=12.0
    )
    assert found == (
        "profile must be one of 'conservative', 'balanced', 'aggressive', was 'bold'",
        "max_positon_pct is no setting: did you mean 'max_position_pct'?",
        "max_position_pct must be in (0, 100], was -3",
        "max_positions must be a number, was True",
        "recovery_drawdown_pct must be below max_drawdown_pct, was 12.0 against 10.0",
    )


def test_contradiction_is_not_reported_for_a_value_that_is_wrong_itself() -> None:
    assert problems(max_position_pct=math.nan) == ("max_position_pct must be a finite number, was nan",)


def test_unknown_key_far_from_any_is_refused_without_a_guess() -> None:
    assert problems(zzz=1) == ("zzz is no setting",)


def test_profiles_start_from_their_values_and_keep_overrides() -> None:
    assert RiskConfig.profile("conservative") == RiskConfig()
    assert RiskConfig.profile("balanced").max_drawdown_pct == 15.0
    mixed = RiskConfig.from_mapping({"profile": "aggressive", "max_positions": 3})
    assert (mixed.max_positions, mixed.max_position_pct) == (3, 10.0)


def test_profiles_grow_bolder_in_every_limit_they_touch() -> None:
    mild, middle, bold = (RiskConfig.profile(name).to_dict() for name in ("conservative", "balanced", "aggressive"))
    touched = {name for values in PROFILES.values() for name in values}
    order = [(mild[name], middle[name], bold[name]) for name in sorted(touched)]
    assert all(a <= b <= c and a < c for a, b, c in order)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["Conservative", "", "conservativ", ["conservative"], None, 3])
def test_unknown_profile_is_refused(name: object) -> None:
    assert problems(profile=name)[0].startswith("profile must be one of 'conservative', 'balanced', 'aggressive', was ")


def test_toml_with_risk_table_and_without_read_alike(tmp_path: Path) -> None:
    (tmp_path / "whole.toml").write_text('[engine]\nseed = 1\n[risk]\nprofile = "balanced"\nmax_positions = 4\n')
    (tmp_path / "bare.toml").write_text('profile = "balanced"\nmax_positions = 4\n')
    whole = RiskConfig.from_toml(tmp_path / "whole.toml")
    assert whole == RiskConfig.from_toml(tmp_path / "bare.toml")
    assert (whole.max_positions, whole.max_drawdown_pct) == (4, 15.0)


def test_toml_profile_argument_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('profile = "balanced"\n')
    assert RiskConfig.from_toml(tmp_path / "r.toml", profile="aggressive") == RiskConfig.profile("aggressive")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_positions = 0\n", "r.toml: max_positions must be in [1, 1000], was 0"),
        ("risk = 3\n", "r.toml: risk must be a table, was 3"),
        ("max_positions = \n", "r.toml: is not TOML: Invalid value (at line 1, column 17)"),
    ],
)
def test_bad_toml_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(FixConfigError) as caught:
        RiskConfig.from_toml(tmp_path / "r.toml")
    assert str(caught.value).endswith(message)


def test_missing_toml_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FixConfigError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        RiskConfig.from_toml(tmp_path / "none.toml")


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = "from risk_config import RiskConfig; print(RiskConfig().fingerprint)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert run.stdout.strip() == RiskConfig().fingerprint == fingerprint(RiskConfig().to_dict())


def test_fingerprint_is_that_of_sha256sum() -> None:
    # printf '%s' '{"a":"x","b":1.0}' | sha256sum
    assert fingerprint({"b": 1.0, "a": "x"}) == "fe605e64d2e9767b"


def test_fingerprint_ignores_order_and_whole_number_spelling() -> None:
    one = RiskConfig.from_mapping({"max_drawdown_pct": 12, "max_positions": 4})
    two = RiskConfig.from_mapping({"max_positions": 4, "max_drawdown_pct": 12.0})
    assert one == two
    assert one.fingerprint == two.fingerprint


def test_fingerprint_changes_with_every_field() -> None:
    changed: dict[str, object] = {
        name: value / 2 if isinstance(value, float) else value + 1 if isinstance(value, int) else value
        for name, value in RiskConfig().to_dict().items()
    }
    changed |= {"halt_release": "manual", "allow_short": True, "kelly_prior_win_rate": 0.6, "kelly_prior_payoff": 1.0}
    changed |= {"max_drawdown_pct": 9.0, "min_order_dollars": 50.0, "max_total_drawdown_pct": 20.0}
    changed |= {"second_halt_asks": True}
    prints = {RiskConfig.from_mapping({name: value}).fingerprint for name, value in changed.items()}
    assert len(prints | {RiskConfig().fingerprint}) == len(fields(RiskConfig)) + 1


def test_to_dict_is_json_and_reads_back() -> None:
    config = RiskConfig.profile("aggressive")
    assert RiskConfig.from_mapping(json.loads(json.dumps(config.to_dict()))) == config


def test_config_travels_to_worker_processes() -> None:
    assert pickle.loads(pickle.dumps(RiskConfig.profile("balanced"))) == RiskConfig.profile("balanced")  # noqa: S301 - own bytes


@pytest.mark.filterwarnings("ignore::risk_config.RiskConfigWarning")  # any value: fractions among them
@given(
    name=st.sampled_from([item.name for item in fields(RiskConfig)]),
    value=st.one_of(
        st.floats(), st.integers(-10, 200), st.booleans(), st.none(), st.text(max_size=3), st.floats(0.01, 4.9)
    ),
)
def test_any_value_is_either_refused_or_safe(name: str, value: object) -> None:
    try:
        config = RiskConfig.from_mapping({name: value})
    except RiskConfigError:
        event("refused")
        return
    event("accepted")
    for key, number in config.to_dict().items():
        assert number is None or isinstance(number, str | bool) or math.isfinite(number), key  # type: ignore[arg-type]
    assert 0.0 < config.max_position_pct <= min(config.max_sector_pct, config.max_exposure_pct) <= 100.0
    assert 0.0 <= config.recovery_drawdown_pct < config.max_drawdown_pct < 100.0
    assert config.max_drawdown_pct < total_drawdown_pct(config.to_dict()) <= 100.0
    assert config.kelly_prior_win_rate * (1.0 + config.kelly_prior_payoff) > 1.0
    assert config.fingerprint == RiskConfig.from_mapping(config.to_dict()).fingerprint


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, 15.0),
        ({"profile": "balanced"}, 22.5),
        ({"profile": "aggressive"}, 30.0),
        ({"max_drawdown_pct": 80.0}, 100.0),
        ({"max_total_drawdown_pct": 10.5}, 10.5),
    ],
)
def test_the_total_drawdown_limit_is_half_more_than_a_halt_unless_told(
    settings: dict[str, object], limit: float
) -> None:
    assert limits_of(RiskConfig.from_mapping(settings).to_dict()).max_total_drawdown == pytest.approx(limit / 100.0)


def test_a_total_drawdown_limit_that_is_not_above_the_halt_is_refused() -> None:
    with pytest.raises(RiskConfigError, match="max_drawdown_pct must be below max_total_drawdown_pct"):
        RiskConfig(max_total_drawdown_pct=10.0)
