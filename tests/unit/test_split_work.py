"""The port for work that splits: the same results wherever it runs, nothing done twice, lost workers, cancel."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats
from trading_platform.work.hands import Done, Ended, Lost
from trading_platform.work.job import Job, Place, WorkerLostError, program_fingerprint
from trading_platform.work.map_tasks import Workers, workers
from trading_platform.work.result_files import ResultFiles, UnreadableResultError, packed, unpacked

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """What a task makes: figures that would show any difference of bits."""

    number: int
    path: Floats
    ratio: float
    note: str | None = None
    parts: tuple[Floats, ...] = ()
    by_name: dict[str, float] = field(default_factory=dict)


def draw(shared: Floats, number: int) -> Draw:
    rng = np.random.default_rng([7, number])
    path = np.cumsum(shared @ rng.standard_normal((len(shared), 5)), axis=0)
    return Draw(number, path, float(path.mean()), parts=(path[0].copy(),), by_name={"last": float(path[-1, 0])})


def fail_at_two(shared: None, number: int) -> int:
    if number == 2:
        raise FixConfigError("number must not be 2, was 2")
    return number


def die_once(shared: Path, number: int) -> int:
    mark = shared / f"died-{number}"
    if number in (1, 3) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_always(shared: None, number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def count(shared: Path, number: int) -> int:
    with (shared / "calls").open("a") as calls:
        calls.write(f"{number}\n")
    return number


SHARED = np.random.default_rng(3).standard_normal((40, 40))


def job(run: Any = draw, shared: Any = SHARED, **changes: Any) -> Job[Any, Any, Any]:
    return replace(Job("draw", run, shared, "market 3", (Draw,), start="fork"), **changes)


def results(made: Job[Any, Any, Any], place: Place, n: int = 6, files: ResultFiles | None = None) -> dict[int, Any]:
    with workers(made, place, files) as opened:
        return dict(opened.map(range(n)))


def same_bits(left: Draw, right: Draw) -> bool:
    return packed(left) == packed(right)


def test_processes_give_the_same_bits_as_this_one() -> None:
    here = results(job(), Place(1))
    split = results(job(), Place(2))
    assert sorted(split) == [0, 1, 2, 3, 4, 5]
    assert all(same_bits(here[n], split[n]) for n in here)
    assert not same_bits(here[0], here[1])


def test_processes_that_are_spawned_give_the_same_bits() -> None:
    assert same_bits(results(job(start="spawn"), Place(2), 1)[0], draw(SHARED, 0))


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    files = ResultFiles(tmp_path / "done", ())
    counting = job(count, tmp_path, kinds=())
    assert results(counting, Place(1), 3, files) == {0: 0, 1: 1, 2: 2}
    assert results(counting, Place(2), 5, files) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
    assert sorted((tmp_path / "calls").read_text().split()) == ["0", "1", "2", "3", "4"]
    assert results(replace(counting, identity="market 4"), Place(1), 1, files) == {0: 0}
    assert len((tmp_path / "calls").read_text().split()) == 6


def test_a_torn_result_is_done_again(tmp_path: Path) -> None:
    files = ResultFiles(tmp_path / "done", (Draw,))
    first = results(job(), Place(1), 2, files)
    name = job().fingerprint(0)
    path = tmp_path / "done" / f"{name}.npz"
    path.write_bytes(path.read_bytes()[:-40])
    assert files.find(name) is None
    assert same_bits(results(job(), Place(1), 2, files)[0], first[0])
    assert files.find(name) is not None


def test_a_folder_that_cannot_be_written_costs_the_restart_only(tmp_path: Path) -> None:
    (tmp_path / "done").write_text("a file where the folder should be")
    assert len(results(job(), Place(1), 2, ResultFiles(tmp_path / "done", (Draw,)))) == 2


def test_a_killed_process_costs_its_task_which_another_does(tmp_path: Path) -> None:
    # the first task runs in this process before others are forked, so it must not be one that dies
    assert results(job(die_once, tmp_path), Place(2), 5) == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}
    assert (tmp_path / "died-1").exists()
    assert (tmp_path / "died-3").exists()


def test_a_task_that_always_loses_its_process_is_named() -> None:
    with pytest.raises(WorkerLostError, match=r"draw 0 lost its worker 3 times .at last: process .* signal SIGKILL"):
        results(job(die_always, None, start="spawn"), Place(2), 1)


def test_what_a_task_raises_ends_the_work() -> None:
    for place in (Place(1), Place(2)):
        with pytest.raises(FixConfigError, match="number must not be 2"):
            results(job(fail_at_two, None), place, 4)


def test_progress_counts_what_was_done_before(tmp_path: Path) -> None:
    files = ResultFiles(tmp_path / "done", (Draw,))
    results(job(), Place(1), 2, files)
    told: list[tuple[int, int]] = []
    with workers(job(), Place(1), files) as opened:
        list(opened.map(range(4), lambda done, count: told.append((done, count))))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


class Lender:
    """Hands that lose every task once, and remember what they were told."""

    def __init__(self) -> None:
        self.in_hand: list[int] = []
        self.lost: set[int] = set()
        self.dropped = False

    def room(self) -> int:
        return 2

    def start(self, number: int, task: Any) -> None:
        assert len(self.in_hand) < 2
        self.in_hand.append(number)

    def wait(self) -> Ended:
        number = self.in_hand.pop()
        if number not in self.lost:
            self.lost.add(number)
            return Lost(number, "its node was cut off")
        return Done(number, number)

    def drop(self) -> None:
        self.dropped = True

    def close(self) -> None:
        self.in_hand.clear()


def test_a_lost_task_is_started_again() -> None:
    lender = Lender()
    opened = Workers(job(), lender)
    assert dict(opened.map(range(4))) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert not lender.dropped


def test_who_stops_reading_cancels_what_is_in_hand() -> None:
    lender = Lender()
    with closing(Workers(job(), lender).map(range(4))) as reading:
        next(reading)
    assert lender.dropped


DRIVER = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import test_split_work as t
    from trading_platform.work.job import Place
    from trading_platform.work.map_tasks import workers
    from trading_platform.work.result_files import ResultFiles
    folder = Path({folder!r})
    counting = t.job(t.count, folder, kinds=())
    with workers(counting, Place({jobs}), ResultFiles(folder / "done", ())) as w:
        for n, (number, result) in enumerate(w.map(range(6))):
            if n == {die_after}:
                os.kill(os.getpid(), signal.SIGKILL)
    print("finished")
"""


