"""Controls: does training, set up as by default, find what is planted, and does the gate refuse what is not there?

A task is one world of one kind and seed, judged by one learner (`run_control`, a pure function of the task and the
market whose books are shuffled). Results are lines of a file: what is there is not run again, and a larger number of
seeds adds to it.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.policy import Policy, averaged
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.types import Floats
from trading_platform.evaluation.book_statistics import wilson
from trading_platform.evaluation.promotion import GateConfig, GateEvidence, Objective, decide
from trading_platform.evaluation.splits import SplitConfig, split_window
from trading_platform.training.fits import Arena, FitTask, MakeEnv, fit_task, weights_of
from trading_platform.training.paths import equal_weights, rules_weights
from trading_platform.training.planted import Form, Plant, gain_of, planted_world, volatility_of
from trading_platform.training.service import shadow_returns
from trading_platform.training.setup import TrainingSetup

Work = Callable[["Sequence[ControlTask]"], "Iterable[ControlResult]"]
REVISION = 1  # of the worlds and of what is noted of them: lines of another one are not counted


@dataclass(frozen=True, slots=True)
class Kind:
    """What is planted, and what the gate is asked."""

    name: str
    plant: Plant
    objective: Objective
    form: Form = Form.OWN
    size: float = 0.0

    @property
    def is_planted(self) -> bool:
        """Whether there is something that should be found."""
        return self.plant in (Plant.TIMING, Plant.RISK)


KINDS = (
    *(
        Kind(f"timing {size:g} in {form}", Plant.TIMING, Objective.RETURN, form, size)
        for form in Form
        for size in (0.1, 0.2, 0.4)
    ),
    Kind("risk in own state", Plant.RISK, Objective.RISK),
    Kind("nothing, asked for return", Plant.NOTHING, Objective.RETURN),
    Kind("nothing, asked for risk", Plant.NOTHING, Objective.RISK),
    Kind("timing 0.4 that turns round", Plant.REVERSING, Objective.RETURN, Form.OWN, 0.4),
    Kind("a strategy that earns more, asked for risk", Plant.TILT, Objective.RISK),
    Kind("good timing of a bad book", Plant.BAD_BOOK, Objective.RETURN, Form.RULES, 0.1),
)


@dataclass(frozen=True, slots=True)
class ControlTask:
    """One world: `market` names the market whose books are shuffled, `algo` the learner."""

    kind: str
    seed: int
    algo: str
    market: str


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What came of it, on the judged sessions: gains in Sharpe ratio over equal weight, volatilities over its own.

    `best` knows what is planted, `rules` are the published rules alone.
    """

    task: ControlTask
    admitted: bool
    gain: float
    best_gain: float
    rules_gain: float
    volatility: float
    best_volatility: float


def all_tasks(seeds: range, algo: str, market: str, kinds: Sequence[Kind] = KINDS) -> list[ControlTask]:
    """Return the tasks, all kinds of a seed before the next one, so that a stopped run has some of each."""
    return [ControlTask(kind.name, seed, algo, market) for seed in seeds for kind in kinds]


def run_control(
    task: ControlTask, template: PreparedMarket, setup: TrainingSetup, seeds: int, make_env: MakeEnv
) -> ControlResult:
    """Train in one world as in any other market, judge the purged validation slice, compare with who knows."""
    (kind,) = [kind for kind in KINDS if kind.name == task.kind]
    train, judged = split_window(range(template.first + 1, template.n_sessions + SplitConfig().gap), SplitConfig())
    setup = replace(setup, algo=task.algo, objective=kind.objective.value, n_universes=0)
    world = planted_world(
        template, kind.plant, kind.form, kind.size, judged, setup.action_scale, setup.cost_bps, task.seed
    )
    weights = world.best
    if kind.plant is not Plant.BAD_BOOK:  # there it is the gate that is tested
        weights = learned(world.market, setup, train, judged, seeds, make_env)
    market, cost = world.market, setup.cost_bps
    mine, equal = (shadow_returns(market, chosen, cost)[judged] for chosen in (weights, equal_weights(market)))
    moved = np.abs(np.diff(weights[judged], axis=0)).sum(axis=1)
    evidence = GateEvidence(mine, equal, float(0.5 * moved.mean() * ANNUAL_SESSIONS))
    decision = decide(evidence, np.random.default_rng(0), GateConfig(objective=kind.objective))
    return ControlResult(
        task,
        decision.admitted,
        gain_of(market, weights, judged, cost),
        gain_of(market, world.best, judged, cost),
        gain_of(market, rules_weights(market), judged, cost),
        volatility_of(market, weights, judged, cost),
        volatility_of(market, world.best, judged, cost),
    )


