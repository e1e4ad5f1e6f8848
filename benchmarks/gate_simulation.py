"""Run artificial jobs of weekly challengers through the trial in service, and write what became of them.

Run: python -m benchmarks.gate_simulation [--jobs-per-story N] [--processes N] [--cluster ADDRESS] [--state FILE]
     [--write]

Each job is one line of the state file as soon as it is done, by story and seed: an interrupted run goes on where it
stopped, a larger N adds to what is there, and lines of another version of the rules are not counted. `--write` puts
the table, its date and the number of jobs into docs/gate.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.evaluation.book_statistics import wilson
from trading_platform.evaluation.gate_worlds import STORIES, JobResult, Story, run_job
from trading_platform.evaluation.service_trial import RETIRE_BELOW
from trading_platform.work.job import Job, Place
from trading_platform.work.map_tasks import workers

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gate.md"
BEGIN, END = "<!-- simulation: written by make gate-simulation -->", "<!-- /simulation -->"
MONTH = 21
HEADS = ("job", "jobs", "promoted in five years [95 %]", "median wait, months", "within a year", "growth of best bet")


def fingerprint() -> str:
    """Return what changes when the rules of the trial or the artificial jobs give another result."""
    probe = [run_job(story, 0, 504) for story in STORIES]
    return hashlib.sha256(repr((probe, RETIRE_BELOW)).encode()).hexdigest()[:12]


def done_so_far(state: Path, version: str) -> dict[tuple[str, int], JobResult]:
    """Return the results in the state file; a line torn by a kill is passed over."""
    found: dict[tuple[str, int], JobResult] = {}
    for line in state.read_text().splitlines() if state.exists() else ():
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if item["version"] == version:
            result = JobResult(item["passed"], item["growth"], tuple(item["constant"]))
            found[item["story"], item["seed"]] = result
    return found


def run_missing(missing: Sequence[tuple[Story, int]], place: Place) -> Iterator[tuple[str, int, JobResult]]:
    """Yield each job as it is done; a task is a seed with all its missing stories: a job alone takes too little."""
    of_seed: dict[int, list[Story]] = {}
    for story, seed in missing:
        of_seed.setdefault(seed, []).append(story)
    tasks = [(seed, tuple(stories)) for seed, stories in of_seed.items()]
    with workers(Job("artificial jobs", run_seed, None, "", start="fork"), place) as opened:
        for number, results in opened.map(tasks):
            seed, stories = tasks[number]
            for story, result in zip(stories, results, strict=True):
                yield story.name, seed, result


def run_seed(shared: None, task: tuple[int, tuple[Story, ...]]) -> tuple[JobResult, ...]:
    """Run some stories of one seed."""
    seed, stories = task
    return tuple(run_job(story, seed) for story in stories)


def row_of(story: Story, results: Sequence[JobResult]) -> list[str]:
    """Return a line of the table."""
    waits = np.array([math.inf if result.passed is None else result.passed / MONTH for result in results])
    passed = int(np.isfinite(waits).sum())
    low, high = wilson(passed, len(results))
    median = float(np.median(waits))
    grown = ""
    if story.is_better:
        best = float(np.mean([result.constant for result in results], axis=0).max())
        growth = float(np.mean([result.growth for result in results]))
        grown = f"{growth / best:.0%} ({growth:.1f} of {best:.1f})"
    return [
        story.name,
        str(len(results)),
        f"{passed / len(results):.1%} [{low:.1%}, {high:.1%}]",
        f"{median:.1f}" if math.isfinite(median) else "over 60",
        f"{float(np.mean(waits <= ANNUAL_SESSIONS / MONTH)):.0%}",
        grown,
    ]


def table(results: dict[tuple[str, int], JobResult]) -> str:
    """Return the table as Markdown."""
    lines = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    for story in STORIES:
        mine = [result for (name, _), result in sorted(results.items()) if name == story.name]
        if mine:
            lines.append("| " + " | ".join(row_of(story, mine)) + " |")
    return "\n".join(lines)


def write_page(text: str) -> None:
    """Replace the part of the page between the marks."""
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def main() -> int:
    """Run what is missing and tell the table."""
    parser = argparse.ArgumentParser(description="Artificial jobs through the trial in service")
    parser.add_argument("--jobs-per-story", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=0, help="0 to 599 chose the bets")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cluster", default="", help="Ray: auto, ray://HOST:PORT or HOST:PORT")
    parser.add_argument("--state", type=Path, default=Path(".gate-simulation.jsonl"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    version = fingerprint()
    results = done_so_far(options.state, version)
    seeds = range(options.first_seed, options.first_seed + options.jobs_per_story)
    # seeds in the outer loop, so that whatever is interrupted has all stories
    wanted = [(story, seed) for seed in seeds for story in STORIES]
    missing = [(story, seed) for story, seed in wanted if (story.name, seed) not in results]
    since = time.monotonic()
    with options.state.open("a") as state:
        for number, (name, seed, result) in enumerate(
            run_missing(missing, Place(options.processes, options.cluster)), start=1
        ):
            results[name, seed] = result
            line = {"version": version, "story": name, "seed": seed, **asdict(result)}
            state.write(json.dumps(line) + "\n")
            if number % 500 == 0 or number == len(missing):
                state.flush()
                left = (time.monotonic() - since) / number * (len(missing) - number)
                print(f"{number} of {len(missing)} jobs, {left / 60:.0f} minutes left", file=sys.stderr)
    text = table(results)
    print(text)
    if options.write:
        write_page(f"\n{len(results):,} jobs, {datetime.now(UTC).date()}.\n\n{text}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
