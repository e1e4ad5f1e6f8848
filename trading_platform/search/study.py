"""The study: Optuna's samplers and pruners behind ask and tell, kept where this process alone writes.

Trials are asked in batches of a size that the plan names, whatever the number of workers, and told in the order of
their numbers; each is drawn by a sampler seeded by the search's seed and the trial's own place. So the same plan gives
the same trials on one core and on many, and a search that was killed goes on to what it would have found.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.packages import require
from trading_platform.search.plan import Dimension, SearchPlan, Value, named
from trading_platform.search.study_storage import JOURNAL, opened_storage
from trading_platform.search.trial_task import directions
from trading_platform.storage.database import database_name

LOCK = "search.lock"
TORN, UNUSABLE, IDENTITY = "torn", "unusable", "identity"  # attributes of trials and of the study


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: its values, and what came of it. `values` is empty while it is open, pruned or `unusable`."""

    number: int
    settings: Mapping[str, Value]
    values: tuple[float, ...] = ()
    pruned: bool = False
    unusable: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it waits to be told."""
        return not (self.values or self.pruned or self.unusable)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the search's folder: a second one on it would ask the same trials.

    Raises
    ------
    FixConfigError
        Another search has it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise FixConfigError(
            f"{folder}: another search is at work there; wait for it, or give this one a name"
        ) from None
    except OSError as error:
        raise FixConfigError(f"{folder}: cannot be written ({error.strerror}): check path and permissions") from error
    try:
        yield
    finally:
        lock.release()


class Study:
    """One study of a search: the trials of one outer period."""

    def __init__(self, folder: Path, name: str, plan: SearchPlan, identity: str, database: URL | None = None) -> None:
        """Open or begin the study; trials that a kill left without all their values are set aside.

        It is kept in a journal in `folder`, or in `database`, where it is also called by the search's name.

        Raises
        ------
        FixConfigError
            Optuna is missing, or the journal is another search's or unreadable.
        """
        require(("optuna",), "search")
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._optuna, self._plan = optuna, plan
        path = folder / JOURNAL if database is None else database_name(database)
        if isinstance(path, Path):
            _cut_torn_line(path)
        try:
            self._study = optuna.create_study(
                storage=opened_storage(folder, database),
                study_name=name if database is None else f"{plan.asked.name} {name}",
                directions=directions(plan.asked.objectives),
                load_if_exists=True,
            )
        except (ValueError, KeyError, AttributeError, AssertionError) as error:
            raise FixConfigError(
                f"{path}: has no study that can be gone on with ({error}); move it away, or give [search] another name"
            ) from error
        known = self._study.user_attrs.get(IDENTITY)
        if known is None:
            self._study.set_user_attr(IDENTITY, identity)
        elif known != identity:
            raise FixConfigError(
                f"{path}: its trials are of other data, settings, periods, space, or another version of this program; "
                "give [search] another name, or move the folder away"
            )
        self._set_torn_aside()

    def trials(self) -> list[Trial]:
        """Return all trials that count, in their order."""
        return [self._trial(frozen) for frozen in self._study.get_trials(deepcopy=False) if not _is_torn(frozen)]

    def ask(self) -> Trial:
        """Return a new trial, drawn from what is known so far."""
        place = len(self.trials())
        with _quiet():
            self._study.sampler = self._sampler(place)
            asked = self._study.ask({each.setting: self._distribution(each) for each in self._plan.space})
        return Trial(asked.number, named(self._plan.space, asked.params))

    def should_prune(self, trial: Trial, step: int, value: float) -> bool:
        """Report a trial's value after so many universes; return whether it is worth no more."""
        optuna = self._optuna
        with _quiet():
            self._study.pruner = self._pruner()
            live = optuna.trial.Trial(self._study, self._study.get_trials(deepcopy=False)[trial.number]._trial_id)
            live.report(value, step)
            return bool(live.should_prune())

    def tell(self, trial: Trial, values: Sequence[float]) -> Trial:
        """Close a trial with its values; without finite ones it is unusable."""
        if not all(math.isfinite(value) for value in values):
            return self.tell_unusable(trial, "a figure that is no number: it hardly trades")
        self._study.tell(trial.number, list(values))
        return Trial(trial.number, trial.settings, tuple(values))

    def tell_pruned(self, trial: Trial) -> Trial:
        """Close a trial that was given up."""
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.PRUNED)
        return Trial(trial.number, trial.settings, pruned=True)

    def tell_unusable(self, trial: Trial, why: str) -> Trial:
        """Close a trial whose settings contradict each other, or lead to no figure. It counts."""
        self._mark(trial.number, UNUSABLE, why)
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
        return Trial(trial.number, trial.settings, unusable=why)

    def importance(self) -> dict[str, float]:
        """Return how much of the first objective's spread each setting explains; empty where it cannot be said."""
        with _not_loading("sklearn"):  # its other evaluators' forest: 1.5 s of a search's own 3 s, for nothing
            from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        several = len(self._plan.asked.objectives) > 1
        target = (lambda trial: trial.values[0]) if several else None
        try:
            with _quiet():
                return dict(get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(), target=target))
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}

    def _trial(self, frozen: Any) -> Trial:
        states = self._optuna.trial.TrialState
        settings = named(self._plan.space, frozen.params)
        if frozen.state == states.COMPLETE:
            return Trial(frozen.number, settings, tuple(frozen.values))
        if frozen.state == states.PRUNED:
            return Trial(frozen.number, settings, pruned=True)
        if frozen.state == states.FAIL:
            return Trial(frozen.number, settings, unusable=frozen.user_attrs.get(UNUSABLE, "failed"))
        return Trial(frozen.number, settings)

    def _set_torn_aside(self) -> None:
        """Close open trials without all values: killed while they were asked. They are asked anew, and do not count."""
        wanted = {each.setting for each in self._plan.space}
        for frozen in self._study.get_trials(deepcopy=False):
            if not frozen.state.is_finished() and set(frozen.params) != wanted:
                self._mark(frozen.number, TORN, "killed while it was asked")
                self._study.tell(frozen.number, state=self._optuna.trial.TrialState.FAIL)

    def _mark(self, number: int, name: str, text: str) -> None:
        trial = self._study.get_trials(deepcopy=False)[number]
        self._optuna.trial.Trial(self._study, trial._trial_id).set_user_attr(name, text)

    def _sampler(self, place: int) -> Any:
        samplers, seed = self._optuna.samplers, self._plan.asked.seed
        own = int(np.random.SeedSequence((seed, place)).generate_state(1)[0])
        match self._plan.asked.sampler:
            case "random":
                return samplers.RandomSampler(seed=own)
            case "qmc":
                return samplers.QMCSampler(seed=seed, scramble=True)
            case "nsga2":
                return samplers.NSGAIISampler(seed=own, population_size=max(2, self._plan.asked.batch))
        return samplers.TPESampler(seed=own, constant_liar=True)

    def _pruner(self) -> Any:
        pruners = self._optuna.pruners
        match self._plan.asked.pruner:
            case "median":
                return pruners.MedianPruner()
            case "percentile":
                return pruners.PercentilePruner(25.0)
            case "successive_halving":
                return pruners.SuccessiveHalvingPruner()
            case "hyperband":
                return pruners.HyperbandPruner(max_resource=self._plan.asked.universes)
        return pruners.NopPruner()

    def _distribution(self, each: Dimension) -> Any:
        kinds = self._optuna.distributions
        if each.choices:
            return kinds.CategoricalDistribution(each.choices)
        if each.whole:
            return kinds.IntDistribution(int(each.low), int(each.high), each.log, int(each.step or 1))
        return kinds.FloatDistribution(each.low, each.high, each.log, each.step)


def _is_torn(frozen: Any) -> bool:
    return TORN in frozen.user_attrs


def _cut_torn_line(path: Path) -> None:
    """Cut a journal after its last whole line: what a kill tore is glued to the next one else, and neither is read."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.splitlines(keepends=True)
    while lines and not _is_json(lines[-1]):
        lines.pop()
    kept = b"".join(lines)
    if kept != content:
        with path.open("r+b") as stream:
            stream.truncate(len(kept))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@contextmanager
def _not_loading(package: str) -> Iterator[None]:
    """Let whoever imports an optional package meanwhile do without it, unless it is loaded already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # what the import system takes for "not to be had"
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls half of its samplers' options experimental
        yield
