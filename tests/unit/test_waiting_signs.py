"""Every wait shows that something goes on: what, and for how long."""

from __future__ import annotations

import threading

import pytest

from trading_platform.reporting.waiting import waiting

WORDS = "asking Yahoo for 119 tickers"


def test_a_wait_in_a_pipe_says_what_it_waits_for() -> None:
    lines: list[str] = []
    said = threading.Event()

    def hear(line: str) -> None:
        lines.append(line)
        said.set()

    with waiting(WORDS, first=0.0, teller=hear):
        assert said.wait(60.0)
    assert lines == [f"{WORDS} (0 s)"]


@pytest.mark.parametrize(("shown", "in_pipes"), [(False, True), (True, False)], ids=["json", "a replay in a pipe"])
def test_a_quiet_wait_says_nothing_and_starts_nothing(shown: bool, in_pipes: bool) -> None:
    lines: list[str] = []
    before = threading.active_count()
    with waiting(WORDS, first=0.0, teller=lines.append, shown=shown, in_pipes=in_pipes):
        assert threading.active_count() == before
    assert lines == []


def test_the_teller_ends_with_the_wait_however_that_ends() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="nothing came"), waiting(WORDS):
        assert threading.active_count() == before + 1
        raise ValueError("nothing came")
    assert threading.active_count() == before
