"""What splitting work costs: overhead a task, speed-up, and time for the shared data, by processes and by Ray.

Run: python -m benchmarks.scale [--tasks N] [--seconds S] [--only processes|ray] [--json]

A task is busy for a fixed time of the clock, so that the figures are what the port and Ray add, also on a machine that
has other work: ideal is tasks x seconds / workers. The first task a worker is not counted: it begins the process.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import NamedTuple

import numpy as np

from trading_platform.core.types import Floats
from trading_platform.work.job import AUTO, Job, Place
from trading_platform.work.map_tasks import workers

SHARED_MIB = 64


class Figures(NamedTuple):
    """Seconds: to begin the workers (with their first tasks), of the counted tasks, and over the ideal in percent."""

    how: str
    workers: int
    begin: float
    tasks: int
    took: float
    overhead_percent: float


def busy(shared: Floats, task: tuple[int, float]) -> float:
    """Compute until the clock says so; return what the data said, so that it has been there."""
    end = time.perf_counter() + task[1]
    total = float(shared[task[0] % len(shared)])
    while time.perf_counter() < end:
        total += 1e-9
    return total


def measure(how: str, n_workers: int, n_tasks: int, seconds: float) -> Figures:
    """Run the tasks on so many workers."""
    shared = np.arange(SHARED_MIB * 2**20 // 8, dtype=np.float64)
    job = Job("busy", busy, shared, "numbers")
    since = time.perf_counter()
    with workers(job, Place(n_workers, AUTO if how == "ray" else "")) as opened:
        list(opened.map([(n, 0.2) for n in range(3 * n_workers)]))
        begun = time.perf_counter()
        list(opened.map([(n, seconds) for n in range(n_tasks)]))
        took = time.perf_counter() - begun
    ideal = n_tasks * seconds / n_workers
    return Figures(how, n_workers, begun - since, n_tasks, took, 100.0 * (took / ideal - 1.0))


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Overhead and speed-up of split work")
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", choices=("processes", "ray"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ways = [options.only] if options.only else ["processes", "ray"]
    rows = [measure(how, n, options.tasks, options.seconds) for how in ways for n in (1, 2)]
    if options.json:
        print(json.dumps([row._asdict() for row in rows]))
        return 0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {SHARED_MIB} MiB shared")
    for row in rows:
        print(
            f"{row.how} x {row.workers}: begun in {row.begin:.1f} s, {row.tasks} tasks in {row.took:.1f} s, "
            f"{row.overhead_percent:+.1f} % over the ideal"
        )
    for how in ways:
        one, two = (row for row in rows if row.how == how)
        print(f"{how}: two workers {one.took / two.took:.2f} x one")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
