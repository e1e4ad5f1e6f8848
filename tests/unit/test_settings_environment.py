"""Settings: environment over .env, secrets that never show, misspelt names, permissions, all mistakes at once."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.configuration.environment import VARIABLES, Secret, load_settings, parse_env
from trading_platform.core.errors import FixConfigError
from trading_platform.storage.database import database_url
from trading_platform.storage.reader import sqlite_path

ROOT = Path(__file__).parents[2]
KEYS = {"ALPACA_API_KEY": "PKTEST", "ALPACA_SECRET_KEY": "hush"}


def problem(environ: dict[str, str], env_file: Path | None = None) -> str:
    with pytest.raises(FixConfigError) as caught:
        load_settings(environ, env_file)
    return str(caught.value)


def env_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / ".env"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_nothing_set_gives_no_keys_and_local_folders() -> None:
    settings = load_settings({}, None)
    assert not settings.has_alpaca_keys
    assert not settings.has_telegram
    assert settings.allow_live is False
    assert settings.database_url is None
    assert settings.models_dir is None
    assert (settings.cache_dir, settings.log_dir) == (Path(".cache"), Path("logs"))
    assert settings.warnings == ()


def test_keys_are_read_under_either_name() -> None:
    old_names = {"APCA_API_KEY_ID": "PKTEST", "APCA_API_SECRET_KEY": "hush"}
    assert load_settings(KEYS, None) == load_settings(old_names, None)
    assert load_settings(old_names, None).has_alpaca_keys


def test_names_that_disagree_are_refused_without_showing_either() -> None:
    text = problem({**KEYS, "APCA_API_KEY_ID": "OTHERKEY"})
    assert "ALPACA_API_KEY and APCA_API_KEY_ID are both set and differ" in text
    assert "PKTEST" not in text
    assert "OTHERKEY" not in text


def test_half_a_key_pair_is_refused() -> None:
    assert "ALPACA_API_KEY is set but ALPACA_SECRET_KEY is not" in problem({"ALPACA_API_KEY": "PKTEST"})
    assert "ALPACA_SECRET_KEY is set but ALPACA_API_KEY is not" in problem({"APCA_API_SECRET_KEY": "hush"})


def test_bot_token_alone_is_fine_since_openclaw_passes_its_own() -> None:
    assert load_settings({"TELEGRAM_BOT_TOKEN": "1:a"}, None).has_telegram is False
    assert load_settings({"TELEGRAM_BOT_TOKEN": "1:a", "TELEGRAM_CHAT_ID": "-100"}, None).has_telegram is True


def test_environment_wins_over_file_and_empty_switches_off(tmp_path: Path) -> None:
    path = env_file(tmp_path, "TRADING_LOG_DIR=from_file\nTRADING_CACHE_DIR=cache_file\n")
    settings = load_settings({"TRADING_LOG_DIR": "from_env", "TRADING_CACHE_DIR": ""}, path)
    assert (settings.log_dir, settings.cache_dir) == (Path("from_env"), Path(".cache"))


def test_absent_file_is_fine(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / ".env") == load_settings({}, None)


@pytest.mark.parametrize(("text", "allowed"), [("yes-i-mean-it", True), (" yes-i-mean-it ", True), ("", False)])
def test_live_needs_the_exact_words(text: str, allowed: bool) -> None:
    assert load_settings({"TRADING_ALLOW_LIVE": text}, None).allow_live is allowed


@pytest.mark.parametrize("text", ["true", "1", "yes", "YES-I-MEAN-IT", "no"])
def test_other_words_for_live_are_refused(text: str) -> None:
    expected = f"TRADING_ALLOW_LIVE must be 'yes-i-mean-it' or unset, was {text!r}"
    assert expected in problem({"TRADING_ALLOW_LIVE": text})


@pytest.mark.parametrize(
    "url", ["https://paper-api.alpaca.markets", "http://127.0.0.1:8080", "http://localhost:1/", "http://[::1]:80"]
)
def test_base_url_accepts_https_and_this_machine(url: str) -> None:
    assert load_settings({"ALPACA_BASE_URL": url}, None).alpaca_base_url == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://api.alpaca.markets", "would send keys unencrypted to api.alpaca.markets"),
        ("http://localhost.evil.example", "would send keys unencrypted to localhost.evil.example"),
        ("http://127.0.0.1@evil.example", "must not hold a user name or password"),
        ("https://api.alpaca.markets/v2", "must end before the version"),
        ("paper-api.alpaca.markets", "must be a URL such as https://paper-api.alpaca.markets"),
        ("ftp://x", "must be a URL"),
    ],
)
def test_base_url_that_would_fail_or_leak_is_refused(url: str, message: str) -> None:
    assert f"ALPACA_DATA_URL {message}" in problem({"ALPACA_DATA_URL": url})


def test_all_problems_come_in_one_message_without_secrets() -> None:
    text = problem(
        {
            "ALPACA_SECRET_KEY": "hush-hush",
            "TRADING_ALLOW_LIVE": "1",
            "DATABASE_URL": "postgres:pw-1234",
            "ALPACA_BASE_URL": "x",
        }
    )
    assert text.count("\n  - ") == 4
    assert "hush-hush" not in text
    assert "pw-1234" not in text


def test_misspelt_names_of_ours_are_warned_about() -> None:
    settings = load_settings(
        {**KEYS, "ALPACA_SECERT_KEY": "x", "TRADING_LOGDIR": "y", "TELEGRAM_FOO_BAR_BAZ": "z"}, None
    )
    assert settings.warnings == (
        "ALPACA_SECERT_KEY is set but nothing reads it: did you mean 'ALPACA_SECRET_KEY'?",
        "TELEGRAM_FOO_BAR_BAZ is set but nothing reads it",
        "TRADING_LOGDIR is set but nothing reads it: did you mean 'TRADING_LOG_DIR'?",
    )


def test_names_of_others_are_not_warned_about_unless_in_the_file(tmp_path: Path) -> None:
    assert load_settings({"DATABSE_URL": "x", "PATH": "/bin"}, None).warnings == ()
    written = load_settings({}, env_file(tmp_path, "DATABSE_URL=x\nSOMETHING_ELSE=1\n")).warnings
    assert written == ("DATABSE_URL is set but nothing reads it: did you mean 'DATABASE_URL'?",)


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX notion")
@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)])
def test_file_that_others_can_read_is_warned_about(tmp_path: Path, mode: int, warned: bool) -> None:
    warnings = load_settings({}, env_file(tmp_path, "TRADING_LOG_DIR=x\n", mode)).warnings
    assert [w for w in warnings if "chmod 600" in w] == list(warnings)
    assert bool(warnings) is warned


def test_env_lines_mean_what_dotenv_users_expect() -> None:
    text = (
        '\ufeff# comment\n\nA=plain\nexport B = spaced \nC=\'single # kept\'\nD="a \\"b\\" \\\\ $HOME"\n'
        "E=with # comment\nF=hash#kept\nG=\nH='it' # after\nI=a=b=c\nJ=# nothing\r\n"
    )
    assert parse_env(text) == {
        "A": "plain",
        "B": "spaced",
        "C": "single # kept",
        "D": 'a "b" \\ $HOME',
        "E": "with",
        "F": "hash#kept",
        "G": "",
        "H": "it",
        "I": "a=b=c",
        "J": "",
    }


def test_bad_env_lines_are_named_by_line_without_values() -> None:
    with pytest.raises(FixConfigError) as caught:
        parse_env("GOOD=1\nsecret-text\n9BAD=topsecret\nOPEN='topsecret\nGOOD=topsecret\nX='a'topsecret\n", "my.env")
    text = str(caught.value)
    assert [line.partition(": ")[0] for line in text.splitlines()] == [f"my.env:{n}" for n in (2, 3, 4, 5, 6)]
    assert "secret" not in text


def test_binary_env_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in problem({}, tmp_path / ".env")


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20))
def test_any_text_survives_double_quotes(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_env(f'NAME="{quoted}"') == {"NAME": value}


def test_secret_does_not_show_anywhere() -> None:
    settings = load_settings({**KEYS, "DATABASE_URL": "postgresql://u:hush@h/d", "TELEGRAM_BOT_TOKEN": "hush"}, None)
    record = logging.LogRecord("n", logging.INFO, "p", 1, "%s %r", (settings, settings.alpaca_secret_key), None)
    for shown in (repr(settings), f"{settings.alpaca_secret_key:>10}", record.getMessage(), str(settings.database_url)):
        assert "***" in shown
        assert "hush" not in shown
    assert settings.alpaca_secret_key is not None
    assert settings.alpaca_secret_key.reveal() == "hush"


def test_secret_refuses_to_be_written() -> None:
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            write(Secret("hush"))
    with pytest.raises(TypeError):
        json.dumps({"key": Secret("hush")})


def test_secrets_compare_by_value_and_never_to_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_example_names_every_variable_and_changes_nothing(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text()
    assert sorted(parse_env(text.replace("\n#APCA", "\nAPCA"))) == sorted(VARIABLES)
    assert load_settings({}, env_file(tmp_path, text)) == load_settings({}, None)


def test_import_stays_light() -> None:
    code = "import sys, trading_platform.configuration.environment; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"numpy", "pandas", "sqlalchemy", "dataclasses", "inspect", "json", "logging", "difflib"}
    assert heavy & set(run.stdout.split()) == set()


def test_home_folder_that_is_not_there_is_named_with_its_variable() -> None:
    with pytest.raises(FixConfigError, match=r"TRADING_CACHE_DIR: there is no home folder for '~nobody-here/x'.*whole"):
        load_settings({"TRADING_CACHE_DIR": "~nobody-here/x", "RL_MODELS_DIR": "models"}, None)
    for read in (database_url, sqlite_path):
        with pytest.raises(FixConfigError, match=r"~nobody-here/x.db: there is no home folder of that name"):
            read("~nobody-here/x.db")
