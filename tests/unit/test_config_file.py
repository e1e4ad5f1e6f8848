"""Configuration file: strict keys, all mistakes with their lines, overrides, and an example that tells the truth."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from risk_config import RiskConfig
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.toml_tables import line_numbers, read_toml
from trading_platform.configuration.trading_config import TradingConfig, load_config, machine_overrides, mask_password
from trading_platform.core.errors import FixConfigError
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.validation import InvalidSettingsError

EXAMPLE = Path(__file__).parents[2] / "trading.example.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "t.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, **overrides: object) -> list[str]:
    with pytest.raises(InvalidSettingsError) as caught:
        load_config(write(folder, text), overrides)
    return [line.replace(f"{folder}/", "") for line in caught.value.problems]


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=\w+ = )", "", text)


def test_no_file_and_empty_file_are_the_defaults(tmp_path: Path) -> None:
    assert load_config() == load_config(write(tmp_path, "")) == TradingConfig()


def test_defaults_are_as_designed() -> None:
    config = TradingConfig()
    assert asdict(config.engine) == {
        "initial_capital": 100_000.0,
        "scan_interval_seconds": 900.0,
        "seed": 7,
        "replay_sessions": 252,
        "history_sessions": 756,
        "commit_sessions": 504,
        "fills": "exact",
        "consent": "none",
        "consent_minutes": 30.0,
        "own_rules": (),
    }
    assert (config.data.source, config.data.vix, config.storage.database_url) == (
        "synthetic",
        "required",
        "sqlite:///trading.db",
    )
    assert (config.allocator.models_dir, config.allocator.age_limit) == ("rl_models", 280)
    assert (config.costs.half_spread_bps, config.exits.max_holding_sessions) == (2.0, 60)
    assert config.risk == {}


def test_example_as_shipped_changes_nothing() -> None:
    assert load_config(EXAMPLE) == TradingConfig()


def test_example_uncommented_holds_every_setting_with_its_default(tmp_path: Path) -> None:
    path = write(tmp_path, uncommented(EXAMPLE.read_text()))
    written = read_toml(path)
    own = {"enabled": [], "weights": "", "folder": "strategies"}
    defaults: dict[str, object] = {**TradingConfig().to_dict(), "strategies": own}
    defaults["risk"] = {"profile": "conservative", **RiskConfig().to_dict(), "max_total_drawdown_pct": 15.0}
    assert written == defaults
    loaded = load_config(path)
    assert limits_of(RiskConfig.from_mapping(loaded.risk).to_dict()) == limits_of(RiskConfig().to_dict())


def test_example_names_tables_in_the_order_of_the_class() -> None:
    assert list(read_toml(EXAMPLE)) == [item.name for item in fields(TradingConfig)]


def test_example_explains_every_setting() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [n for n, line in enumerate(lines) if re.match(r"#\w+ = ", line)]
    # a setting stands below an explanation, or below the setting that shares it
    assert all(lines[n - 1].startswith("# ") or n - 1 in settings for n in settings)
    assert len(settings) > 60


def test_every_mistake_comes_at_once_with_its_line(tmp_path: Path) -> None:
    text = (
        "seed = 3\n"
        "[engine]\n"
        'seed = "x"\n'
        "initial_capital = nan\n"
        "scan_intervall_seconds = 60\n"
        "[data]\n"
        'source = "files"\n'
        "[costs]\n"
        "half_spread_bps = -1\n"
        "slippage_bps = true\n"
        "[exits]\n"
        "min_stop_pct = 30\n"
        "[risk]\n"
        "max_positon_pct = 3\n"
        "max_position_pct = -3\n"
        "[regimes]\n"
        "[universe]\n"
        'tickers = ["aapl"]\n'
        "[logging]\n"
        'level = "info"\n'
    )
    assert problems(tmp_path, text) == [
        "t.toml:1: seed is no table of the configuration: it belongs in [engine]",
        "t.toml:3: engine.seed must be a number, was 'x'",
        "t.toml:4: engine.initial_capital must be a finite number, was nan",
        "t.toml:5: engine.scan_intervall_seconds is no setting: did you mean 'scan_interval_seconds'?",
        't.toml:6: data.folder must name the data folder when source is "files", was empty',
        "t.toml:10: costs.slippage_bps must be a number, was True",
        "t.toml:9: costs.half_spread_bps must be a finite number >= 0, was -1.0",
        "t.toml:12: exits.min_stop_pct <= exits.max_stop_pct < 100 must hold, was 30.0, 20.0",
        "t.toml:14: risk.max_positon_pct is no setting: did you mean 'max_position_pct'?",
        "t.toml:15: risk.max_position_pct must be in (0, 100], was -3",
        "t.toml:16: regimes is no table of the configuration: did you mean 'regime'?",
        "t.toml:18: universe.tickers must be upper-case symbols such as AAPL or BRK.B, was 'aapl'",
        "t.toml:20: logging.level must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR', was 'info': did you mean 'INFO'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine = 3\n", "t.toml:1: engine must be a table: write [engine] on a line of its own, was 3"),
        ("[[engine]]\nseed = 1\n", "t.toml: engine must be a table"),
        ("[engine.fast]\nx = 1\n", "t.toml:1: engine.fast is no setting"),
        ("[strategies]\nenabeld = []\n", "t.toml:2: strategies.enabeld is no setting: parameters of a strategy"),
        (
            '[strategies]\nenabled = ["a", "a"]\n',
            "t.toml:2: strategies.enabled must name each strategy once, was 'a' twice",
        ),
        ('[strategies]\nenabled = "a"\n', "t.toml:2: strategies.enabled must be a list of texts"),
        (
            '[universe]\ntickers = ["SPY", "SPY"]\n',
            "t.toml:2: universe.tickers must name each ticker once, was 'SPY' twice",
        ),
        ("[regime]\nstart = 2020-01-01\n", "t.toml:2: regime.start must be a text, number, true, false or list"),
        ("[regime]\nx = [1.0, inf]\n", "t.toml:2: regime.x must be a finite number, was inf"),
        (
            "[strategies.momentum]\nlookback = nan\n",
            "t.toml:1: strategies.momentum holds lookback, which must be a finite",
        ),
        (
            "[exits]\nmax_holding_sessions = 2.5\n",
            "t.toml:2: exits.max_holding_sessions must be a whole number, was 2.5",
        ),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(message)


def test_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(FixConfigError, match=r"none\.toml: cannot be read"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(FixConfigError, match=r"t\.toml: is not TOML: .*line 2"):
        load_config(write(tmp_path, "[engine]\nseed == 3\n"))
    with pytest.raises(FixConfigError, match=r"t\.toml: is not TOML: .*overwrite"):
        load_config(write(tmp_path, "[engine]\nseed = 3\nseed = 4\n"))
    (tmp_path / "t.toml").write_bytes(b"\xff")
    with pytest.raises(FixConfigError, match="is not UTF-8"):
        load_config(tmp_path / "t.toml")


def test_overrides_win_and_none_means_not_given(tmp_path: Path) -> None:
    path = write(tmp_path, "[engine]\nseed = 3\nreplay_sessions = 10\n[strategies.momentum]\nlookback = 5\n")
    config = load_config(
        path,
        {
            "engine.seed": 9,
            "engine.replay_sessions": None,
            "universe.tickers": ("SPY",),
            "strategies.momentum.lookback": 8,
            "risk.max_positions": 4,
        },
    )
    assert (config.engine.seed, config.engine.replay_sessions, config.universe.tickers) == (9, 10, ("SPY",))
    assert config.strategies.parameters == {"momentum": {"lookback": 8}}
    assert config.risk == {"max_positions": 4}


def test_wrong_override_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    found = problems(tmp_path, "[engine]\nseed = 3\n", **{"engine.seed": -1, "engin.seed": 1, "seed": 2})
    assert found == [
        "seed is no setting: name its table, as in engine.seed",
        "engine.seed must be in [0, 4294967295], was -1",
        "engin is no table of the configuration: did you mean 'engine'?",
    ]


def test_machine_settings_become_overrides() -> None:
    settings = load_settings({"DATABASE_URL": "postgresql://u:pw@h/d", "RL_MODELS_DIR": "models"}, None)
    config = load_config(None, machine_overrides(settings))
    assert (config.storage.database_url, config.allocator.models_dir) == ("postgresql://u:pw@h/d", "models")
    assert load_config(None, machine_overrides(load_settings({}, None))) == TradingConfig()


def test_to_dict_is_json_without_the_password() -> None:
    config = load_config(None, {"storage.database_url": "postgresql://u:pw@h/d"})
    text = json.dumps(config.to_dict())
    assert "pw" not in text
    assert "postgresql://u:***@h/d" in text


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///trading.db", "sqlite:///trading.db"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg://u:p:w@x@h:5/d", "postgresql+psycopg://u:***@h:5/d"),
        ("postgresql://h/d?user=u&password=pw&x=1", "postgresql://h/d?user=u&password=***&x=1"),
    ],
)
def test_password_is_masked_and_nothing_else(url: str, masked: str) -> None:
    assert mask_password(url) == masked


def test_a_limit_that_breaks_with_a_default_is_blamed_on_the_line_that_was_written(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "[risk]\nmax_positions = 5\nmax_drawdown_pct = 0.1\n")
    assert line == (
        "t.toml:3: risk.recovery_drawdown_pct must be below max_drawdown_pct, was 5.0 against 0.1 "
        "(recovery_drawdown_pct is not set, that is its default)"
    )


@pytest.mark.parametrize("name", ["", "savings", "PA-1.x_2"])
def test_an_account_may_be_named(name: str) -> None:
    assert load_config(None, {"account.name": name}).account.name == name
    assert load_config(None, {"account.name": name}).fingerprint == TradingConfig().fingerprint


@pytest.mark.parametrize("name", ["two words", "-x", "a" * 41, "ä"])
def test_an_account_name_that_no_shell_would_take_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"account\.name must be letters, digits"):
        load_config(None, {"account.name": name})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.05", "must be in [0.1, 100), was 0.05"),
        ("100", "must be in [0.1, 100), was 100"),
        ('"5"', "must be a number, was '5'"),
    ],
)
def test_a_strategys_own_drawdown_stop_that_cannot_be_is_refused(tmp_path: Path, value: str, message: str) -> None:
    (line,) = problems(tmp_path, f"[strategies.momentum]\ndrawdown_stop_pct = {value}\n")
    assert message in line


def test_a_strategys_own_drawdown_stop_is_no_parameter_and_decides(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "[strategies.momentum]\ndrawdown_stop_pct = 5\ntrend = 100\n"))
    assert config.strategies.drawdown_stops == {"momentum": 0.05}
    assert config.strategies.tuning == {"momentum": {"trend": 100}}
    without = load_config(write(tmp_path, "[strategies.momentum]\ntrend = 100\n"))
    assert without.strategies.drawdown_stops == {}
    assert without.fingerprint != config.fingerprint


def test_fingerprint_follows_decisions_only() -> None:
    base = TradingConfig().fingerprint
    harmless: list[dict[str, object]] = [
        {"logging.level": "DEBUG"},
        {"storage.database_url": "sqlite://"},
        {"report.deadline_seconds": 5},
    ]
    for same in harmless:
        assert load_config(None, same).fingerprint == base
    decisive: list[dict[str, object]] = [
        {"engine.seed": 8},
        {"universe.tickers": ["SPY"]},
        {"data.vix": "realized"},
        {"strategies.enabled": ["a"]},
        {"strategies.a.lookback": 3},
        {"risk.max_positions": 3},
        {"costs.impact_bps": 5},
        {"regime.fit_window": 300},
        {"exits.max_stop_pct": 15},
        {"allocator.max_age_sessions": 3},
    ]
    assert len({load_config(None, change).fingerprint for change in decisive} | {base}) == len(decisive) + 1


def test_fingerprint_ignores_whole_number_spelling() -> None:
    one, two = load_config(None, {"costs.impact_bps": 5}), load_config(None, {"costs.impact_bps": 5.0})
    assert one.fingerprint == two.fingerprint


def test_line_numbers_follow_tables_keys_and_comments() -> None:
    text = "top = 1\n# [no]\n[a]\n  x = 1 # y = 2\n#z = 3\n[ b.c ]\ny=2\nd.e = 3\n"
    assert line_numbers(text) == {"top": 1, "a": 3, "a.x": 4, "b.c": 6, "b.c.y": 7, "b.c.d.e": 8}


def test_data_folder_is_a_text_or_a_list_in_its_order(tmp_path: Path) -> None:
    one = load_config(write(tmp_path, '[data]\nsource = "files"\nfolder = "bars"\n'))
    two = load_config(write(tmp_path, '[data]\nsource = "files"\nfolder = ["bars", "funds"]\n'))

    assert one.data.folders == (Path("bars"),)
    assert two.data.folders == (Path("bars"), Path("funds"))
    assert problems(tmp_path, "[data]\nfolder = 3\n") == [
        't.toml:2: data.folder must be a text in quotes, or a list of them such as ["a", "b"], was 3'
    ]
    assert "must name the data folder" in problems(tmp_path, '[data]\nsource = "files"\nfolder = []\n')[0]


def test_cash_rate_is_a_number_or_the_file(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "[cash]\nrate = 3\n")).cash.rate == 3.0
    assert load_config(write(tmp_path, '[cash]\nrate = "file"\n')).cash.rate == "file"
    assert problems(tmp_path, '[cash]\nrate = "bills"\n') == [
        "t.toml:2: cash.rate must be a number, or must be one of 'file', was 'bills'"
    ]
    assert problems(tmp_path, "[cash]\nrate = 70\n") == [
        "t.toml:2: cash.rate must be in [-5, 50], or must be one of 'file', was 70"
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_settings_saved_with_a_byte_order_mark_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[engine]\nseed = 3\nhistory_sessions = -1\n", encoding=encoding)

    with pytest.raises(InvalidSettingsError, match=r"t\.toml:3: engine\.history_sessions"):
        load_config(path)


def test_windows_path_in_double_quotes_is_refused_with_both_cures(tmp_path: Path) -> None:
    path = write(tmp_path, '[data]\nfolder = "C:\\Users\\me"\n')

    with pytest.raises(
        FixConfigError, match=r"write folder = 'C:\\Users\\me' in single quotes, or with slashes: \"C:/Users/me\""
    ):
        load_config(path)


def test_the_age_limit_of_an_older_file_stays_in_sessions() -> None:
    assert load_config(None, {"allocator.max_model_age_days": 45}).allocator.age_limit == 31
    assert load_config(None, {"allocator.max_age_sessions": 100}).allocator.age_limit == 100