def learned(
    market: PreparedMarket, setup: TrainingSetup, train: range, judged: range, seeds: int, make_env: MakeEnv
) -> Floats:
    """Return the weights (T, K) of the averaged fits."""
    arena, base = Arena(market, (market,), setup, make_env), equal_weights(market)[0]
    n_fits = 1 if setup.algo == "gradient" and not setup.hidden else seeds  # a linear fit has no seed noise
    fits = [
        fit_task(arena, FitTask("control", number + 1, train, range(judged.start, judged.start), tuple(base.tolist())))
        for number in range(n_fits)
    ]
    joined = Policy(fits[0].scaling, averaged([fitted.result.network for fitted in fits]), fits[0].layout)
    return weights_of(market, joined, base, setup)


def read_results(path: Path, version: str) -> list[ControlResult]:
    """Return the results in a file; a line torn by a kill, or of another version, is passed over.

    A `version` with a star at its end means all that begin so: the same worlds and options in other markets.
    """
    wanted = fnmatch.translate(version.replace("[", "[[]"))
    found: dict[ControlTask, ControlResult] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if re.fullmatch(wanted, str(item.pop("version", ""))):
            task = ControlTask(**item.pop("task"))
            found[task] = ControlResult(task, **item)
    return list(found.values())


def run_missing(tasks: Sequence[ControlTask], path: Path, version: str, work: Work) -> list[ControlResult]:
    """Run the tasks that the file at `path` does not hold, writing each down at once; return all of these options."""
    done = {result.task for result in read_results(path, version)}
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        if torn:
            file.write("\n")
        for result in work([task for task in tasks if task not in done]):
            file.write(json.dumps({"version": version, **asdict(result)}) + "\n")
            file.flush()
    return read_results(path, f"{version.rpartition('-')[0]}*")


def version_of(setup: TrainingSetup, template: PreparedMarket) -> str:
    """Return what changes with the worlds, the options of training and the market."""
    return f"{REVISION}-{replace(setup, algo='ppo').fingerprint}-{template.schema.fingerprint[:8]}"


def table(results: Sequence[ControlResult]) -> list[str]:
    """Return the results as lines of Markdown: a row for each kind, learner and market."""
    lines = [
        "| planted | learner | books of | worlds | let through [95 %] | gain of the learner | of whom knows | share "
        "| volatility (of whom knows) | rules alone |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups = sorted({(result.task.market, result.task.algo) for result in results})
    for market, algo in groups:
        for kind in KINDS:
            mine = [r for r in results if (r.task.market, r.task.algo, r.task.kind) == (market, algo, kind.name)]
            if mine:
                lines.append(_row(kind, algo, market, mine))
    return lines


def _row(kind: Kind, algo: str, market: str, results: Sequence[ControlResult]) -> str:
    count, found = len(results), sum(result.admitted for result in results)
    low, high = wilson(found, count)

    def mean(name: str) -> float:
        return float(np.mean([getattr(result, name) for result in results]))

    if kind.objective is Objective.RISK and kind.is_planted:
        share = f"{(1.0 - mean('volatility')) / (1.0 - mean('best_volatility')):.0%}"
    else:
        share = f"{mean('gain') / mean('best_gain'):.0%}" if kind.is_planted else ""
    return (
        f"| {kind.name} | {algo} | {market} | {count} | {found / count:.0%} [{low:.0%}, {high:.0%}] "
        f"| {mean('gain'):+.2f} | {mean('best_gain'):+.2f} | {share} "
        f"| {mean('volatility'):.3f} ({mean('best_volatility'):.3f}) | {mean('rules_gain'):+.2f} |"
    )
