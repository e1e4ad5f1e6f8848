"""A search from its plan to its findings: trials on inner years, outer ones judge, every trial is in the ledger.

The panel that trials see ends before the outer period begins, with a gap between: they cannot look. Cells go through
the work port and are kept, so that a killed search does none again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from sqlalchemy.engine import URL

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError
from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.evaluation.book_statistics import FEWEST_SESSIONS
from trading_platform.evaluation.deflated import deflated_sharpe, return_shape
from trading_platform.evaluation.sharpe_tests import matched_difference
from trading_platform.evaluation.trials import TrialRecord
from trading_platform.search.findings import Luck, Plateau, best_of, gains, luck, plateau, sentence
from trading_platform.search.plan import GAP, Outer, SearchPlan, Value
from trading_platform.search.study import Study, Trial
from trading_platform.search.trial_task import (
    Bench,
    Cell,
    CellReturns,
    better_by,
    bills_of,
    figures,
    mean_returns,
    run_cell,
    values_of,
)
from trading_platform.storage.trial_ledger import TrialLedger
from trading_platform.strategies.base import AnyStrategy
from trading_platform.work.job import Job, Place, program_fingerprint
from trading_platform.work.map_tasks import Workers, workers
from trading_platform.work.result_files import ResultFiles

CELLS = "cells"
NOW: Mapping[str, Value] = {}  # the settings of today


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole book, as the settings file with a trial's values over it describes it."""

    strategies: Sequence[AnyStrategy]
    rules: Rules
    capital: float
    fills: str
    policy: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a search needs.

    Attributes
    ----------
    plan, panel : what is asked, and on which market.
    configure : a trial's values -> the book; raises `FixConfigError` where they contradict each other.
    config_fingerprint : of the settings of today.
    folder : where journal and cells are. ledger : of the trials. now : the instant of the run, UTC.
    database : the server that keeps the study; None = the journal.
    """

    plan: SearchPlan
    panel: MarketPanel
    configure: Callable[[Mapping[str, Value]], Settings]
    exchange_seconds: Callable[[np.ndarray], Floats]
    config_fingerprint: str
    folder: Path
    ledger: TrialLedger
    place: Place
    now: datetime
    database: URL | None = None

    @property
    def identity(self) -> str:
        """What must be the same for a search to go on; more trials are the same search."""
        asked = self.plan.asked
        told = [
            getattr(asked, name)
            for name in type(asked).__dataclass_fields__
            if name not in ("trials", "name", "storage")
        ]
        parts = [told, self.plan.outer, self.plan.space, self.panel.data_hash, self.panel.close.shape]
        text = repr((parts, self.config_fingerprint, program_fingerprint()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class PeriodResult:
    """What came of one outer period's study; `best` is None where no trial has a figure."""

    outer: Outer
    trials: tuple[Trial, ...]
    best: Trial | None
    now: tuple[float, ...]
    plateau: Plateau
    luck: Luck
    outer_now: float
    outer_best: float
    deflated: float
    importance: Mapping[str, float]
    sentence: str
    inner_first: str
    inner_last: str


def run_search(search: Search, told: Callable[[str], None]) -> list[PeriodResult]:
    """Run what is missing of every study, and return what was found.

    Raises
    ------
    FixConfigError
        Periods that the data does not have, a space that leads to wrong settings, a journal of another search.
    """
    check_space(search)
    return [_study(search, outer, told) for outer in search.plan.outer]


def check_space(search: Search) -> None:
    """Try the ends of every dimension on the settings of today.

    Raises
    ------
    FixConfigError
        A setting does not exist, or may not have such a value.
    """
    for dimension in search.plan.space:
        for value in dimension.ends:
            try:
                search.configure({dimension.setting: value})
            except FixConfigError as error:
                raise FixConfigError(f"space: {dimension.setting} = {value!r}: {error}") from error


def benches(search: Search, outer: Outer) -> tuple[Bench, Bench]:
    """Return the inner and the outer bench: the inner panel ends `GAP` sessions before the outer period begins.

    Raises
    ------
    FixConfigError
        Too few sessions in either.
    """
    days = search.panel.sessions.astype("datetime64[D]")
    first = 1 if search.plan.start is None else max(1, int(np.searchsorted(days, np.datetime64(search.plan.start))))
    out_first = int(np.searchsorted(days, np.datetime64(outer.start)))
    out_stop = int(np.searchsorted(days, np.datetime64(outer.end), side="right"))
    stop, asked = out_first - GAP, search.plan.asked
    for name, count, needed in (
        ("inner sessions", stop - first, FEWEST_SESSIONS * asked.folds),
        ("outer sessions", out_stop - out_first, FEWEST_SESSIONS),
    ):
        if count < needed:
            raise FixConfigError(
                f"search: outer {outer.name} leaves {max(0, count)} {name}, at least {needed} are needed; the data has "
                f"{days[0]} to {days[-1]}, and {GAP} sessions between both stay unused"
            )
    shared = (asked.universe_size, asked.seed, search.exchange_seconds)
    return (
        Bench(search.panel.rows(0, stop), first, *shared),
        Bench(search.panel.rows(0, out_stop), out_first, *shared),
    )


