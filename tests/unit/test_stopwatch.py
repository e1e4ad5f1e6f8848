"""Compiling is booked as a stage of its own, wherever it falls, and nothing is booked twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trading_platform.core.compiled import HAS_NUMBA
from trading_platform.machine.stopwatch import COMPILE, Stopwatch, compile_seconds


def compile_something() -> None:
    import numba

    double: Callable[[float], float] = numba.njit(lambda x: 2.0 * x)
    assert double(2.0) == 4.0


def test_stages_add_up_to_the_time_that_passed() -> None:
    watch = Stopwatch()
    begin = since = watch.start()
    for stage in ("one", "two", "one"):
        since = watch.add(stage, since)
    assert set(watch.seconds) == {"one", "two"}
    assert sum(watch.seconds.values()) == pytest.approx(since - begin)


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba nothing is compiled")
def test_compiling_inside_a_stage_is_taken_out_of_it() -> None:
    watch = Stopwatch()
    begin, before = watch.start(), compile_seconds()
    compile_something()
    end = watch.add("work", begin)
    compiled = compile_seconds() - before
    assert watch.seconds[COMPILE] == pytest.approx(compiled)
    assert compiled > 0.0
    assert watch.seconds["work"] == pytest.approx(end - begin - compiled)
    watch.add("work", end)
    assert watch.seconds[COMPILE] == pytest.approx(compiled)


@pytest.mark.skipif(not HAS_NUMBA, reason="without numba nothing is compiled")
def test_compiling_between_stages_belongs_to_none() -> None:
    watch = Stopwatch()
    since = watch.add("first", watch.start())
    compile_something()
    watch.add("second", watch.start())
    assert since > 0.0
    assert COMPILE not in watch.seconds
    assert watch.seconds["second"] >= 0.0
