"""The rows of a run beside its policy: published rules alone, learner alone, both, and the direct-gradient yardstick.

Every row is traded through the same kernel, in every universe, on the sessions that the gate judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.evaluation.contributions import Contribution, contribution
from trading_platform.training.campaign import Campaign, judged_answers, tasks_of
from trading_platform.training.fits import Fitted, fit_task
from trading_platform.training.judging import Judgement
from trading_platform.training.paths import rules_weights, run_path

RULES, LEARNER, BOTH, YARDSTICK = "rules alone", "learner alone", "learner on rules", "yardstick"

Chooser = Callable[[PreparedMarket], Floats]


def contributions(campaign: Campaign, fits: Sequence[Fitted], judged: Judgement) -> tuple[Contribution, ...]:
    """Return every row of a run whose `fits` were judged."""
    rows, rng = judged.rows, np.random.default_rng(0)
    equal = np.array([path.returns for _, _, path in judged.universes])
    mine = BOTH if campaign.arena.setup.on_rules else LEARNER
    found = []
    for name, weights_in in choosers(campaign, fits).items():
        books, still, turnovers = [], [], []
        for world, policy, _ in judged.universes:
            weights = weights_in(world)
            path = policy if name == mine else run_path(world, weights, rows)
            average = np.tile(path.weights.mean(axis=0), (world.n_sessions, 1))
            books.append(path.returns)
            turnovers.append(path.allocation_turnover)
            still.append(run_path(world, average, rows).returns)
        turnover = float(np.mean(turnovers))
        found.append(contribution(name, np.array(books), np.array(still), equal, turnover, rng, name == mine))
    return tuple(found)


def choosers(campaign: Campaign, fits: Sequence[Fitted]) -> dict[str, Chooser]:
    """Return who chooses weights (T, K) in a world, by the row's name.

    The learner is the one that was trained, once with what the rules make of it and once without, however it was
    trained; the yardstick is fitted here, on the same windows, unless the learner is it.
    """
    alone, tilted = (with_rules(campaign, on_rules) for on_rules in (False, True))
    rows: dict[str, Chooser] = {
        RULES: rules_weights,
        LEARNER: lambda world: judged_answers(alone, fits, world).weights,
        BOTH: lambda world: judged_answers(tilted, fits, world).weights,
    }
    if campaign.arena.setup.algo != "gradient":
        measure = yardstick(campaign)
        fitted = [fit_task(measure.arena, task) for task in tasks_of(measure)]
        rows[YARDSTICK] = lambda world: judged_answers(measure, fitted, world).weights
    return rows


def with_rules(campaign: Campaign, on_rules: bool) -> Campaign:
    """Return the run as if its policy stood on published rules, or did not."""
    setup = replace(campaign.arena.setup, on_rules=on_rules)
    return replace(campaign, arena=replace(campaign.arena, setup=setup))


def yardstick(campaign: Campaign) -> Campaign:
    """Return the same run by direct gradient: one linear fit a window, which has no seed noise."""
    setup = replace(campaign.arena.setup, algo="gradient", hidden=())
    return replace(campaign, arena=replace(campaign.arena, setup=setup), seeds=campaign.seeds[:1])
