"""The progress bar of a training run with the learning curve's figures."""

from __future__ import annotations

import sys
from typing import Any

from trading_platform.training.campaign import FINAL, Campaign, tasks_of
from trading_platform.training.fits import FitTask
from trading_platform.training.ppo import Look
from trading_platform.training.setup import TrainingSetup

INTERRUPTED = 130  # exit code of a run stopped by Ctrl-C
BAR_WIDTH = 16  # so that the time left stands on a screen of 80 columns


def short_run_note(campaign: Campaign) -> str:
    """Return what a short run does less of, and how to have all of it; empty for a whole one."""
    setup = campaign.arena.setup
    if not setup.is_short:
        return ""
    seeds = "one seed" if len(campaign.seeds) == 1 else f"{len(campaign.seeds)} seeds"
    markets = f"{setup.n_universes} drawn universes" if setup.n_universes else "the loaded market alone"
    whole = TrainingSetup()
    return (
        f"a short run: {setup.episodes:,} episodes a fit, {seeds}, {markets}. For a verdict worth having leave "
        f"--episodes out: {whole.episodes:,} episodes, {whole.usual_seeds} seeds, {whole.n_universes} universes."
    )


class Screen:
    """The progress bar with the learning curve's figures; silent when asked."""

    def __init__(self, campaign: Campaign, silent: bool) -> None:
        self._campaign = campaign
        self._silent = silent
        self._looks = len(tasks_of(campaign)) * campaign.arena.setup.looks
        self._progress: Any = None
        self._bar: Any = None

    def __enter__(self) -> Screen:
        if not self._silent:
            if note := short_run_note(self._campaign):
                print(note)  # noqa: T201 - the command's output
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(BAR_WIDTH),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self._progress = Progress(*columns, transient=True)  # a seed's figure is no verdict: none is left behind
            self._progress.start()
            self._bar = self._progress.add_task("training", total=self._looks)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def look(self, task: FitTask, look: Look) -> None:
        """Show a look at the validation slice."""
        if self._progress is not None:
            window = "" if task.fold == FINAL else f"{task.fold.replace('fold', 'window ')}, "
            text = f"{window}seed {task.seed}: validation {look.score:+.2f}"
            self._progress.update(self._bar, advance=1, description=text)

    def stopped(self) -> str:
        """Return in words that nothing was registered, and how to go on."""
        return f"stopped: nothing was registered; the same command continues from {self._campaign.run_folder}"

    def interrupted(self) -> int:
        """Say that the run was stopped; return the exit code."""
        print(self.stopped(), file=sys.stderr)  # noqa: T201 - the command's output
        return INTERRUPTED