def driver(folder: Path, jobs: int, die_after: int) -> subprocess.CompletedProcess[str]:
    text = DRIVER.format(tests=str(Path(__file__).parent), folder=str(folder), jobs=jobs, die_after=die_after)
    command = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def test_a_killed_driver_is_started_again_and_goes_on(tmp_path: Path) -> None:
    assert driver(tmp_path, 1, 3).returncode == -signal.SIGKILL
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2", "3"]
    assert driver(tmp_path, 1, 9).stdout.strip() == "finished"
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("value", [math.nan, -math.inf, 0.1 + 0.2, -0.0, 5e-324])
def test_floats_come_back_with_the_same_bits(value: float) -> None:
    back = unpacked(packed({"x": value}), ())["x"]
    assert np.float64(back).tobytes() == np.float64(value).tobytes()


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    value = {"a": (1, True, None, "x"), "b": [range(3, 9, 2)], "c": {"d": tmp_path}}
    assert unpacked(packed(value), ()) == value


def test_a_file_names_only_classes_that_the_job_allows() -> None:
    content = packed(draw(SHARED, 1))
    assert unpacked(content, (Draw,)).number == 1
    with pytest.raises(UnreadableResultError, match="no result of plain values"):
        unpacked(content, ())


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="a set has no plain form"):
        packed({"a": {1, 2}})
    with pytest.raises(TypeError, match="objects"):
        packed(np.array([object()]))


@pytest.mark.parametrize(
    "cluster", ["spark", "ray://", "ray://host", "ray://host:0", "host:99999", "http://host:10001", "ray://a@host:1"]
)
def test_a_wrong_address_is_refused_in_one_line(cluster: str) -> None:
    with pytest.raises(FixConfigError, match="--cluster must be auto, ray://HOST:PORT"):
        Place(1, cluster)


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(FixConfigError) as caught:
        Place(1, "ray://me:hunter2@host:10001")
    assert "hunter2" not in str(caught.value)


def test_no_jobs_are_refused() -> None:
    with pytest.raises(FixConfigError, match="--jobs must be at least 1, was 0"):
        Place(0)


def test_fingerprints_tell_tasks_data_and_jobs_apart() -> None:
    base = job()
    names = {
        base.fingerprint(1),
        base.fingerprint(2),
        replace(base, identity="market 4").fingerprint(1),
        replace(base, name="x").fingerprint(1),
    }
    assert len(names) == 4
    assert len(program_fingerprint()) == 16


def test_without_the_option_ray_and_optuna_are_not_imported() -> None:
    script = (
        "import sys, trading_platform.runtime.evaluate, trading_platform.training.fits;"
        "print([name for name in ('ray', 'optuna', 'grpc') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"
