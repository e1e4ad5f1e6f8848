"""Compiled rules are compiled anew when any source that they may call has changed."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trading_platform.core.compiled import HAS_NUMBA, sources_digest

RULE = "from trading_platform.core.compiled import lean\n\n\n@lean\ndef twice(x):\n    return 2.0 * x\n"
MOVED = b"ctrading_platform.core.errors\nMovedError\n."  # a pickle that names a class which is not there any more


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


def compiled_rule(file: Path) -> Callable[[float], float]:
    """Import the rule as a program that has just been started does."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    twice: Callable[[float], float] = module.twice
    return twice


@pytest.mark.skipif(not HAS_NUMBA, reason="numba is absent")
def test_what_other_sources_have_left_in_the_cache_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "rule_of_two.py"
    file.write_text(RULE)
    assert compiled_rule(file)(2.0) == 4.0
    (index,) = tmp_path.rglob("*.nbi")
    version: tuple[Any, ...] = pickle.loads(index.read_bytes())  # noqa: S301 - a file that this test has made
    index.write_bytes(pickle.dumps(version) + MOVED)
    with pytest.raises(AttributeError, match="MovedError"):  # of the same sources it would be opened
        compiled_rule(file)(2.0)
    index.write_bytes(pickle.dumps((version[0], *("other sources" for _ in version[1:]))) + MOVED)
    assert compiled_rule(file)(2.0) == 4.0