def _study(search: Search, outer: Outer, told: Callable[[str], None]) -> PeriodResult:
    asked = search.plan.asked
    inner, outside = benches(search, outer)
    study = Study(search.folder, outer.name, search.plan, search.identity, search.database)
    with workers(_job(search, inner, "inner"), search.place, _files(search)) as opened:
        ran = _Cells(search, opened, bills_of(inner))
        now = ran.returns([NOW])[0]
        _run_trials(search, study, ran, now, outer, told)
        trials = study.trials()
        kept = [trial for trial in trials if trial.values]
        series = ran.returns([trial.settings for trial in kept])
    objective = asked.objectives[0]
    best = best_of(trials, objective)
    bills, base = bills_of(inner), figures(objective, now, bills_of(inner), asked.folds)
    by_cell = [gains(objective, figures(objective, each, bills, asked.folds), base) for each in series]
    beside = [mean_returns(each) - mean_returns(now) for each in series]
    means = np.column_stack(beside) if beside else np.empty((len(bills), 0))
    values = values_of(asked.objectives, now, bills, asked.folds)
    gain = math.nan if best is None else better_by(objective, best.values[0], values[0])
    found = luck(gain, by_cell, means)
    outer_now, outer_best, deflated = _outside(search, outside, best, found, by_cell)
    days = inner.panel.sessions.astype("datetime64[D]")
    near = Plateau(0, math.nan, math.nan, math.nan)
    if best is not None:
        near = plateau(best, trials, search.plan.space, objective)
    return PeriodResult(
        outer,
        tuple(trials),
        best,
        values,
        near,
        found,
        outer_now,
        outer_best,
        deflated,
        study.importance(),
        sentence(len(trials), objective, found, better_by(objective, outer_best, outer_now)),
        str(days[inner.start]),
        str(days[-1]),
    )


