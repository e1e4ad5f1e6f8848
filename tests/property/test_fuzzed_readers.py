"""Damaged files of every kind are read or refused in words: no traceback. The long search is ``make fuzz``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.fuzz_targets import TARGETS, TOKENS, feed


@st.composite
def damaged(draw: st.DrawFn, whole: tuple[bytes, ...]) -> bytes:
    """Draw a whole file, and up to six cuts, insertions and repetitions in it."""
    content = draw(st.sampled_from(whole))
    for _ in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.integers(0, 12) | st.integers(0, len(content))))
        put = draw(st.sampled_from(TOKENS) | st.binary(max_size=4) | st.just(content[begin:end] * 2))
        content = content[:begin] + put + content[end:]
    return content


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=30)
@given(data=st.data())
def test_damaged_file_is_read_or_refused_in_words(name: str, data: st.DataObject) -> None:
    content = data.draw(damaged(TARGETS[name][1]))
    with tempfile.TemporaryDirectory() as folder:
        refused = feed(name, content, Path(folder))
    event("refused" if refused else "read")
    assert "Traceback" not in refused


@pytest.mark.parametrize("name", TARGETS)
def test_whole_file_is_read(name: str, tmp_path: Path) -> None:
    for content in TARGETS[name][1]:
        assert feed(name, content, tmp_path) == ""


def test_fault_of_a_reader_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("close")

    monkeypatch.setitem(TARGETS, "more.csv", (broken, ()))
    with pytest.raises(KeyError):
        feed("more.csv", b"", tmp_path)
