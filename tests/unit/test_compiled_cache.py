"""Compiled rules are compiled anew when any source that they may call has changed."""

from __future__ import annotations

from pathlib import Path

from trading_platform.core.compiled import sources_digest


def test_digest_changes_with_a_source_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "risk").mkdir()
    rule = tmp_path / "risk" / "rules.py"
    rule.write_text("LIMIT = 1\n")
    before = sources_digest(tmp_path)
    rule.write_text("LIMIT = 2\n")
    assert sources_digest(tmp_path) != before


def test_digest_stays_when_something_else_changes(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("LIMIT = 1\n")
    before = sources_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert sources_digest(tmp_path) == before