def _run_trials(
    search: Search, study: Study, ran: _Cells, now: Sequence[Floats], outer: Outer, told: Callable[[str], None]
) -> None:
    """Ask and tell until there are enough trials; a batch that a kill left open is finished first."""
    asked = search.plan.asked
    while True:
        trials = study.trials()
        waiting = [trial for trial in trials if trial.is_open]
        if not waiting and len(trials) >= asked.trials:
            return
        last = len(trials) - 1 if waiting else len(trials)
        batch_end = min(max(asked.trials, len(trials)), (last // asked.batch + 1) * asked.batch)
        waiting += [study.ask() for _ in range(batch_end - len(trials))]
        closed = _batch(search, study, ran, waiting)
        search.ledger.append([_record(search, ran, trial, returns, now, outer) for trial, returns in closed])
        best = best_of(study.trials(), asked.objectives[0])
        worth = "none has a figure yet" if best is None else f"best {best.values[0]:.3f} (trial {best.number})"
        told(f"trial {batch_end} of {asked.trials}, {worth}")


def _batch(
    search: Search, study: Study, ran: _Cells, waiting: Sequence[Trial]
) -> list[tuple[Trial, Sequence[Floats] | None]]:
    """Run and tell a batch; return its trials with their returns by universe, None where there are none."""
    asked, faults = search.plan.asked, {}
    for trial in waiting:
        try:
            ran.book(trial.settings)
        except FixConfigError as error:
            faults[trial.number] = str(error)
    alive = [trial for trial in waiting if trial.number not in faults]
    pruned: set[int] = set()
    if asked.pruner != "none":
        for step in range(asked.universes - 1):
            steps = ran.returns([trial.settings for trial in alive], range(step + 1))
            for trial, returns in zip(list(alive), steps, strict=True):
                value = values_of(asked.objectives, returns, ran.bills, asked.folds)[0]
                if math.isfinite(value) and study.should_prune(trial, step, value):
                    pruned.add(trial.number)
            alive = [trial for trial in alive if trial.number not in pruned]
    series = dict(zip((trial.number for trial in alive), ran.returns([trial.settings for trial in alive]), strict=True))
    closed: list[tuple[Trial, Sequence[Floats] | None]] = []
    for trial in waiting:
        if trial.number in faults:
            closed.append((study.tell_unusable(trial, faults[trial.number]), None))
        elif trial.number in pruned:
            closed.append((study.tell_pruned(trial), None))
        else:
            returns = series[trial.number]
            closed.append((study.tell(trial, values_of(asked.objectives, returns, ran.bills, asked.folds)), returns))
    return closed


class _Cells:
    """Runs cells through the port."""

    def __init__(self, search: Search, opened: Workers[Bench, Cell, CellReturns], bills: Floats) -> None:
        self._search, self._opened, self.bills = search, opened, bills
        self._books: dict[str, Settings] = {}

    def book(self, settings: Mapping[str, Value]) -> Settings:
        """Return the book of some settings; raises `FixConfigError` where they contradict each other."""
        said = _said(settings)
        if said not in self._books:
            self._books[said] = self._search.configure(settings)
        return self._books[said]

    def returns(
        self, settings: Sequence[Mapping[str, Value]], universes: Sequence[int] | None = None
    ) -> list[list[Floats]]:
        """Return daily returns (T,) by settings and universe."""
        numbers = range(self._search.plan.asked.universes) if universes is None else universes
        cells = [cell for each in settings for cell in self._of(each, numbers)]
        done = dict(self._opened.map(cells))
        flat = [done[i].returns for i in range(len(cells))]
        width = len(numbers)
        return [flat[i * width : (i + 1) * width] for i in range(len(settings))]

    def _of(self, settings: Mapping[str, Value], numbers: Sequence[int]) -> list[Cell]:
        book, said = self.book(settings), _said(settings)
        return [
            Cell(said, number, book.strategies, book.rules, book.capital, book.fills, book.policy) for number in numbers
        ]


def _outside(
    search: Search, bench: Bench, best: Trial | None, found: Luck, by_cell: Sequence[Floats]
) -> tuple[float, float, float]:
    """Return (today's settings, the best trial, the deflated probability that it is better) on the outer years."""
    if best is None:
        return math.nan, math.nan, math.nan
    with workers(_job(search, bench, "outer"), search.place, _files(search)) as opened:
        bills = bills_of(bench)
        now, chosen = _Cells(search, opened, bills).returns([NOW, best.settings])
    objective = search.plan.asked.objectives[:1]
    values = [values_of(objective, each, bills, 1)[0] for each in (now, chosen)]
    difference = matched_difference(mean_returns(chosen) - bills, mean_returns(now) - bills)
    means = [float(each.mean()) for each in by_cell]
    variance = float(np.var(means, ddof=1)) / ANNUAL_SESSIONS if len(means) > 1 else math.nan
    deflated = deflated_sharpe(return_shape(difference), max(1.0, found.effective), variance)
    return values[0], values[1], deflated if objective[0] == "sharpe" else math.nan


def _record(
    search: Search, ran: _Cells, trial: Trial, returns: Sequence[Floats] | None, now: Sequence[Floats], outer: Outer
) -> TrialRecord:
    sharpe = difference = math.nan
    if returns is not None:
        mean, base = mean_returns(returns), mean_returns(now)
        sharpe = sharpe_ratio(mean - ran.bills)
        difference = sharpe_ratio(matched_difference(mean - ran.bills, base - ran.bills))
    return TrialRecord(
        trial_id=f"search-{search.identity}-{outer.name}-{trial.number}",
        recorded_at=search.now,
        purpose="search",
        fold=outer.name,
        seed=search.plan.asked.seed,
        config_fingerprint=search.config_fingerprint,
        data_hash=search.panel.data_hash,
        n_sessions=len(ran.bills),
        sharpe=sharpe if math.isfinite(sharpe) else None,
        difference_sharpe=difference if math.isfinite(difference) else None,
    )


def _job(search: Search, bench: Bench, period: str) -> Job[Bench, Cell, CellReturns]:
    days = bench.panel.sessions.astype("datetime64[D]")
    identity = f"{search.identity} {days[bench.start]} {days[-1]}"
    return Job(f"{period} cell", run_cell, bench, identity, (CellReturns,), key=_key, start="fork")


def _said(settings: Mapping[str, Value]) -> str:
    return json.dumps(dict(settings), sort_keys=True)


def _key(cell: Cell) -> str:
    return f"{cell.universe} {cell.said}"


def _files(search: Search) -> ResultFiles:
    return ResultFiles(search.folder / CELLS, (CellReturns,))
