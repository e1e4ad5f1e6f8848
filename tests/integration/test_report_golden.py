"""Golden texts: what the owner reads on a winning, a losing, a halted, a quiet and a closed day."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_stories import STORIES, TEXTS, make_report

from trading_platform.reporting.plain import columns
from trading_platform.reporting.text import WIDTH


@pytest.mark.parametrize("name", STORIES)
def test_summary_equals_its_golden_text(name: str, tmp_path: Path) -> None:
    golden = (TEXTS / f"{name}.md").read_text(encoding="utf-8")
    assert make_report(name, tmp_path)["summary"] + "\n" == golden


@pytest.mark.parametrize("name", STORIES)
def test_golden_tables_fit_a_phone(name: str) -> None:
    text = (TEXTS / f"{name}.md").read_text(encoding="utf-8")
    assert len(text) <= 3500
    is_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            is_code = not is_code
        elif is_code:
            assert columns(line) <= WIDTH, line
    assert not is_code


def test_every_golden_text_belongs_to_a_story() -> None:
    assert {path.stem for path in TEXTS.glob("*.md")} == set(STORIES)
