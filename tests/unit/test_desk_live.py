"""What a desk tells its pages, and what it draws once for all of them."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest

from trading_platform.desk.live import BEAT_SECONDS, TROUBLE, Mark, Told
from trading_platform.desk.shared_pages import MOST, SharedPages


def test_told_change_of_state_is_news_at_once() -> None:
    told = Told({"1": Mark("a", "t0"), "2": Mark("b", "t0")}, 0.0)
    assert told.news({"1": Mark("fill", "t0"), "2": Mark("b", "t0")}, 0.5) == ["1"]
    assert told.news({"1": Mark("fill", "t0"), "2": Mark("b", "t0")}, 1.0) == []


def test_told_heartbeat_alone_is_news_now_and_then() -> None:
    told = Told({"1": Mark("a", "t0")}, 0.0)
    assert told.news({"1": Mark("a", "t1")}, BEAT_SECONDS - 1) == []
    assert told.news({"1": Mark("a", "t2")}, BEAT_SECONDS) == ["1"]
    assert told.news({"1": Mark("a", "t3")}, BEAT_SECONDS + 1) == []
    assert told.news({"1": Mark("a", "t3")}, 2 * BEAT_SECONDS) == ["1"]
    assert told.news({"1": Mark("a", "t3")}, 3 * BEAT_SECONDS) == []  # it has not beaten since


def test_told_new_run_lost_run_and_trouble_are_news() -> None:
    told = Told({"1": Mark("a", "t0")}, 0.0)
    assert told.news({"1": Mark("a", "t0"), "2": Mark("b", "t0")}, 1.0) == ["2"]
    assert told.news({TROUBLE: Mark("locked")}, 2.0) == ["1", "2", TROUBLE]
    assert told.news({"1": Mark("a", "t0"), "2": Mark("b", "t0")}, 3.0) == ["1", "2", TROUBLE]


def test_shared_pages_asked_at_once_are_made_once() -> None:
    shared, waiting = SharedPages(), Barrier(4)
    made: list[int] = []
    found: list[str] = []

    def make() -> str:
        made.append(1)
        return "page"

    def ask() -> None:
        waiting.wait()
        found.append(shared.get("key", make))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, made) == (["page"] * 4, [1])


def test_shared_pages_other_key_or_a_fault_is_made_anew() -> None:
    shared = SharedPages()

    def fail() -> str:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        shared.get("a", fail)
    assert shared.get("a", lambda: "first") == "first"
    assert shared.get("b", lambda: "second") == "second"
    assert shared.get("a", lambda: "never asked for") == "first"
    for number in range(MOST):
        shared.get(number, lambda: "page")
    assert shared.get("a", lambda: "anew") == "anew"
