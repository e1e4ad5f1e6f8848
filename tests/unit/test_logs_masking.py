"""Log lines: where they go, how they look, and that nothing written holds a secret."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.running_tables import LoggingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.machine.logs import start_logs

KEY, SECRET, TOKEN, PASSWORD = "PKLOGS0123456789", 'se/cr"et+of=logs', "12345:telegram-token", "pass%2Fword"
SECRETS = (KEY, SECRET, TOKEN, PASSWORD)
LOG = logging.getLogger("trading_platform.somewhere")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("trading_platform")
    handlers, level = list(root.handlers), ours.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    ours.setLevel(level)


def settings(folder: Path, **extra: str) -> Settings:
    environment = {
        "ALPACA_API_KEY": KEY,
        "ALPACA_SECRET_KEY": SECRET,
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": "1",
        "DATABASE_URL": f"postgresql://user:{PASSWORD}@host/trading",
        "TRADING_LOG_DIR": str(folder),
    }
    return load_settings({**environment, **extra}, None)


def misbehave() -> None:
    """Log every secret in every way that comes to mind."""
    for secret in SECRETS:
        LOG.info("plain %s", secret)
        LOG.warning("quoted in a URL %s", quote(secret, safe=""))
        logging.getLogger("urllib3.connectionpool").error("another package: %r", {"key": secret})
        try:
            raise ValueError(f"could not use {secret}")
        except ValueError:
            LOG.exception("failed")


@pytest.mark.parametrize("style", ["text", "json"])
def test_nothing_written_holds_a_secret(tmp_path: Path, style: Literal["text", "json"]) -> None:
    config = replace(LoggingConfig(), file="engine.log", format=style, level="DEBUG", max_bytes=1024, backups=99)
    start_logs(config, settings(tmp_path))
    misbehave()
    files = sorted(tmp_path.iterdir())
    assert len(files) > 1  # it rotated
    written = "".join(file.read_text(encoding="utf-8") for file in files)
    assert written.count("***") >= 4 * len(SECRETS)
    for secret in SECRETS:
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert form not in written
    assert "could not use" in written


def test_the_grep_would_find_what_is_not_masked(tmp_path: Path) -> None:
    start_logs(replace(LoggingConfig(), file="engine.log"), load_settings({"TRADING_LOG_DIR": str(tmp_path)}, None))
    misbehave()
    assert KEY in (tmp_path / "engine.log").read_text(encoding="utf-8")


def test_standard_error_is_masked_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start_logs(LoggingConfig(), settings(tmp_path))
    misbehave()
    shown = capsys.readouterr().err
    assert "plain ***" in shown
    assert not any(secret in shown for secret in SECRETS)
    assert list(tmp_path.iterdir()) == []


def test_json_lines_are_one_object_each(tmp_path: Path) -> None:
    start_logs(replace(LoggingConfig(), file="engine.log", format="json"), settings(tmp_path))
    LOG.warning("two\nlines and ä %d", 3)
    misbehave()
    lines = (tmp_path / "engine.log").read_text(encoding="utf-8").splitlines()
    first, *_ = entries = [json.loads(line) for line in lines]
    assert (first["level"], first["logger"], first["message"]) == (
        "WARNING",
        "trading_platform.somewhere",
        "two\nlines and ä 3",
    )
    assert first["at"].endswith("Z")
    assert "Traceback" in next(entry["error"] for entry in entries if "error" in entry)


def test_levels_hold_for_us_and_others_only_warn(tmp_path: Path) -> None:
    start_logs(replace(LoggingConfig(), file="engine.log", level="INFO"), settings(tmp_path))
    LOG.debug("too fine")
    LOG.info("just right")
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("a warning")
    written = (tmp_path / "engine.log").read_text(encoding="utf-8")
    assert [line.partition(": ")[2] for line in written.splitlines()] == ["just right", "a warning"]


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    start_logs(replace(LoggingConfig(), file="engine.log"), settings(tmp_path / "logs"))
    LOG.warning("hello")
    assert stat.S_IMODE((tmp_path / "logs" / "engine.log").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_starting_twice_writes_each_line_once(tmp_path: Path) -> None:
    for _ in range(2):
        start_logs(replace(LoggingConfig(), file="engine.log"), settings(tmp_path))
    LOG.warning("once")
    assert (tmp_path / "engine.log").read_text(encoding="utf-8").count("once") == 1


def test_the_path_of_a_file_database_stays_readable(tmp_path: Path) -> None:
    start_logs(replace(LoggingConfig(), file="engine.log"), settings(tmp_path, DATABASE_URL="sqlite:///trading.db"))
    LOG.warning("sqlite:///trading.db is locked")
    assert "trading.db is locked" in (tmp_path / "engine.log").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(FixConfigError, match="TRADING_LOG_DIR"):
        start_logs(replace(LoggingConfig(), file="engine.log"), settings(tmp_path / "logs"))
