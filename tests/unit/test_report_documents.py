"""The documents and the skill name options, keys and exit codes that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = ("docs/daily-report.md", "docs/openclaw.md", "openclaw/skills/trading-report/SKILL.md")
SCHEMA = json.loads((REPO / "trading_platform/reporting/report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def help_text() -> str:
    done = subprocess.run(
        [sys.executable, REPO / "daily_report.py", "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_report_options_in_documents_exist(page: str, help_text: str) -> None:
    text = (REPO / page).read_text(encoding="utf-8")
    commands = re.findall(r"daily_report\.py[^\n|]*", text)
    named = {option for command in commands for option in re.findall(r"--[a-z-]+", command)}
    assert commands
    assert named <= set(re.findall(r"--[a-z-]+", help_text))


def test_every_option_is_documented(help_text: str) -> None:
    text = (REPO / "docs/daily-report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--[a-z-]+", help_text)) - {"--help"} <= set(re.findall(r"--[a-z-]+", text))


def test_every_key_is_documented() -> None:
    text = (REPO / "docs/daily-report.md").read_text(encoding="utf-8")
    keys = set(SCHEMA["properties"]) - {"schema_version", "generated_at"}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_skill_names_keys_that_exist_and_nothing_that_trades() -> None:
    text = (REPO / "openclaw/skills/trading-report/SKILL.md").read_text(encoding="utf-8")
    table = text[text.index("## Where the answers are") : text.index("## Rules")]
    for path in re.findall(r"`([a-z_.]+)`", table):
        node = SCHEMA
        for part in path.split("."):
            assert part in node["properties"], path
            node = node["properties"][part]
    assert "autonomous_trading_engine" not in text
    assert text.startswith("---\nname: trading-report\ndescription: ")


def test_exit_codes_agree(help_text: str) -> None:
    codes = set(re.findall(r"^ {2}(\d) {3}", help_text, re.MULTILINE))
    for page in ("docs/daily-report.md", "openclaw/skills/trading-report/SKILL.md"):
        text = (REPO / page).read_text(encoding="utf-8")
        listed = set(re.findall(r"^\| (\d) \|", text, re.MULTILINE))
        assert listed | {"0"} == codes, page
