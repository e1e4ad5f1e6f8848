"""Half a year of weekly jobs on one folder, killed twice by SIGKILL: the trial ends where an undisturbed one ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("stable_baselines3", reason="training needs stable-baselines3 and torch")

from weekly_job import WEEKS, main

from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.storage.trial_file import TrialFile

REPOSITORY = Path(__file__).resolve().parents[2]
KILLED_AFTER = (6, 18)  # weeks; somewhere in the one that follows


def run_until(folder: Path, last: int) -> None:
    """Run the jobs in a process of their own; kill it in the week after `last`, or let it end."""
    words = [sys.executable, str(REPOSITORY / "tests" / "integration" / "weekly_job.py"), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == last:
                process.kill()  # the next week has begun: whatever it is at now, it gets no time to put away
                break
        process.wait()


@pytest.mark.slow
def test_half_a_year_of_weekly_jobs_killed_twice_carries_its_wealth_on(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
    for last in KILLED_AFTER:
        run_until(killed, last)
        assert not (killed / "weeks" / str(last + 2)).exists()
    run_until(killed, WEEKS)
    main(whole)
    ended, undisturbed = TrialFile(killed).read(), TrialFile(whole).read()
    assert ended is not None and undisturbed is not None
    assert (ended.wealth, ended.sums, ended.number) == (undisturbed.wealth, undisturbed.sums, undisturbed.number)
    # challengers that lose are retired on the way, and what is left goes on with the next one
    assert (ended.state, ended.unknown, ended.fed) == (undisturbed.state, undisturbed.unknown, undisturbed.fed)
    assert len(ended.events) == len(undisturbed.events) > WEEKS
    assert ended.wealth != 1.0
    assert all(ModelRegistry(killed).verify(model_id) is None for model_id in ModelRegistry(killed).model_ids())
